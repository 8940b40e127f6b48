//! The facts in the image of a kernel: `vmlinuz`, `vmlinux`, `bzImage`, `zImage`, `Image`, compressed or not. Pure.
//!
//! `container` finds the compressed kernel in the file, `unpack` decompresses it, and then the kernel's own bytes are read. An
//! ELF file has sections (`vmlinux`), so each fact is read from its section, and the tables of exports can be read
//! (`exports`). A flat image, as on arm64, arm and s390x, is searched as a whole (`flat`).

mod btf;
mod bytes;
mod container;
mod exports;
mod fit;
mod flat;
mod lzo;
pub mod messages;
mod params;
mod signed;
mod strings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]
mod tests;
mod uimage;
mod uki;
mod unpack;
mod vmlinux;

use std::sync::Arc;

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Machine;
use crate::kernel::config;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::module::certificate;
use container::Opened;
use strings::Banner;
use vmlinux::Vmlinux;

/// The facts in the bytes of an image file. `source` is the file, for [`Fact::source`]; the kernel in it is decompressed within
/// the budget.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if these are no kernel's bytes, [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the
/// image is cut short, damaged, or its headers lie, [`ErrorKind::TooLarge`] beyond the limit, [`ErrorKind::TooMuchWork`] beyond
/// the budget.
pub(super) fn facts(source: &Origin, bytes: &[u8], budget: &WorkBudget) -> Result<Facts> {
    budget.spend_image()?;
    let Opened { bytes, machine, architecture } = container::open(bytes, budget)?;
    let vmlinux = if bytes.starts_with(b"\x7fELF") { Some(Vmlinux::read(&bytes)?) } else { None };
    let mut facts = match &vmlinux {
        Some(vmlinux) => of_vmlinux(source, vmlinux, budget),
        None => of_flat(source, &bytes, machine, budget),
    };
    if facts.banner.is_none() && facts.btf.is_none() {
        let what = "not a kernel: neither a version line nor BTF in it";
        return Err(Error::new(ErrorKind::NotFound, what));
    }
    facts.architecture = architecture.map(|architecture| fact(architecture, source.part("boot loader's header")));
    facts.learn_from_btf();
    if facts.banner.is_none() {
        // A file with a part of the kernel, as for a debugger or among headers, has no certificates.
        facts.keys = None;
    }
    Ok(facts)
}

/// The kernel in an image file, decompressed: on x86 the ELF file `vmlinux` of its build, elsewhere often a flat image.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if it has no kernel, [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the image
/// is cut short, damaged, or its headers lie, [`ErrorKind::TooLarge`] beyond `max_size` bytes, [`ErrorKind::TooMuchWork`] if it
/// costs more than a file of its size may.
pub fn unpacked(bytes: &[u8], max_size: u64) -> Result<Vec<u8>> {
    let budget = WorkBudget::of_file(bytes.len(), max_size);
    container::open(bytes, &budget).map(|opened| opened.bytes.to_vec())
}

/// Do these bytes, of the whole file or at least its first 64 KiB, begin as a kernel image does? A module does not, compressed
/// or not.
pub(super) fn looks_like_image(bytes: &[u8], budget: &WorkBudget) -> bool {
    container::looks_like_image(bytes, budget)
}

/// The facts of an ELF file, each from its section.
fn of_vmlinux(source: &Origin, vmlinux: &Vmlinux<'_>, budget: &WorkBudget) -> Facts {
    let machine = Machine { class: vmlinux.class, endian: vmlinux.endian, number: vmlinux.machine };
    // All constant strings are here; a vmlinux with other names of sections is searched as a whole.
    let constants = vmlinux.section(".rodata").map_or(vmlinux.bytes, |section| section.bytes);
    let mut facts = of_strings(source, constants, budget);
    facts.machine = Some(fact(machine, source.clone()));
    facts.exports = exports::read(vmlinux).map(|(exports, table)| fact(exports, source.part(table)));
    facts.folders = params::folders(vmlinux).map(|folders| fact(folders, source.part("__param")));
    if let Some(section) = vmlinux.section(".BTF") {
        facts.btf = Some(fact(Arc::from(section.bytes), source.part(".BTF")));
    }
    let data = vmlinux.section(".data").map_or(vmlinux.bytes, |section| section.bytes);
    if let Some(messages) = &mut facts.messages {
        messages.value.extend(messages::digests(data));
    }
    // The list of trusted certificates is among the data of the kernel's start (certs/system_certificates.S).
    let lists =
        [".init.data", ".init.rodata", ".rodata"].map(|name| vmlinux.section(name).map(|section| section.bytes));
    let keys = match lists.iter().any(Option::is_some) {
        true => lists.into_iter().flatten().flat_map(certificate::find_all).collect(),
        false => certificate::find_all(vmlinux.bytes),
    };
    facts.keys = Some(fact(keys, source.part("certificates")));
    facts
}

/// The facts of an image without sections, which is searched as a whole.
fn of_flat(source: &Origin, bytes: &[u8], machine: Option<Machine>, budget: &WorkBudget) -> Facts {
    let mut facts = of_strings(source, bytes, budget);
    facts.machine = machine.map(|machine| fact(machine, source.clone()));
    facts.keys = Some(fact(certificate::find_all(signed::without_signature(bytes)), source.part("certificates")));
    if let Some(messages) = &mut facts.messages {
        messages.value.extend(messages::digests(bytes));
    }
    facts.prefixes = Some(fact(params::prefixes(bytes), source.part("strings")));
    facts.exports = flat::exports(bytes, machine).map(|exports| fact(exports, source.part("__ksymtab")));
    facts.btf = btf::find(bytes).map(|bytes| fact(Arc::from(bytes), source.part("BTF")));
    facts
}

/// The facts that are text.
fn of_strings(source: &Origin, constants: &[u8], budget: &WorkBudget) -> Facts {
    let mut facts = Facts::default();
    let Some(Banner { text, release }) = strings::banner(constants) else { return facts };
    let mut vermagics = match strings::vermagic(constants, &release) {
        Some(vermagic) => vec![vermagic],
        None => strings::constant_vermagics(constants),
    };
    if vermagics.len() > 1 {
        let candidates = vermagics.iter().map(ToString::to_string).collect();
        facts.notes.push(Note::SeveralVermagics { origin: source.clone(), candidates });
        vermagics.clear();
    }
    facts.vermagic = vermagics.pop().map(|value| fact(value, source.clone()));
    facts.banner = Some(fact(text, source.clone()));
    facts.release = Some(fact(release, source.clone()));
    facts.messages = Some(fact(messages::find(constants), source.clone()));
    facts.config = strings::embedded_config(constants, budget)
        .map(|text| fact(config::parse(&text), source.part("embedded configuration")));
    facts
}

fn fact<T>(value: T, source: Origin) -> Fact<T> {
    Fact { value, source }
}
