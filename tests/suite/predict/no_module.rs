//! Files that are not modules: text, nothing, programs, truncated headers. Every kernel refuses them; errno and line depend on
//! the version. The lines of 5.10, 6.1, 6.12 and 7.2 are those that booted kernels printed (`tests/guests/machines`).

use kmodlab::kernel::{Kernel, Lookup, named};
use kmodlab::module::container::{Container, DEFAULT_MAX_SIZE};
use kmodlab::predict::errno::{EINVAL, EKEYREJECTED, ENOEXEC};
use kmodlab::predict::{Candidate, Decision, Force, LoadOptions, Loader, LoaderStep, PatchHelps, predict};

use crate::predict::kernels::{debian, upstream, with_option};
use crate::predict::{assert_refused, fixture, hello, insmod};

const TEXT: &[u8] = b"no module\n";
const OLD: &str = "Module has invalid ELF structures";
const MAGIC: &str = "Invalid ELF header magic: != \x7fELF";

fn string(release: &str) -> Kernel {
    let name = format!("vermagic:{release}");
    named(name.as_ref(), &Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }).unwrap()
}

/// A program for x86-64.
fn program() -> Vec<u8> {
    let mut bytes = hello(&[]);
    bytes[16] = 2;
    bytes
}

#[test]
fn text_that_is_shorter_than_a_header() {
    assert_refused(&insmod(TEXT, &upstream("4.19.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[]);
    assert_refused(&insmod(TEXT, &upstream("5.11.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[OLD]);
    for kernel in [debian("6.1.0"), debian("6.12.0"), debian("7.2.0")] {
        assert_refused(&insmod(TEXT, &kernel, Force::Both), LoaderStep::Elf, ENOEXEC, &["Invalid ELF header len 10"]);
    }
}

#[test]
fn text_that_is_longer() {
    let page = fixture("hostile/html-page.ko");
    assert_refused(&insmod(&page, &upstream("4.19.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[]);
    assert_refused(&insmod(&page, &upstream("5.11.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[OLD]);
    assert_refused(&insmod(&page, &debian("6.1.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[MAGIC]);
}

#[test]
fn another_magic() {
    let other = hello(&[(b"\x7fELF", b"\x7fFLF")]);
    assert_refused(&insmod(&other, &debian("6.12.0"), Force::Both), LoaderStep::Elf, ENOEXEC, &[MAGIC]);
}

#[test]
fn a_program() {
    let line = "Invalid ELF header type: 2 != 1";
    assert_refused(&insmod(&program(), &debian("6.12.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
}

#[test]
fn a_header_that_is_cut_short() {
    let cut = &hello(&[])[..60];
    assert_refused(
        &insmod(cut, &debian("6.12.0"), Force::None),
        LoaderStep::Elf,
        ENOEXEC,
        &["Invalid ELF header len 60"],
    );
}

#[test]
fn nothing_at_all_is_not_even_read() {
    for kernel in [upstream("4.19.0"), debian("5.10.0"), debian("6.12.0"), string("3.10.0"), string("6.1.0")] {
        assert_refused(&insmod(&[], &kernel, Force::Both), LoaderStep::Elf, EINVAL, &[]);
    }
    assert_refused(&insmod(&[], &string("3.7.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[]);
    // The version cannot be determined from this string.
    let verdict = insmod(&[], &string("vendor-tree"), Force::None);
    assert_eq!((verdict.answer, verdict.errno, verdict.errnos), (Decision::Refused, None, vec![ENOEXEC, EINVAL]));
}

#[test]
fn a_kernel_that_insists_on_signatures_says_so_first_where_it_looks_at_them_first() {
    let kernel = with_option(upstream("5.4.0"), "MODULE_SIG_FORCE", true);
    assert_refused(&insmod(TEXT, &kernel, Force::None), LoaderStep::Elf, ENOEXEC, &[]);
    let kernel = with_option(upstream("6.12.0"), "MODULE_SIG_FORCE", true);
    let line = "Loading of unsigned module is rejected";
    assert_refused(&insmod(TEXT, &kernel, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn a_string_decides_too() {
    assert_refused(&insmod(&[7; 100], &string("3.2.0 SMP"), Force::None), LoaderStep::Elf, ENOEXEC, &[]);
    let verdict = insmod(&[7; 100], &string("6.1.0 SMP mod_unload aarch64"), Force::None);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Elf)));
    assert_eq!(verdict.dmesg, [MAGIC]);
    assert_eq!(verdict.patch_helps(), PatchHelps::No);
}

#[test]
fn a_line_that_depends_on_unknown_facts_is_undecided() {
    let is_open = |bytes: &[u8], release: &str| {
        let verdict = insmod(bytes, &string(release), Force::None);
        assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Elf)));
        verdict.undecided.contains(&LoaderStep::Elf)
    };
    // Whether 60 bytes are enough for a header, and how the number of a type is read, depends on the architecture.
    assert!(is_open(&[7; 60], "6.1.0") && is_open(&program(), "6.1.0"));
    assert!(!is_open(&[7; 40], "6.1.0") && !is_open(&[7; 64], "6.1.0"));
    // The sources of 5.12 to 5.15 were not read.
    assert!(is_open(&[7; 64], "5.13.0"));
}

#[test]
fn a_compressed_file_is_judged_by_what_is_inside() {
    let judge = |name: &str| {
        let (file, mut bytes) = (fixture(name), Vec::new());
        let packing = Container::of(&file).unpack(&mut bytes, &file, DEFAULT_MAX_SIZE).unwrap();
        let load = LoadOptions { loader: Loader::Kernel, alone: true, ..LoadOptions::default() };
        let kernel = with_option(upstream("6.12.0"), "MODULE_DECOMPRESS", true);
        let kernel = with_option(kernel, "MODULE_COMPRESS_GZIP", true);
        predict(&Candidate { bytes: &bytes, module: None, packing: Some(&packing) }, &kernel, &load)
    };
    assert_refused(&judge("hostile/gzip-of-text.ko.gz"), LoaderStep::Elf, ENOEXEC, &["Invalid ELF header len 42"]);
    assert_refused(&judge("hostile/nested.ko.gz"), LoaderStep::Elf, ENOEXEC, &[MAGIC]);
}
