//! The parts of the state folder, and how they are opened and created.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::OFlags;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::disk;

/// The folder of the backups.
const OBJECTS: &str = "objects";

/// The folder of the intents.
const INTENTS: &str = "intents";

/// The journal.
pub(super) const JOURNAL: &str = "journal.jsonl";

/// The journal's copy.
pub(super) const COPY: &str = "journal.copy.jsonl";

/// The name of a journal that is being written, to take the place of the journal.
pub(super) fn temporary_journal() -> String {
    temporary(JOURNAL)
}

/// The name of a file that is being written, to take the place of the file with this name.
pub(super) fn temporary(name: &str) -> String {
    format!("{name}{}", disk::TEMPORARY)
}

/// Whether a file with this name is a journal or a copy that was being written.
pub(super) fn is_temporary_journal(name: &str) -> bool {
    [JOURNAL, COPY].iter().any(|of| name.strip_suffix(disk::TEMPORARY) == Some(of))
}

/// The file whose lock the writer holds.
pub(super) const LOCK: &str = "lock";

/// The state folder, which need not exist yet.
#[derive(Clone, Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    /// Whether another user may own or write it, so that it is only read.
    pub(super) is_foreign: bool,
    /// The folder, once it was opened and everything in it was checked.
    opened: Arc<OnceLock<PrivateFolder>>,
    /// The folder of the backups, once it was opened.
    objects: Arc<OnceLock<PrivateFolder>>,
}

impl StateFolder {
    /// The state folder with this path.
    pub(super) fn at(path: PathBuf) -> StateFolder {
        StateFolder { path, is_foreign: false, opened: Arc::default(), objects: Arc::default() }
    }

    /// The state folder with this path, which another user may own or write. It can only be read.
    pub(super) fn foreign(path: PathBuf) -> StateFolder {
        StateFolder { is_foreign: true, ..StateFolder::at(path) }
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, opened, with everything in it checked. From then on the open folder is used, whatever has its path.
    ///
    /// # Errors
    ///
    /// Those of [`PrivateFolder::open`] and [`PrivateFolder::check_all`].
    pub(super) fn open(&self) -> Result<&PrivateFolder> {
        if let Some(state) = self.opened.get() {
            return Ok(state);
        }
        let state = match self.is_foreign {
            true => PrivateFolder::open_foreign(&self.path)?,
            false => PrivateFolder::open(&self.path)?,
        };
        state.check_all()?;
        for name in [OBJECTS, INTENTS] {
            match state.folder(name) {
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                folder => folder?.check_all()?,
            }
        }
        Ok(self.opened.get_or_init(|| state))
    }

    /// The folder of the backups, opened. From then on the open folder is used, whatever has its path.
    pub(super) fn objects(&self) -> Result<PrivateFolder> {
        if let Some(objects) = self.objects.get() {
            return Ok(objects.clone());
        }
        let objects = self.open()?.folder(OBJECTS)?;
        Ok(self.objects.get_or_init(|| objects).clone())
    }

    /// The path of the folder of the backups.
    pub(super) fn objects_path(&self) -> PathBuf {
        self.path.join(OBJECTS)
    }

    /// The folder of the intents, opened.
    pub(super) fn intents(&self) -> Result<PrivateFolder> {
        self.open()?.folder(INTENTS)
    }

    /// Creates the missing folders and flushes their names, up to the root: a backup whose folder is lost is lost. If there is no
    /// lock file, whoever created the folders was stopped before the names were flushed.
    pub(super) fn create(&self) -> Result<()> {
        if self.is_foreign {
            let error = Error::new(ErrorKind::Untrusted, "the state folder of another user is only read");
            return Err(error.on(&self.path).remedy(Remedy::OwnStateFolder));
        }
        let made = match self.open() {
            Ok(state) => [OBJECTS, INTENTS].map(|name| state.folder(name).map(drop)).into_iter().collect(),
            Err(e) => Err(e),
        };
        let made = made.and_then(|()| self.open()?.file(LOCK, "opening the lock", OFlags::RDONLY).map(drop));
        match made {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            answer => return answer,
        }
        let another = |e: Error| e.remedy(Remedy::OtherStateFolder);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|e| another(Error::io("creating the state folder", e).on(&self.path)))?;
        let state = self.open()?;
        for name in [OBJECTS, INTENTS] {
            state.make_folder(name).map_err(another)?;
        }
        let failed = |e: std::io::Error| Error::io("resolving the state folder", e).on(&self.path);
        let real = self.path.canonicalize().map_err(failed)?;
        real.ancestors().try_for_each(disk::sync_folder)
    }
}
