//! A module's BTF: fitting or not, on kernels where this matters and on others.

use std::sync::Arc;

use kmodlab::kernel::{Fact, Kernel};
use kmodlab::module::Module;
use kmodlab::patch::{NewVermagic, Plan, Request, Signature};
use kmodlab::predict::errno::EINVAL;
use kmodlab::predict::{Force, LoaderStep, StepResult};

use crate::predict::kernels::{debian, with_export, with_option};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, insmod};

const SPECTRE: &str = "Spectre V2 : System may be vulnerable to spectre v2";
const RETPOLINE: &str = "btf: loading module not compiled with retpoline compiler.";
const UNSIGNED: &str = "btf: module verification failed: signature and/or required key missing - tainting kernel";

const VERIFICATION: &str = "module verification failed: signature and/or required key missing";
const RETPOLINE_FORMAT: &str = "loading module not compiled with retpoline compiler";
/// The lines of a kernel about the types of `foreign`.
const STRANGE: [&str; 5] =
    ["BPF: [2] TYPEDEF long unsigned int ", "BPF: type_id=4", "BPF:  ", "BPF: Invalid name", "BPF: "];
const FAILED: &str = "failed to validate module [btf] BTF: -22";
const MISMATCH: &str = "Kernel module BTF mismatch detected, BTF debug info may be unavailable for some modules";

/// The BTF of a kernel with one type, `long unsigned int`.
fn types() -> Arc<[u8]> {
    let strings = b"\0long unsigned int\0";
    let numbers = [24, 0, 16, 16, 19, 1, 1 << 24, 8, 64u32];
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    b"\x9f\xeb\x01\0".iter().copied().chain(numbers).chain(strings.iter().copied()).collect()
}

/// A kernel that checks BTF and that otherwise accepts `btf.ko`.
fn kernel() -> Kernel {
    of_version("6.12.48")
}

/// The same kernel with another version.
fn of_version(version: &str) -> Kernel {
    let kernel = with_export(debian(version), "_printk", |export| export.crc = Some(0x122c3a7e));
    let kernel = with_export(kernel, "module_layout", |export| export.crc = Some(0x0b7f0612));
    let mut kernel = with_option(kernel, "DEBUG_INFO_BTF_MODULES", true);
    let built = Module::read(&fixture("modules/btf.ko")).unwrap().this_module.unwrap().fingerprint;
    kernel.facts.fingerprint = Some(Fact { value: built, source: "this test".into() });
    kernel.facts.btf = Some(Fact { value: types(), source: "this test".into() });
    kernel
}

/// `btf.ko` with a typedef for its integer; the name of the typedef, an offset into the kernel's strings, is invalid.
fn foreign() -> Vec<u8> {
    let mut bytes = fixture("modules/btf.ko");
    let integer = [1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
    let at = bytes.windows(integer.len()).position(|window| window == integer).unwrap();
    bytes[at + 7] = 8;
    bytes
}

/// `btf.ko` in which the name of the integer is at another offset.
fn renamed(name: u32) -> Vec<u8> {
    let mut bytes = fixture("modules/btf.ko");
    let integer = [1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
    let at = bytes.windows(integer.len()).position(|window| window == integer).unwrap();
    bytes[at..at + 4].copy_from_slice(&name.to_le_bytes());
    bytes
}

/// `btf.ko` with a section `.BTF.base` at the end of the file.
fn with_base(base: &[u8]) -> Vec<u8> {
    let mut bytes = fixture("modules/btf.ko");
    let short = |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let long =
        |bytes: &[u8], at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    let (headers, count, names) = (long(&bytes, 40), short(&bytes, 60), short(&bytes, 62));
    let mut table = bytes[headers..headers + 64 * count].to_vec();
    let (names_at, names_size) = (long(&table, 64 * names + 24), long(&table, 64 * names + 32));
    let mut strings = bytes[names_at..names_at + names_size].to_vec();
    strings.extend(b".BTF.base\0");

    let strings_at = bytes.len();
    bytes.extend(&strings);
    let base_at = bytes.len();
    bytes.extend(base);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    table[64 * names + 24..64 * names + 32].copy_from_slice(&strings_at.to_le_bytes());
    table[64 * names + 32..64 * names + 40].copy_from_slice(&strings.len().to_le_bytes());
    // Its name, PROGBITS, no flags, no address, its offset and length, no link, no info, an alignment of 1.
    table.extend([u32::try_from(names_size).unwrap(), 1].map(u32::to_le_bytes).concat());
    table.extend([0, 0, base_at, base.len(), 0, 1, 0].map(usize::to_le_bytes).concat());
    let table_at = bytes.len();
    bytes.extend(&table);
    bytes[40..48].copy_from_slice(&table_at.to_le_bytes());
    bytes[60..62].copy_from_slice(&u16::try_from(count + 1).unwrap().to_le_bytes());
    bytes
}

#[test]
fn a_base_of_its_own_is_looked_for_in_the_kernel_s_types() {
    assert_accepted(&insmod(&with_base(&types()), &kernel(), Force::None), "E", &[SPECTRE, RETPOLINE, UNSIGNED]);
    // The same integer as a signed type: the kernel has no such type.
    let mut other = types().to_vec();
    let encoding = 24 + 12 + 3;
    other[encoding] = 1;
    let unmapped = "distilled base BTF type 'long unsigned int' [1] is not mapped to base BTF id";
    let lines = [SPECTRE, RETPOLINE, UNSIGNED, unmapped, FAILED];
    let verdict = insmod(&with_base(&other), &kernel(), Force::None);
    assert_refused(&verdict, LoaderStep::Btf, EINVAL, &lines);
    let finding = verdict.findings.iter().find(|finding| finding.result == StepResult::Fail).unwrap();
    assert!(finding.note.contains("the kernel has no number of that name"), "{}", finding.note);
}

#[test]
fn a_kernel_that_knows_no_bases_passes_them_over() {
    let says = |bases: bool| {
        let mut kernel = kernel();
        let lines = ["failed to validate module [%s] BTF", "is not mapped to base BTF id"];
        let lines = lines.iter().take(1 + usize::from(bases)).map(|line| (*line).to_owned()).collect();
        kernel.facts.messages = Some(Fact { value: lines, source: "this test".into() });
        let verdict = insmod(&with_base(b"no BTF"), &kernel, Force::None);
        verdict.findings.into_iter().find(|finding| finding.step == LoaderStep::Btf).unwrap().result
    };
    assert_eq!((says(true), says(false)), (StepResult::Fail, StepResult::Pass));
}

#[test]
fn types_that_fit_pass() {
    let verdict = insmod(&fixture("modules/btf.ko"), &kernel(), Force::None);
    assert_accepted(&verdict, "E", &[SPECTRE, RETPOLINE, UNSIGNED]);
    assert!(
        verdict.findings.iter().any(|finding| finding.step == LoaderStep::Btf && finding.result == StepResult::Pass)
    );
}

#[test]
fn a_kernel_without_retpolines_prints_nothing_about_spectre() {
    for version in ["5.15.10", "6.6.10", "6.12.48"] {
        let says = |kernel: &Kernel| {
            let lines = insmod(&fixture("modules/btf.ko"), kernel, Force::None).dmesg;
            lines.into_iter().filter(|line| [SPECTRE, RETPOLINE].contains(&line.as_str())).count()
        };
        let without = with_option(of_version(version), "RETPOLINE", false);
        assert_eq!(says(&without), 0, "{version}");
        // The name of the option since 6.9.
        assert_eq!(says(&with_option(without, "MITIGATION_RETPOLINE", true)), 2, "{version}");
    }
}

/// Late stable kernels of versions before 4.16 got the line as a backport; without an image it is not known which of them.
#[test]
fn where_a_version_may_print_more_the_log_is_open() {
    let open = |version: &str| {
        let mut kernel = of_version(version);
        kernel.facts.messages = None;
        kernel.facts.config = None;
        insmod(&fixture("modules/btf.ko"), &kernel, Force::None).is_dmesg_open
    };
    assert_eq!(["4.9.100", "4.14.10", "5.15.10"].map(open), [true, true, false]);
}

/// The lines of `btf.ko`, followed by others.
fn after(lines: &[&'static str]) -> Vec<&'static str> {
    [&[SPECTRE, RETPOLINE, UNSIGNED], lines].concat()
}

#[test]
fn types_of_another_kernel_are_refused_unless_the_kernel_tolerates_them() {
    let lines = after(&[&STRANGE[..], &[FAILED]].concat());
    assert_refused(&insmod(&foreign(), &kernel(), Force::None), LoaderStep::Btf, EINVAL, &lines);
}

#[test]
fn a_kernel_that_tolerates_other_types_says_so_once_and_describes_none() {
    let tolerant = with_option(kernel(), "MODULE_ALLOW_BTF_MISMATCH", true);
    assert_accepted(&insmod(&foreign(), &tolerant, Force::None), "E", &after(&[MISMATCH]));
    // A line about an invalid name offset does not describe a type, so it is printed all the same.
    let nameless = renamed(0x7fff_ff00);
    let line = "BPF: [2] Invalid name_offset:2147483392";
    assert_accepted(&insmod(&nameless, &tolerant, Force::None), "E", &after(&[line, MISMATCH]));
    assert_accepted(&insmod(&fixture("modules/btf.ko"), &tolerant, Force::None), "E", &after(&[]));
}

#[test]
fn up_to_6_2_a_tolerant_kernel_prints_what_a_refusing_one_prints() {
    let tolerant = with_option(of_version("6.1.27"), "MODULE_ALLOW_BTF_MISMATCH", true);
    let lines = after(&[&STRANGE[..], &[FAILED]].concat());
    assert_accepted(&insmod(&foreign(), &tolerant, Force::None), "E", &lines);
    // The image decides: some kernel in between got the other line as a backport.
    let mut later = tolerant.clone();
    let messages =
        [MISMATCH.split(',').next().unwrap().to_owned(), VERIFICATION.to_owned(), RETPOLINE_FORMAT.to_owned()];
    later.facts.messages = Some(Fact { value: messages.into(), source: "this test".into() });
    assert_eq!(insmod(&foreign(), &later, Force::None).dmesg.last().unwrap(), MISMATCH);
}

#[test]
fn a_tolerant_kernel_whose_types_are_not_known_loads_the_module() {
    let mut tolerant = with_option(kernel(), "MODULE_ALLOW_BTF_MISMATCH", true);
    tolerant.facts.btf = None;
    assert_accepted(&insmod(&foreign(), &tolerant, Force::None), "E", &after(&[]));
}

#[test]
fn types_that_are_hidden_are_not_asked_for() {
    let vermagic = Module::read(&foreign()).unwrap().vermagic().unwrap();
    let new_vermagic = NewVermagic::Rewrite(vermagic.as_bytes().to_vec());
    let request = Request { drop_btf: true, ..Request::new(new_vermagic, Signature::Refuse) };
    let hidden = Plan::make(&foreign(), &request).unwrap().bytes_after;
    let verdict = insmod(&hidden, &kernel(), Force::None);
    assert_accepted(&verdict, "E", &[SPECTRE, RETPOLINE, UNSIGNED]);
    assert!(!verdict.findings.iter().any(|finding| finding.step == LoaderStep::Btf));
}

#[test]
fn without_the_configuration_the_kernel_s_messages_decide() {
    let says = |lines: &[&str]| {
        let mut kernel = kernel();
        kernel.facts.config = None;
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        kernel.facts.messages = Some(Fact { value: lines, source: "this test".into() });
        insmod(&foreign(), &kernel, Force::None)
    };
    let verdict = says(&["failed to validate module [%s] BTF"]);
    assert_eq!((verdict.stage, verdict.errno), (Some(LoaderStep::Btf), Some(EINVAL)), "{verdict:#?}");
    let verdict = says(&["Kernel module BTF mismatch detected"]);
    assert_ne!(verdict.stage, Some(LoaderStep::Btf));
}

#[test]
fn without_the_kernel_s_types_it_is_not_decided() {
    let mut kernel = kernel();
    kernel.facts.btf = None;
    assert_unknown(&insmod(&foreign(), &kernel, Force::None), &["the kernel's BTF"]);
}
