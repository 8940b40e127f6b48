//! Promise: each guard refuses the cases that it is meant for, reports the refusal in one line with its name, and only its own
//! override lifts it.
//!
//! - `judgement`: the guards, called through the library, on simulated machines, which are folders that look like a root folder
//! - `lab`: enrolment, through the library
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
