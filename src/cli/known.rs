//! Which of the modules that a command names does the journal know? A file that is named must be; in a folder, those that
//! are not are told as a number.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Session, count};
use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::file;
use crate::spill::{Sorter, Spool, SpooledPath, path_bytes};
use crate::vault::history::Trail;
use crate::vault::index::{self, Index};
use crate::vault::inventory::Doubt;
use crate::vault::{Intent, Vault, target};
use crate::walk::{self, Walk};

/// So many are looked at before they are told of, or selected.
pub(super) const STEP: usize = 256;

/// So many paths are sorted in memory at a time.
const SORTED: usize = 1 << 14;

/// One module that a command is about.
pub(super) struct Named {
    /// As it was named.
    pub(super) path: PathBuf,
    /// Its real path.
    pub(super) real: Result<PathBuf>,
}

impl Named {
    /// A module by its path.
    pub(super) fn of(path: PathBuf) -> Named {
        Named { real: target::real_path(&path), path }
    }

    /// Its real path, or why there is none.
    pub(super) fn path(&self) -> Result<&Path, Failure> {
        self.real.as_deref().map_err(|e| Failure::Error(e.again()))
    }

    fn failed(error: Error) -> Named {
        Named { path: error.path().map(Path::to_owned).unwrap_or_default(), real: Err(error) }
    }
}

/// A folder that was named, and what is in it beside the modules that the journal knows.
pub(super) struct Folder {
    path: PathBuf,
    known: usize,
    others: usize,
}

/// The modules that a command is about, each once, in the order in which they were named. It takes no more memory for very
/// many than for some, but for what has no real path, and, where several things are named, 16 bytes for each.
pub(super) struct Selection {
    count: usize,
    modules: Spool<Found>,
    /// Those that have no real path, by their number.
    failed: BTreeMap<usize, Named>,
    /// The real paths that are there already, where one could come twice.
    seen: Option<HashSet<u128>>,
    folders: Vec<Folder>,
}

/// A module as it is put by.
#[derive(Serialize, Deserialize)]
struct Found {
    #[serde(with = "path_bytes")]
    path: PathBuf,
    #[serde(with = "path_bytes")]
    real: PathBuf,
}

/// What the journal and the intents that wait know, to select by.
pub(super) struct Selecting<'s> {
    pub(super) vault: &'s Vault,
    pub(super) index: &'s Index,
    pub(super) pending: &'s [Intent],
    /// Must a file with this trail be there? Then it is selected even if no module is there now.
    pub(super) is_expected: fn(&Trail<'_>) -> bool,
}

impl Selecting<'_> {
    /// All files that are expected, and those of interrupted runs.
    ///
    /// # Errors
    ///
    /// Those of [`Index::each_file`].
    pub(super) fn all(&self) -> Result<Selection> {
        let mut selection = self.none();
        self.each_expected(|_| true, |path| selection.add(Named { real: Ok(path.clone()), path }))?;
        Ok(selection)
    }

    /// Those that are named. In folders only those count of which the journal, or an intent that waits, knows the place, or
    /// the content: a tree that was copied is known as well. Those that are expected below a folder that is named are
    /// selected even if no module is there now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if the list that is named has no path; if it can't be opened, or the journal not be read. What
    /// else can't be read stands in the selection as an error.
    pub(super) fn named(&self, modules: &Modules) -> Result<Selection> {
        let mut selection = Selection { seen: (!modules.is_single()).then(HashSet::new), ..self.none() };
        let mut is_any = false;
        for named in modules.named()? {
            is_any = true;
            match named {
                Ok(path) => {
                    let named = Named::of(path);
                    // A folder in a patched module's place is that module, changed.
                    let is_place = match &named.real {
                        Ok(real) => self.index.knows_place(real)?,
                        Err(_) => false,
                    };
                    match (is_place, named.path.is_dir()) {
                        (true, _) => selection.add(named)?,
                        (false, true) => self.add_folder(named.path, &mut selection)?,
                        (false, false) => self.add_file(named, &mut selection)?,
                    }
                }
                Err(error) => selection.add(Named::failed(error))?,
            }
        }
        if !is_any && !modules.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the list names no module").hint("a list has one path in a line"));
        }
        Ok(selection)
    }

    fn none(&self) -> Selection {
        Selection {
            count: 0,
            modules: Spool::new(Some(self.vault.folder())),
            failed: BTreeMap::new(),
            seen: None,
            folders: Vec::new(),
        }
    }

    fn add_file(&self, named: Named, selection: &mut Selection) -> Result<()> {
        // It may be a folder that is gone, with all that was patched in it.
        let before = selection.count;
        if let (Ok(real), false) = (&named.real, named.path.exists()) {
            self.each_expected(
                |path| path.starts_with(real),
                |path| selection.add(Named { real: Ok(path.clone()), path }),
            )?;
        }
        if selection.count == before { selection.add(named) } else { Ok(()) }
    }

    fn add_folder(&self, path: PathBuf, selection: &mut Selection) -> Result<()> {
        let mut files = Walk::modules(path.clone()).peekable();
        let (mut all, mut known) = (0, 0);
        let mut nothing = None;
        loop {
            let some: Vec<Result<PathBuf>> = files.by_ref().take(STEP).collect();
            if some.is_empty() {
                break;
            }
            // That there is no module in it is told by those that should be.
            if let (0, [Err(none)], true) = (all, some.as_slice(), files.peek().is_none())
                && none.kind() == ErrorKind::NotFound
            {
                nothing = some.into_iter().next().and_then(Result::err);
                break;
            }
            all += some.len();
            let look = |found: Result<PathBuf>| {
                let named = found.map_or_else(Named::failed, Named::of);
                match &named.real {
                    Ok(real) => self.is_known(real).map(|is_known| is_known.then_some(named)),
                    Err(_) => Ok(Some(named)),
                }
            };
            for named in some.into_par_iter().map(look).collect::<Vec<_>>() {
                if let Some(named) = named? {
                    known += 1;
                    selection.add(named)?;
                }
            }
        }
        let before = selection.count;
        if let Ok(real) = path.canonicalize() {
            let is_missing = |path: &Path| path.starts_with(&real) && !walk::finds(&real, path);
            self.each_expected(is_missing, |path| selection.add(Named { real: Ok(path.clone()), path }))?;
        }
        if let Some(nothing) = nothing.filter(|_| selection.count == before) {
            (all, known) = (1, 1);
            selection.add(Named::failed(nothing))?;
        }
        selection.folders.push(Folder { path, known, others: all - known });
        Ok(())
    }

    fn is_known(&self, real: &Path) -> Result<bool> {
        let is_pending = || self.pending.iter().any(|intent| intent.change.path == real);
        Ok(self.index.knows_place(real)? || is_pending() || self.is_known_content(real)?)
    }

    /// Is this the content of something that was patched, wherever that was? Only a file of a known size is read.
    fn is_known_content(&self, path: &Path) -> Result<bool> {
        let is_sized = |meta: std::fs::Metadata| meta.is_file() && self.index.sizes().contains(&meta.len());
        if !path.symlink_metadata().is_ok_and(is_sized) {
            return Ok(false);
        }
        match file::read(path) {
            Ok(contents) => self.index.knows_content(sha256(contents.bytes())),
            Err(_) => Ok(false),
        }
    }

    /// Goes through the files that are expected and wanted, and those of interrupted runs, each once, sorted.
    fn each_expected(
        &self,
        is_wanted: impl Fn(&Path) -> bool,
        mut each: impl FnMut(PathBuf) -> Result<()>,
    ) -> Result<()> {
        let waiting: BTreeSet<&Path> = self.pending.iter().map(|intent| intent.change.path.as_path()).collect();
        let mut sorter = Sorter::new(Some(self.vault.folder()), SORTED);
        for path in waiting.iter().filter(|path| is_wanted(path)) {
            sorter.push(SpooledPath(path.to_path_buf()))?;
        }
        let is_other = |path: &Path| !waiting.contains(path) && is_wanted(path);
        self.index.each_file(self.vault, is_other, |path, history| {
            let is_expected = history.at(path).is_some_and(self.is_expected);
            if is_expected { sorter.push(SpooledPath(path.to_owned())) } else { Ok(()) }
        })?;
        sorter.each(|SpooledPath(path)| each(path))
    }
}

impl Selection {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many there are that have a real path.
    pub(super) fn len_of_real(&self) -> usize {
        self.modules.len()
    }

    /// Is there none?
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them. What can't be read again is an error, and ends it.
    ///
    /// # Errors
    ///
    /// Those of [`Spool::iter`].
    pub(super) fn iter(&mut self) -> Result<impl Iterator<Item = Result<Named>> + use<'_>> {
        let failed = &self.failed;
        let mut found = self.modules.iter()?;
        Ok((0..self.count).map_while(move |number| match failed.get(&number) {
            Some(named) => Some(Ok(Named {
                path: named.path.clone(),
                real: named.real.as_ref().map(Clone::clone).map_err(Error::again),
            })),
            None => found.next().map(|found| found.map(|Found { path, real }| Named { path, real: Ok(real) })),
        }))
    }

    fn add(&mut self, named: Named) -> Result<()> {
        match named.real {
            Ok(real) => {
                // Of a hash of 128 bits no two paths are alike, whoever chose them.
                if let Some(seen) = &mut self.seen
                    && !seen.insert(index::key_of_path(&real))
                {
                    return Ok(());
                }
                self.modules.push(&Found { path: named.path, real })?;
            }
            Err(_) => {
                self.failed.insert(self.count, named);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Says what was left out of the folders that were named.
    pub(super) fn tell_others(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        for folder in self.folders.iter().filter(|folder| folder.others > 0) {
            let (path, others) = (output::path(&folder.path), count(folder.others, "module"));
            match folder.known {
                0 => writeln!(session.out, "{path}: the journal knows none of its {others}")?,
                _ => writeln!(session.out, "{path}: the journal does not know {others} more in it")?,
            }
        }
        Ok(())
    }
}

/// Says on stderr, in one line, if the journal may not know all backups that are kept: lines that were lost would tell
/// which files they are the originals of. Where an interrupted run is to be settled, its intents know.
pub(super) fn tell_doubt(vault: &Vault, is_empty: bool, is_torn: bool, session: &mut Session<'_>) -> Result<()> {
    let Some(doubt) = Doubt::of(is_empty, is_torn) else { return Ok(()) };
    let kept = vault.objects().all()?.len();
    if kept == 0 {
        return Ok(());
    }
    let what = match doubt {
        Doubt::NoLine => "the journal has no line",
        Doubt::Torn => "the last line of the journal is torn and does not count",
    };
    let folder = output::path(vault.objects().folder());
    let kept = match kept {
        1 => "1 backup is kept, perhaps the only original: it stays".to_owned(),
        several => format!("{several} backups are kept, perhaps the only originals: they stay"),
    };
    session.remark(format_args!("{what}, but {kept} in {folder}, each under its SHA-256"));
    Ok(())
}

/// The error of a module of which the journal knows nothing.
pub(super) fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "the journal knows neither this path nor these bytes").remedy(Remedy::ShowHistory)
}
