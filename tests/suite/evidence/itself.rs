//! The module that is asked about is no evidence about its kernel, wherever it is; if other modules disagree, the majority
//! counts.

use kmodlab::predict::{Decision, LoaderStep, StepResult};

use crate::evidence::{Tree, added, ask, named, notes, outcome, own};

const LAYOUT: (&str, u32) = ("module_layout", 0xaaaa_0001);
const PRINTK: (&str, u32) = ("_printk", 0x9299_7ed8);

#[test]
fn a_module_in_its_kernels_tree_does_not_vouch_for_itself() {
    let rare = added("rare", &[LAYOUT, ("rare_symbol", 0x1234_5678)]);
    let wrong = added("wrong", &[("module_layout", 0xbbbb_0002), PRINTK]);
    let tree = Tree::of(&[
        ("kernel/drivers/one.ko", &own("one", &[LAYOUT, PRINTK])),
        ("kernel/drivers/two.ko", &own("two", &[LAYOUT, ("kfree", 0x037a_0cba)])),
        ("updates/dkms/rare.ko", &rare),
        ("updates/dkms/wrong.ko", &wrong),
    ]);
    let verdict = tree.ask(&rare);
    assert_eq!(
        (verdict.answer, outcome(&verdict, LoaderStep::ModuleLayout)),
        (Decision::Unknown, Some(StepResult::Pass))
    );
    assert!(
        notes(&verdict, LoaderStep::Symbols).contains("does the kernel or a module export rare_symbol"),
        "{verdict:#?}"
    );

    let verdict = tree.ask(&wrong);
    assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::ModuleLayout)));
    assert_eq!(verdict.dmesg, ["wrong: disagrees about version of symbol module_layout"]);

    // For other modules it neither makes module_layout doubtful, nor is it evidence for symbols that only it imports.
    let outside = tree.ask(&added("outside", &[LAYOUT, ("rare_symbol", 0x9999_9999)]));
    assert_eq!(
        (outside.answer, outcome(&outside, LoaderStep::ModuleLayout)),
        (Decision::Unknown, Some(StepResult::Pass))
    );
}

#[test]
fn a_copy_of_it_does_not_vouch_for_it_either() {
    let own_words = own("asked", &[LAYOUT, ("rare_symbol", 1)]);
    let mut copy = own_words.clone();
    copy.entries.push("description=the same words");
    let tree = Tree::of(&[
        ("kernel/one.ko", &own("one", &[LAYOUT, PRINTK])),
        ("kernel/asked.ko", &own_words),
        ("kernel/backup/asked-old.ko", &copy),
    ]);
    assert!(
        notes(&tree.ask(&own_words), LoaderStep::Symbols).contains("does the kernel or a module export rare_symbol")
    );
    let other = own("other", &[LAYOUT, ("rare_symbol", 1)]);
    assert_eq!(outcome(&tree.ask(&other), LoaderStep::Symbols), Some(StepResult::Pass), "for others both are evidence");
}

#[test]
fn a_module_named_as_its_own_kernel_shows_only_its_vermagic() {
    let asked = own("asked", &[LAYOUT, PRINTK]);
    let tree = Tree::of(&[("kernel/asked.ko", &asked)]);
    for kernel in [named(&tree.folder().join("kernel/asked.ko")), tree.kernel()] {
        let verdict = ask(&asked, &kernel);
        for step in [LoaderStep::Elf, LoaderStep::ModuleLayout, LoaderStep::Symbols, LoaderStep::Relocations] {
            assert_eq!(outcome(&verdict, step), Some(StepResult::Unknown), "{step:?}");
        }
        assert_eq!(outcome(&verdict, LoaderStep::Vermagic), Some(StepResult::Pass));
    }
}

#[test]
fn the_majority_counts_and_a_tie_is_unknown() {
    let says = |name, crc| own(name, &[LAYOUT, ("disputed", crc)]);
    let ask = |crcs: &[u32]| {
        let files = ["kernel/a.ko", "kernel/b.ko", "kernel/c.ko"];
        let modules = ["a", "b", "c"].into_iter().zip(crcs).map(|(name, crc)| says(name, *crc));
        let modules: Vec<_> = modules.collect();
        Tree::of(&files.into_iter().zip(&modules).collect::<Vec<_>>()).ask(&says("asked", 1))
    };
    assert_eq!(outcome(&ask(&[1, 2, 1]), LoaderStep::Symbols), Some(StepResult::Pass));
    assert_eq!(outcome(&ask(&[2, 2, 1]), LoaderStep::Symbols), Some(StepResult::Fail));
    assert_eq!(outcome(&ask(&[2, 1]), LoaderStep::Symbols), Some(StepResult::Unknown));
}

#[test]
fn the_kernels_own_modules_count_before_what_was_added() {
    let disputed = |crc| [LAYOUT, ("disputed", crc)];
    let files = |path: &'static str| {
        Tree::of(&[
            ("kernel/a.ko", &own("a", &disputed(1))),
            (path, &added("b", &disputed(2))),
            ("updates/c.ko", &own("c", &disputed(2))),
            ("extra/d.ko", &added("d", &disputed(2))),
        ])
    };
    for path in ["updates/b.ko", "kernel/b.ko", "weak-updates/b.ko"] {
        assert_eq!(
            outcome(&files(path).ask(&own("asked", &disputed(1))), LoaderStep::Symbols),
            Some(StepResult::Pass),
            "{path}"
        );
    }
}

#[test]
fn a_patched_module_is_no_evidence_for_crcs() {
    let mut patched = own("patched", &[LAYOUT, ("disputed", 2)]);
    patched.entries.push("kmodlab_patched=vermagic");
    let tree = Tree::of(&[("kernel/a.ko", &own("a", &[LAYOUT, PRINTK])), ("kernel/patched.ko", &patched)]);
    let verdict = tree.ask(&own("asked", &[LAYOUT, ("disputed", 1)]));
    assert!(
        notes(&verdict, LoaderStep::Symbols).contains("does the kernel or a module export disputed"),
        "{verdict:#?}"
    );
}
