//! A signature: with its key among those of the kernel, with another, changed since.

use kmodlab::kernel::{Certificate, Fact, Kernel};
use kmodlab::predict::errno::EKEYREJECTED;
use kmodlab::predict::{Force, Step};

use crate::kernels::{debian, with_option};
use crate::{assert_accepted, assert_refused, assert_unknown, fixture, insmod};

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
    assert_refused(&insmod(&changed, &trusting(&[certificate()]), Force::None), Step::Signature, EKEYREJECTED, &[]);
    let stranger = Certificate { serial: vec![1], ..certificate() };
    let verdict =
        insmod(&fixture("modules/hello-4-signed.ko"), &trusting(std::slice::from_ref(&stranger)), Force::None);
    assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED]);
    let insisting = with_option(trusting(&[stranger]), "MODULE_SIG_FORCE", true);
    let line = "Loading of module with unavailable key is rejected";
    assert_refused(&insmod(&changed, &insisting, Force::None), Step::Signature, EKEYREJECTED, &[line]);
}

#[test]
fn without_the_keys_it_is_not_decided() {
    let signed = fixture("modules/hello-4-signed.ko");
    assert_unknown(&insmod(&signed, &debian("6.1.0"), Force::None), &["does the kernel know the key?"]);
}
