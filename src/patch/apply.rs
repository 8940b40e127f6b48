//! A plan is applied: target and edits in, a line of the journal out.

use std::path::Path;

use crate::digest::Sha256;
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;
use crate::patch::Plan;
use crate::vault::Writer;
use crate::vault::group::Wanted;
use crate::vault::journal::{Entry, Operation};
use crate::vault::target::Target;

/// What the journal is to say beside the edits.
#[derive(Clone, Debug)]
pub struct Record {
    /// The module's name.
    pub module: String,
    /// The digest of the plan that was confirmed.
    pub digest: Sha256,
    /// The overrides that were used, by the guards' names.
    pub overrides: Vec<String>,
}

/// Applies a plan to the file that it was made of, or, with `out`, to a new file beside it.
///
/// # Errors
///
/// [`ErrorKind::Changed`] if the file is not the one that was planned for; [`ErrorKind::Usage`] if `out` exists already;
/// those of [`Writer::carry_out`].
pub fn apply(
    locked: &mut Writer<'_>,
    target: &Target,
    plan: &Plan,
    record: Record,
    out: Option<&Path>,
) -> Result<Entry> {
    if target.sha256() != plan.before {
        let what = "changed since the plan was made; nothing was written";
        return Err(Error::new(ErrorKind::Changed, what).on(&target.path));
    }
    if let Some(out) = out.filter(|out| out.symlink_metadata().is_ok()) {
        return Err(exists_already(out));
    }
    locked.carry_out(target, wanted(plan.clone(), record), out)
}

/// What the file is to become by a plan, for a group of them.
pub fn wanted(plan: Plan, record: Record) -> Wanted {
    let vermagic = vermagic(&plan);
    let container = plan.container;
    Wanted { container, after: Some(plan.bytes_after), ..in_place(plan.after, plan.edits, vermagic, record) }
}

/// What an uncompressed file is to become by edits alone: the SHA-256 of what they make, the edits, and what the journal is
/// to say.
pub fn in_place(
    after_sha256: Sha256,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
    record: Record,
) -> Wanted {
    Wanted {
        operation: Operation::Patch,
        after: None,
        after_sha256,
        edits,
        metadata_after: None,
        module: record.module,
        vermagic,
        plan: Some(record.digest),
        overrides: record.overrides,
        note: None,
        container: Container::None,
    }
}

/// The version magic before and after a plan, as the journal says it.
pub fn vermagic(plan: &Plan) -> (Option<String>, Option<String>) {
    let after = plan.vermagic_after.as_ref().map(|vermagic| vermagic.to_string()).unwrap_or_default();
    (Some(plan.vermagic_before.to_string()), Some(after))
}

/// The error of an output that is there already.
pub fn exists_already(out: &Path) -> Error {
    Error::new(ErrorKind::Usage, "exists already; output never overwrites a file").on(out)
}
