//! Promise: the package contains only what its users need, and builds from its own tarball.

use std::path::Path;
use std::process::Command;

/// The largest allowed tarball, in bytes.
const LARGEST: u64 = 2 << 20;

/// The allowed first components of the paths in the package.
const PARTS: [&str; 13] = [
    ".cargo_vcs_info.json",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SAFETY.md",
    "docs",
    "examples",
    "fixtures",
    "src",
];

/// Runs cargo without a network, and returns what it printed.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(folder);
    // What the cargo that runs this test says of this crate is not of the other build, and some build scripts look at it: the
    // next build would compile their crates again. Profiles are meant for both.
    for (name, _) in std::env::vars_os() {
        let is_meant =
            |name: &str| !name.starts_with("CARGO_") || name == "CARGO_HOME" || name.starts_with("CARGO_PROFILE_");
        if !name.to_str().is_some_and(is_meant) {
            command.env_remove(name);
        }
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_package_has_what_users_need() {
    let list = cargo(Path::new(env!("CARGO_MANIFEST_DIR")), &["package", "--allow-dirty", "--list"]);
    let files: Vec<&str> = list.lines().collect();
    assert!(files.contains(&"src/lib.rs") && files.contains(&"fixtures/modules/hello-4.ko"), "{files:#?}");
    let strays: Vec<&&str> = files.iter().filter(|file| !PARTS.contains(&file.split('/').next().unwrap())).collect();
    assert_eq!(strays, Vec::<&&str>::new());
}

/// In the target folder of these tests, so that dependencies are compiled only once.
#[test]
#[ignore = "compiles the crate again: tests/run runs it"]
fn the_package_is_small_and_builds_from_its_tarball() {
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("target");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    cargo(top, &["package", "--allow-dirty", "--no-verify", "--quiet", "--target-dir", packed.to_str().unwrap()]);
    let name = concat!("kmodlab-", env!("CARGO_PKG_VERSION"));
    let tarball = packed.join("package").join(format!("{name}.crate"));
    let size = tarball.metadata().unwrap().len();
    println!("{name}.crate: {size} bytes");
    assert!(size < LARGEST, "{size} bytes");

    let unpacked = Command::new("tar").arg("-xf").arg(&tarball).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let mut check = vec!["check", "--locked", "--quiet", "--target-dir", target.to_str().unwrap()];
    if !cfg!(debug_assertions) {
        check.push("--release");
    }
    cargo(&folder.path().join(name), &check);
}
