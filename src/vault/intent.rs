//! Intents: what a write is about to do, on disk before it does it, so that recovery can finish or undo it.

use std::path::Component;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::private_folder::PrivateFolder;
use crate::vault::disk;
use crate::vault::journal::{FileChange, How, LONGEST_LINE, Operation};
use crate::vault::metadata::Metadata;

/// What the names of files with one intent, and with several, end with.
const ENDINGS: [&str; 2] = ["json", "jsonl"];

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
    /// SHA-256 of this structure's JSON with an empty checksum; `None` until it is computed, and `""` in JSON.
    #[serde(with = "checksum_text")]
    pub checksum: Option<Sha256>,
}

impl Intent {
    /// The name of the new file beside the module of an operation of this name.
    pub(super) fn temporary_of(id: &str) -> String {
        format!(".kmodlab-{id}.tmp")
    }

    /// What this intent says that this program never writes. Recovery removes, renames and writes by it, so a forged one
    /// must lead nowhere else.
    fn oddity(&self) -> Option<&'static str> {
        if !is_id(&self.id) {
            return Some("its id is none");
        }
        let temporary = (self.change.how != How::InPlace).then(|| Intent::temporary_of(&self.id));
        if self.temporary != temporary {
            return Some("its temporary file is not named by its id");
        }
        let mut parts = self.change.path.components();
        let is_real =
            parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)));
        if !is_real || self.change.path.file_name().is_none() {
            return Some("its path is no absolute path of a file");
        }
        None
    }

    fn sum(&self) -> Result<Sha256> {
        let bare = Intent { checksum: None, ..self.clone() };
        let text = serde_json::to_vec(&bare).map_err(|e| Error::io("writing the intent", e))?;
        // Its line in the journal is about as long. That is to be known before anything is written.
        if text.len() as u64 > LONGEST_LINE / 2 {
            let error = Error::new(ErrorKind::TooLarge, "its edits are more than a line of the journal can tell");
            return Err(error.on(&self.change.path));
        }
        Ok(sha256(&text))
    }
}

/// An intent's checksum in JSON: its digits, or nothing between the quotes.
mod checksum_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::digest::Sha256;

    #[allow(clippy::ref_option, reason = "serde's `with` passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(checksum: &Option<Sha256>, serializer: S) -> Result<S::Ok, S::Error> {
        match checksum {
            Some(checksum) => serializer.collect_str(checksum),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha256>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(de::Error::custom) }
    }
}

/// Is this an operation's name, as [`crate::vault::journal::new_id`] makes them?
fn is_id(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(time, process)| is_number(time) && is_number(process))
}

/// Is this the name of a file of intents that was being written?
pub(super) fn is_temporary(name: &str) -> bool {
    let name = name.strip_suffix(disk::TEMPORARY).and_then(|name| name.rsplit_once('.'));
    name.is_some_and(|(id, form)| is_id(id) && ENDINGS.contains(&form))
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
    pub(super) fn write(folder: &PrivateFolder, mut intents: Vec<Intent>) -> Result<Sheet> {
        let signed =
            parallel::map(intents.iter_mut().collect(), |intent| intent.sum().map(|sum| intent.checksum = Some(sum)));
        signed.into_iter().collect::<Result<()>>()?;
        let id = intents.first().map_or("none", |first| &first.id);
        let [one, several] = ENDINGS;
        let name = format!("{id}.{}", if intents.len() == 1 { one } else { several });
        let sheet = Sheet { name, intents };
        sheet.put(folder)?;
        Ok(sheet)
    }

    fn put(&self, folder: &PrivateFolder) -> Result<()> {
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
    pub(super) fn retire(&mut self, folder: &PrivateFolder, is_settled: impl Fn(&Intent) -> bool) -> Result<()> {
        let before = self.intents.len();
        self.intents.retain(|intent| !is_settled(intent));
        match self.intents.len() {
            0 => {
                let removed = disk::remove_durably(folder.dir(), self.name.as_ref());
                removed.map_err(|e| e.on(folder.path().join(&self.name)))
            }
            left if left == before => Ok(()),
            _ => self.put(folder),
        }
    }

    /// All sheets in a folder, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]; [`ErrorKind::Untrusted`]; [`ErrorKind::Damaged`] for one with an intent whose checksum is off, or that
    /// names what this program never would.
    pub(super) fn all(folder: &PrivateFolder) -> Result<Vec<Sheet>> {
        let mut sheets = Vec::new();
        for name in folder.names(|name| ENDINGS.iter().any(|ending| name.extension() == Some(ending.as_ref())))? {
            let path = folder.path().join(&name);
            let file = folder.file(&name, "reading the intent", OFlags::RDONLY)?;
            let text = disk::read_whole(&file).map_err(|e| e.on(&path))?;
            let read = serde_json::Deserializer::from_slice(&text).into_iter::<Intent>();
            let intents: Vec<Intent> = read.collect::<Result<_, _>>().unwrap_or_default();
            let fits = |intent: &Intent| intent.sum().is_ok_and(|sum| Some(sum) == intent.checksum);
            if let Some(what) = intents.iter().filter(|intent| fits(intent)).find_map(Intent::oddity) {
                return Err(Error::new(ErrorKind::Damaged, format!("this intent is refused: {what}"))
                    .hint("this program never wrote it; look at it by hand, then move it away")
                    .on(path));
            }
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
