//! Promise: the lab shows what real kernels do, in guests that are thrown away, and nothing that a guest does reaches
//! this machine.
//!
//! The kernels are those that `tests/real/fetch` keeps under `target/real`. These tests are left out of a plain `cargo
//! test`, because they need them and QEMU; `tests/run` runs them. Where a part is missing they fail.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that can't go on has failed, and counts are printed"
)]

mod demo;
mod documents;
mod experiments;
mod hostile;
mod parent;
#[path = "../readme/sessions.rs"]
mod sessions;
mod witness;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmodlab::kernel::{Lookup, files};
use kmodlab::lab::acceleration::Acceleration;
use kmodlab::lab::guest::{Isolation, Limits, Settings};

/// This project's program.
const KMODLAB: &str = env!("CARGO_BIN_EXE_kmodlab");

/// One test after the other: each uses all cores by itself.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A kernel as the program is told of it: its package, or the two that it is split into.
fn deb(name: &str) -> OsString {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real/deb").join(name);
    assert!(folder.join(".complete").exists(), "{name} is not there: run tests/real/fetch");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".deb") && !name.starts_with("linux-headers")
    };
    let mut parts: Vec<OsString> = files.filter(is_part).map(PathBuf::into_os_string).collect();
    parts.sort();
    parts.join("+".as_ref())
}

/// The image of a kernel.
fn image(name: &str) -> Vec<u8> {
    let lookup = Lookup { max_size: 1 << 30, cache: None };
    let files = files::of(&deb(name), &BTreeSet::new(), &lookup).unwrap();
    files.image.unwrap().1
}

/// Guests as they run on any machine.
fn settings() -> Settings {
    Settings {
        kmodlab: KMODLAB.into(),
        agent: None,
        cache: None,
        limits: Limits::default(),
        acceleration: Some(Acceleration::Tcg),
        isolation: Isolation::Clone,
        command_line: String::new(),
        witness: Vec::new(),
    }
}

/// A C program that needs no libraries.
fn compiled(source: &str, folder: &Path) -> PathBuf {
    let program = folder.join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let output =
        Command::new("gcc").args(["-static", "-O2", "-Wall", "-Werror", "-o"]).arg(&program).arg(source).output();
    let output = output.expect("gcc: tests/run installs what the tests need");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}
