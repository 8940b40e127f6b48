//! The cache folder: a [`PrivateFolder`] whose files are replaced and removed, perhaps by root with another user's
//! `XDG_CACHE_HOME`. It is opened once per use. A folder or file that another user could have written is not used.

use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::private_folder::PrivateFolder;

/// What the names of files begin with that are still being written.
const NEW: &str = ".new-";

/// The cache folder of facts.
#[derive(Debug)]
pub struct CacheFolder {
    folder: PrivateFolder,
}

/// A regular file in it, as its metadata tell.
pub(super) struct Entry {
    pub(super) name: String,
    /// In bytes.
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl CacheFolder {
    /// Opens it. `None` if it is not there, is a link, belongs to another user, or if others may write it: nothing is read
    /// from it then, and nothing is written.
    pub fn open(path: &Path) -> Option<CacheFolder> {
        Some(CacheFolder { folder: PrivateFolder::open(path).ok()? })
    }

    /// The same; it is made where it is missing.
    pub fn make(path: &Path) -> Option<CacheFolder> {
        if path.symlink_metadata().is_err() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
        }
        CacheFolder::open(path)
    }

    /// Reads a file. `None` if there is none, or no regular one.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Says that a file was asked for now.
    pub(super) fn touch(&self, name: &str) {
        let _ = self.file(name).map(|file| file.set_modified(SystemTime::now()));
    }

    fn file(&self, name: &str) -> Option<File> {
        self.folder.file(name, "opening a cached file", OFlags::RDONLY).ok()
    }

    /// Writes a file: all of it or nothing, and for its owner's eyes alone. `None` if that can't be done.
    pub fn write(&self, name: &str, parts: &[&[u8]]) -> Option<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let new = format!("{NEW}{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // A run of the same number that was killed left it.
        self.remove(&new);
        let dir = self.folder.dir().as_fd();
        let mut file = File::from(rustix::fs::openat(dir, &new, flags, Mode::RUSR | Mode::WUSR).ok()?);
        let written = parts.iter().try_for_each(|part| file.write_all(part)).ok();
        let named = written.and_then(|()| rustix::fs::renameat(dir, &new, dir, name).ok());
        if named.is_none() {
            self.remove(&new);
        }
        named
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) {
        let _ = rustix::fs::unlinkat(self.folder.dir(), name, AtFlags::empty());
    }

    /// The regular files in it.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for name in self.names() {
            let Ok(stat) = rustix::fs::statat(self.folder.dir(), &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
                let modified = SystemTime::UNIX_EPOCH.checked_add(seconds);
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                entries.push(Entry { name, size, modified: modified.unwrap_or(SystemTime::UNIX_EPOCH) });
            }
        }
        entries
    }

    /// All names in it that are UTF-8.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.folder.names(|_| true).unwrap_or_default();
        names.into_iter().filter_map(|name| name.into_string().ok()).collect()
    }
}

/// Is this the name of a file that [`CacheFolder::write`] was writing?
pub(super) fn is_new(name: &str) -> bool {
    let numbers = name.strip_prefix(NEW).and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// Is this a number in decimal digits?
pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
