//! Promise: `verify --against` says of each module whether it is as the distribution built it, and how it differs; for real
//! module trees that a script of shell and Python changed, which knows nothing of this project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::real::{KMODLAB, alone, fetched, run};

/// How many modules are changed.
const CHANGED: usize = 200;

/// A module tree that the script changed.
struct AlteredTree {
    _folder: tempfile::TempDir,
    tree: PathBuf,
    package: PathBuf,
    /// How each file was changed, by its path.
    changes: BTreeMap<PathBuf, String>,
}

impl AlteredTree {
    /// The package of this kernel, unpacked by dpkg and changed.
    fn of(kernel: &str) -> AlteredTree {
        let package = fetched::packages(kernel).remove(0);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        assert!(run("dpkg", ["-x".as_ref(), package.as_os_str(), folder.path().as_os_str()]).status.success());
        let modules = ["lib/modules", "usr/lib/modules"].map(|below| folder.path().join(below));
        let modules = modules.into_iter().find(|modules| modules.is_dir()).unwrap();
        let tree = std::fs::read_dir(modules).unwrap().next().unwrap().unwrap().path();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/alter");
        let altered = run(script.to_str().unwrap(), [tree.to_str().unwrap(), &CHANGED.to_string()]);
        assert!(altered.status.success(), "{altered:?}");
        let lines = String::from_utf8(altered.stdout).unwrap();
        let changes = lines.lines().map(|line| line.split_once('\t').unwrap());
        let changes = changes.map(|(kind, path)| (tree.join(path), kind.to_owned())).collect();
        AlteredTree { _folder: folder, tree, package, changes }
    }

    /// What `verify --against` says of each module: its report by its path, and the exit status.
    fn verify(&self) -> (BTreeMap<PathBuf, Value>, Option<i32>) {
        let arguments = ["verify", "--json", "--against", self.package.to_str().unwrap(), self.tree.to_str().unwrap()];
        let output = run(KMODLAB, arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let reports = String::from_utf8(output.stdout).unwrap();
        let reports = reports.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let by_path = reports.map(|report| (PathBuf::from(report["module"].as_str().unwrap()), report)).collect();
        (by_path, output.status.code())
    }
}

/// The relation that a change must have, and the difference that is shown.
fn expected(kind: &str) -> (&'static str, Option<&'static str>) {
    match kind {
        "string" => ("patched", Some("vermagic")),
        "crc" => ("patched", Some("symbol-versions")),
        "signature" => ("patched", Some("signature")),
        "section" => ("patched", Some("btf")),
        "xz" | "zstd" | "gzip" => ("recompressed", None),
        "code" => ("code-changed", None),
        "removed" => ("missing", None),
        "extra" => ("extra", None),
        other => panic!("{other}"),
    }
}

fn classified(kernel: &str) {
    let altered = AlteredTree::of(kernel);
    let begun = Instant::now();
    let (reports, status) = altered.verify();
    let passed = begun.elapsed();
    assert_eq!(status, Some(1));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (path, report) in &reports {
        let relation = report["relation"].as_str().unwrap();
        *counts.entry(relation.to_owned()).or_default() += 1;
        let Some(kind) = altered.changes.get(path) else {
            assert_eq!(relation, "original", "{report}");
            continue;
        };
        let (wanted, aspect) = expected(kind);
        assert_eq!(relation, wanted, "{kind}: {report}");
        let aspects: Vec<&str> =
            report["differences"].as_array().unwrap().iter().map(|d| d["aspect"].as_str().unwrap()).collect();
        assert_eq!(aspects, aspect.into_iter().collect::<Vec<_>>(), "{kind}: {report}");
        let sections = report["sections"].as_array().unwrap();
        match kind.as_str() {
            "code" => assert_eq!((&sections[0]["section"], &sections[0]["differing"]), (&".text".into(), &1.into())),
            _ => assert_eq!(sections.len(), 0, "{report}"),
        }
    }
    let reported: BTreeSet<&PathBuf> = reports.keys().collect();
    assert!(altered.changes.keys().all(|path| reported.contains(path)), "a changed module is not reported");
    println!("{kernel}: {} modules in {:.1} s: {counts:?}", reports.len(), passed.as_secs_f64());
    let extra = counts["extra"];
    assert_eq!(altered.changes.len(), CHANGED + extra);
    assert_eq!(counts["original"], reports.len() - CHANGED - extra);
}

#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn each_changed_module_of_an_uncompressed_tree_is_classified() {
    let _alone = alone();
    classified("amd64-6.1");
}

#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn each_changed_module_of_a_compressed_tree_is_classified() {
    let _alone = alone();
    classified("amd64-6.12");
}
