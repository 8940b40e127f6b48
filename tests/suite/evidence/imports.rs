//! The imports of modules show that some file exports a symbol, but not that the image does.

use kmodlab::predict::{Decision, LoaderStep, StepResult};

use crate::evidence::{Tree, added, ask, depending, exporting, named, notes, outcome, own};

const LAYOUT: (&str, u32) = ("module_layout", 1);

#[test]
fn an_exporter_is_no_duplicate_of_what_its_users_import() {
    let exporter = exporting(own("exporter", &[LAYOUT]), &[("shared_a", 0x0a), ("shared_b", 0x0b)]);
    let users = [
        depending(own("user_a", &[LAYOUT, ("shared_a", 0x0a)]), "depends=exporter"),
        depending(own("user_b", &[LAYOUT, ("shared_b", 0x0b)]), "depends=exporter,other"),
        depending(added("user_c", &[LAYOUT, ("shared_a", 0x0a), ("_printk", 7)]), "depends=exporter"),
    ];
    for user in &users {
        let tree = Tree::of(&[("kernel/user.ko", user)]);
        for kernel in [tree.kernel(), named(&tree.folder().join("kernel/user.ko"))] {
            let verdict = ask(&exporter, &kernel);
            assert_eq!(outcome(&verdict, LoaderStep::Exports), Some(StepResult::Unknown), "{verdict:#?}");
        }
    }
    let files: Vec<(&str, _)> = ["kernel/a.ko", "kernel/b.ko", "kernel/c.ko"].into_iter().zip(&users).collect();
    let verdict = Tree::of(&files).ask(&exporter);
    assert_eq!(
        (verdict.answer, outcome(&verdict, LoaderStep::Exports)),
        (Decision::Unknown, Some(StepResult::Unknown))
    );

    // In its own tree the module itself is the exporter, and so the image is not.
    let tree = Tree::of(&[&files[..], &[("kernel/exporter.ko", &exporter)]].concat());
    assert_eq!(outcome(&tree.ask(&exporter), LoaderStep::Exports), Some(StepResult::Pass));
}

#[test]
fn what_no_dependency_explains_is_the_images() {
    let tree = Tree::of(&[
        ("kernel/helper.ko", &exporting(own("helper", &[LAYOUT]), &[("help", 3)])),
        ("kernel/user.ko", &depending(own("user", &[LAYOUT, ("help", 3), ("image_only", 4)]), "depends=helper")),
    ]);
    let verdict = tree.ask(&exporting(added("copy", &[LAYOUT]), &[("image_only", 9)]));
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Exports)));
    assert!(verdict.dmesg.contains(&"copy: exports duplicate symbol image_only (owned by kernel)".to_owned()));
}

#[test]
fn completeness_is_claimed_only_for_existing_modules() {
    let asked = added("asked", &[LAYOUT, ("_printk", 7), ("shared", 5)]);
    let with = |depends| {
        let user = depending(own("user", &[LAYOUT, ("_printk", 7), ("shared", 5)]), depends);
        Tree::of(&[("kernel/user.ko", &user)]).ask(&asked)
    };
    let all = with("depends=");
    assert_eq!(notes(&all, LoaderStep::Symbols), "all 2 are exported");
    for depends in ["depends=exporter", "depends=exporter,other", "note=without dependencies"] {
        let verdict = with(depends);
        assert_eq!(outcome(&verdict, LoaderStep::Symbols), Some(StepResult::Unknown), "{depends}");
        assert!(
            notes(&verdict, LoaderStep::Symbols)
                .contains("is _printk, shared exported by the kernel, or by a module that it then needs?"),
            "{}",
            notes(&verdict, LoaderStep::Symbols)
        );
    }
}

#[test]
fn a_user_without_namespace_imports_shows_that_a_symbol_has_none() {
    let asked = added("asked", &[LAYOUT, ("spaced", 5)]);
    let with = |entries: &[&'static str]| {
        let mut user = own("user", &[LAYOUT, ("spaced", 5)]);
        user.entries.extend(entries);
        user
    };
    let ask = |users: &[_]| {
        let files: Vec<(&str, _)> = ["kernel/a.ko", "kernel/b.ko"].into_iter().zip(users).collect();
        Tree::of(&files).ask(&asked)
    };
    assert_eq!(outcome(&ask(&[with(&[])]), LoaderStep::Symbols), Some(StepResult::Pass));
    let unknown = ask(&[with(&["import_ns=DEMO"])]);
    assert_eq!(outcome(&unknown, LoaderStep::Symbols), Some(StepResult::Unknown));
    assert!(notes(&unknown, LoaderStep::Symbols).contains("is spaced in a namespace"), "{unknown:#?}");
    assert_eq!(outcome(&ask(&[with(&["import_ns=DEMO"]), with(&[])]), LoaderStep::Symbols), Some(StepResult::Pass));
    // A module that imports all namespaces of a user also imports the symbol's namespace.
    let mut importing = asked.clone();
    importing.entries.extend(["import_ns=DEMO", "import_ns=OTHER"]);
    let tree = Tree::of(&[("kernel/a.ko", &with(&["import_ns=DEMO"]))]);
    assert_eq!(outcome(&tree.ask(&importing), LoaderStep::Symbols), Some(StepResult::Pass));
}

#[test]
fn imports_do_not_show_whether_a_proprietary_module_may_use_a_symbol() {
    let user = own("user", &[LAYOUT, ("_printk", 7)]);
    let tree = Tree::of(&[("kernel/user.ko", &user)]);
    let mut closed = added("closed", &[LAYOUT, ("_printk", 7)]);
    assert_eq!(outcome(&tree.ask(&closed), LoaderStep::Symbols), Some(StepResult::Pass));
    closed.licence = "Proprietary";
    let verdict = tree.ask(&closed);
    assert_eq!(outcome(&verdict, LoaderStep::Symbols), Some(StepResult::Unknown));
    assert!(notes(&verdict, LoaderStep::Symbols).contains("GPL-compatible"), "{verdict:#?}");
}

#[test]
fn a_module_exporting_an_image_symbol_does_not_disprove_the_image_export() {
    let users = [own("one", &[LAYOUT, ("_printk", 7)]), own("two", &[LAYOUT, ("_printk", 7), ("kfree", 8)])];
    let added = exporting(added("double", &[LAYOUT]), &[("_printk", 9)]);
    let tree = Tree::of(&[("kernel/a.ko", &users[0]), ("kernel/b.ko", &users[1]), ("updates/double.ko", &added)]);
    let verdict = tree.ask(&added);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::Exports)));
    assert!(verdict.dmesg.contains(&"double: exports duplicate symbol _printk (owned by kernel)".to_owned()));
    // Other modules still do not need the added module.
    let verdict = tree.ask(&own("asked", &[LAYOUT, ("_printk", 7)]));
    assert_eq!(notes(&verdict, LoaderStep::Symbols), "all 1 are exported");
    assert!(verdict.needs.is_empty());

    // If no other module has the symbol, it is not known.
    let rare = exporting(added.clone(), &[("rare", 9)]);
    let tree = Tree::of(&[("kernel/a.ko", &users[0]), ("kernel/b.ko", &users[1]), ("updates/double.ko", &rare)]);
    assert_eq!(outcome(&tree.ask(&rare), LoaderStep::Exports), Some(StepResult::Unknown));
    for folder in ["kernel/double.ko", "updates/double.ko"] {
        let only = Tree::of(&[(folder, &added)]);
        assert_eq!(outcome(&only.ask(&added), LoaderStep::Exports), Some(StepResult::Unknown), "{folder}");
    }
}

#[test]
fn a_dependency_that_was_replaced_proves_nothing() {
    let exporter = exporting(own("exporter", &[LAYOUT]), &[("kept", 3), ("dropped", 4)]);
    let user = depending(own("user", &[LAYOUT, ("kept", 3), ("dropped", 4)]), "depends=exporter");
    let less = |module, crc| exporting(module, &[("kept", crc)]);
    for (path, present) in [
        ("updates/exporter.ko", less(added("exporter", &[LAYOUT]), 3)),
        ("kernel/exporter.ko", less(own("exporter", &[LAYOUT]), 5)),
        ("kernel/exporter.ko", own("exporter", &[LAYOUT])),
    ] {
        let tree =
            Tree::of(&[("kernel/user.ko", &user), (path, &present), ("kernel/other.ko", &own("other", &[LAYOUT]))]);
        let verdict = tree.ask(&exporter);
        assert_ne!(outcome(&verdict, LoaderStep::Exports), Some(StepResult::Fail), "{path}: {verdict:#?}");
    }
    // Both files of the module exist: users show the one that they were built with.
    let replaced = less(added("exporter", &[LAYOUT]), 3);
    let tree =
        Tree::of(&[("kernel/user.ko", &user), ("kernel/exporter.ko", &exporter), ("updates/exporter.ko", &replaced)]);
    assert_ne!(outcome(&tree.ask(&exporter), LoaderStep::Exports), Some(StepResult::Fail));
}
