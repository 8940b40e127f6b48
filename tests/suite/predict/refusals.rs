//! The refusal of each step, with its errno and its lines.

use kmodlab::kernel::{BuiltIn, Fact, ModuleTree, Policy, TreeModule};
use kmodlab::predict::errno::*;
use kmodlab::predict::{Decision, Force, LoadOptions, LoaderStep, StepResult};

use crate::predict::kernels::{debian, upstream, with_export, with_option, without_export};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, fixture, hello, insmod, judge};

const OUT_OF_TREE: &str = "hello_4: loading out-of-tree module taints kernel.";
const UNSIGNED: &str = "hello_4: module verification failed: signature and/or required key missing - tainting kernel";

#[test]
fn the_line_of_the_version_magic_has_the_name_that_the_version_takes() {
    // In modinfo, but not in struct module.
    let bytes = hello(&[(b"\0name=hello_4", b"\0name=other_4"), (b"preempt mod_unload", b"preemqt mod_unload")]);
    let line = |version| insmod(&bytes, &upstream(version), Force::None).dmesg.last().cloned().unwrap_or_default();
    assert!(line("4.14.100").starts_with("hello_4: version magic"), "{}", line("4.14.100"));
    assert!(line("6.1.0").starts_with("other_4: version magic"), "{}", line("6.1.0"));
    let between = insmod(&bytes, &upstream("4.17.0"), Force::None);
    assert_eq!((between.answer, between.undecided), (Decision::Refused, vec![LoaderStep::Vermagic]));
}

#[test]
fn a_module_loads_on_its_own_kernel() {
    let verdict = insmod(&hello(&[]), &debian("6.1.0"), Force::None);
    assert_accepted(&verdict, "OE", &[OUT_OF_TREE, UNSIGNED]);
}

#[test]
fn vermagic_is_compared_whole_without_symbol_versions_and_without_its_release_with_them() {
    let kernel = debian("6.1.9");
    assert_accepted(&insmod(&hello(&[]), &kernel, Force::None), "OE", &[OUT_OF_TREE, UNSIGNED]);

    let unversioned = hello(&[(b"__versions", b"__verzions")]);
    let without_layout = with_option(kernel, "MODULE_FORCE_LOAD", true);
    let verdict = insmod(&unversioned, &without_layout, Force::None);
    let lines = [
        "hello_4: module_layout: kernel tainted.",
        "hello_4: version magic '6.1.0-47-amd64 SMP preempt mod_unload modversions ' should be '6.1.9-47-amd64 SMP preempt \
         mod_unload modversions '",
    ];
    assert_refused(&verdict, LoaderStep::Vermagic, ENOEXEC, &lines);
    assert_eq!(verdict.taint.as_deref(), Some("F"), "a refused attempt taints all the same");
}

#[test]
fn one_token_or_a_space_at_the_end_is_enough() {
    let kernel = debian("6.1.0");
    let string = |preempt: &str| format!("6.1.0-47-amd64 SMP {preempt} mod_unload modversions ");
    let other = hello(&[(b"SMP preempt", b"SMP preemqt")]);
    let line = format!("hello_4: version magic '{}' should be '{}'", string("preemqt"), string("preempt"));
    assert_refused(&insmod(&other, &kernel, Force::None), LoaderStep::Vermagic, ENOEXEC, &[&line]);

    let spaceless = hello(&[(b"modversions \0", b"modversions\0\0")]);
    let verdict = insmod(&spaceless, &kernel, Force::None);
    assert_eq!((verdict.stage, verdict.errno), (Some(LoaderStep::Vermagic), Some(ENOEXEC)));
}

#[test]
fn module_layout_is_looked_at_before_vermagic() {
    let kernel = with_export(debian("6.12.9"), "module_layout", |export| export.crc = Some(1));
    let other = hello(&[(b"SMP preempt", b"SMP preemqt")]);
    let line = "hello_4: disagrees about version of symbol module_layout";
    let kernel = {
        let mut kernel = kernel;
        kernel.facts.fingerprint = None;
        kernel
    };
    assert_refused(&insmod(&other, &kernel, Force::None), LoaderStep::ModuleLayout, ENOEXEC, &[line]);
}

#[test]
fn a_symbol_that_differs_or_is_missing_has_its_lines_and_the_last_ones_errno() {
    let kernel = with_export(debian("6.1.0"), "_printk", |export| export.crc = Some(7));
    let differs = [
        OUT_OF_TREE,
        UNSIGNED,
        "hello_4: disagrees about version of symbol _printk",
        "hello_4: Unknown symbol _printk (err -22)",
    ];
    assert_refused(&insmod(&hello(&[]), &kernel, Force::None), LoaderStep::Symbols, EINVAL, &differs);

    let kernel = without_export(kernel, "param_ops_charp");
    let both = [&differs[..], &["hello_4: Unknown symbol param_ops_charp (err -2)"]].concat();
    assert_refused(&insmod(&hello(&[]), &kernel, Force::None), LoaderStep::Symbols, ENOENT, &both);
}

#[test]
fn gpl_only_symbols_do_not_exist_for_others() {
    let kernel = with_export(debian("6.1.0"), "_printk", |export| export.gpl_only = Some(true));
    let verdict = insmod(&hello(&[(b"license=GPL", b"license=BSD")]), &kernel, Force::None);
    let lines = [
        OUT_OF_TREE,
        "hello_4: module license 'BSD' taints kernel.",
        UNSIGNED,
        "hello_4: Unknown symbol _printk (err -2)",
    ];
    assert_refused(&verdict, LoaderStep::Symbols, ENOENT, &lines);
    assert_eq!(verdict.taint.as_deref(), Some("POE"));
}

/// 6.14 does not support them, 7.2 does; the versions between them were not read and are undecided.
#[test]
fn a_namespace_for_named_modules_needs_no_import_where_the_kernel_knows_it() {
    let judged = |version: &str| {
        let namespace = Some("module:hello-*".to_owned());
        insmod(
            &hello(&[]),
            &with_export(debian(version), "_printk", |export| export.namespace = namespace),
            Force::None,
        )
    };
    let old = judged("6.1.0");
    assert_eq!((old.answer, old.errno), (Decision::Refused, Some(EINVAL)), "{old:#?}");
    assert_unknown(&judged("6.17.1"), &["_printk (does the kernel know namespaces for named modules? its image)"]);
    let new = judged("7.2.0");
    assert!(new.findings.iter().all(|f| f.step != LoaderStep::Symbols || f.result == StepResult::Pass), "{new:#?}");
}

#[test]
fn a_namespace_must_be_imported() {
    let kernel = with_export(debian("6.1.0"), "_printk", |export| export.namespace = Some("LAB".to_owned()));
    let lines = [
        OUT_OF_TREE,
        UNSIGNED,
        "hello_4: module uses symbol (_printk) from namespace LAB, but does not import it.",
        "hello_4: Unknown symbol _printk (err -22)",
    ];
    assert_refused(&insmod(&hello(&[]), &kernel, Force::None), LoaderStep::Symbols, EINVAL, &lines);

    let lenient = with_option(kernel.clone(), "MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS", true);
    assert_accepted(&insmod(&hello(&[]), &lenient, Force::None), "OE", &lines[..3]);

    let importing = hello(&[(b"author=The kmodlab fixtures", b"import_ns=LAB\0x= kmodlab fi")]);
    assert_accepted(&insmod(&importing, &kernel, Force::None), "OE", &[OUT_OF_TREE, UNSIGNED]);
}

#[test]
fn exports_of_other_modules_count_as_loaded_except_with_plain_insmod() {
    let mut kernel = without_export(debian("6.1.0"), "param_ops_charp");
    let crc = kmodlab::kernel::Export { crc: Some(0x5c28e3b1), gpl_only: Some(false), namespace: Some(String::new()) };
    let exporter = TreeModule {
        name: "charps".to_owned(),
        file: "kernel/lib/charps.ko".into(),
        depends: Vec::new(),
        exports: vec![("param_ops_charp".to_owned(), crc)],
        is_added: false,
    };
    let tree = ModuleTree::new(vec![exporter], vec![BuiltIn { name: "other".to_owned(), in_sysfs: false }]);
    kernel.facts.tree = Some(Fact { value: tree, source: "this test".into() });

    let with_dependencies = judge(&hello(&[]), &kernel, LoadOptions::default());
    assert_accepted(&with_dependencies, "OE", &[OUT_OF_TREE, UNSIGNED]);
    assert_eq!(with_dependencies.needs, ["charps"]);

    let lines = [OUT_OF_TREE, UNSIGNED, "hello_4: Unknown symbol param_ops_charp (err -2)"];
    assert_refused(&insmod(&hello(&[]), &kernel, Force::None), LoaderStep::Symbols, ENOENT, &lines);
}

#[test]
fn signatures_are_enforced_by_configuration_policy_and_lockdown() {
    let forced = with_option(debian("6.1.0"), "MODULE_SIG_FORCE", true);
    let line = "Loading of unsigned module is rejected";
    assert_refused(&insmod(&hello(&[]), &forced, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);
    let old = with_option(upstream("4.19.0"), "MODULE_SIG_FORCE", true);
    assert_eq!(insmod(&hello(&[]), &old, Force::None).dmesg, [] as [&str; 0], "4.20 and before say nothing");

    let policy = |policy| {
        let mut kernel = debian("6.1.0");
        kernel.facts.policy = Some(Fact { value: policy, source: "this test".into() });
        kernel
    };
    let enforced = policy(Policy { sig_enforce: Some(true), ..Policy::default() });
    assert_refused(&insmod(&hello(&[]), &enforced, Force::None), LoaderStep::Signature, EKEYREJECTED, &[line]);

    let locked = policy(Policy { locked_down: Some(true), ..Policy::default() });
    let line = "Lockdown: insmod: unsigned module loading is restricted; see man kernel_lockdown.7";
    assert_refused(&insmod(&hello(&[]), &locked, Force::None), LoaderStep::Signature, EPERM, &[line]);
}

#[test]
fn a_system_may_take_no_modules_or_not_this_one() {
    let policy = |policy| {
        let mut kernel = debian("6.12.9");
        kernel.facts.fingerprint = debian("6.1.0").facts.fingerprint;
        kernel.facts.policy = Some(Fact { value: policy, source: "this test".into() });
        kernel
    };
    let disabled = policy(Policy { modules_disabled: Some(true), ..Policy::default() });
    assert_refused(&insmod(&hello(&[]), &disabled, Force::None), LoaderStep::Permission, EPERM, &[]);

    let blacklisted = policy(Policy { blacklist: vec!["hello_4".to_owned()], ..Policy::default() });
    let line = "Module hello_4 is blacklisted";
    assert_refused(&insmod(&hello(&[]), &blacklisted, Force::None), LoaderStep::Blacklist, EPERM, &[line]);

    let loaded = policy(Policy { loaded: vec!["hello_4".to_owned()], ..Policy::default() });
    assert_refused(&insmod(&hello(&[]), &loaded, Force::None), LoaderStep::Name, EEXIST, &[]);
}

#[test]
fn a_built_in_module_with_parameters_has_the_name_already() {
    let mut kernel = debian("6.1.0");
    let built_in = BuiltIn { name: "hello-4".to_owned(), in_sysfs: true };
    let tree = ModuleTree::new(Vec::new(), vec![built_in]);
    kernel.facts.tree = Some(Fact { value: tree, source: "this test".into() });
    let lines = [OUT_OF_TREE, UNSIGNED, "hello_4: module is already loaded"];
    assert_refused(&insmod(&hello(&[]), &kernel, Force::None), LoaderStep::Name, EINVAL, &lines);
}

#[test]
fn a_module_without_a_name_of_its_own_has_no_folder_in_sysfs() {
    // The name that zeros of struct module follow; the name in modinfo is followed by only one.
    let nameless = hello(&[(b"hello_4\0\0", b"\0\0\0\0\0\0\0\0\0")]);
    let lines = [
        ": loading out-of-tree module taints kernel.",
        ": module verification failed: signature and/or required key missing - tainting kernel",
    ];
    assert_refused(&insmod(&nameless, &debian("6.1.0"), Force::None), LoaderStep::Name, EINVAL, &lines);
}

#[test]
fn a_module_of_another_machine_is_refused_at_once() {
    let line = "Invalid architecture in ELF header: 183";
    let arm = fixture("modules/extended.ko");
    assert_refused(&insmod(&arm, &debian("6.1.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
    let line = "Module has invalid ELF structures";
    assert_refused(&insmod(&arm, &debian("5.10.262"), Force::None), LoaderStep::Elf, ENOEXEC, &[line]);
    assert_refused(&insmod(&arm, &upstream("5.4.0"), Force::None), LoaderStep::Elf, ENOEXEC, &[]);
}
