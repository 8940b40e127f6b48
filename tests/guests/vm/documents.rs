//! The lab does what the README and the walk-through show.
//!
//! Their blocks marked `console lab` are run as written, each document in one shell, in a folder that looks like a checkout
//! with fetched kernels. The fetched kernels change over time, and with them addresses and names of functions; so for `try` and
//! `matrix` the outcomes of the trials are compared, and for all other commands their output.

use std::path::Path;
use std::process::{Command, Stdio};

use kmodlab::lab::record::TrialOutcome;

use crate::support::premises::Pair;
use crate::support::sessions::{fits, steps};
use crate::vm::{KMODLAB, alone, fetched};

fn runs_as_written(document: &str) {
    let _alone = alone();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = tempfile::tempdir().unwrap();
    let place = checkout.path();
    std::fs::create_dir_all(place.join("tests/real")).unwrap();
    for script in ["fetch", "archive.sh"] {
        std::fs::copy(here.join("tests/real").join(script), place.join("tests/real").join(script)).unwrap();
    }
    std::os::unix::fs::symlink(here.join("target"), place.join("target")).unwrap();
    let steps = steps(document, "console lab");
    assert!(steps.len() > 3, "only {} commands", steps.len());
    let mut shell = String::from("exec 2>&1\n");
    for step in &steps {
        shell.push_str(&format!("{}\nprintf '%d\\036' $?\n", step.command));
    }
    let programs = Path::new(KMODLAB).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &shell])
        .current_dir(place)
        .env("PATH", path)
        .env("KMODLAB_STATE_DIR", place.join("state"))
        .env("XDG_CACHE_HOME", fetched::cache())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    for (step, printed) in steps.iter().zip(printed.split('\u{1e}')) {
        let (printed, status) = printed.split_at(printed.rfind('\n').map_or(0, |end| end + 1));
        println!("$ {}\n{printed}", step.command);
        let shown = || format!("$ {}\n--- written\n{}--- printed\n{printed}", step.command, step.expected);
        // kmodlab reports its results in its output; every other command must succeed.
        assert!(status == "0" || step.command.starts_with("kmodlab "), "status {status}\n{}", shown());
        if ["kmodlab try ", "kmodlab matrix "].iter().any(|start| step.command.starts_with(start)) {
            let expected = came_to(&step.expected);
            assert!(!expected.is_empty(), "{}", shown());
            // A newer kernel may lack the facts that the outcome follows from. What is predicted happens all the same.
            if came_to(printed) != expected {
                assert!(all_as_predicted(printed) && !premises_hold(&step.command), "{}", shown());
            }
        } else if !fits(&step.expected, printed) {
            assert!(step.command.starts_with("kmodlab check ") && !premises_hold(&step.command), "{}", shown());
        }
    }
    assert_eq!(printed.split('\u{1e}').count(), steps.len() + 1, "the shell ended early: {printed}");
}

/// Did all trials come out as predicted?
fn all_as_predicted(printed: &str) -> bool {
    printed.lines().any(|line| line.contains(" as predicted, 0 can't be compared, 0 not as predicted"))
}

/// Do the kernels of a command have the facts that its outcome follows from? A command names them by a document's variables or
/// by their folders; `check` is asked about the module of `$old`.
fn premises_hold(command: &str) -> bool {
    let built_for = command.split_once("--built-for ").map_or("$old", |(_, rest)| rest);
    let built_for = built_for.split(' ').next().unwrap();
    let is_forced = command.contains(" --load-modes forced ") || command.contains(" --force both");
    let pair = |name| Pair::of(name, "amd64-6.1-cloud");
    match built_for {
        "$old" if command.starts_with("kmodlab check ") && is_forced => pair("amd64-6.1-cloud-old").can_be_forced(),
        "$old" if is_forced => pair("amd64-6.1-cloud-old").damage_is_silent(),
        "$old" => pair("amd64-6.1-cloud-old").is_another_abi(),
        "$cloud73" => Pair::of("amd64-7.3-cloud", "amd64-7.2-cloud").vermagic_decides(),
        "$rt72" => Pair::of("amd64-7.2-rt", "amd64-7.2-cloud").init_is_elsewhere(),
        rt if rt == "$rt" || rt.contains("/amd64-6.1-rt/") => pair("amd64-6.1-rt").bus_is_overwritten(),
        // The outcome of a kernel's own module depends on no such fact.
        _ => true,
    }
}

/// The lines with the outcomes of trials, and the module's own functions in a trace.
fn came_to(text: &str) -> Vec<&str> {
    let is_conclusion = |line: &str| TrialOutcome::ALL.iter().any(|outcome| line.ends_with(outcome.sentence()));
    let is_outcome = |line: &&str| is_conclusion(line) || line.contains(" as predicted, ") || line.ends_with("[dummy]");
    let lines = text.lines().filter(is_outcome);
    lines
        .map(|line| line.split_once('+').filter(|_| line.ends_with("[dummy]")).map_or(line, |(name, _)| name))
        .collect()
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn the_readmes_lab_runs_as_written() {
    runs_as_written(include_str!("../../../README.md"));
}

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn the_walk_through_runs_as_written() {
    runs_as_written(include_str!("../../../docs/walk-through.md"));
}
