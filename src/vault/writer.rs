//! The vault, for writing: the lock, and appending to the journal.

use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::append;
use crate::vault::damage::JournalDamage;
use crate::vault::journal::{Journal, JournalEnd, JournalTail};
use crate::vault::layout::{JOURNAL, LOCK};
use crate::vault::reader::Vault;
use crate::vault::record::{ClosedPart, JournalEntry, NewEntry, Operation};
use crate::vault::recovered::{self, Recovered};
use crate::vault::segment::DamagedIntent;

/// A vault of which this process is the only writer, with every interrupted operation recovered.
///
/// [`Vault::writer`] is the only way to get one.
pub struct Writer<'v> {
    pub(super) vault: &'v Vault,
    lock: File,
    pub(super) tail: JournalTail,
    was_torn: bool,
    /// The closed parts of the journal with damage that no repair has recorded.
    pub(super) unrecorded: Vec<ClosedPart>,
    pub(super) recovered: Vec<Recovered>,
    pub(super) damaged_intents: Vec<DamagedIntent>,
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
        let JournalEnd { tail, is_torn, unrecorded, .. } = self.go_through(|_| {})?.end;
        append::must_be_possible(self.state.open()?, &tail)?;
        let (recovered, damaged_intents) = (Vec::new(), Vec::new());
        Ok(Writer { vault: self, lock, was_torn: is_torn, tail, unrecorded, recovered, damaged_intents })
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
        /// Which lines of the journal were not there as they were written when the lock was taken.
        fn damage(&self) -> &[JournalDamage] {
            &self.tail.damage
        }
    }

    internal_fn! {
        /// The announced writes that can't be read. Whatever they were about, nothing was done about it.
        fn damaged_intents(&self) -> &[DamagedIntent] {
            &self.damaged_intents
        }
    }

    internal_fn! {
        /// Refuses a damaged journal, to which only restores are appended.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Damaged`].
        fn must_be_whole(&self) -> Result<()> {
            self.tail.must_be_whole().map_err(|e| e.on(self.vault.folder().join(JOURNAL)))
        }
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
        self.append(NewEntry { note: Some(note.to_owned()), ..NewEntry::of(operation) })
    }

    pub(super) fn append(&mut self, news: NewEntry) -> Result<JournalEntry> {
        let mut entries = self.append_all(vec![news])?;
        entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a journal line is missing"))
    }

    pub(super) fn append_all(&mut self, mut news: Vec<NewEntry>) -> Result<Vec<JournalEntry>> {
        let (state, run) = (self.vault.state.open()?, self.vault.run.as_ref());
        let Some(root) = &self.vault.root else { return self.tail.append(state, news, run) };
        for change in news.iter_mut().filter_map(|news| news.change.as_mut()) {
            change.path = root.inside(&change.path);
        }
        Ok(self.tail.append(state, news, run)?.into_iter().map(|entry| root.entry(entry)).collect())
    }
}
