//! The user's own probe: a program that prints its results, one per line.

use std::process::{Command, Stdio};

use crate::lab::agent::probe::notes::{ProbeNotes, words};
use crate::lab::wire::PROBE_FAILED;

/// The most lines that are used.
const MOST_LINES: usize = 100;

/// Runs the program. Each line of its output, `WHAT: HOW`, is a result, and so is its exit status. The environment
/// variable MODULE has the module's name.
pub(super) fn run(program: &str, arguments: &[String], module: &str, seen: &mut ProbeNotes) {
    let output = Command::new(program).args(arguments).env("MODULE", module).stdin(Stdio::null()).output();
    match output {
        Err(e) => seen.note(PROBE_FAILED, words(&e)),
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stdout).lines().take(MOST_LINES) {
                let (what, how) = line.split_once(": ").unwrap_or((line, ""));
                seen.note(what.chars().take(200).collect::<String>(), how.chars().take(500).collect::<String>());
            }
            seen.note("the probe ends with", output.status.to_string());
        }
    }
}
