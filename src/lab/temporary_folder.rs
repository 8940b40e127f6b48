//! The lab's temporary folders, with a guest's memory and sockets. A killed run leaves its folder, and the next run
//! removes it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tempfile::TempDir;

use crate::error::{Error, Result};

/// The beginning of the folders' names.
const PREFIX: &str = "kmodlab-lab-";

/// The file in each folder that is locked as long as its run lives.
const LOCK: &str = "lock";

/// A folder of this run.
#[derive(Debug)]
pub(super) struct TemporaryFolder {
    folder: TempDir,
    /// Keeps the lock.
    _lock: File,
}

impl TemporaryFolder {
    /// Creates a folder, and removes those of runs that have ended.
    pub(super) fn new() -> Result<TemporaryFolder> {
        sweep(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir();
        let folder = folder.map_err(|e| Error::io("making a temporary folder", e).on(std::env::temp_dir()))?;
        let io = |e| Error::io("locking a temporary folder", e).on(folder.path());
        let lock = File::create(folder.path().join(LOCK)).map_err(io)?;
        lock.lock().map_err(io)?;
        Ok(TemporaryFolder { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders of this user that are not locked.
fn sweep(temporary: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(temporary).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_own = || path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        if !is_named || !is_own() {
            continue;
        }
        // A folder without a lock file is just being created.
        let Ok(lock) = File::open(path.join(LOCK)) else { continue };
        if !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_ended_runs_are_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let folder = temporary.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let lock = File::create(folder.join(LOCK)).unwrap();
            (folder, lock)
        };
        let (dead, _) = make("kmodlab-lab-dead");
        let (living, lock) = make("kmodlab-lab-living");
        lock.lock().unwrap();
        let (other, _) = make("somebody-else");
        sweep(temporary.path());
        assert_eq!((dead.exists(), living.exists(), other.exists()), (false, true, true));
    }
}
