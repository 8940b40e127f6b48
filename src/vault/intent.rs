//! Intents: what a write is about to do, on disk before it does it, so that recovery can finish or undo it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::{Sha256Hex, sha256};
use crate::vault::disk;
use crate::vault::journal::{FileChange, Operation};
use crate::vault::metadata::Metadata;

/// What a write is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The form of this file.
    pub schema_version: u32,
    /// The operation's name; its journal line will carry it.
    pub id: String,
    /// Patch or restore.
    pub operation: Operation,
    /// What is changed, as the journal will say it.
    pub change: FileChange,
    /// Device and inode of the file before.
    pub identity: (u64, u64),
    /// The metadata that the file is to have afterwards; `None` leaves what a write leaves.
    pub metadata_after: Option<Metadata>,
    /// The name of the temporary file beside the module, where a whole new file takes its place.
    pub temporary: Option<String>,
    /// A note for the journal.
    pub note: Option<String>,
    /// SHA-256 of this structure with an empty checksum.
    pub checksum: Sha256Hex,
}

impl Intent {
    fn sum(&self) -> Result<Sha256Hex> {
        let bare = Intent { checksum: String::new(), ..self.clone() };
        let text = serde_json::to_vec(&bare).map_err(|e| Error::io("writing the intent", e))?;
        Ok(sha256(&text))
    }

    /// The file name of this intent.
    fn file_name(id: &str) -> String {
        format!("{id}.json")
    }

    /// Puts it on disk, durably.
    pub(super) fn write(mut self, folder: &Path) -> Result<Intent> {
        self.checksum = self.sum()?;
        let text = serde_json::to_vec_pretty(&self).map_err(|e| Error::io("writing the intent", e))?;
        disk::create_durably(folder, &Intent::file_name(&self.id), &text, 0o600)?;
        Ok(self)
    }

    /// Takes it off the disk, durably: what it announced is done or undone.
    pub(super) fn retire(&self, folder: &Path) -> Result<()> {
        let name = Intent::file_name(&self.id);
        disk::remove_durably(&disk::open_folder(folder)?, name.as_ref()).map_err(|e| e.on(folder.join(name)))
    }

    /// All intents in a folder, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]; [`ErrorKind::Damaged`] for one whose checksum is off.
    pub(super) fn all(folder: &Path) -> Result<Vec<Intent>> {
        let mut intents = Vec::new();
        for name in names(folder)?.iter().filter(|name| name.extension().is_some_and(|e| e == "json")) {
            let path = folder.join(name);
            let text = std::fs::read(&path).map_err(|e| Error::io("reading the intent", e).on(&path))?;
            let intent: Option<Intent> = serde_json::from_slice(&text).ok();
            match intent {
                Some(intent) if intent.sum()? == intent.checksum => intents.push(intent),
                _ => {
                    return Err(Error::new(ErrorKind::Damaged, "this intent is damaged")
                        .hint("look at it by hand, then move it away")
                        .on(path));
                }
            }
        }
        Ok(intents)
    }
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("reading the folder", e).on(folder);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        names.push(PathBuf::from(entry.map_err(failed)?.file_name()));
    }
    names.sort();
    Ok(names)
}
