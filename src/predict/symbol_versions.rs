//! Symbol versions: `check_version` and `check_modstruct_version` (kernel/module/version.c, 5.18 on; kernel/module.c
//! before).

use std::collections::HashMap;

use crate::kernel::Machine;
use crate::module::summary::MARK;
use crate::predict::arch;
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::{LoadInfo, number, string};
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::taints::force;
use crate::predict::verdict::{Finding, LoaderStep, StepResult};
use crate::template::Line;

/// Size of an entry of `__versions`, in bytes.
const ENTRY: usize = 64;

/// The symbol whose CRC covers `struct module` and the structures that it uses.
const MODULE_LAYOUT: &str = "module_layout";

/// The result of comparing the versions of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// The CRCs are equal.
    Equal,
    /// The kernel has no CRC for the symbol, or does not require one.
    Skipped,
    /// The module has no symbol versions, or the kernel was asked to ignore them: loading is forced.
    Forced,
    /// The CRCs differ.
    Differs {
        /// The module's CRC.
        ours: u64,
        /// The kernel's CRC.
        theirs: u32,
    },
    /// The module has no CRC for the symbol, and the kernel requires one.
    Missing,
    /// Loading would have to be forced, which this kernel does not allow.
    CannotForce,
    /// The kernel's CRC is not known.
    UnknownCrc,
    /// Loading would have to be forced, and it is not known whether the kernel allows that.
    UnknownForce,
    /// The module has no CRC for the symbol, and whether the kernel refuses that depends on its builder, which is not known.
    UnknownBuilder,
}

/// A module's symbol versions, as a particular kernel reads them.
pub(super) struct Versions<'f> {
    basic: Option<HashMap<&'f [u8], u64>>,
    extended: Option<HashMap<&'f [u8], u64>>,
}

impl<'f> Versions<'f> {
    /// The symbol versions that the kernel reads; none if it was asked to ignore them.
    pub(super) fn of(attempt: &Attempt<'_>, loaded: &LoadInfo<'f>) -> Versions<'f> {
        if attempt.load.force.modversions() {
            return Versions { basic: None, extended: None };
        }
        let knows_extended = attempt.rules.surely(Rule::ExtendedVersions);
        Versions {
            basic: loaded.bytes_of("__versions").map(|bytes| basic(loaded, bytes, attempt.machine(loaded))),
            extended: if knows_extended { extended(loaded, attempt.machine(loaded)) } else { None },
        }
    }

    /// The result of comparing a symbol whose CRC in the kernel is `theirs`.
    pub(super) fn compare(
        &self,
        attempt: &Attempt<'_>,
        loaded: &LoadInfo<'_>,
        (symbol, theirs): (&str, Option<u32>),
        record: &mut AttemptRecord,
    ) -> Compared {
        let compared = |ours: u64, theirs: u32| match ours == u64::from(theirs) {
            true => Compared::Equal,
            false => Compared::Differs { ours, theirs },
        };
        let versions = match (&self.extended, &self.basic) {
            (Some(extended), _) => {
                return match (extended.get(symbol.as_bytes()), theirs) {
                    (Some(ours), Some(theirs)) => compared(*ours, theirs),
                    (Some(_), None) => Compared::UnknownCrc,
                    (None, _) => {
                        // Printed once per boot, whichever symbol is the first.
                        if !record.said_no_extended_version {
                            record.say(NO_EXTENDED_VERSION.line([&loaded.name, &symbol]));
                            record.said_no_extended_version = true;
                        }
                        Compared::Skipped
                    }
                };
            }
            (None, Some(basic)) => basic,
            (None, None) => {
                return match force(attempt, &loaded.own_name, symbol, record) {
                    Some(true) => Compared::Forced,
                    Some(false) => Compared::CannotForce,
                    None => Compared::UnknownForce,
                };
            }
        };
        match (versions.get(symbol.as_bytes()), theirs) {
            (Some(ours), Some(theirs)) => compared(*ours, theirs),
            (Some(_), None) => Compared::UnknownCrc,
            (None, _) => match attempt.rules.has(Rule::MissingCrcRefuses) {
                Some(true) => Compared::Missing,
                Some(false) if attempt.rules.since_patch((2, 6, 25)) == Some(false) => {
                    record.taints.set('F');
                    Compared::Skipped
                }
                Some(false) => {
                    record.say(NO_VERSION.line([&loaded.name, &symbol]));
                    Compared::Skipped
                }
                None => Compared::UnknownBuilder,
            },
        }
    }
}

/// The line that the kernel prints about a symbol with this result.
pub(super) fn line(compared: Compared, name: &str, symbol: &str) -> Option<Line> {
    match compared {
        Compared::Differs { .. } => Some(DISAGREES.line([&name, &symbol])),
        Compared::Missing => Some(NO_VERSION.line([&name, &symbol])),
        _ => None,
    }
}

/// The entries of `__versions`; the first entry for a name is used.
fn basic<'f>(loaded: &LoadInfo<'f>, bytes: &'f [u8], machine: Machine) -> HashMap<&'f [u8], u64> {
    let word = loaded.header.class.word();
    let mut crcs = HashMap::new();
    for entry in bytes.chunks_exact(ENTRY) {
        let name = arch::versioned(machine, string(entry, word as u64));
        crcs.entry(name).or_insert(number(entry, loaded.header.endian, 0, word));
    }
    crcs
}

/// The entries of the two sections of extended symbol versions.
fn extended<'f>(loaded: &LoadInfo<'f>, machine: Machine) -> Option<HashMap<&'f [u8], u64>> {
    let crcs = loaded.bytes_of("__version_ext_crcs")?;
    let names = loaded.bytes_of("__version_ext_names")?.split(|byte| *byte == 0);
    let mut found = HashMap::new();
    for (crc, name) in crcs.chunks_exact(4).zip(names) {
        found.entry(arch::versioned(machine, name)).or_insert(loaded.header.endian.number(crc));
    }
    Some(found)
}

/// Does the CRC of `module_layout` prove that the module's `struct module` is the same as the kernel's? genksyms computes it
/// from all members of the structures that `module_layout` takes, `struct module` first (kernel/module/version.c and
/// scripts/genksyms, 2.6.30 to 7.2), so equal CRCs mean equal members. It proves nothing for a patched module.
pub(super) fn prove_structure(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> bool {
    if attempt.load.is_patched || loaded.modinfo(MARK).is_some() || !attempt.rules.surely(Rule::Modversions) {
        return false;
    }
    let Some(theirs) = attempt.kernel.facts.symbol(MODULE_LAYOUT, attempt.own).and_then(|known| known.crc) else {
        return false;
    };
    let machine = attempt.machine(loaded);
    let basic = loaded.bytes_of("__versions").map(|bytes| basic(loaded, bytes, machine));
    let ours = |crcs: HashMap<&[u8], u64>| crcs.get(MODULE_LAYOUT.as_bytes()).copied();
    let found = extended(loaded, machine).and_then(ours).or_else(|| basic.and_then(ours));
    found == Some(u64::from(theirs))
}

/// The first check: the CRC of `module_layout`, before the version magic.
pub(super) fn module_layout(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    match attempt.rules.has(Rule::Modversions) {
        Some(true) => {}
        Some(false) => return Ok(()),
        // Up to 2.6.24 a module without symbol versions passes on all kernels.
        None if attempt.rules.since_patch((2, 6, 25)) == Some(false) && loaded.find("__versions").is_none() => {
            return Ok(());
        }
        None => {
            record.unknown(LoaderStep::ModuleLayout, "are symbol versions compared? (CONFIG_MODVERSIONS)");
            return Ok(());
        }
    }
    // Before about 2.6.30 the symbol was struct_module.
    let symbol = match attempt.rules.since_patch((2, 6, 30)) {
        Some(false) => "struct_module",
        _ => MODULE_LAYOUT,
    };
    let known = attempt.kernel.facts.symbol(symbol, attempt.own);
    let theirs = known.as_ref().and_then(|known| known.crc);
    let source = known.as_ref().map(|known| known.source);
    let versions = Versions::of(attempt, loaded);
    let compared = versions.compare(attempt, loaded, (symbol, theirs), record);
    if let Some(line) = line(compared, &loaded.name, symbol) {
        record.say(line);
    }
    let refuse = |record: &mut AttemptRecord, note: String, ours: Option<u64>| {
        record.findings.push(Finding {
            module: ours.map(|crc| format!("{symbol} 0x{crc:08x}")),
            kernel: theirs.map(|crc| format!("{symbol} 0x{crc:08x}")),
            source: source.map(ToString::to_string),
            ..Finding::new(LoaderStep::ModuleLayout, StepResult::Fail, note)
        });
        Err((LoaderStep::ModuleLayout, errno::ENOEXEC))
    };
    match compared {
        Compared::Equal => record.pass(LoaderStep::ModuleLayout, format!("the CRC of {symbol} agrees"), source),
        Compared::Skipped => {
            record.skip(
                LoaderStep::ModuleLayout,
                format!("the module has no CRC of {symbol}, and the kernel accepts that"),
            );
        }
        Compared::Forced => {
            let why = match attempt.load.force.modversions() {
                true => "ignored, as requested",
                false => "the module has no symbol versions that the kernel sees",
            };
            record.skip(LoaderStep::ModuleLayout, format!("{why}: it passes, and taints F"));
        }
        Compared::Differs { ours, theirs } => {
            return refuse(record, format!("{symbol}: module 0x{ours:08x}, kernel 0x{theirs:08x}"), Some(ours));
        }
        Compared::Missing => return refuse(record, format!("the module has no CRC of {symbol}"), None),
        Compared::CannotForce => {
            let note = "the module has no symbol versions that the kernel sees, and this kernel cannot be forced";
            return refuse(record, note.to_owned(), None);
        }
        Compared::UnknownForce => {
            let why = match attempt.load.force.modversions() {
                true => "symbol versions are ignored, as requested",
                false => "the kernel sees no symbol versions, and requires them",
            };
            let note = format!(
                "{why}: with CONFIG_MODULE_FORCE_LOAD it passes and taints F, without it is refused with ENOEXEC and no \
                 log line (its configuration)"
            );
            record.unknown(LoaderStep::ModuleLayout, note);
        }
        Compared::UnknownCrc => record.unknown(
            LoaderStep::ModuleLayout,
            format!(
                "does the CRC of {symbol} agree? (its image, its Module.symvers, or one of its modules); if it does \
                 not, the kernel logs that, and prints nothing about the version magic"
            ),
        ),
        Compared::UnknownBuilder => {
            let note = format!(
                "the module has no CRC of {symbol}; who built the kernel? (its version line: Debian's kernels \
                 refuse that, upstream's warn)"
            );
            record.unknown(LoaderStep::ModuleLayout, note);
        }
    }
    Ok(())
}

messages! {
    Some(LoaderStep::Symbols);
    DISAGREES[2] Effect::Refuses(errno::EINVAL), Availability::Always,
        "{module}: disagrees about version of symbol {symbol}",
        "the CRC of {symbol} in the module is not the kernel's: the types that it uses differ";
    NO_VERSION[2] Effect::Precedes, Availability::Always,
        "{module}: no symbol version for {symbol}",
        "the module has no CRC of {symbol}: it was built without the kernel's Module.symvers";
    NO_EXTENDED_VERSION[2] Effect::Warns, Availability::Rule(Rule::ExtendedVersions),
        "{module}: no extended symbol version for {symbol}",
        "the module has extended symbol versions, but none for {symbol}; the kernel accepts that";
}
