//! Modules that the journal knows. A file that is named is always selected; in a directory, the modules that the journal does not know are
//! only counted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::module::file;
use crate::parallel;
use crate::selection::files::FileSelection;
use crate::spill::{Sorter, Spool, SpooledPath, path_bytes};
use crate::vault::index::{self, IndexedHistory, JournalIndex};
use crate::vault::mark::PatchMark;
use crate::vault::{Intent, Vault, target};
use crate::walk::{self, Walk};

/// How many modules are inspected at a time: enough to keep all cores at work.
const STEP: usize = 256;

/// How many paths are sorted in memory at a time.
const SORTED: usize = 1 << 14;

/// A module of a selection.
pub struct SelectedModule {
    /// Its path as it was named.
    pub path: PathBuf,
    /// Its real path, or why there is none.
    pub real: Result<PathBuf>,
}

impl SelectedModule {
    /// The module with this path.
    fn of(path: PathBuf) -> SelectedModule {
        SelectedModule { real: target::real_path(&path), path }
    }

    /// Its real path.
    ///
    /// # Errors
    ///
    /// Those of [`target::real_path`].
    pub fn real_path(&self) -> Result<&Path> {
        self.real.as_deref().map_err(Error::again)
    }

    fn failed(error: Error) -> SelectedModule {
        SelectedModule { path: error.path().map(Path::to_owned).unwrap_or_default(), real: Err(error) }
    }
}

/// A directory that was named and searched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchedDirectory {
    /// Its path as it was named.
    pub path: PathBuf,
    /// How many of its modules were selected.
    pub selected: usize,
    /// How many modules in it the journal does not know.
    pub unknown: usize,
}

/// The modules of a request, each once, in the order in which they were named. Memory is bounded, except for modules without a real
/// path, and for 16 bytes per module if several paths are named.
pub struct RecordedSelection {
    count: usize,
    modules: Spool<SelectedPath>,
    /// Modules without a real path, by their number.
    failed: BTreeMap<usize, SelectedModule>,
    /// Hashes of the real paths so far, if a path could occur twice.
    seen: Option<HashSet<u128>>,
    directories: Vec<SearchedDirectory>,
}

/// A module in the spool.
#[derive(Serialize, Deserialize)]
struct SelectedPath {
    #[serde(with = "path_bytes")]
    path: PathBuf,
    #[serde(with = "path_bytes")]
    real: PathBuf,
}

/// The journal and the pending intents, by which modules are selected.
pub struct JournalSelector<'s> {
    /// The vault.
    pub vault: &'s Vault,
    /// The index of its journal.
    pub index: &'s JournalIndex,
    /// Its pending intents.
    pub pending: &'s [Intent],
    /// Whether a file with this history is expected to exist. Such a file is selected even if it does not.
    pub is_expected: fn(&IndexedHistory) -> bool,
}

impl JournalSelector<'_> {
    /// All expected files, and the files of interrupted operations.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::each_file`].
    pub fn all(&self) -> Result<RecordedSelection> {
        let mut selection = self.none();
        self.each_expected(|_| true, |path| selection.add(SelectedModule { real: Ok(path.clone()), path }))?;
        Ok(selection)
    }

    /// The modules that are named. In a directory, a module is selected if the journal or a pending intent knows its path or its contents
    /// (a copied tree is known by its contents), or if it has the mark of a patch. Expected files below the directory are selected even if they do not exist.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if the list has no path; [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if the list or the journal can't be
    /// read. Every other error is an element of the selection.
    pub fn named(&self, modules: &FileSelection) -> Result<RecordedSelection> {
        let mut selection = RecordedSelection { seen: (!modules.is_single()).then(HashSet::new), ..self.none() };
        let mut is_any = false;
        for named in modules.named()? {
            is_any = true;
            match named {
                Ok(path) => {
                    let named = SelectedModule::of(path);
                    // A directory at the path of a patched module is that module, changed.
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
                Err(error) => selection.add(SelectedModule::failed(error))?,
            }
        }
        if !is_any && !modules.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the list names no module").hint("a list has one path per line"));
        }
        Ok(selection)
    }

    /// The modules in these directories that have the mark of a patch, whatever the journal knows. A directory that does not exist or has no
    /// modules is left out; one that can't be read is an element of the selection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if there is no room for the selection.
    pub fn marked(&self, directories: &[PathBuf]) -> Result<RecordedSelection> {
        let mut selection = RecordedSelection { seen: Some(HashSet::new()), ..self.none() };
        for directory in directories {
            let mut files = Walk::modules(directory.clone());
            loop {
                let some: Vec<Result<PathBuf>> = files.by_ref().take(STEP).collect();
                if some.is_empty() {
                    break;
                }
                let look = |found: Result<PathBuf>| match found {
                    Ok(path) => PatchMark::of_file(&path).map(|_| SelectedModule::of(path)),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => Some(SelectedModule::failed(error)),
                };
                parallel::map(some, look).into_iter().flatten().try_for_each(|named| selection.add(named))?;
            }
        }
        Ok(selection)
    }

    fn none(&self) -> RecordedSelection {
        RecordedSelection {
            count: 0,
            modules: Spool::new(self.vault.temporary_folder()),
            failed: BTreeMap::new(),
            seen: None,
            directories: Vec::new(),
        }
    }

    fn add_file(&self, named: SelectedModule, selection: &mut RecordedSelection) -> Result<()> {
        // It may be a directory that is gone, with all patched modules in it.
        let before = selection.count;
        if let (Ok(real), false) = (&named.real, named.path.exists()) {
            self.each_expected(
                |path| path.starts_with(real),
                |path| selection.add(SelectedModule { real: Ok(path.clone()), path }),
            )?;
        }
        if selection.count == before { selection.add(named) } else { Ok(()) }
    }

    fn add_folder(&self, path: PathBuf, selection: &mut RecordedSelection) -> Result<()> {
        let mut files = Walk::modules(path.clone()).peekable();
        let (mut all, mut known) = (0, 0);
        let mut nothing = None;
        loop {
            let some: Vec<Result<PathBuf>> = files.by_ref().take(STEP).collect();
            if some.is_empty() {
                break;
            }
            // If modules are expected in it, each of them reports that it is missing.
            if let (0, [Err(none)], true) = (all, some.as_slice(), files.peek().is_none())
                && none.kind() == ErrorKind::NotFound
            {
                nothing = some.into_iter().next().and_then(Result::err);
                break;
            }
            all += some.len();
            let look = |found: Result<PathBuf>| {
                let named = found.map_or_else(SelectedModule::failed, SelectedModule::of);
                match &named.real {
                    Ok(real) => self.is_known(real).map(|is_known| is_known.then_some(named)),
                    Err(_) => Ok(Some(named)),
                }
            };
            for named in parallel::map(some, look) {
                if let Some(named) = named? {
                    known += 1;
                    selection.add(named)?;
                }
            }
        }
        let before = selection.count;
        if let Ok(real) = path.canonicalize() {
            let is_missing = |path: &Path| path.starts_with(&real) && !walk::finds(&real, path);
            self.each_expected(is_missing, |path| selection.add(SelectedModule { real: Ok(path.clone()), path }))?;
        }
        if let Some(nothing) = nothing.filter(|_| selection.count == before) {
            (all, known) = (1, 1);
            selection.add(SelectedModule::failed(nothing))?;
        }
        selection.directories.push(SearchedDirectory { path, selected: known, unknown: all - known });
        Ok(())
    }

    fn is_known(&self, real: &Path) -> Result<bool> {
        let is_pending = || self.pending.iter().any(|intent| intent.change.path == real);
        let is_known = self.index.knows_place(real)? || is_pending() || self.is_known_content(real)?;
        Ok(is_known || PatchMark::of_file(real).is_some())
    }

    /// Whether these are the contents of a patched module, whatever its path. Only a file of a known size is read.
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

    /// Calls `each` with every expected file, and the file of every interrupted operation, for which `is_wanted` returns true: each
    /// once, sorted.
    fn each_expected(
        &self,
        is_wanted: impl Fn(&Path) -> bool + Sync + Send,
        mut each: impl FnMut(PathBuf) -> Result<()>,
    ) -> Result<()> {
        let waiting: BTreeSet<&Path> = self.pending.iter().map(|intent| intent.change.path.as_path()).collect();
        let mut sorter = Sorter::new(self.vault.temporary_folder(), SORTED);
        for path in waiting.iter().filter(|path| is_wanted(path)) {
            sorter.push(SpooledPath(path.to_path_buf()))?;
        }
        let is_other = |path: &Path| !waiting.contains(path) && is_wanted(path);
        self.index.each_file(self.is_expected, is_other, |path| sorter.push(SpooledPath(path)))?;
        sorter.each(|SpooledPath(path)| each(path))
    }
}

impl RecordedSelection {
    /// The number of modules.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The number of modules that have a real path.
    pub fn len_of_real(&self) -> usize {
        self.modules.len()
    }

    /// Whether it has no module.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All modules. The first one that can't be read from the spool is an error, and the last element.
    ///
    /// # Errors
    ///
    /// Those of [`Spool::iter`].
    pub fn iter(&mut self) -> Result<impl Iterator<Item = Result<SelectedModule>> + use<'_>> {
        let failed = &self.failed;
        let mut found = self.modules.iter()?;
        Ok((0..self.count).map_while(move |number| match failed.get(&number) {
            Some(named) => Some(Ok(SelectedModule {
                path: named.path.clone(),
                real: named.real.as_ref().map(Clone::clone).map_err(Error::again),
            })),
            None => found
                .next()
                .map(|found| found.map(|SelectedPath { path, real }| SelectedModule { path, real: Ok(real) })),
        }))
    }

    /// Inspects all modules on all cores, and passes each on with what was found, in order.
    ///
    /// # Errors
    ///
    /// Those of [`RecordedSelection::iter`] and of `each`.
    pub fn inspect<T: Send, E: From<Error>>(
        &mut self,
        inspect: impl Fn(&SelectedModule) -> T + Sync + Send,
        mut each: impl FnMut(&SelectedModule, T) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let count = self.count;
        let inspect = |module: Result<SelectedModule>| {
            let module = module?;
            let found = inspect(&module);
            Ok::<_, Error>((module, found))
        };
        parallel::each_in_order(count, self.iter()?, inspect, |found| {
            let (module, found) = found?;
            each(&module, found)
        })
    }

    fn add(&mut self, named: SelectedModule) -> Result<()> {
        match named.real {
            Ok(real) => {
                // No two paths have the same hash of 128 bits, whoever chose them.
                if let Some(seen) = &mut self.seen
                    && !seen.insert(index::key_of_path(&real))
                {
                    return Ok(());
                }
                self.modules.push(&SelectedPath { path: named.path, real })?;
            }
            Err(_) => {
                self.failed.insert(self.count, named);
            }
        }
        self.count += 1;
        Ok(())
    }

    /// The directories that were searched, in the order in which they were named.
    pub fn directories(&self) -> &[SearchedDirectory] {
        &self.directories
    }
}
