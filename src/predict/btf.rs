//! A module's BTF, which kernels from 5.11 on check when the module comes (`btf_module_notify`, kernel/bpf/btf.c).

use crate::btf::relocation::validate_with_base;
use crate::btf::validity::{Validity, validate_module};
use crate::predict::loaded::Loaded;
use crate::predict::record::{Flow, Record};
use crate::predict::rules::Rule;
use crate::predict::{Attempt, Step};

/// What a kernel says that takes a module although its BTF does not fit.
const TOLERATED: &str = "Kernel module BTF mismatch detected";

/// The step.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) -> Flow {
    let Some(section) = loaded.find_any(".BTF").filter(|section| section.size > 0) else { return Ok(()) };
    let is_checked = attempt.rules.has(Rule::BtfChecked);
    let is_tolerated = tolerated(attempt);
    if is_checked == Some(false) {
        return Ok(());
    }
    if is_tolerated == Some(true) {
        record.skip(Step::Btf, "the kernel takes BTF that does not fit, too (CONFIG_MODULE_ALLOW_BTF_MISMATCH)");
        return Ok(());
    }
    let Some(kernel) = &attempt.kernel.facts.btf else {
        record.unknown(Step::Btf, "does its BTF fit the kernel's? (the kernel's BTF)");
        return Ok(());
    };
    // A module that is built outside the tree may bring the part of its kernel's BTF that it needs. Kernels that do not
    // know it take the rest as if it went on behind their own types.
    let version = attempt.rules.major_minor();
    let base = loaded.find_any(".BTF.base");
    let found = match (base, attempt.rules.has(Rule::BtfBase)) {
        (None, _) | (_, Some(false)) => validate_module(loaded.bytes(section), &kernel.value, version),
        (Some(base), Some(true)) => {
            validate_with_base(loaded.bytes(section), loaded.bytes(base), &kernel.value, version)
        }
        (Some(_), None) => Validity::Unsure("does the kernel follow the module's own base?".to_owned()),
    };
    match found {
        Validity::Valid => record.pass(Step::Btf, "its BTF fits the kernel's", Some(&kernel.source)),
        Validity::Unsure(what) => record.unknown(Step::Btf, format!("does its BTF fit the kernel's? ({what})")),
        Validity::Invalid { errno, what } if is_checked == Some(true) && is_tolerated == Some(false) => {
            record.say(format!("failed to validate module [{}] BTF: -{errno}", loaded.own_name));
            record.fail(Step::Btf, errno, format!("its BTF is not for this kernel: {what}"), Some(&kernel.source))?;
        }
        Validity::Invalid { what, .. } => {
            let note = format!(
                "its BTF is not for this kernel ({what}); does the kernel insist? (CONFIG_MODULE_ALLOW_BTF_MISMATCH in \
                 its configuration)"
            );
            record.unknown(Step::Btf, note);
        }
    }
    Ok(())
}

/// Does the kernel take BTF that does not fit (CONFIG_MODULE_ALLOW_BTF_MISMATCH)? It is told by the configuration; from
/// 6.12 on also by what the kernel says then, since there each setting has a line of its own.
fn tolerated(attempt: &Attempt<'_>) -> Option<bool> {
    attempt.rules.option("MODULE_ALLOW_BTF_MISMATCH").or_else(|| {
        let messages = attempt.kernel.facts.messages.as_ref()?;
        let has_line = attempt.rules.since(6, 12) == Some(true);
        has_line.then(|| messages.value.iter().any(|message| message.contains(TOLERATED)))
    })
}
