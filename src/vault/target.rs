//! The file to write: opened so that it can only be the file that was inspected.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::budget::DEFAULT_MAX_SIZE;
use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::module::file::{open_unnoticed, within};
use crate::vault::beneath::open_beneath;
use crate::vault::disk;
use crate::vault::metadata::Metadata;
use crate::vault::obstacle;

/// The real path of a file: its folder with all links resolved, then its own name. The file itself is not followed: a
/// module that is a symbolic link is a guard's business.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] for the folder, [`ErrorKind::Usage`] for a path without a file's name.
pub fn real_path(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::new(ErrorKind::Usage, "names no file").on(path))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|e| Error::io("looking for its folder", e).on(path))?;
    Ok(folder.join(name))
}

/// A file that was opened for writing, locked, and read, with everything that identifies it at that moment.
pub struct Target {
    /// Its real path.
    pub path: PathBuf,
    /// The open file, locked against other runs.
    pub file: File,
    /// Its contents in memory. All decisions are based on them.
    pub bytes: Vec<u8>,
    /// Its size in bytes when it was read.
    size: u64,
    sha: OnceLock<Sha256>,
    /// Its metadata before it was read.
    pub metadata: Metadata,
    /// Device and inode number.
    pub identity: (u64, u64),
    /// When it was last changed, in seconds and nanoseconds since the epoch.
    changed: (i64, i64),
}

/// Detects writes to a file without reading it: every write changes the ctime, which no program can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    identity: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds since the epoch.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileStamp {
    /// Whether the last change is so old that another one would have another time. The clocks of file systems have a resolution of
    /// milliseconds, or of seconds.
    fn is_at_rest(&self) -> bool {
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        (2..i64::MAX / 2).contains(&now.saturating_sub(self.changed.0))
    }
}

impl Target {
    /// The stamp that later shows whether somebody wrote to the file since it was opened; `None` if it was changed so recently that another
    /// write might not show.
    pub fn stamp(&self) -> Option<FileStamp> {
        Some(self.stamp_now()).filter(FileStamp::is_at_rest)
    }

    fn stamp_now(&self) -> FileStamp {
        let modified = self.metadata.modified;
        let modified = (modified.seconds, modified.nanoseconds);
        FileStamp { identity: self.identity, size: self.size, modified, changed: self.changed }
    }

    /// Uses this SHA-256 instead of computing it, if the file still has the stamp that it had when the digest was computed. (A wrong digest
    /// would be detected when the backup is read back, or the file is verified.)
    pub fn trust(&self, stamp: FileStamp, sha: Sha256) {
        if self.stamp_now() == stamp {
            let _ = self.sha.set(sha);
        }
    }

    /// Opens `path` (a real path, see [`real_path`]) for reading and writing, without following any link, locks it and
    /// reads it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] if it has obstacles; [`ErrorKind::Busy`] if another run has it locked;
    /// [`ErrorKind::TooLarge`] beyond 1 GiB, before anything is read; [`ErrorKind::Changed`] or [`ErrorKind::Io`] otherwise.
    pub fn open(path: &Path) -> Result<Target> {
        obstacle::must_be_writable(path)?;
        let named = |e: Error| e.on(path);
        let file = open_beneath(path, OFlags::RDWR).map_err(|e| Error::io("opening for writing", e)).map_err(named)?;
        file.try_lock()
            .map_err(|e| match e {
                std::fs::TryLockError::WouldBlock => Error::new(ErrorKind::Busy, "another run is writing this file")
                    .hint("wait until it ends, then try again"),
                std::fs::TryLockError::Error(e) => Error::io("locking", e),
            })
            .map_err(named)?;
        Target::of(path, file).map_err(named)
    }

    /// Reads an open file.
    fn of(path: &Path, file: File) -> Result<Target> {
        let metadata = Metadata::of(&file)?;
        let seen = file.metadata().map_err(|e| Error::io("looking at the file", e))?;
        within(seen.len(), DEFAULT_MAX_SIZE)?;
        let bytes = disk::read_whole(&file)?;
        Ok(Target {
            path: path.to_owned(),
            file,
            size: bytes.len() as u64,
            bytes,
            sha: OnceLock::new(),
            metadata,
            identity: (seen.dev(), seen.ino()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }

    /// Opens `path` for reading only, for a change that creates a new file. Links are followed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`] for what is no regular file; [`ErrorKind::TooLarge`] beyond 1 GiB; [`ErrorKind::Changed`] or
    /// [`ErrorKind::Io`].
    pub fn open_for_reading(path: &Path) -> Result<Target> {
        let named = |e: Error| e.on(path);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = open_unnoticed(path, flags).map_err(|e| Error::io("opening", e)).map_err(named)?;
        if !file.metadata().is_ok_and(|m| m.is_file()) {
            return Err(Error::new(ErrorKind::NotAModule, "not a regular file").on(path));
        }
        Target::of(path, file).map_err(named)
    }

    /// Opens a file as [`Target::open`] does; `None` if no file has this path.
    ///
    /// # Errors
    ///
    /// Those of [`Target::open`], except for a file that does not exist.
    pub fn open_if_there(path: &Path) -> Result<Option<Target>> {
        match obstacle::is_gone(path) {
            true => Ok(None),
            false => Target::open(path).map(Some),
        }
    }

    /// The file that is created at a real path, where there is none, from the backup of its original: the backup's bytes, and the
    /// metadata of the original.
    pub(super) fn of_backup(path: &Path, backup: File, bytes: Vec<u8>, metadata: Metadata) -> Result<Target> {
        let seen = backup.metadata().map_err(|e| Error::io("reading the metadata of the backup", e))?;
        Ok(Target {
            path: path.to_owned(),
            file: backup,
            size: bytes.len() as u64,
            bytes,
            sha: OnceLock::new(),
            metadata,
            identity: (seen.dev(), seen.ino()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }

    /// The SHA-256 of its contents, computed once.
    pub fn sha256(&self) -> Sha256 {
        *self.sha.get_or_init(|| sha256(&self.bytes))
    }

    /// Its size in bytes when it was read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Frees the contents after everything is decided, so that a group of thousands does not hold them all.
    pub(super) fn forget_bytes(&mut self) {
        self.sha256();
        self.bytes = Vec::new();
    }

    /// Checks that descriptor and path still refer to the same file, with the same size and modification time.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if not, with nothing written.
    pub fn look_again(&self) -> Result<()> {
        let at_path = self.path.symlink_metadata().map_err(|e| Error::io("looking again", e).on(&self.path))?;
        let by_descriptor = self.file.metadata().map_err(|e| Error::io("looking again", e).on(&self.path))?;
        let pinned = |m: &std::fs::Metadata| {
            (m.dev(), m.ino()) == self.identity
                && m.is_file()
                && m.nlink() == 1
                && m.len() == self.size
                && (m.mtime(), m.mtime_nsec()) == (self.metadata.modified.seconds, self.metadata.modified.nanoseconds)
        };
        if pinned(&at_path) && pinned(&by_descriptor) {
            return Ok(());
        }
        let what = "changed or was replaced since it was read; nothing was written";
        Err(Error::new(ErrorKind::Changed, what).hint("try again when nothing writes to it").on(&self.path))
    }
}

impl Drop for Target {
    /// Releases the lock even if a child process, between fork and exec, holds a copy of the descriptor.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Device and inode number of an open file.
pub(crate) fn identity(file: &File) -> Result<(u64, u64)> {
    let meta = file.metadata().map_err(|e| Error::io("looking at the file", e))?;
    Ok((meta.dev(), meta.ino()))
}
