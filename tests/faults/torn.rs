//! The write of the module was torn: recovery restores the old bytes if each byte of the planned span is an old or a new one,
//! and changes nothing if any byte, inside or outside the span, is neither.

use std::fs;

use kmodlab::vault::Vault;
use kmodlab::vault::recovered::RecoveryOutcome;

use crate::scene::{Scene, Tally};
use crate::workshop::Workshop;

/// The span that an interrupted patch was about to write, as recorded in its intent.
pub(crate) struct Span {
    /// The module before.
    whole: Vec<u8>,
    offset: usize,
    old: Vec<u8>,
    pub(crate) new: Vec<u8>,
}

impl Span {
    /// The span that the only intent in the state folder plans.
    pub(crate) fn planned(shop: &Workshop) -> Span {
        let intents: Vec<_> = fs::read_dir(shop.state.join("intents")).unwrap().map(Result::unwrap).collect();
        assert_eq!(intents.len(), 1);
        let intent: serde_json::Value = serde_json::from_slice(&fs::read(intents[0].path()).unwrap()).unwrap();
        let edit = &intent["change"]["edits"][0];
        let side = |name: &str| hex::decode(edit[name].as_str().unwrap()).unwrap();
        let offset = edit["offset"].as_u64().unwrap() as usize;
        Span { whole: shop.original.bytes.clone(), offset, old: side("old"), new: side("new") }
    }

    /// The module with these bytes in the span.
    fn with(&self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = self.whole.clone();
        whole[self.offset..][..self.old.len()].copy_from_slice(bytes);
        whole
    }

    /// The first `k` bytes new, the rest old.
    pub(crate) fn torn_at(&self, k: usize) -> Vec<u8> {
        self.with(&[&self.new[..k], &self.old[k..]].concat())
    }

    /// Torn writes: only the front, only the back, one byte, every second byte; at each offset.
    fn torn(&self) -> Vec<Vec<u8>> {
        let len = self.new.len();
        let mut all = Vec::new();
        for k in 0..=len {
            all.push(self.torn_at(k));
            all.push(self.with(&[&self.old[..k], &self.new[k..]].concat()));
            let every_second = (0..len).map(|at| if at >= k && at % 2 == 0 { self.new[at] } else { self.old[at] });
            all.push(self.with(&every_second.collect::<Vec<u8>>()));
        }
        for k in 0..len {
            for (most, one) in [(&self.new, &self.old), (&self.old, &self.new)] {
                let mut torn = most.clone();
                torn[k] = one[k];
                all.push(self.with(&torn));
            }
        }
        all.sort();
        all.dedup();
        all
    }

    /// The same with foreign bytes inside: a hole of zeros, garbage, one byte; at each offset.
    fn foreign(&self) -> Vec<Vec<u8>> {
        let len = self.new.len();
        let mut all = Vec::new();
        for k in 0..=len {
            all.push([&self.new[..k], &vec![0; len - k]].concat());
            all.push([&vec![0xa5; k], &self.new[k..]].concat());
        }
        for k in 0..len {
            let mut one = self.new.clone();
            one[k] = (0..=255).find(|byte| *byte != self.old[k] && *byte != self.new[k]).unwrap();
            all.push(one);
        }
        let is_neither = |(at, byte): (usize, &u8)| *byte != self.old[at] && *byte != self.new[at];
        all.retain(|bytes| bytes.iter().enumerate().any(is_neither));
        all.sort();
        all.dedup();
        all.iter().map(|bytes| self.with(bytes)).collect()
    }
}

/// A patch that was killed just before it wrote the module.
fn interrupted() -> (Scene, Span) {
    let patch = Scene::patch();
    let write = patch.first("pwrite64", &patch.shop.module);
    let scene = patch.recovery("recovery", &write, |_| {});
    let span = Span::planned(&scene.shop);
    (scene, span)
}

/// The result of recovery for the one interrupted operation.
fn recover(shop: &Workshop) -> RecoveryOutcome {
    let vault = Vault::at(&shop.state);
    let outcomes = vault.writer().unwrap().recovered().to_vec();
    assert_eq!(outcomes.len(), 1);
    outcomes[0].outcome.clone()
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_torn_write_is_undone_or_done() {
    let (scene, span) = interrupted();
    let mut tally = Tally::default();
    let torn = span.torn();
    for bytes in &torn {
        scene.reset();
        scene.shop.write(bytes);
        recover(&scene.shop);
        let side = scene.side().expect("neither as before nor as after");
        tally.count(side);
        assert_eq!(scene.shop.leftover(), None);
    }
    println!("torn writes of a span of {} bytes: {tally}", span.new.len());
    assert_eq!((tally.before, tally.after), (torn.len() - 1, 1), "only the whole new span is the state after");
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn foreign_bytes_inside_the_span_are_a_conflict_and_stay() {
    let (scene, span) = interrupted();
    let all = span.foreign();
    for (nth, bytes) in all.iter().enumerate() {
        scene.reset();
        scene.shop.write(bytes);
        let as_it_was = scene.shop.now();
        let outcome = recover(&scene.shop);
        assert!(matches!(outcome, RecoveryOutcome::Conflict(_)), "number {nth}: {outcome:?}");
        assert!(scene.shop.now() == as_it_was, "number {nth}: the file was touched");
    }
    scene.shop.run(&["recover"]).with(5);
    println!("foreign bytes inside a span of {} bytes: {} files, a conflict at each", span.new.len(), all.len());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn one_foreign_byte_anywhere_else_is_a_conflict_and_stays() {
    let (scene, span) = interrupted();
    let inside = span.offset..span.offset + span.new.len();
    let torn = span.torn_at(span.new.len() / 2);
    let outside: Vec<usize> = (0..torn.len()).filter(|at| !inside.contains(at)).collect();
    for &at in &outside {
        scene.reset();
        let mut foreign = torn.clone();
        foreign[at] ^= 1;
        scene.shop.write(&foreign);
        let as_it_was = scene.shop.now();
        let outcome = recover(&scene.shop);
        assert!(matches!(outcome, RecoveryOutcome::Conflict(_)), "byte {at}: {outcome:?}");
        assert!(scene.shop.now() == as_it_was, "byte {at}: the file was touched");
    }
    println!("foreign bytes: {} places, a conflict at each, nothing written", outside.len());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_conflict_stops_every_command_until_a_person_discards_it() {
    let (scene, span) = interrupted();
    let shop = &scene.shop;
    let mut foreign = span.torn_at(7);
    foreign.push(0);
    shop.write(&foreign);
    let foreign = shop.now();

    for arguments in [vec!["recover".to_owned()], shop.restore()] {
        shop.run(&arguments).with(5);
        assert!(shop.now() == foreign);
    }
    let discard = shop.discard();
    assert!(shop.now() == foreign, "-n writes nothing");
    shop.run(&["restore", shop.module(), "--discard-changes", "--confirm", "0000"]).with(3);
    assert!(shop.now() == foreign, "another digest discards nothing");

    shop.run(&discard).with(0);
    assert!(shop.now() == shop.original);
    assert!(shop.has_backup(foreign.sha()), "what was discarded is lost");
    shop.run(&["recover"]).with(0);
    shop.run(&["verify"]).with(0);
    assert_eq!(shop.leftover(), None);
}
