//! Each system call fails, once and then permanently: the program reports it in one line, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::scene::{Doing, Scene, Side, Tally};
use crate::strace::{self, Call};
use crate::workshop::Ran;

/// The errors with which a call fails once; calls of the loader get only the first four.
const ONCE: [&str; 7] = ["EIO", "ENOSPC", "EROFS", "EPERM", "EDQUOT", "EMFILE", "EINTR"];
const OF_THE_LOADER: usize = 4;

/// The errors with which a call and all later calls of the same name fail.
const FROM_THEN_ON: [&str; 2] = ["EIO", "ENOSPC"];

/// The calls that change a disk, by name.
const WRITING: [&str; 15] = [
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "mkdir",
    "mkdirat",
    "open",
    "openat",
    "openat2",
    "renameat",
    "renameat2",
    "unlinkat",
    "utimensat",
    "fchmod",
    "fchown",
];

/// The calls after the start of `main` that concern no file, and the final write to a stream.
const NOT_OF_FILES: [&str; 7] = ["write", "getpid", "geteuid", "getrandom", "sigaltstack", "uname", "exit_group"];

/// Calls that never fail, on any kernel (getuid(2); uname(2) fails only for an invalid pointer); rustix panics if one does.
const NEVER_FAILING: [&str; 3] = ["geteuid", "getuid", "uname"];

/// The calls by which a process gets its memory. A process that gets none may be ended by a signal.
const MEMORY: [&str; 4] = ["brk", "mmap", "munmap", "mprotect"];

/// The errors that Rust's standard library answers with a panic. No kernel fails like this: closing a folder always succeeds,
/// and random bytes are always available.
const PANICS_OF_STD: [&str; 2] = ["unexpected error during closedir", "failed to generate random data"];

/// A scene whose calls are made to fail.
struct Failing {
    scene: Scene,
    calls: Vec<Call>,
    /// The number of calls that the loader and Rust's runtime make before `main`.
    before_main: usize,
}

impl Failing {
    fn of(scene: Scene) -> Failing {
        let calls = scene.calls();
        // The last action of the runtime is to install the handler for stack overflows.
        let last = calls.iter().rposition(|call| call.text.starts_with("rt_sigaction(SIGBUS, {"));
        Failing { scene, before_main: last.map_or(0, |last| last + 1), calls }
    }

    /// Runs the command with these injections, and checks that nothing was lost.
    fn run(&self, what: &str, at: usize, injections: &[String], tally: &mut Tally) {
        let Failing { scene, calls, before_main } = self;
        scene.reset();
        let _doing = Doing(format!("{}: {what} at {}", scene.name, calls[at]));
        let ran = strace::fail(injections, &scene.line);
        let name = calls[at].name.as_str();
        match ran.code {
            Some(0) => {
                assert_eq!(ran.err, "");
                scene.must_be_done();
                return tally.count(Side::After);
            }
            Some(2 | 3 | 5) => says_why(&ran, name == "write"),
            _ => {
                let is_of_std = PANICS_OF_STD.iter().any(|text| ran.err.contains(text));
                let is_of_start = at < *before_main && scene.is_untouched();
                assert!(is_of_std || is_of_start || MEMORY.contains(&name), "{ran:?}");
            }
        }
        // If nothing changed, there is nothing to recover.
        tally.count(if scene.is_untouched() { Side::Before } else { scene.aftermath() });
    }
}

/// A failure is reported in one line, or in none if the line cannot be written.
fn says_why(ran: &Ran, is_mute: bool) {
    let is_remark = |line: &&str| line.contains("an interrupted run");
    let lines: Vec<&str> = ran.err.lines().filter(|line| !is_remark(line)).collect();
    let is_one = matches!(lines[..], [line] if line.starts_with("kmodlab: ") && line.len() > "kmodlab: ".len());
    assert!(is_one || is_mute && lines.is_empty(), "{ran:?}");
}

/// The errors with which a call fails: all of them with `KMODLAB_FAULTS=all`, otherwise one in this many in turn, so that each call
/// fails and each error is used at every so many calls.
fn in_turn<'w>(ways: &'w [&'static str], one_in: usize, at: usize) -> impl Iterator<Item = &'static str> + 'w {
    let is_all = crate::crowd::is_all();
    ways.iter().enumerate().filter(move |(nth, _)| is_all || (nth + at).is_multiple_of(one_in)).map(|(_, way)| *way)
}

/// Makes each call of the scene's command fail with each error.
fn at_each_call(scene: Scene) {
    let failing = Failing::of(scene);
    let worth = strace::worth_a_fault(&failing.calls);
    let (mut once, mut on) = (Tally::default(), Tally::default());
    for &at in &worth {
        let Call { name, nth, .. } = &failing.calls[at];
        if NEVER_FAILING.contains(&name.as_str()) {
            continue;
        }
        let ways = if at < failing.before_main { OF_THE_LOADER } else { ONCE.len() };
        for error in in_turn(&ONCE[..ways], 4, at) {
            failing.run(error, at, &[format!("{name}:error={error}:when={nth}")], &mut once);
        }
        for error in in_turn(&FROM_THEN_ON, 2, at) {
            failing.run(error, at, &[format!("{name}:error={error}:when={nth}+")], &mut on);
        }
    }
    let (name, count) = (failing.scene.name, worth.len());
    println!("{name}: {count} calls, each failing once in up to {} ways: {once}", ONCE.len());
    println!("{name}: {count} calls, each failing from then on in {} ways: {on}", FROM_THEN_ON.len());
}

/// The whole disk fails from one call on: at each call that changes it.
fn from_each_write_on(scene: Scene) {
    let failing = Failing::of(scene);
    let of_files = failing.calls[failing.before_main..].iter().map(|call| call.name.as_str());
    let of_files: BTreeSet<&str> =
        of_files.filter(|name| !MEMORY.contains(name) && !NOT_OF_FILES.contains(name)).collect();
    let of_files: Vec<&str> = of_files.into_iter().collect();
    let mut tally = Tally::default();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, call) in failing.calls.iter().enumerate() {
        if WRITING.contains(&call.name.as_str()) && call.text.contains(failing.scene.shop.home()) {
            for (error, names) in [("EROFS", &WRITING[..]), ("EIO", &of_files[..])] {
                let from_here =
                    |name: &&str| format!("{name}:error={error}:when={}+", seen.get(name).unwrap_or(&0) + 1);
                let injections: Vec<String> = names.iter().map(from_here).collect();
                failing.run(&format!("{error} of the whole disk"), at, &injections, &mut tally);
            }
        }
        *seen.entry(&call.name).or_default() += 1;
    }
    println!("{}: the whole disk fails from a write on, in 2 ways: {tally}", failing.scene.name);
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_patch_whose_calls_fail_loses_nothing() {
    at_each_call(Scene::patch());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_whose_calls_fail_loses_nothing() {
    at_each_call(Scene::restore());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_of_a_deleted_module_whose_calls_fail_loses_nothing() {
    at_each_call(Scene::recreate());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_whole_new_file_whose_calls_fail_loses_nothing() {
    at_each_call(Scene::strip());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_from_a_copy_whose_calls_fail_loses_nothing() {
    at_each_call(Scene::restore_from());
    from_each_write_on(Scene::restore_from());
    from_each_write_on(Scene::restore_from_by_a_new_file());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_disk_that_dies_meanwhile_loses_nothing() {
    for scene in [
        Scene::patch(),
        Scene::restore(),
        Scene::strip(),
        Scene::restore_stripped(),
        Scene::create(),
        Scene::recreate(),
    ] {
        from_each_write_on(scene);
    }
}
