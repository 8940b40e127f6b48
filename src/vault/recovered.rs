//! What became of operations that were interrupted.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::door::internal_fields;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::text::{path_hex, path_text};
use crate::vault::record::Operation;

internal_fields! {
    /// The outcome of recovering one interrupted operation.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Recovered {
        /// The file.
        path: PathBuf,
        /// The kind of the operation.
        operation: Operation,
        /// The outcome.
        outcome: RecoveryOutcome,
    }
}

impl Recovered {
    /// Whether it was completed or rolled back, so that nothing remains to be done.
    pub fn is_settled(&self) -> bool {
        matches!(self.outcome, RecoveryOutcome::Done | RecoveryOutcome::Undone)
    }
}

/// The outcomes of recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryOutcome {
    /// Completed: the file has its new contents, and the journal has the line.
    Done,
    /// Rolled back: the file has its old contents.
    Undone,
    /// The contents are neither old nor new nor partly written: somebody else changed the file. Nothing was written; the text has the details.
    Conflict(String),
    /// It could not be settled now, for the reason in the text. The intent stays, and recovery can be repeated.
    Later(String),
}

/// An interrupted operation and its outcome, as they are serialised.
#[derive(Debug, Serialize)]
pub struct RecoveryReport<'r> {
    schema_version: u32,
    module: Cow<'r, str>,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    operation: Operation,
    /// completed, rolled_back, conflict or not_settled
    outcome: &'static str,
    /// Why, for a conflict and for an operation that is not settled.
    why: Option<&'r str>,
}

impl<'r> RecoveryReport<'r> {
    /// The report about an operation.
    pub fn of(recovered: &'r Recovered) -> RecoveryReport<'r> {
        let (outcome, why) = match &recovered.outcome {
            RecoveryOutcome::Done => ("completed", None),
            RecoveryOutcome::Undone => ("rolled_back", None),
            RecoveryOutcome::Conflict(why) => ("conflict", Some(why.as_str())),
            RecoveryOutcome::Later(why) => ("not_settled", Some(why.as_str())),
        };
        let (module, path_hex) = (path_text(&recovered.path), path_hex(&recovered.path));
        RecoveryReport { schema_version: 1, module, path_hex, operation: recovered.operation, outcome, why }
    }
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

/// The error for a file that somebody else changed.
pub fn conflict(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "somebody else changed this file since it was patched; nothing was written")
        .remedy(Remedy::DiscardChanges)
        .on(path)
}
