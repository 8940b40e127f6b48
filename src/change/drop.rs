//! Dropping backups: a person decides that nothing needs them any more.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, sha256};
use crate::error::Result;
use crate::vault::Writer;
use crate::vault::inventory::{Inventory, KeptBackup, may_be_dropped};
use crate::vault::record::JournalEntry;

/// Backups that are proposed to be dropped: at least one, and none that is needed.
#[derive(Debug)]
pub struct BackupDrop {
    backups: BTreeSet<Sha256>,
}

/// A [`BackupDrop`], as it is serialised.
#[derive(Clone, Debug, Serialize)]
pub struct BackupDropReport {
    schema_version: u32,
    /// Whether they were dropped.
    pub done: bool,
    /// The digest that confirms it; `None` if there is nothing to drop.
    pub digest: Option<Sha256>,
    /// Their names.
    pub backups: Vec<Sha256>,
}

impl BackupDrop {
    /// Proposes to drop these backups; `None` if there are none.
    ///
    /// # Errors
    ///
    /// Those of [`may_be_dropped`].
    pub fn plan(inventory: &Inventory, backups: BTreeSet<Sha256>) -> Result<Option<BackupDrop>> {
        may_be_dropped(inventory, &backups)?;
        Ok((!backups.is_empty()).then_some(BackupDrop { backups }))
    }

    /// How many backups would be dropped.
    pub fn count(&self) -> usize {
        self.backups.len()
    }

    /// Whether this backup would be dropped.
    pub fn contains(&self, kept: &KeptBackup) -> bool {
        self.backups.contains(&kept.object.sha)
    }

    /// The report, before or after they are dropped.
    pub fn report(&self, done: bool) -> BackupDropReport {
        let backups = self.backups.iter().copied().collect();
        BackupDropReport { schema_version: 1, done, digest: Some(self.digest()), backups }
    }
}

impl BackupDropReport {
    /// The report of a request for which there was nothing to drop.
    pub fn nothing() -> BackupDropReport {
        BackupDropReport { schema_version: 1, done: false, digest: None, backups: Vec::new() }
    }
}

impl Sealed for BackupDrop {}

impl Confirmable for BackupDrop {
    /// The number of backups.
    fn name_to_type(&self) -> String {
        self.backups.len().to_string()
    }

    fn digest(&self) -> Sha256 {
        let names: String = self.backups.iter().map(|name| format!("{name}\n")).collect();
        sha256(format!("drop\n{names}").as_bytes())
    }
}

/// Drops backups. If one of them is needed by now, none is dropped.
///
/// # Errors
///
/// Those of [`may_be_dropped`]; [`crate::error::ErrorKind::Io`].
pub fn drop_backups(confirmed: Confirmed<BackupDrop>, writer: &mut Writer<'_>) -> Result<JournalEntry> {
    writer.drop_backups(&confirmed.into_change().backups)
}
