//! Promise: `patch`, `verify` and `restore` take no more memory for very many modules than for some, and lose none of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that can't go on has failed, and measures are printed"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KMODLAB: &str = env!("CARGO_BIN_EXE_kmodlab");
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/modules/hello-4.ko");

const WANTED: &str = "6.1.0-99-amd64 SMP preempt mod_unload modversions ";

/// So many descriptors leave room for groups of 300 files.
const DESCRIPTORS: &str = "1328";
const MODULES: usize = 6000;

/// The most memory that a process had so far, in KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Copies of a module, each in a few bytes another file, in the order of their paths.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut bytes = fs::read(MODULE).unwrap();
    let at = bytes.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
    let path = |number: usize| top.join(format!("{:03}/{:03}.ko", number / 200, number % 200));
    let paths: Vec<PathBuf> = (0..MODULES).map(path).collect();
    for (number, path) in paths.iter().enumerate() {
        bytes[at..at + 4].copy_from_slice(format!("{number:04}").as_bytes());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
    }
    paths
}

/// Runs kmodlab with few descriptors, and reads a line of each module. Gives the memory that it had taken a third of the way and
/// near the end, and the last line, if it is not of a module.
fn run(arguments: &[&str], state: &Path, paths: &[PathBuf]) -> ([u64; 2], Option<String>) {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n $0 && exec \"$@\"", DESCRIPTORS, KMODLAB])
        .args(arguments)
        .env("KMODLAB_STATE_DIR", state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| !line.starts_with("  now "));
    let mut peaks = [0; 2];
    for (number, path) in paths.iter().enumerate() {
        let line = lines.next().unwrap_or_else(|| panic!("only {number} lines"));
        assert!(line.contains(path.to_str().unwrap()), "{number}: {line}");
        // The process can't be done: a pipe holds 64 KiB, and the rest is as many lines as several pipes hold.
        if number == MODULES / 3 || number == MODULES - 1000 {
            peaks[usize::from(number > MODULES / 2)] = peak(process);
        }
    }
    let rest: Vec<String> = lines.collect();
    assert!(rest.len() < 2, "{rest:?}");
    assert!(child.wait().unwrap().success());
    (peaks, rest.into_iter().next())
}

#[test]
fn memory_stays_and_each_module_is_patched_and_restored() {
    let top = tempfile::tempdir().unwrap();
    let top = top.path().canonicalize().unwrap();
    let (folder, state) = (top.join("tree"), top.join("state"));
    let paths = tree(&folder);
    let arguments = ["patch", folder.to_str().unwrap(), "--json", "--vermagic", WANTED];
    let (planned, last) = run(&[&arguments[..], &["-n"]].concat(), &state, &paths);
    let last = last.unwrap();
    let (_, digest) = last.split_once("\"digest\":\"").unwrap();
    let (digest, rest) = digest.split_once('"').unwrap();
    assert_eq!(rest, format!(",\"modules\":{MODULES},\"as_wished\":0,\"refused\":0,\"failed\":0}}"));
    let before = fs::read(&paths[0]).unwrap();
    let (patched, _) = run(&[&arguments[..], &["--confirm", digest]].concat(), &state, &paths);
    assert_ne!(fs::read(&paths[0]).unwrap(), before);
    let is_patched = |path: &PathBuf| fs::read(path).unwrap().windows(WANTED.len()).any(|w| w == WANTED.as_bytes());
    assert!(paths.iter().all(is_patched));
    let (verified, _) = run(&["verify", folder.to_str().unwrap(), "--json"], &state, &paths);
    let (restored, _) = run(&["restore", folder.to_str().unwrap()], &state, &paths);
    assert!(!paths.iter().any(is_patched));
    assert_eq!(fs::read(&paths[0]).unwrap(), before);
    let all = [planned, patched, verified, restored];
    println!("peaks a third of the way and near the end, in KiB: plan, patch, verify, restore {all:?}");
    for [early, late] in all {
        assert!(late < 100 << 10 && late - early < 2 << 10, "{all:?} KiB");
    }
}
