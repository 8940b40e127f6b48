//! Is a file as it was recorded: original, patched, or changed by somebody else?

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::{Sha256, sha256};
use crate::error::{ErrorKind, Result};
use crate::module::file;
use crate::vault::history::History;
use crate::vault::index::JournalIndex;
use crate::vault::reader::Vault;

/// What a file is now, held against the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// Its bytes are those that it had before any patch.
    Original,
    /// Its bytes are those that a patch left.
    Patched,
    /// Its bytes are neither: somebody else changed it.
    Changed,
    /// It is not there.
    Missing,
    /// The journal knows neither this path nor these bytes.
    Unknown,
}

/// Is the backup of a file's original there, and whole?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupState {
    /// There, and its bytes are those of its name.
    Whole,
    /// There, with other bytes.
    Damaged,
    /// Not there.
    Missing,
    /// Not there, because a person dropped it.
    Dropped,
    /// None is needed: the journal knows no original of this file, or it is the original, and the backup was dropped.
    None,
}

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its real path.
    pub path: PathBuf,
    /// What it is now.
    pub state: FileState,
    /// SHA-256 of its bytes now.
    pub current: Option<Sha256>,
    /// SHA-256 of its original.
    pub original: Option<Sha256>,
    /// Is the original's backup whole?
    pub backup: BackupState,
    /// The journal's line by which the backup was dropped, if it was.
    pub dropped_by: Option<u64>,
    /// Where the journal has these bytes, if not here: the file was moved or copied.
    pub recorded_at: Vec<PathBuf>,
}

impl Standing {
    /// Is everything as recorded?
    pub fn is_as_recorded(&self) -> bool {
        matches!(self.state, FileState::Original | FileState::Patched)
            && matches!(self.backup, BackupState::Whole | BackupState::None)
    }
}

/// What a content is, by its SHA-256, at a real path, and what it was originally; no content is no file. Pure.
pub fn state_of(history: &History<'_>, path: &Path, current: Option<Sha256>) -> (FileState, Option<Sha256>) {
    let trail = history.at(path);
    let origins = current.map(|sha| history.origins(path, sha)).unwrap_or_default();
    let of_trail = || trail.and_then(|t| t.root().map(|root| root.before).or(t.expected()));
    let original = origins.first().map(|o| o.original).or_else(of_trail);
    let state = match (current, origins.is_empty(), trail) {
        (None, _, _) => FileState::Missing,
        (Some(sha), _, _) if original == Some(sha) => FileState::Original,
        (Some(_), false, _) => FileState::Patched,
        (Some(_), true, Some(_)) => FileState::Changed,
        (Some(sha), true, None) if history.is_original(sha) => FileState::Original,
        (Some(_), true, None) => FileState::Unknown,
    };
    (state, original)
}

/// Looks at a file by its real path.
///
/// # Errors
///
/// [`ErrorKind::Io`] if it can't be read; those of [`JournalIndex::about`].
pub fn standing(vault: &Vault, index: &JournalIndex, path: &Path) -> Result<Standing> {
    let is_place = index.knows_place(path)?;
    // A link in a module's place is not that module, wherever it leads.
    let is_link = is_place && path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
    let current = match file::read(path) {
        Ok(contents) => Some(sha256(contents.bytes())),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        // Empty now, or a folder now: other than recorded, and no reason to stop.
        Err(e) if e.kind() == ErrorKind::NotAModule && is_place => Some(sha256(b"")),
        Err(e) => return Err(e),
    };
    let entries = index.about_with_places(path, current.as_slice())?;
    let history = &History::of(&entries);
    let trail = history.at(path);
    let (state, original) = state_of(history, path, current);
    let state = match state {
        FileState::Missing => FileState::Missing,
        _ if is_link => FileState::Changed,
        state => state,
    };
    let backup = match original {
        None => BackupState::None,
        // It is the original itself, and a person dropped the backup that it does not need.
        Some(sha) if state == FileState::Original && history.dropped_by(sha).is_some() => BackupState::None,
        Some(sha) => match vault.objects().check(sha) {
            Ok(_) => BackupState::Whole,
            Err(e) if e.kind() == ErrorKind::Damaged => BackupState::Damaged,
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(_) if history.dropped_by(sha).is_some() => BackupState::Dropped,
            Err(_) => BackupState::Missing,
        },
    };
    let known_here = trail.and_then(|t| t.expected()) == current;
    let recorded_at = match current {
        Some(sha) if !known_here => history.places_of(sha),
        _ => Vec::new(),
    };
    let dropped_by = original.filter(|_| backup == BackupState::Dropped).and_then(|sha| history.dropped_by(sha));
    Ok(Standing { path: path.to_owned(), state, current, original, backup, dropped_by, recorded_at })
}
