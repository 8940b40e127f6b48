//! Promise: `patch`, `verify` and `restore` need no more memory for very many modules than for a few hundred, and lose none of
//! them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::KMODLAB;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/modules/hello-4.ko");

const WANTED: &str = "6.1.0-99-amd64 SMP preempt mod_unload modversions ";

/// This many descriptors are enough for groups of 300 files.
const DESCRIPTORS: &str = "1328";

/// This many of the last lines do not fit into a pipe: a reader that has not read them knows that the writer is still running.
const LAST: usize = 800;

/// The peak memory of a process so far, in KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Copies of a module that differ in a few bytes, in the order of their paths.
fn tree(top: &Path, modules: usize) -> Vec<PathBuf> {
    let mut bytes = fs::read(MODULE).unwrap();
    let at = bytes.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
    let path = |number: usize| top.join(format!("{:03}/{:03}.ko", number / 200, number % 200));
    let paths: Vec<PathBuf> = (0..modules).map(path).collect();
    for (number, path) in paths.iter().enumerate() {
        bytes[at..at + 4].copy_from_slice(format!("{number:04}").as_bytes());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
    }
    paths
}

/// How many threads work, and how many KiB more may be taken by five times as many modules.
#[derive(Clone, Copy)]
struct Threads {
    number: Option<&'static str>,
    most: u64,
}

/// One thread shows what the program keeps: an index of the journal, about 170 bytes per module. Of several, each has modules in work.
const THREADS: [Threads; 2] = [Threads { number: Some("1"), most: 1536 }, Threads { number: None, most: 3072 }];

/// Runs kmodlab with few descriptors, and reads one line per module. Returns the memory use near its end, and the last line,
/// unless it is about a module.
fn run(arguments: &[&str], state: &Path, paths: &[PathBuf], threads: Threads) -> (u64, Option<String>) {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n $0 && exec \"$@\"", DESCRIPTORS, KMODLAB])
        .args(arguments)
        .env("KMODLAB_STATE_DIR", state)
        // Otherwise each thread has an arena of its own, and the holes in these differ from run to run.
        .env("MALLOC_ARENA_MAX", "1")
        .envs(threads.number.map(|number| ("RAYON_NUM_THREADS", number)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut lines = lines.filter(|line| !line.starts_with("  now "));
    let mut taken = 0;
    for (number, path) in paths.iter().enumerate() {
        let line = lines.next().unwrap_or_else(|| panic!("only {number} lines"));
        assert!(line.contains(path.to_str().unwrap()), "{number}: {line}");
        if number + LAST == paths.len() {
            taken = peak(process);
        }
    }
    let rest: Vec<String> = lines.collect();
    assert!(rest.len() < 2, "{rest:?}");
    assert!(child.wait().unwrap().success());
    (taken, rest.into_iter().next())
}

/// Patches this many modules and restores them. Returns the memory use of plan, patch, verify and restore.
fn patch_and_restore(modules: usize, threads: Threads) -> [u64; 4] {
    // In memory if possible: flushes cost nothing there.
    let top = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let top = top.path().canonicalize().unwrap();
    let (folder, state) = (top.join("tree"), top.join("state"));
    let paths = tree(&folder, modules);
    let before = fs::read(&paths[0]).unwrap();
    let folder = folder.to_str().unwrap();
    let arguments = ["patch", folder, "--json", "--vermagic", WANTED];
    let (planned, last) = run(&[&arguments[..], &["-n"]].concat(), &state, &paths, threads);
    let last = last.unwrap();
    let (_, digest) = last.split_once("\"digest\":\"").unwrap();
    let (digest, rest) = digest.split_once('"').unwrap();
    assert_eq!(rest, format!(",\"modules\":{modules},\"as_wished\":0,\"refused\":0,\"failed\":0}}"));
    let (patched, _) = run(&[&arguments[..], &["--confirm", digest]].concat(), &state, &paths, threads);
    let is_patched = |path: &PathBuf| fs::read(path).unwrap().windows(WANTED.len()).any(|w| w == WANTED.as_bytes());
    assert!(paths.iter().all(is_patched));
    let (verified, _) = run(&["verify", folder, "--json"], &state, &paths, threads);
    let (restored, _) = run(&["restore", folder], &state, &paths, threads);
    assert!(!paths.iter().any(is_patched));
    assert_eq!(fs::read(&paths[0]).unwrap(), before);
    [planned, patched, verified, restored]
}

/// Two runs are compared, not two moments of one run: the preparations for all modules are in memory from the start.
#[test]
fn five_times_as_many_modules_take_the_same_memory() {
    for threads in THREADS {
        let [few, many] = [1200, 6000].map(|modules| patch_and_restore(modules, threads));
        println!("peaks of plan, patch, verify, restore of 1,200 modules: {few:?} KiB, of 6,000: {many:?} KiB");
        for (few, many) in few.into_iter().zip(many) {
            assert!(few > 1 << 10 && many < few + threads.most);
        }
    }
}
