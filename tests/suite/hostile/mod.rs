//! Hostile files: whatever a file contains, the answer is its facts or one clear line, never a panic, a hang, excessive memory
//! use, or a byte that a terminal interprets.
//!
//! - [`refusals`]: each file of `fixtures/hostile` and `fixtures/ambiguous`, by name, with the reason that must be given
//! - [`truncations`]: each module of `fixtures/modules`, cut at each byte
//! - [`mutations`]: modules with one byte changed, and with escape sequences put in everywhere
//! - [`packages`]: Debian packages with unsafe paths, truncated or inconsistent ones, and decompression bombs
//! - [`bounds`]: the memory use and the time for the worst files, among them bombs of 10 GB
//! - [`budget`]: the work for images, packages and folders with many streams, counted in bytes
//! - [`commands`]: the processor time and the memory of each command, with each kind of input that it reads
//! - [`folders`]: files in folders that are holes, FIFOs, devices, or larger than any such file
//! - [`growth`]: the work for files of three sizes, whose parts share bytes or refer to each other
//! - [`kinds`]: a generator of small inputs of each kind that is expensive to read
//! - [`kernels`]: images of kernels, truncated, changed or inconsistent ones, and decompression bombs
//! - [`properties`]: properties of any bytes, any request and any text

mod bounds;
mod budget;
mod commands;
mod folders;
mod forge;
mod growth;
mod kernels;
mod kinds;
mod mutations;
mod packages;
mod promises;
mod properties;
mod refusals;
mod truncations;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::KMODLAB;

/// The cache folder for facts of kernels.
const CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache");

/// A version magic to ask about and to request. Short, so that it fits into every module.
const VERMAGIC: &str = "x";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The modules in a folder of `fixtures/`, sorted.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(fixture(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap()
}

/// The output of the program, and its exit status.
struct Said {
    command: String,
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs the program to its end.
fn kmodlab<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Said {
    let mut command = Command::new(KMODLAB);
    command.args(arguments).env_remove("KMODLAB_STATE_DIR").env("XDG_CACHE_HOME", CACHE);
    let output = command.output().unwrap();
    // A byte that is not UTF-8 would be replaced here, and escaped text must not contain one.
    let text = |bytes| String::from_utf8(bytes).unwrap_or_else(|e| panic!("{command:?} printed {e}"));
    Said {
        command: format!("{command:?}"),
        status: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

impl Said {
    /// One line on stderr that is the program's own, nothing on stdout, and the exit status of an error.
    fn is_one_line_and_exit_2(&self) -> &Said {
        let Said { command, status, out, err } = self;
        assert_eq!((*status, out.as_str()), (Some(2), ""), "{command} said {err}");
        let line = err.strip_suffix('\n').unwrap_or_default();
        assert!(line.starts_with("kmodlab: ") && !line.contains('\n'), "{command} said {err}");
        self.obeys_nobody()
    }

    /// Neither stream contains a byte that a terminal interprets, a character that reorders text, or the message of a panic.
    fn obeys_nobody(&self) -> &Said {
        for text in [&self.out, &self.err] {
            let bad = text.split('\n').find(|line| line.contains(is_obeyed));
            assert_eq!(bad, None, "printed by {:.200}", self.command);
            assert!(!text.contains("panicked at"), "{:.200} said {text}", self.command);
        }
        self
    }
}

/// Control characters, and the marks of Unicode that reorder text or break lines (UAX 9, UAX 14).
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
