//! Special kernels and modules: Android's, OpenWrt's, realtime ones, modules of Linux 2.4, patched modules, and kernels of
//! which little is known.

use kmodlab::kernel::{Fact, Kernel};
use kmodlab::module::Module;
use kmodlab::predict::danger::Danger;
use kmodlab::predict::errno::ENOEXEC;
use kmodlab::predict::{Decision, Force, LoaderStep, StepResult, Verdict};
use kmodlab::vermagic::Vermagic;

use crate::make::special::Special;
use crate::predict::kernels::{debian, upstream, with_option};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, hello, insmod};

/// An entry of `hello-4.ko` that another entry can replace.
const AUTHOR: &[u8] = b"author=The kmodlab fixtures";

/// The same kernel, known only from a version magic on the command line.
fn typed(string: &str) -> Kernel {
    let vermagic = Vermagic::parse(string.as_bytes());
    let vermagic = Fact { value: vermagic, source: kmodlab::kernel::Origin::Given };
    let facts = kmodlab::kernel::Facts { vermagic: Some(vermagic.clone()), ..Default::default() };
    Kernel { name: format!("vermagic:{string}").as_str().into(), vermagic: Some(vermagic), facts }
}

fn note(verdict: &Verdict, step: LoaderStep) -> (StepResult, &str) {
    let finding = verdict.findings.iter().find(|finding| finding.step == step).expect("a finding of that step");
    (finding.result, &finding.note)
}

// Android

#[test]
fn a_kernel_that_protects_symbols_leaves_an_unsigned_module_open() {
    let protecting = with_option(upstream("6.1.112"), "MODULE_SIG_PROTECT", true);
    let verdict = insmod(&hello(&[]), &protecting, Force::None);
    assert_unknown(&verdict, &["Unknown symbol … (err -13)", "2 imports"]);
    assert_eq!(verdict.dmesg, ["hello_4: loading out-of-tree module taints kernel."], "and no line about a signature");
}

#[test]
fn what_it_exports_is_open_too() {
    let protecting = with_option(upstream("6.1.112"), "MODULE_SIG_PROTECT", true);
    let verdict = insmod(&fixture("modules/exports.ko"), &protecting, Force::None);
    let open: Vec<_> = verdict.findings.iter().filter(|finding| finding.result == StepResult::Unknown).collect();
    let is_said = open.iter().any(|finding| finding.note.contains("exports protected symbol"));
    assert!(is_said || verdict.answer == Decision::Refused, "{verdict:#?}");
}

#[test]
fn the_image_decides_about_protection() {
    let mut plain = with_option(upstream("6.1.112"), "MODULE_SIG_PROTECT", true);
    let messages = [
        "module verification failed: signature and/or required key missing",
        "Unknown symbol %s (err %d)",
        "version magic '%s' should be '%s'",
        "loading out-of-tree module taints kernel",
    ];
    let messages = messages.map(str::to_owned).into();
    plain.facts.messages = Some(Fact { value: messages, source: "this test".into() });
    assert_eq!(insmod(&hello(&[]), &plain, Force::None).answer, Decision::Accepted, "it has no line for it");
}

// OpenWrt

/// `hello-4.ko` without the entries that OpenWrt removes.
fn stripped() -> Vec<u8> {
    hello(&[(b"vermagic=", b"xermagic="), (b"\0name=", b"\0xame=")])
}

#[test]
fn a_stripped_module_loads_on_a_kernel_that_does_not_look() {
    let openwrt = with_option(upstream("5.15.150"), "MODULE_STRIPPED", true);
    assert_eq!(note(&insmod(&stripped(), &openwrt, Force::None), LoaderStep::Vermagic).0, StepResult::Skip);
    let verdict = insmod(&stripped(), &openwrt, Force::None);
    assert_eq!((verdict.answer, verdict.taint.as_deref()), (Decision::Accepted, Some("E")), "{verdict:#?}");
    // Since 6.4 the code that sets taint O is in another place, which OpenWrt left unchanged.
    let later = with_option(upstream("6.12.50"), "MODULE_STRIPPED", true);
    assert_eq!(insmod(&stripped(), &later, Force::None).taint.as_deref(), Some("OE"));
}

#[test]
fn on_any_other_kernel_it_would_have_to_be_forced() {
    let verdict = insmod(&stripped(), &with_option(upstream("5.15.150"), "MODULE_FORCE_LOAD", false), Force::None);
    assert_refused(&verdict, LoaderStep::Vermagic, ENOEXEC, &[]);
}

#[test]
fn a_stripped_kernel_takes_a_foreign_version_magic_too() {
    let openwrt = with_option(upstream("5.15.150"), "MODULE_STRIPPED", true);
    let foreign = hello(&[(b"mod_unload", b"nod_unload")]);
    assert_eq!(insmod(&foreign, &openwrt, Force::None).answer, Decision::Accepted);
    assert_eq!(insmod(&foreign, &upstream("5.15.150"), Force::None).stage, Some(LoaderStep::Vermagic));
}

// Linux 2.4

#[test]
fn a_module_of_linux_2_4_is_called_so_and_not_judged() {
    let old = hello(&[
        (AUTHOR, b"kernel_version=2.4.20\0xxxxx"),
        (b"vermagic=", b"xermagic="),
        (b".gnu.linkonce.this_module", b".xnu.linkonce.this_module"),
    ]);
    for kernel in [debian("6.1.0"), upstream("2.6.18"), typed("2.4.20 ")] {
        let verdict = insmod(&old, &kernel, Force::None);
        assert_unknown(&verdict, &["a module of Linux 2.4 (2.4.20)"]);
        assert_eq!(verdict.dmesg, [] as [&str; 0]);
    }
}

/// A module as insmod of modutils linked it: without `struct module`, and with symbol names that end in a CRC if the kernel had
/// symbol versions.
fn of_2_4(arch: &'static str, entries: &[&str], import: &'static str) -> Vec<u8> {
    let mut module = Special::new(arch, entries);
    (module.imports, module.has_structure) = (vec![import], false);
    module.bytes().unwrap()
}

#[test]
fn modules_of_linux_2_4_of_any_machine_and_vendor() {
    for (arch, version, import) in [
        ("i386", "2.4.20-8", "printk_R1b7d4074"),
        ("mips", "2.4.20-br120", "printk"),
        ("arm", "2.4.17_mvl21-malta", "printk_R1b7d4074"),
        ("s390", "2.4.21-4.EL", "printk"),
    ] {
        let entry = format!("kernel_version={version}");
        let module = of_2_4(arch, &[&entry, "using_checksums=1", "license=GPL", "parm_io=i"], import);
        for kernel in [debian("6.12.0"), upstream("5.11.0"), typed("2.4.20 "), typed("2.6.5-1.358 686 ")] {
            for force in [Force::None, Force::Both] {
                let verdict = insmod(&module, &kernel, force);
                assert_unknown(&verdict, &[&format!("a module of Linux 2.4 ({version})")]);
                assert_eq!((verdict.dmesg.len(), verdict.findings.len()), (0, 1), "{arch}: {verdict:#?}");
            }
        }
    }
}

#[test]
fn what_has_a_struct_module_or_a_version_magic_is_no_module_of_linux_2_4() {
    let is_of_2_4 = |bytes: &[u8]| Module::read(bytes).unwrap().of_linux_2_4().map(<[u8]>::to_vec);
    let old = of_2_4("i386", &["kernel_version=2.4.20"], "printk");
    assert_eq!(is_of_2_4(&old), Some(b"2.4.20".to_vec()));
    let with_structure = Special::new("i386", &["kernel_version=2.4.20"]).bytes().unwrap();
    assert_eq!(is_of_2_4(&with_structure), None);
    let with_vermagic = of_2_4("i386", &["kernel_version=2.4.20", "vermagic=2.6.5 686 "], "printk");
    assert_eq!(is_of_2_4(&with_vermagic), None);
    assert_eq!(is_of_2_4(&of_2_4("i386", &["license=GPL"], "printk")), None);
}

// Patched

/// The notes of the warnings about a patched module.
fn warnings(verdict: &Verdict) -> Vec<&str> {
    let dangers = verdict.dangers.iter();
    dangers
        .filter_map(|danger| if let Danger::Patched { note } = danger { Some(note.as_str()) } else { None })
        .collect()
}

#[test]
fn each_marked_module_is_warned_of_whatever_the_verdict_is() {
    const MARK: &str = "kmodlab_patched=0123456789ab";
    let marked = |arch: &'static str, vermagic: Option<&str>| {
        let vermagic = vermagic.map(|vermagic| format!("vermagic={vermagic}"));
        let entries: Vec<&str> = ["license=GPL", MARK].into_iter().chain(vermagic.as_deref()).collect();
        Special::new(arch, &entries).bytes().unwrap()
    };
    let own = "6.1.0-47-amd64 SMP preempt mod_unload modversions ";
    for (module, stage) in [
        (marked("x86", Some(own)), Some(LoaderStep::ModuleLayout)),
        (marked("x86", Some("6.1.0-48-amd64 SMP mod_unload ")), Some(LoaderStep::ModuleLayout)),
        (marked("x86", None), Some(LoaderStep::ModuleLayout)),
        (marked("s390", Some(own)), Some(LoaderStep::Elf)),
        (
            hello(&[(AUTHOR, b"kmodlab_patched=0123456789a"), (b"SMP preempt", b"SMP preemqt")]),
            Some(LoaderStep::Vermagic),
        ),
    ] {
        let kernel = with_option(debian("6.1.0"), "MODULE_FORCE_LOAD", false);
        let verdict = insmod(&module, &kernel, Force::None);
        assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, stage), "{verdict:#?}");
        let notes = warnings(&verdict);
        assert!(notes.len() == 1 && notes[0].contains("its modinfo says kmodlab_patched=0123456789a"), "{notes:?}");
    }
}

#[test]
fn a_patched_module_gets_its_verdict_and_a_warning() {
    let marked = hello(&[(AUTHOR, b"kmodlab_patched=0123456789a")]);
    let verdict = insmod(&marked, &debian("6.1.0"), Force::None);
    assert_accepted(
        &verdict,
        "OE",
        &[
            "hello_4: loading out-of-tree module taints kernel.",
            "hello_4: module verification failed: signature and/or required key missing - tainting kernel",
        ],
    );
    let [Danger::Patched { note }] = verdict.dangers.as_slice() else { panic!("{:#?}", verdict.dangers) };
    assert!(note.contains("not those that it was compiled with"), "{note}");
    assert_eq!(insmod(&hello(&[]), &debian("6.1.0"), Force::None).dangers, []);
}

// Realtime

/// `hello-4.ko` of 6.12 with `preempt` in its version magic, for a kernel that has it too.
fn of_6_12(release: &str, banner: &str) -> Kernel {
    let mut kernel = debian("6.1.0");
    kernel.vermagic.as_mut().unwrap().value =
        Vermagic::parse(format!("{release} SMP preempt mod_unload modversions ").as_bytes());
    kernel.facts.config = None;
    kernel.facts.banner =
        Some(Fact { value: format!("Linux version {release} (x) #1 {banner}"), source: "this test".into() });
    kernel
}

fn realtime(verdict: &Verdict) -> Option<&str> {
    verdict.dangers.iter().find_map(|danger| match danger {
        Danger::Realtime { note } => Some(note.as_str()),
        _ => None,
    })
}

#[test]
fn a_realtime_kernel_with_preempt_in_its_vermagic_differs_from_the_modules_kernel() {
    let module = hello(&[(b"vermagic=6.1.0-47-amd64", b"vermagic=7.2.0-47-amd64")]);
    let kernel = of_6_12("6.12.1-rt-amd64", "SMP PREEMPT_RT Debian 6.12.1-1");
    let verdict = insmod(&module, &kernel, Force::None);
    let note = realtime(&verdict).expect("a danger");
    assert!(note.contains("module no (the token preempt of its version magic), kernel yes"), "{note}");
    let plain = of_6_12("6.12.1-amd64", "SMP PREEMPT_DYNAMIC Debian 6.12.1-1");
    assert_eq!(realtime(&insmod(&module, &plain, Force::None)), None);
}

#[test]
fn where_either_is_not_known_nothing_is_said() {
    // A module of 6.1 with `preempt` may be for either.
    let kernel = of_6_12("6.12.1-rt-amd64", "SMP PREEMPT_RT Debian 6.12.1-1");
    assert_eq!(realtime(&insmod(&hello(&[]), &kernel, Force::None)), None);
    let mut silent = of_6_12("6.12.1-amd64", "");
    silent.facts.banner = None;
    let module = hello(&[(b"vermagic=6.1.0-47-amd64", b"vermagic=7.2.0-47-amd64")]);
    assert_eq!(realtime(&insmod(&module, &silent, Force::None)), None);
}

#[test]
fn imports_and_exports_show_realtime() {
    // First in its symbol versions, then in the names of its symbols.
    let of_rt =
        hello(&[(b"param_ops_charp\0\0", b"rt_spin_lock\0\0\0\0\0"), (b"param_ops_charp\0", b"rt_spin_lock\0\0\0\0")]);
    let kernel = of_6_12("6.12.1-amd64", "SMP PREEMPT_DYNAMIC Debian 6.12.1-1");
    let verdict = insmod(&of_rt, &kernel, Force::None);
    let note = realtime(&verdict).expect("a danger");
    assert!(note.contains("module yes (the import rt_spin_lock), kernel no (the version line"), "{note}");
}

// Little is known

#[test]
fn a_release_alone_claims_nothing_about_tokens() {
    let verdict = insmod(&hello(&[]), &typed("6.1.0-47-amd64"), Force::None);
    assert_eq!(note(&verdict, LoaderStep::Vermagic).0, StepResult::Unknown);
    assert_eq!((verdict.answer, verdict.dangers.len()), (Decision::Unknown, 0));
    // The module has symbol versions, so the kernel may skip the release.
    let verdict = insmod(&hello(&[]), &typed("6.1.0-48-amd64"), Force::None);
    assert_eq!((verdict.answer, note(&verdict, LoaderStep::Vermagic).0), (Decision::Unknown, StepResult::Unknown));
    assert_eq!(verdict.dangers, []);
}

/// It does not matter then whether the kernel has symbol versions (`same_magic`, kernel/module/version.c).
#[test]
fn another_release_refuses_a_module_without_symbol_versions() {
    let unversioned = hello(&[(b"__versions\0", b"__nothings\0")]);
    let verdict = insmod(&unversioned, &typed("6.1.0-48-amd64"), Force::None);
    assert_eq!((verdict.answer, note(&verdict, LoaderStep::Vermagic).0), (Decision::Refused, StepResult::Fail));
    // Up to 2.6.25, symbol versions in the kernel were sufficient.
    let verdict = insmod(&unversioned, &typed("2.6.18-5-686"), Force::None);
    assert_eq!(note(&verdict, LoaderStep::Vermagic).0, StepResult::Unknown);
}

#[test]
fn without_the_space_at_the_end_the_command_line_is_the_likely_cause() {
    // The release is skipped, since both have symbol versions.
    for release in ["6.1.0-47-amd64", "6.1.0-48-amd64"] {
        let string = format!("{release} SMP preempt mod_unload modversions");
        let verdict = insmod(&hello(&[]), &typed(&string), Force::None);
        let (result, note) = note(&verdict, LoaderStep::Vermagic);
        assert_eq!(result, StepResult::Fail);
        assert!(note.contains("missing from the command line"), "{release}: {note}");
    }
    // Here the release is the reason for the refusal, whatever the string ends in.
    let unversioned = hello(&[(b"__versions\0", b"__nothings\0")]);
    let verdict = insmod(&unversioned, &typed("6.1.0-48-amd64 SMP preempt mod_unload modversions"), Force::None);
    let (result, note) = note(&verdict, LoaderStep::Vermagic);
    assert_eq!((result, note), (StepResult::Fail, "the strings differ"));
}

#[test]
fn the_space_at_the_end_counts_for_every_architecture_that_has_no_word_of_its_own() {
    for (arch, string) in [
        ("x86", "5.10.0 SMP mod_unload"),
        ("s390", "6.12.48+deb13-s390x SMP mod_unload modversions"),
        ("ppc64le", "6.12.9 SMP mod_unload modversions"),
        ("arm", "6.12.48+deb13-armmp SMP preempt mod_unload modversions ARMv7 p2v8"),
    ] {
        let module = Special::new(arch, &["license=GPL", &format!("vermagic={string} ")]).bytes().unwrap();
        let verdict = insmod(&module, &typed(string), Force::None);
        let (result, why) = note(&verdict, LoaderStep::Vermagic);
        assert!(result == StepResult::Fail && why.contains("missing from the command line"), "{arch}: {why}");
        // With the space they are equal.
        let verdict = insmod(&module, &typed(&format!("{string} ")), Force::None);
        assert_eq!(note(&verdict, LoaderStep::Vermagic), (StepResult::Pass, "the strings are equal"));
    }
}

#[test]
fn the_space_is_no_cause_where_anything_else_differs() {
    for typed_in in
        ["6.1.0-47-amd64 SMP mod_unload modversions", "6.1.0-47-amd64 SMP preempt_rt mod_unload modversions"]
    {
        let verdict = insmod(&hello(&[]), &typed(typed_in), Force::None);
        assert_eq!(note(&verdict, LoaderStep::Vermagic), (StepResult::Fail, "the strings differ"));
    }
}

#[test]
fn a_space_that_the_module_lacks_is_the_modules_fault() {
    let spaceless = hello(&[(b"modversions \0", b"modversions\0\0")]);
    for kernel in [debian("6.1.0"), typed("6.1.0-47-amd64 SMP preempt mod_unload modversions ")] {
        let verdict = insmod(&spaceless, &kernel, Force::None);
        let (result, why) = note(&verdict, LoaderStep::Vermagic);
        assert!(result == StepResult::Fail && why.contains("was it written by hand?"), "{why}");
    }
}
