//! Kernels of which little is known: a version magic, or one of their modules. Known facts decide; unknown facts are named.

use std::path::Path;

use kmodlab::kernel::{Kernel, Lookup, named};
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::predict::errno::{EKEYREJECTED, ENOEXEC, EPERM};
use kmodlab::predict::{Decision, Force, LoaderStep};

use crate::predict::kernels::debian;
use crate::predict::{assert_refused, assert_unknown, fixture, hello, insmod};

fn kernel(name: &str) -> Kernel {
    named(name.as_ref(), &Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }).unwrap()
}

fn module(name: &str) -> Kernel {
    kernel(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules").join(name).to_str().unwrap())
}

#[test]
fn a_kernel_known_by_its_vermagic_refuses_a_different_vermagic() {
    let verdict = insmod(&hello(&[]), &kernel("vermagic:6.1.0-47-amd64 SMP mod_unload modversions "), Force::None);
    assert_eq!((verdict.answer, verdict.stage, verdict.errno), (Decision::Refused, Some(LoaderStep::Vermagic), None));
    // It does not show whether its kernel requires signatures or is locked down, both of which the loader checks earlier.
    assert_eq!(verdict.errnos, [EKEYREJECTED, EPERM, ENOEXEC]);
    assert_eq!(verdict.undecided, [LoaderStep::Signature, LoaderStep::Elf, LoaderStep::ModuleLayout]);
}

#[test]
fn a_string_that_is_equal_leaves_the_rest_unknown_by_name() {
    let verdict =
        insmod(&hello(&[]), &kernel("vermagic:6.1.0-47-amd64 SMP preempt mod_unload modversions "), Force::None);
    assert_unknown(&verdict, &["machine", "CRC of module_layout", "_printk", "struct module", "signature"]);
}

#[test]
fn a_module_whose_string_ends_with_the_release_is_refused_by_every_kernel() {
    let ends = hello(&[(b"6.1.0-47-amd64 SMP", b"6.1.0-47-amd64\0SMP")]);
    let whole = insmod(&ends, &debian("6.1.0"), Force::None);
    let line = "hello_4: version magic '6.1.0-47-amd64' should be '6.1.0-47-amd64 SMP preempt mod_unload modversions '";
    assert_refused(&whole, LoaderStep::Vermagic, ENOEXEC, &[line]);
    // Of this kernel only the release is known, equal or not: its string has a space after that.
    for release in ["6.1.0-47-amd64", "6.1.9-47-amd64"] {
        let verdict = insmod(&ends, &kernel(&format!("vermagic:{release}")), Force::None);
        assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Vermagic)), "{release}");
    }
}

#[test]
fn a_reference_module_shows_machine_layout_and_crcs() {
    let verdict = insmod(&hello(&[]), &module("hello-4-rt.ko"), Force::None);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::ModuleLayout)));

    let same = insmod(&hello(&[]), &module("exports.ko"), Force::None);
    assert_unknown(&same, &["signature", "param_ops_charp"]);
    let decided = |step| same.findings.iter().any(|f| f.step == step && f.result == kmodlab::predict::StepResult::Pass);
    assert!([LoaderStep::Elf, LoaderStep::ModuleLayout, LoaderStep::Vermagic].into_iter().all(decided));
}

#[test]
fn a_reference_module_of_another_machine_decides_at_once() {
    let verdict = insmod(&fixture("modules/s390x.ko"), &module("hello-4.ko"), Force::None);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Elf)));
}

#[test]
fn a_module_does_not_vouch_for_itself() {
    let verdict = insmod(&hello(&[]), &module("hello-4.ko"), Force::None);
    assert_unknown(&verdict, &["machine", "CRC of module_layout", "_printk, param_ops_charp", "struct module"]);
}
