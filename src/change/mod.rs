//! Changes of files: proposed, reviewed, confirmed, applied. The only code that makes the vault write a file.
//!
//! ```text
//! Proposal ── review(overrides) ──► Reviewed ── confirm ──► Confirmed ── apply(writer) ──► journal line
//!    │                          └─► Refused                               plans again under the lock, and compares
//!    └ module, request, kernel, machine
//! ```
//!
//! - [`Proposal`]: one module. [`Batch`] and [`BatchPlan`]: many modules, one confirmation, one group commit.
//! - [`TreeFix`]: text files of a build tree.
//! - [`Restore`] and [`Restores`]: originals are put back. No guard is asked: the vault has the original, and nothing that
//!   somebody else wrote is discarded unless a person confirms that.
//! - [`RestoreFrom`]: originals come from a kernel's own modules. No journal proves that they belong to the files, so the files
//!   are compared with them, and a person confirms.
//! - [`Enrolment`]: this machine becomes a lab machine.
//! - [`BackupDrop`], [`Forget`]: backups are removed, and paths are not expected to hold patched modules any more.
//! - [`Import`]: backups and journal of another machine are taken over.
//! - [`Repair`]: a new part of a damaged journal begins.
//!
//! Invariants: only this layer creates a [`Confirmed`]; a `Confirmed` can't be copied, read from a file, or used twice; every
//! public function that writes takes one, and a [`crate::vault::Writer`], which exists only after recovery.

mod apply;
mod batch;
mod confirmation;
mod drop;
mod enrolment;
mod forget;
mod import;
mod proposal;
mod queue;
mod repair;
mod report;
mod restore;
mod restore_from;
mod restored;
mod summary;
#[cfg(feature = "tree")]
mod tree_fix;

pub use apply::Applied;
pub use batch::{Batch, BatchItem, BatchOutcome, BatchPlan};
pub use confirmation::{Confirmable, Confirmation, Confirmed, Unconfirmed};
pub use drop::{BackupDrop, BackupDropReport, drop_backups};
pub use enrolment::{Enrolment, enrol, withdraw};
pub use forget::{Forget, ForgetReport, ForgottenModule, ForgottenPath, forget_paths, real_path as forgettable_path};
pub use import::{Import, ImportReport, import};
pub use proposal::{Proposal, Refused, Review, Reviewed};
pub use repair::{DamageReport, Repair, RepairReport, repair_journal};
pub use report::{BatchReport, GuardWords, LeftOutReport, ListedRefusal, PatchReport, PlanReport};
pub(crate) use restore::with_next_step;
pub use restore::{Restore, Restored, Restores};
pub use restore_from::{FilePlan, OriginalSource, RestoreFrom};
pub use restored::RestoreReport;
pub use summary::{BatchSummary, PatchClass, RefusalGroup, ShortVerdict, SignatureChange, VermagicChange, WriteMode};
#[cfg(feature = "tree")]
pub use tree_fix::{FixedTree, TreeFix, TreeFixReport};
