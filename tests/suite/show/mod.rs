//! Promise: `show` prints exactly what each fixture contains, and in modinfo's form byte for byte what modinfo
//! prints.
//!
//! - `recorded`: each fixture's listing and JSON, as recorded
//! - `modinfo`: held against kmod's own `modinfo` and `modprobe`, file by file
//! - `tree`: names, aliases and built-in modules, in a module tree of the tests' own making that kmod's own `depmod`
//!   indexed
//!
//! What needs kmod is left out of a plain `cargo test`; `tests/run` runs it. (`tests/suite/real` does the same with thousands of
//! real modules.)

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

/// Holds `kmodlab show` against modinfo with the same arguments: the same bytes on stdout, and an error where modinfo
/// has one. Returns how many bytes that were.
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
