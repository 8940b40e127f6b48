//! Backups: whole files, each under its own SHA-256, so that `cp objects/<sha256>` gives one back without this tool.

use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::module::sha256;
use crate::vault::disk;

/// The folder of the backups.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(super) folder: PathBuf,
}

impl Objects {
    /// Where the backup of this SHA-256 is, or would be.
    pub fn path(&self, sha: &str) -> PathBuf {
        self.folder.join(sha)
    }

    /// Keeps a backup of `bytes` and returns its SHA-256. One that is there already, and whole, is left as it is; but
    /// whoever made it may have been stopped before its name lasted, so it is flushed again.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<String> {
        let sha = sha256(bytes);
        match self.get(&sha) {
            Ok(_) => disk::sync_by_name(&self.path(&sha))?,
            Err(_) => disk::create_durably(&self.folder, &sha, bytes, 0o400)?,
        }
        Ok(sha)
    }

    /// The backup of this SHA-256, checked against its name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Damaged`] if its bytes are others.
    pub fn get(&self, sha: &str) -> Result<Vec<u8>> {
        let path = self.path(sha);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("reading the backup", e).on(&path))?;
        if sha256(&bytes) != sha {
            return Err(Error::new(ErrorKind::Damaged, "this backup's bytes are not those of its name").on(path));
        }
        Ok(bytes)
    }
}
