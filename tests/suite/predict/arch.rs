//! Each architecture's loader has its own relocations, sections, header checks, errnos and log lines.

use std::collections::HashMap;

use kmodlab::kernel::{Config, Export, Exports, Fact, Facts, Kernel, Machine, ModuleTree};
use kmodlab::module::elf::{Class, Endian};
use kmodlab::module::this_module::ModuleLayout;
use kmodlab::predict::errno::*;
use kmodlab::predict::{Decision, Force, LoaderStep, Verdict};
use kmodlab::vermagic::Vermagic;

use crate::make::relocatable::Relocatable;
use crate::make::special::Special;
use crate::predict::{assert_accepted, assert_refused, assert_unknown, insmod};

fn fact<T>(value: T) -> Option<Fact<T>> {
    Some(Fact { value, source: "this test".into() })
}

/// A kernel for an architecture, without symbol versions and signatures, that exports `_printk`.
fn kernel(arch: &str, version: &str) -> Kernel {
    let (class, endian, number) = match arch {
        "x86" => (Class::Elf64, Endian::Little, 62),
        "i386" => (Class::Elf32, Endian::Little, 3),
        "arm" => (Class::Elf32, Endian::Little, 40),
        "arm64" => (Class::Elf64, Endian::Little, 183),
        "riscv" => (Class::Elf64, Endian::Little, 243),
        "s390" => (Class::Elf64, Endian::Big, 22),
        "mips" => (Class::Elf32, Endian::Big, 8),
        "mips64" => (Class::Elf64, Endian::Little, 8),
        "ppc64le" => (Class::Elf64, Endian::Little, 21),
        _ => panic!("no machine for {arch}"),
    };
    let fingerprint = match class {
        Class::Elf64 => ModuleLayout { size: 0x300, init: Some(0x138), exit: Some(0x2d8) },
        Class::Elf32 => ModuleLayout { size: 0x200, init: Some(0xa8), exit: Some(0x1e4) },
    };
    let vermagic = Vermagic::parse(format!("{version} SMP mod_unload ").as_bytes());
    let printk = Export { crc: None, gpl_only: Some(false), namespace: Some(String::new()) };
    let config = ["DYNAMIC_FTRACE", "ARM64_MODULE_PLTS", "ARM_MODULE_PLTS", "MODULE_SECTIONS", "STRICT_MODULE_RWX"];
    let config: Config = config.map(|option| (option.to_owned(), "y".to_owned())).into();
    let facts = Facts {
        release: fact(version.to_owned()),
        banner: fact(format!("Linux version {version} (builder@example.org) #1 SMP")),
        vermagic: fact(vermagic.clone()),
        machine: fact(Machine { class, endian, number }),
        fingerprint: fact(fingerprint),
        exports: fact(Exports { symbols: HashMap::from([("_printk".to_owned(), printk)]), complete: true }),
        tree: fact(ModuleTree::default()),
        config: fact(config),
        ..Facts::default()
    };
    Kernel { name: version.into(), vermagic: fact(vermagic), facts }
}

/// A module for the kernel of that version, with a change.
fn module(arch: &'static str, version: &str, change: impl FnOnce(&mut Relocatable)) -> Vec<u8> {
    let mut module = Relocatable::new(arch, &format!("{version} SMP mod_unload "));
    change(&mut module);
    module.bytes().unwrap()
}

/// The kernel's verdict for one of its own modules with an additional relocation against `_printk`.
fn with_type(arch: &'static str, version: &str, kind: u32) -> Verdict {
    let bytes = module(arch, version, |module| module.relocation = Some(("_printk", kind, 0, 32)));
    insmod(&bytes, &kernel(arch, version), Force::None)
}

/// The verdict for a module with any change.
fn asked(arch: &'static str, version: &str, change: impl FnOnce(&mut Relocatable)) -> Verdict {
    insmod(&module(arch, version, change), &kernel(arch, version), Force::None)
}

const ALL: [(&str, &str); 9] = [
    ("x86", "6.12.9"),
    ("i386", "6.1.9"),
    ("arm", "6.12.9"),
    ("arm64", "6.12.9"),
    ("riscv", "6.12.9"),
    ("s390", "6.12.9"),
    ("mips", "6.1.9"),
    ("mips64", "6.1.9"),
    ("ppc64le", "6.12.9"),
];

#[test]
fn a_module_as_kbuild_makes_it_is_accepted_by_its_own_kernel() {
    for (arch, version) in ALL {
        let verdict = asked(arch, version, |_| {});
        assert_eq!(verdict.answer, Decision::Accepted, "{arch}: {verdict:#?}");
        assert_accepted(&verdict, "", &[]);
    }
}

#[test]
fn an_unknown_relocation_type_has_the_errno_and_the_line_of_its_architecture() {
    for (arch, version, kind, errno, line) in [
        ("x86", "6.12.9", 42, ENOEXEC, "module: demo: Unknown rela relocation: 42"),
        ("x86", "5.4.1", 9, ENOEXEC, "module: demo: Unknown rela relocation: 9"),
        ("i386", "6.1.9", 10, ENOEXEC, "module: demo: Unknown relocation: 10"),
        ("i386", "6.1.9", 0, ENOEXEC, "module: demo: Unknown relocation: 0"),
        ("i386", "6.1.9", 3, ENOEXEC, "module: demo: Unknown relocation: 3"),
        ("arm", "6.12.9", 102, ENOEXEC, "demo: unknown relocation: 102"),
        ("arm64", "6.1.9", 311, ENOEXEC, "module demo: unsupported RELA relocation: 311"),
        ("arm64", "6.12.9", 311, ENOEXEC, "Modules: module demo: unsupported RELA relocation: 311"),
        ("arm64", "6.12.9", 9999, ENOEXEC, "Modules: module demo: unsupported RELA relocation: 9999"),
        ("riscv", "6.1.9", 57, EINVAL, "demo: Unknown relocation type 57"),
        ("riscv", "6.12.9", 0, EINVAL, "demo: Unknown relocation type 0"),
        ("s390", "6.12.9", 200, ENOEXEC, "module demo: unknown relocation: 200"),
        ("mips", "6.1.9", 250, EINVAL, "demo: Unknown relocation type 250"),
        ("ppc64le", "6.12.9", 200, ENOEXEC, "module_64: demo: Unknown ADD relocation: 200"),
    ] {
        assert_refused(&with_type(arch, version, kind), LoaderStep::Relocations, errno, &[line]);
    }
}

#[test]
fn a_type_that_a_later_version_knows_is_not_decided_between_the_two_that_were_read() {
    assert_unknown(&with_type("riscv", "6.6.9", 57), &["type 57"]);
    assert_eq!(with_type("riscv", "6.12.9", 57).answer, Decision::Accepted);
    assert_unknown(&with_type("x86", "4.4.9", 4), &["type 4"]);
    assert_eq!(with_type("x86", "4.16.1", 4).answer, Decision::Accepted);
    assert_unknown(&with_type("x86", "4.19.9", 24), &["type 24"]);
    let lines = ["module: demo: Unknown rela relocation: 24"];
    assert_refused(&with_type("x86", "4.14.9", 24), LoaderStep::Relocations, ENOEXEC, &lines);
}

#[test]
fn some_relocation_types_are_refused_silently_or_with_a_specific_message() {
    assert_refused(&with_type("s390", "6.12.9", 9), LoaderStep::Relocations, ENOEXEC, &[]);
    let line = "demo: Dynamic linking not supported in kernel modules PC = ";
    assert_refused(&with_type("riscv", "6.12.9", 4), LoaderStep::Relocations, EINVAL, &[line]);
    let line = "demo: Unknown relocation type 4";
    assert_refused(&with_type("riscv", "6.1.9", 4), LoaderStep::Relocations, EINVAL, &[line]);
    let line = "demo: The unexpected relocation type 'R_RISCV_ALIGN' from PC = ";
    assert_refused(&with_type("riscv", "6.12.9", 43), LoaderStep::Relocations, EINVAL, &[line]);
}

#[test]
fn a_value_that_does_not_fit_for_certain_is_refused() {
    let far = |arch, version, kind, addend| {
        asked(arch, version, |module| module.relocation = Some(("_printk", kind, addend, 32)))
    };
    // A 64-bit address in 32 bits, and a distance that exceeds that of any kernel.
    let line = "Modules: module demo: overflow in relocation type 258 val ";
    assert_refused(&far("arm64", "6.12.9", 258, 0), LoaderStep::Relocations, ENOEXEC, &[line]);
    let line = "Modules: module demo: overflow in relocation type 261 val ";
    assert_refused(&far("arm64", "6.12.9", 261, 1 << 40), LoaderStep::Relocations, ENOEXEC, &[line]);
    assert_eq!(far("arm64", "6.12.9", 261, 0).answer, Decision::Accepted);
    let line = "demo: target ";
    assert_refused(&far("riscv", "6.12.9", 23, 1 << 40), LoaderStep::Relocations, EINVAL, &[line]);
    let line = "module demo: relocation error for symbol _printk (r_type 20, value 0x";
    assert_refused(&far("s390", "6.12.9", 20, 1), LoaderStep::Relocations, ENOEXEC, &[line]);
    let line = "module: overflow in relocation type 10 val ";
    assert_refused(&far("x86", "6.12.9", 10, 0), LoaderStep::Relocations, ENOEXEC, &[line]);
}

#[test]
fn a_value_at_the_border_is_not_decided() {
    let verdict = asked("arm64", "6.12.9", |module| module.relocation = Some(("_printk", 261, 0x7800_0000, 32)));
    assert_unknown(&verdict, &["does the value of a relocation of type 261 fit?"]);
}

#[test]
fn an_unresolved_weak_symbol_is_zero_and_out_of_range() {
    let weak = |arch, version, kind| {
        asked(arch, version, |module| {
            (module.import, module.is_weak) = (Some("kmodlab_perhaps"), true);
            module.relocation = Some(("kmodlab_perhaps", kind, 0, 32));
        })
    };
    let line = "demo: target 0000000000000000 can not be addressed by the 32-bit offset from PC = ";
    assert_refused(&weak("riscv", "6.12.9", 23), LoaderStep::Relocations, EINVAL, &[line]);
    let line = "Modules: module demo: overflow in relocation type 261 val 0";
    assert_refused(&weak("arm64", "7.2.1", 261), LoaderStep::Relocations, ENOEXEC, &[line]);
    // Through an entry that the loader makes, or of a type that is not checked.
    for (arch, version, kind) in [("riscv", "6.12.9", 19), ("arm64", "6.12.9", 283), ("x86", "6.12.9", 2)] {
        assert_eq!(weak(arch, version, kind).answer, Decision::Accepted, "{arch}");
    }
}

#[test]
fn sections_that_kbuild_adds_are_asked_for() {
    for (arch, version, section, line) in [
        ("arm64", "6.12.9", ".plt", "demo: module PLT section(s) missing"),
        ("arm64", "6.1.9", ".init.plt", "demo: module PLT section(s) missing"),
        ("arm", "6.12.9", ".plt", "demo: module PLT section(s) missing"),
        ("riscv", "6.12.9", ".got", "demo: module GOT section(s) missing"),
        ("ppc64le", "6.12.9", ".stubs", "module_64: demo: doesn't contain .stubs."),
    ] {
        let verdict = asked(arch, version, |module| module.without = Some(section));
        assert_refused(&verdict, LoaderStep::Sections, ENOEXEC, &[line]);
    }
}

#[test]
fn sections_for_tracing_are_asked_for_last_and_silently() {
    let missing = |version, section| asked("arm64", version, |module| module.without = Some(section));
    for version in ["5.10.9", "6.1.9", "6.12.9"] {
        assert_refused(&missing(version, ".text.ftrace_trampoline"), LoaderStep::Sections, ENOEXEC, &[]);
    }
    // Stable kernels of 5.4 require it since February 2022.
    assert_unknown(&missing("5.4.9", ".text.ftrace_trampoline"), &["does this version ask for it?"]);
    for version in ["4.14.100", "4.19.50", "5.3.1"] {
        assert_eq!(missing(version, ".text.ftrace_trampoline").answer, Decision::Accepted, "{version}");
    }
    assert_refused(&missing("7.2.1", ".init.text.ftrace_trampoline"), LoaderStep::Sections, ENOEXEC, &[]);
    assert_eq!(missing("6.1.9", ".init.text.ftrace_trampoline").answer, Decision::Accepted);
    assert_unknown(&missing("6.6.9", ".init.text.ftrace_trampoline"), &["does this version ask for it?"]);
}

#[test]
fn a_section_for_tracing_is_asked_for_by_the_image_that_has_its_name() {
    let without = module("arm64", "6.12.9", |module| module.without = Some(".init.text.ftrace_trampoline"));
    let ours = kernel("arm64", "6.12.9");
    assert_unknown(&insmod(&without, &ours, Force::None), &["does this version ask for it? (its image)"]);
    let with_texts = |texts: &[&str]| {
        let messages = fact(texts.iter().map(|text| (*text).to_owned()).collect());
        Kernel { facts: Facts { messages, ..ours.facts.clone() }, ..ours.clone() }
    };
    let verdict = insmod(&without, &with_texts(&[".init.text.ftrace_trampoline"]), Force::None);
    assert_refused(&verdict, LoaderStep::Sections, ENOEXEC, &[]);
    assert_eq!(insmod(&without, &with_texts(&[]), Force::None).answer, Decision::Accepted);
}

#[test]
fn sections_that_an_option_asks_for_are_not_asked_for_without_it() {
    let asked = |version, options: &[(&str, Option<bool>)]| {
        let mut ours = kernel("arm64", version);
        for (option, set) in options {
            match set {
                Some(_) => ours.facts.config.as_mut().unwrap().value.remove(*option),
                None => ours.facts.config.take().and(None),
            };
        }
        let without = module("arm64", version, |module| module.without = Some(".text.ftrace_trampoline"));
        insmod(&without, &ours, Force::None)
    };
    for version in ["4.14.100", "5.4.50", "6.1.20"] {
        assert_eq!(asked(version, &[("ARM64_MODULE_PLTS", Some(false))]).answer, Decision::Accepted, "{version}");
        assert_eq!(asked(version, &[("DYNAMIC_FTRACE", Some(false))]).answer, Decision::Accepted, "{version}");
    }
    // Since 6.5 this option does not exist, and each kernel has the tables.
    assert_refused(&asked("6.5.1", &[("ARM64_MODULE_PLTS", Some(false))]), LoaderStep::Sections, ENOEXEC, &[]);
    assert_eq!(asked("6.5.1", &[("DYNAMIC_FTRACE", Some(false))]).answer, Decision::Accepted);
    assert_unknown(&asked("6.1.20", &[("", None)]), &["CONFIG_ARM64_MODULE_PLTS in its configuration"]);
    assert_unknown(&asked("6.5.1", &[("", None)]), &["CONFIG_DYNAMIC_FTRACE in its configuration"]);
}

#[test]
fn a_kernel_without_a_toc_has_relocations_and_sections_of_its_own() {
    let pcrel = |version| {
        let mut ours = kernel("ppc64le", version);
        ours.facts.config.as_mut().unwrap().value.insert("PPC_KERNEL_PCREL".to_owned(), "y".to_owned());
        ours
    };
    let with = |kind, section: Option<&'static str>| {
        module("ppc64le", "6.12.9", |module| {
            module.relocation = Some(("_printk", kind, 0, 32));
            module.with = section;
        })
    };
    for kind in [132, 133, 116] {
        let with_got = with(kind, Some(".mygot"));
        let verdict = insmod(&with_got, &pcrel("6.12.9"), Force::None);
        match kind {
            // The kernel may or may not be more than 34 bits away from its modules.
            132 => assert_unknown(&verdict, &["does the value of a relocation of type 132 fit?"]),
            _ => assert_eq!(verdict.answer, Decision::Accepted, "{verdict:#?}"),
        }
        let line = format!("module_64: demo: Unknown ADD relocation: {kind}");
        assert_refused(
            &insmod(&with_got, &kernel("ppc64le", "6.12.9"), Force::None),
            LoaderStep::Relocations,
            ENOEXEC,
            &[&line],
        );
    }
    let line = "module_64: demo: doesn't contain .mygot.";
    assert_refused(&insmod(&with(133, None), &pcrel("6.12.9"), Force::None), LoaderStep::Sections, ENOEXEC, &[line]);
    for kind in [47, 48, 50, 51, 63, 64, 109] {
        let line = format!("module_64: demo: Unknown ADD relocation: {kind}");
        let verdict = insmod(&with(kind, Some(".mygot")), &pcrel("6.12.9"), Force::None);
        assert_refused(&verdict, LoaderStep::Relocations, ENOEXEC, &[&line]);
    }
    // A call does not need a nop after it, and a dot is part of a name.
    let mut call = with(116, Some(".mygot"));
    let at = call.windows(8).position(|window| window == b"\x01\0\0\x48\0\0\0\x60").unwrap();
    call[at + 4] = 1;
    assert_eq!(insmod(&call, &pcrel("6.12.9"), Force::None).answer, Decision::Accepted);
    let toc = module("ppc64le", "6.12.9", |module| {
        module.import = Some(".TOC.");
        module.with = Some(".mygot");
    });
    let line = "demo: Unknown symbol .TOC. (err -2)";
    assert_refused(&insmod(&toc, &pcrel("6.12.9"), Force::None), LoaderStep::Symbols, ENOENT, &[line]);
    // Without a configuration or an image this is not known.
    let unknown = |version, kind| {
        let ours =
            Kernel { facts: Facts { config: None, ..kernel("ppc64le", version).facts }, ..kernel("ppc64le", version) };
        insmod(&with(kind, Some(".mygot")), &ours, Force::None)
    };
    assert_unknown(&unknown("6.12.9", 133), &["CONFIG_PPC_KERNEL_PCREL"]);
}

#[test]
fn a_module_without_them_has_the_next_check_reported() {
    let verdict = asked("arm64", "6.12.9", |module| {
        module.without = Some(".plt");
        module.relocation = Some(("_printk", 311, 0, 32));
    });
    assert_refused(&verdict, LoaderStep::Sections, ENOEXEC, &["demo: module PLT section(s) missing"]);
    let note = &verdict.findings.iter().find(|finding| finding.step == LoaderStep::Sections).unwrap().note;
    assert!(note.contains("unsupported RELA relocation: 311"), "{note}");
}

#[test]
fn toc_is_no_import_and_one_leading_dot_is_dropped() {
    let import = |name| asked("ppc64le", "6.12.9", |module| module.import = Some(name));
    assert_eq!(import(".TOC.").answer, Decision::Accepted);
    assert_eq!(import("._printk").answer, Decision::Accepted);
    let line = "demo: Unknown symbol nowhere (err -2)";
    assert_refused(&import(".nowhere"), LoaderStep::Symbols, ENOENT, &[line]);
    let line = "demo: Unknown symbol .twice (err -2)";
    assert_refused(&import("..twice"), LoaderStep::Symbols, ENOENT, &[line]);
    // On other architectures a dot is part of the name.
    let verdict = asked("arm64", "6.12.9", |module| module.import = Some("._printk"));
    assert_refused(&verdict, LoaderStep::Symbols, ENOENT, &["demo: Unknown symbol ._printk (err -2)"]);
}

#[test]
fn a_call_on_ppc64le_needs_a_nop_after_it() {
    // The instruction at this position is not a branch: nothing is restored after it.
    let verdict = asked("ppc64le", "6.12.9", |module| module.relocation = Some(("_printk", 10, 0, 32)));
    assert_eq!(verdict.answer, Decision::Accepted, "{verdict:#?}");
    let mut bytes = module("ppc64le", "6.12.9", |_| {});
    let call = b"\x01\0\0\x48\0\0\0\x60";
    let at = bytes.windows(8).position(|window| window == call).unwrap();
    bytes[at + 4..at + 8].copy_from_slice(&[1, 0, 0, 0x60]);
    let verdict = insmod(&bytes, &kernel("ppc64le", "6.12.9"), Force::None);
    let line = "module_64: demo: Expected nop after call, got 60000001 at ";
    assert_refused(&verdict, LoaderStep::Relocations, ENOEXEC, &[line]);
}

#[test]
fn s390_defines_the_got_itself_and_x86_ignores_it() {
    let got = |arch, version| asked(arch, version, |module| module.import = Some("_GLOBAL_OFFSET_TABLE_"));
    for (arch, version) in [("s390", "6.12.9"), ("x86", "6.12.9"), ("x86", "5.12.0"), ("i386", "5.12.0")] {
        assert_eq!(got(arch, version).answer, Decision::Accepted, "{arch} {version}");
    }
    let line = "demo: Unknown symbol _GLOBAL_OFFSET_TABLE_ (err -2)";
    assert_refused(&got("arm64", "6.12.9"), LoaderStep::Symbols, ENOENT, &[line]);
    for version in ["5.4.0", "5.10.0", "5.11.0", "4.19.172"] {
        assert_refused(&got("x86", version), LoaderStep::Symbols, ENOENT, &[line]);
    }
    for version in ["5.4.103", "5.10.21", "5.11.4", "4.19.179"] {
        assert_eq!(got("x86", version).answer, Decision::Accepted, "{version}");
    }
    assert_unknown(&got("x86", "5.10.17"), &["_GLOBAL_OFFSET_TABLE_"]);
}

#[test]
fn header_flags_are_looked_at_where_the_architecture_does() {
    let flags = |arch, version, flags| asked(arch, version, |module| module.flags = Some(flags));
    let line = "Invalid architecture in ELF header: 40";
    assert_refused(&flags("arm", "6.12.9", 8), LoaderStep::Elf, ENOEXEC, &[line]);
    let line = "Invalid architecture in ELF header: 8";
    assert_refused(&flags("mips", "6.1.9", 0x20), LoaderStep::Elf, ENOEXEC, &[line]);
    let line = "Invalid module architecture in ELF header: 21";
    assert_refused(&flags("ppc64le", "6.12.9", 1), LoaderStep::Elf, ENOEXEC, &[line]);
    assert_eq!(flags("ppc64le", "6.1.9", 1).answer, Decision::Accepted);
    assert_eq!(flags("arm64", "6.12.9", 8).answer, Decision::Accepted);
}

#[test]
fn the_class_in_the_header_counts_on_some() {
    let other = |arch: &'static str, version: &str| {
        let mut bytes = module(arch, version, |_| {});
        bytes[4] ^= 3;
        insmod(&bytes, &kernel(arch, version), Force::None)
    };
    for (arch, version, number) in [("riscv", "6.12.9", 243), ("s390", "6.12.9", 22), ("mips", "6.1.9", 8)] {
        let line = format!("Invalid architecture in ELF header: {number}");
        assert_refused(&other(arch, version), LoaderStep::Elf, ENOEXEC, &[&line]);
    }
    for (arch, version) in [("arm64", "6.12.9"), ("x86", "6.12.9"), ("arm", "6.12.9"), ("ppc64le", "6.12.9")] {
        assert_eq!(other(arch, version).answer, Decision::Accepted, "{arch}");
    }
}

#[test]
fn only_arm_checks_that_an_offset_is_in_its_section() {
    let outside =
        |arch, version, kind| asked(arch, version, |module| module.relocation = Some(("_printk", kind, 0, 61)));
    let line = "demo: section 3 reloc 1 sym '_printk': out of bounds relocation, offset 61 size 64";
    let verdict = outside("arm", "6.12.9", 28);
    assert_eq!((verdict.answer, verdict.errno), (Decision::Refused, Some(ENOEXEC)), "{verdict:#?}");
    assert!(verdict.dmesg[0].contains("out of bounds relocation, offset 61 size 64"), "{:?} not {line}", verdict.dmesg);
    assert_unknown(&outside("arm64", "6.12.9", 283), &["is outside .text"]);
}

#[test]
fn the_lower_half_of_an_address_needs_its_upper_half() {
    let line = "demo: Can not find HI20 relocation information";
    assert_refused(&with_type("riscv", "6.12.9", 24), LoaderStep::Relocations, EINVAL, &[line]);
    let verdict = with_type("mips", "6.1.9", 5);
    assert_refused(&verdict, LoaderStep::Relocations, ENOEXEC, &[]);
}

#[test]
fn a_table_of_exports_without_relocations_names_nothing() {
    // 6.12.118 for arm64 loaded a module whose symbols had the names of kernel symbols.
    for arch in ["x86", "arm64"] {
        let kernel = kernel(arch, "6.12.9");
        let exporting = |has_names| {
            let entries = ["license=GPL", "intree=Y", "retpoline=Y", "vermagic=6.12.9 SMP mod_unload "];
            let mut module = Special::new(arch, &entries);
            (module.imports, module.exports, module.has_relocated_exports) = (vec![], vec!["_printk"], has_names);
            insmod(&module.bytes().unwrap(), &kernel, Force::None)
        };
        let line = "demo: exports duplicate symbol _printk (owned by kernel)";
        assert_refused(&exporting(true), LoaderStep::Exports, ENOEXEC, &[line]);
        assert_unknown(&exporting(false), &["its table of exports has no relocations"]);
    }
}
