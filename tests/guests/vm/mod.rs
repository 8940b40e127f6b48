//! Promise: the lab shows what real kernels do, in disposable guests, and nothing that a guest does reaches this machine.
//! The kernels are those that `tests/real/fetch` keeps under `target/real`. A plain `cargo test` leaves these tests out,
//! because they need these kernels and QEMU; `tests/run` runs them. If a part is missing they fail.

mod breakage;
mod conditions;
mod containers;
mod demo;
mod documents;
mod experiments;
mod flags;
mod hostile;
mod insmod;
mod kernels;
mod matrix;
mod own_base;
mod packing;
mod parent;
mod probe;
mod refusals;
mod repack;
mod repackings;
mod right_way;
mod signatures;
mod tally;
mod trusting;

use std::path::{Path, PathBuf};
use std::process::Command;

use kmodlab::lab::acceleration::Acceleration;
use kmodlab::lab::conditions::{Conditions, Depth};
use kmodlab::lab::guest::{GuestLimits, GuestSettings, Isolation};

use crate::support::{KMODLAB, alone, fetched};

/// An empty folder of this project.
fn emptied(folder: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A module is loaded, and neither used nor unloaded; the modules that it needs are not loaded before it.
fn load_only() -> Conditions {
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    Conditions { settings: settings(), depth: Depth::Load, alone: true, jobs }
}

/// Settings for guests that work on any machine.
fn settings() -> GuestSettings {
    GuestSettings {
        kmodlab: KMODLAB.into(),
        agent: None,
        cache: None,
        limits: GuestLimits::default(),
        acceleration: Some(Acceleration::Tcg),
        isolation: Isolation::Clone,
        command_line: String::new(),
        probe: Vec::new(),
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
