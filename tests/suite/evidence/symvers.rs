//! The export list of a kernel's build counts wherever it is and however it is compressed; a list that is damaged or incomplete
//! proves nothing about symbols that it does not contain.

use std::path::{Path, PathBuf};

use kmodlab::kernel::{self, Kernel, Lookup, SymbolOwner};
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::predict::{LoaderStep, StepResult};

use crate::evidence::{Tree, VERMAGIC, added, ask, exporting, notes, outcome, own};
use crate::make::pack::{gzip, xz, zstd};

const LAYOUT: (&str, u32) = ("module_layout", 1);

/// The export list of the build of the kernel in these tests.
const EXPORTS: &str = "0x00000001\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000007\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n\
    0x00000008\tsecret\tvmlinux\tEXPORT_SYMBOL_GPL\tDEMO\n\
    0x00000009\tof_helper\tdrivers/misc/helper\tEXPORT_SYMBOL_GPL\t\n";

/// A way to compress a text.
type Pack = fn(&[u8]) -> anyhow::Result<Vec<u8>>;

/// The ways in which distributions compress it.
const PACKED: [(&str, Pack); 3] = [("xz", |text| xz(text)), ("gz", |text| gzip(text)), ("zst", |text| zstd(text))];

/// A root file system with the module tree of these tests, and one more file.
fn tree_with(path: &str, bytes: &[u8]) -> Tree {
    let tree = Tree::of(&[("kernel/a.ko", &own("a", &[LAYOUT]))]);
    let file = tree.0.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, bytes).unwrap();
    tree
}

/// Both ways to name its kernel: the root file system, and the module tree.
fn kernels(tree: &Tree) -> [Kernel; 2] {
    [crate::evidence::named(tree.0.path()), tree.kernel()]
}

fn has_all_exports(kernel: &Kernel) {
    let exports = &kernel.facts.exports.as_ref().expect("exports").value;
    assert_eq!((exports.complete, exports.symbols.len()), (true, 3));
    let secret = &exports.symbols["secret"];
    assert_eq!((secret.crc, secret.gpl_only, secret.namespace.as_deref()), (Some(8), Some(true), Some("DEMO")));
    // It names a module that has no file.
    assert!(kernel.facts.tree.as_ref().unwrap().value.missing.as_ref().unwrap().contains("helper"));
    assert_eq!(kernel.facts.notes, []);
}

#[test]
fn packed_exports_count_in_the_module_tree_and_in_boot() {
    for (ending, pack) in PACKED {
        let packed = pack(EXPORTS.as_bytes()).unwrap();
        for path in [format!("lib/modules/6.1.99-demo/symvers.{ending}"), format!("boot/symvers-6.1.99-demo.{ending}")]
        {
            kernels(&tree_with(&path, &packed)).iter().for_each(has_all_exports);
        }
    }
}

#[test]
fn exports_count_in_a_build_folder_and_not_through_a_link() {
    let tree = tree_with("lib/modules/6.1.99-demo/build/Module.symvers", EXPORTS.as_bytes());
    kernels(&tree).iter().for_each(has_all_exports);
    let other = tree_with("elsewhere/Module.symvers", EXPORTS.as_bytes());
    std::os::unix::fs::symlink(other.0.path().join("elsewhere"), other.folder().join("build")).unwrap();
    assert!(kernels(&other).iter().all(|kernel| kernel.facts.exports.is_none()));
}

#[test]
fn fedoras_headers_are_found_by_their_release() {
    let tree = tree_with("usr/src/kernels/6.1.99-demo/Module.symvers", EXPORTS.as_bytes());
    let release = tree.0.path().join("usr/src/kernels/6.1.99-demo/include/config/kernel.release");
    std::fs::create_dir_all(release.parent().unwrap()).unwrap();
    std::fs::write(release, "6.1.99-demo\n").unwrap();
    has_all_exports(&crate::evidence::named(tree.0.path()));
}

#[test]
fn exports_of_another_kernel_in_boot_are_not_this_ones() {
    let tree = tree_with("boot/symvers-6.1.98-demo.xz", &xz(EXPORTS.as_bytes()).unwrap());
    assert!(kernels(&tree).iter().all(|kernel| kernel.facts.exports.is_none()));
}

#[test]
fn a_package_with_packed_exports_has_them() {
    for (ending, pack) in PACKED {
        let module = own("a", &[LAYOUT]).bytes().unwrap();
        let packed = pack(EXPORTS.as_bytes()).unwrap();
        let symvers = format!("./lib/modules/6.1.99-demo/symvers.{ending}");
        let folder = tempfile::tempdir().unwrap();
        let package =
            package(folder.path(), &[("./lib/modules/6.1.99-demo/kernel/a.ko", &module), (symvers.as_str(), &packed)]);
        has_all_exports(&crate::evidence::named(&package));
    }
}

#[test]
fn packed_exports_that_are_named_join_what_is_named_with_them() {
    for (ending, pack) in PACKED {
        let folder = tempfile::tempdir().unwrap();
        let [module, exports] = ["a.ko".to_owned(), format!("b.{ending}")].map(|name| folder.path().join(name));
        std::fs::write(&module, own("a", &[LAYOUT]).bytes().unwrap()).unwrap();
        std::fs::write(&exports, pack(EXPORTS.as_bytes()).unwrap()).unwrap();
        let kernel = crate::evidence::named(Path::new(&format!("{}+{}", module.display(), exports.display())));
        let known = |symbol| kernel.facts.symbol(symbol, None).map(|known| known.owner);
        assert_eq!(known("secret"), Some(SymbolOwner::Image));
        assert!(matches!(known("of_helper"), Some(SymbolOwner::Module(module)) if module.name == "helper"));
    }
}

#[test]
fn exports_decide_about_crcs_licences_namespaces_and_missing_symbols() {
    let tree = tree_with("lib/modules/6.1.99-demo/symvers.xz", &xz(EXPORTS.as_bytes()).unwrap());
    let helper = exporting(own("helper", &[LAYOUT]), &[("of_helper", 9)]);
    tree.put("kernel/drivers/misc/helper.ko", &helper.bytes().unwrap());
    let ask = |import| tree.ask(&added("asked", &[LAYOUT, import]));
    assert_eq!(outcome(&ask(("_printk", 7)), LoaderStep::Symbols), Some(StepResult::Pass));
    for (import, line) in [
        (("_printk", 6), "asked: disagrees about version of symbol _printk"),
        (("secret", 8), "asked: module uses symbol (secret) from namespace DEMO, but does not import it."),
        (("nowhere", 6), "asked: Unknown symbol nowhere (err -2)"),
    ] {
        let verdict = ask(import);
        assert!(verdict.dmesg.iter().any(|said| said == line), "{verdict:#?}");
        assert_ne!(outcome(&verdict, LoaderStep::Symbols), Some(StepResult::Pass), "{line}");
    }
}

#[test]
fn damaged_exports_are_left_out_and_noted() {
    for (ending, pack) in PACKED {
        let packed = pack(EXPORTS.as_bytes()).unwrap();
        let tree = tree_with(&format!("lib/modules/6.1.99-demo/symvers.{ending}"), &packed[..packed.len() / 2]);
        for kernel in kernels(&tree) {
            assert!(kernel.facts.exports.is_none());
            let [note] = kernel.facts.notes.as_slice() else { panic!("{:?}", kernel.facts.notes) };
            assert!(note.to_string().contains(&format!("symvers.{ending} left out: the ")), "{note}");
            assert!(note.to_string().ends_with("stream is cut short"), "{note}");
        }
    }
}

#[test]
fn what_is_no_list_of_exports_is_left_out_and_noted() {
    let module = own("b", &[LAYOUT]).bytes().unwrap();
    for (bytes, why) in [
        (xz(b"<html>not found</html>\n").unwrap(), "no line in it is one of a Module.symvers"),
        (xz(&module).unwrap(), "an ELF file, not a text"),
        (module, "no line in it is one of a Module.symvers"),
    ] {
        let [of_root, of_tree] = kernels(&tree_with("lib/modules/6.1.99-demo/symvers.xz", &bytes));
        for kernel in [of_root, of_tree] {
            assert!(kernel.facts.exports.is_none());
            let [note] = kernel.facts.notes.as_slice() else { panic!("{:?}", kernel.facts.notes) };
            assert!(note.to_string().ends_with(why), "{note}");
        }
    }
}

#[test]
fn a_bomb_is_left_out_and_noted() {
    let bomb = zstd(&vec![b'\n'; 1 << 21]).unwrap();
    let tree = tree_with("boot/symvers-6.1.99-demo.zst", &bomb);
    let lookup = Lookup { max_size: 1 << 20, cache: None };
    let kernel = kernel::named(tree.0.path().as_os_str(), &lookup).unwrap();
    assert!(kernel.facts.exports.is_none());
    assert!(
        kernel.facts.notes[0].to_string().ends_with("left out: it exceeds the limit of 1048576 bytes"),
        "{:?}",
        kernel.facts.notes
    );
}

#[test]
fn of_exports_that_were_half_written_nothing_is_missing_for_certain() {
    let half = &EXPORTS[..EXPORTS.find("0x00000008").unwrap() + 14];
    let tree = tree_with("lib/modules/6.1.99-demo/build/Module.symvers", half.as_bytes());
    for kernel in kernels(&tree) {
        let verdict = ask(&added("asked", &[LAYOUT, ("_printk", 7), ("secret", 8)]), &kernel);
        assert_eq!(outcome(&verdict, LoaderStep::Symbols), Some(StepResult::Unknown), "{verdict:#?}");
        assert!(notes(&verdict, LoaderStep::Symbols).contains("secret"));
        assert!(kernel.facts.notes[0].to_string().ends_with("1 unreadable line, so its exports are incomplete"));
    }
}

#[test]
fn a_named_file_that_is_damaged_is_an_error_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: None };
    for (ending, pack) in PACKED {
        let packed = pack(EXPORTS.as_bytes()).unwrap();
        let path = folder.path().join(format!("symvers.{ending}"));
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let error = kernel::named(path.as_os_str(), &lookup).unwrap_err().to_string();
        assert!(error.contains("stream is cut short") && !error.contains('\n'), "{error}");
        // Exports do not identify a kernel.
        std::fs::write(&path, &packed).unwrap();
        let error = kernel::named(path.as_os_str(), &lookup).unwrap_err().to_string();
        assert!(error.contains("nothing here has the kernel's version magic"), "{error}");
    }
    assert!(VERMAGIC.starts_with("6.1.99-demo "));
}

/// A Debian package with these files (deb(5)), uncompressed.
fn package(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    let data = tar.into_inner().unwrap();
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("data.tar", &data)] {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, content.len()).bytes());
        bytes.extend(content);
    }
    let path = folder.join("kernel.deb");
    std::fs::write(&path, bytes).unwrap();
    path
}
