//! The results of `tree` for a kernel's build tree, and the changes that it makes there.
//!
//! - [`guide`]: the module guide's tree, from the wrong release to the right one and back
//! - [`wrong`]: trees with a fault: the right advice, or one clear line
//! - [`configurations`]: many configurations of a real source, each measured by `tests/real/configurations`
//! - [`fixes`]: the changes and commands that it proposes, applied in a build folder of that source
//! - [`headers`]: Debian's headers packages, with a module built in each, and the kernel of the same version
//! - [`foreign`]: headers packages of other architectures, read, and the version magic of the kernel of the same version
//!
//! The first two create their trees themselves, in temporary folders, with scripts as compilers. The others need fetched
//! packages, so a plain `cargo test` leaves them out. `tests/run` runs them. If something is missing they fail.

mod configurations;
mod fixes;
mod foreign;
mod guide;
mod headers;
mod stage;
mod wrong;

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{KMODLAB, fetched};

/// The folder of fetched files, by the path that is also valid inside the small systems: without links.
fn top() -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/target/real");
    std::fs::canonicalize(folder).unwrap_or_else(|error| panic!("{folder}: {error}: run tests/real/fetch"))
}

/// Runs a command in one of the small systems.
fn inside(system: &str, command: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/chroot");
    Command::new(script).args(["--in", system]).args(command).output().unwrap()
}

/// The answer as JSON, if the program could give one.
fn json(output: &Output) -> Result<serde_json::Value, String> {
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}
