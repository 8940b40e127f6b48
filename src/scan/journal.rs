//! What the journal knows of a scanned module.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde::Serialize;

use crate::digest::sha256;
use crate::error::Result;
use crate::module::file;
use crate::vault::index::{self, JournalIndex};
use crate::vault::standing::{FileState, state_of};
use crate::vault::target;

/// The state of a module by the journal and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalState {
    /// Its bytes are the result of a patch, of this file or of another.
    Patched,
    /// It was patched and not restored, and its bytes differ from the result of the patch.
    Changed,
    /// It was patched and not restored, but has its original bytes.
    Original,
}

impl JournalState {
    /// Its word in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            JournalState::Patched => "patched",
            JournalState::Changed => "changed",
            JournalState::Original => "original",
        }
    }
}

/// The index of the journal, if there is one with entries.
#[derive(Default)]
pub struct ScanJournal(Option<JournalIndex>);

impl ScanJournal {
    /// The journal with this index.
    pub fn new(index: Option<JournalIndex>) -> ScanJournal {
        ScanJournal(index.filter(|index| !index.is_empty()))
    }

    /// The state of a file. It is hashed only if it has the path of a patched file or the size of a patch's result: to hash
    /// means to read the whole file.
    pub(super) fn file(&self, name: &OsStr, path: impl Fn() -> PathBuf, size: u64) -> Result<Option<JournalState>> {
        let Some(index) = &self.0 else { return Ok(None) };
        let sha = || file::read(&path()).map(|contents| sha256(contents.bytes()));
        match patched_path(index, name, &path)? {
            Some(real) => {
                let sha = sha()?;
                let history = index.about(&real, &[sha])?;
                Ok(Some(match state_of(&history, index::key_of_path(&real), Some(sha)).0 {
                    FileState::Patched => JournalState::Patched,
                    FileState::Original => JournalState::Original,
                    FileState::Changed | FileState::Missing | FileState::Unknown | FileState::Marked => {
                        JournalState::Changed
                    }
                }))
            }
            None if index.sizes().contains(&size) => Ok(index.knows_content(sha()?)?.then_some(JournalState::Patched)),
            None => Ok(None),
        }
    }

    /// The state of a module in a package, which has no file of its own.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Result<Option<JournalState>> {
        let Some(index) = self.0.as_ref().filter(|index| index.sizes().contains(&(bytes.len() as u64))) else {
            return Ok(None);
        };
        Ok(index.knows_content(sha256(bytes))?.then_some(JournalState::Patched))
    }
}

/// The real path of a file, if the journal has it as the path of a file that is patched now.
fn patched_path(index: &JournalIndex, name: &OsStr, path: impl Fn() -> PathBuf) -> Result<Option<PathBuf>> {
    if !index.has_name(name) {
        return Ok(None);
    }
    let Ok(real) = target::real_path(&path()) else { return Ok(None) };
    Ok(index.is_patched(&real)?.then_some(real))
}
