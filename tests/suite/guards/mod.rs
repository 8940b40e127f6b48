//! Promise: each guard refuses what it is there for, reports it in one line with its name, and only its own override lifts
//! it.
//!
//! - `judgement`: the guards asked by the library, on machines of the tests' own making, folders that look like a root
//! - `lab`: enrolment, by the library
//! - `machine`: the program itself in a chroot of the tests' own making; needs root and is left out of a plain
//!   `cargo test`, `tests/run` runs it
//! - `terminal`: the typed confirmation, on a real pseudo-terminal
//!
//! Nothing here writes below the real `/lib/modules`, and nothing loads a module.

use std::path::{Path, PathBuf};

mod judgement;
mod lab;
mod machine;
mod terminal;

/// A module from `fixtures/`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules").join(name)
}
