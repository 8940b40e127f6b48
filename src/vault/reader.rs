//! The vault, for reading: backups, journal, and the intents that wait.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::door::internal_fn;
use crate::error::{ErrorKind, Result};
use crate::vault::disk;
use crate::vault::intent::Intent;
use crate::vault::journal::{Journal, JournalLine};
use crate::vault::layout::StateFolder;
use crate::vault::objects::Objects;
use crate::vault::parts::{self, JournalRead};
use crate::vault::record::RunRecord;
use crate::vault::segment::{DamagedIntent, IntentSegment};
use crate::vault::system_root::SystemRoot;

/// The largest small file, in bytes.
const LARGEST_KEPT: u64 = 1 << 20;

/// The vault: the state folder with backups, journal and intents. This type only reads.
///
/// ```
/// use kmodlab::Vault;
/// # let home = tempfile::tempdir().unwrap();
///
/// // Naming a folder makes nothing there. A writer does: it takes the lock, and finishes what another run left.
/// let vault = Vault::at(home.path().canonicalize().unwrap().join("kmodlab"));
/// assert!(!vault.is_there());
/// let writer = vault.writer()?;
/// assert!(vault.is_there() && writer.recovered().is_empty());
/// # drop(writer);
///
/// // A folder that others may write is refused, whatever is in it.
/// use std::os::unix::fs::PermissionsExt;
/// std::fs::set_permissions(vault.folder(), std::fs::Permissions::from_mode(0o777)).unwrap();
/// assert_eq!(Vault::at(vault.folder()).must_be_trusted().unwrap_err().kind(), kmodlab::ErrorKind::Untrusted);
/// # Ok::<(), kmodlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Vault {
    pub(super) state: StateFolder,
    compress: bool,
    /// The run, for the lines that it writes.
    pub(super) run: Option<Arc<RunRecord>>,
    /// The root folder of the system whose state this is, if that is not this one.
    pub(super) root: Option<SystemRoot>,
}

impl Vault {
    /// The vault in a folder, which need not exist yet.
    pub fn at(folder: impl Into<PathBuf>) -> Vault {
        Vault { state: StateFolder::at(folder.into()), compress: false, run: None, root: None }
    }

    /// The vault in a folder that another user may own or write. It is only read: no [`Vault::writer`] can be had.
    pub(crate) fn foreign(folder: impl Into<PathBuf>) -> Vault {
        Vault { state: StateFolder::foreign(folder.into()), compress: false, run: None, root: None }
    }

    /// The same vault, as the state of the system with this root folder: paths in its journal are seen below the root folder.
    #[must_use]
    pub(crate) fn of_system(self, root: Option<SystemRoot>) -> Vault {
        Vault { root, ..self }
    }

    /// The same vault, with new backups compressed or not.
    #[must_use]
    pub fn compressing(self, compress: bool) -> Vault {
        Vault { compress, ..self }
    }

    internal_fn! {
        /// The same vault. The lines that its writer appends name this run.
        fn recording(self, run: RunRecord) -> Vault {
            Vault { run: Some(Arc::new(run)), ..self }
        }
    }

    /// The same vault. The lines that its writer appends have this message too.
    #[must_use]
    pub(crate) fn with_message(self, message: Option<&str>) -> Vault {
        let Some(message) = message else { return self };
        let run = self.run.as_deref().cloned().unwrap_or_default();
        Vault { run: Some(Arc::new(RunRecord { message: Some(message.to_owned()), ..run })), ..self }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.state.path()
    }

    /// The folder for temporary files: the vault's own, except for another user's.
    pub(crate) fn temporary_folder(&self) -> Option<&Path> {
        Some(self.folder()).filter(|_| !self.state.is_foreign)
    }

    /// Whether the folder exists. One whose metadata can't be read exists.
    pub fn is_there(&self) -> bool {
        !matches!(self.folder().symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
    }

    /// Refuses a state folder in which another user could have written something: see SAFETY.md. Every other call that opens the folder refuses
    /// it too. A missing folder is accepted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`] if it can't be looked at.
    pub fn must_be_trusted(&self) -> Result<()> {
        match self.state.open() {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    internal_fn! {
        /// Its backups.
        fn objects(&self) -> Objects {
            Objects { folder: self.state.objects_path(), state: self.state.clone(), compress: self.compress }
        }
    }

    internal_fn! {
        /// Reads a small file that [`Vault::keep`] wrote. `None` if there is none.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
        fn kept(&self, name: &str) -> Result<Option<Vec<u8>>> {
            match self.state.open().and_then(|state| state.file(name, "opening", OFlags::RDONLY)) {
                Ok(file) => disk::read_text(&file, LARGEST_KEPT).map(Some).map_err(|e| e.on(self.folder().join(name))),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        }
    }

    /// Removes a small file that [`Vault::keep`] wrote. Was there one?
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
    pub(crate) fn discard(&self, name: &str) -> Result<bool> {
        let Some(_) = self.kept(name)? else { return Ok(false) };
        disk::remove_durably(self.state.open()?.dir(), name.as_ref()).map_err(|e| e.on(self.folder().join(name)))?;
        Ok(true)
    }

    internal_fn! {
        /// Reads its journal; a missing vault has an empty one. Of a damaged journal the lines that are left are read. While intents are
        /// pending, their lines at the end of the journal may be incomplete in any way. These lines are ignored, because an intent is removed
        /// only after its line is flushed.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
        fn journal(&self) -> Result<Journal> {
            let mut entries = Vec::new();
            let end = self.go_through(|line| entries.push(line.entry))?.end;
            Ok(Journal { entries, is_torn: end.is_torn, damage: end.tail.damage })
        }
    }

    /// Reads all lines of the journal that are left.
    pub(super) fn go_through(&self, mut each: impl FnMut(JournalLine)) -> Result<JournalRead> {
        let state = match self.state.open() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(JournalRead::default()),
            state => state?,
        };
        let pending = || self.pending().unwrap_or_default().into_iter().map(|intent| intent.id).collect();
        let Some(root) = &self.root else { return parts::read(state, &pending, each) };
        let each = |line: JournalLine| each(JournalLine { entry: root.entry(line.entry), ..line });
        Ok(parts::read(state, &pending, each)?.below(root.clone()))
    }

    internal_fn! {
        /// The intents of writes in progress or of interrupted operations.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`]. Intents that can't be read are left out.
        fn pending(&self) -> Result<Vec<Intent>> {
            match self.state.intents().and_then(|intents| IntentSegment::all(&intents, self.root.as_ref())) {
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                announced => Ok(announced?.segments.into_iter().flat_map(|segment| segment.intents).collect()),
            }
        }
    }

    /// Whether there are intents, readable or not. They are not read: an interrupted run may have left very many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
    pub(crate) fn has_intents(&self) -> Result<bool> {
        match self.state.intents().and_then(|intents| IntentSegment::names(&intents)) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            names => names.map(|names| !names.is_empty()),
        }
    }

    internal_fn! {
        /// The files with intents that can't be read, or that this program never wrote. Nothing is done about them.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Untrusted`] or [`ErrorKind::Io`].
        fn damaged_intents(&self) -> Result<Vec<DamagedIntent>> {
            match self.state.intents().and_then(|intents| IntentSegment::all(&intents, self.root.as_ref())) {
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                announced => Ok(announced?.damaged),
            }
        }
    }

    /// Writes a small file in the vault's folder durably.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        disk::create_durably(self.state.open()?, name, bytes, 0o600)
    }
}
