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

mod beneath;
mod disk;
pub mod forget;
pub mod group;
pub mod history;
pub mod index;
mod intent;
pub mod journal;
pub mod metadata;
pub mod objects;
pub mod obstacle;
pub mod recovery;
pub mod restore;
pub mod state;
pub mod stock;
pub mod target;
mod write;

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::private_folder::PrivateFolder;
use intent::Sheet;
use journal::{Entry, Journal};
use objects::Objects;
use recovery::Recovered;

pub use intent::Intent;

const OBJECTS: &str = "objects";
const INTENTS: &str = "intents";
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// A vault, for reading.
#[derive(Clone, Debug)]
pub struct Vault {
    folder: PathBuf,
    compress: bool,
    /// The folder, once it was opened and everything in it was checked.
    opened: Arc<OnceLock<PrivateFolder>>,
}

/// A vault of which this process is the only writer, with every interrupted operation recovered.
///
/// [`Vault::writer`] is the only way to get one.
pub struct Writer<'v> {
    vault: &'v Vault,
    lock: File,
    tail: journal::Tail,
    was_torn: bool,
    recovered: Vec<Recovered>,
}

impl Vault {
    /// The vault in a folder, which need not be there yet.
    pub fn at(folder: impl Into<PathBuf>) -> Vault {
        Vault { folder: folder.into(), compress: false, opened: Arc::default() }
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

    /// Refuses a state folder in which another user could have written something: see SAFETY.md. Every other call refuses it,
    /// too, as soon as it opens the folder. One that is not there is well.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`] if it can't be looked at.
    pub fn must_be_trusted(&self) -> Result<()> {
        match self.state() {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// The folder, opened, with everything in it checked. From then on this vault is the folder that was opened, whatever
    /// has its path.
    fn state(&self) -> Result<&PrivateFolder> {
        if let Some(state) = self.opened.get() {
            return Ok(state);
        }
        let state = PrivateFolder::open(&self.folder)?;
        state.check_all()?;
        for name in [OBJECTS, INTENTS] {
            match state.folder(name) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                folder => folder?.check_all()?,
            }
        }
        Ok(self.opened.get_or_init(|| state))
    }

    /// Its backups.
    pub fn objects(&self) -> Objects {
        Objects { folder: self.folder.join(OBJECTS), vault: self.clone(), compress: self.compress }
    }

    fn intents(&self) -> Result<PrivateFolder> {
        self.state()?.folder(INTENTS)
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join(JOURNAL)
    }

    /// Opens the journal. One that is not there is an empty journal.
    fn open_journal(&self) -> Result<Option<BufReader<File>>> {
        match self.state().and_then(|state| state.file(JOURNAL, "opening the journal", OFlags::RDONLY)) {
            Ok(file) => Ok(Some(BufReader::with_capacity(1 << 16, file))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads a small file that [`Vault::keep`] wrote. `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self.state().and_then(|state| state.file(name, "opening", OFlags::RDONLY)) {
            Ok(file) => disk::read_whole(&file).map(Some).map_err(|e| e.on(self.folder.join(name))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes a small file that [`Vault::keep`] wrote. Was there one?
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
    pub(crate) fn discard(&self, name: &str) -> Result<bool> {
        let Some(_) = self.kept(name)? else { return Ok(false) };
        disk::remove_durably(self.state()?.dir(), name.as_ref()).map_err(|e| e.on(self.folder.join(name)))?;
        Ok(true)
    }

    /// Reads its journal; a vault that is not there has an empty one. While intents wait, their lines at its end may be
    /// torn (an end without its middle, say): these do not count, since an intent goes only after its line is flushed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] if a line was changed, removed or swapped; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
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
        match self.open_journal()? {
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
        match self.intents().and_then(|intents| Sheet::all(&intents)) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            sheets => Ok(sheets?.into_iter().flat_map(|sheet| sheet.intents).collect()),
        }
    }

    /// Keeps a small file in the vault's folder, durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        disk::create_durably(self.state()?, name, bytes, 0o600)
    }

    /// Creates the vault's folders where they are missing, takes its lock, and recovers every interrupted operation.
    ///
    /// An operation that can't be settled now does not keep the others from it: [`Writer::recovered`] has the outcomes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Busy`] if another run has the lock; [`ErrorKind::Io`] if the folder can't be created or written;
    /// [`ErrorKind::Damaged`] if the journal or an intent is.
    pub fn writer(&self) -> Result<Writer<'_>> {
        let mut writer = self.lock()?;
        writer.recovered = writer.recover()?;
        Ok(writer)
    }

    /// Takes the lock.
    fn lock(&self) -> Result<Writer<'_>> {
        self.make_folders()?;
        let path = self.folder.join(LOCK);
        let lock = self.state()?.file(LOCK, "opening the lock", OFlags::RDWR | OFlags::CREATE)?;
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
        Ok(Writer { vault: self, lock, was_torn: is_torn, tail, recovered: Vec::new() })
    }

    /// Makes the folders where they are missing, and makes their names last, up to the root: a backup whose folder is
    /// lost is lost. Without a lock file whoever made the folders was stopped before that was done.
    fn make_folders(&self) -> Result<()> {
        let made = match self.state() {
            Ok(state) => [OBJECTS, INTENTS].map(|name| state.folder(name).map(drop)).into_iter().collect(),
            Err(e) => Err(e),
        };
        let made = made.and_then(|()| self.state()?.file(LOCK, "opening the lock", OFlags::RDONLY).map(drop));
        match made {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            answer => return answer,
        }
        let another = |e: Error| e.remedy(Remedy::OtherStateFolder);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|e| another(Error::io("making the state folder", e).on(&self.folder)))?;
        let state = self.state()?;
        for name in [OBJECTS, INTENTS] {
            state.make_folder(name).map_err(another)?;
        }
        let failed = |e: std::io::Error| Error::io("looking for the state folder", e).on(&self.folder);
        let real = self.folder.canonicalize().map_err(failed)?;
        real.ancestors().try_for_each(disk::sync_folder)
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

    /// Refuses a file whose interrupted operation could not be settled.
    ///
    /// # Errors
    ///
    /// Those of [`recovery::must_be_settled`].
    pub fn must_be_settled(&self, path: &Path) -> Result<()> {
        recovery::must_be_settled(&self.recovered, path)
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
    pub(crate) fn note(&mut self, operation: journal::Operation, note: &str) -> Result<Entry> {
        let id = journal::new_id();
        let note = Some(note.to_owned());
        self.append(journal::News { id, operation, recovered: false, change: None, dropped: Vec::new(), note })
    }

    fn append(&mut self, news: journal::News) -> Result<Entry> {
        let mut entries = self.append_all(vec![news])?;
        entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a line of the journal was forgotten"))
    }

    fn append_all(&mut self, news: Vec<journal::News>) -> Result<Vec<Entry>> {
        self.tail.append(self.vault.state()?, news)
    }
}
