//! Intents and journal lines with names that this program never writes. They are refused, or match nothing; no file elsewhere
//! is touched.

use std::fs;

use kmodlab::digest::sha256;
use kmodlab::vault::Intent;
use kmodlab::vault::record::WriteMethod;

use crate::state::scene::{PATCHED, Scene, fixture, write};

/// A file that no run ever created.
const VICTIM: &str = "victim";

fn scene() -> Scene {
    let scene = Scene::new();
    write(&scene.path(VICTIM), b"a letter");
    write(&scene.path(".kmodlab-1-2.tmp"), b"another letter");
    write(&scene.path("state/victim"), b"a note");
    scene
}

#[test]
fn an_intent_that_names_another_temporary_file_is_refused() {
    let (scene, mut refused) = (scene(), 0);
    let honest = scene.intent();
    for how in [WriteMethod::InPlace, WriteMethod::Replace, WriteMethod::Create] {
        for temporary in [
            VICTIM,
            "./victim",
            "../victim",
            "/etc/hostname",
            ".kmodlab-1-2.tmp",
            ".kmodlab-7-7.tmp/../victim",
            ".kmodlab-7-7.tmp ",
            "x.kmodlab-7-7.tmp",
            "..",
            ".",
            "",
        ] {
            let mut intent = Intent { id: "7-7".into(), temporary: Some(temporary.into()), ..honest.clone() };
            intent.change.how = how;
            refused += refuses(&scene, &intent);
        }
        let right = Some(".kmodlab-7-7.tmp".to_owned());
        let mut intent = Intent { id: "7-7".into(), ..honest.clone() };
        intent.change.how = how;
        // A write in place has no temporary file; every other write must have one.
        intent.temporary = if how == WriteMethod::InPlace { right } else { None };
        refused += refuses(&scene, &intent);
    }
    println!("{refused} of {refused} intents with another temporary file refused");
}

#[test]
fn an_intent_with_an_id_or_a_path_that_leads_elsewhere_is_refused() {
    let (scene, mut refused) = (scene(), 0);
    let honest = scene.intent();
    for id in ["../7", "7", "", "7-7/../../victim", "7-", "-7", "7-7.tmp", "a-b"] {
        refused += refuses(&scene, &Intent { id: id.into(), ..honest.clone() });
    }
    for path in ["victim", "./victim", "../victim", "/", "", "/tmp/../etc/hostname"] {
        let mut intent = honest.clone();
        intent.change.path = path.into();
        refused += refuses(&scene, &intent);
    }
    println!("{refused} of {refused} intents with another id or path refused");
}

/// Each command reports the intent, goes on without it, and nothing is done because of it.
fn refuses(scene: &Scene, intent: &Intent) -> usize {
    for entry in fs::read_dir(scene.state().join("intents")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Incomplete files of earlier runs are removed once.
    assert_eq!(scene.run(["recover"]).status, 0);
    scene.announce(std::slice::from_ref(intent));
    let before = scene.snapshot();
    for (call, status) in
        [(&["recover"][..], 2), (&["restore", "-n", PATCHED], 0), (&["verify", PATCHED], 1), (&["vault"], 1)]
    {
        let answer = scene.run(call.iter().copied());
        assert_eq!(answer.status, status, "{call:?} with {intent:?}: {answer:?}");
        assert!(answer.err.contains("this intent is refused: "), "{answer:?}");
        assert_eq!(scene.snapshot(), before, "{call:?} with {intent:?}");
    }
    1
}

/// A forged intent among others costs only itself: the others are carried out, and it stays as it is.
#[test]
fn a_forged_intent_of_a_group_does_not_stop_the_others() {
    let scene = scene();
    let forged = Intent { temporary: Some(VICTIM.into()), ..scene.intent() };
    scene.announce(&[scene.intent(), forged]);
    let files: Vec<_> =
        fs::read_dir(scene.state().join("intents")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let lines_of = |word: &str| {
        let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
        texts.map(|text| text.lines().filter(|line| line.contains(word)).count()).sum::<usize>()
    };
    let answer = scene.run(["recover"]);
    assert_eq!(answer.status, 2, "{answer:?}");
    assert!(answer.out.contains("rolled back") && answer.err.contains("this intent is refused: "), "{answer:?}");
    assert_eq!(lines_of("\"temporary\":\"victim\""), 1, "the forged intent stays");
    assert_eq!(scene.vault().pending().unwrap(), [], "the honest one is settled");
    assert_eq!(fs::read(scene.path(VICTIM)).unwrap(), b"a letter");
}

/// An entry with the right name next to the module is removed only if it is not a folder, and a link is not followed.
#[test]
fn a_link_in_the_place_of_the_temporary_file_is_not_followed() {
    let scene = scene();
    let mut intent = Intent { id: "7-7".into(), temporary: Some(".kmodlab-7-7.tmp".into()), ..scene.intent() };
    intent.change.how = WriteMethod::Replace;
    std::os::unix::fs::symlink(VICTIM, scene.path(".kmodlab-7-7.tmp")).unwrap();
    for entry in fs::read_dir(scene.state().join("intents")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    scene.announce(&[intent]);
    assert_eq!(scene.run(["recover"]).status, 0);
    assert_eq!(fs::read(scene.path(VICTIM)).unwrap(), b"a letter");
    assert!(scene.path(".kmodlab-7-7.tmp").symlink_metadata().is_err());
}

/// A line that names a backup by a path is not a valid journal line: no file is read or removed because of it. The line that this
/// program wrote is still in the journal's copy.
#[test]
fn a_line_that_names_a_backup_by_a_path_is_refused() {
    for name in ["../victim", "../../victim", "/etc/hostname", "../objects/../victim", ""] {
        for has_copy in [true, false] {
            let scene = scene();
            let journal = scene.state().join("journal.jsonl");
            let before = scene.vault().journal().unwrap().entries[0].change.as_ref().unwrap().before;
            let line = fs::read_to_string(&journal).unwrap();
            if has_copy {
                write(&scene.state().join("journal.copy.jsonl"), line.as_bytes());
            }
            let line = line.trim_end().replace(&before.to_string(), name);
            let signed = line.rsplit_once(",\"hash\":").unwrap().0;
            write(&journal, format!("{signed},\"hash\":\"{}\"}}\n", sha256(signed.as_bytes())).as_bytes());
            fs::remove_dir_all(scene.state().join("intents")).unwrap();
            let elsewhere = [scene.path(VICTIM), scene.path("state/victim")];
            let contents = || elsewhere.clone().map(|path| fs::read(path).unwrap());
            let as_it_was = contents();
            let what = if has_copy { "line 1 does not follow" } else { "line 1 is of another version" };
            let restored = if has_copy { 0 } else { 2 };
            let calls: [(&[&str], i32); 4] = [
                (&["log"], 1),
                (&["verify", PATCHED], if has_copy { 1 } else { 2 }),
                (&["vault", "drop", "--unneeded"], 2),
                (&["restore", PATCHED], restored),
            ];
            for (call, status) in calls {
                let answer = scene.run(call.iter().copied());
                assert_eq!(answer.status, status, "{call:?} with {name:?}: {answer:?}");
                assert!(answer.err.contains(what), "{call:?} with {name:?}: {answer:?}");
            }
            assert_eq!(contents(), as_it_was, "{name:?}");
            let is_restored = fs::read(scene.path(PATCHED)).unwrap() == fs::read(fixture(PATCHED)).unwrap();
            assert_eq!(is_restored, has_copy);
        }
    }
}
