//! Many modules at once: whatever stops a group, each module has its old or its new contents, and each original can be
//! restored.
//!
//! Some modules are written in place, some are replaced by whole new files, and there are enough of them for whole file systems
//! to be flushed. A run makes many calls here; with `KMODLAB_FAULTS=all` each gets its fault, otherwise faults are spread over
//! the run.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::digest::Sha256;
use kmodlab::vault::Vault;
use kmodlab::vault::history::{History, backups};
use kmodlab::vault::recovered::RecoveryOutcome;

use crate::played::{Played, Setup, is_a_setup};
use crate::scene::{Doing, Side};
use crate::strace::{self, Call};
use crate::workshop::{Looks, Ran, Tree, WANTED, Workshop, whole};

/// The modules that are written in place, and those whose signature is removed: more than are flushed one by one.
const IN_PLACE: usize = 9;
const REPLACED: usize = 2;

/// The number of calls that get a fault, unless all do.
const SPREAD: usize = 24;

/// Many modules, a command on all of them, and the two states of each.
pub(crate) struct Crowd {
    setup: Setup,
    /// The folder that the command line names.
    folder: PathBuf,
    /// Each module and its initial state.
    originals: Vec<(PathBuf, Looks)>,
    /// Its SHA-256 before the command, and after it.
    sides: Vec<[Sha256; 2]>,
    /// The states that were already proven good.
    seen: RefCell<HashSet<Tree>>,
}

is_a_setup!(Crowd);

impl Crowd {
    /// A patch of all of them, without a state folder at the start.
    pub(crate) fn patch() -> Crowd {
        let (shop, folder) = Crowd::modules();
        let arguments = Crowd::patching(&shop, &folder);
        Crowd::of("patch of many", shop, folder, &arguments)
    }

    /// The restore of all.
    pub(crate) fn restore() -> Crowd {
        let (shop, folder) = Crowd::modules();
        let originals = Crowd::looks(&folder);
        shop.run(&Crowd::patching(&shop, &folder)).with(0);
        let arguments = vec!["restore".to_owned(), folder.to_str().unwrap().to_owned()];
        Crowd { originals, ..Crowd::of("restore of many", shop, folder, &arguments) }
    }

    fn modules() -> (Workshop, PathBuf) {
        let shop = Workshop::of("hello-4.ko");
        let folder = shop.home.join("tree");
        fs::create_dir(&folder).unwrap();
        let signed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules/hello-4-signed.ko");
        let signed = Looks { bytes: fs::read(signed).unwrap(), ..shop.original.clone() };
        let all = [(IN_PLACE, "plain", &shop.original), (REPLACED, "signed", &signed)];
        for (count, name, looks) in all {
            for nth in 0..count {
                let mut looks = looks.clone();
                // The files differ: one letter of each description is changed.
                let at = looks.bytes.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
                looks.bytes[at] = b'a' + nth as u8;
                looks.put(&folder.join(format!("{name}{nth}.ko")));
            }
        }
        fs::remove_file(&shop.module).unwrap();
        (shop, folder)
    }

    fn patching(shop: &Workshop, folder: &Path) -> Vec<String> {
        let mut arguments = vec!["patch", folder.to_str().unwrap(), "--vermagic", WANTED, "--signature", "strip"];
        let digest = shop.run(&[&arguments[..], &["-n"]].concat()).with(0).value("digest");
        arguments.extend(["--confirm", &digest]);
        arguments.into_iter().map(str::to_owned).collect()
    }

    fn looks(folder: &Path) -> Vec<(PathBuf, Looks)> {
        let names = Tree::names(folder).into_iter().map(|name| folder.join(name));
        names.filter_map(|path| Looks::of(&path).map(|looks| (path, looks))).collect()
    }

    fn of(name: &'static str, shop: Workshop, folder: PathBuf, arguments: &[String]) -> Crowd {
        let setup = Setup::new(name, shop, arguments);
        let before = Crowd::looks(&folder);
        setup.shop.run(arguments).with(0);
        let after = Crowd::looks(&folder);
        assert_eq!(before.len(), IN_PLACE + REPLACED);
        let sides: Vec<_> = before.iter().zip(&after).map(|((_, b), (_, a))| [b.sha(), a.sha()]).collect();
        assert!(sides.iter().all(|[before, after]| before != after));
        setup.reset();
        Crowd { setup, folder, originals: before, sides, seen: RefCell::default() }
    }

    /// The folder of the modules, and the state folder.
    pub(crate) fn places(&self) -> [&Path; 2] {
        [&self.folder, &self.shop.state]
    }

    /// Writes the modules in their initial state where a new file system hides them.
    pub(crate) fn put_modules(&self) {
        self.originals.iter().filter(|(path, _)| !path.exists()).for_each(|(path, looks)| looks.put(path));
    }

    /// Runs the command, which may fail; it must then have reported the failure.
    pub(crate) fn try_it(&self) -> Ran {
        let ran = crate::workshop::run(&self.line);
        self.must_have_said(&ran);
        ran
    }

    /// On which side of the change is each module?
    fn now(&self) -> Result<Vec<Side>, String> {
        let side = |((path, _), [before, after]): (&(PathBuf, Looks), &[Sha256; 2])| match Looks::of(path) {
            Some(looks) if looks.sha() == *before => Ok(Side::Before),
            Some(looks) if looks.sha() == *after => Ok(Side::After),
            _ => Err(format!("{} is between before and after", path.display())),
        };
        self.originals.iter().zip(&self.sides).map(side).collect()
    }

    /// After a fault: recovers, and checks that nothing was lost and that everything works again.
    pub(crate) fn aftermath(&self) -> (usize, usize) {
        let shop = &self.shop;
        let left = Tree::of(&shop.home).without_times_below(Path::new("state"));
        shop.run(&["recover"]).with(0);
        let sides = self.now().unwrap();
        let after = sides.iter().filter(|side| **side == Side::After).count();
        let sum = (sides.len() - after, after);
        if !self.seen.borrow_mut().insert(left) {
            return sum;
        }
        assert_eq!(shop.leftover(), None);
        shop.run(&["verify"]).with(0);
        let folder = self.folder.to_str().unwrap();
        shop.run(&["restore", folder]).with(0);
        self.must_be_originals();
        shop.run(&["vault", "verify"]).with(0);
        shop.run(&Crowd::patching(shop, &self.folder)).with(0);
        shop.run(&["restore", "--all"]).with(0);
        self.must_be_originals();
        assert_eq!(shop.leftover(), None);
        sum
    }

    fn must_be_originals(&self) {
        for (path, original) in &self.originals {
            assert!(Looks::of(path).as_ref() == Some(original), "{} is not as it was at first", path.display());
        }
    }

    /// A run that ended this way must have finished, or reported what it left, or have changed nothing.
    fn must_have_said(&self, ran: &Ran) {
        match ran.code {
            Some(0) => {
                assert_eq!(ran.err, "");
                assert!(self.now().unwrap().iter().all(|side| *side == Side::After), "it said that it was done");
                assert_eq!(self.shop.leftover(), None);
            }
            Some(2..=5) => assert!(ran.err.lines().all(|line| line.starts_with("kmodlab: ")), "{ran:?}"),
            // The loader or a memory allocation failed.
            _ => {}
        }
    }
}

impl Played for Crowd {
    fn judge(&self, state: &Tree) -> Result<(), String> {
        let shop = &self.shop;
        state.put(&shop.home);
        let vault = Vault::at(&shop.state);
        let said = |e: kmodlab::error::Error| e.to_string();
        let locked = vault.writer().map_err(said)?;
        for recovered in locked.recovered() {
            match &recovered.outcome {
                RecoveryOutcome::Done | RecoveryOutcome::Undone => {}
                RecoveryOutcome::Conflict(why) => Err(format!("recovery takes it for somebody else's change: {why}"))?,
                RecoveryOutcome::Later(why) => Err(format!("recovery can't settle it: {why}"))?,
            }
        }
        let sides = self.now()?;
        let entries = whole(locked.journal().map_err(said)?)?;
        let history = History::of(&entries);
        for (((path, original), [before, after]), side) in self.originals.iter().zip(&self.sides).zip(&sides) {
            let now = if *side == Side::Before { before } else { after };
            match history.at(path).and_then(|trail| trail.expected()) {
                Some(sha) if sha != *now => Err("the journal says otherwise than the file")?,
                None if *side == Side::After => Err("the journal knows nothing of it")?,
                _ => {}
            }
            if *now != original.sha() && !shop.has_backup(original.sha()) {
                Err("the original is lost")?;
            }
            if *now == original.sha() && Looks::of(path).as_ref() != Some(original) {
                Err("the module's bytes came back, but not its looks")?;
            }
        }
        if let Some(sha) = backups(&entries).into_keys().find(|sha| !shop.has_backup(*sha)) {
            Err(format!("a backup that the journal names is lost: {sha}"))?;
        }
        match shop.leftover() {
            Some(path) => Err(format!("{} was left", path.display())),
            None => Ok(()),
        }
    }
}

/// All of these, or some of them at regular intervals.
pub(crate) fn spread<T: Clone>(all: &[T], some: usize) -> Vec<T> {
    if is_all() || all.len() <= some {
        return all.to_vec();
    }
    (0..some).map(|nth| all[nth * all.len() / some].clone()).collect()
}

/// Does every call get its fault?
pub(crate) fn is_all() -> bool {
    std::env::var_os("KMODLAB_FAULTS").is_some_and(|wish| wish == "all")
}

/// The calls that touch the files of a crowd, or flush them.
fn of_files(crowd: &Crowd, calls: &[Call]) -> Vec<Call> {
    let home = crowd.shop.home();
    let worth = |call: &&Call| call.text.contains(home) && !call.text.starts_with("execve");
    calls.iter().filter(worth).cloned().collect()
}

fn killed(crowd: &Crowd) {
    let all = crowd.calls();
    let calls = of_files(crowd, &all);
    let some = spread(&calls, SPREAD);
    let (mut sums, mut kills) = ((0, 0), 0);
    for call in &some {
        let _doing = Doing(format!("{} was killed at {call}", crowd.name));
        crowd.reset();
        kills += usize::from(strace::kill_a_thread(call, &crowd.line));
        let (before, after) = crowd.aftermath();
        sums = (sums.0 + before, sums.1 + after);
    }
    let (before, after) = sums;
    let name = crowd.name;
    println!("{name}: SIGKILL at {kills} of {} calls: {before} modules before, {after} after, 0 between", calls.len());
    // A call number that no single thread reaches kills nothing.
    assert!(kills * 2 > some.len(), "only {kills} of {} runs were killed", some.len());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_group_killed_anywhere_loses_nothing() {
    killed(&Crowd::patch());
    killed(&Crowd::restore());
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn a_group_whose_calls_fail_loses_nothing() {
    for crowd in [Crowd::patch(), Crowd::restore()] {
        let calls = of_files(&crowd, &crowd.calls());
        let some = spread(&calls, SPREAD / 3);
        let mut sums = (0, 0, 0);
        for call in &some {
            for (error, on) in [("EIO", ""), ("ENOSPC", ""), ("EIO", "+"), ("ENOSPC", "+")] {
                crowd.reset();
                let _doing = Doing(format!("{}: {error}{on} at {call}", crowd.name));
                let ran = strace::fail(&[format!("{}:error={error}:when={}{on}", call.name, call.nth)], &crowd.line);
                crowd.must_have_said(&ran);
                let (before, after) = crowd.aftermath();
                sums = (sums.0 + before, sums.1 + after, sums.2 + 1);
            }
        }
        let (before, after, runs) = sums;
        let name = crowd.name;
        println!("{name}: {runs} runs with failing calls: {before} modules before, {after} after, 0 between");
    }
}
