//! What the vault is asked to write, from a plan.

use std::path::Path;

use crate::digest::Sha256;
use crate::edit::Edit;
use crate::error::{Error, ErrorKind};
use crate::module::container::Container;
use crate::patch::Plan;
use crate::vault::group::PlannedWrite;
use crate::vault::record::{JournalEntry, Operation};

/// What became of a confirmed patch.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Applied {
    /// The file was written; the journal has this entry.
    Written(Box<JournalEntry>),
    /// The file had the wanted contents already. Nothing was written.
    Unchanged,
}

/// What the journal records in addition to the edits.
#[derive(Clone, Debug)]
pub(super) struct JournalNotes {
    /// The module's name.
    pub(super) module: String,
    /// The digest of the plan that was confirmed.
    pub(super) digest: Sha256,
    /// The guards that were overridden, by name.
    pub(super) overrides: Vec<String>,
}

/// The write of a plan.
pub(super) fn write_of(plan: Plan, notes: JournalNotes) -> PlannedWrite {
    let vermagic = vermagic(&plan);
    let container = plan.container;
    PlannedWrite { container, after: Some(plan.bytes_after), ..write_in_place(plan.after, plan.edits, vermagic, notes) }
}

/// The write of edits of an uncompressed file, in place: its SHA-256 afterwards, the edits, and what the journal records.
pub(super) fn write_in_place(
    after_sha256: Sha256,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
    notes: JournalNotes,
) -> PlannedWrite {
    PlannedWrite {
        operation: Operation::Patch,
        after: None,
        after_sha256,
        edits,
        metadata_after: None,
        module: notes.module,
        vermagic,
        plan: Some(notes.digest),
        overrides: notes.overrides,
        note: None,
        container: Container::None,
        creates: None,
    }
}

/// The version magic before and after a plan, as the journal records it.
pub(super) fn vermagic(plan: &Plan) -> (Option<String>, Option<String>) {
    let after = plan.vermagic_after.as_ref().map(|vermagic| vermagic.to_string()).unwrap_or_default();
    (Some(plan.vermagic_before.to_string()), Some(after))
}

/// The error of a new file whose path is taken.
pub(super) fn exists_already(out: &Path) -> Error {
    Error::new(ErrorKind::Usage, "exists already; output never overwrites a file").on(out)
}

/// The error of a file that leads to another plan than the confirmed one.
pub(super) fn changed() -> Error {
    Error::new(ErrorKind::Changed, "changed since the plan was confirmed; nothing was written")
}
