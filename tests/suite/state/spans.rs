//! Three spans of an interrupted operation, each with its old bytes, its new ones, a mixture, or foreign ones. Recovery
//! completes an operation whose bytes are all new, undoes a mixture of old and new, and touches nothing if any byte is neither.

use std::fs;
use std::path::PathBuf;

use kmodlab::digest::sha256;
use kmodlab::edit::{Edit, apply};
use kmodlab::vault::Intent;
use kmodlab::vault::record::Operation;

use crate::state::scene::{INTERRUPTED, Scene};

/// The contents of a span before recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Old,
    New,
    /// The front is new, the back is old.
    Torn,
    /// One byte is foreign.
    Foreign,
}

use Holds::{Foreign, New, Old, Torn};

const ALL: [Holds; 4] = [Old, New, Torn, Foreign];

/// The action of recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Finished,
    Undone,
    Conflict,
}

fn expected(spans: [Holds; 3]) -> Then {
    match spans {
        [New, New, New] => Then::Finished,
        spans if spans.contains(&Foreign) => Then::Conflict,
        _ => Then::Undone,
    }
}

/// All 64 combinations.
fn table() -> Vec<[Holds; 3]> {
    ALL.into_iter().flat_map(|a| ALL.into_iter().flat_map(move |b| ALL.map(|c| [a, b, c]))).collect()
}

/// The edits of three spans, and the module with these contents in each span.
struct Module {
    before: Vec<u8>,
    after: Vec<u8>,
    edits: Vec<Edit>,
}

impl Module {
    fn new(scene: &Scene) -> Module {
        let before = fs::read(scene.path(INTERRUPTED)).unwrap();
        let spans = [(100_usize, 1_usize), (400, 16), (before.len() - 30, 30)];
        let edits: Vec<Edit> = spans
            .into_iter()
            .map(|(offset, len)| {
                let old = before[offset..offset + len].to_vec();
                let new = old.iter().map(|byte| byte.wrapping_add(1)).collect();
                Edit { offset: offset as u64, old, new }
            })
            .collect();
        Module { after: apply(&before, &edits).unwrap(), before, edits }
    }

    fn with(&self, spans: [Holds; 3]) -> Vec<u8> {
        let mut bytes = self.before.clone();
        for (edit, holds) in self.edits.iter().zip(spans) {
            let (offset, len) = (edit.offset as usize, edit.old.len());
            let mut span = if holds == Old { edit.old.clone() } else { edit.new.clone() };
            match holds {
                // A span of one byte cannot be torn.
                Torn => span[len / 2..].copy_from_slice(&edit.old[len / 2..]),
                Foreign => span[len - 1] = edit.old[len - 1].wrapping_add(2),
                Old | New => {}
            }
            bytes[offset..offset + len].copy_from_slice(&span);
        }
        bytes
    }
}

/// An intent of these edits for the module at a path.
fn intent(first: &Intent, module: &Module, operation: Operation, path: PathBuf, number: usize) -> Intent {
    let mut intent = Intent { operation, id: format!("7-{number}"), ..first.clone() };
    intent.metadata_after = (operation == Operation::Restore).then(|| intent.change.metadata.clone());
    intent.change.path = path;
    intent.change.edits = module.edits.clone();
    (intent.change.before, intent.change.after) = (sha256(&module.before), sha256(&module.after));
    intent
}

fn clear_intents(scene: &Scene) {
    for entry in fs::read_dir(scene.state().join("intents")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Counts {
    finished: usize,
    undone: usize,
    conflicts: usize,
}

impl Counts {
    /// Checks and counts one result.
    fn count(&mut self, then: Then, now: &[u8], found: &[u8], module: &Module, of: &str) {
        let (count, right) = match then {
            Then::Finished => (&mut self.finished, module.after.as_slice()),
            Then::Undone => (&mut self.undone, module.before.as_slice()),
            Then::Conflict => (&mut self.conflicts, found),
        };
        assert!(now == right, "{of}: not {then:?}");
        *count += 1;
    }
}

#[test]
fn each_of_64_states_is_completed_rolled_back_or_left_alone() {
    for operation in [Operation::Patch, Operation::Restore] {
        let mut counts = Counts::default();
        let scene = Scene::new();
        let (module, first) = (Module::new(&scene), scene.intent());
        let path = scene.path(INTERRUPTED);
        for (number, spans) in table().into_iter().enumerate() {
            let intent = intent(&first, &module, operation, path.clone(), number);
            clear_intents(&scene);
            let sheet = scene.announce(&[intent]);
            let found = module.with(spans);
            fs::write(&path, &found).unwrap();
            let answer = scene.run(["recover"]);
            let then = expected(spans);
            let of = format!("{operation:?}, {spans:?}: {answer:?}");
            assert_eq!(answer.status, if then == Then::Conflict { 5 } else { 0 }, "{of}");
            assert_eq!(sheet.exists(), then == Then::Conflict, "{of}");
            if then == Then::Conflict {
                // The next commands do not touch it either.
                for call in [&["patch", INTERRUPTED, "--mode", "blank"][..], &["restore", INTERRUPTED]] {
                    assert_eq!(scene.run(call.iter().copied()).status, 5, "{of}");
                }
            }
            counts.count(then, &fs::read(&path).unwrap(), &found, &module, &of);
        }
        println!("three spans, {operation:?}, one at a time: {counts:?} of 64");
        assert_eq!(counts, Counts { finished: 1, undone: 26, conflicts: 37 });
    }
}

#[test]
fn each_of_a_group_of_64_modules_is_recovered_by_its_own_bytes() {
    for operation in [Operation::Patch, Operation::Restore] {
        let scene = Scene::new();
        let (module, first) = (Module::new(&scene), scene.intent());
        let ways = table();
        let mut intents = Vec::new();
        for (number, spans) in ways.iter().enumerate() {
            let path = scene.path(&format!("{number}.ko"));
            fs::write(&path, module.with(*spans)).unwrap();
            intents.push(intent(&first, &module, operation, path, number));
        }
        clear_intents(&scene);
        scene.announce(&intents);
        let answer = scene.run(["recover"]);
        assert_eq!(answer.status, 5, "{answer:?}");
        let mut counts = Counts::default();
        for (number, spans) in ways.into_iter().enumerate() {
            let now = fs::read(scene.path(&format!("{number}.ko"))).unwrap();
            counts.count(expected(spans), &now, &module.with(spans), &module, &format!("{spans:?}"));
        }
        println!("three spans, {operation:?}, a group of 64: {counts:?}");
        assert_eq!(counts, Counts { finished: 1, undone: 26, conflicts: 37 });
        assert_eq!(scene.vault().pending().unwrap().len(), 37, "the intents of conflicts stay");
    }
}
