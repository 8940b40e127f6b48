//! A repair of a damaged journal is killed, fails, or loses power: the damaged file stays under one of its two names, every line and backup that
//! was left is still left, and the same repair then completes it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

use kmodlab::change::{Confirmable, Repair, repair_journal};
use kmodlab::digest::{Sha256, sha256};
use kmodlab::vault::Vault;
use kmodlab::vault::record::JournalEntry;

use crate::played::{Played, Setup, is_a_setup};
use crate::resumed::{Of, Resumed, failing_at_each_call, killed_at_each_call};
use crate::workshop::{Looks, Tree, Workshop};

/// A repair, and what it must lead to.
pub(crate) struct RepairScene {
    setup: Setup,
    /// The lines that are left of the damaged journal.
    entries: Vec<JournalEntry>,
    /// The bytes of the damaged journal and of its copy; `None` for a folder.
    damaged: [Option<Vec<u8>>; 2],
    /// The number of the part that the repair closes.
    number: usize,
    backups: Vec<Sha256>,
    seen: RefCell<HashSet<Tree>>,
    sums: [Cell<usize>; 3],
}

/// How far a repair got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The journal is as it was.
    Before,
    /// The journal is as it was, and has a second name.
    Named,
    /// The next part has begun.
    Complete,
}

/// The journal, or its copy.
fn path(shop: &Workshop, is_copy: bool) -> std::path::PathBuf {
    shop.state.join(if is_copy { "journal.copy.jsonl" } else { "journal.jsonl" })
}

/// Changes a byte in the middle of a line.
fn damage(shop: &Workshop, is_copy: bool, line: usize) {
    let mut looks = Looks::of(&path(shop, is_copy)).unwrap();
    let before: usize = looks.bytes.split_inclusive(|byte| *byte == b'\n').take(line).map(<[u8]>::len).sum();
    looks.bytes[before + 100] ^= 1;
    looks.put(&path(shop, is_copy));
}

impl RepairScene {
    /// A changed line, which the copy still has.
    pub(crate) fn changed() -> RepairScene {
        RepairScene::of("repair of a changed line", |shop| damage(shop, false, 0))
    }

    /// A line that is lost, in the part after an earlier repair.
    pub(crate) fn again_and_lost() -> RepairScene {
        RepairScene::of("second repair, of a lost line", |shop| {
            damage(shop, false, 0);
            shop.run(&confirmed(shop).unwrap()).with(0);
            shop.run(&shop.patch(&[])).with(0);
            shop.run(&shop.restore()).with(0);
            damage(shop, false, 1);
            damage(shop, true, 1);
        })
    }

    /// The first line of the part after an earlier repair is lost, so that nothing says which part was closed.
    pub(crate) fn first_lost() -> RepairScene {
        RepairScene::of("second repair, of a lost first line", |shop| {
            damage(shop, false, 0);
            shop.run(&confirmed(shop).unwrap()).with(0);
            shop.run(&shop.patch(&[])).with(0);
            shop.run(&shop.restore()).with(0);
            damage(shop, false, 0);
            damage(shop, true, 0);
        })
    }

    /// A folder has the journal's place: it can't get a second name, and is renamed.
    pub(crate) fn folder() -> RepairScene {
        RepairScene::of("repair of a journal that is a folder", |shop| {
            fs::remove_file(shop.journal()).unwrap();
            std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(shop.journal()).unwrap();
        })
    }

    fn of(name: &'static str, begin: impl FnOnce(&Workshop)) -> RepairScene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        shop.run(&shop.restore()).with(0);
        begin(&shop);
        let vault = Vault::at(&shop.state);
        let journal = vault.journal().unwrap();
        assert!(!journal.damage.is_empty());
        let backups = vault.objects().all().unwrap().iter().map(|object| object.sha).collect();
        let damaged = [false, true].map(|is_copy| fs::read(path(&shop, is_copy)).ok());
        let number = 1 + (1..).take_while(|number| shop.state.join(format!("journal.{number}.jsonl")).exists()).count();
        let arguments = confirmed(&shop).unwrap();
        let (seen, sums) = (RefCell::default(), Default::default());
        let setup = Setup::new(name, shop, &arguments);
        RepairScene { setup, entries: journal.entries, damaged, number, backups, seen, sums }
    }

    /// How far did it get? Whatever contradicts the promise is an error.
    fn progress(&self) -> Result<Progress, String> {
        let shop = &self.shop;
        if let Some(lost) = self.backups.iter().find(|sha| !shop.has_backup(**sha)) {
            Err(format!("a backup is lost: {lost}"))?;
        }
        let journal = Vault::at(&shop.state).journal().map_err(|e| e.to_string())?;
        let Some(rest) = journal.entries.strip_prefix(self.entries.as_slice()) else {
            let left: Vec<u64> = journal.entries.iter().map(|entry| entry.seq).collect();
            return Err(format!("of {} lines only {left:?} are left", self.entries.len()));
        };
        let closed = |is_copy: bool| {
            let closed =
                move |number| shop.state.join(format!("journal.{number}{}.jsonl", if is_copy { ".copy" } else { "" }));
            (self.number..self.number + 4).map(closed).filter(|path| path.exists()).map(|path| fs::read(path).ok())
        };
        let at_first = |is_copy: bool| fs::read(path(shop, is_copy)).ok() == self.damaged[usize::from(is_copy)];
        for (is_copy, bytes) in [false, true].into_iter().zip(&self.damaged) {
            if !closed(is_copy).all(|closed| closed == *bytes) {
                Err("a file has the name of the damaged one and other contents")?;
            }
            // A journal that is a folder, or was removed, has no bytes to lose.
            if bytes.is_some() && !at_first(is_copy) && closed(is_copy).next().is_none() {
                Err(format!("the damaged {} is lost", if is_copy { "copy" } else { "journal" }))?;
            }
        }
        match rest {
            [] if closed(false).next().is_none() && closed(true).next().is_none() => Ok(Progress::Before),
            [] => Ok(Progress::Named),
            [entry] if journal.damage.is_empty() => {
                let repaired = entry.repaired.as_ref().ok_or("the new line is not about a repair")?;
                let is_named = fs::read(shop.state.join(&repaired.part)).ok() == self.damaged[0];
                let sum = self.damaged[0].as_ref().map(|bytes| sha256(bytes));
                if !is_named || repaired.sha256 != sum {
                    Err("the repair names another file")?;
                }
                Ok(Progress::Complete)
            }
            more => Err(format!("{} lines more: {:?}", more.len(), journal.damage)),
        }
    }
}

is_a_setup!(RepairScene);

/// The arguments of the repair with the digest that confirms it; `None` if the journal is whole.
fn confirmed(shop: &Workshop) -> Option<Vec<String>> {
    let planned = shop.run(&["vault", "repair", "-n"]);
    if planned.code == Some(0) {
        assert_eq!(planned.out, "the journal is whole; nothing to repair\n");
        return None;
    }
    let digest = planned.with(1).value("digest");
    Some(["vault", "repair", "--confirm", &digest].map(str::to_owned).to_vec())
}

impl fmt::Display for RepairScene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, named, complete] = self.sums.each_ref().map(Cell::get);
        let all = before + named + complete;
        write!(f, "{all} runs, {before} before, {named} with two names, {complete} complete, 0 otherwise")
    }
}

impl Resumed for RepairScene {
    fn again(&self) -> Option<Vec<OsString>> {
        confirmed(&self.shop).map(|arguments| self.shop.line(&arguments))
    }

    fn is_news(&self) -> bool {
        let left = Tree::of(&self.shop.home).without_times_below(Path::new("state"));
        let sum = &self.sums[self.progress().unwrap() as usize];
        sum.set(sum.get() + 1);
        self.seen.borrow_mut().insert(left)
    }

    fn must_be_recovered(&self) {
        let is_left = confirmed(&self.shop).is_some();
        assert_eq!(self.progress().unwrap() == Progress::Complete, !is_left);
    }

    fn must_be_complete(&self) {
        assert_eq!(self.progress(), Ok(Progress::Complete));
        assert_eq!(self.shop.leftover(), None);
        assert_eq!(confirmed(&self.shop), None, "something is left to repair");
    }

    fn must_work(&self) {
        let shop = &self.shop;
        for line in [&["verify"][..], &["vault", "verify"]] {
            shop.run(line).with(0);
        }
        shop.run(&shop.patch(&[])).with(0);
        shop.run(&shop.restore()).with(0);
        assert!(shop.now() == shop.original);
    }
}

impl Played for RepairScene {
    fn judge(&self, state: &Tree) -> Result<(), String> {
        state.put(&self.shop.home);
        let said = |e: kmodlab::error::Error| e.to_string();
        self.progress()?;
        let vault = Vault::at(&self.shop.state);
        let mut writer = vault.writer().map_err(said)?;
        if let Some(path) = self.shop.leftover() {
            Err(format!("{} was left", path.display()))?;
        }
        let progress = self.progress()?;
        if let Some(again) = Repair::plan(&writer).map_err(said)? {
            if progress == Progress::Complete {
                Err("it is complete, and something is left to repair")?;
            }
            let digest = again.digest().to_string();
            let confirmed = again.confirm_digest(&digest).map_err(|why| why.to_string())?;
            repair_journal(confirmed, &mut writer).map_err(said)?;
        }
        match self.progress()? {
            Progress::Complete => Ok(()),
            progress => Err(format!("running it again does not complete it: {progress:?}")),
        }
    }

    fn judge_end(&self, state: &Tree) -> Result<(), String> {
        state.put(&self.shop.home);
        match self.progress()? {
            Progress::Complete => Ok(()),
            progress => Err(format!("it said that it was done: {progress:?}")),
        }
    }
}

/// One scene per kind of damage.
pub(crate) fn scenes() -> [RepairScene; 4] {
    [RepairScene::changed(), RepairScene::again_and_lost(), RepairScene::first_lost(), RepairScene::folder()]
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_repair_killed_anywhere_is_completed_by_the_next_one() {
    let [first, others @ ..] = scenes();
    killed_at_each_call(&first, Of::Files);
    others.iter().for_each(|scene| killed_at_each_call(scene, Of::Changes));
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_repair_whose_calls_fail_loses_nothing() {
    scenes().iter().for_each(|scene| failing_at_each_call(scene, Of::Changes));
}
