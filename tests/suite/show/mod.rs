//! Promise: `show` prints exactly the contents of each fixture, and in modinfo's format byte for byte what modinfo prints.
//!
//! - `recorded`: each fixture's listing and JSON, as recorded
//! - `modinfo`: compared with kmod's own `modinfo` and `modprobe`, file by file
//! - `tree`: names, aliases and built-in modules, in a module tree of the tests' own making that kmod's own `depmod`
//!   indexed
//!
//! A plain `cargo test` leaves out the tests that need kmod; `tests/run` runs them. (`tests/suite/real` does the same with
//! thousands of real modules.)

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::KMODLAB;

mod modinfo;
mod recorded;
mod tree;

/// The folder of fixtures.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The names of all fixtures in one of the folders, sorted.
fn names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(fixtures().join(folder)).unwrap().map(Result::unwrap);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(!names.is_empty(), "no fixtures in {folder}");
    names
}

/// Runs a program in a folder, to its end.
fn run<A: AsRef<OsStr>>(folder: &Path, program: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    let output = Command::new(program).args(arguments).current_dir(folder).env("PATH", path).output();
    output.unwrap_or_else(|e| panic!("{program} can't be run ({e}): tests/run installs what the tests need"))
}

/// Compares `kmodlab show` with modinfo and the same arguments: the same bytes on stdout, and an error whenever modinfo reports
/// one. Returns the number of bytes.
#[track_caller]
fn assert_as_modinfo(folder: &Path, arguments: &[&str]) -> usize {
    let theirs = run(folder, "modinfo", arguments.iter().filter(|argument| **argument != "--modinfo"));
    let ours = run(folder, KMODLAB, ["show"].iter().chain(arguments));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let story = |output: &Output| format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    let same = ours.stdout == theirs.stdout && ours.status.success() == theirs.status.success();
    assert!(same, "{arguments:?}\n--- modinfo: {}--- kmodlab: {}", story(&theirs), story(&ours));
    theirs.stdout.len()
}
