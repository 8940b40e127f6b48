//! Which modules are proprietary: by licence, by name, and by the modules that they use. Also the possible errnos of a refused
//! module whose signature is undecided.

use std::collections::BTreeSet;
use std::path::PathBuf;

use kmodlab::kernel::{BuiltIn, Export, Fact, Kernel, ModuleTree, Policy, TreeModule};
use kmodlab::predict::errno::*;
use kmodlab::predict::{Decision, Force, LoadOptions, LoaderStep, Verdict};

use crate::make::special::Special;
use crate::predict::kernels::{without_export, without_versions};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, hello, insmod, judge};

const UNSIGNED: &str = "demo: module verification failed: signature and/or required key missing - tainting kernel";

/// A kernel whose tree has `prop`, a proprietary module, and `user`, which uses it; each exports one symbol. The image exports
/// `gpl_fn` to GPL-compatible modules only.
fn kernel(version: &str) -> Kernel {
    let mut kernel = without_versions(version);
    let export = |gpl_only| Export { crc: None, gpl_only: Some(gpl_only), namespace: Some(String::new()) };
    let module = |name: &str, depends: &[&str], symbol: &str| TreeModule {
        name: name.to_owned(),
        file: format!("updates/{name}.ko").into(),
        depends: depends.iter().map(|name| (*name).to_owned()).collect(),
        exports: vec![(symbol.to_owned(), export(false))],
        is_added: true,
    };
    kernel.facts.exports.as_mut().unwrap().value.symbols.insert("gpl_fn".to_owned(), export(true));
    let modules = vec![module("prop", &[], "prop_fn"), module("user", &["prop"], "user_fn")];
    let built_in = vec![BuiltIn { name: "tcp-cubic".to_owned(), in_sysfs: true }];
    let tree = ModuleTree::new(modules, built_in).with_proprietary(BTreeSet::from([PathBuf::from("updates/prop.ko")]));
    kernel.facts.tree = Some(Fact { value: tree, source: "this test".into() });
    kernel
}

fn using(kernel: &Kernel, licence: &str, imports: &[&'static str]) -> Verdict {
    let vermagic = format!("vermagic={}", kernel.vermagic.as_ref().unwrap().value);
    let mut module = Special::new("x86", &[licence, "intree=Y", "retpoline=Y", &vermagic]);
    module.imports = imports.to_vec();
    judge(&module.bytes().unwrap(), kernel, LoadOptions::default())
}

#[test]
fn a_user_of_a_proprietary_module_inherits_the_taint() {
    let kernel = kernel("6.1.0");
    let inherits = "demo: module uses symbols prop_fn from proprietary module prop, inheriting taint.";
    let verdict = using(&kernel, "license=GPL", &["prop_fn", "_printk"]);
    assert_accepted(&verdict, "PE", &[UNSIGNED, inherits]);
    assert_eq!(verdict.needs, ["prop"]);
    // GPL-only symbols that are resolved later are then unavailable.
    let lines = [UNSIGNED, inherits, "demo: Unknown symbol gpl_fn (err -2)"];
    assert_refused(&using(&kernel, "license=GPL", &["prop_fn", "gpl_fn"]), LoaderStep::Symbols, ENOENT, &lines);
}

#[test]
fn a_user_of_gpl_only_symbols_does_not_find_those_of_a_proprietary_module() {
    let refused = "demo: module using GPL-only symbols uses symbols prop_fn from proprietary module prop.";
    let lines = [UNSIGNED, refused, "demo: Unknown symbol prop_fn (err -2)"];
    let verdict = using(&kernel("6.1.0"), "license=GPL", &["gpl_fn", "prop_fn"]);
    assert_refused(&verdict, LoaderStep::Symbols, ENOENT, &lines);
}

#[test]
fn an_inherited_taint_is_inherited_again() {
    let line = "demo: module uses symbols user_fn from proprietary module user, inheriting taint.";
    let verdict = using(&kernel("6.1.0"), "license=GPL", &["user_fn"]);
    assert_accepted(&verdict, "PE", &[UNSIGNED, line]);
}

#[test]
fn a_proprietary_user_causes_no_message() {
    let lines = ["demo: module license 'x' taints kernel.", UNSIGNED];
    assert_accepted(&using(&kernel("6.1.0"), "license=x", &["prop_fn"]), "PE", &lines);
}

#[test]
fn older_kernels_do_not_inherit_or_always_do() {
    let line = "demo: module uses symbols from proprietary module prop, inheriting taint.";
    assert_accepted(&using(&kernel("5.10.9"), "license=GPL", &["prop_fn"]), "PE", &[UNSIGNED, line]);
    let verdict = using(&kernel("5.4.100"), "license=GPL", &["prop_fn"]);
    assert_unknown(&verdict, &["prop_fn, of the proprietary module prop"]);
    let old = using(&kernel("4.3.0"), "license=GPL", &["prop_fn"]);
    assert_eq!(old.dmesg, [UNSIGNED]);
}

#[test]
fn a_list_of_symbols_of_another_build_names_no_licence() {
    let mut kernel = kernel("6.1.0");
    let tree = &mut kernel.facts.tree.as_mut().unwrap().value;
    for (file, answer) in [("drivers/net/prop", Decision::Accepted), ("/root/prop/prop", Decision::Unknown)] {
        tree.modules[0].file = file.into();
        let module = tree.modules[0].clone();
        let tree = ModuleTree::new(vec![module], Vec::new());
        let mut kernel = without_versions("6.1.0");
        kernel.facts.tree = Some(Fact { value: tree, source: "this test".into() });
        assert_eq!(using(&kernel, "license=GPL", &["prop_fn"]).answer, answer, "{file}");
    }
}

// By name

/// `hello-4.ko` with another name in `struct module`, where zeros follow it.
fn named(name: &str) -> Vec<u8> {
    let mut own = [0; 16];
    own[..name.len()].copy_from_slice(name.as_bytes());
    hello(&[(b"hello_4\0\0\0\0\0\0\0\0\0", &own)])
}

#[test]
fn some_modules_are_proprietary_for_their_names() {
    let mut kernel = crate::predict::kernels::debian("6.1.0");
    kernel.facts.exports.as_mut().unwrap().value.symbols.get_mut("_printk").unwrap().gpl_only = Some(true);
    for name in ["lve", "driverloader"] {
        let lines = [
            format!("{name}: loading out-of-tree module taints kernel."),
            format!("{name}: module verification failed: signature and/or required key missing - tainting kernel"),
            format!("{name}: module license taints kernel."),
            format!("{name}: Unknown symbol _printk (err -2)"),
        ];
        let verdict = insmod(&named(name), &kernel, Force::None);
        assert_refused(&verdict, LoaderStep::Symbols, ENOENT, &lines.each_ref().map(String::as_str));
        assert_eq!(verdict.taint.as_deref(), Some("POE"));
    }
    let verdict = insmod(&named("ndiswrapper"), &kernel, Force::None);
    assert_eq!((verdict.answer, verdict.taint.as_deref()), (Decision::Accepted, Some("POE")));
    assert_eq!(verdict.dmesg.last().map(String::as_str), Some("ndiswrapper: module license taints kernel."));
    // The names are compared exactly.
    assert_eq!(insmod(&named("lvex"), &kernel, Force::None).taint.as_deref(), Some("OE"));
}

#[test]
fn a_name_with_a_dash_is_not_that_of_a_built_in_module() {
    let mut kernel = crate::predict::kernels::debian("6.1.0");
    kernel.facts.tree = self::kernel("6.1.0").facts.tree;
    assert_eq!(insmod(&named("tcp-cubic"), &kernel, Force::None).answer, Decision::Accepted);
    let verdict = insmod(&named("tcp_cubic"), &kernel, Force::None);
    assert_eq!((verdict.stage, verdict.errno), (Some(LoaderStep::Name), Some(EINVAL)));
}

// An undecided signature

/// A kernel of which it is not known whether it checks signatures.
fn open(version: &str) -> Kernel {
    let mut kernel = without_export(crate::predict::kernels::upstream(version), "param_ops_charp");
    kernel.facts.config = None;
    kernel
}

#[test]
fn an_open_signature_leaves_the_taint_open_even_if_nothing_else_taints() {
    let in_tree = hello(&[(b"author=The kmodlab fixtures", b"intree=Y\0retpoline=Y\0x=ures")]);
    let verdict = insmod(&in_tree, &open("6.1.0"), Force::None);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Symbols)), "{verdict:#?}");
    assert_eq!((verdict.undecided.as_slice(), verdict.taint), (&[LoaderStep::Signature][..], None));
    // A module that is refused before taints are set leaves none.
    let foreign = hello(&[(b"SMP preempt", b"SMP preemqt")]);
    let verdict = insmod(&foreign, &open("6.1.0"), Force::None);
    assert_eq!((verdict.stage, verdict.taint.as_deref()), (Some(LoaderStep::Vermagic), Some("")), "{verdict:#?}");
}

#[test]
fn each_errno_that_an_open_signature_may_end_in_is_listed() {
    let errnos = |bytes: &[u8], kernel: &Kernel| insmod(bytes, kernel, Force::None).errnos;
    assert_eq!(errnos(&hello(&[]), &open("6.1.0")), [EKEYREJECTED, EPERM, ENOENT]);
    assert_eq!(errnos(&hello(&[]), &open("4.19.0")), [EKEYREJECTED, ENOKEY, EPERM, ENOENT]);
    assert_eq!(errnos(&hello(&[]), &open("3.10.0")), [ENOKEY, ENOENT]);
    let mut unlocked = open("6.1.0");
    let policy = Policy { locked_down: Some(false), ..Policy::default() };
    unlocked.facts.policy = Some(Fact { value: policy, source: "this test".into() });
    assert_eq!(errnos(&hello(&[]), &unlocked), [EKEYREJECTED, ENOENT]);
    // A message that no kernel can read.
    let mut broken = hello(&[]);
    broken.extend(b"\x30\x03abc\0\0\x02\0\0\0\0\0\0\0\0\x05~Module signature appended~\n");
    assert_eq!(errnos(&broken, &open("6.1.0")), [EKEYREJECTED, EPERM, EBADMSG, ENOENT]);
    assert_eq!(errnos(&broken, &open("4.19.0")), [EKEYREJECTED, ENOKEY, EPERM, EBADMSG, ENOENT]);
    // X.509, which kernels since 4.3 do not accept.
    let mut other = hello(&[]);
    other.extend(b"abcde\0\0\x01\0\0\0\0\0\0\0\0\x05~Module signature appended~\n");
    assert_eq!(errnos(&other, &open("4.19.0")), [EKEYREJECTED, ENOKEY, EPERM, ENOPKG, ENOENT]);
    // A valid message.
    let signed = errnos(&fixture("modules/hello-4-signed.ko"), &open("6.1.0"));
    assert!(signed.starts_with(&[EKEYREJECTED, EPERM]) && !signed.contains(&EBADMSG), "{signed:?}");
}
