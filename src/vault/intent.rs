//! Intents: what a write is about to do, on disk before it does it, so that recovery can finish or undo it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::{Sha256Hex, sha256};
use crate::vault::disk;
use crate::vault::journal::{FileChange, Operation};
use crate::vault::metadata::Metadata;
use crate::vault::side_by_side::each;

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
}

/// The intents of one group of writes, in one file: a JSON object each, one under the other. So announcing thousands
/// costs the flushes of one.
pub(super) struct Sheet {
    /// The file's name in the folder of the intents.
    name: String,
    /// What is announced.
    pub(super) intents: Vec<Intent>,
}

impl Sheet {
    /// Puts intents on disk, durably.
    pub(super) fn write(folder: &Path, mut intents: Vec<Intent>) -> Result<Sheet> {
        let signed = each(intents.iter_mut().collect(), |intent| intent.sum().map(|sum| intent.checksum = sum));
        signed.into_iter().collect::<Result<()>>()?;
        let id = intents.first().map_or("none", |first| &first.id);
        let name = if intents.len() == 1 { format!("{id}.json") } else { format!("{id}.jsonl") };
        let sheet = Sheet { name, intents };
        sheet.put(folder)?;
        Ok(sheet)
    }

    fn put(&self, folder: &Path) -> Result<()> {
        let mut text = Vec::new();
        let failed = |e: serde_json::Error| Error::io("writing the intent", e);
        match self.intents.as_slice() {
            [only] => serde_json::to_writer_pretty(&mut text, only).map_err(failed)?,
            several => {
                for intent in several {
                    serde_json::to_writer(&mut text, intent).map_err(failed)?;
                    text.push(b'\n');
                }
            }
        }
        disk::create_durably(folder, &self.name, &text, 0o600)
    }

    /// Takes off the disk, durably, what is settled: what it announced is done or undone.
    pub(super) fn retire(&mut self, folder: &Path, is_settled: impl Fn(&Intent) -> bool) -> Result<()> {
        let before = self.intents.len();
        self.intents.retain(|intent| !is_settled(intent));
        match self.intents.len() {
            0 => {
                let name = self.name.as_ref();
                disk::remove_durably(&disk::open_folder(folder)?, name).map_err(|e| e.on(folder.join(&self.name)))
            }
            left if left == before => Ok(()),
            _ => self.put(folder),
        }
    }

    /// All sheets in a folder, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]; [`ErrorKind::Damaged`] for one with an intent whose checksum is off.
    pub(super) fn all(folder: &Path) -> Result<Vec<Sheet>> {
        let mut sheets = Vec::new();
        for name in names(folder, |name| name.extension().is_some_and(|e| e == "json" || e == "jsonl"))? {
            let path = folder.join(&name);
            let text = std::fs::read(&path).map_err(|e| Error::io("reading the intent", e).on(&path))?;
            let read = serde_json::Deserializer::from_slice(&text).into_iter::<Intent>();
            let intents: Vec<Intent> = read.collect::<Result<_, _>>().unwrap_or_default();
            let fits = |intent: &Intent| intent.sum().is_ok_and(|sum| sum == intent.checksum);
            let (Some(name), true) = (name.to_str(), !intents.is_empty() && intents.iter().all(fits)) else {
                return Err(Error::new(ErrorKind::Damaged, "this intent is damaged")
                    .hint("look at it by hand, then move it away")
                    .on(path));
            };
            sheets.push(Sheet { name: name.to_owned(), intents });
        }
        Ok(sheets)
    }
}

/// The names in a folder that are wanted, sorted.
pub(super) fn names(folder: &Path, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let failed = |e| Error::io("reading the folder", e).on(folder);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        if is_wanted(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
