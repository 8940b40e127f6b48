//! Which of the modules that a command names does the journal know? A file that is named must be; in a folder, those that
//! are not are told as a number.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Session, count};
use crate::cli::walk::Walk;
use crate::error::{Error, ErrorKind, Result};
use crate::module::{file, sha256};
use crate::vault::Vault;
use crate::vault::history::History;
use crate::vault::journal::Journal;
use crate::vault::stock::Doubt;
use crate::vault::target;

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

/// The modules that a command is about, each once, in the order in which they were named.
pub(super) struct Selection {
    pub(super) modules: Vec<Named>,
    folders: Vec<Folder>,
}

impl Selection {
    /// These, by their real paths.
    pub(super) fn all(paths: impl IntoIterator<Item = PathBuf>) -> Selection {
        let modules = paths.into_iter().map(|path| Named { real: Ok(path.clone()), path }).collect();
        Selection { modules, folders: Vec::new() }
    }

    /// Those that are named. In folders only those count of which the journal, or an intent that waits (`pending`), knows
    /// the place, or the content: a tree that was copied is known as well. `expected` are the places that must be there:
    /// those of them below a folder that is named are selected even if no module is there now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if the list that is named has no path; if it can't be opened. What can't be read stands in
    /// the selection as an error.
    pub(super) fn of<'e>(
        named: &Modules,
        history: &History<'_>,
        pending: &BTreeSet<&'e Path>,
        expected: impl IntoIterator<Item = &'e Path>,
    ) -> Result<Selection> {
        let mut selection = Selection { modules: Vec::new(), folders: Vec::new() };
        let expected: BTreeSet<&Path> = expected.into_iter().chain(pending.iter().copied()).collect();
        let mut is_any = false;
        for named in named.named()? {
            is_any = true;
            match named {
                Ok(path) => {
                    let named = Named::of(path);
                    // A folder in a patched module's place is that module, changed.
                    let is_place = named.real.as_ref().is_ok_and(|real| history.at(real).is_some());
                    match named.path.is_dir() && !is_place {
                        true => selection.add_folder(named.path, history, pending, &expected),
                        // A folder that is gone, with all that was patched in it.
                        false => match named.real.as_deref().map(|real| below(real, &expected)) {
                            Ok(gone) if !gone.is_empty() && !named.path.exists() => selection.modules.extend(gone),
                            _ => selection.modules.push(named),
                        },
                    }
                }
                Err(error) => selection.modules.push(Named::failed(error)),
            }
        }
        if !is_any && !named.is_empty() {
            return Err(Error::new(ErrorKind::Usage, "the list names no module").hint("a list has one path in a line"));
        }
        let mut seen = BTreeSet::new();
        selection.modules.retain(|named| named.real.as_ref().map_or(true, |real| seen.insert(real.clone())));
        Ok(selection)
    }

    fn add_folder(
        &mut self,
        path: PathBuf,
        history: &History<'_>,
        pending: &BTreeSet<&Path>,
        expected: &BTreeSet<&Path>,
    ) {
        let mut files: Vec<Result<PathBuf>> = Walk::new(path.clone()).collect();
        let expected = path.canonicalize().map(|real| below(&real, expected)).unwrap_or_default();
        // That there is no module in it is told by those that should be.
        if let [Err(none)] = files.as_slice()
            && none.kind() == ErrorKind::NotFound
            && !expected.is_empty()
        {
            files.clear();
        }
        let all = files.len();
        let is_known = |named: &Named| {
            let Ok(real) = &named.real else { return true };
            history.at(real).is_some() || pending.contains(real.as_path()) || is_known_content(real, history)
        };
        let look = |found: Result<PathBuf>| {
            let named = found.map_or_else(Named::failed, Named::of);
            is_known(&named).then_some(named)
        };
        let known: Vec<Named> = files.into_par_iter().filter_map(look).collect();
        self.folders.push(Folder { path, known: known.len(), others: all - known.len() });
        self.modules.extend(known);
        // Those that are found are there twice now; [`Selection::of`] keeps the first of each.
        self.modules.extend(expected);
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

/// Those of `expected` that are in a folder, by its real path, or further below.
fn below(folder: &Path, expected: &BTreeSet<&Path>) -> Vec<Named> {
    // Paths are sorted by their parts, so those below a folder follow it.
    let inside = expected
        .range::<Path, _>((Bound::Included(folder), Bound::Unbounded))
        .take_while(|path| path.starts_with(folder));
    inside.map(|path| Named { path: path.to_path_buf(), real: Ok(path.to_path_buf()) }).collect()
}

/// Is this the content of something that was patched, wherever that was? Only a file of a known size is read.
fn is_known_content(path: &Path, history: &History<'_>) -> bool {
    let has_known_size =
        path.symlink_metadata().is_ok_and(|meta| meta.is_file() && history.sizes().contains(&meta.len()));
    has_known_size && file::read(path).is_ok_and(|contents| history.knows(&sha256(contents.bytes())))
}

/// Says on stderr, in one line, if the journal may not know all backups that are kept: lines that were lost would tell
/// which files they are the originals of. Where an interrupted run is to be settled, its intents know.
pub(super) fn tell_doubt(vault: &Vault, journal: &Journal, is_torn: bool, session: &mut Session<'_>) -> Result<()> {
    let Some(doubt) = Doubt::of(journal, is_torn) else { return Ok(()) };
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
    Error::new(ErrorKind::NotFound, "the journal knows neither this path nor these bytes")
        .hint("kmodlab log shows what was done to which file")
}
