//! The steps that set taints: what the kernel records about a module that it loaded, or only tried to load.
//!
//! `check_modinfo` and `set_license` (5.10, 6.1), `module_augment_kernel_taints` (6.4 on), kernel/module/main.c; the
//! letters are those of kernel/panic.c.

use crate::module::licence::{self, OFFENDERS};
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::load_info::LoadInfo;
use crate::predict::message::{Effect, messages};
use crate::predict::record::AttemptRecord;
use crate::predict::rules::Rule;
use crate::predict::verdict::LoaderStep;

/// Taints for a module's origin: out of tree, or staging.
pub(super) fn origin(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) {
    let name = &loaded.own_name;
    // Before 6.4, OpenWrt's kernels with CONFIG_MODULE_STRIPPED check neither this nor the version magic.
    let is_stripped = attempt.rules.has(Rule::VermagicChecked) == Some(false);
    record.taints_are_open |= loaded.modinfo("intree").is_none() && attempt.rules.has(Rule::OutOfTreeTaint).is_none();
    let is_looked_at = attempt.rules.surely(Rule::OutOfTreeTaint)
        && !(is_stripped && attempt.rules.has(Rule::TaintsLate) == Some(false));
    if loaded.modinfo("intree").is_none() && is_looked_at && record.taints.set('O') {
        record.say(OUT_OF_TREE.line([name]));
    }
    // Both lines are printed where the kernel mitigates Spectre v2, which it does on nearly all processors
    // (`retpoline_module_ok`, arch/x86/kernel/cpu/bugs.c, 5.10 to 7.2).
    let is_x86 = matches!(loaded.header.machine, 3 | 62);
    if is_x86 && loaded.modinfo("retpoline").is_none() {
        match attempt.rules.has(Rule::RetpolineLine) {
            Some(true) => {
                record.say(SPECTRE_V2.line([]));
                record.say(NO_RETPOLINE.line([name]));
            }
            Some(false) => {}
            None => record.lines_are_open = true,
        }
    }
    if loaded.modinfo("staging").is_some() {
        record.taints.set('C');
        record.say(STAGING.line([name]));
    }
    if loaded.modinfo("livepatch").is_some() && attempt.rules.surely(Rule::Livepatch) && record.taints.set('K') {
        record.say(LIVEPATCH.line([name]));
    }
}

/// Taints for a module's licence, and for test modules.
pub(super) fn licence(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) {
    let name = &loaded.own_name;
    let licence = loaded.modinfo("license");
    if !licence::is_compatible(licence) {
        record.is_proprietary = true;
        if record.taints.set('P') {
            let licence = String::from_utf8_lossy(licence.unwrap_or(b"unspecified"));
            record.say(LICENCE.line([name, &licence]));
        }
    }
    record.taints_are_open |= loaded.modinfo("test").is_some() && attempt.rules.has(Rule::TestTaint).is_none();
    if loaded.modinfo("test").is_some() && attempt.rules.surely(Rule::TestTaint) && record.taints.set('N') {
        record.say(TEST.line([name]));
    }
}

/// The taint of a module without a signature that the kernel could verify. Its line is printed once per boot.
pub(super) fn unsigned(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) {
    // If the result of the signature check is not known, the module may set taint E.
    record.taints_are_open |= record.signature_errnos.is_some();
    // Android's kernels with CONFIG_MODULE_SIG_PROTECT accept unsigned modules silently.
    let is_noted = attempt.rules.surely(Rule::Signatures) && !attempt.rules.surely(Rule::SigProtect);
    if record.is_unsigned && is_noted && record.taints.set('E') {
        record.say(UNVERIFIED.line([&loaded.own_name]));
    }
}

/// Modules that are proprietary because of their names: `check_module_license_and_versions` (kernel/module.c, 5.10), from 6.4
/// on at the end of `module_augment_kernel_taints`, kernel/module/main.c. ndiswrapper taints the kernel but not itself, so it
/// can still use GPL-only symbols.
pub(super) fn by_name(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) {
    let name = loaded.own_name.as_str();
    let is_offender = OFFENDERS.contains(&name);
    let rule = if name == "lve" { Rule::LveByName } else { Rule::OffendersByName };
    let mut is_new = false;
    if is_offender || name == "ndiswrapper" {
        match attempt.rules.has(rule) {
            Some(true) => {
                is_new = record.taints.set('P');
                record.is_proprietary |= is_offender;
            }
            Some(false) => {}
            None => {
                record.taints_are_open = true;
                let note = format!("does the kernel treat {name} as proprietary? (its version)");
                record.unknown(LoaderStep::Symbols, note);
            }
        }
    }
    // If the licence is checked in the same step, its taint is treated as new.
    if is_new || record.is_proprietary && attempt.rules.surely(Rule::TaintsLate) {
        record.say(LICENCE_BY_NAME.line([&name]));
    }
}

/// `try_to_force_load`: passes and sets taint F if the kernel allows forcing. `None` if that is not known.
pub(super) fn force(attempt: &Attempt<'_>, name: &str, reason: &str, record: &mut AttemptRecord) -> Option<bool> {
    let Some(possible) = attempt.rules.has(Rule::ForceLoad) else {
        record.taints_are_open = true;
        return None;
    };
    if possible && record.taints.set('F') {
        record.say(FORCED.line([&name, &reason]));
    }
    Some(possible)
}

messages! {
    None;
    OUT_OF_TREE[1] Effect::Taints('O'), Availability::Rule(Rule::OutOfTreeTaint),
        "{module}: loading out-of-tree module taints kernel.",
        "the module was built outside of the kernel's tree";
    SPECTRE_V2[0] Effect::Warns, Availability::Rule(Rule::RetpolineLine),
        "Spectre V2 : System may be vulnerable to spectre v2",
        "a module without retpolines is being loaded; the kernel goes on";
    NO_RETPOLINE[1] Effect::Warns, Availability::Rule(Rule::RetpolineLine),
        "{module}: loading module not compiled with retpoline compiler.",
        "the module was compiled without retpolines; the kernel goes on";
    STAGING[1] Effect::Taints('C'), Availability::Always,
        "{module}: module is from the staging directory, the quality is unknown, you have been warned.",
        "the module is from drivers/staging";
    LIVEPATCH[1] Effect::Taints('K'), Availability::Rule(Rule::Livepatch),
        "{module}: tainting kernel with TAINT_LIVEPATCH",
        "the module is a livepatch";
    LICENCE[2] Effect::Taints('P'), Availability::Always,
        "{module}: module license '{license:*}' taints kernel.",
        "the module's licence is not GPL-compatible, so it cannot use GPL-only symbols";
    LICENCE_BY_NAME[1] Effect::Taints('P'), Availability::Always,
        "{module}: module license taints kernel.",
        "the kernel treats the module as proprietary";
    TEST[1] Effect::Taints('N'), Availability::Rule(Rule::TestTaint),
        "{module}: loading test module taints kernel.",
        "the module is a test";
    UNVERIFIED[1] Effect::Taints('E'), Availability::Rule(Rule::Signatures),
        "{module}: module verification failed: signature and/or required key missing - tainting kernel",
        "the module is unsigned, or signed by a key that the kernel does not know; this kernel loads it all the same";
    FORCED[2] Effect::Taints('F'), Availability::Rule(Rule::ForceLoad),
        "{module}: {reason:*}: kernel tainted.",
        "the module was loaded by force: the kernel skipped the check of {reason}";
}
