//! If all modules of a tree are stripped as OpenWrt strips them, its kernel does not compare the version magic.

use kmodlab::error::ErrorKind;
use kmodlab::kernel::{Kernel, NoVermagic};
use kmodlab::predict::{LoaderStep, PatchHelps, StepResult};

use crate::evidence::{Tree, added, exporting, notes, outcome, own};
use crate::make::trees::TreeModule;

const LAYOUT: (&str, u32) = ("module_layout", 1);

/// Built as OpenWrt builds modules: without version magic, name and `intree`.
fn stripped(name: &'static str, imports: &[(&'static str, u32)]) -> TreeModule {
    TreeModule { vermagic: "", ..added(name, imports) }
}

/// A flat tree like OpenWrt's, with these files and two more stripped modules.
fn tree(more: &[(&str, &TreeModule)]) -> Tree {
    let exporter = exporting(stripped("nf_a", &[LAYOUT]), &[("nf_call", 5)]);
    let user =
        TreeModule { entries: vec!["depends=nf_a"], ..stripped("nf_b", &[LAYOUT, ("nf_call", 5), ("_printk", 7)]) };
    Tree::of(&[&[("nf_a.ko", &exporter), ("nf_b.ko", &user)], more].concat())
}

fn skips_vermagic(kernel: &Kernel, module: &TreeModule) -> bool {
    outcome(&crate::evidence::ask(module, kernel), LoaderStep::Vermagic) == Some(StepResult::Skip)
}

#[test]
fn a_stripped_kernel_compares_no_vermagic() {
    let kernel = tree(&[]).kernel();
    assert!(kernel.vermagic.is_none());
    assert_eq!(kernel.facts.stripped.as_ref().unwrap().value, 2);
    for module in [stripped("nf_c", &[LAYOUT]), own("other", &[LAYOUT]), added("foreign", &[LAYOUT])] {
        assert!(skips_vermagic(&kernel, &module), "{}", module.name);
        let verdict = crate::evidence::ask(&module, &kernel);
        assert!(notes(&verdict, LoaderStep::Vermagic).contains("CONFIG_MODULE_STRIPPED"));
        assert_ne!(verdict.patch_helps(), PatchHelps::Yes);
    }
}

#[test]
fn the_folder_shows_the_release_and_the_modules_everything_else() {
    let tree = tree(&[]);
    for kernel in [tree.kernel(), crate::evidence::named(tree.0.path())] {
        assert_eq!(kernel.release(), Some("6.1.99-demo"));
        let facts = &kernel.facts;
        assert!(facts.machine.is_some() && facts.fingerprint.is_some());
        assert_eq!(facts.tree.as_ref().unwrap().value.modules.len(), 2);
        assert_eq!(facts.crc("nf_call", None), Some(5));
        assert_eq!(facts.crc("_printk", None), Some(7));
        assert!(matches!(kernel.why_no_vermagic(), NoVermagic::Stripped(_)));
    }
}

#[test]
fn one_module_with_a_vermagic_or_a_name_shows_that_the_tree_is_not_stripped() {
    let name_alone = TreeModule { entries: vec!["name=nf_d"], ..stripped("nf_d", &[LAYOUT]) };
    let with_vermagic = tree(&[("nf_d.ko", &own("nf_d", &[LAYOUT]))]).kernel();
    assert!(with_vermagic.facts.stripped.is_none() && with_vermagic.vermagic.is_some());
    assert!(!skips_vermagic(&with_vermagic, &added("asked", &[LAYOUT])));
    let lookup = kmodlab::kernel::Lookup { max_size: 1 << 30, cache: None };
    let mixed = tree(&[("nf_d.ko", &name_alone)]);
    let error = kmodlab::kernel::named(mixed.folder().as_os_str(), &lookup).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn the_image_of_the_same_kernel_decides() {
    let tree = tree(&[]);
    let image = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/kernels/vmlinux-amd64")).unwrap();
    let release = b"6.1.0-1-kmodlab";
    let same = |text: &str| {
        let mut image = image.clone();
        let at = memchr::memmem::find(&image, b"disagrees about version of symbol %s").unwrap();
        image[at..at + text.len()].copy_from_slice(text.as_bytes());
        assert!(memchr::memmem::find(&image, release).is_some());
        let boot = tree.0.path().join("boot");
        std::fs::create_dir_all(&boot).unwrap();
        std::fs::write(boot.join("vmlinuz-6.1.99-demo"), image).unwrap();
        tree.kernel()
    };
    let compares = same("version magic '%s' should be '%s'");
    assert!(compares.vermagic.is_some());
    assert_eq!(
        outcome(&crate::evidence::ask(&added("asked", &[]), &compares), LoaderStep::Vermagic),
        Some(StepResult::Fail)
    );
    // The loader of an image that knows symbol versions and lacks this line does not compare.
    assert!(skips_vermagic(&same("disagrees about version of symbol"), &added("asked", &[])));
}

#[test]
fn a_module_does_not_vouch_for_its_own_kernel() {
    let asked = stripped("alone", &[LAYOUT, ("_printk", 7)]);
    let tree = Tree::of(&[("alone.ko", &asked)]);
    assert_ne!(outcome(&tree.ask(&asked), LoaderStep::Vermagic), Some(StepResult::Skip));
}

#[test]
fn a_patch_to_such_a_kernel_is_not_needed() {
    let kernel = tree(&[]).kernel();
    let error = kernel.known_vermagic().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoVermagic);
    assert!(error.to_string().ends_with("its loader does not compare it, so no patch is needed"), "{error}");
}
