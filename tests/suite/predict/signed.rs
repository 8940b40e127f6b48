//! A signature: with a key that the kernel has, with another key, or changed after signing.

use kmodlab::kernel::{BuiltIn, Certificate, Fact, Kernel, ModuleTree, TreeModule};
use kmodlab::patch::sign::{Digest, Signer};
use kmodlab::predict::errno::{EBADMSG, EKEYREJECTED, ENOKEY, ENOPKG};
use kmodlab::predict::{Decision, Finding, Force, LoadOptions, LoaderStep, StepResult, Verdict};
use kmodlab::vermagic::Vermagic;

use crate::predict::kernels::{debian, with_option};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, insmod, judge};

const OUT_OF_TREE: &str = "hello_4: loading out-of-tree module taints kernel.";
const UNSIGNED: &str = "hello_4: module verification failed: signature and/or required key missing - tainting kernel";

/// The certificate of the key that signs fixtures.
fn certificate() -> Certificate {
    let pem = String::from_utf8(fixture("keys/cert.pem")).unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = pem.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes);
    let bits: Vec<u8> = digits
        .filter_map(|digit| alphabet.iter().position(|known| *known == digit))
        .flat_map(|value| (0..6).rev().map(move |bit| u8::from(value >> bit & 1 == 1)))
        .collect();
    let der: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    Certificate::read(&der).unwrap().0
}

/// The keys of a kernel that has this certificate.
pub(crate) fn known() -> Fact<Vec<Certificate>> {
    Fact { value: vec![certificate()], source: "this test".into() }
}

fn trusting(keys: &[Certificate]) -> Kernel {
    let mut kernel = debian("6.1.0");
    kernel.facts.keys = Some(Fact { value: keys.to_vec(), source: "this test".into() });
    kernel
}

#[test]
fn a_known_key_leaves_no_taint() {
    let signed = fixture("modules/hello-4-signed.ko");
    assert_accepted(&insmod(&signed, &trusting(&[certificate()]), Force::None), "O", &[OUT_OF_TREE]);
}

#[test]
fn a_changed_module_is_refused_by_the_kernel_whose_key_signed_it_and_taken_by_others() {
    let mut changed = fixture("modules/hello-4-signed.ko");
    let at = changed.windows(10).position(|window| window == b"hello_4.ko" || window.starts_with(b"license=")).unwrap();
    changed[at + 8] ^= 1;
    let verdict = insmod(&changed, &trusting(&[certificate()]), Force::None);
    assert_refused(&verdict, LoaderStep::Signature, EKEYREJECTED, &[]);
    assert!(verdict.is_changed);
    let unknown = Certificate { serial: vec![1], ..certificate() };
    let verdict = insmod(&fixture("modules/hello-4-signed.ko"), &trusting(std::slice::from_ref(&unknown)), Force::None);
    assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED]);
    assert!(!verdict.is_changed);
    let insisting = with_option(trusting(&[unknown]), "MODULE_SIG_FORCE", true);
    let line = "Loading of module with unavailable key is rejected";
    assert_refused(&insmod(&changed, &insisting, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn without_the_keys_it_is_not_decided() {
    let signed = fixture("modules/hello-4-signed.ko");
    assert_unknown(&insmod(&signed, &debian("6.1.0"), Force::None), &["does the kernel know the key?"]);
}

#[test]
fn a_signature_of_another_kind_counts_as_none_and_the_kernel_says_so() {
    let mut other = fixture("modules/hello-4-signed.ko");
    let kind = other.len() - 28 - 10;
    other[kind] = 1;
    let line = "module: not signed with expected PKCS#7 message";
    let verdict = insmod(&other, &trusting(&[certificate()]), Force::None);
    assert_accepted(&verdict, "OE", &[line, OUT_OF_TREE, UNSIGNED]);
}

/// A kernel with that release, built by kernel.org or by a distribution.
fn of_release(release: &str) -> Kernel {
    let mut kernel = trusting(&[certificate()]);
    kernel.vermagic.as_mut().unwrap().value =
        Vermagic::parse(format!("{release} SMP preempt mod_unload modversions ").as_bytes());
    kernel.facts.release = Some(Fact { value: release.to_owned(), source: "this test".into() });
    kernel.facts.vermagic = kernel.vermagic.clone();
    let banner = format!("Linux version {release} (builder@example.org) (gcc (GCC) 8.1.0) #1 SMP");
    kernel.facts.banner = Some(Fact { value: banner, source: "this test".into() });
    kernel
}

/// `hello-4.ko` with a trailer in which some bytes of `struct module_signature` are changed.
fn with_trailer(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut signed = fixture("modules/hello-4-signed.ko");
    let info = signed.len() - 28 - 12;
    changes.iter().for_each(|(at, value)| signed[info + at] = *value);
    signed
}

/// The signature is undecided; a later step may refuse the module.
#[track_caller]
fn assert_undecided(verdict: &Verdict, words: &str) {
    let is_it = |finding: &&Finding| (finding.step, finding.result) == (LoaderStep::Signature, StepResult::Unknown);
    let found = verdict.findings.iter().find(is_it);
    assert!(found.is_some_and(|finding| finding.note.contains(words)), "{verdict:#?}");
}

#[test]
fn before_5_4_a_signature_of_an_unknown_kind_is_refused_without_enforcement() {
    let line = "Module is not signed with expected PKCS#7 message";
    for release in ["4.3.1", "4.14.100", "5.3.18"] {
        let kernel = of_release(release);
        assert_refused(&insmod(&with_trailer(&[(2, 1)]), &kernel, Force::None), LoaderStep::Signature, ENOPKG, &[line]);
        let insisting = with_option(kernel, "MODULE_SIG_FORCE", true);
        assert_refused(
            &insmod(&with_trailer(&[(2, 1)]), &insisting, Force::None),
            LoaderStep::Signature,
            ENOPKG,
            &[line],
        );
    }
    // Distributions had the later check years earlier.
    let verdict = insmod(&with_trailer(&[(2, 1)]), &of_release("4.15.0-213-generic"), Force::None);
    assert_unknown(&verdict, &["does it refuse such modules?"]);
    let line = "hello_4: Module is not signed with expected PKCS#7 message";
    let verdict = insmod(&with_trailer(&[(2, 1)]), &of_release("5.4.50"), Force::None);
    assert_eq!(verdict.dmesg.first().map(String::as_str), Some(line), "{verdict:#?}");
}

#[test]
fn before_5_4_messages_about_zero_fields_lack_the_module_name() {
    for (release, line) in [
        ("4.14.100", "PKCS#7 signature info has unexpected non-zero params"),
        ("5.4.50", "hello_4: PKCS#7 signature info has unexpected non-zero params"),
        ("6.1.20", "module: PKCS#7 signature info has unexpected non-zero params"),
    ] {
        let verdict = insmod(&with_trailer(&[(6, 1)]), &of_release(release), Force::None);
        assert_refused(&verdict, LoaderStep::Signature, EBADMSG, &[line]);
    }
}

#[test]
fn before_4_3_signatures_are_of_another_kind() {
    let of_its_time = [(0, 1), (1, 4), (2, 1), (3, 6), (4, 20)];
    for release in ["3.10.5", "4.2.8"] {
        let kernel = of_release(release);
        let insisting = with_option(kernel.clone(), "MODULE_SIG_FORCE", true);
        for kernel in [&kernel, &insisting] {
            assert_undecided(
                &insmod(&with_trailer(&of_its_time), kernel, Force::None),
                "does the kernel know the key?",
            );
        }
        assert_refused(&insmod(&with_trailer(&[]), &kernel, Force::None), LoaderStep::Signature, ENOPKG, &[]);
        let other_algorithm = with_trailer(&[(2, 1)]);
        assert_refused(&insmod(&other_algorithm, &kernel, Force::None), LoaderStep::Signature, ENOPKG, &[]);
    }
}

#[test]
fn a_digest_that_a_kernel_before_5_4_does_not_know_is_refused() {
    let (signed, _) = over_sha512();
    let mut kernel = with_option(of_release("4.14.100"), "CRYPTO_SHA512", false);
    kernel.facts.tree = Some(Fact { value: ModuleTree::new(Vec::new(), Vec::new()), source: "this test".into() });
    assert_refused(&insmod(&signed, &kernel, Force::None), LoaderStep::Signature, ENOPKG, &[]);
}

#[test]
fn a_key_that_is_not_known_is_tolerated_before_5_4_too() {
    let mut kernel = of_release("4.14.100");
    kernel.facts.keys.as_mut().unwrap().value.clear();
    let signed = fixture("modules/hello-4-signed.ko");
    assert_ne!(insmod(&signed, &kernel, Force::None).stage, Some(LoaderStep::Signature));
    let insisting = with_option(kernel, "MODULE_SIG_FORCE", true);
    assert_refused(&insmod(&signed, &insisting, Force::None), LoaderStep::Signature, ENOKEY, &[]);
}

#[test]
fn force_makes_a_signature_void_from_4_8_on() {
    let signed = with_trailer(&[(0, 1), (1, 4), (2, 1)]);
    let insists = |release| with_option(of_release(release), "MODULE_SIG_FORCE", true);
    assert_undecided(&insmod(&signed, &insists("3.10.5"), Force::Both), "does the kernel know the key?");
    assert_undecided(&insmod(&signed, &insists("4.1.20"), Force::Both), "does a forced module count as unsigned?");
    // A version number that a distribution keeps does not show its patches.
    let kept = insmod(&signed, &insists("3.10.0-1160.el7.x86_64"), Force::Both);
    assert_undecided(&kept, "does a forced module count as unsigned?");
    for release in ["4.4.302", "4.14.100"] {
        assert_refused(&insmod(&signed, &insists(release), Force::Both), LoaderStep::Signature, ENOKEY, &[]);
    }
    let line = "Loading of unsigned module is rejected";
    assert_refused(&insmod(&signed, &insists("5.4.50"), Force::Both), LoaderStep::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn where_a_distribution_may_have_the_later_errno_both_are_named() {
    let insisting = with_option(of_release("4.18.0-553.el8_10.x86_64"), "MODULE_SIG_FORCE", true);
    let verdict = insmod(&fixture("modules/hello-4.ko"), &insisting, Force::None);
    assert_eq!((verdict.answer, verdict.stage, verdict.errno), (Decision::Refused, Some(LoaderStep::Signature), None));
    assert_eq!(verdict.errnos, [EKEYREJECTED, ENOKEY]);
}

#[test]
fn an_unreadable_signature_is_refused_without_enforcement() {
    let mut broken = fixture("modules/hello-4-signed.ko");
    // The tag of the issuer's common name.
    let at = broken.windows(5).rposition(|window| window == [6, 3, 0x55, 4, 3]).unwrap();
    broken[at] = 0x1f;
    assert_refused(&insmod(&broken, &trusting(&[]), Force::None), LoaderStep::Signature, EBADMSG, &[]);
}

/// `hello-4.ko`, signed over SHA-512, and a kernel that trusts the key.
fn over_sha512() -> (Vec<u8>, Kernel) {
    let signer = Signer::from_pem(&fixture("keys/key.pem"), &fixture("keys/cert.pem")).unwrap();
    let image = fixture("modules/hello-4.ko");
    let trailer = signer.with_digest(Digest::Sha512).trailer(&image).unwrap();
    ([image, trailer].concat(), trusting(&[certificate()]))
}

#[test]
fn a_digest_that_is_built_in_is_known() {
    let (signed, kernel) = over_sha512();
    assert_accepted(&insmod(&signed, &with_option(kernel, "CRYPTO_SHA512", true), Force::None), "O", &[OUT_OF_TREE]);
}

#[test]
fn a_digest_that_is_a_module_is_needed_before() {
    let (signed, mut kernel) = over_sha512();
    kernel.facts.config.as_mut().unwrap().value.insert("CRYPTO_SHA512".to_owned(), "m".to_owned());
    let tree = |names: &[&str]| {
        let module = |name: &&str| TreeModule {
            name: (*name).to_owned(),
            file: format!("kernel/crypto/{name}.ko").into(),
            depends: Vec::new(),
            exports: Vec::new(),
            is_added: false,
        };
        let tree = ModuleTree::new(
            names.iter().map(module).collect(),
            vec![BuiltIn { name: "other".to_owned(), in_sysfs: false }],
        );
        Some(Fact { value: tree, source: "this test".into() })
    };
    kernel.facts.tree = None;
    assert_unknown(&insmod(&signed, &kernel, Force::None), &["has the kernel SHA-512?"]);
    kernel.facts.tree = tree(&["sha512_generic"]);
    // The kernel itself requests the module, so this also applies to a plain insmod.
    assert_unknown(&insmod(&signed, &kernel, Force::None), &["does the kernel's modprobe find the module"]);
    let with_others =
        judge(&signed, &kernel, LoadOptions { force: Force::None, alone: false, ..LoadOptions::default() });
    assert_accepted(&with_others, "O", &[OUT_OF_TREE]);
    assert_eq!(with_others.needs, ["sha512_generic"]);
    kernel.facts.tree = tree(&["md4"]);
    assert_accepted(&insmod(&signed, &kernel, Force::None), "OE", &[OUT_OF_TREE, UNSIGNED]);
    let line = "Loading of module with unsupported crypto is rejected";
    let insisting = with_option(kernel, "MODULE_SIG_FORCE", true);
    assert_refused(&insmod(&signed, &insisting, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn a_digest_is_computed_before_the_key_is_looked_for() {
    let (signed, mut kernel) = over_sha512();
    kernel.facts.keys.as_mut().unwrap().value.clear();
    let tree = ModuleTree::new(Vec::new(), Vec::new());
    kernel.facts.tree = Some(Fact { value: tree, source: "this test".into() });
    let insisting = with_option(with_option(kernel, "CRYPTO_SHA512", false), "MODULE_SIG_FORCE", true);
    let line = "Loading of module with unsupported crypto is rejected";
    assert_refused(&insmod(&signed, &insisting, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);
}
