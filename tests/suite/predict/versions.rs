//! The same module with the same fault on kernels of different versions, and the answer of each.

use kmodlab::predict::errno::*;
use kmodlab::predict::{Decision, Force, LoaderStep};

use crate::predict::kernels::{debian, upstream, with_option, without_export};
use crate::predict::{assert_refused, hello, insmod};

/// The offset of a section's header in the file, by the section's name.
fn header_of(bytes: &[u8], name: &str) -> usize {
    let number =
        |at: usize, size: usize| bytes[at..at + size].iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let (table, count, names) = (number(40, 8), number(60, 2), number(62, 2));
    let names = number(table + names * 64 + 24, 8);
    let named = |header: &usize| {
        let at = names + number(*header, 4);
        bytes[at..].starts_with(format!("{name}\0").as_bytes())
    };
    (0..count).map(|index| table + index * 64).find(named).expect("a section of that name")
}

#[test]
fn an_unknown_symbol_has_an_error_number_since_2_6_35_and_the_right_one_since_4_15() {
    for (version, line) in [
        ("2.6.34", "hello_4: Unknown symbol _printk"),
        ("3.16.0", "hello_4: Unknown symbol _printk (err 0)"),
        ("4.14.0", "hello_4: Unknown symbol _printk (err 0)"),
        ("4.19.0", "hello_4: Unknown symbol _printk (err -2)"),
        ("6.1.0", "hello_4: Unknown symbol _printk (err -2)"),
    ] {
        let verdict = insmod(&hello(&[]), &without_export(upstream(version), "_printk"), Force::None);
        assert_eq!((verdict.stage, verdict.errno), (Some(LoaderStep::Symbols), Some(ENOENT)), "{version}");
        assert_eq!(verdict.dmesg.last().map(String::as_str), Some(line), "{version}");
    }
}

#[test]
fn a_missing_crc_refuses_on_debian_and_warns_upstream() {
    let crcless = hello(&[(b"param_ops_charp\0\0", b"qaram_ops_charp\0\0")]);
    let refused = insmod(&crcless, &debian("6.1.0"), Force::None);
    assert_eq!((refused.stage, refused.errno), (Some(LoaderStep::Symbols), Some(EINVAL)));
    assert!(refused.dmesg.contains(&"hello_4: no symbol version for param_ops_charp".to_owned()));

    let warned = insmod(&crcless, &upstream("6.1.0"), Force::None);
    assert_eq!(warned.answer, Decision::Accepted);
    assert!(warned.dmesg.contains(&"hello_4: no symbol version for param_ops_charp".to_owned()));

    let unknown = {
        let mut kernel = upstream("6.1.0");
        kernel.facts.banner = None;
        insmod(&crcless, &kernel, Force::None)
    };
    assert_eq!(unknown.answer, Decision::Unknown, "it is not known who built it");
}

#[test]
fn the_builder_and_not_the_compiler_shows_the_distribution() {
    let crcless = hello(&[(b"param_ops_charp\0\0", b"qaram_ops_charp\0\0")]);
    let compiler = "(gcc (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40)";
    for (builder, package, answer) in [
        ("debian-kernel@lists.debian.org", "SMP PREEMPT_DYNAMIC Debian 6.1.159-1 (2025-12-30)", Decision::Refused),
        ("build@proxmox", "SMP PREEMPT_DYNAMIC PMX 6.8.12-4 (2024-11-06T15:04Z)", Decision::Accepted),
        ("me@home", "SMP PREEMPT_DYNAMIC Sat Nov 11 10:00:00 CET 2023", Decision::Accepted),
        ("serge@raspberrypi.com", "SMP PREEMPT Debian 1:6.12.75-1+rpt1 (2026-03-11)", Decision::Unknown),
        ("devel@kali.org", "SMP PREEMPT_DYNAMIC Kali 6.18.12-1kali1 (2026-02-25)", Decision::Unknown),
    ] {
        let mut kernel = upstream("6.1.0");
        let banner = &mut kernel.facts.banner.as_mut().unwrap().value;
        *banner = format!("Linux version 6.1.0-47-amd64 ({builder}) {compiler} #1 {package}");
        let verdict = insmod(&crcless, &kernel, Force::None);
        assert_eq!(verdict.answer, answer, "{builder}");
        let said = verdict.dmesg.iter().any(|line| line == "hello_4: no symbol version for param_ops_charp");
        assert_eq!(said, answer != Decision::Unknown, "{builder}");
    }
}

#[test]
fn the_size_of_struct_module_is_checked_since_6_4() {
    let short = {
        let mut bytes = hello(&[]);
        let at = header_of(&bytes, ".gnu.linkonce.this_module") + 32;
        bytes[at..at + 8].copy_from_slice(&0x340_u64.to_le_bytes());
        bytes
    };
    let line = "module hello_4: .gnu.linkonce.this_module section size must match the kernel's built struct module size \
                at run time";
    for version in ["6.4.0", "6.6.0", "6.14.0"] {
        assert_refused(&insmod(&short, &debian(version), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
    }
    for version in ["5.10.0", "6.1.0"] {
        assert_ne!(insmod(&short, &debian(version), Force::None).stage, Some(LoaderStep::Elf), "{version}");
    }
}

#[test]
fn two_modinfo_sections_are_one_too_many_since_6_4() {
    let two = {
        let mut bytes = hello(&[]);
        let name = header_of(&bytes, ".modinfo");
        let other = header_of(&bytes, ".bss");
        let offset: [u8; 4] = bytes[name..name + 4].try_into().unwrap();
        bytes[other..other + 4].copy_from_slice(&offset);
        bytes
    };
    let line = "Only one .modinfo section must exist.";
    assert_refused(&insmod(&two, &debian("6.6.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
    assert_eq!(insmod(&two, &debian("6.1.0"), Force::None).answer, Decision::Accepted, "the first of them counts");
}

#[test]
fn a_stripped_module_is_reported() {
    let stripped = {
        let mut bytes = hello(&[]);
        let at = header_of(&bytes, ".symtab") + 4;
        bytes[at] = 1;
        bytes
    };
    let line = "hello_4: module has no symbols (stripped?)";
    for version in ["5.4.0", "5.10.0", "6.1.0", "6.6.0", "6.14.0"] {
        assert_refused(&insmod(&stripped, &debian(version), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
    }
}

#[test]
fn what_is_wrong_with_a_header_is_silent_then_one_line_then_a_line_each() {
    let broken =
        hello(&[(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0")]);
    for (version, lines) in [
        ("5.4.0", &[][..]),
        ("5.10.262", &["Module has invalid ELF structures"]),
        ("6.1.0", &["Invalid ELF header type: 3 != 1"]),
        ("7.2.0", &["Invalid ELF header type: 3 != 1"]),
    ] {
        assert_refused(&insmod(&broken, &debian(version), Force::None), LoaderStep::Elf, ENOEXEC, lines);
    }
}

#[test]
fn writable_and_executable_is_refused_where_the_kernel_is_strict() {
    let both = {
        let mut bytes = hello(&[]);
        let at = header_of(&bytes, ".text") + 8;
        bytes[at] |= 1;
        bytes
    };
    let verdict = insmod(&both, &debian("5.10.0"), Force::None);
    assert_eq!((verdict.stage, verdict.errno), (Some(LoaderStep::Sections), Some(ENOEXEC)));
    let line = verdict.dmesg.last().unwrap();
    assert!(line.starts_with("hello_4: section .text (index ") && line.ends_with(") has invalid WRITE|EXEC flags"));
    let lenient = with_option(debian("5.10.0"), "STRICT_MODULE_RWX", false);
    assert_eq!(insmod(&both, &lenient, Force::None).answer, Decision::Accepted);
}

#[test]
fn taints_of_origin_come_before_that_check_up_to_6_3_and_after_it_since() {
    let both = {
        let mut bytes = hello(&[]);
        let at = header_of(&bytes, ".text") + 8;
        bytes[at] |= 1;
        bytes
    };
    assert_eq!(insmod(&both, &debian("6.1.0"), Force::None).taint.as_deref(), Some("O"));
    assert_eq!(insmod(&both, &debian("6.6.0"), Force::None).taint.as_deref(), Some(""));
}

#[test]
fn a_test_module_taints_since_6_0() {
    let test = hello(&[(b"version=0.4", b"test=Y\0x=.4")]);
    assert_eq!(insmod(&test, &debian("5.10.0"), Force::None).taint.as_deref(), Some("OE"));
    assert_eq!(insmod(&test, &debian("6.1.0"), Force::None).taint.as_deref(), Some("OEN"));
}

#[test]
fn a_section_after_the_end_has_a_message_in_every_kernel() {
    let beyond = {
        let mut bytes = hello(&[]);
        let at = header_of(&bytes, ".text") + 24;
        bytes[at..at + 8].copy_from_slice(&0x100000_u64.to_le_bytes());
        bytes
    };
    let truncated = format!("Module len {} truncated", beyond.len());
    for (version, lines) in [
        ("5.4.0", &[truncated.as_str()][..]),
        ("5.10.262", &["Invalid ELF section in module (section 2 type 1)", "Module has invalid ELF structures"]),
        ("6.1.0", &["Invalid ELF section in module (section 2 type 1)"]),
        ("6.14.0", &["Invalid ELF section in module (section 2 type 1)"]),
    ] {
        assert_refused(&insmod(&beyond, &debian(version), Force::None), LoaderStep::Elf, ENOEXEC, lines);
    }
}

#[test]
fn from_4_20_to_5_9_the_signature_is_checked_after_the_elf_header() {
    let broken =
        hello(&[(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0")]);
    for (version, step) in
        [("4.19.0", LoaderStep::Signature), ("5.4.0", LoaderStep::Elf), ("5.10.0", LoaderStep::Signature)]
    {
        let kernel = with_option(upstream(version), "MODULE_SIG_FORCE", true);
        assert_eq!(insmod(&broken, &kernel, Force::None).stage, Some(step), "{version}");
    }
}
