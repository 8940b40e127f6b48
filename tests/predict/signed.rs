//! A signature: with its key among those of the kernel, with another, changed since.

use kmodlab::kernel::{BuiltIn, Certificate, Fact, Kernel, Tree, TreeModule};
use kmodlab::patch::sign::{Digest, Signer};
use kmodlab::predict::errno::{EBADMSG, EKEYREJECTED};
use kmodlab::predict::{Force, Load, Step};

use crate::kernels::{debian, with_option};
use crate::{assert_accepted, assert_refused, assert_unknown, fixture, insmod, judge};

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

/// The keys of a kernel that knows it.
pub(crate) fn known() -> Fact<Vec<Certificate>> {
    Fact { value: vec![certificate()], source: "this test".to_owned() }
}

fn trusting(keys: &[Certificate]) -> Kernel {
    let mut kernel = debian("6.1.0");
    kernel.facts.keys = Some(Fact { value: keys.to_vec(), source: "this test".to_owned() });
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
    assert_refused(&verdict, Step::Signature, EKEYREJECTED, &[]);
    assert!(verdict.is_of_changed_file());
    let stranger = Certificate { serial: vec![1], ..certificate() };
    let verdict =
        insmod(&fixture("modules/hello-4-signed.ko"), &trusting(std::slice::from_ref(&stranger)), Force::None);
    assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED]);
    assert!(!verdict.is_of_changed_file());
    let insisting = with_option(trusting(&[stranger]), "MODULE_SIG_FORCE", true);
    let line = "Loading of module with unavailable key is rejected";
    assert_refused(&insmod(&changed, &insisting, Force::None), Step::Signature, EKEYREJECTED, &[line]);
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

#[test]
fn a_signature_that_can_t_be_read_is_refused_even_where_nobody_insists() {
    let mut broken = fixture("modules/hello-4-signed.ko");
    // The tag of the issuer's common name.
    let at = broken.windows(5).rposition(|window| window == [6, 3, 0x55, 4, 3]).unwrap();
    broken[at] = 0x1f;
    assert_refused(&insmod(&broken, &trusting(&[]), Force::None), Step::Signature, EBADMSG, &[]);
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
        let tree =
            Tree::new(names.iter().map(module).collect(), vec![BuiltIn { name: "other".to_owned(), in_sysfs: false }]);
        Some(Fact { value: tree, source: "this test".to_owned() })
    };
    kernel.facts.tree = None;
    assert_unknown(&insmod(&signed, &kernel, Force::None), &["has the kernel SHA-512?"]);
    kernel.facts.tree = tree(&["sha512_generic"]);
    // It is the kernel that asks for it, so a bare insmod may do.
    assert_unknown(&insmod(&signed, &kernel, Force::None), &["does the kernel's modprobe find the module"]);
    let with_others = judge(&signed, &kernel, Load { force: Force::None, alone: false, ..Load::default() });
    assert_accepted(&with_others, "O", &[OUT_OF_TREE]);
    assert_eq!(with_others.needs, ["sha512_generic"]);
    kernel.facts.tree = tree(&["md4"]);
    assert_accepted(&insmod(&signed, &kernel, Force::None), "OE", &[OUT_OF_TREE, UNSIGNED]);
    let line = "Loading of module with unsupported crypto is rejected";
    let insisting = with_option(kernel, "MODULE_SIG_FORCE", true);
    assert_refused(&insmod(&signed, &insisting, Force::None), Step::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn a_digest_is_computed_before_the_key_is_looked_for() {
    let (signed, mut kernel) = over_sha512();
    kernel.facts.keys.as_mut().unwrap().value.clear();
    let tree = Tree::new(Vec::new(), Vec::new());
    kernel.facts.tree = Some(Fact { value: tree, source: "this test".to_owned() });
    let insisting = with_option(with_option(kernel, "CRYPTO_SHA512", false), "MODULE_SIG_FORCE", true);
    let line = "Loading of module with unsupported crypto is rejected";
    assert_refused(&insmod(&signed, &insisting, Force::None), Step::Signature, EKEYREJECTED, &[line]);
}
