//! A simulated disk that loses any part of what was not flushed to it, at each point of a run.
//!
//! The system calls of a run of the real program are recorded ([`tape`]) and replayed to a disk that guarantees only what was
//! flushed ([`model`]). After each call the power is cut: each possible loss of unflushed data is written to real files, and
//! the vault's own recovery runs on them. The module must have its old or its new contents, the journal must agree, and the
//! original must be restorable.
//!
//! To show that such a test can fail, each fsync is removed from the run, one at a time: killing a process cannot detect a
//! missing fsync, this disk must.

mod model;
mod tape;

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::Path;

use kmodlab::change::{Confirmable, Restore};
use kmodlab::vault::Vault;
use kmodlab::vault::history::{History, backups};
use kmodlab::vault::recovered::RecoveryOutcome;

use crate::crowd::{self, Crowd};
use crate::import::ImportScene;
use crate::played::Played;
use crate::repair;
use crate::resumed::Resumed;
use crate::scene::{Scene, Side};
use crate::workshop::{Looks, Tree, whole};
use model::{Dice, Disk};
use tape::{Act, Step, record};

/// A scene whose runs are replayed to the disk.
struct Stage<P> {
    scene: P,
    /// The result for each state seen so far: an equal state needs no second check.
    seen: HashMap<u64, Result<(), String>>,
    /// The total number of states, including repeated ones.
    states: usize,
    /// Is the power cut only at the calls next to a flush, and at one of eight others?
    is_thin: bool,
}

/// For each fsync, by name, what is lost without it.
type Needs = BTreeMap<String, Option<String>>;

impl<P: Played> Stage<P> {
    fn of(scene: P) -> Stage<P> {
        Stage { scene, seen: HashMap::new(), states: 0, is_thin: false }
    }

    /// The calls of the scene's command, and the disk on which it makes them. The calls that `failing` names fail.
    fn start(&self, failing: Option<&str>) -> (Disk, Vec<Step>) {
        let home = &self.scene.shop.home;
        self.scene.start.put(home);
        (Disk::of(&self.scene.start, home), record(&self.scene.line, home, failing))
    }

    /// Kills the scene's command after each of its calls, then runs this one: its tape, and the disk on which it starts, where
    /// the first command's unflushed changes are still pending.
    fn killed_then(&self, line: &[OsString]) -> Vec<(Disk, Vec<Step>)> {
        let (mut disk, tape) = self.start(None);
        let home = &self.scene.shop.home;
        let mut runs = Vec::new();
        for step in &tape {
            disk.take(step);
            disk.now().put(home);
            runs.push((disk.clone(), record(line, home, None)));
        }
        runs
    }

    /// Replays a tape to a disk, cuts the power after each call, and checks every state that may result. Stops at the first
    /// call after which something is lost, and returns what.
    fn play<'t>(&mut self, mut disk: Disk, tape: impl IntoIterator<Item = &'t Step>) -> Result<(), String> {
        /// Between two flushes of a long run, only one call in this many is tried.
        const ONE_OF: usize = 8;
        let mut dice = Dice::new();
        let is_flush = |step: &Step| {
            let act = &step.act;
            matches!(act, Act::Sync { .. } | Act::SyncAll | Act::FailedSync { .. } | Act::FailedSyncAll)
        };
        let mut tape = tape.into_iter().enumerate().peekable();
        while let Some((at, step)) = tape.next() {
            disk.take(step);
            // Most changes are pending just before a flush, fewest just after it.
            let is_worth = is_flush(step) || tape.peek().is_none_or(|(_, next)| is_flush(next)) || at % ONE_OF == 0;
            if self.is_thin && !is_worth {
                continue;
            }
            let is_end = tape.peek().is_none();
            for state in disk.after_power_cut(&mut dice) {
                let end = if is_end { self.scene.judge_end(&state) } else { Ok(()) };
                if let Err(what) = self.look(&state).and(end) {
                    let what = what.replace(&format!("{}/", self.scene.shop.home.display()), "");
                    return Err(format!("power cut after {} {}: {what}", step.act, self.short(&step.path)));
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, state: &Tree) -> Result<(), String> {
        self.states += 1;
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        match self.seen.entry(hasher.finish()) {
            Entry::Occupied(seen) => seen.get().clone(),
            Entry::Vacant(new) => new.insert(self.scene.judge(state)).clone(),
        }
    }

    /// Removes each fsync from the tape, one at a time, and records what is lost without it.
    fn without_each_fsync(&mut self, disk: &Disk, tape: &[Step], needs: &mut Needs) {
        for (out, step) in tape.iter().enumerate() {
            if !matches!(step.act, Act::Sync { .. } | Act::SyncAll) {
                continue;
            }
            let lost = needs.entry(self.name_of(tape, out)).or_default();
            if lost.is_none() {
                let rest = tape.iter().enumerate().filter(|(at, _)| *at != out).map(|(_, step)| step);
                *lost = self.play(disk.clone(), rest).err();
            }
        }
    }

    /// The name of an fsync: what it flushes, and after which call.
    fn name_of(&self, tape: &[Step], at: usize) -> String {
        let flushed = &tape[at].path;
        let is_why = |step: &&Step| match &step.act {
            Act::Write { .. } | Act::Set { .. } => step.path == *flushed,
            Act::Open { creates, .. } => creates.is_some() && step.path.parent() == Some(flushed),
            Act::MakeFolder | Act::RenameTo(_) | Act::LinkTo(_) | Act::Remove => step.path.parent() == Some(flushed),
            Act::Cut { .. } | Act::Sync { .. } | Act::SyncAll | Act::FailedSync { .. } | Act::FailedSyncAll => false,
        };
        if let Act::SyncAll = tape[at].act {
            let is_news = |step: &&Step| !matches!(step.act, Act::Open { creates: None, .. });
            let last = tape[..at].iter().rev().find(is_news);
            let last = last.map(|step| format!("{} {}", step.act, self.short(&step.path))).unwrap_or_default();
            return format!("the whole file system, after {last}");
        }
        let why = match tape[..at].iter().rev().find(is_why) {
            Some(step) if step.path == *flushed => format!("{} it", step.act),
            Some(step) => format!("{} {}", step.act, self.short(&step.path)),
            None => "another run's work".to_owned(),
        };
        format!("{}, after {why}", self.short(flushed))
    }

    /// A path without the parts that differ between runs.
    fn short(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.scene.shop.home).unwrap();
        let name = path.to_string_lossy();
        match path.parent().and_then(Path::file_name).and_then(|folder| folder.to_str()) {
            Some("objects") => "a backup".to_owned(),
            Some("intents") => "an intent".to_owned(),
            _ if name.is_empty() => "the folder above".to_owned(),
            _ if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(".kmodlab-")) => {
                "the new file".to_owned()
            }
            _ => name.into_owned(),
        }
    }

    fn counts(&self) -> String {
        format!("{}: {} states, {} of them different", self.scene.name, self.states, self.seen.len())
    }
}

/// Why nothing is lost without this fsync. Every other fsync is needed.
fn spare(scene: &str, fsync: &str) -> Option<&'static str> {
    match fsync {
        "state/intents, after removing an intent" => Some("an intent that comes back finds its line in the journal"),
        "state, after making state/intents" if scene.ends_with("of many") => {
            Some("that of all backups flushes the file system they are on")
        }
        "state, after making state/intents" if scene == "import with a part" => {
            Some("the one after the closed part was made flushes the folder again")
        }
        "tree, after renaming the new file" if scene == "restore of many" => {
            Some("that of the looks of those in place flushes the file system they are on")
        }
        "a backup, after another run's work" | "state/objects, after another run's work"
            if matches!(scene, "restore of a deleted module" | "import of a part that is missing") =>
        {
            Some("the patch flushed its backup")
        }
        "hello.ko, after writing it" if scene.starts_with("restore") => Some("the one after its looks flushes both"),
        _ => None,
    }
}

/// Prints the purpose of each fsync. It is an error if one is not needed for anything, or if a spare one is needed.
fn must_be_needed(scene: &str, needs: &Needs) {
    for (fsync, lost) in needs {
        match (lost, spare(scene, fsync)) {
            (Some(lost), None) => println!("  without the fsync of {fsync}: {lost}"),
            (None, Some(why)) => println!("  without the fsync of {fsync}: nothing is lost, {why}"),
            (None, None) => panic!("{scene}: the fsync of {fsync} is needed for nothing, or this test can't see it"),
            (Some(lost), Some(_)) => panic!("{scene}: the fsync of {fsync} is no spare one: {lost}"),
        }
    }
}

/// Prints the purpose of each fsync of a second run. These must be among those that are needed in at least one scene.
fn must_hold(needs: &Needs, needed: &[&str]) {
    for (fsync, lost) in needs {
        println!("  without its fsync of {fsync}: {}", lost.as_deref().unwrap_or("nothing is lost"));
    }
    for fsync in needed {
        assert!(needs.get(*fsync).is_some_and(Option::is_some), "nothing is lost without the fsync of {fsync}");
    }
}

impl Played for Scene {
    fn judge(&self, state: &Tree) -> Result<(), String> {
        judge(self, state)
    }
}

/// Writes a state to real files, recovers, and checks whether anything is lost.
fn judge(scene: &Scene, state: &Tree) -> Result<(), String> {
    let shop = &scene.shop;
    state.put(&shop.home);
    let vault = Vault::at(&shop.state);
    let said = |e: kmodlab::error::Error| e.to_string();
    let mut locked = vault.writer().map_err(said)?;
    for recovered in locked.recovered() {
        match &recovered.outcome {
            RecoveryOutcome::Done | RecoveryOutcome::Undone => {}
            RecoveryOutcome::Conflict(why) => Err(format!("recovery takes it for somebody else's change: {why}"))?,
            RecoveryOutcome::Later(why) => Err(format!("recovery can't settle it: {why}"))?,
        }
    }
    let side = scene.side().ok_or("the file is between before and after")?;
    let now = Looks::of(&scene.file).map(|looks| looks.sha());
    let foreign = scene.is_conflict && side == Side::Before;
    let entries = whole(locked.journal().map_err(said)?)?;
    let history = History::of(&entries);
    let is_still_deleted = scene.is_deleted() && side == Side::Before;
    match history.at(&scene.file).and_then(|trail| trail.expected()) {
        Some(sha) if Some(sha) != now && !foreign && !is_still_deleted => {
            Err("the journal says otherwise than the file")?
        }
        None if side == Side::After => Err("the journal knows nothing of it")?,
        _ => {}
    }
    if let Some(sha) = backups(&entries).into_keys().find(|sha| !shop.has_backup(*sha)) {
        Err(format!("a backup that the journal names is lost: {sha}"))?;
    }
    let module = Looks::of(&shop.module);
    if module.is_none() && !scene.is_deleted() {
        Err("the module is gone")?;
    }
    if scene.is_from_copy {
        drop(locked);
        if side == Side::After && !shop.has_backup(scene.before.unwrap()) {
            Err("what was overwritten is lost")?;
        }
        // The same digest confirms it: path, contents and original are the same.
        if side == Side::Before && crate::workshop::run(&scene.line).code != Some(0) {
            Err("it can't be restored from the copy")?;
        }
    } else if module.as_ref().is_none_or(|module| module.bytes != shop.original.bytes) {
        if !shop.has_backup(shop.original.sha()) {
            Err("the original is lost")?;
        }
        let restore = Restore::plan(&vault, &shop.module).map_err(said)?;
        let digest = restore.digest();
        let confirmed = match foreign {
            true => restore.confirm_digest(&digest.to_string()).map_err(|why| why.to_string())?,
            false => restore.without_discarding().map_err(said)?,
        };
        confirmed.apply(&mut locked).map_err(said)?;
        if module.is_some_and(|module| foreign && !shop.has_backup(module.sha())) {
            Err("what was discarded is lost")?;
        }
    }
    if shop.now() != shop.original {
        Err("the module's bytes came back, but not its looks")?;
    }
    match shop.leftover() {
        Some(path) => Err(format!("{} was left", path.display())),
        None => Ok(()),
    }
}

/// One scene per kind of write: spans in place, a whole new file, the restores of both, an additional file, over a
/// conflict, of a deleted module, and from a copy.
fn scenes() -> [Scene; 9] {
    [
        Scene::patch(),
        Scene::restore(),
        Scene::strip(),
        Scene::restore_stripped(),
        Scene::create(),
        Scene::discard(),
        Scene::recreate(),
        Scene::restore_from(),
        Scene::restore_from_by_a_new_file(),
    ]
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_power_cut_anywhere_loses_nothing_and_without_an_fsync_it_would() {
    scenes().into_iter().for_each(|scene| at_each_call(&mut Stage::of(scene)));
}

/// Cuts the power at each call of the scene's command, and does so again without each of its fsyncs.
fn at_each_call(stage: &mut Stage<impl Played>) {
    let (disk, tape) = stage.start(None);
    stage.play(disk.clone(), &tape).unwrap();
    println!("power cut at each call of {}", stage.counts());
    let mut needs = Needs::new();
    stage.without_each_fsync(&disk, &tape, &mut needs);
    must_be_needed(stage.scene.name, &needs);
}

/// Cuts the power at each call of a command, and of the same command after the first one was killed at any call, then only at the
/// calls next to a flush; of a scene that is like another one, the first is killed at every third call. With `KMODLAB_FAULTS=all`,
/// at each call.
fn resumed(scene: impl Resumed, is_like_another: bool) {
    let mut stage = Stage::of(scene);
    at_each_call(&mut stage);
    // Killed after any call, run again as it then is confirmed, and without power at any call of that.
    stage.is_thin = !crowd::is_all();
    let (mut disk, tape) = stage.start(None);
    let home = stage.scene.shop.home.clone();
    let (one_of, mut runs) = (if stage.is_thin && is_like_another { 3 } else { 1 }, 0);
    for (number, step) in tape.iter().enumerate() {
        disk.take(step);
        if number % one_of != 0 {
            continue;
        }
        runs += 1;
        disk.now().put(&home);
        let again = stage.scene.again().unwrap_or_else(|| stage.scene.line.clone());
        // Asking for it has removed what the killed run left; here the repeated run has to.
        disk.now().put(&home);
        let again = record(&again, &home, None);
        stage.play(disk.clone(), &again).unwrap();
    }
    println!("killed at {runs} of {} calls, run again, power cut at each call of {}", tape.len(), stage.counts());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_power_cut_in_an_import_loses_nothing_and_without_an_fsync_it_would() {
    for (number, scene) in ImportScene::all().into_iter().enumerate() {
        resumed(scene, number > 0);
    }
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_power_cut_in_a_repair_loses_nothing_and_without_an_fsync_it_would() {
    repair::scenes().into_iter().enumerate().for_each(|(number, scene)| resumed(scene, number > 0));
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_power_cut_in_a_group_loses_nothing_and_without_a_flush_it_would() {
    for crowd in [Crowd::patch(), Crowd::restore()] {
        let mut stage = Stage { is_thin: !crowd::is_all(), ..Stage::of(crowd) };
        let (disk, tape) = stage.start(None);
        let flushes = |act: fn(&Act) -> bool| tape.iter().filter(|step| act(&step.act)).count();
        let (files, systems) =
            (flushes(|act| matches!(act, Act::Sync { .. })), flushes(|act| matches!(act, Act::SyncAll)));
        // The number of flushes of a group does not grow with its files: there are ten modules here, so one flush per module
        // would show.
        assert!(systems >= 2 && files + systems < 24, "{files} files and {systems} file systems were flushed");
        stage.play(disk.clone(), &tape).unwrap();
        println!("{files} fsyncs and {systems} syncfs; power cut at each call of {}", stage.counts());
        let mut needs = Needs::new();
        stage.without_each_fsync(&disk, &tape, &mut needs);
        must_be_needed(stage.scene.name, &needs);
    }
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn killed_anywhere_then_recovered_then_a_power_cut_loses_nothing() {
    let mut needs = Needs::new();
    for scene in scenes() {
        let mut stage = Stage { is_thin: !crowd::is_all(), ..Stage::of(scene) };
        let recover = stage.scene.shop.line(&["recover"]);
        for (disk, tape) in stage.killed_then(&recover) {
            stage.play(disk.clone(), &tape).unwrap();
            stage.without_each_fsync(&disk, &tape, &mut needs);
        }
        println!("killed, recovered, power cut, at each call of {}", stage.counts());
    }
    must_hold(
        &needs,
        &[
            "hello.ko, after another run's work",
            "state/intents, after another run's work",
            "state/journal.jsonl, after another run's work",
            "state/journal.jsonl, after writing it",
            "the folder above, after another run's work",
        ],
    );
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn killed_anywhere_then_run_again_then_a_power_cut_loses_nothing() {
    let mut needs = Needs::new();
    for scene in [Scene::patch(), Scene::restore(), Scene::strip(), Scene::discard(), Scene::restore_from()] {
        let mut stage = Stage { is_thin: !crowd::is_all(), ..Stage::of(scene) };
        for (disk, tape) in stage.killed_then(&stage.scene.line) {
            stage.play(disk.clone(), &tape).unwrap();
            stage.without_each_fsync(&disk, &tape, &mut needs);
        }
        println!("killed, run again, power cut, at each call of {}", stage.counts());
    }
    must_hold(&needs, &["state/objects, after another run's work", "state, after another run's work"]);
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_flush_of_a_group_that_fails_and_then_a_power_cut_lose_nothing() {
    for crowd in [Crowd::patch(), Crowd::restore()] {
        let calls = crowd.calls();
        let mut stage = Stage { is_thin: !crowd::is_all(), ..Stage::of(crowd) };
        for name in ["fsync", "syncfs"] {
            let flushes = calls.iter().filter(|call| call.name == name).count();
            for nth in crowd::spread(&(1..=flushes).collect::<Vec<_>>(), 3) {
                let (disk, tape) = stage.start(Some(&format!("{name}:error=EIO:when={nth}")));
                stage.play(disk, &tape).unwrap();
            }
            println!("of {flushes} {name} some fail, power cut at each call of {}", stage.counts());
        }
    }
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn an_fsync_that_fails_and_then_a_power_cut_lose_nothing() {
    for scene in scenes() {
        let mut stage = Stage { is_thin: !crowd::is_all(), ..Stage::of(scene) };
        let fsyncs = stage.scene.calls().iter().filter(|call| call.name == "fsync").count();
        for nth in 1..=fsyncs {
            let (disk, tape) = stage.start(Some(&format!("fsync:error=EIO:when={nth}")));
            stage.play(disk, &tape).unwrap();
        }
        println!("{fsyncs} fsyncs fail, power cut at each call of {}", stage.counts());
    }
}
