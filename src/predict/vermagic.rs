//! The loader's version magic check (`check_modinfo` and `same_magic` in kernel/module/main.c and version.c, 6.x;
//! kernel/module.c before 5.18).

use crate::kernel::Kernel;
use crate::module::Module;
use crate::predict::{Finding, Outcome, PatchHelps, Step};
use crate::vermagic::{TokenKind, Vermagic, compare};

/// The finding of this step, and whether a patch would help.
pub(super) fn check(module: &Module, kernel: &Kernel) -> (Finding, PatchHelps) {
    let theirs = &kernel.vermagic.value;
    let finding = |result, note: String| Finding {
        step: Step::Vermagic,
        result,
        module: module.vermagic().map(|v| v.to_string()),
        kernel: Some(theirs.to_string()),
        source: Some(kernel.vermagic.source.clone()),
        note,
    };
    let Some(ours) = module.vermagic().filter(|_| module.modinfo.visible) else {
        let note = "the module has none that the kernel sees: with CONFIG_MODULE_FORCE_LOAD it passes and taints F, without it is \
                    refused with ENOEXEC and no log line";
        return (finding(Outcome::Unknown, note.to_owned()), PatchHelps::No);
    };
    let comparison = compare(&ours, theirs);
    if comparison.is_equal() {
        return (finding(Outcome::Pass, "the strings are equal".to_owned()), PatchHelps::No);
    }
    if !comparison.equal_but_release() {
        return (finding(Outcome::Fail, "the strings differ".to_owned()), PatchHelps::Yes);
    }
    match release_is_skipped(module, theirs) {
        Some(true) => {
            let note = "the releases differ, but this kernel has symbol versions and so has the module: then the release is skipped";
            (finding(Outcome::Pass, note.to_owned()), PatchHelps::Pointless)
        }
        Some(false) => (finding(Outcome::Fail, "the releases differ".to_owned()), PatchHelps::Yes),
        None => {
            let note = "the releases differ; a kernel of 2.6.9 to 2.6.25 skips the release if it has CONFIG_MODVERSIONS, \
                        which its version magic does not tell";
            (finding(Outcome::Unknown, note.to_owned()), PatchHelps::Yes)
        }
    }
}

/// The line that the kernel logs when it refuses here.
pub(super) fn line(module: &Module, name: &str, kernel: &Kernel) -> Vec<String> {
    let ours = module.vermagic().map(|v| v.to_string()).unwrap_or_default();
    vec![format!("{name}: version magic '{ours}' should be '{}'", kernel.vermagic.value)]
}

/// Does the kernel skip the release token? It does if it has CONFIG_MODVERSIONS and sees `__versions` in the module.
/// From about 2.6.26 on the first is told by its token; between 2.6.9 and 2.6.25 CONFIG_MODVERSIONS alone was enough,
/// and no token tells it: `None`.
fn release_is_skipped(module: &Module, kernel: &Vermagic) -> Option<bool> {
    if kernel.has(TokenKind::Modversions) {
        return Some(module.versions.basic.is_some() && module.versions.visible);
    }
    let base = kernel.release_parts().map(|release| release.base).unwrap_or_default();
    let numbers: Vec<u32> = base.split('.').map_while(|n| n.parse().ok()).collect();
    match numbers.as_slice() {
        [2, 6, sublevel, ..] if (9..=25).contains(sublevel) => None,
        _ => Some(false),
    }
}
