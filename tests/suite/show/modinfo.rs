//! Compared with kmod's `modinfo` and `modprobe` (30), fixture by fixture.

use std::collections::BTreeSet;
use std::path::Path;

use crate::show::{KMODLAB, assert_as_modinfo, fixtures, names, run};

/// The fixtures that kmod reads: not gzip, since Debian's kmod is built without it.
fn readable(folder: &str) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.ends_with(".gz")).collect()
}

/// All keys in any fixture, those that modinfo adds, and one that does not exist.
fn fields() -> BTreeSet<String> {
    let mut fields: BTreeSet<String> =
        ["filename", "signer", "sig_id", "sig_key", "sig_hashalgo", "signature", "sig_hash", "FILENAME", "nobody's"]
            .map(str::to_owned)
            .into();
    for folder in ["modules", "ambiguous"] {
        for name in names(folder) {
            let output = run(&fixtures().join(folder), KMODLAB, ["show", "--json", &name]);
            let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let entries = shown["modinfo"].as_array().unwrap();
            fields.extend(entries.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()));
        }
    }
    fields
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn each_field_of_each_fixture() {
    let fields = fields();
    assert!(fields.len() > 20, "{fields:?}");
    let (mut compared, mut bytes) = (0, 0);
    for folder in ["modules", "ambiguous"] {
        for name in readable(folder) {
            for field in &fields {
                bytes += assert_as_modinfo(&fixtures().join(folder), &["-F", field, &name]);
                compared += 1;
            }
        }
    }
    println!("{compared} fields of fixtures compared, {bytes} bytes, 0 differ");
    assert!(bytes > 1000, "modinfo printed next to nothing");
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn each_option_on_each_fixture() {
    for folder in ["modules", "ambiguous"] {
        for name in readable(folder) {
            for options in [
                &["--modinfo"][..],
                &["-0"],
                &["--null"],
                &["-a"],
                &["--author"],
                &["-d"],
                &["--description"],
                &["-l"],
                &["--license"],
                &["-p"],
                &["--parameters"],
                &["-n"],
                &["--filename"],
                &["-0", "-p"],
                &["-n", "-0"],
                &["-F", "parm", "-0"],
                &["--field=license"],
                // Of several options, the last one counts.
                &["-a", "-d"],
                &["-F", "license", "-p"],
                &["-p", "-F", "license"],
                &["-F", "license", "-F", "author"],
                &["-l", "-0", "-n"],
            ] {
                assert_as_modinfo(&fixtures().join(folder), &[options, &[&name]].concat());
            }
        }
    }
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn a_file_by_any_path() {
    let here = fixtures().join("modules");
    let absolute = here.join("hello-4.ko");
    for path in ["hello-4.ko", "./hello-4.ko", "../modules/hello-4.ko", ".//hello-4.ko", absolute.to_str().unwrap()] {
        assert_as_modinfo(&here, &["--modinfo", path]);
        assert_as_modinfo(&here, &["-n", path]);
    }
    assert_as_modinfo(&fixtures(), &["-n", "modules/hello-4.ko"]);
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn several_modules_and_errors_among_them() {
    let here = fixtures().join("modules");
    for arguments in [
        &["--modinfo", "hello-4.ko", "poet_atkm.ko"][..],
        &["-F", "name", "hello-4.ko", "hello-4.ko.xz", "hello-4-signed.ko"],
        &["-0", "armv7.ko", "s390x.ko"],
        &["-F", "name", "missing.ko"],
        &["-F", "name", "hello-4.ko", "missing.ko", "exports.ko"],
        &["-F", "name", "missing.ko", "exports.ko"],
        &["--modinfo", "../keys/cert.pem", "exports.ko"],
        &["-F", "name", "../hostile/text-file.ko"],
        &["-F", "name", "../hostile/empty.ko", "exports.ko"],
        // Not a folder: modinfo does not accept one, and kmodlab reads all modules in it (tests/suite/cli/show/many).
        &["-F", "license", "../nowhere", "exports.ko"],
    ] {
        assert_as_modinfo(&here, arguments);
    }
    // One bad file among several gives status 1 in both programs; a single bad file gives 2 here, as in all commands.
    let status = |arguments: &[&str]| run(&here, KMODLAB, [&["show"], arguments].concat()).status.code();
    assert_eq!(status(&["-n", "hello-4.ko", "missing.ko"]), Some(1));
    assert_eq!(status(&["-n", "missing.ko"]), Some(2));
    assert_eq!(run(&here, "modinfo", ["-n", "hello-4.ko", "missing.ko"]).status.code(), Some(1));
}

#[test]
#[ignore = "needs kmod: tests/run runs it"]
fn symbol_versions_as_modprobe_prints_them() {
    let mut lines = 0;
    for folder in ["modules", "ambiguous"] {
        for name in readable(folder) {
            // kmod 30 does not support the extended format; and modprobe requires a path.
            if name == "extended.ko" {
                continue;
            }
            let path = fixtures().join(folder).join(&name);
            let theirs = run(&fixtures(), "modprobe", ["--show-modversions".as_ref(), path.as_os_str()]);
            let ours = run(&fixtures(), KMODLAB, ["show".as_ref(), "--versions".as_ref(), path.as_os_str()]);
            assert_eq!(ours.stdout, theirs.stdout, "{name}");
            assert_eq!(ours.status.success(), theirs.status.success(), "{name}");
            lines += theirs.stdout.iter().filter(|byte| **byte == b'\n').count();
        }
    }
    assert!(lines > 20, "modprobe printed next to nothing");
}

#[test]
#[ignore = "needs tests/real/chroot trixie, and root: tests/run"]
fn as_kmod_34_lists() {
    // A folder that has the same path inside the chroot.
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real").canonicalize().unwrap();
    let copies = real.join("modules-for-kmod");
    std::fs::create_dir_all(&copies).unwrap();
    let mut compared = 0;
    for folder in ["modules", "ambiguous"] {
        for name in readable(folder) {
            let copy = copies.join(&name);
            std::fs::copy(fixtures().join(folder).join(&name), &copy).unwrap();
            let copy = copy.to_str().unwrap();
            let chroot = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/chroot");
            let theirs = run(&copies, chroot, ["--in", "trixie", "modinfo", copy]);
            let ours = run(&copies, KMODLAB, ["show", "--as-kmod", "34", copy]);
            let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(text(&ours), text(&theirs), "{name}");
            compared += 1;
        }
    }
    println!("{compared} fixtures listed as kmod 34 lists them, 0 differ");
}

#[test]
fn the_development_version_lists_the_build_id() {
    let listed = |version: &str| {
        let arguments = ["show", "--as-kmod", version, "-F", "build-id", "hello-4.ko"];
        String::from_utf8(run(&fixtures().join("modules"), KMODLAB, arguments).stdout).unwrap()
    };
    assert_eq!(listed("development"), "89:7F:15:C9:E2:D7:A6:1A:CA:C9:53:C8:E9:A4:63:9E:74:85:F0:BC\n");
    assert_eq!((listed("34"), listed("30")), (String::new(), String::new()));
}
