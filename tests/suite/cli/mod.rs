//! Recorded sessions: each command as a person types it, and its output.
//!
//! `COMMAND/*.trycmd` are sessions, which can be read as examples. `COMMAND/*.toml` are single calls, for arguments or output
//! that a session cannot contain (escape sequences, a backslash). `NAME.in` is the working folder of a session, with links to
//! fixtures; if there is a `NAME.out` too, the session works in a temporary copy.
//!
//! ```text
//! cargo test --test suite cli::                    all of them
//! cargo test --test suite cli:: -- trycmd=patch    those of one command
//! TRYCMD=overwrite cargo test --test suite cli::   write down what is answered now; then read the diff
//! ```
//!
//! After recording, put `[..]` back where the text differs between runs or machines: the times in the journal, the digests of
//! plans (which depend on the path), and the files that the guard ima could read.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::KMODLAB;

mod answers;
pub(crate) mod interrupted;

/// The programs that sessions use in addition to kmodlab.
const PROGRAMS: [&str; 11] = ["chmod", "cmp", "cp", "ln", "mkdir", "mkfifo", "mv", "rm", "sh", "stat", "truncate"];

/// `confirmed kmodlab patch …` stands for a person who reads the plan and gives its digest with `--confirm`.
const CONFIRMED: &str = "tests/suite/cli/confirmed";

#[test]
fn sessions() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = trycmd::TestCases::new();
    cases.case("tests/suite/cli/*/*.trycmd").case("tests/suite/cli/*/*.toml");
    cases.register_bin("kmodlab", trycmd::schema::Bin::Path(kmodlab()));
    cases.register_bin("confirmed", trycmd::schema::Bin::Path(here.join(CONFIRMED)));
    cases.register_bins(PROGRAMS.map(|name| (name, trycmd::schema::Bin::Path(installed(name)))));
    for (name, value) in environment() {
        cases.env(name, value);
    }
}

/// The environment of each run, independent of the developer's own.
fn environment() -> [(&'static str, String); 10] {
    let folder = kmodlab().parent().map(Path::to_owned).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::join_paths([folder].into_iter().chain(env::split_paths(&path)));
    [
        ("PATH", places.unwrap_or(OsString::new()).to_string_lossy().into_owned()),
        ("KMODLAB_STATE_DIR", "state".to_owned()),
        ("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache").to_owned()),
        // No state folder of the developer's own is at the usual places.
        ("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-state").to_owned()),
        ("HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-home").to_owned()),
        ("SUDO_UID", String::new()),
        ("COLUMNS", "100".to_owned()),
        ("LC_ALL", "C".to_owned()),
        ("NO_COLOR", String::new()),
        ("CLICOLOR_FORCE", String::new()),
    ]
}

fn kmodlab() -> PathBuf {
    PathBuf::from(KMODLAB)
}

/// The path of a program. If it is missing the test fails; no session is skipped.
fn installed(program: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("the sessions need the program {program}"))
}

/// trycmd silently skips a line whose program it does not know, so there must be no such line.
#[test]
fn sessions_use_only_known_programs() {
    let known: BTreeSet<&str> = PROGRAMS.into_iter().chain(["kmodlab", "confirmed"]).collect();
    let mut strange = Vec::new();
    for session in files("trycmd") {
        let text = fs::read_to_string(&session).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let program = line.split(' ').find(|word| !word.contains('=')).unwrap_or_default();
            if !known.contains(program) {
                strange.push(format!("{}: {line}", session.display()));
            }
        }
    }
    assert_eq!(strange, Vec::<String>::new());
}

/// Recorded files contain no path of the machine that they were recorded on.
#[test]
fn sessions_name_no_place_on_a_machine() {
    let sessions: Vec<PathBuf> = ["trycmd", "toml", "stdout", "stderr"].into_iter().flat_map(files).collect();
    assert!(sessions.len() > 50, "only {} files found", sessions.len());
    for session in sessions {
        let text = fs::read_to_string(&session).unwrap();
        for place in ["/tmp/", "/home/", "/root/", "/var/folders/", env!("CARGO_MANIFEST_DIR")] {
            assert!(!text.contains(place), "{} names {place}", session.display());
        }
    }
}

/// The recorded files with this suffix.
fn files(ending: &str) -> Vec<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cli");
    let folders = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file() && path.extension().is_some_and(|e| e == ending)).collect()
}
