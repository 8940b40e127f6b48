//! `struct module` of a kernel of which no type information and no other module is known: an equal CRC of `module_layout`
//! proves that the module has the same structure, since genksyms computes that CRC from all its members.

use kmodlab::kernel::Kernel;
use kmodlab::predict::{Decision, Force, LoadOptions};

use crate::predict::kernels::{debian, upstream, with_export};
use crate::predict::{assert_accepted, assert_unknown, hello, insmod, judge};

const OUT_OF_TREE: &str = "hello_4: loading out-of-tree module taints kernel.";
const UNSIGNED: &str = "hello_4: module verification failed: signature and/or required key missing - tainting kernel";
const OPEN: &[&str] = &["is struct module the same as the kernel's?"];

/// A kernel known from an image without types: only its exports.
fn bare(mut kernel: Kernel) -> Kernel {
    (kernel.facts.fingerprint, kernel.facts.layout) = (None, None);
    kernel
}

#[test]
fn an_equal_crc_proves_the_layout() {
    for kernel in [upstream("5.11.22"), upstream("5.4.0"), debian("6.1.0"), upstream("6.12.9")] {
        let verdict = insmod(&hello(&[]), &bare(kernel), Force::None);
        assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED]);
    }
}

#[test]
fn a_symbol_without_a_crc_is_a_line_upstream_and_no_more() {
    // Built by Debian's compiler, but not by Debian.
    let module = hello(&[(b"param_ops_charp\0", b"param_ops_charq\0")]);
    let verdict = insmod(&module, &bare(upstream("5.11.22")), Force::None);
    assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED, "hello_4: no symbol version for param_ops_charp"]);
}

#[test]
fn an_equal_crc_proves_the_layout_of_a_forced_module() {
    let verdict = insmod(&hello(&[]), &bare(upstream("5.11.22")), Force::Both);
    assert_eq!((verdict.answer, verdict.taint.as_deref()), (Decision::Accepted, Some("FOE")), "{verdict:#?}");
}

#[test]
fn another_crc_proves_nothing() {
    let kernel = with_export(bare(upstream("5.11.22")), "module_layout", |export| export.crc = Some(1));
    assert_unknown(&insmod(&hello(&[]), &kernel, Force::Both), OPEN);
    let kernel = with_export(bare(upstream("5.11.22")), "module_layout", |export| export.crc = None);
    assert_unknown(&insmod(&hello(&[]), &kernel, Force::None), OPEN);
}

#[test]
fn a_module_that_was_patched_proves_nothing_by_its_crcs() {
    let marked = hello(&[(b"author=The kmodlab fixtures", b"kmodlab_patched=0123456789a")]);
    assert_unknown(&insmod(&marked, &bare(upstream("5.11.22")), Force::None), OPEN);
    // A module without a mark whose patch is recorded in the journal.
    let load = LoadOptions { is_patched: true, alone: true, ..LoadOptions::default() };
    assert_unknown(&judge(&hello(&[]), &bare(upstream("5.11.22")), load), OPEN);
    let size = "has struct module the size that it has in the kernel?";
    assert_unknown(&judge(&hello(&[]), &bare(upstream("6.12.9")), load), &[size, OPEN[0]]);
}

#[test]
fn without_symbol_versions_it_stays_open() {
    let unversioned = hello(&[(b"__versions", b"__verzions")]);
    assert_unknown(&insmod(&unversioned, &bare(upstream("5.11.22")), Force::Both), OPEN);
}
