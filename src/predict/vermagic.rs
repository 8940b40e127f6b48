//! The loader's version magic check (`check_modinfo` and `same_magic`, kernel/module/main.c and version.c, 6.x;
//! kernel/module.c before 5.18).

use crate::kernel::{Fact, Origin};
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::LoadInfo;
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::taints::force;
use crate::predict::verdict::PatchMode;
use crate::predict::verdict::{Finding, LoaderStep, StepResult};
use crate::vermagic::{Vermagic, compare};

/// Compares the version magic of the module with the kernel's.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let theirs = attempt.kernel.vermagic.as_ref();
    let ours = match (attempt.change, theirs) {
        (Some(PatchMode::Rewrite), Some(theirs)) => Some(theirs.value.clone()),
        (Some(PatchMode::Blank), _) => None,
        (None | Some(PatchMode::Rewrite), _) => loaded.modinfo("vermagic").map(Vermagic::parse),
    };
    let is_ignored = attempt.rules.has(Rule::VermagicChecked) == Some(false);
    record.is_vermagic_unknown = theirs.is_none();
    record.vermagics_differ = (is_ignored || theirs.is_some())
        && ours.as_ref().is_some_and(|ours| theirs.is_none_or(|theirs| theirs.value != *ours));
    let finding = |result, note: &str| Finding {
        module: ours.as_ref().map(|vermagic| vermagic.to_string()),
        kernel: theirs.map(|theirs| theirs.value.to_string()),
        source: theirs.map(|theirs| theirs.source.to_string()),
        ..Finding::new(LoaderStep::Vermagic, result, note)
    };
    if is_ignored {
        let note = "this kernel does not look at it (CONFIG_MODULE_STRIPPED, as OpenWrt builds kernels; not measured)";
        record.findings.push(finding(StepResult::Skip, note));
        record.ignores_vermagic = true;
        return Ok(());
    }
    let Some(ours) = ours.as_ref().filter(|_| !attempt.load.force.vermagic()) else {
        let why = match &ours {
            Some(_) => "ignored, as requested",
            None => "the module has none that the kernel sees",
        };
        return match force(attempt, &loaded.own_name, "bad vermagic", record) {
            Some(true) => {
                record.findings.push(finding(StepResult::Skip, &format!("{why}: it passes, and taints F")));
                Ok(())
            }
            Some(false) => {
                let note = format!("{why}, and this kernel cannot be forced (CONFIG_MODULE_FORCE_LOAD is not set)");
                record.findings.push(finding(StepResult::Fail, &note));
                Err((LoaderStep::Vermagic, errno::ENOEXEC))
            }
            None => {
                let note = format!(
                    "{why}: with CONFIG_MODULE_FORCE_LOAD it passes and taints F, without it is refused with ENOEXEC \
                     and no log line (its configuration)"
                );
                record.findings.push(finding(StepResult::Unknown, &note));
                Ok(())
            }
        };
    };
    let Some(theirs) = theirs else {
        let why = attempt.kernel.why_no_vermagic();
        let note =
            format!("the kernel's version magic is not known: {why} (give the string by hand: vermagic:'STRING')");
        record.findings.push(finding(StepResult::Unknown, &note));
        return Ok(());
    };
    let comparison = compare(ours, &theirs.value);
    // A module's string is complete. A kernel's with nothing after the release is what somebody knows of it.
    let (is_bare, ends_with_release) = (theirs.value.is_bare_release(), ours.is_bare_release());
    let is_same_release = || ours.release().map(|own| &own.text) == theirs.value.release().map(|own| &own.text);
    let release_does_not_refuse = || is_same_release() || release_is_skipped(attempt, loaded) == Some(true);
    let (result, note) = match comparison.is_equal() {
        _ if is_bare && ends_with_release => (
            StepResult::Fail,
            "the module's string ends with the release; a kernel's has a space after it, and most have tokens",
        ),
        true if is_bare => (
            StepResult::Unknown,
            "the releases are equal; are the tokens? (the complete version magic: the kernel's image, or one of its \
             modules)",
        ),
        false if is_bare => match release_is_skipped(attempt, loaded) {
            Some(false) => (StepResult::Fail, "the releases differ"),
            _ => (
                StepResult::Unknown,
                "the releases differ; does the kernel skip them, and are the tokens equal? (the complete version magic: \
                 the kernel's image, or one of its modules)",
            ),
        },
        true => (StepResult::Pass, "the strings are equal"),
        false if ours.differs_by_last_space(&theirs.value) && release_does_not_refuse() => {
            (StepResult::Fail, last_space(ours, theirs))
        }
        false if !comparison.equal_but_release() => (StepResult::Fail, "the strings differ"),
        false => match release_is_skipped(attempt, loaded) {
            Some(true) => (
                StepResult::Pass,
                "the releases differ, but the kernel and the module both have symbol versions, so the kernel skips \
                 the release",
            ),
            Some(false) => (StepResult::Fail, "the releases differ"),
            None => (
                StepResult::Unknown,
                "the releases differ; a kernel of 2.6.9 to 2.6.25 skips the release if it has CONFIG_MODVERSIONS, \
                 which its version magic does not show (its configuration)",
            ),
        },
    };
    record.findings.push(finding(result, note));
    if result != StepResult::Fail {
        return Ok(());
    }
    if is_bare {
        // The kernel prints its own string, which is not known.
        return Err((LoaderStep::Vermagic, errno::ENOEXEC));
    }
    // Up to 4.14 the line has the name in struct module, in 4.20 the name in modinfo.
    let name = match (attempt.rules.since(4, 15), attempt.rules.since(4, 20)) {
        (Some(false), _) => &loaded.own_name,
        (_, Some(true)) => &loaded.name,
        _ if loaded.name == loaded.own_name => &loaded.name,
        _ => {
            record.unknown(
                LoaderStep::Vermagic,
                "which of the module's two names is in the line? (the kernel's version)",
            );
            &loaded.name
        }
    };
    let [ours, theirs] = [ours, &theirs.value].map(|vermagic| String::from_utf8_lossy(vermagic.as_bytes()));
    record.say(VERSION_MAGIC.line([name, &ours, &theirs]));
    Err((LoaderStep::Vermagic, errno::ENOEXEC))
}

/// The likely cause if only the trailing space differs.
fn last_space(ours: &Vermagic, theirs: &Fact<Vermagic>) -> &'static str {
    let is_typed = theirs.source == Origin::Given;
    match (ours.as_bytes().ends_with(b" "), is_typed) {
        (true, true) => {
            "the strings differ only in the trailing space, which is probably missing from the command line; quote \
             it: 'vermagic:… '"
        }
        (true, false) => "the strings differ only in the trailing space, which the kernel's string lacks",
        (false, _) => {
            "the strings differ only in the trailing space, which the module's string lacks: was it written by hand?"
        }
    }
}

/// Does the kernel skip the release token? It does if it has CONFIG_MODVERSIONS and sees `__versions` in the module;
/// between 2.6.9 and 2.6.25 CONFIG_MODVERSIONS is enough by itself.
fn release_is_skipped(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> Option<bool> {
    let sees_versions = !attempt.load.force.modversions() && loaded.find("__versions").is_some();
    if attempt.rules.since_patch((2, 6, 9)) == Some(false) {
        return Some(false);
    }
    let is_old = attempt.rules.since_patch((2, 6, 26)) == Some(false);
    match attempt.rules.has(Rule::Modversions) {
        Some(true) => Some(sees_versions || is_old),
        // For a module without symbol versions, it does not matter whether the kernel has them.
        None if !sees_versions && attempt.rules.since_patch((2, 6, 26)) == Some(true) => Some(false),
        other => other,
    }
}

messages! {
    Some(LoaderStep::Vermagic);
    VERSION_MAGIC[3] Effect::Refuses(errno::ENOEXEC), Availability::Always,
        "{module}: version magic '{ours:*}' should be '{theirs:*}'",
        "the module was built for another kernel: its version magic is not the kernel's";
}
