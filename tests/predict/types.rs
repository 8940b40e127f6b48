//! A module's BTF: fitting, not fitting, where that counts and where it does not.

use std::sync::Arc;

use kmodlab::kernel::{Fact, Kernel};
use kmodlab::module::Module;
use kmodlab::patch::{Plan, Request, Signature, Wish};
use kmodlab::predict::errno::EINVAL;
use kmodlab::predict::{Force, Outcome, Step};

use crate::kernels::{debian, with_export, with_option};
use crate::{assert_accepted, assert_refused, assert_unknown, fixture, insmod};

const RETPOLINE: &str = "btf: loading module not compiled with retpoline compiler.";
const UNSIGNED: &str = "btf: module verification failed: signature and/or required key missing - tainting kernel";

/// The BTF of a kernel that knows one type, `long unsigned int`.
fn types() -> Arc<[u8]> {
    let strings = b"\0long unsigned int\0";
    let numbers = [24, 0, 16, 16, 19, 1, 1 << 24, 8, 64u32];
    let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
    b"\x9f\xeb\x01\0".iter().copied().chain(numbers).chain(strings.iter().copied()).collect()
}

/// A kernel that checks BTF, and all else of which `btf.ko` fits.
fn kernel() -> Kernel {
    let kernel = with_export(debian("6.12.48"), "_printk", |export| export.crc = Some(0x122c3a7e));
    let kernel = with_export(kernel, "module_layout", |export| export.crc = Some(0x0b7f0612));
    let mut kernel = with_option(kernel, "DEBUG_INFO_BTF_MODULES", true);
    let built = Module::read(&fixture("modules/btf.ko")).unwrap().this_module.unwrap().fingerprint;
    kernel.facts.fingerprint = Some(Fact { value: built, source: "this test".to_owned() });
    kernel.facts.btf = Some(Fact { value: types(), source: "this test".to_owned() });
    kernel
}

/// `btf.ko` with a typedef for its integer, and the name of that, an offset into the kernel's strings, is none.
fn stranger() -> Vec<u8> {
    let mut bytes = fixture("modules/btf.ko");
    let integer = [1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
    let at = bytes.windows(integer.len()).position(|window| window == integer).unwrap();
    bytes[at + 7] = 8;
    bytes
}

#[test]
fn types_that_fit_pass() {
    let verdict = insmod(&fixture("modules/btf.ko"), &kernel(), Force::None);
    assert_accepted(&verdict, "E", &[RETPOLINE, UNSIGNED]);
    assert!(verdict.findings.iter().any(|finding| finding.step == Step::Btf && finding.result == Outcome::Pass));
}

#[test]
fn types_of_another_kernel_are_refused_where_the_kernel_insists() {
    let lines = [RETPOLINE, UNSIGNED, "failed to validate module [btf] BTF: -22"];
    assert_refused(&insmod(&stranger(), &kernel(), Force::None), Step::Btf, EINVAL, &lines);
    let tolerant = with_option(kernel(), "MODULE_ALLOW_BTF_MISMATCH", true);
    assert_accepted(&insmod(&stranger(), &tolerant, Force::None), "E", &[RETPOLINE, UNSIGNED]);
}

#[test]
fn types_that_are_hidden_are_not_asked_for() {
    let vermagic = Module::read(&stranger()).unwrap().vermagic().unwrap();
    let wish = Wish::Rewrite(vermagic.as_bytes().to_vec());
    let request = Request { drop_btf: true, ..Request::new(wish, Signature::Refuse) };
    let hidden = Plan::make(&stranger(), &request).unwrap().bytes_after;
    let verdict = insmod(&hidden, &kernel(), Force::None);
    assert_accepted(&verdict, "E", &[RETPOLINE, UNSIGNED]);
    assert!(!verdict.findings.iter().any(|finding| finding.step == Step::Btf));
}

#[test]
fn without_the_configuration_the_kernel_s_lines_tell() {
    let says = |lines: &[&str]| {
        let mut kernel = kernel();
        kernel.facts.config = None;
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        kernel.facts.messages = Some(Fact { value: lines, source: "this test".to_owned() });
        insmod(&stranger(), &kernel, Force::None)
    };
    let verdict = says(&["failed to validate module [%s] BTF"]);
    assert_eq!((verdict.stage, verdict.errno), (Some(Step::Btf), Some(EINVAL)), "{verdict:#?}");
    let verdict = says(&["Kernel module BTF mismatch detected"]);
    assert_ne!(verdict.stage, Some(Step::Btf));
}

#[test]
fn without_the_kernel_s_types_it_is_not_decided() {
    let mut kernel = kernel();
    kernel.facts.btf = None;
    assert_unknown(&insmod(&stranger(), &kernel, Force::None), &["the kernel's BTF"]);
}
