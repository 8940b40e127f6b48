//! Promise: files written by an earlier version stay usable. `fixtures/recorded` contains a state folder with an interrupted
//! write, a file of trials, and a cached file of kernel facts, all written by version 0.1.0 of November 2026;
//! `fixtures/README.md` explains how.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kmodlab::digest::sha256;
use tempfile::TempDir;

use crate::support::KMODLAB;

/// The folder of the modules when the journal was written: its lines and the intents contain this path.
const PLACE: &str = "/tmp/kmodlab-recorded";

/// The patched modules, each with its original fixture.
const PATCHED: [(&str, &str); 6] = [
    ("in-place.ko", "hello-4.ko"),
    ("compressed.ko.xz", "hello-4.ko.xz"),
    ("twice.ko", "poet_atkm.ko"),
    ("stripped.ko", "hello-4-signed.ko"),
    ("batch-1.ko", "hello-4-rt.ko"),
    ("batch-2.ko.zst", "hello-4.ko.zst"),
];

/// The module whose write was interrupted before its new file was renamed.
const ROLLED_BACK: (&str, &str) = ("batch-3.ko.gz", "hello-4.ko.gz");

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn recorded() -> PathBuf {
    fixtures().join("recorded")
}

fn original(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("modules").join(name)).unwrap()
}

/// Copies a folder with everything below it, accessible only to this user.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => {
                fs::copy(from, &to).unwrap();
                fs::set_permissions(to, fs::Permissions::from_mode(0o600)).unwrap();
            }
        }
    }
}

/// A copy of the recorded state folder.
fn state() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    copy(&recorded().join("state"), &state);
    (folder, state)
}

fn run(state: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(KMODLAB).arg("--state-dir").arg(state).args(arguments).output().unwrap()
}

fn succeeds(state: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let output = run(state, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The recorded modules at their original path, until this is dropped. Only one test at a time, even across the test runs of
/// all users, has it.
struct Place {
    _lock: File,
}

impl Place {
    fn new() -> Place {
        let lock = File::options().create(true).append(true).open(format!("{PLACE}.lock")).unwrap();
        lock.lock().unwrap();
        if Path::new(PLACE).exists() {
            fs::remove_dir_all(PLACE).unwrap();
        }
        copy(&recorded().join("modules"), Path::new(PLACE));
        Place { _lock: lock }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(PLACE);
    }
}

#[test]
fn the_sums_are_those_of_the_recorded_files() {
    fn files(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files(&path, found),
                false => {
                    let sum = sha256(&fs::read(&path).unwrap()).to_string();
                    found.insert(path.strip_prefix(recorded()).unwrap().to_owned(), sum);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    files(&recorded(), &mut found);
    found.remove(Path::new("SHA256SUMS"));
    let lines: String = found.iter().map(|(path, sum)| format!("{sum}  {}\n", path.display())).collect();
    assert_eq!(fs::read_to_string(recorded().join("SHA256SUMS")).unwrap(), lines);
}

#[test]
fn each_line_of_the_recorded_journal_is_read_and_printed_as_it_was_written() {
    let (_folder, state) = state();
    let journal = fs::read_to_string(state.join("journal.jsonl")).unwrap();
    assert_eq!(succeeds(&state, ["log", "--json"]), journal);
    let log = succeeds(&state, ["log"]);
    for operation in ["patch", "restore", "forget", "drop"] {
        assert!(journal.contains(&format!("\"operation\":\"{operation}\"")), "{operation}");
        assert!(log.contains(operation), "{log}");
    }
}

#[test]
fn the_recorded_interrupted_write_is_recovered_and_all_is_verified() {
    let ((_folder, state), _place) = (state(), Place::new());
    let interrupted = run(&state, ["verify"]);
    assert_eq!(interrupted.status.code(), Some(1), "{interrupted:?}");
    succeeds(&state, ["recover"]);
    assert_eq!(fs::read_dir(state.join("intents")).unwrap().count(), 0, "all intents are settled");
    let here: Vec<_> = fs::read_dir(PLACE).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!here.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{here:?}");
    let place = Path::new(PLACE);
    assert_eq!(fs::read(place.join(ROLLED_BACK.0)).unwrap(), original(ROLLED_BACK.1));
    for (name, _) in PATCHED {
        assert_eq!(
            fs::read(place.join(name)).unwrap(),
            fs::read(recorded().join("modules").join(name)).unwrap(),
            "{name}"
        );
    }
    succeeds(&state, ["vault", "verify"]);
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    for line in succeeds(&state, ["verify", "--json"]).lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = line["module"].as_str().unwrap();
        let name = Path::new(path).strip_prefix(PLACE).unwrap().display().to_string();
        states.insert(name, format!("{} {}", line["state"].as_str().unwrap(), line["backup"].as_str().unwrap()));
    }
    let mut expected: BTreeMap<String, String> =
        PATCHED.iter().map(|(name, _)| ((*name).to_owned(), "patched whole".to_owned())).collect();
    expected.insert("restored.ko".to_owned(), "original none".to_owned());
    assert_eq!(states, expected);
    // A dry run works here too; only restoring the recorded owner needs root.
    succeeds(&state, ["restore", "--all", "-n"]);
}

/// Modules that were moved are recognised by their contents, so that any user can restore them.
#[test]
fn modules_that_an_earlier_version_patched_are_restored_byte_for_byte() {
    let ((folder, state), _place) = (state(), Place::new());
    succeeds(&state, ["recover"]);
    let elsewhere = folder.path().join("elsewhere");
    copy(Path::new(PLACE), &elsewhere);
    for (name, from) in PATCHED {
        assert_ne!(fs::read(elsewhere.join(name)).unwrap(), original(from), "{name}");
    }
    succeeds(&state, [OsStr::new("restore"), elsewhere.as_os_str()]);
    for (name, from) in PATCHED.into_iter().chain([ROLLED_BACK]) {
        assert_eq!(fs::read(elsewhere.join(name)).unwrap(), original(from), "{name}");
    }
}

#[test]
fn recorded_trials_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let trials = fs::read_to_string(recorded().join("cells.jsonl")).unwrap();
    fs::write(folder.path().join("cells.jsonl"), &trials).unwrap();
    let (page, document) = (folder.path().join("report.html"), folder.path().join("report.json"));
    let arguments = [OsStr::new("report"), folder.path().as_os_str(), OsStr::new("--json"), document.as_os_str()];
    succeeds(folder.path(), arguments.into_iter().chain([OsStr::new("--html"), page.as_os_str()]));
    let document = fs::read_to_string(document).unwrap();
    let ids: Vec<String> = trials
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 6);
    for id in ids {
        assert!(document.contains(&id), "{id} is in the document");
    }
    let page = fs::read_to_string(page).unwrap();
    for module in ["dummy", "hello_4"] {
        assert!(page.contains(module), "{module} is on the page");
    }
}

/// Cached facts are valid only for the program that wrote them. Another version must neither trust them nor fail because of
/// them.
#[test]
fn facts_that_an_earlier_version_cached_change_no_answer() {
    let answer = |with_cache: bool| {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        fs::create_dir(&cache).unwrap();
        if with_cache {
            copy(&recorded().join("cache"), &cache.join("kmodlab"));
        }
        let mut command = Command::new(KMODLAB);
        command.args(["kernel", "fixtures/kernels/vmlinux-amd64", "--json"]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).env("XDG_CACHE_HOME", &cache).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    assert_eq!(answer(true), answer(false));
}
