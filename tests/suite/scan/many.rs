//! Very many modules: each is listed once, in order, and the memory use does not grow.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::KMODLAB;

/// The peak memory of a process so far, in KiB.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A tree of folders with links to one module, in the order of their paths.
fn tree(top: &Path, folders: usize, files: usize) -> Vec<String> {
    let module = top.join("one");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules/hello-4.ko.zst"), &module).unwrap();
    let mut paths = Vec::new();
    for folder in 0..folders {
        let folder = top.join(format!("tree/{folder:04}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            let path = folder.join(format!("{file:04}.ko.zst"));
            std::fs::hard_link(&module, &path).unwrap();
            paths.push(path.to_str().unwrap().to_owned());
        }
    }
    paths
}

#[test]
fn each_module_is_listed_once_in_order_with_bounded_memory() {
    let top = tempfile::tempdir().unwrap();
    let paths = tree(top.path(), 20, 500);
    let mut child = Command::new(KMODLAB)
        .args(["scan", "--csv"])
        .arg(top.path().join("tree"))
        .env("KMODLAB_STATE_DIR", top.path().join("state"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("path,package,name,"));
    let mut peaks = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let line = lines.next().unwrap_or_else(|| panic!("only {number} lines"));
        assert!(line.starts_with(&format!("{path},,hello_4,zstd,")), "{line}");
        // The process cannot have ended, because a pipe does not hold this many lines.
        if number == 2000 || number + 2000 == paths.len() {
            peaks.push(peak(process));
        }
    }
    assert_eq!(lines.next(), None);
    assert!(child.wait().unwrap().success());
    println!("peak after 2,000 and 8,000 modules, in KiB: {peaks:?}");
    assert!(peaks[1] < 100 << 10 && peaks[1] - peaks[0] < 8 << 10, "{peaks:?} KiB");
}

/// The output does not depend on the order in which threads finish.
#[test]
fn every_run_prints_the_same() {
    let run = || {
        let output = Command::new(KMODLAB)
            .args(["scan", "--json", "fixtures/modules", "fixtures/hostile", "fixtures/ambiguous", "fixtures/modules"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("KMODLAB_STATE_DIR", "not-there")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(4));
        output.stdout
    };
    let first = run();
    assert!(first.iter().filter(|byte| **byte == b'\n').count() > 100);
    assert!((0..10).all(|_| run() == first));
}

/// Closing the pipe ends the work: an endless list is not read further, and no error is printed.
#[test]
fn a_closed_pipe_ends_a_scan_of_an_endless_list() {
    let command = "yes fixtures/modules/hello-4.ko | \"$0\" scan --json --files-from - | head -n 3";
    let mut child = Command::new("sh")
        .args(["-c", command, KMODLAB])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("KMODLAB_STATE_DIR", "not-there")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    child.wait().unwrap();
    assert_eq!((out.lines().count(), err.as_str()), (3, ""));
}
