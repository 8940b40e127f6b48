//! Whether a kernel will load a module: the loader's rules, applied to facts. Pure: bytes and facts in, a verdict out.
//!
//! [`predict`] goes through the loader's steps in the loader's order (`load_module`, kernel/module/main.c; before 5.18
//! kernel/module.c), with one file per step. `rules.rs` is the table of the behaviours of kernel versions. A step that the
//! facts do not decide is *unknown*, and names the fact that would decide it.

mod arch;
mod attempt;
pub(crate) mod availability;
mod btf;
mod builder;
mod container;
pub mod danger;
pub mod errno;
mod exports;
mod load_info;
mod loader;
mod memory;
pub mod message;
pub mod messages;
mod names;
mod numbers;
mod options;
mod patched;
mod record;
mod relocations;
mod rules;
mod sections;
mod signature;
mod structure;
mod symbol_versions;
mod symbols;
mod taint;
mod taints;
mod userspace;
mod validity;
mod verdict;
mod vermagic;

use crate::kernel::Kernel;
use attempt::Attempt;
use load_info::{ElfHeader, machine_of};
pub use options::{Candidate, Force, LoadOptions, Loader};
use rules::Rules;
pub use taint::{taint_bits, taint_letters, taints};
pub use userspace::{Userspace, errno_name, errno_words};
pub use verdict::{Decision, Finding, LoaderStep, PatchHelps, PatchMode, PatchPrediction, StepResult, Verdict};

/// The verdict for a module on a kernel.
pub fn predict(subject: &Candidate<'_>, kernel: &Kernel, load: &LoadOptions) -> Verdict {
    let own = subject.module.and_then(|module| kernel.facts.imports.as_ref()?.value.own(module));
    let trimmed = own.as_ref().and_then(|own| kernel.without(own));
    let kernel = trimmed.as_ref().unwrap_or(kernel);
    let own = own.as_ref();
    let rules = Rules::of(kernel);
    let attempt = |subject: &Candidate<'_>, load: &LoadOptions, change| {
        loader::attempt(&Attempt { subject, kernel, own, rules: &rules, load, change })
    };
    // A patch makes forcing unnecessary, so it is judged without force.
    let plain = LoadOptions { force: Force::None, ..*load };
    let is_other = load.force != Force::None || subject.packing.is_some();
    let unforced = is_other.then(|| attempt(subject, &plain, None));
    let asked = match (subject.packing, &unforced) {
        (Some(packing), Some(unforced)) => {
            let plain = |subject: &Candidate<'_>, load: &LoadOptions| attempt(subject, load, None);
            container::attempt(subject, packing, &rules, load, (&plain, unforced))
        }
        _ => attempt(subject, load, None),
    };
    let before = unforced.as_ref().unwrap_or(&asked);
    let patched = [PatchMode::Rewrite, PatchMode::Blank]
        .map(|change| patched::judge(change, before, |change| attempt(subject, &plain, Some(change))))
        .map(|patched| if is_of_no_module(subject.bytes) { patched.of_no_module() } else { patched });
    let dangers = subject.module.map(|module| danger::of(module, kernel, own)).unwrap_or_default();
    let answer = asked.answer();
    let machine = kernel.facts.machine.as_ref().map_or_else(|| machine_of(subject.bytes), |machine| machine.value);
    let is_refused = answer == Decision::Refused;
    let (undecided, errnos) = if is_refused { (asked.undecided(), asked.errnos(&rules)) } else { Default::default() };
    let generic_errno = errnos.first().copied().filter(|_| errnos.len() == 1);
    let letters = asked.taints.letters();
    // A step that refuses earlier leaves fewer taints.
    let are_taints_open = asked.taints_are_open || !undecided.is_empty() && !letters.is_empty();
    Verdict {
        answer,
        errno: generic_errno.map(|errno| numbers::of(machine.number, errno)),
        generic_errno,
        errnos: errnos.iter().map(|errno| numbers::of(machine.number, *errno)).collect(),
        undecided,
        stage: asked.refused.filter(|_| is_refused).map(|(step, _)| step),
        taint: (answer != Decision::Unknown && !are_taints_open).then_some(letters),
        dmesg: asked.dmesg,
        dmesg_more: asked.dmesg_more,
        is_dmesg_open: asked.lines_are_open,
        is_changed: is_refused && asked.is_changed,
        findings: asked.findings,
        needs: asked.needs,
        patched,
        dangers,
    }
}

/// Does the header alone show that this file is not a module for any kernel? Then the refusal is certain, even if the kernel's
/// machine is not known: the file is too short for an ELF header, lacks ELF's magic, or has another type than that of
/// relocatable files.
pub fn is_of_no_module(file: &[u8]) -> bool {
    ElfHeader::is_of_no_module(file)
}
