//! Names, aliases and built-in modules in a module tree made by the test and indexed by kmod's own `depmod`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::show::{KMODLAB, assert_as_modinfo, fixtures, run};

const RELEASE: &str = "6.1.0-made-up";

/// A root folder with one module tree.
struct Tree {
    root: TempDir,
}

impl Tree {
    fn new() -> Tree {
        let tree = Tree { root: tempfile::tempdir().unwrap() };
        let plain = fs::read(fixtures().join("modules/hello-4.ko")).unwrap();
        tree.write("kernel/drivers/hello-4.ko", &plain);
        tree.write("kernel/drivers/net/virtio-one.ko", with_alias(&plain, "pci:v00001AF4d00001000sv*sd*bc*sc*i*"));
        tree.write("kernel/drivers/net/virtio_two.ko", with_alias(&plain, "pci:v00001AF4d0000[0-9a-f]*sv*sd*"));
        tree.write("kernel/fs/fs-three.ko", with_alias(&plain, "fs-three_four"));
        tree.write("kernel/sound/dotted.name.ko", &plain);
        tree.write("updates/exports.ko", fs::read(fixtures().join("modules/exports.ko")).unwrap());
        tree.write("updates/packed.ko.xz", fs::read(fixtures().join("modules/hello-4.ko.xz")).unwrap());
        tree.write("modules.order", "kernel/drivers/hello-4.ko\n");
        tree.write("modules.builtin", "kernel/lib/built-in.ko\nkernel/lib/silent.ko\nkernel/fs/built_fs.ko\n");
        let own = [
            "built_in.license=GPL",
            "built_in.file=kernel/lib/built-in",
            "built_in.parmtype=level:int",
            "built_in.parm=level:How loud",
            "built_in.author=Somebody=else",
            "built_fs.file=kernel/fs/built_fs",
            "built_fs.license=GPL v2",
            "built_fs.alias=fs-builtfs",
            "other.param=none of theirs",
        ];
        tree.write("modules.builtin.modinfo", own.map(|string| format!("{string}\0")).concat());
        tree
    }

    fn home(&self) -> PathBuf {
        self.root.path().join("lib/modules").join(RELEASE)
    }

    fn write(&self, place: &str, content: impl AsRef<[u8]>) {
        let path = self.home().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The same tree with its indexes.
    fn indexed(self) -> Tree {
        let output = run(self.root.path(), "depmod", ["-b", self.root.path().to_str().unwrap(), RELEASE]);
        assert!(output.status.success(), "depmod: {}", String::from_utf8_lossy(&output.stderr));
        self
    }

    fn base(&self) -> &str {
        self.root.path().to_str().unwrap()
    }
}

/// The module with its description replaced by an alias, padded with NULs to the old length.
fn with_alias(module: &[u8], alias: &str) -> Vec<u8> {
    let old = b"description=Says hello when it comes and goodbye when it goes";
    let mut new = format!("alias={alias}").into_bytes();
    assert!(new.len() <= old.len(), "{alias} is too long");
    new.resize(old.len(), 0);
    let at = module.windows(old.len()).position(|window| window == old).expect("hello-4.ko has another description");
    [module.get(..at), Some(&new[..]), module.get(at + old.len()..)].map(Option::unwrap).concat()
}

/// Names that a person may use.
const NAMES: [&str; 26] = [
    "hello-4",
    "hello_4",
    "virtio-one",
    "virtio_one",
    "virtio-two",
    "virtio_two",
    "fs_three",
    "exports",
    "packed",
    "dotted",
    "dotted.name",
    // Aliases: one that matches two modules, one that matches one, one in which `-` and `_` are exchanged.
    "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00",
    "pci:v00001AF4d00009abcsv00001AF4sd00000001",
    "fs-three-four",
    "fs_three_four",
    // Built-in modules: with modinfo, without any, by an alias.
    "built-in",
    "built_in",
    "silent",
    "built_fs",
    "fs-builtfs",
    // Names that do not exist.
    "nobody",
    "HELLO_4",
    "hello",
    "hello-4.ko",
    "other",
    "pci:v0000FFFFd00000000",
];

const WAYS: [&[&str]; 12] = [
    &[],
    &["-0"],
    &["-n"],
    &["-F", "filename"],
    &["-F", "name"],
    &["-F", "license"],
    &["-F", "alias"],
    &["-F", "file"],
    &["-a"],
    &["-d"],
    &["-p"],
    &["-p", "-0"],
];

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn each_name_and_alias_in_each_way() {
    let tree = Tree::new().indexed();
    let mut bytes = 0;
    for name in NAMES {
        for way in WAYS {
            bytes += assert_as_modinfo(Path::new("/"), &[&["-k", RELEASE, "-b", tree.base()], way, &[name]].concat());
        }
    }
    println!("{} look-ups compared, {bytes} bytes, 0 differ", NAMES.len() * WAYS.len());
    assert!(bytes > 10_000, "modinfo printed next to nothing");
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn long_options_a_relative_folder_and_several_names() {
    let tree = Tree::new().indexed();
    let here = tree.root.path();
    let release = ["--set-version", RELEASE, "--basedir"];
    assert_as_modinfo(here, &[&release[..], &[tree.base(), "hello_4"]].concat());
    for base in [".", "./", "lib/.."] {
        assert_as_modinfo(here, &["-k", RELEASE, "-b", base, "-n", "hello_4", "exports", "built-in"]);
    }
    assert_as_modinfo(here, &["-k", RELEASE, "-b", ".", "hello_4", "nobody", "packed"]);
    // A path is used as it is.
    let path = format!("lib/modules/{RELEASE}/updates/exports.ko");
    assert_as_modinfo(here, &["-k", RELEASE, "-b", ".", &path, "hello_4"]);
    assert_as_modinfo(here, &["-k", "of-no-kernel", "-b", ".", "hello_4"]);
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn an_alias_of_two_modules_shows_both() {
    let tree = Tree::new().indexed();
    let alias = "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00";
    let output = run(tree.root.path(), KMODLAB, ["show", "-k", RELEASE, "-b", tree.base(), "-n", alias]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains("virtio-one.ko") && text.contains("virtio_two.ko"), "{text}");
}

/// Without an index modinfo finds nothing; kmodlab searches the tree, so that an unpacked tree can be inspected.
#[test]
fn a_tree_without_indexes_is_searched() {
    let tree = Tree::new();
    let show = |name: &str| {
        let output = run(tree.root.path(), KMODLAB, ["show", "-k", RELEASE, "-b", tree.base(), "-n", name]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let file = |place: &str| format!("{}\n", tree.home().join(place).display());
    assert_eq!(show("hello-4"), (Some(0), file("kernel/drivers/hello-4.ko")));
    assert_eq!(show("virtio-two"), (Some(0), file("kernel/drivers/net/virtio_two.ko")));
    assert_eq!(show("packed"), (Some(0), file("updates/packed.ko.xz")));
    assert_eq!(show("nobody"), (Some(2), String::new()));
}
