//! The state of a file compared with the journal: original, patched, or changed by somebody else.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::module::file;
use crate::vault::history::{ChangeFacts, Histories};
use crate::vault::index::{self, IndexedHistories, JournalIndex};
use crate::vault::mark::{MarkedOriginal, PatchMark};
use crate::vault::objects::LARGEST;
use crate::vault::reader::Vault;

/// The state of a file now, compared with the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It has the contents from before any patch.
    Original,
    /// It has the contents from after a patch.
    Patched,
    /// It has other contents: somebody else changed it.
    Changed,
    /// It does not exist.
    Missing,
    /// The journal knows neither the path nor the contents, and the file has no mark of a patch.
    Unknown,
    /// The journal knows neither the path nor the contents, and the file has the mark of a patch.
    Marked,
}

/// The state of the backup of a file's original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupState {
    /// It exists, and its contents match its name.
    Whole,
    /// It exists with other contents.
    Damaged,
    /// It does not exist.
    Missing,
    /// It was dropped.
    Dropped,
    /// None is needed: the journal knows no original of the file; or the file is the original, and the backup was dropped, or
    /// none was made because the original came from a kernel's package or a copy.
    None,
}

/// A file compared with the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its real path.
    pub path: PathBuf,
    /// Its state.
    pub state: FileState,
    /// SHA-256 of its contents.
    pub current: Option<Sha256>,
    /// SHA-256 of its original.
    pub original: Option<Sha256>,
    /// The state of the original's backup.
    pub backup: BackupState,
    /// The number of the line by which the backup was dropped, if it was.
    pub dropped_by: Option<u64>,
    /// The paths that have these contents according to the journal, if this one has not: the file was moved or copied.
    pub recorded_at: Vec<PathBuf>,
    /// The mark of a patch that the journal does not know.
    pub mark: Option<PatchMark>,
}

impl Standing {
    /// Whether file and backup are as recorded.
    pub fn is_as_recorded(&self) -> bool {
        matches!(self.state, FileState::Original | FileState::Patched)
            && matches!(self.backup, BackupState::Whole | BackupState::None)
    }
}

/// The state of contents at a real path, and their original. `None` stands for a missing file. Pure.
pub fn state_of<P: Ord + Clone, C: ChangeFacts>(
    history: &Histories<P, C>,
    path: P,
    current: Option<Sha256>,
) -> (FileState, Option<Sha256>) {
    let of_path = history.at(path.clone());
    let origins = current.map(|sha| history.origins(path, sha)).unwrap_or_default();
    let recorded = || of_path.and_then(|t| t.root().map(|root| root.before()).or(t.expected()));
    let original = origins.first().map(|o| o.original).or_else(recorded);
    let state = match (current, origins.is_empty(), of_path) {
        (None, _, _) => FileState::Missing,
        (Some(sha), _, _) if original == Some(sha) => FileState::Original,
        (Some(_), false, _) => FileState::Patched,
        (Some(_), true, Some(_)) => FileState::Changed,
        (Some(sha), true, None) if history.is_original(sha) => FileState::Original,
        (Some(_), true, None) => FileState::Unknown,
    };
    (state, original)
}

/// Compares the file at a real path with the journal.
///
/// # Errors
///
/// [`ErrorKind::Io`] if it can't be read; those of [`JournalIndex::about`].
pub fn standing(vault: &Vault, index: &JournalIndex, path: &Path) -> Result<Standing> {
    let recorded = index.at_place(path)?;
    let is_place = recorded.is_some();
    let looked = path.symlink_metadata();
    let is_gone = looked.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    // A link at the path of a module is not that module, wherever it leads.
    let is_link = is_place && looked.is_ok_and(|meta| meta.is_symlink());
    // To open a device can have an effect.
    let is_special = is_place && !is_gone && path.metadata().is_ok_and(|meta| !meta.is_file());
    let read = || match (is_gone, is_special) {
        (true, _) => Err(Error::new(ErrorKind::NotFound, "no such file")),
        (false, true) => Err(Error::new(ErrorKind::NotAModule, "not a regular file")),
        (false, false) => file::read(path),
    };
    let (current, contents) = match read() {
        Ok(contents) => (Some(sha256(contents.bytes())), Some(contents)),
        Err(e) if e.kind() == ErrorKind::NotFound => (None, None),
        // An empty file or a directory is a changed module.
        Err(e) if e.kind() == ErrorKind::NotAModule && is_place => (Some(sha256(b"")), None),
        Err(e) => return Err(e),
    };
    let history = &index.about_with_places(path, recorded, current.as_slice())?;
    let key = index::key_of_path(path);
    let (state, original) = state_of(history, key, current);
    let state = match state {
        FileState::Missing => FileState::Missing,
        _ if is_link => FileState::Changed,
        state => state,
    };
    let contents = contents.filter(|_| state == FileState::Unknown);
    if let (Some(contents), Some(current)) = (contents, current)
        && let Some(mark) = PatchMark::of(contents.bytes())
    {
        return marked(vault, path, contents.bytes(), current, mark);
    }
    let backup = match original {
        None => BackupState::None,
        // The file is the original, and the backup, which it does not need, was dropped.
        Some(sha) if state == FileState::Original && history.dropped_by(sha).is_some() => BackupState::None,
        Some(sha) => match vault.objects().checked(sha, &|| size_of(index, history, sha)) {
            Ok(_) => BackupState::Whole,
            Err(e) if e.kind() == ErrorKind::Damaged => BackupState::Damaged,
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(_) if history.dropped_by(sha).is_some() => BackupState::Dropped,
            // The original came from elsewhere, so there was nothing to back up.
            Err(_) if state == FileState::Original && !history.is_original(sha) => BackupState::None,
            Err(_) => BackupState::Missing,
        },
    };
    let known_here = history.at(key).and_then(|of_path| of_path.expected()) == current;
    let recorded_at = match current {
        Some(sha) if !known_here => index.places_of(history, sha)?,
        _ => Vec::new(),
    };
    let dropped_by = original.filter(|_| backup == BackupState::Dropped).and_then(|sha| history.dropped_by(sha));
    Ok(Standing { path: path.to_owned(), state, current, original, backup, dropped_by, recorded_at, mark: None })
}

/// The size that the backup of an original has at most.
fn size_of(index: &JournalIndex, history: &IndexedHistories, original: Sha256) -> u64 {
    let recorded = history.patch_of(original).and_then(|change| index.change(&change).ok());
    recorded.map_or(LARGEST, |change| change.size_before)
}

/// The standing of a marked module that the journal does not know.
fn marked(vault: &Vault, path: &Path, bytes: &[u8], current: Sha256, mark: PatchMark) -> Result<Standing> {
    let (original, backup) = match mark.original_of(bytes, &vault.objects())? {
        MarkedOriginal::Backup(sha) => (Some(sha), BackupState::Whole),
        MarkedOriginal::Damaged(sha) => (Some(sha), BackupState::Damaged),
        MarkedOriginal::OtherModule | MarkedOriginal::Missing => (None, BackupState::Missing),
    };
    Ok(Standing {
        path: path.to_owned(),
        state: FileState::Marked,
        current: Some(current),
        original,
        backup,
        dropped_by: None,
        recorded_at: Vec::new(),
        mark: Some(mark),
    })
}
