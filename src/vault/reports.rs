//! Reports about the vault, as they are serialised: files compared with the journal, and backups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::text::{path_hex, path_text, paths_hex};
use crate::vault::index::JournalIndex;
use crate::vault::intent::Intent;
use crate::vault::inventory::{BackupSource, KeepReason, KeptBackup, MissingBackup};
use crate::vault::reader::Vault;
use crate::vault::record::Operation;
use crate::vault::standing::{BackupState, FileState, Standing, standing};

/// The form of these reports.
const SCHEMA_VERSION: u32 = 1;

/// A file compared with the journal.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    schema_version: u32,
    /// The real path, as text.
    pub module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The state of the file now.
    pub state: FileState,
    /// SHA-256 of its contents now.
    pub current: Option<Sha256>,
    /// SHA-256 of its original.
    pub original: Option<Sha256>,
    /// The state of the original's backup.
    pub backup: BackupState,
    /// The number of the journal's line, if the backup was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_by: Option<u64>,
    /// Where the journal has these contents, if not here.
    pub recorded_at: Vec<String>,
    /// The bytes of these paths in hexadecimal, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded_at_hex: Option<Vec<Option<String>>>,
    /// Whether an interrupted operation on the file waits for recovery.
    pub interrupted: bool,
    /// What the module's own mark of a patch says, if the journal does not know the module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// The same, with paths as paths.
    #[serde(skip)]
    pub standing: Standing,
}

impl FileReport {
    /// Compares the file at a real path with the journal.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if neither the journal nor a pending intent knows the path, and the journal does not know the
    /// contents or there is no file; those of [`standing`].
    pub fn of(vault: &Vault, index: &JournalIndex, pending: &[Intent], path: &Path) -> Result<FileReport> {
        let interrupted = pending.iter().any(|intent| intent.change.path == path);
        let standing = standing(vault, index, path)?;
        match standing.state {
            // The intent of an interrupted first operation knows the file; the journal does not know it yet.
            _ if interrupted => {}
            FileState::Unknown => return Err(unknown()),
            FileState::Missing if !index.knows_place(path)? => {
                return Err(Error::new(ErrorKind::NotFound, "no such file"));
            }
            _ => {}
        }
        Ok(FileReport {
            schema_version: SCHEMA_VERSION,
            module: path_text(path).into_owned(),
            path_hex: path_hex(path),
            state: standing.state,
            current: standing.current,
            original: standing.original,
            backup: standing.backup,
            dropped_by: standing.dropped_by,
            recorded_at: texts(&standing.recorded_at),
            recorded_at_hex: paths_hex(&standing.recorded_at),
            interrupted,
            mark: standing.mark.as_ref().map(|mark| mark.text().to_owned()),
            standing,
        })
    }

    /// Whether the file and its backup are as recorded, and no operation on the file is interrupted.
    pub fn is_as_recorded(&self) -> bool {
        self.standing.is_as_recorded() && !self.interrupted
    }
}

/// The reports about many files, counted.
#[derive(Clone, Debug, Default)]
pub struct FileTally {
    /// How many files are in each state.
    pub states: BTreeMap<FileState, usize>,
    /// How many files, or their backups, are not as recorded.
    pub changed: usize,
    /// How many files there is no report about.
    pub failed: usize,
}

impl FileTally {
    /// Counts one more file.
    pub fn add(&mut self, report: &Result<FileReport>) {
        match report {
            Ok(report) => {
                self.changed += usize::from(!report.is_as_recorded());
                *self.states.entry(report.standing.state).or_default() += 1;
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// The error for a file of which the journal knows neither the path nor the contents.
pub fn unknown() -> Error {
    let what = "the journal knows neither this path nor these contents";
    Error::new(ErrorKind::NotFound, what).remedy(Remedy::ShowHistory)
}

/// Why a backup is kept, in one word; `missing` for one that is needed and does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackupUse {
    /// A patched file or an interrupted operation needs it.
    Needed,
    /// It holds changes that a person discarded.
    Discarded,
    /// The journal names it, and nothing needs it.
    Unneeded,
    /// Neither the journal nor an intent names it.
    Orphan,
    /// It is needed and does not exist.
    Missing,
}

/// A backup.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    schema_version: u32,
    /// Its name.
    pub sha256: Sha256,
    /// Its size on disk, in bytes.
    pub size: u64,
    /// Whether it is a Zstandard frame.
    pub compressed: bool,
    /// Why it is kept.
    pub state: BackupUse,
    /// The files that need it.
    pub needed_by: Vec<String>,
    /// The bytes of their paths in hexadecimal, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_by_hex: Option<Vec<Option<String>>>,
    /// The journal's lines for which it was made.
    pub of: Vec<LineReport>,
    /// Whether its contents match its name, if they were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<bool>,
}

/// A line of the journal for which a backup was made.
#[derive(Clone, Debug, Serialize)]
pub struct LineReport {
    /// Its number.
    pub line: u64,
    /// What was done.
    pub operation: Operation,
    /// The file, as text.
    pub module: String,
}

impl BackupReport {
    /// A report about a backup. `whole` is whether its contents match its name, if they were compared.
    pub fn of(kept: &KeptBackup, whole: Option<bool>) -> BackupReport {
        let nothing = BTreeSet::new();
        let (state, needed_by) = match &kept.why {
            KeepReason::Needed(by) => (BackupUse::Needed, by),
            KeepReason::Discarded => (BackupUse::Discarded, &nothing),
            KeepReason::Unneeded => (BackupUse::Unneeded, &nothing),
            KeepReason::Orphan => (BackupUse::Orphan, &nothing),
        };
        let line = |source: &BackupSource| LineReport {
            line: source.line,
            operation: source.operation,
            module: path_text(&source.path).into_owned(),
        };
        BackupReport {
            schema_version: SCHEMA_VERSION,
            sha256: kept.object.sha,
            size: kept.object.size,
            compressed: kept.object.is_compressed,
            state,
            needed_by: texts(needed_by),
            needed_by_hex: paths_hex(needed_by),
            of: kept.sources.iter().map(line).collect(),
            whole,
        }
    }
}

/// A backup that is needed and does not exist.
#[derive(Clone, Debug, Serialize)]
pub struct MissingBackupReport {
    schema_version: u32,
    /// Its name.
    pub sha256: Sha256,
    /// [`BackupUse::Missing`].
    pub state: BackupUse,
    /// The files that need it.
    pub needed_by: Vec<String>,
    /// The bytes of their paths in hexadecimal, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needed_by_hex: Option<Vec<Option<String>>>,
    /// The number of the journal's line by which it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_by: Option<u64>,
}

impl MissingBackupReport {
    /// A report about a missing backup.
    pub fn of(sha256: Sha256, missing: &MissingBackup) -> MissingBackupReport {
        MissingBackupReport {
            schema_version: SCHEMA_VERSION,
            sha256,
            state: BackupUse::Missing,
            needed_by: texts(&missing.by),
            needed_by_hex: paths_hex(&missing.by),
            dropped_by: missing.dropped_by,
        }
    }
}

fn texts<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Vec<String> {
    paths.into_iter().map(|path| path_text(path).into_owned()).collect()
}
