//! What a line of the journal holds: the schema, without reading or writing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::door::internal_fields;
use crate::edit::Edit;
use crate::module::container::Container;
use crate::vault::metadata::Metadata;

/// The schema version of a line. A reader must refuse a higher number.
pub const SCHEMA_VERSION: u32 = 1;

/// The maximum length of a line in bytes, with its line feed. A line is about one file and has its edits, two digits per byte before and
/// after; or it lists dropped backups, 67 bytes each. So edits of 60 MiB fit, or four million backups.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A module was changed according to a plan.
    Patch,
    /// A module was restored to its original.
    Restore,
    /// Recovery rolled an interrupted operation back: the file has its old contents.
    Undone,
    /// An interrupted operation was abandoned: somebody else changed the file, and its contents were discarded or kept.
    GivenUp,
    /// A person declared this machine a lab machine.
    Enrol,
    /// A person withdrew that.
    Unenrol,
    /// A person dropped backups that nothing needed.
    Drop,
    /// A person forgot a path: the module that was patched there is not expected there any more. No file was written.
    Forget,
}

impl Operation {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Patch => "patch",
            Operation::Restore => "restore",
            Operation::Undone => "undone",
            Operation::GivenUp => "given-up",
            Operation::Enrol => "enrol",
            Operation::Unenrol => "unenrol",
            Operation::Drop => "drop",
            Operation::Forget => "forget",
        }
    }
}

/// How a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMethod {
    /// Spans of the file were overwritten.
    InPlace,
    /// A new file replaced it.
    Replace,
    /// A new file was created where there was none: by a patch, from a module that was not changed; by a restore, from the backup.
    Create,
}

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file's real path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The module's name.
    pub module: String,
    /// How the file was written.
    pub how: WriteMethod,
    /// SHA-256 before; for a new file, of the contents from which it was made. The backup has this name.
    pub before: Sha256,
    /// SHA-256 after.
    pub after: Sha256,
    /// Size before, in bytes.
    pub size_before: u64,
    /// Size after, in bytes.
    pub size_after: u64,
    /// The exact edits. Empty if a new file replaced the old one and was not planned as edits.
    pub edits: Vec<Edit>,
    /// How the file is compressed, in which case the edits apply to the uncompressed bytes.
    #[serde(default, skip_serializing_if = "Container::is_none")]
    pub container: Container,
    /// The metadata of the file before.
    pub metadata: Metadata,
    /// A label of the contents before, if the operation changed it. The vault does not interpret it; callers store the vermagic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_before: Option<String>,
    /// A label of the contents after. The vault does not interpret it; callers store the vermagic, empty for a blanked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_after: Option<String>,
    /// The digest of the plan that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Sha256>,
    /// The names of the guards that were overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

internal_fields! {
    /// One line of the journal.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct JournalEntry {
        /// Its schema version.
        schema_version: u32,
        /// Its number, from 1.
        seq: u64,
        /// The time in UTC (RFC 3339).
        time: String,
        /// The id of the operation. An intent with this id is settled by this line.
        id: String,
        /// The kind of an operation.
        operation: Operation,
        /// Whether recovery completed it after an interruption.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recovered: bool,
        /// The change of a file, if the operation was about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<FileChange>,
        /// The SHA-256 of the backups that were dropped.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Sha256>,
        /// A note.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The program that wrote it.
        tool: String,
        /// The hash of the previous line.
        prev: Sha256,
    }
}

impl JournalEntry {
    /// Its number in the journal, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// A line to append. The journal adds number, time, tool and chain.
pub(super) struct NewEntry {
    pub(super) id: String,
    pub(super) operation: Operation,
    pub(super) recovered: bool,
    pub(super) change: Option<FileChange>,
    pub(super) dropped: Vec<Sha256>,
    pub(super) note: Option<String>,
}

/// A new operation id: microseconds since the epoch and process id. Ids of one process are unique and ascending.
pub(super) fn new_id() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = jiff::Timestamp::now().as_microsecond();
    let before = LAST.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1))).unwrap_or_default();
    format!("{}-{}", now.max(before + 1), std::process::id())
}

/// Serde for a path in JSON: text if it is UTF-8, else `{"hex": …}`, so that every path is read back unchanged.
pub(super) mod path_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text {
        Utf8(String),
        Other {
            #[serde(with = "hex")]
            hex: Vec<u8>,
        },
    }

    pub(in crate::vault) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match path.to_str() {
            Some(text) => Text::Utf8(text.to_owned()),
            None => Text::Other { hex: path.as_os_str().as_bytes().to_vec() },
        };
        text.serialize(serializer)
    }

    pub(in crate::vault) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Text::deserialize(deserializer)? {
            Text::Utf8(text) => text.into(),
            Text::Other { hex } => OsString::from_vec(hex).into(),
        })
    }
}
