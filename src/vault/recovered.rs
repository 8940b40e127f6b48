//! What became of operations that were interrupted.

use std::path::{Path, PathBuf};

use crate::door::internal_fields;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::vault::record::Operation;

internal_fields! {
    /// What became of one interrupted operation.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Recovered {
        /// The file.
        path: PathBuf,
        /// What the operation was.
        operation: Operation,
        /// What became of it.
        outcome: RecoveryOutcome,
    }
}

impl Recovered {
    /// Is it done or undone, so that nothing is left to do?
    pub fn is_settled(&self) -> bool {
        matches!(self.outcome, RecoveryOutcome::Done | RecoveryOutcome::Undone)
    }
}

/// The ways in which an interrupted operation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryOutcome {
    /// The file is as after the operation; the journal now says so.
    Done,
    /// The file is as before the operation.
    Undone,
    /// The file is neither, and not torn by us: somebody else wrote it. Nothing was written; the words say more.
    Conflict(String),
    /// It can't be told or mended now (the words say why): the intent stays, and it can be tried again.
    Later(String),
}

/// Refuses a file whose interrupted operation could not be settled.
///
/// # Errors
///
/// [`ErrorKind::Conflict`] if somebody else changed the file meanwhile; [`ErrorKind::NeedsRecovery`] if recovery failed for
/// another reason, which the message has.
pub fn must_be_settled(outcomes: &[Recovered], path: &Path) -> Result<()> {
    for recovered in outcomes.iter().filter(|recovered| recovered.path == path) {
        match &recovered.outcome {
            RecoveryOutcome::Done | RecoveryOutcome::Undone => {}
            RecoveryOutcome::Conflict(_) => return Err(conflict(path)),
            RecoveryOutcome::Later(why) => {
                let what = format!("an interrupted run is not settled: {why}");
                return Err(Error::new(ErrorKind::NeedsRecovery, what).remedy(Remedy::FixThenRecover).on(path));
            }
        }
    }
    Ok(())
}

/// The error of a file that somebody else changed.
pub fn conflict(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "somebody else changed this file since it was patched; nothing was written")
        .remedy(Remedy::DiscardChanges)
        .on(path)
}
