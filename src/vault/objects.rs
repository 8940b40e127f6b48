//! Backups: complete files, each named by its SHA-256, so that `cp objects/<sha256>` restores one without this program.
//!
//! If the file system supports it, a backup shares its blocks with the module. On request, backups are compressed:
//! `objects/<sha256>.zst`, one Zstandard frame.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use crate::digest::{Sha256, sha256};
use crate::edit::{Differences, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::{LARGEST_FOREIGN, PrivateFolder};
use crate::vault::disk;
use crate::vault::layout::StateFolder;

/// The extension of a compressed backup.
pub(super) const COMPRESSED: &str = ".zst";

const READING: &str = "reading the backup";

/// The largest backup whose size no line of the journal says, in bytes. No kernel reads a larger module (INT_MAX, kernel/module/main.c).
pub(super) const LARGEST: u64 = i32::MAX as u64;

/// So many bytes of a backup are read before its recorded size is asked for, and before it is compared with its name.
const FIRST: u64 = 8 << 20;

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

/// The names of backups: the first eight bytes of each, which tell them apart unless somebody chose them.
#[derive(Debug, Default)]
pub(crate) struct BackupNames(HashSet<u64>);

impl BackupNames {
    /// Whether a backup with this SHA-256 may be there. If not, it is not there.
    pub(super) fn may_have(&self, sha: Sha256) -> bool {
        self.0.contains(&BackupNames::key(sha))
    }

    fn key(sha: Sha256) -> u64 {
        sha.as_bytes().first_chunk().copied().map_or(0, u64::from_ne_bytes)
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

    /// The size up to which a backup of at most this size is read: of another user's state the journal may be made up too.
    fn most(&self, size: u64) -> u64 {
        if self.state.is_foreign { size.min(LARGEST_FOREIGN) } else { size }
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
        self.get_up_to(sha, LARGEST)
    }

    /// As [`Objects::get`], of a backup that has at most this size. A small file may have a large hole, or decompress to very much: a backup
    /// that is not small is compared with its name before it is in memory.
    pub(super) fn get_up_to(&self, sha: Sha256, most: u64) -> Result<Vec<u8>> {
        let most = self.most(most);
        let limit = most.saturating_add(1);
        self.first_of(sha, |mut file, is_compressed| {
            let read = |file: &File, limit: u64| {
                let mut bytes = Vec::new();
                contents(file, is_compressed)?.take(limit).read_to_end(&mut bytes)?;
                std::io::Result::Ok(bytes)
            };
            let mut bytes = read(&file, limit.min(FIRST))?;
            if bytes.len() as u64 == FIRST {
                drop(bytes);
                file.rewind()?;
                if hash_of(&file, is_compressed, &|| most, |_| ())? != sha {
                    return Ok(None);
                }
                file.rewind()?;
                bytes = read(&file, limit)?;
            }
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
            let (mut differences, mut length) = (Differences::of(bytes, most), 0);
            let expected = bytes.len() as u64;
            let found = hash_of(&file, is_compressed, &|| expected, |piece| {
                length += piece.len() as u64;
                differences.push(piece);
            })?;
            if length > expected {
                return Ok(Some(None));
            }
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

    /// The names of the backups, for many questions. A backup that a line of the journal names was there before the line, so the journal is read
    /// first.
    ///
    /// # Errors
    ///
    /// As [`Objects::all`].
    pub(crate) fn names(&self) -> Result<BackupNames> {
        let mut names = BackupNames::default();
        let folder = match self.open() {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(names),
            folder => folder?,
        };
        let _none = folder.names(|name| {
            let name = name.to_str().map(|name| name.strip_suffix(COMPRESSED).unwrap_or(name));
            names.0.extend(name.and_then(|name| name.parse().ok()).map(BackupNames::key));
            false
        })?;
        Ok(names)
    }

    /// The error of a backup that is not there.
    pub(super) fn missing(&self, sha: Sha256) -> Error {
        Error::io(READING, Errno::NOENT).on(self.folder.join(sha.to_string()))
    }

    /// Whether the contents of this backup match its name.
    pub fn is_whole(&self, object: &Object) -> bool {
        self.is_whole_up_to(object, LARGEST)
    }

    /// As [`Objects::is_whole`], of a backup that has at most this size.
    pub(super) fn is_whole_up_to(&self, object: &Object, most: u64) -> bool {
        let file = self.open().and_then(|folder| folder.file(object.file_name(), READING, OFlags::RDONLY));
        let found = |file: File| hash_of(&file, object.is_compressed, &|| self.most(most), |_| ());
        file.is_ok_and(|file| found(file).is_ok_and(|sha| sha == object.sha))
    }

    /// The path of the backup with this SHA-256, if its contents match its name. It is never completely in memory.
    ///
    /// # Errors
    ///
    /// Those of [`Objects::get`].
    pub fn check(&self, sha: Sha256) -> Result<PathBuf> {
        self.checked(sha, &|| LARGEST).map(|(name, _)| self.folder.join(name))
    }

    /// As [`Objects::check`]: the file name, and the open file. `most` returns the size that the backup has at most; it is called if the
    /// backup is not small.
    pub(super) fn checked(&self, sha: Sha256, most: &dyn Fn() -> u64) -> Result<(OsString, File)> {
        self.first_of(sha, |file, is_compressed| {
            let found = hash_of(&file, is_compressed, &|| self.most(most()), |_| ())?;
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

/// The uncompressed contents of a backup.
fn contents<'f>(file: &'f File, is_compressed: bool) -> std::io::Result<Box<dyn Read + 'f>> {
    Ok(if is_compressed { Box::new(zstd::Decoder::new(file)?) } else { Box::new(file) })
}

/// The SHA-256 of the uncompressed contents of a backup. Of one that is longer than `most` returns, only one byte more is read, so that
/// the result is another; `most` is called if the backup is not small. Each piece is passed to `seen`.
fn hash_of(
    file: &File,
    is_compressed: bool,
    most: &dyn Fn() -> u64,
    seen: impl FnMut(&[u8]),
) -> std::io::Result<Sha256> {
    disk::sha256_of_stream(Limited { contents: contents(file, is_compressed)?, read: 0, most, limit: None }, seen)
}

/// The first bytes of a stream: at most one more than `most` returns, or those that are read before it is called.
struct Limited<'m, R> {
    contents: R,
    /// How many bytes were read.
    read: u64,
    most: &'m dyn Fn() -> u64,
    /// The result of `most`, once it was needed.
    limit: Option<u64>,
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        let limit = match self.limit {
            None if self.read < FIRST => FIRST,
            limit => limit.unwrap_or_else(|| (self.most)().saturating_add(1)),
        };
        if self.read >= FIRST {
            self.limit = Some(limit);
        }
        let left = usize::try_from(limit.saturating_sub(self.read)).unwrap_or(usize::MAX).min(room.len());
        let read = self.contents.read(room.get_mut(..left).unwrap_or_default())?;
        self.read += read as u64;
        Ok(read)
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
