//! The exit statuses of the program.

use crate::error::{Error, ErrorKind};

/// The result of a command: the exit status of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Yes, or done.
    Done,
    /// A negative verdict: refused, changed, differs.
    Negative,
    /// A usage error, or another error.
    Failed,
    /// Refused by a guard, or not confirmed.
    Guarded,
    /// Some files of a batch failed.
    Partial,
    /// Another program changed a file; nothing was written.
    Conflict,
}

impl Status {
    /// Its number.
    pub(super) fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Negative => 1,
            Status::Failed => 2,
            Status::Guarded => 3,
            Status::Partial => 4,
            Status::Conflict => 5,
        }
    }

    /// The status for an error.
    pub(super) fn of(error: &Error) -> Status {
        match error.kind() {
            ErrorKind::Guard | ErrorKind::NotConfirmed => Status::Guarded,
            ErrorKind::Conflict => Status::Conflict,
            _ => Status::Failed,
        }
    }
}
