//! Taints: what the kernel remembers of a module that it took, or only tried to take.
//!
//! `check_modinfo` and `set_license` (5.10, 6.1), `module_augment_kernel_taints` (6.4 on), kernel/module/main.c; the
//! letters are those of kernel/panic.c.

use std::collections::BTreeSet;

use crate::predict::Attempt;
use crate::predict::loaded::Loaded;
use crate::predict::record::Record;
use crate::predict::rules::Rule;

/// The letters, by bit (kernel/panic.c, 6.12).
const LETTERS: &str = "PFSRMBUDAWCIOELKXTN";

/// A set of taints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taints(BTreeSet<usize>);

impl Taints {
    /// Sets a taint by its letter. Was it clear before?
    pub(super) fn set(&mut self, letter: char) -> bool {
        LETTERS.find(letter).is_some_and(|bit| self.0.insert(bit))
    }

    /// The letters, in the order of their bits.
    pub(super) fn letters(&self) -> String {
        LETTERS.chars().enumerate().filter(|(bit, _)| self.0.contains(bit)).map(|(_, letter)| letter).collect()
    }
}

/// Licences that count as compatible (include/linux/license.h, 6.12).
const COMPATIBLE: [&[u8]; 6] =
    [b"GPL", b"GPL v2", b"GPL and additional rights", b"Dual BSD/GPL", b"Dual MIT/GPL", b"Dual MPL/GPL"];

/// Where it comes from: in the tree, or in staging.
pub(super) fn origin(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) {
    let name = &loaded.own_name;
    if loaded.modinfo("intree").is_none() && attempt.rules.surely(Rule::OutOfTreeTaint) && record.taints.set('O') {
        record.say(format!("{name}: loading out-of-tree module taints kernel."));
    }
    // Printed where the processor needs retpolines and the kernel uses them, as nearly all do.
    let is_x86 = matches!(loaded.header.machine, 3 | 62);
    if is_x86 && loaded.modinfo("retpoline").is_none() && attempt.rules.surely(Rule::RetpolineLine) {
        record.say(format!("{name}: loading module not compiled with retpoline compiler."));
    }
    if loaded.modinfo("staging").is_some() {
        record.taints.set('C');
        record.say(format!(
            "{name}: module is from the staging directory, the quality is unknown, you have been warned."
        ));
    }
    if loaded.modinfo("livepatch").is_some() && attempt.rules.surely(Rule::Livepatch) && record.taints.set('K') {
        record.say(format!("{name}: tainting kernel with TAINT_LIVEPATCH"));
    }
}

/// Its licence, and whether it is a test.
pub(super) fn licence(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) {
    let name = &loaded.own_name;
    let licence = loaded.modinfo("license").unwrap_or(b"unspecified");
    if !COMPATIBLE.contains(&licence) {
        record.is_proprietary = true;
        if record.taints.set('P') {
            let licence = String::from_utf8_lossy(licence);
            record.say(format!("{name}: module license '{licence}' taints kernel."));
        }
    }
    if loaded.modinfo("test").is_some() && attempt.rules.surely(Rule::TestTaint) && record.taints.set('N') {
        record.say(format!("{name}: loading test module taints kernel."));
    }
}

/// It has no signature that the kernel could verify. The line is printed once a boot.
pub(super) fn unsigned(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) {
    if record.is_unsigned && attempt.rules.surely(Rule::Signatures) && record.taints.set('E') {
        record.say(format!(
            "{}: module verification failed: signature and/or required key missing - tainting kernel",
            loaded.own_name
        ));
    }
    // Where the licence is looked at in the same breath, its taint is seen as new (`module_augment_kernel_taints`, 6.4).
    if record.is_proprietary && attempt.rules.surely(Rule::TaintsLate) {
        record.say(format!("{}: module license taints kernel.", loaded.own_name));
    }
}

/// `try_to_force_load`: passes and taints F where the kernel can be forced. `None` if that is not known.
pub(super) fn force(attempt: &Attempt<'_>, name: &str, reason: &str, record: &mut Record) -> Option<bool> {
    let possible = attempt.rules.has(Rule::ForceLoad)?;
    if possible && record.taints.set('F') {
        record.say(format!("{name}: {reason}: kernel tainted."));
    }
    Some(possible)
}
