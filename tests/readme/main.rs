//! Promise: what the README shows is what the program prints.
//!
//! Each block marked `console` is run line by line with a shell, all blocks in one folder that holds copies of the
//! fixtures, and what it prints is compared. In the README, `[…]` stands for any text; alone on a line, for any lines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that can't go on has failed, and counts are printed"
)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_readmes_sessions_run_as_written() {
    let readme = include_str!("../../README.md");
    let folder = tempfile::tempdir().unwrap();
    for place in ["modules", "packages"] {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(place);
        for entry in std::fs::read_dir(place).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let steps = steps(readme);
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

struct Step {
    command: String,
    expected: String,
}

/// The commands of all console blocks, each with what is shown under it.
fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command: command.to_owned(), expected: String::new() }),
                None => {
                    let step = steps.last_mut().unwrap();
                    step.expected.push_str(line);
                    step.expected.push('\n');
                }
            }
        }
    }
    steps
}

fn run(shell: &str, folder: &Path) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_kmodlab")).parent().unwrap();
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

/// Is `printed` what `expected` says, where `[…]` stands for any text in a line, or alone on a line for any lines?
fn fits(expected: &str, printed: &str) -> bool {
    let (pattern, text): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), printed.lines().collect());
    lines_fit(&pattern, &text)
}

fn lines_fit(pattern: &[&str], text: &[&str]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ["[…]", rest @ ..] => (0..=text.len()).any(|skip| lines_fit(rest, &text[skip..])),
        [line, rest @ ..] => !text.is_empty() && line_fits(line, text[0]) && lines_fit(rest, &text[1..]),
    }
}

fn line_fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once("[…]") {
        None => pattern == text,
        Some((head, tail)) => match text.strip_prefix(head) {
            None => false,
            Some(rest) => {
                rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| line_fits(tail, &rest[at..]))
            }
        },
    }
}
