//! The claims of this project about real modules, checked with each module of real Debian kernels.
//!
//! The packages are fetched by `tests/real/fetch` and kept under `target/real`; the results are compared with kmod's own
//! `modinfo`. A plain `cargo test` leaves these tests out, because they need kmod, and a network or packages that were fetched
//! before. `tests/run` runs them. If a package or a tool is missing they fail.

mod against;
mod costs;
mod exporters;
mod exports;
mod fetching;
mod files;
mod images;
mod kernels;
mod listing;
mod own;
mod preprocessor;
mod repack;
mod round_trip;
mod signatures;
mod summaries;
mod types;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{KMODLAB, alone, fetched};

/// The packages, by the names that `tests/real/fetch` gives them.
const UNCOMPRESSED: [&str; 2] = ["amd64-6.1", "i386-5.10"];
const ALL: [&str; 3] = ["amd64-6.1", "i386-5.10", "s390x-6.12"];

/// All modules of a package, sorted.
fn modules(package: &str) -> Vec<PathBuf> {
    fetched::folder(package);
    let folder = fetched::top().join(package);
    let mut found = Vec::new();
    collect(&folder, &mut found);
    found.sort();
    assert!(found.len() > 1000, "{package} has only {} modules", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => collect(&path, found),
            kind if kind.is_file() && (name.ends_with(".ko") || name.contains(".ko.")) => found.push(path),
            _ => {}
        }
    }
}

/// Runs a program to its end.
fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let output = Command::new(program).args(arguments).output();
    output.unwrap_or_else(|e| panic!("{program} can't be run ({e}): tests/run installs what the tests need"))
}

/// Runs `each` for all items on all cores, and returns the results in the order of the items.
fn on_all_cores<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let share = items.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> =
            items.chunks(share).map(|part| scope.spawn(move || part.iter().map(each).collect::<Vec<R>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
