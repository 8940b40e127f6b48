//! Repair of a damaged journal: a person saw what is wrong, and lets the next part begin.

use serde::Serialize;

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::Sha256;
use crate::error::Result;
use crate::vault::Writer;
use crate::vault::damage::{DamageKind, JournalDamage};
use crate::vault::record::JournalEntry;
use crate::vault::repair::JournalRepair;

/// The repair of the journal, not done yet.
#[derive(Debug)]
pub struct Repair(JournalRepair);

/// A [`Repair`], as it is serialised.
#[derive(Clone, Debug, Serialize)]
pub struct RepairReport {
    schema_version: u32,
    /// Whether it was done.
    pub done: bool,
    /// The digest that confirms it.
    pub digest: Sha256,
    /// The name that the damaged part of the journal gets, in the state folder.
    pub part: String,
    /// What is wrong.
    pub damage: Vec<DamageReport>,
}

/// Damage to the journal, as it is serialised.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DamageReport {
    /// The number of the first line.
    pub first: u64,
    /// The number of the last line.
    pub last: u64,
    /// What happened to the lines.
    pub kind: DamageKind,
    /// Whether nothing was lost.
    pub lossless: bool,
}

impl Repair {
    /// Proposes the repair; `None` if the journal is whole.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`]; [`crate::error::ErrorKind::Untrusted`].
    pub fn plan(writer: &Writer<'_>) -> Result<Option<Repair>> {
        Ok(writer.plan_repair()?.map(Repair))
    }

    /// What is wrong.
    pub fn damage(&self) -> &[JournalDamage] {
        &self.0.damage
    }

    /// The name that the damaged part of the journal gets, in the state folder.
    pub fn part(&self) -> &str {
        &self.0.part
    }

    /// The report, before or after it is done.
    pub fn report(&self, done: bool) -> RepairReport {
        let damage = |damage: &JournalDamage| DamageReport {
            first: damage.first,
            last: damage.last,
            kind: damage.kind,
            lossless: damage.is_lossless,
        };
        RepairReport {
            schema_version: 1,
            done,
            digest: self.0.digest,
            part: self.0.part.clone(),
            damage: self.0.damage.iter().map(damage).collect(),
        }
    }
}

impl Sealed for Repair {}

impl Confirmable for Repair {
    /// The word `repair`.
    fn name_to_type(&self) -> String {
        "repair".to_owned()
    }

    fn digest(&self) -> Sha256 {
        self.0.digest
    }
}

/// Begins a new part of the journal, whose first line names the damage. No other file is written; the damaged files stay.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Changed`] if the journal is not as it was when the repair was planned;
/// [`crate::error::ErrorKind::Io`].
pub fn repair_journal(confirmed: Confirmed<Repair>, writer: &mut Writer<'_>) -> Result<JournalEntry> {
    writer.repair(&confirmed.into_change().0)
}
