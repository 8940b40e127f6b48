//! Promise: the program prints the output that the README shows.
//!
//! Each block marked `console` is run line by line with a shell, all blocks in one folder that contains copies of the fixtures,
//! and the output is compared. In the README, `[…]` stands for any text; on a line of its own, for any lines. Blocks marked
//! `console lab` or `console page`, in the README and in docs/, need a virtual machine: `tests/guests/vm/documents.rs` and
//! `tests/guests/vm/right_way.rs` run them. Here it is only checked whether the program knows their commands.

use std::path::Path;
use std::process::Command;

use crate::support::sessions::{fits, steps};

use crate::support::KMODLAB;

#[test]
fn the_readmes_sessions_run_as_written() {
    let readme = include_str!("../../../README.md");
    let folder = tempfile::tempdir().unwrap();
    for place in ["modules", "packages"] {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(place);
        for entry in std::fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    // Symbolic links are kept.
    let trees = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trees");
    let copied = Command::new("cp").arg("-a").arg(trees).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    let steps = steps(readme, "console");
    assert!(steps.len() > 10, "only {} commands in the README", steps.len());
    let mut shell = String::from("exec 2>&1\n");
    for step in &steps {
        shell.push_str(&format!("{}\nprintf '\\036'\n", step.command));
    }
    let printed = run(&shell, folder.path());
    for (step, printed) in steps.iter().zip(printed.split('\u{1e}')) {
        assert!(
            fits(&step.expected, printed),
            "$ {}\n--- README\n{}--- printed\n{printed}",
            step.command,
            step.expected
        );
    }
}

fn run(shell: &str, folder: &Path) -> String {
    let program = Path::new(KMODLAB).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", shell])
        .current_dir(folder)
        .env("PATH", path)
        .env("KMODLAB_STATE_DIR", folder.join("state"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("NO_COLOR", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_labs_commands_are_ones_that_the_program_knows() {
    let folder = tempfile::tempdir().unwrap();
    let mut known = 0;
    for (name, document, mark) in [
        ("README.md", include_str!("../../../README.md"), "console lab"),
        ("docs/walk-through.md", include_str!("../../../docs/walk-through.md"), "console lab"),
        ("docs/right-way.md", include_str!("../../../docs/right-way.md"), "console page"),
    ] {
        let mut names = String::new();
        for step in steps(document, mark) {
            let is_name = step.command.split_once('=').is_some_and(|(name, _)| name.chars().all(char::is_alphanumeric));
            if is_name || step.command.contains("() { ") {
                names.push_str(&format!("{}\n", step.command));
            }
            if !step.command.starts_with("kmodlab ") {
                continue;
            }
            // A call with --help prints help only if all preceding arguments are valid.
            let command = step.command.split("; ").next().unwrap();
            let printed = run(&format!("{names}{command} --help 2>&1"), folder.path());
            assert!(printed.contains("\nUsage: kmodlab "), "{name}: $ {}\n{printed}", step.command);
            known += 1;
        }
    }
    assert!(known > 10, "only {known} commands found");
    let printed = run("kmodlab try dummy --load-modes none --help 2>&1", folder.path());
    assert!(!printed.contains("Usage: kmodlab "), "a wrong call is recognised: {printed}");
}
