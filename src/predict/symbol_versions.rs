//! The loader's first look at symbol versions: the CRC of `module_layout`, before the version magic
//! (`check_modstruct_version` in kernel/module/version.c, 6.x; in kernel/module.c before 5.18).

use crate::kernel::{Fact, Kernel};
use crate::module::Module;
use crate::module::versions::Kind;
use crate::predict::{Finding, Outcome, Step, unknown};
use crate::vermagic::TokenKind;

/// The finding of this step; none for a kernel without symbol versions, and for one too old to tell.
pub(super) fn check(module: &Module, kernel: &Kernel) -> Option<Finding> {
    if !kernel.vermagic.value.has(TokenKind::Modversions) {
        return None;
    }
    if module.versions.kind() == Kind::None {
        let note = "the module has none, the kernel wants them: with CONFIG_MODULE_FORCE_LOAD it passes and taints F, \
                    without it is refused with ENOEXEC and no log line";
        return Some(unknown(Step::SymbolVersions, note));
    }
    let ours = module.versions.crc(b"module_layout").filter(|_| module.versions.visible);
    let layout = kernel.facts.exports.as_ref().and_then(|exports| {
        let crc = u64::from(exports.value.symbols.get("module_layout")?.crc?);
        Some(Fact { value: crc, source: exports.source.clone() })
    });
    let (Some(ours), Some(theirs)) = (ours, layout) else {
        let note = "do the CRCs agree? (its image, or its Module.symvers); if that of module_layout does not, the \
                    kernel logs so, and nothing of the version magic";
        return Some(unknown(Step::SymbolVersions, note));
    };
    let finding = |result, note: &str| Finding {
        step: Step::SymbolVersions,
        result,
        module: Some(format!("module_layout 0x{ours:08x}")),
        kernel: Some(format!("module_layout 0x{:08x}", theirs.value)),
        source: Some(theirs.source.clone()),
        note: note.to_owned(),
    };
    Some(match ours == theirs.value {
        true => finding(Outcome::Unknown, "module_layout agrees; do the others? (its image, or its Module.symvers)"),
        false => finding(Outcome::Fail, &format!("module_layout: module 0x{ours:08x}, kernel 0x{:08x}", theirs.value)),
    })
}

/// The line that the kernel logs when it refuses here.
pub(super) fn line(name: &str) -> String {
    format!("{name}: disagrees about version of symbol module_layout")
}
