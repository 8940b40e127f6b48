//! Backups: whole files, each under its own SHA-256, so that `cp objects/<sha256>` gives one back without this tool.
//!
//! Where the file system can, a backup shares its blocks with the module that it is of. Where it is asked for, it is
//! compressed: `objects/<sha256>.zst`, one Zstandard frame.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};

use crate::digest::{Sha256, sha256};
use crate::edit::{Differences, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::disk;
use crate::vault::layout::StateFolder;

/// What the name of a compressed backup ends with.
pub(super) const COMPRESSED: &str = ".zst";

const READING: &str = "reading the backup";

/// The folder of the backups.
#[derive(Clone, Debug)]
pub struct Objects {
    pub(super) folder: PathBuf,
    pub(super) state: StateFolder,
    /// Are new ones compressed?
    pub(super) compress: bool,
}

/// One backup, as it lies there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its name: the SHA-256 of what it keeps.
    pub sha: Sha256,
    /// Is it a Zstandard frame?
    pub is_compressed: bool,
    /// Its size on disk, in bytes.
    pub size: u64,
}

impl Object {
    /// Its file's name in the folder of the backups.
    pub fn file_name(&self) -> String {
        format!("{}{}", self.sha, if self.is_compressed { COMPRESSED } else { "" })
    }
}

impl Objects {
    /// The folder that they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the backup of this SHA-256 is, or would be.
    pub fn path(&self, sha: Sha256) -> PathBuf {
        let [plain, compressed] = self.places(sha);
        if plain.exists() || !(self.compress || compressed.exists()) { plain } else { compressed }
    }

    fn places(&self, sha: Sha256) -> [PathBuf; 2] {
        [self.folder.join(sha.to_string()), self.folder.join(format!("{sha}{COMPRESSED}"))]
    }

    /// The backup of this SHA-256, plain or compressed, checked against its name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Damaged`] if its bytes are others, [`ErrorKind::Untrusted`] if
    /// another user could have written it.
    pub fn get(&self, sha: Sha256) -> Result<Vec<u8>> {
        self.first_of(sha, |mut file, is_compressed| {
            let mut bytes = Vec::new();
            match is_compressed {
                true => zstd::Decoder::new(file)?.read_to_end(&mut bytes)?,
                false => file.read_to_end(&mut bytes)?,
            };
            Ok(if sha256(&bytes) == sha { Some(bytes) } else { None })
        })
    }

    /// The edits that make the backup of this SHA-256 of `bytes`; `None` if it has another length, or more than `most` bytes
    /// differ. The backup is never in memory as a whole.
    ///
    /// # Errors
    ///
    /// Those of [`Objects::get`].
    pub(super) fn edits_of(&self, bytes: &[u8], sha: Sha256, most: usize) -> Result<Option<Vec<Edit>>> {
        self.first_of(sha, |file, is_compressed| {
            // Whoever then asks for all of it has it checked.
            if !is_compressed && file.metadata()?.len() != bytes.len() as u64 {
                return Ok(Some(None));
            }
            let mut differences = Differences::of(bytes, most);
            let found = hash_of(file, is_compressed, |piece| differences.push(piece))?;
            Ok(if found == sha { Some(differences.edits()) } else { None })
        })
    }

    /// What is kept, sorted by SHA-256; files of other names are no backups.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read. A folder that is not there has none.
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

    /// Are the bytes of this backup those of its name?
    pub fn is_whole(&self, object: &Object) -> bool {
        let file = self.open().and_then(|folder| folder.file(object.file_name(), READING, OFlags::RDONLY));
        file.is_ok_and(|file| hash_of(file, object.is_compressed, |_| ()).is_ok_and(|sha| sha == object.sha))
    }

    /// Is there a backup of this SHA-256, and whole? Where, then; it is never in memory as a whole.
    ///
    /// # Errors
    ///
    /// Those of [`Objects::get`].
    pub fn check(&self, sha: Sha256) -> Result<PathBuf> {
        self.checked(sha).map(|(name, _)| self.folder.join(name))
    }

    /// The same: its file name, and the open file.
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

    /// Takes backups away, in either form, durably.
    pub(super) fn remove(&self, shas: &BTreeSet<Sha256>) -> Result<()> {
        let folder = self.open()?;
        for place in shas.iter().flat_map(|sha| self.places(*sha)) {
            disk::remove(folder.dir(), place.file_name().unwrap_or_default()).map_err(|e| e.on(&place))?;
        }
        disk::sync(folder.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(&self.folder))
    }

    /// What `read` makes of the plain backup, or, where there is no whole one, of the compressed one. It answers `None` where
    /// the bytes are others.
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
            // It can't be read.
            Err(e) if e.raw_os_error().is_some() => Err(plain_failed),
            Ok(None) | Err(_) => Err(damaged(compressed)),
        }
    }
}

/// The SHA-256 of what a backup keeps, of which each piece is shown to `seen`.
fn hash_of(file: File, is_compressed: bool, seen: impl FnMut(&[u8])) -> std::io::Result<Sha256> {
    match is_compressed {
        true => disk::sha256_of_stream(zstd::Decoder::new(file)?, seen),
        false => disk::sha256_of_stream(file, seen),
    }
}

fn damaged(place: PathBuf) -> Error {
    Error::new(ErrorKind::Damaged, "this backup's bytes are not those of its name").on(place)
}

/// Is this the name of a backup that was being written, plain or compressed?
pub(super) fn is_temporary(name: &str) -> bool {
    let name = name.strip_suffix(disk::TEMPORARY);
    name.is_some_and(|name| name.strip_suffix(COMPRESSED).unwrap_or(name).parse::<Sha256>().is_ok())
}
