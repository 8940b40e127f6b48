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

use crate::scene::{Doing, Played};
use crate::strace::{self, Call};
use crate::workshop::{Looks, Tree, Workshop, whole};

/// An import, and what it must lead to.
pub(crate) struct ImportScene {
    name: &'static str,
    shop: Workshop,
    /// The export.
    file: PathBuf,
    line: Vec<OsString>,
    start: Tree,
    /// The journal's text before the import, and in the export.
    before: String,
    exported: String,
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

impl ImportScene {
    /// An import without a state folder at the start.
    pub(crate) fn fresh() -> ImportScene {
        ImportScene::of("import", |shop, _| fs::remove_dir_all(&shop.state).unwrap())
    }

    /// An import of the lines that are missing; one backup is damaged, and one is missing.
    pub(crate) fn behind() -> ImportScene {
        ImportScene::of("import of what is missing", |shop, early| {
            early.put(&shop.state);
            let backup = shop.state.join("objects").join(shop.original.sha().to_string());
            fs::remove_file(&backup).unwrap();
            let looks = Looks { bytes: b"changed".to_vec(), mode: 0o400, ..shop.original.clone() };
            Looks { owner: Looks::of(&shop.journal()).unwrap().owner, label: None, ..looks }.put(&backup);
        })
    }

    fn of(name: &'static str, begin: impl FnOnce(&Workshop, &Tree)) -> ImportScene {
        let shop = Workshop::of("hello-4.ko");
        shop.run(&shop.patch(&[])).with(0);
        let early = Tree::of(&shop.state);
        shop.run(&shop.restore()).with(0);
        let file = shop.home.join("export.tar");
        shop.run(&["vault", "export", file.to_str().unwrap()]).with(0);
        let exported = fs::read_to_string(shop.journal()).unwrap();
        let backups: Vec<Sha256> = Vault::at(&shop.state).objects().all().unwrap().iter().map(|o| o.sha).collect();
        assert_eq!((exported.lines().count(), backups.len()), (2, 2));
        begin(&shop, &early);
        let before = fs::read_to_string(shop.journal()).unwrap_or_default();
        let intact = backups.iter().copied().filter(|sha| shop.has_backup(*sha)).collect();
        let start = Tree::of(&shop.home);
        let arguments = confirmed(&shop, &file).unwrap();
        let line = shop.line(&arguments);
        let (seen, sums) = (RefCell::default(), Default::default());
        ImportScene { name, shop, file, line, start, before, exported, backups, intact, seen, sums }
    }

    fn reset(&self) {
        self.start.put(&self.shop.home);
    }

    fn calls(&self) -> Vec<Call> {
        let calls = strace::all_calls(&self.line, &|| self.reset());
        self.reset();
        calls
    }

    /// The command line of the same import in the state that is there now.
    pub(crate) fn again(&self) -> Vec<OsString> {
        match confirmed(&self.shop, &self.file) {
            Some(arguments) => self.shop.line(&arguments),
            None => self.line.clone(),
        }
    }

    /// How far did it get? Whatever contradicts the promise is an error.
    fn progress(&self) -> Result<Progress, String> {
        let shop = &self.shop;
        if let Some(lost) = self.intact.iter().find(|sha| !shop.has_backup(**sha)) {
            Err(format!("a backup is lost: {lost}"))?;
        }
        let is_whole = self.backups.iter().all(|sha| shop.has_backup(*sha));
        let text = fs::read_to_string(shop.journal()).unwrap_or_default();
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

    /// After a fault: recovers, runs the same import again, and checks that everything is there and works.
    fn aftermath(&self) {
        let shop = &self.shop;
        let left = Tree::of(&shop.home).without_times_below(Path::new("state"));
        let progress = self.progress().unwrap();
        let sum = &self.sums[progress as usize];
        sum.set(sum.get() + 1);
        if !self.seen.borrow_mut().insert(left) {
            return;
        }
        shop.run(&["recover"]).with(0);
        assert_eq!(shop.leftover(), None);
        assert_eq!(self.progress(), Ok(progress));
        if let Some(arguments) = confirmed(shop, &self.file) {
            assert_ne!(progress, Progress::Complete);
            shop.run(&arguments).with(0);
        }
        self.must_be_complete();
        for line in [&["verify"][..], &["vault", "verify"], &["log", "--verify"]] {
            shop.run(line).with(0);
        }
        // The vault works: another patch, and its restore.
        shop.run(&shop.patch(&[])).with(0);
        shop.run(&shop.restore()).with(0);
        assert!(shop.now() == shop.original);
    }

    fn must_be_complete(&self) {
        assert_eq!(self.progress(), Ok(Progress::Complete));
        assert_eq!(self.shop.leftover(), None);
        assert_eq!(confirmed(&self.shop, &self.file), None, "something is left to import");
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
    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> &Path {
        &self.shop.home
    }

    fn line(&self) -> &[OsString] {
        &self.line
    }

    fn start(&self) -> &Tree {
        &self.start
    }

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
    for scene in [ImportScene::fresh(), ImportScene::behind()] {
        let calls = scene.calls();
        let mut worth = strace::worth_a_fault(&calls);
        // The second scene makes the same other calls.
        worth.retain(|at| scene.before.is_empty() || calls[*at].text.contains(scene.shop.home()));
        for call in worth.iter().map(|at| &calls[*at]) {
            let _doing = Doing(format!("{} was killed at {call}", scene.name));
            strace::kill(call, &calls, &scene.line, &|| scene.reset());
            scene.aftermath();
        }
        println!("{}: {} calls, SIGKILL at each: {scene}", scene.name, worth.len());
    }
}

#[test]
#[ignore = "needs strace: tests/run runs it"]
fn an_import_whose_calls_fail_loses_nothing() {
    for scene in [ImportScene::fresh(), ImportScene::behind()] {
        let calls = scene.calls();
        let home = scene.shop.home();
        let worth: Vec<&Call> = calls.iter().filter(|call| call.text.contains(home)).collect();
        for (at, call) in worth.iter().enumerate() {
            let errors = ["EIO", "ENOSPC", "EROFS", "EMFILE"];
            for (nth, error) in errors.into_iter().enumerate() {
                if !crate::crowd::is_all() && (at + nth) % 2 == 1 {
                    continue;
                }
                for on in ["", "+"] {
                    scene.reset();
                    let _doing = Doing(format!("{}: {error}{on} at {call}", scene.name));
                    let injection = format!("{}:error={error}:when={}{on}", call.name, call.nth);
                    let ran = strace::fail(&[injection], &scene.line);
                    match ran.code {
                        Some(0) => scene.must_be_complete(),
                        Some(2..=5) => {
                            assert!(ran.err.lines().all(|line| line.starts_with("kmodlab: ")), "{ran:?}");
                        }
                        _ => assert!(ran.err.contains("unexpected error during closedir"), "{ran:?}"),
                    }
                    scene.aftermath();
                }
            }
        }
        println!("{}: {} calls of files, failing once and from then on: {scene}", scene.name, worth.len());
    }
}
