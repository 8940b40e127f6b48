//! The user's own probe: a program, whose lines are what it saw.

use std::process::{Command, Stdio};

use crate::lab::agent::probe::notes::{ProbeNotes, words};
use crate::lab::wire::PROBE_FAILED;

/// The most lines that count.
const MOST_LINES: usize = 100;

/// Runs it. Each line that it prints, `WHAT: HOW`, is something seen, and so is how it ends. The module's name is in
/// the environment as MODULE.
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
