//! Promise: `verify --against` says of each module whether it is as the distribution built it, and how it differs; for real
//! module trees that a script of shell and Python changed, which knows nothing of this project. `restore --from` gives back
//! the package's bytes and times of each module that differs only as a patch makes it differ, and refuses the others.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use serde_json::Value;

use crate::real::{KMODLAB, alone, fetched, run};

/// How many modules are changed.
const CHANGED: usize = 200;

/// A module tree that the script changed.
struct AlteredTree {
    folder: tempfile::TempDir,
    tree: PathBuf,
    /// The same tree as it was before.
    original: PathBuf,
    package: PathBuf,
    /// How each file was changed, by its path.
    changes: BTreeMap<PathBuf, String>,
}

impl AlteredTree {
    /// The package of this kernel, unpacked by dpkg and changed.
    fn of(kernel: &str) -> AlteredTree {
        let package = fetched::packages(kernel).remove(0);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let [tree, original] = ["changed", "original"].map(|name| {
            let root = folder.path().join(name);
            assert!(run("dpkg", ["-x".as_ref(), package.as_os_str(), root.as_os_str()]).status.success());
            let modules = ["lib/modules", "usr/lib/modules"].map(|below| root.join(below));
            let modules = modules.into_iter().find(|modules| modules.is_dir()).unwrap();
            std::fs::read_dir(modules).unwrap().next().unwrap().unwrap().path()
        });
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/alter");
        let altered = run(script.to_str().unwrap(), [tree.to_str().unwrap(), &CHANGED.to_string()]);
        assert!(altered.status.success(), "{altered:?}");
        let lines = String::from_utf8(altered.stdout).unwrap();
        let changes = lines.lines().map(|line| line.split_once('\t').unwrap());
        let changes = changes.map(|(kind, path)| (tree.join(path), kind.to_owned())).collect();
        AlteredTree { folder, tree, original, package, changes }
    }

    /// `restore --from`, with a state folder next to the trees.
    fn restore(&self, more: &[&str]) -> Output {
        let state = self.folder.path().join("state");
        let [package, tree, state] = [&self.package, &self.tree, &state].map(|path| path.to_str().unwrap());
        run(KMODLAB, [&["restore", "--json", "--state-dir", state, "--from", package, tree], more].concat())
    }

    /// The original of a file, which may have been compressed differently.
    fn original_of(&self, path: &Path) -> PathBuf {
        let path = self.original.join(path.strip_prefix(&self.tree).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        let stem = name.split_once(".ko").unwrap().0;
        let names = ["ko", "ko.xz"].map(|ending| path.with_file_name(format!("{stem}.{ending}")));
        names.into_iter().find(|name| name.is_file()).unwrap_or(path)
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

/// The objects of JSON Lines.
fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn restored(kernel: &str) {
    let altered = AlteredTree::of(kernel);
    let mode = |path: &Path| path.metadata().map(|meta| (meta.mode(), meta.uid(), meta.gid())).unwrap();
    let before: BTreeMap<&PathBuf, _> = altered
        .changes
        .iter()
        .filter(|(_, kind)| *kind != "removed")
        .map(|(path, _)| (path, (std::fs::read(path).unwrap(), mode(path))))
        .collect();
    let planned = altered.restore(&["-n"]);
    let digest = objects(&planned).iter().find_map(|plan| plan["digest"].as_str().map(str::to_owned)).unwrap();
    assert!(before.iter().all(|(path, (bytes, _))| std::fs::read(path).unwrap() == *bytes), "-n wrote something");

    let begun = Instant::now();
    let done = altered.restore(&["--confirm", &digest]);
    let passed = begun.elapsed();
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    let complaints = String::from_utf8(done.stderr.clone()).unwrap();
    let (mut given_back, mut refused) = (0, 0);
    for (path, (bytes, mode_before)) in before {
        let kind = altered.changes[path].as_str();
        let now = std::fs::read(path).unwrap();
        assert_eq!(mode(path), mode_before);
        if ["code", "extra"].contains(&kind) {
            refused += 1;
            assert!(now == bytes, "{kind}: {} was written", path.display());
            let why = if kind == "code" { "not the same module: code changed" } else { "no module of this name" };
            let is_named = |line: &str| line.contains(path.to_str().unwrap()) && line.contains(why);
            assert!(complaints.lines().any(is_named), "{kind}: {} is not named", path.display());
            continue;
        }
        given_back += 1;
        let original = altered.original_of(path);
        assert!(now == std::fs::read(&original).unwrap(), "{kind}: {} has other bytes", path.display());
        let modified = |path: &Path| path.metadata().map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
        assert_eq!(modified(path), modified(&original), "{kind}: {}", path.display());
    }
    let entries = objects(&done);
    let results = |result: &str| entries.iter().filter(|entry| entry["result"] == result).count();
    println!(
        "{kernel}: {given_back} modules with the package's bytes and times, {refused} refused, {} original, {:.1} s",
        results("original"),
        passed.as_secs_f64()
    );
    assert_eq!(results("restored"), given_back);
    assert_eq!(complaints.lines().count(), refused);
    let removed = altered.changes.values().filter(|kind| *kind == "removed").count();
    assert_eq!(given_back + removed + refused, altered.changes.len());
    let (reports, _) = altered.verify();
    let originals = reports.values().filter(|report| report["relation"] == "original").count();
    assert_eq!(originals, reports.len() - removed - refused);
}

#[test]
#[ignore = "needs fetched kernels: tests/run runs it"]
fn what_a_patch_explains_is_restored_from_the_package() {
    let _alone = alone();
    restored("amd64-6.1");
    restored("amd64-6.12");
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
