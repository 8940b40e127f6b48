//! Backups: complete files, each named by its SHA-256, so that `cp objects/<sha256>` restores one without this program.
//!
//! If the file system supports it, a backup shares its blocks with the module. On request, backups are compressed:
//! `objects/<sha256>.zst`, one Zstandard frame.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};

use crate::digest::{Sha256, sha256};
use crate::edit::{Differences, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::{LARGEST_FOREIGN, PrivateFolder};
use crate::vault::disk;
use crate::vault::layout::StateFolder;

/// The extension of a compressed backup.
pub(super) const COMPRESSED: &str = ".zst";

const READING: &str = "reading the backup";

/// The folder of the backups.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(super) folder: PathBuf,
    pub(super) state: StateFolder,
    /// Whether new backups are compressed.
    pub(super) compress: bool,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its name: the SHA-256 of the uncompressed contents.
    pub sha: Sha256,
    /// Whether it is a Zstandard frame.
    pub is_compressed: bool,
    /// Its size on disk, in bytes.
    pub size: u64,
}

impl Object {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{}{}", self.sha, if self.is_compressed { COMPRESSED } else { "" })
    }
}

impl Objects {
    /// The folder of the backups.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path that the backup with this SHA-256 has, or would have.
    pub fn path(&self, sha: Sha256) -> PathBuf {
        let [plain, compressed] = self.places(sha);
        if plain.exists() || !(self.compress || compressed.exists()) { plain } else { compressed }
    }

    fn places(&self, sha: Sha256) -> [PathBuf; 2] {
        [self.folder.join(sha.to_string()), self.folder.join(format!("{sha}{COMPRESSED}"))]
    }

    /// The contents of the backup with this SHA-256, plain or compressed, compared with its name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Damaged`] if its contents do not match its name,
    /// [`ErrorKind::Untrusted`] if another user could have written it.
    pub fn get(&self, sha: Sha256) -> Result<Vec<u8>> {
        // A small file of another user may decompress to very much.
        let most = if self.state.is_foreign { LARGEST_FOREIGN } else { u64::MAX };
        self.first_of(sha, |file, is_compressed| {
            let mut bytes = Vec::new();
            match is_compressed {
                true => zstd::Decoder::new(file)?.take(most).read_to_end(&mut bytes)?,
                false => file.take(most).read_to_end(&mut bytes)?,
            };
            Ok(if sha256(&bytes) == sha { Some(bytes) } else { None })
        })
    }

    /// The edits that turn `bytes` into the backup with this SHA-256; `None` if the backup has another length, or if more than `most` bytes
    /// differ. The backup is never completely in memory.
    ///
    /// # Errors
    ///
    /// Those of [`Objects::get`].
    pub(super) fn edits_of(&self, bytes: &[u8], sha: Sha256, most: usize) -> Result<Option<Vec<Edit>>> {
        self.first_of(sha, |file, is_compressed| {
            // The caller then reads the complete backup, which is compared with its name.
            if !is_compressed && file.metadata()?.len() != bytes.len() as u64 {
                return Ok(Some(None));
            }
            let mut differences = Differences::of(bytes, most);
            let found = hash_of(file, is_compressed, |piece| differences.push(piece))?;
            Ok(if found == sha { Some(differences.edits()) } else { None })
        })
    }

    /// All backups, sorted by SHA-256. Files with other names are not backups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read. A missing folder has no backups.
    pub fn all(&self) -> Result<Vec<Object>> {
        let folder = match self.open() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            folder => folder?,
        };
        let mut objects: Vec<Object> = Vec::new();
        for name in folder.names(|_| true)? {
            let Some(name) = name.to_str() else { continue };
            let (sha, is_compressed) = match name.strip_suffix(COMPRESSED) {
                Some(sha) => (sha, true),
                None => (name, false),
            };
            let Ok(sha) = sha.parse() else { continue };
            let stat = rustix::fs::statat(folder.dir(), name, AtFlags::SYMLINK_NOFOLLOW);
            let stat = stat.map_err(|e| Error::io("looking at the backup", e).on(self.folder.join(name)))?;
            let size = u64::try_from(stat.st_size).unwrap_or_default();
            objects.push(Object { sha, is_compressed, size });
        }
        objects.sort();
        Ok(objects)
    }

    /// Whether the contents of this backup match its name.
    pub fn is_whole(&self, object: &Object) -> bool {
        let file = self.open().and_then(|folder| folder.file(object.file_name(), READING, OFlags::RDONLY));
        file.is_ok_and(|file| hash_of(file, object.is_compressed, |_| ()).is_ok_and(|sha| sha == object.sha))
    }

    /// The path of the backup with this SHA-256, if its contents match its name. It is never completely in memory.
    ///
    /// # Errors
    ///
    /// Those of [`Objects::get`].
    pub fn check(&self, sha: Sha256) -> Result<PathBuf> {
        self.checked(sha).map(|(name, _)| self.folder.join(name))
    }

    /// As [`Objects::check`]: the file name, and the open file.
    pub(super) fn checked(&self, sha: Sha256) -> Result<(OsString, File)> {
        self.first_of(sha, |file, is_compressed| {
            let found = hash_of(file.try_clone()?, is_compressed, |_| ())?;
            let name = format!("{sha}{}", if is_compressed { COMPRESSED } else { "" });
            Ok(if found == sha { Some((name.into(), file)) } else { None })
        })
    }

    /// Opens the folder.
    pub(super) fn open(&self) -> Result<PrivateFolder> {
        self.state.objects()
    }

    /// Removes backups in either form, durably.
    pub(super) fn remove(&self, shas: &BTreeSet<Sha256>) -> Result<()> {
        let folder = self.open()?;
        for place in shas.iter().flat_map(|sha| self.places(*sha)) {
            disk::remove(folder.dir(), place.file_name().unwrap_or_default()).map_err(|e| e.on(&place))?;
        }
        disk::sync(folder.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(&self.folder))
    }

    /// Calls `read` with the plain backup, or, if that is missing or damaged, with the compressed one. `read` returns `None` if the contents
    /// do not match the name.
    fn first_of<R>(&self, sha: Sha256, read: impl Fn(File, bool) -> std::io::Result<Option<R>>) -> Result<R> {
        let [plain, compressed] = self.places(sha);
        let folder = self.open().map_err(|e| if e.kind() == ErrorKind::NotFound { e.on(&plain) } else { e })?;
        let open = |place: &Path| folder.file(place.file_name().unwrap_or_default(), READING, OFlags::RDONLY);
        let plain_failed = match open(&plain) {
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(e) => e,
            Ok(file) => match read(file, false) {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => damaged(plain),
                Err(e) => Error::io(READING, e).on(plain),
            },
        };
        let file = match open(&compressed) {
            Err(e) if e.kind() == ErrorKind::Untrusted => return Err(e),
            Err(_) => return Err(plain_failed),
            Ok(file) => file,
        };
        match read(file, true) {
            Ok(Some(read)) => Ok(read),
            // The compressed backup can't be read.
            Err(e) if e.raw_os_error().is_some() => Err(plain_failed),
            Ok(None) | Err(_) => Err(damaged(compressed)),
        }
    }
}

/// The SHA-256 of the uncompressed contents of a backup. Each piece is passed to `seen`.
fn hash_of(file: File, is_compressed: bool, seen: impl FnMut(&[u8])) -> std::io::Result<Sha256> {
    match is_compressed {
        true => disk::sha256_of_stream(zstd::Decoder::new(file)?, seen),
        false => disk::sha256_of_stream(file, seen),
    }
}

fn damaged(place: PathBuf) -> Error {
    Error::new(ErrorKind::Damaged, "the contents of this backup do not match its name").on(place)
}

/// Whether this is the name of a backup that was being written, plain or compressed.
pub(super) fn is_temporary(name: &str) -> bool {
    let name = name.strip_suffix(disk::TEMPORARY);
    name.is_some_and(|name| name.strip_suffix(COMPRESSED).unwrap_or(name).parse::<Sha256>().is_ok())
}
