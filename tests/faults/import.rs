//! An import is killed, fails, or loses power: no line of the journal is without its backups, no backup is lost, and the same import
//! then completes it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use kmodlab::change::{Confirmable, Import, import};
use kmodlab::digest::Sha256;
use kmodlab::vault::Vault;
use kmodlab::vault::history::backups;

use crate::played::{Played, Setup, is_a_setup};
use crate::resumed::{Of, Resumed, failing_at_each_call, killed_at_each_call};
use crate::workshop::{Looks, Tree, Workshop, whole};

/// An import, and what it must lead to.
pub(crate) struct ImportScene {
    setup: Setup,
    /// The export.
    file: PathBuf,
    /// The journal's text before the import, and in the export.
    before: String,
    exported: String,
    /// The number of lines before the import, and in the export, in all parts of the journal.
    lines: [usize; 2],
    /// The backups in the export.
    backups: Vec<Sha256>,
    /// The backups that are intact before the import.
    intact: Vec<Sha256>,
    seen: RefCell<HashSet<Tree>>,
    sums: [Cell<usize>; 3],
}

/// How far an import got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The journal is as it was, and the backups too.
    Before,
    /// Backups were written.
    Backups,
    /// Everything is there.
    Complete,
}

is_a_setup!(ImportScene);

impl ImportScene {
    /// An import without a state folder at the start.
    pub(crate) fn fresh() -> ImportScene {
        ImportScene::of("import", false, |shop, _| fs::remove_dir_all(&shop.state).unwrap())
    }

    /// An import of the lines that are missing; one backup is damaged, and one is missing.
    pub(crate) fn behind() -> ImportScene {
        ImportScene::of("import of what is missing", false, |shop, early| {
            early.put(&shop.state);
            let backup = shop.state.join("objects").join(shop.original.sha().to_string());
            fs::remove_file(&backup).unwrap();
            let looks = Looks { bytes: b"changed".to_vec(), mode: 0o400, ..shop.original.clone() };
            Looks { owner: Looks::of(&shop.journal()).unwrap().owner, label: None, ..looks }.put(&backup);
        })
    }

    /// An import of a journal with a closed part, without a state folder at the start.
    pub(crate) fn with_part() -> ImportScene {
        ImportScene::of("import with a part", true, |shop, _| fs::remove_dir_all(&shop.state).unwrap())
    }

    /// An import of a journal with a closed part, which takes the place of the current part.
    pub(crate) fn with_part_behind() -> ImportScene {
        ImportScene::of("import of a part that is missing", true, |shop, early| early.put(&shop.state))
    }

    /// All of them.
    pub(crate) fn all() -> [ImportScene; 4] {
        [ImportScene::fresh(), ImportScene::behind(), ImportScene::with_part(), ImportScene::with_part_behind()]
    }

    fn of(name: &'static str, has_part: bool, begin: impl FnOnce(&Workshop, &Tree)) -> ImportScene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        let early = Tree::of(&shop.state);
        if has_part {
            let mut journal = Looks::of(&shop.journal()).unwrap();
            journal.bytes[100] ^= 1;
            journal.put(&shop.journal());
            let digest = shop.run(&["vault", "repair", "-n"]).with(1).value("digest");
            shop.run(&["vault", "repair", "--confirm", &digest]).with(0);
        }
        shop.run(&shop.restore()).with(0);
        let file = shop.home.join("export.tar");
        shop.run(&["vault", "export", file.to_str().unwrap()]).with(0);
        let exported = fs::read_to_string(shop.journal()).unwrap();
        let backups: Vec<Sha256> = Vault::at(&shop.state).objects().all().unwrap().iter().map(|o| o.sha).collect();
        assert_eq!((exported.lines().count(), backups.len()), (2, 2));
        let lines = || Vault::at(&shop.state).journal().unwrap().entries.len();
        let in_export = lines();
        assert_eq!(in_export, 2 + usize::from(has_part));
        begin(&shop, &early);
        let lines = [lines(), in_export];
        let before = fs::read_to_string(shop.journal()).unwrap_or_default();
        let intact = backups.iter().copied().filter(|sha| shop.has_backup(*sha)).collect();
        let arguments = confirmed(&shop, &file).unwrap();
        let setup = Setup::new(name, shop, &arguments);
        let (seen, sums) = (RefCell::default(), Default::default());
        ImportScene { setup, file, before, exported, lines, backups, intact, seen, sums }
    }

    /// How far did it get? Whatever contradicts the promise is an error.
    fn progress(&self) -> Result<Progress, String> {
        let shop = &self.shop;
        if let Some(lost) = self.intact.iter().find(|sha| !shop.has_backup(**sha)) {
            Err(format!("a backup is lost: {lost}"))?;
        }
        let is_whole = self.backups.iter().all(|sha| shop.has_backup(*sha));
        let text = fs::read_to_string(shop.journal()).unwrap_or_default();
        let journal = Vault::at(&shop.state).journal().map_err(|e| e.to_string())?;
        if let Some(damage) = journal.damage.first() {
            Err(format!("the journal is damaged: {damage}"))?;
        }
        let lines = if text == self.before { self.lines[0] } else { self.lines[1] + 1 };
        if journal.entries.len() != lines {
            Err(format!("{} lines are read instead of {lines}", journal.entries.len()))?;
        }
        if text == self.before {
            let count = self.backups.iter().filter(|sha| shop.has_backup(**sha)).count();
            return Ok(if count == self.intact.len() { Progress::Before } else { Progress::Backups });
        }
        let rest = text.strip_prefix(&self.exported).ok_or("the journal has other lines than the exported ones")?;
        if rest.lines().count() != 1 || !rest.contains("\"operation\":\"import\"") {
            Err("the line about the import is missing")?;
        }
        if is_whole { Ok(Progress::Complete) } else { Err("a line has no backup".to_owned()) }
    }
}

impl Resumed for ImportScene {
    fn again(&self) -> Option<Vec<OsString>> {
        confirmed(&self.shop, &self.file).map(|arguments| self.shop.line(&arguments))
    }

    fn is_news(&self) -> bool {
        let left = Tree::of(&self.shop.home).without_times_below(Path::new("state"));
        let sum = &self.sums[self.progress().unwrap() as usize];
        sum.set(sum.get() + 1);
        self.seen.borrow_mut().insert(left)
    }

    fn must_be_recovered(&self) {
        let is_left = confirmed(&self.shop, &self.file).is_some();
        assert_eq!(self.progress().unwrap() == Progress::Complete, !is_left);
    }

    fn must_be_complete(&self) {
        assert_eq!(self.progress(), Ok(Progress::Complete));
        assert_eq!(self.shop.leftover(), None);
        assert_eq!(confirmed(&self.shop, &self.file), None, "something is left to import");
    }

    fn must_work(&self) {
        let shop = &self.shop;
        for line in [&["verify"][..], &["vault", "verify"], &["log", "--verify"]] {
            shop.run(line).with(0);
        }
        // The vault works: another patch, and its restore.
        shop.run(&shop.patch(&[])).with(0);
        shop.run(&shop.restore()).with(0);
        assert!(shop.now() == shop.original);
    }
}

/// The arguments of the import with the digest that confirms it; `None` if nothing is left to import.
fn confirmed(shop: &Workshop, file: &Path) -> Option<Vec<String>> {
    let arguments = ["vault", "import", file.to_str().unwrap()].map(str::to_owned);
    let planned = shop.run(&[&arguments[..], &["-n".to_owned()]].concat()).with(0);
    if planned.out.contains("nothing is left to import") {
        return None;
    }
    let digest = planned.value("digest");
    Some([&arguments[..], &["--confirm".to_owned(), digest]].concat())
}

impl fmt::Display for ImportScene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, backups, complete] = self.sums.each_ref().map(Cell::get);
        let all = before + backups + complete;
        write!(f, "{all} runs, {before} before, {backups} with backups and no line, {complete} complete, 0 otherwise")
    }
}

impl Played for ImportScene {
    fn judge(&self, state: &Tree) -> Result<(), String> {
        state.put(&self.shop.home);
        let said = |e: kmodlab::error::Error| e.to_string();
        self.progress()?;
        let vault = Vault::at(&self.shop.state);
        let mut writer = vault.writer().map_err(said)?;
        let progress = self.progress()?;
        if let Some(path) = self.shop.leftover() {
            Err(format!("{} was left", path.display()))?;
        }
        let entries = whole(writer.journal().map_err(said)?)?;
        let is_known = |sha: &Sha256| self.intact.contains(sha) || progress == Progress::Complete;
        if let Some(sha) = backups(&entries).into_keys().find(|sha| is_known(sha) && !self.shop.has_backup(*sha)) {
            Err(format!("a backup that the journal names is lost: {sha}"))?;
        }
        let plan = || Import::plan(&vault, &self.file, 1 << 20, false, || {}).map_err(said);
        let again = plan()?;
        if !again.is_done() {
            let digest = again.digest().to_string();
            let confirmed = again.confirm_digest(&digest).map_err(|why| why.to_string())?;
            import(confirmed, &mut writer, || {}).map_err(said)?;
        }
        match (self.progress()?, plan()?.is_done()) {
            (Progress::Complete, true) => Ok(()),
            (progress, _) => Err(format!("running it again does not complete it: {progress:?}")),
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

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn an_import_killed_anywhere_is_completed_by_the_next_one() {
    killed_at_each_call(&ImportScene::fresh(), Of::All);
    killed_at_each_call(&ImportScene::behind(), Of::Files);
    killed_at_each_call(&ImportScene::with_part(), Of::Changes);
    killed_at_each_call(&ImportScene::with_part_behind(), Of::Changes);
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn an_import_whose_calls_fail_loses_nothing() {
    for (scene, of) in ImportScene::all().iter().zip([Of::Files, Of::Files, Of::Changes, Of::Changes]) {
        failing_at_each_call(scene, of);
    }
}
