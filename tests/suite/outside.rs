//! Programs of other authors (`tests/outside`): they cannot write past a guard, without recovery, or anything but the confirmed
//! plan, because such programs do not compile. The correct programs compile and run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::cli::interrupted::Scene;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The target directory that this test was built in, so that dependencies are not built again.
fn target() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_kmodlab")).ancestors().nth(2).unwrap().to_owned()
}

/// Builds the programs offline with the versions in this crate's own lock file: returns those that compile, and the errors of
/// the others.
fn build() -> Output {
    let outside = root().join("tests/outside");
    fs::copy(root().join("Cargo.lock"), outside.join("Cargo.lock")).unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--bins", "--keep-going", "--message-format", "json", "--offline", "--target-dir"]);
    command.arg(target()).current_dir(outside);
    // Settings for the cargo that runs this test are not meant for the other programs.
    for (name, _) in std::env::vars_os() {
        let is_meant = |name: &str| name == "CARGO_HOME" || name.starts_with("CARGO_PROFILE_RELEASE_");
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_") && !is_meant(name)) {
            command.env_remove(name);
        }
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // The programs run only briefly and are not debugged.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").output().unwrap()
}

/// The programs in a folder, by the names of their cargo targets.
fn programs(folder: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(root().join("tests/outside").join(folder)).unwrap();
    let program = |path: PathBuf| (format!("{folder}-{}", path.file_stem().unwrap().to_str().unwrap()), path);
    entries.map(|entry| program(entry.unwrap().path())).collect()
}

/// The error codes of each target that does not compile.
fn errors(output: &Output) -> BTreeMap<String, BTreeSet<String>> {
    let mut errors: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        if message["reason"] != "compiler-message" || message["message"]["level"] != "error" {
            continue;
        }
        let found = errors.entry(message["target"]["name"].as_str().unwrap().to_owned()).or_default();
        // The last message only counts the errors.
        if let Some(code) = message["message"]["code"]["code"].as_str() {
            found.insert(code.to_owned());
        }
    }
    errors
}

/// The program that was built from a target.
fn executable(output: &Output, target: &str) -> PathBuf {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let built = messages.find(|m| m["reason"] == "compiler-artifact" && m["target"]["name"] == target);
    let path = built.as_ref().and_then(|message| message["executable"].as_str());
    path.unwrap_or_else(|| panic!("{target} was not built: {}", String::from_utf8_lossy(&output.stderr))).into()
}

/// One test, since all programs are built at once.
#[test]
fn another_crate_can_write_only_confirmed_plans() {
    let refused = programs("refused");
    let built = build();
    let errors = errors(&built);
    let text = String::from_utf8_lossy(&built.stderr);
    for (name, path) in &refused {
        let source = fs::read_to_string(path).unwrap();
        let expected = source.lines().next().unwrap().trim_start_matches("// ");
        let found = errors.get(name).unwrap_or_else(|| panic!("{name} compiles\n{text}"));
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), [expected], "{name}\n{text}");
        println!("{name}: {expected}");
    }
    let others: Vec<&String> = errors.keys().filter(|name| !refused.contains_key(*name)).collect();
    assert!(others.is_empty(), "{others:?}\n{text}");

    for name in programs("accepted").keys() {
        let folder = tempfile::tempdir().unwrap();
        let [module, state] = [folder.path().join("hello-4.ko"), folder.path().join("state")];
        fs::copy(root().join("fixtures/modules/hello-4.ko"), &module).unwrap();
        let scene = (name == "accepted-interrupted").then(Scene::new);
        let (module, state) = match &scene {
            Some(scene) => (scene.module(), scene.state()),
            None => (module, state),
        };
        let ran = Command::new(executable(&built, name)).arg(module).arg(state).output().unwrap();
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        println!("{name}: runs");
    }
}
