//! Intents: the description of a write, on disk before it begins, so that recovery can complete it or roll it back.

use std::path::Component;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::metadata::Metadata;
use crate::vault::record::{FileChange, LONGEST_LINE, NewEntry, Operation, RunRecord, WriteMethod};

/// An announced write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its schema version.
    pub schema_version: u32,
    /// The operation id, which its journal line will have too.
    pub id: String,
    /// Patch or restore.
    pub operation: Operation,
    /// The change, as the journal will record it.
    pub change: FileChange,
    /// Device and inode number of the file before.
    pub identity: (u64, u64),
    /// The metadata that the file gets afterwards; `None` for those that the write leaves.
    pub metadata_after: Option<Metadata>,
    /// The name of the new file in the module's directory, if a new file replaces the module.
    pub temporary: Option<String>,
    /// A note for the journal.
    pub note: Option<String>,
    /// The run that announced it. `None` in old intents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Arc<RunRecord>>,
    /// SHA-256 of this structure's JSON with an empty checksum; `None` until it is computed, and `""` in JSON.
    #[serde(with = "checksum_text")]
    pub checksum: Option<Sha256>,
}

impl Intent {
    /// The name of the new file of the operation with this id.
    pub(super) fn temporary_of(id: &str) -> String {
        format!(".kmodlab-{id}.tmp")
    }

    /// A property of this intent that this program never writes. Recovery removes, renames and writes files that an intent names, so a
    /// forged intent must not name any others.
    pub(super) fn oddity(&self) -> Option<&'static str> {
        if !is_id(&self.id) {
            return Some("its id is invalid");
        }
        let temporary = (self.change.how != WriteMethod::InPlace).then(|| Intent::temporary_of(&self.id));
        if self.temporary != temporary {
            return Some("its temporary file is not named after its id");
        }
        let mut parts = self.change.path.components();
        let is_real =
            parts.next() == Some(Component::RootDir) && parts.all(|part| matches!(part, Component::Normal(_)));
        if !is_real || self.change.path.file_name().is_none() {
            return Some("its path is not an absolute path of a file");
        }
        None
    }

    pub(super) fn sum(&self) -> Result<Sha256> {
        let bare = Intent { checksum: None, ..self.clone() };
        let text = serde_json::to_vec(&bare).map_err(|e| Error::io("writing the intent", e))?;
        // Its journal line is about as long. A line that is too long must be refused before anything is written.
        if text.len() as u64 > LONGEST_LINE / 2 {
            let error = Error::new(ErrorKind::TooLarge, "its edits are too large for a line of the journal");
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

/// Whether this is an operation id, as [`crate::vault::record::new_id`] returns.
pub(super) fn is_id(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(time, process)| is_number(time) && is_number(process))
}

impl Intent {
    /// The journal line that reports what this intent announced.
    pub(super) fn line(&self, recovered: bool) -> NewEntry {
        let intent = self;
        NewEntry {
            id: intent.id.clone(),
            recovered,
            change: Some(intent.change.clone()),
            note: intent.note.clone(),
            run: intent.run.clone(),
            ..NewEntry::of(intent.operation)
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An intent of a write in place.
    pub(in crate::vault) fn intent(number: u32) -> Intent {
        let change = serde_json::json!({
            "path": "/srv/a.ko", "module": "a", "how": "in-place", "before": sha256(b"before"), "after": sha256(b"after"),
            "size_before": 6, "size_after": 5, "edits": [],
            "metadata": {"mode": 420, "uid": 0, "gid": 0, "xattrs": {},
                "accessed": {"seconds": 0, "nanoseconds": 0}, "modified": {"seconds": 0, "nanoseconds": 0}},
            "vermagic_before": null, "vermagic_after": null, "plan": null, "overrides": []
        });
        Intent {
            schema_version: crate::vault::record::SCHEMA_VERSION,
            id: format!("1-{number}"),
            operation: Operation::Patch,
            change: serde_json::from_value(change).unwrap(),
            identity: (1, 2),
            metadata_after: None,
            temporary: None,
            note: None,
            run: None,
            checksum: None,
        }
    }
}
