//! A module's BTF, which kernels from 5.11 on check when the module comes (`btf_module_notify`, kernel/bpf/btf.c).

use crate::predict::loaded::Loaded;
use crate::predict::record::{Flow, Record};
use crate::predict::rules::Rule;
use crate::predict::{Attempt, Step, errno};

/// The step.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) -> Flow {
    let Some(section) = loaded.find_any(".BTF").filter(|section| section.size > 0) else { return Ok(()) };
    match attempt.rules.has(Rule::BtfChecked) {
        Some(false) => Ok(()),
        Some(true) if attempt.rules.option("MODULE_ALLOW_BTF_MISMATCH") == Some(true) => Ok(()),
        _ => {
            let _ = (loaded.bytes(section), errno::EINVAL);
            record.unknown(Step::Btf, "does its BTF fit the kernel's? (the kernel's BTF)");
            Ok(())
        }
    }
}
