//! What a line of the journal holds: the schema, without reading or writing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::door::internal_fields;
use crate::edit::Edit;
use crate::module::container::Container;
use crate::vault::metadata::Metadata;

/// The form of a line. A reader that meets a higher number must not guess.
pub const SCHEMA_VERSION: u32 = 1;

/// The most bytes that a line may have, with its end. A line tells of one file: its edits, each byte in two digits, before and
/// after; or of backups that were dropped, 67 bytes each. So this is room for edits of 60 MiB, and for four million backups.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A module's bytes were changed by a plan.
    Patch,
    /// A module got its original bytes back.
    Restore,
    /// An interrupted operation was undone by recovery: the file is as it was before.
    Undone,
    /// An interrupted operation was given up: somebody else changed the file, and its state was discarded or kept.
    GivenUp,
    /// A person declared this machine a lab machine.
    Enrol,
    /// A person took that back.
    Unenrol,
    /// A person dropped backups that nothing needed any more.
    Drop,
    /// A person let go of a path: what was patched there is not expected there any more. No file was written.
    Forget,
}

impl Operation {
    /// The word for it in messages.
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

/// How a file's bytes were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMethod {
    /// Spans were written over in the file itself.
    InPlace,
    /// A whole new file took its place.
    Replace,
    /// A new file was made; the module that it comes from was left alone.
    Create,
}

/// What was done to one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file's real path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The module's name.
    pub module: String,
    /// How its bytes were changed.
    pub how: WriteMethod,
    /// SHA-256 before; the backup has this name.
    pub before: Sha256,
    /// SHA-256 after.
    pub after: Sha256,
    /// Size before, in bytes.
    pub size_before: u64,
    /// Size after, in bytes.
    pub size_after: u64,
    /// The exact edits. Empty where a whole new file took the old one's place and nobody planned it as edits.
    pub edits: Vec<Edit>,
    /// How the file is stored, if the edits are those of what is inside it: the uncompressed bytes.
    #[serde(default, skip_serializing_if = "Container::is_none")]
    pub container: Container,
    /// The file's metadata before.
    pub metadata: Metadata,
    /// Version magic before, where the operation changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_before: Option<String>,
    /// Version magic after; empty after `--mode blank`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_after: Option<String>,
    /// The digest of the plan that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Sha256>,
    /// The overrides that were used, by the guards' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

internal_fields! {
    /// One line of the journal.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct JournalEntry {
        /// The form of this line.
        schema_version: u32,
        /// Its number, from 1.
        seq: u64,
        /// When, in UTC (RFC 3339).
        time: String,
        /// The operation's own name, by which an intent finds its line.
        id: String,
        /// What was done.
        operation: Operation,
        /// Was it finished by recovery after an interruption?
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recovered: bool,
        /// What was done to a file, where the operation was about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<FileChange>,
        /// The backups that were dropped, by their SHA-256.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Sha256>,
        /// Anything else worth keeping, in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The program that wrote it.
        tool: String,
        /// The hash of the line before.
        prev: Sha256,
    }
}

impl JournalEntry {
    /// Its number in the journal, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// What a caller says of an operation; the journal adds number, time, tool and chain.
pub(super) struct NewEntry {
    pub(super) id: String,
    pub(super) operation: Operation,
    pub(super) recovered: bool,
    pub(super) change: Option<FileChange>,
    pub(super) dropped: Vec<Sha256>,
    pub(super) note: Option<String>,
}

/// An operation's name: when and by whom. No two are the same, however quickly they follow each other.
pub(super) fn new_id() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = jiff::Timestamp::now().as_microsecond();
    let before = LAST.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1))).unwrap_or_default();
    format!("{}-{}", now.max(before + 1), std::process::id())
}

/// A path in JSON: as text where it is UTF-8, else as `{"hex": …}`, so that any name comes back as it was.
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
