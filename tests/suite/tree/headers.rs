//! Debian's headers packages, unpacked into separate small systems (`tests/real/chroot`): in each a module is built by hand,
//! and the kernel of the same version is asked about it.

use std::path::{Path, PathBuf};

use super::{KMODLAB, fetched, inside, json, top};

/// A kernel by its name in `tests/real/fetch`, and the system that has its headers.
const HEADERS: [(&str, &str); 5] = [
    ("amd64-6.1", "bookworm"),
    ("amd64-6.1-cloud", "bookworm"),
    ("amd64-6.1-rt", "bookworm"),
    ("amd64-6.12", "trixie"),
    ("amd64-7.2", "sid"),
];

const MODULE: &str = "// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>
static int __init headers_init(void) { return 0; }
static void __exit headers_exit(void) { }
module_init(headers_init);
module_exit(headers_exit);
MODULE_LICENSE(\"GPL\");
";

/// The release of the kernel, and its packages as arguments for `check`.
fn kernel(name: &str) -> (String, String) {
    let names = std::fs::read_to_string(fetched::folder(name).join(".complete")).unwrap();
    let package = names.lines().next().unwrap();
    let release = package.strip_prefix("linux-image-").or_else(|| package.strip_prefix("linux-binary-")).unwrap();
    (release.to_owned(), fetched::named(name).into_string().unwrap())
}

/// A module built out of tree with the headers of a release, in the usual way, and its version magic.
fn build(system: &str, release: &str) -> (PathBuf, String) {
    let folder = format!("/tmp/headers-{release}");
    let outside = top().join("root").join(system).join(folder.trim_start_matches('/'));
    let _ = std::fs::remove_dir_all(&outside);
    std::fs::create_dir(&outside)
        .unwrap_or_else(|error| panic!("{}: {error}: run tests/real/chroot {system}", outside.display()));
    std::fs::write(outside.join("headers.c"), MODULE).unwrap();
    std::fs::write(outside.join("Makefile"), "obj-m := headers.o\n").unwrap();
    let source = format!("/usr/src/linux-headers-{release}");
    let made = inside(system, &["make", "-C", &source, &format!("M={folder}"), "modules"]);
    assert!(made.status.success(), "{release}: {}", String::from_utf8_lossy(&made.stderr));
    let module = outside.join("headers.ko");
    let said = inside(system, &["modinfo", "-F", "vermagic", &format!("{folder}/headers.ko")]);
    assert!(said.status.success(), "{release}: {}", String::from_utf8_lossy(&said.stderr));
    let vermagic = String::from_utf8(said.stdout).unwrap();
    (module, vermagic.strip_suffix('\n').unwrap().to_owned())
}

#[test]
#[ignore = "needs tests/real/chroot, QEMU, and root: tests/run"]
fn a_module_built_with_headers_has_the_predicted_vermagic_and_loads() {
    for (name, system) in HEADERS {
        let (release, packages) = kernel(name);
        let (module, real) = build(system, &release);
        assert!(real.starts_with(&format!("{release} ")), "{name}: {real:?}");

        let said = tree(system, &release, &packages);
        assert_eq!(said["current"]["vermagic"]["value"].as_str(), Some(real.as_str()), "{name}: {said}");
        assert_eq!((&said["matches"], &said["impossible"]), (&true.into(), &serde_json::Value::Null), "{name}: {said}");
        let proof = &said["proof"];
        assert_eq!(proof["vermagic"]["value"].as_str(), Some(real.as_str()), "{name}: {proof}");
        assert_eq!(proof["as_predicted"], true, "{name}: {proof}");

        let verdict = check(&module, &packages);
        let unknown = steps(&verdict, "unknown");
        println!("{name}: {real:?}, {}, taint {}, unknown: {unknown:?}", verdict["verdict"], verdict["taint"]);
        assert!(steps(&verdict, "fail").is_empty(), "{name}: {verdict}");
        assert!(unknown.is_empty(), "{name}: {verdict}");
        assert_eq!((&verdict["verdict"], &verdict["taint"]), (&"accepted".into(), &"OE".into()), "{name}: {verdict}");
        assert_eq!((&proof["verdict"], &proof["taint"]), (&"accepted".into(), &"OE".into()), "{name}: {proof}");

        let cell = in_a_guest(&module, &packages);
        let observed = &cell["observed"];
        println!("{name}: in a guest {}, taint {}", cell["outcome"], observed["state"]["taint"]);
        assert_eq!((&observed["accepted"], &observed["errno"]), (&true.into(), &0.into()), "{name}: {cell}");
        assert_eq!(observed["state"]["taint"], "OE", "{name}: {cell}");
        assert_eq!(
            (&observed["taint_before"], &observed["taint_after"]),
            (&0.into(), &OUT_OF_TREE.into()),
            "{name}: {cell}"
        );
        assert_eq!(
            (&cell["agreement"], &observed["unload"]["gone"]),
            (&"agree".into(), &true.into()),
            "{name}: {cell}"
        );
    }
}

/// The taints O (bit 12) and E (bit 13), and no others (include/linux/panic.h).
const OUT_OF_TREE: u64 = 1 << 12 | 1 << 13;

/// The unchanged module, loaded, used and unloaded in a virtual machine.
fn in_a_guest(module: &Path, packages: &str) -> serde_json::Value {
    let output = fetched::kmodlab()
        .arg("try")
        .arg(module)
        .args(["--kernel", packages, "--load-modes", "original", "--json"])
        .output()
        .unwrap();
    json(&output).unwrap_or_else(|error| panic!("{}: {error}", module.display()))
}

/// `tree --prove` in the system itself: a headers package includes files by absolute paths.
fn tree(system: &str, release: &str, packages: &str) -> serde_json::Value {
    let program = top().join("root").join(system).join("tmp/kmodlab");
    // A running program can't be overwritten.
    let _ = std::fs::remove_file(&program);
    std::fs::copy(KMODLAB, &program).unwrap();
    // Only for the program with the same time of change is a cached value valid.
    let modified = std::fs::metadata(KMODLAB).unwrap().modified().unwrap();
    std::fs::File::options().append(true).open(&program).unwrap().set_modified(modified).unwrap();
    let source = format!("/usr/src/linux-headers-{release}");
    let cache = format!("XDG_CACHE_HOME={}", fetched::cache().display());
    let command = ["env", &cache, "/tmp/kmodlab", "tree", &source, "--json", "--prove", "--for", packages];
    let output = inside(system, &command);
    json(&output).unwrap_or_else(|error| panic!("{release}: {error}"))
}

/// The steps of a verdict with this result.
fn steps<'a>(verdict: &'a serde_json::Value, result: &str) -> Vec<&'a str> {
    let findings = verdict["findings"].as_array().unwrap();
    let these = findings.iter().filter(|finding| finding["result"] == result);
    these.map(|finding| finding["step"].as_str().unwrap()).collect()
}

fn check(module: &Path, packages: &str) -> serde_json::Value {
    let output = fetched::kmodlab().arg("check").arg(module).args(["--json", "--kernel", packages]).output().unwrap();
    json(&output).unwrap_or_else(|error| panic!("{}: {error}", module.display()))
}
