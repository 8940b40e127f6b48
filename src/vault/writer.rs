//! The vault, for writing: the lock, and appending to the journal.

use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::journal::{self, Journal};
use crate::vault::layout::LOCK;
use crate::vault::reader::Vault;
use crate::vault::record::{self, JournalEntry, NewEntry, Operation};
use crate::vault::recovered::{self, Recovered};

/// A vault of which this process is the only writer, with every interrupted operation recovered.
///
/// [`Vault::writer`] is the only way to get one.
pub struct Writer<'v> {
    pub(super) vault: &'v Vault,
    lock: File,
    pub(super) tail: journal::JournalTail,
    was_torn: bool,
    pub(super) recovered: Vec<Recovered>,
}

impl Vault {
    /// Creates missing folders, and takes the lock.
    pub(super) fn lock(&self) -> Result<Writer<'_>> {
        self.state.create()?;
        let path = self.folder().join(LOCK);
        let lock = self.state.open()?.file(LOCK, "opening the lock", OFlags::RDWR | OFlags::CREATE)?;
        lock.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => {
                let hint = "wait until it ends, then run this again";
                Error::new(ErrorKind::Busy, "another kmodlab is writing with this state folder")
                    .hint(hint)
                    .on(self.folder())
            }
            std::fs::TryLockError::Error(e) => Error::io("locking", e).on(&path),
        })?;
        let journal::JournalEnd { tail, is_torn } = self.go_through(|_| {})?;
        Ok(Writer { vault: self, lock, was_torn: is_torn, tail, recovered: Vec::new() })
    }
}

impl Drop for Writer<'_> {
    /// Gives the lock back even if a child process, between its fork and its exec, holds a copy of the descriptor.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Writer<'_> {
    /// The vault.
    pub fn vault(&self) -> &Vault {
        self.vault
    }

    /// What became of each operation that was interrupted before the lock was taken.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    internal_fn! {
        /// Refuses a file whose interrupted operation could not be settled.
        ///
        /// # Errors
        ///
        /// Those of [`recovered::must_be_settled`].
        fn must_be_settled(&self, path: &Path) -> Result<()> {
            recovered::must_be_settled(&self.recovered, path)
        }
    }

    /// Whether an incomplete line followed the journal's last complete one when the lock was taken. The next line replaces it.
    pub fn was_torn(&self) -> bool {
        self.was_torn
    }

    internal_fn! {
        /// Reads the journal again.
        ///
        /// # Errors
        ///
        /// Those of [`Vault::journal`].
        fn journal(&self) -> Result<Journal> {
            self.vault.journal()
        }
    }

    /// Appends a line that is not about a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn note(&mut self, operation: Operation, note: &str) -> Result<JournalEntry> {
        let id = record::new_id();
        let note = Some(note.to_owned());
        self.append(NewEntry {
            id,
            operation,
            recovered: false,
            change: None,
            dropped: Vec::new(),
            imported: None,
            note,
            run: None,
        })
    }

    pub(super) fn append(&mut self, news: NewEntry) -> Result<JournalEntry> {
        let mut entries = self.append_all(vec![news])?;
        entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a journal line is missing"))
    }

    pub(super) fn append_all(&mut self, news: Vec<NewEntry>) -> Result<Vec<JournalEntry>> {
        self.tail.append(self.vault.state.open()?, news, self.vault.run.as_ref())
    }
}
