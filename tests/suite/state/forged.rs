//! Intents and journal lines with names that this program never writes. They are refused, or match nothing; no file elsewhere
//! is touched.

use std::fs;

use kmodlab::digest::sha256;
use kmodlab::vault::Intent;
use kmodlab::vault::record::WriteMethod;

use crate::state::scene::{PATCHED, Scene, write};

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

/// Each command that recovers refuses the intent in one line, and does nothing.
fn refuses(scene: &Scene, intent: &Intent) -> usize {
    for entry in fs::read_dir(scene.state().join("intents")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    scene.announce(std::slice::from_ref(intent));
    let before = scene.snapshot();
    for call in [&["recover"][..], &["restore", PATCHED], &["verify"], &["vault"]] {
        let answer = scene.run(call.iter().copied());
        assert_eq!((answer.status, answer.err.lines().count()), (2, 1), "{call:?} with {intent:?}: {answer:?}");
        assert!(answer.err.contains("this intent is refused: "), "{answer:?}");
        assert_eq!(scene.snapshot(), before, "{call:?} with {intent:?}");
    }
    1
}

/// One forged intent among others prevents all of them from being carried out.
#[test]
fn one_forged_intent_of_a_group_stops_the_group() {
    let scene = scene();
    let honest = scene.intent();
    let forged = Intent { temporary: Some(VICTIM.into()), ..honest.clone() };
    refuses_all(&scene, &[honest.clone(), forged.clone(), honest]);
    // A forged intent in a separate file also stops those in other files.
    refuses_all(&scene, &[forged]);
}

fn refuses_all(scene: &Scene, intents: &[Intent]) {
    scene.announce(intents);
    let before = scene.snapshot();
    let answer = scene.run(["recover"]);
    assert_eq!((answer.status, answer.err.lines().count()), (2, 1), "{answer:?}");
    assert_eq!(scene.snapshot(), before);
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

/// A line that names a backup by a path is not a valid journal line: the journal is damaged, and no file is read or removed
/// because of it.
#[test]
fn a_line_that_names_a_backup_by_a_path_is_refused() {
    for name in ["../victim", "../../victim", "/etc/hostname", "../objects/../victim", ""] {
        let scene = scene();
        let journal = scene.state().join("journal.jsonl");
        let before = scene.vault().journal().unwrap().entries[0].change.as_ref().unwrap().before;
        let line = fs::read_to_string(&journal).unwrap().trim_end().replace(&before.to_string(), name);
        let signed = line.rsplit_once(",\"hash\":").unwrap().0;
        write(&journal, format!("{signed},\"hash\":\"{}\"}}\n", sha256(signed.as_bytes())).as_bytes());
        fs::remove_dir_all(scene.state().join("intents")).unwrap();
        let elsewhere = [scene.path(VICTIM), scene.path("state/victim"), scene.path(PATCHED)];
        let contents = || elsewhere.clone().map(|path| fs::read(path).unwrap());
        let as_it_was = contents();
        for call in [&["log"][..], &["restore", PATCHED], &["verify", PATCHED], &["vault", "drop", "--unneeded"]] {
            let answer = scene.run(call.iter().copied());
            assert_eq!(answer.status, 2, "{call:?} with {name:?}: {answer:?}");
            assert!(answer.err.contains("line 1 is no journal line"), "{call:?} with {name:?}: {answer:?}");
        }
        assert_eq!(contents(), as_it_was, "{name:?}");
    }
}
