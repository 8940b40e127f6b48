//! Kernels that are named in different ways.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ErrorKind;
use crate::kernel::{Lookup, named};

const LOOKUP: Lookup = Lookup { max_size: 1 << 20, cache: None };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn join(parts: &[&Path]) -> OsString {
    parts.iter().map(|part| part.as_os_str()).collect::<Vec<_>>().join(OsStr::new("+"))
}

#[test]
fn a_package_with_a_plus_in_its_name_is_one_and_joins_others() {
    let image = fixture("packages/image+zst.deb");
    let kernel = named(image.as_os_str(), &LOOKUP).unwrap();
    assert!(kernel.facts.tree.is_none());
    let both = join(&[&image, &fixture("packages/modules+gz.deb")]);
    assert_eq!(named(&both, &LOOKUP).unwrap().facts.tree.unwrap().value.modules.len(), 1);
}

#[test]
fn single_files_add_their_facts() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let symvers = put("Module.symvers", "0x00000001\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n");
    let config = put("config", "# a kernel's\nCONFIG_MODULES=y\n");
    let map = put("System.map", "ffffffff82000000 r __ksymtab_kmalloc\nffffffff82000010 R __stop___ksymtab\n");
    let alone = named(symvers.as_os_str(), &LOOKUP).unwrap_err();
    assert_eq!(alone.kind(), ErrorKind::NotFound);
    let module = fixture("modules/hello-4.ko");
    let facts = named(&join(&[&module, &symvers, &config]), &LOOKUP).unwrap().facts;
    let exports = facts.exports.unwrap().value;
    assert!(exports.complete && exports.symbols["kfree"].crc == Some(1));
    assert_eq!(facts.config.unwrap().value["MODULES"], "y");
    let exports = named(&join(&[&module, &map]), &LOOKUP).unwrap().facts.exports.unwrap().value;
    assert!(exports.complete && exports.symbols.contains_key("kmalloc"));
}

#[test]
fn an_unpacked_package_tells_what_the_package_tells() {
    let root = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fixture(from), to).unwrap();
    };
    copy("kernels/bzImage-xz", "boot/vmlinuz-6.1.0-1-kmodlab");
    copy("modules/hello-4.ko", "lib/modules/6.1.0-1-kmodlab/kernel/hello-4.ko");
    std::os::unix::fs::symlink("/", root.path().join("lib/modules/6.1.0-1-kmodlab/build")).unwrap();
    for name in [root.path().to_owned(), root.path().join("lib/modules/6.1.0-1-kmodlab")] {
        let facts = named(name.as_os_str(), &LOOKUP).unwrap().facts;
        assert_eq!(facts.vermagic.unwrap().value.release().unwrap().text, "6.1.0-1-kmodlab");
        assert!(facts.exports.unwrap().value.complete, "{}", name.display());
        assert_eq!(facts.tree.unwrap().value.modules.len(), 1);
    }
    copy("kernels/vmlinux-amd64-7.2", "boot/vmlinuz-7.2.1-kmodlab");
    let error = named(root.path().as_os_str(), &LOOKUP).unwrap_err();
    assert_eq!(error.what(), "2 kernels in it: 6.1.0-1-kmodlab, 7.2.1-kmodlab");
}
