//! The vault: the folder of backups and the journal, the write protocol, recovery and restore.
//!
//! ```text
//! STATE/
//!   lock            flock(2) is taken on it by whoever writes
//!   journal.jsonl   one line an operation, hash-chained
//!   objects/        backups, each under its SHA-256
//!   intents/        what is being written right now; empty when nobody writes
//!   lab-machine.json   there only on an enrolled lab machine
//! ```
//!
//! All of it can be read with `cat` and given back with `cp` when this program is not at hand.

mod disk;
pub mod history;
mod intent;
pub mod journal;
pub mod metadata;
pub mod objects;
pub mod recovery;
pub mod restore;
pub mod state;
pub mod target;
pub mod write;

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use journal::{Entry, Journal};
use objects::Objects;

pub use intent::Intent;

/// A vault, for reading.
#[derive(Clone, Debug)]
pub struct Vault {
    folder: PathBuf,
}

/// A vault of which this process is the only writer.
pub struct Locked<'v> {
    vault: &'v Vault,
    lock: File,
    journal: Journal,
}

impl Vault {
    /// The vault in a folder, which need not be there yet.
    pub fn at(folder: impl Into<PathBuf>) -> Vault {
        Vault { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its backups.
    pub fn objects(&self) -> Objects {
        Objects { folder: self.folder.join("objects") }
    }

    fn intents(&self) -> PathBuf {
        self.folder.join("intents")
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// Reads its journal; a vault that is not there has an empty one. While an intent waits, the last line may be torn
    /// (its end without its middle, say): it does not count, since an intent goes only after its line is flushed.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::read`].
    pub fn journal(&self) -> Result<Journal> {
        let path = self.journal_path();
        match Journal::read(&path) {
            Err(e) if e.kind() == ErrorKind::Damaged && self.pending().is_ok_and(|intents| !intents.is_empty()) => {
                Journal::read_but_the_last_line(&path)
            }
            answer => answer,
        }
    }

    /// What is being written, or was when a run was interrupted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Damaged`].
    pub fn pending(&self) -> Result<Vec<Intent>> {
        match Intent::all(&self.intents()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// Keeps a small file in the vault's folder, durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        disk::create_durably(&self.folder, name, bytes, 0o600)
    }

    /// Makes the vault's folders where they are missing, and takes its lock.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if another run has it; [`ErrorKind::Io`] if the folder can't be made or written;
    /// [`ErrorKind::Damaged`] if the journal is.
    pub fn lock(&self) -> Result<Locked<'_>> {
        self.make_folders()?;
        let path = self.folder.join("lock");
        let options =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = options.map_err(|e| Error::io("opening the lock", e).on(&path))?;
        lock.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => {
                let hint = "wait until it ends, then run this again";
                Error::new(ErrorKind::Busy, "another kmodlab is writing with this state folder")
                    .hint(hint)
                    .on(&self.folder)
            }
            std::fs::TryLockError::Error(e) => Error::io("locking", e).on(&path),
        })?;
        Ok(Locked { vault: self, lock, journal: self.journal()? })
    }

    /// Makes the folders where they are missing, and makes their names last, up to the root: a backup whose folder is
    /// lost is lost. Without a lock file whoever made the folders was stopped before that was done.
    fn make_folders(&self) -> Result<()> {
        let folders = [self.folder.clone(), self.objects().folder, self.intents()];
        if folders.iter().all(|folder| folder.is_dir()) && self.folder.join("lock").exists() {
            return Ok(());
        }
        for folder in folders {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|e| {
                Error::io("making the state folder", e).hint("--state-dir names another one").on(&folder)
            })?;
        }
        let failed = |e: std::io::Error| Error::io("looking for the state folder", e).on(&self.folder);
        let real = self.folder.canonicalize().map_err(failed)?;
        real.ancestors().try_for_each(disk::sync_folder)
    }
}

impl Drop for Locked<'_> {
    /// Gives the lock back even if a child process, between its fork and its exec, holds a copy of the descriptor.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Locked<'_> {
    /// The vault.
    pub fn vault(&self) -> &Vault {
        self.vault
    }

    /// The journal, up to now.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Appends a line that is about no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn note(&mut self, operation: journal::Operation, note: &str) -> Result<Entry> {
        let id = journal::new_id();
        self.append(journal::News { id, operation, recovered: false, change: None, note: Some(note.to_owned()) })
    }

    fn append(&mut self, news: journal::News) -> Result<Entry> {
        self.journal.append(&self.vault.journal_path(), news)
    }
}
