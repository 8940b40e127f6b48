//! "Would a patch help?", for each way of patching.

use kmodlab::predict::{Decision, Force, LoaderStep, PatchHelps, Verdict};

use crate::predict::kernels::{debian, with_export, with_option};
use crate::predict::{hello, insmod};

fn helps(verdict: &Verdict) -> [PatchHelps; 2] {
    verdict.patched.each_ref().map(|patched| patched.helps)
}

#[test]
fn no_patch_is_needed_if_the_module_loads() {
    assert_eq!(helps(&insmod(&hello(&[]), &debian("6.1.0"), Force::None)), [PatchHelps::No; 2]);
}

#[test]
fn a_patch_is_pointless_if_the_kernel_does_not_check_what_differs() {
    assert_eq!(helps(&insmod(&hello(&[]), &debian("6.1.9"), Force::None))[0], PatchHelps::Pointless);
}

#[test]
fn a_patch_helps_if_vermagic_is_the_only_obstacle() {
    let verdict = insmod(&hello(&[(b"SMP preempt", b"SMP preemqt")]), &debian("6.1.0"), Force::None);
    assert_eq!(helps(&verdict), [PatchHelps::Yes; 2]);
    let [rewritten, blanked] = &verdict.patched;
    assert_eq!((rewritten.verdict, rewritten.note.as_str()), (Decision::Accepted, "it would load, and taint OE"));
    assert_eq!((blanked.verdict, blanked.note.as_str()), (Decision::Accepted, "it would load, and taint FOE"));
}

#[test]
fn blanking_needs_a_kernel_that_can_be_forced() {
    let kernel = with_option(debian("6.1.0"), "MODULE_FORCE_LOAD", false);
    let verdict = insmod(&hello(&[(b"SMP preempt", b"SMP preemqt")]), &kernel, Force::None);
    assert_eq!(helps(&verdict), [PatchHelps::Yes, PatchHelps::Insufficient]);
}

#[test]
fn a_patch_is_insufficient_if_there_is_another_obstacle() {
    let kernel = with_export(debian("6.1.0"), "_printk", |export| export.crc = Some(7));
    let verdict = insmod(&hello(&[(b"SMP preempt", b"SMP preemqt")]), &kernel, Force::None);
    assert_eq!(helps(&verdict), [PatchHelps::Insufficient; 2]);
    let [rewritten, _] = &verdict.patched;
    assert_eq!(rewritten.stage, Some(LoaderStep::Symbols));
    assert_eq!(rewritten.note, "1 of 2 CRCs differ: _printk");
}
