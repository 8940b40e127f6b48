//! Of two files of one module the one that depmod prefers counts; and modules that are not in a list of modules are not known.

use kmodlab::predict::{LoaderStep, StepResult};

use crate::evidence::{Tree, added, depending, exporting, notes, outcome, own};

const LAYOUT: (&str, u32) = ("module_layout", 1);

/// A tree with one of the kernel's own modules, another file of the same name with another CRC, and a user of the symbol.
fn two(other: &str) -> Tree {
    Tree::of(&[
        ("kernel/media/camera.ko", &exporting(own("camera", &[LAYOUT]), &[("camera_start", 0xaaaa)])),
        (other, &exporting(added("camera", &[LAYOUT]), &[("camera_start", 0xbbbb)])),
    ])
}

/// The CRC with which the symbol is exported.
fn crc(tree: &Tree) -> u32 {
    let user = |crc| depending(added("user", &[LAYOUT, ("camera_start", crc)]), "depends=camera");
    let passes = |crc: &u32| outcome(&tree.ask(&user(*crc)), LoaderStep::Symbols) == Some(StepResult::Pass);
    let found: Vec<u32> = [0xaaaa, 0xbbbb].into_iter().filter(passes).collect();
    assert_eq!(found.len(), 1);
    found[0]
}

#[test]
fn added_modules_take_precedence_over_the_kernels_own() {
    for other in ["updates/media/camera.ko", "extra/camera.ko", "weak-updates/x/camera.ko", "updates/dkms/camera.ko"] {
        assert_eq!(crc(&two(other)), 0xbbbb, "{other}");
    }
    assert_eq!(crc(&two("ubuntu/camera.ko")), 0xbbbb);
    // Modules in any other folder count as the kernel's own, and then paths decide.
    assert_eq!(crc(&two("misc/camera.ko")), 0xaaaa);
}

#[test]
fn the_roots_depmod_d_and_the_trees_modules_dep_decide_where_they_are() {
    let put = |tree: &Tree, path: &str, text: &str| {
        let path = tree.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let tree = two("updates/camera.ko");
    put(&tree, "usr/lib/depmod.d/dist.conf", "search built-in updates\n");
    assert_eq!(crc(&tree), 0xaaaa);
    put(&tree, "etc/depmod.d/a.conf", "override camera * updates\n");
    assert_eq!(crc(&tree), 0xbbbb);
    put(&tree, "lib/modules/6.1.99-demo/modules.dep", "kernel/media/camera.ko:\n");
    assert_eq!(crc(&tree), 0xaaaa);
}

#[test]
fn a_symbol_without_an_exporter_is_missing_only_in_a_complete_tree() {
    // Module.symvers lists the exports of the image, and the modules that export symbols.
    let symvers = "0x00000001\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n0x00000007\tof_a\tkernel/a\tEXPORT_SYMBOL\t\n";
    let tree = Tree::of(&[("kernel/a.ko", &exporting(own("a", &[LAYOUT]), &[("of_a", 7)]))]);
    let file = tree.0.path().join("Module.symvers");
    std::fs::write(&file, symvers).unwrap();
    let asked = added("asked", &[LAYOUT, ("of_nobody", 3)]);
    let ask = || {
        let both = [tree.folder().into_os_string(), file.clone().into_os_string()].join("+".as_ref());
        crate::evidence::ask(&asked, &crate::evidence::named(both.as_ref()))
    };
    let whole = ask();
    assert_eq!(
        outcome(&whole, LoaderStep::Symbols),
        Some(StepResult::Fail),
        "Module.symvers lists the exports of all modules"
    );

    std::fs::write(&file, format!("{symvers}0x00000009\tof_b\tdrivers/b\tEXPORT_SYMBOL\t\n")).unwrap();
    let partly = ask();
    assert_eq!(outcome(&partly, LoaderStep::Symbols), Some(StepResult::Unknown), "b is not there: {partly:#?}");
    assert!(notes(&partly, LoaderStep::Symbols).contains("does the kernel or a module export of_nobody"));
}

#[test]
fn a_list_of_built_in_modules_without_entries_says_nothing() {
    let tree = Tree::of(&[("kernel/a.ko", &own("a", &[LAYOUT, ("_printk", 7)]))]);
    let name = |list: Option<&str>| {
        list.into_iter().for_each(|list| tree.put("modules.builtin", list.as_bytes()));
        outcome(&tree.ask(&added("asked", &[LAYOUT])), LoaderStep::Name)
    };
    assert_eq!(name(None), Some(StepResult::Unknown));
    assert_eq!(name(Some("")), Some(StepResult::Unknown));
    assert_eq!(name(Some("kernel/lib/other.ko\n")), None);
    assert_eq!(
        outcome(&tree.ask(&own("a", &[LAYOUT])), LoaderStep::Name),
        None,
        "a module of the tree is not built in"
    );
}
