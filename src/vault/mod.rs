//! The vault: the folder of backups and the journal, the write protocol, recovery and restore.
//!
//! ```text
//! STATE/
//!   lock            flock(2) is taken on it by whoever writes
//!   journal.jsonl   one line an operation, hash-chained
//!   objects/        backups, each under its SHA-256; compressed ones end with .zst
//!   intents/        what is being written right now, a file a group; empty when nobody writes
//!   lab-machine.json   there only on an enrolled lab machine
//! ```
//!
//! All of it can be read with `cat` and given back with `cp` when this program is not at hand.

mod disk;
pub mod forget;
pub mod group;
pub mod history;
pub mod index;
mod intent;
pub mod journal;
pub mod metadata;
mod multimap;
pub mod objects;
pub mod recovery;
pub mod restore;
pub(crate) mod side_by_side;
pub mod sorter;
pub mod spool;
pub mod state;
pub mod stock;
pub mod target;
mod write;

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use intent::Sheet;
use journal::{Entry, Journal};
use objects::Objects;

pub use intent::Intent;

/// A vault, for reading.
#[derive(Clone, Debug)]
pub struct Vault {
    folder: PathBuf,
    compress: bool,
}

/// A vault of which this process is the only writer.
pub struct Locked<'v> {
    vault: &'v Vault,
    lock: File,
    tail: journal::Tail,
    was_torn: bool,
}

impl Vault {
    /// The vault in a folder, which need not be there yet.
    pub fn at(folder: impl Into<PathBuf>) -> Vault {
        Vault { folder: folder.into(), compress: false }
    }

    /// The same vault, whose new backups are compressed, or are not.
    #[must_use]
    pub fn compressing(self, compress: bool) -> Vault {
        Vault { compress, ..self }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Is there a folder? One that can't be looked at is there.
    pub fn is_there(&self) -> bool {
        !matches!(self.folder.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
    }

    /// Its backups.
    pub fn objects(&self) -> Objects {
        Objects { folder: self.folder.join("objects"), compress: self.compress }
    }

    fn intents(&self) -> PathBuf {
        self.folder.join("intents")
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// Reads its journal; a vault that is not there has an empty one. While intents wait, their lines at its end may be
    /// torn (an end without its middle, say): these do not count, since an intent goes only after its line is flushed.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::read`].
    pub fn journal(&self) -> Result<Journal> {
        let mut entries = Vec::new();
        let course = self.go_through(|line| entries.push(line.entry))?;
        Ok(Journal { entries, is_torn: course.is_torn })
    }

    /// Reads its journal line by line: each as it means, and as it stands there. A damaged one gives no line.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::journal`].
    pub fn each_line(&self, mut each: impl FnMut(Entry, &str)) -> Result<()> {
        self.go_through(|_| {})?;
        self.go_through(|line| each(line.entry, line.text)).map(drop)
    }

    fn go_through(&self, each: impl FnMut(journal::Line<'_>)) -> Result<journal::Course> {
        match journal::open(&self.journal_path())? {
            Some(mut text) => self.go_through_text(&mut text, each),
            None => Ok(journal::Course::default()),
        }
    }

    fn go_through_text(
        &self,
        text: &mut impl std::io::BufRead,
        each: impl FnMut(journal::Line<'_>),
    ) -> Result<journal::Course> {
        let pending = || self.pending().unwrap_or_default().into_iter().map(|intent| intent.id).collect();
        journal::each_line(text, pending, each).map_err(|e| e.on(self.journal_path()))
    }

    /// What is being written, or was when a run was interrupted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Damaged`].
    pub fn pending(&self) -> Result<Vec<Intent>> {
        match Sheet::all(&self.intents()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            answer => Ok(answer?.into_iter().flat_map(|sheet| sheet.intents).collect()),
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
        let journal::Course { tail, is_torn } = self.go_through(|_| {})?;
        Ok(Locked { vault: self, lock, was_torn: is_torn, tail })
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

    /// Was there text behind the journal's last whole line when the lock was taken? The next line takes its place.
    pub fn was_torn(&self) -> bool {
        self.was_torn
    }

    /// The journal, up to now, read anew.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::journal`].
    pub fn journal(&self) -> Result<Journal> {
        self.vault.journal()
    }

    /// Appends a line that is about no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn note(&mut self, operation: journal::Operation, note: &str) -> Result<Entry> {
        let id = journal::new_id();
        let note = Some(note.to_owned());
        self.append(journal::News { id, operation, recovered: false, change: None, dropped: Vec::new(), note })
    }

    fn append(&mut self, news: journal::News) -> Result<Entry> {
        let mut entries = self.append_all(vec![news])?;
        entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a line of the journal was forgotten"))
    }

    fn append_all(&mut self, news: Vec<journal::News>) -> Result<Vec<Entry>> {
        self.tail.append(&self.vault.journal_path(), news)
    }
}
