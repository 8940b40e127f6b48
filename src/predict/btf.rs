//! A module's BTF, which kernels from 5.11 on check when the module is loaded (`btf_module_notify`, kernel/bpf/btf.c).

use crate::btf::Rejection;
use crate::btf::relocation::validate_with_base;
use crate::btf::validity::{Validity, validate_module};
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno::EINVAL;
use crate::predict::load_info::{LoadInfo, SectionHeader};
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::verdict::LoaderStep;
use crate::template::Line;

/// The line that kernels which load modules with mismatching BTF print once per boot; 6.3 and later (6.12.118 and 7.2.13 read).
const MISMATCH: &str = "Kernel module BTF mismatch detected";

/// Checks the module's BTF against the kernel's.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let Some(section) = loaded.find_any(".BTF").filter(|section| section.size > 0) else { return Ok(()) };
    let is_checked = attempt.rules.has(Rule::BtfChecked);
    if is_checked == Some(false) {
        return Ok(());
    }
    let is_tolerated = tolerated(attempt);
    let Some(kernel) = &attempt.kernel.facts.btf else {
        match is_tolerated {
            Some(true) => unknown_fit("the kernel's BTF", record),
            _ => record.unknown(LoaderStep::Btf, "does its BTF match the kernel's? (the kernel's BTF)"),
        }
        return Ok(());
    };
    let found = validity(attempt, loaded, section, &kernel.value);
    match (found, is_tolerated) {
        (Validity::Valid, _) => record.pass(LoaderStep::Btf, "its BTF matches the kernel's", Some(&kernel.source)),
        (Validity::Unsure(what), Some(true)) => unknown_fit(&what.to_string(), record),
        (Validity::Unsure(what), _) => {
            record.unknown(LoaderStep::Btf, format!("does its BTF match the kernel's? ({what})"))
        }
        (Validity::Invalid(rejection), Some(true)) => {
            // If it is not certain that the kernel checks BTF, no line is predicted.
            if is_checked == Some(true) {
                mismatch(attempt, loaded, &rejection, record);
            }
            record.skip(
                LoaderStep::Btf,
                format!(
                    "its BTF does not match the kernel's ({}), and the kernel loads it all the same, without its types \
                     (CONFIG_MODULE_ALLOW_BTF_MISMATCH)",
                    rejection.reason
                ),
            );
        }
        (Validity::Invalid(rejection), Some(false)) if is_checked == Some(true) => {
            rejection.lines.iter().for_each(|line| record.say(line.clone()));
            record.say(failed(loaded, rejection.errno));
            let note = format!("its BTF does not match the kernel's: {}", rejection.reason);
            record.fail(LoaderStep::Btf, rejection.errno, note, Some(&kernel.source))?;
        }
        (Validity::Invalid(rejection), _) => {
            let note = format!(
                "its BTF does not match the kernel's ({}); does the kernel refuse such modules? \
                 (CONFIG_MODULE_ALLOW_BTF_MISMATCH in its configuration)",
                rejection.reason
            );
            record.unknown(LoaderStep::Btf, note);
        }
    }
    Ok(())
}

/// Records a module whose BTF the kernel tolerates whether it matches or not; a line is printed only if it does not. `what`
/// names the missing fact.
fn unknown_fit(what: &str, record: &mut AttemptRecord) {
    record.lines_are_open = true;
    record.skip(
        LoaderStep::Btf,
        format!(
            "the kernel loads modules whose BTF does not match, too (CONFIG_MODULE_ALLOW_BTF_MISMATCH); whether \
             this one \
             fits is not known ({what})"
        ),
    );
}

/// Does the module's BTF match? A module that is built outside the tree may contain the part of its kernel's BTF that it needs
/// (`.BTF.base`). Kernels that do not know that section read the module's types as if they followed the kernel's own.
fn validity(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, section: &SectionHeader, kernel: &[u8]) -> Validity {
    let version = attempt.rules.major_minor();
    let base = loaded.find_any(".BTF.base");
    match (base, attempt.rules.has(Rule::BtfBase)) {
        (None, _) | (_, Some(false)) => validate_module(loaded.bytes(section), kernel, version),
        (Some(base), Some(true)) => validate_with_base(loaded.bytes(section), loaded.bytes(base), kernel, version),
        (Some(_), None) => Validity::Unsure("does the kernel follow the module's own base?".to_owned()),
    }
}

/// The lines of a kernel that loads a module whose BTF does not match (`btf_module_notify`): up to 6.2 the lines of a refusal;
/// later a single line, and of the lines of a refusal only those that describe no type.
fn mismatch(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, rejection: &Rejection, record: &mut AttemptRecord) {
    let has_line = match &attempt.kernel.facts.messages {
        Some(messages) => Some(messages.value.contains(MISMATCH)),
        None => attempt.rules.since(6, 3),
    };
    match has_line {
        Some(true) => {
            if !rejection.describes_type {
                rejection.lines.iter().for_each(|line| record.say(line.clone()));
            }
            record.say(MISMATCHES.line([]));
        }
        Some(false) => {
            rejection.lines.iter().for_each(|line| record.say(line.clone()));
            record.say(failed(loaded, rejection.errno));
        }
        None => {}
    }
}

fn failed(loaded: &LoadInfo<'_>, errno: i32) -> Line {
    INVALID.line([&loaded.own_name, &errno.wrapping_neg()])
}

/// Does the kernel load modules whose BTF does not match (CONFIG_MODULE_ALLOW_BTF_MISMATCH)? The configuration shows it; from
/// 6.3 on the kernel's messages also show it, because each setting then has its own line.
fn tolerated(attempt: &Attempt<'_>) -> Option<bool> {
    attempt.rules.option("MODULE_ALLOW_BTF_MISMATCH").or_else(|| {
        let messages = &attempt.kernel.facts.messages.as_ref()?.value;
        match (messages.contains(MISMATCH), messages.contains("failed to validate module [%s] BTF")) {
            (true, false) => Some(true),
            (false, true) if attempt.rules.since(6, 3) == Some(true) => Some(false),
            _ => None,
        }
    })
}

messages! {
    Some(LoaderStep::Btf);
    INVALID[2] Effect::Refuses(EINVAL), Availability::Rule(Rule::BtfChecked),
        "failed to validate module [{module}] BTF: {error:d}",
        "its BTF does not fit the kernel's: module and kernel were not built together (CONFIG_MODULE_ALLOW_BTF_MISMATCH lets it pass)";
    MISMATCHES[0] Effect::Warns, Availability::All(&[
            Availability::Version((6, 3)), Availability::Option("MODULE_ALLOW_BTF_MISMATCH")
        ]),
        "Kernel module BTF mismatch detected, BTF debug info may be unavailable for some modules",
        "the BTF of some module does not fit the kernel's; the kernel loads it without its types";
}
