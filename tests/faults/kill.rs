//! The run is killed at each of its system calls: the module has its old or its new contents, never a mixture.

use crate::crowd::is_all;
use crate::scene::{Doing, Scene, Side, Tally};
use crate::strace::{self, Call};
use crate::torn::Span;

/// Kills the scene's command at each system call.
fn at_each_call(scene: &Scene) {
    let calls = scene.calls();
    let worth = strace::worth_a_fault(&calls);
    let mut tally = Tally::default();
    for call in worth.iter().map(|at| &calls[*at]) {
        let _doing = Doing(format!("{} was killed at {call}", scene.name));
        scene.kill(call, &calls);
        tally.count(scene.aftermath());
    }
    println!("{}: {} calls, SIGKILL at each: {tally}", scene.name, worth.len());
}

/// The machine changed after the calls were listed, and the program now makes one more call.
#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_call_is_found_again_by_its_arguments() {
    let scene = Scene::patch();
    let mut calls = scene.calls();
    calls.remove(calls.iter().position(|call| call.name == "openat").unwrap());
    calls.iter_mut().filter(|call| call.name == "openat").for_each(|call| call.nth -= 1);
    let of_the_journal = |call: &&Call| call.name == "openat" && call.text.contains("\"journal.jsonl\", O_WRONLY");
    let call = calls.iter().rfind(of_the_journal).unwrap();
    scene.kill(call, &calls);
    // It was killed just before it created its journal, not at an earlier call.
    assert_eq!((scene.side(), scene.shop.journal().exists()), (Some(Side::After), false));
    assert_eq!(scene.aftermath(), Side::After);
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_patch_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::patch());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::restore());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_of_a_deleted_module_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::recreate());
    at_each_call(&Scene::recreate_from_compressed());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_whole_new_file_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::strip());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_by_a_whole_new_file_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::restore_stripped());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_repacked_module_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::grow());
    at_each_call(&Scene::pack());
    if is_all() {
        at_each_call(&Scene::restore_packed());
    }
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_patch_into_a_new_file_killed_anywhere_leaves_all_of_it_or_nothing() {
    at_each_call(&Scene::create());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_that_discards_changes_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::discard());
    at_each_call(&Scene::discard_interrupted());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_restore_from_a_copy_killed_anywhere_loses_nothing() {
    at_each_call(&Scene::restore_from());
    at_each_call(&Scene::restore_from_by_a_new_file());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_recovery_killed_anywhere_is_finished_by_the_next_one() {
    let patch = Scene::patch();
    let write = patch.first("pwrite64", &patch.shop.module);
    at_each_call(&patch.recovery("recovery of a torn patch", &write, |shop| {
        let span = Span::planned(shop);
        shop.write(&span.torn_at(span.new.len() / 2));
    }));

    let patch = Scene::patch();
    let line = patch.first("pwrite64", &patch.shop.journal());
    at_each_call(&patch.recovery("recovery of a patch without its line", &line, |_| {}));

    let restore = Scene::restore();
    let line = restore.first("pwrite64", &restore.shop.journal());
    at_each_call(&restore.recovery("recovery of a restore without its line", &line, |_| {}));

    let recreate = Scene::recreate();
    let rename = recreate.first("renameat2", &recreate.shop.home);
    at_each_call(&recreate.recovery("recovery of a deleted module whose new file has no name yet", &rename, |_| {}));

    let recreate = Scene::recreate();
    let line = recreate.first("pwrite64", &recreate.shop.journal());
    at_each_call(&recreate.recovery("recovery of a deleted module without its line", &line, |_| {}));

    let strip = Scene::strip();
    let rename = strip.first("renameat2", &strip.shop.home);
    at_each_call(&strip.recovery("recovery of a new file not yet in place", &rename, |_| {}));
}
