//! The load flags: the checks that the kernel is asked to skip, and the consequences.

use kmodlab::predict::errno::*;
use kmodlab::predict::{Decision, Force, LoaderStep};

use crate::predict::kernels::{debian, with_export, with_option};
use crate::predict::{assert_accepted, assert_refused, hello, insmod};

const OUT_OF_TREE: &str = "hello_4: loading out-of-tree module taints kernel.";
const UNSIGNED: &str = "hello_4: module verification failed: signature and/or required key missing - tainting kernel";

#[test]
fn forcing_vermagic_passes_it_and_taints() {
    let other = hello(&[(b"SMP preempt", b"SMP preemqt")]);
    let lines = ["hello_4: bad vermagic: kernel tainted.", OUT_OF_TREE, UNSIGNED];
    assert_accepted(&insmod(&other, &debian("6.1.0"), Force::Vermagic), "FOE", &lines);
}

#[test]
fn forcing_only_vermagic_is_pointless_if_symbol_versions_differ() {
    let kernel = with_export(debian("6.1.0"), "module_layout", |export| export.crc = Some(1));
    let line = "hello_4: disagrees about version of symbol module_layout";
    assert_refused(&insmod(&hello(&[]), &kernel, Force::Vermagic), LoaderStep::ModuleLayout, ENOEXEC, &[line]);
}

#[test]
fn forcing_both_reports_module_layout_first_and_once() {
    let kernel = with_export(debian("6.1.0"), "module_layout", |export| export.crc = Some(1));
    let lines = ["hello_4: module_layout: kernel tainted.", OUT_OF_TREE, UNSIGNED];
    assert_accepted(&insmod(&hello(&[]), &kernel, Force::Both), "FOE", &lines);
}

#[test]
fn ignoring_symbol_versions_makes_the_release_count_again() {
    let kernel = debian("6.1.9");
    assert_eq!(insmod(&hello(&[]), &kernel, Force::None).answer, Decision::Accepted);
    let verdict = insmod(&hello(&[]), &kernel, Force::Modversions);
    assert_eq!((verdict.stage, verdict.taint.as_deref()), (Some(LoaderStep::Vermagic), Some("F")));
    assert_eq!(insmod(&hello(&[]), &kernel, Force::Both).answer, Decision::Accepted);
}

#[test]
fn a_kernel_that_can_not_be_forced_refuses_in_silence() {
    let kernel = with_option(debian("6.1.0"), "MODULE_FORCE_LOAD", false);
    assert_refused(&insmod(&hello(&[]), &kernel, Force::Vermagic), LoaderStep::Vermagic, ENOEXEC, &[]);
    assert_refused(&insmod(&hello(&[]), &kernel, Force::Modversions), LoaderStep::ModuleLayout, ENOEXEC, &[]);
    assert_refused(&insmod(&hello(&[]), &kernel, Force::Both), LoaderStep::ModuleLayout, ENOEXEC, &[]);
}

#[test]
fn a_kernel_without_symbol_versions_has_nothing_to_ignore() {
    let mut kernel = debian("7.2.0");
    kernel.vermagic.as_mut().unwrap().value =
        kmodlab::vermagic::Vermagic::parse(b"6.1.0-47-amd64 SMP preempt mod_unload modversions ");
    let without = kmodlab::vermagic::Vermagic::parse(b"7.2.0-47-amd64 SMP preempt mod_unload ");
    kernel.vermagic.as_mut().unwrap().value = without;
    let verdict = insmod(&hello(&[]), &kernel, Force::Modversions);
    assert_eq!((verdict.stage, verdict.taint.as_deref()), (Some(LoaderStep::Vermagic), Some("")));
    let lines = ["hello_4: bad vermagic: kernel tainted.", OUT_OF_TREE, UNSIGNED];
    assert_accepted(&insmod(&hello(&[]), &kernel, Force::Vermagic), "FOE", &lines);
}
