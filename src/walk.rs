//! The directory walk: files in and below a directory, sorted, with little memory and few system calls for a tree of thousands.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::module::is_module_name;

/// The greatest depth of directories below the first. Module trees have a tenth of it; a file system that is built to be
/// endless has more.
const DEPTH: usize = 64;

/// The size of the buffer for getdents64(2), in bytes. A file name has at most 255 bytes.
const BUFFER: usize = 1 << 15;

/// Which files a [`Walk`] finds, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Does the walk find a regular file with this name, at this depth (0 is the first directory)?
    pub wanted: fn(&OsStr, usize) -> bool,
    /// The greatest depth of directories; a deeper one is an error.
    pub depth: usize,
    /// The most directory entries that are read, of any kind. The walk then ends without an error.
    pub entries: usize,
    /// Does the walk stay on the file system of the first directory?
    pub one_file_system: bool,
}

impl Scope {
    /// All module files, up to 64 directories deep, across file systems.
    pub const MODULES: Scope =
        Scope { wanted: |name, _| is_module_name(name), depth: DEPTH, entries: usize::MAX, one_file_system: false };
}

/// An iterator over the regular files of a [`Scope`] in a directory and in the directories below it, sorted by the components
/// of their paths. It does not follow symbolic links, so `build` and `source` of a module tree lead nowhere; the first
/// directory itself may be given by a link.
///
/// A directory without any wanted file below it, and one that cannot be read, are one error each.
///
/// Between two calls no file is open, so each call may be made on another thread, even if threads have descriptor tables of
/// their own.
pub struct Walk {
    /// The first directory.
    top: Arc<Path>,
    scope: Scope,
    is_begun: bool,
    /// The directories between the first and the current one, from the top down.
    pending: Vec<PendingDirectory>,
    /// Was anything returned, be it an error?
    is_any: bool,
    /// How many entries may still be read.
    entries_left: usize,
    /// The file system of the first directory (st_dev).
    device: Option<u64>,
    buffer: Vec<MaybeUninit<u8>>,
}

/// Does a walk over the modules in and below this directory, given by its real path, find a module at this path?
pub fn finds(top: &Path, path: &Path) -> bool {
    let depth = path.strip_prefix(top).map_or(usize::MAX, |below| below.components().count());
    let is_file = || path.symlink_metadata().is_ok_and(|meta| meta.is_file());
    // Not reached through a link.
    let is_real = || path.canonicalize().is_ok_and(|real| real == path);
    depth <= DEPTH + 1 && path.file_name().is_some_and(is_module_name) && is_file() && is_real()
}

/// A directory of a walk, and the names of the wanted entries in it.
pub struct WalkedDirectory {
    top: Arc<Path>,
    path: PathBuf,
    names: Vec<u8>,
}

impl WalkedDirectory {
    /// Its path: the path of the first directory, and the names below it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The first directory of the walk.
    pub fn top(&self) -> &Arc<Path> {
        &self.top
    }

    /// Opens it for this thread, if it still exists.
    pub fn open(&self) -> Option<OpenDirectory> {
        // The first directory may be given by a link.
        let flags = if *self.path == *self.top { OFlags::empty() } else { OFlags::NOFOLLOW };
        open(&self.path, flags | OFlags::PATH).ok()
    }

    fn name(&self, range: &Range<usize>) -> &OsStr {
        OsStr::from_bytes(self.names.get(range.clone()).unwrap_or_default())
    }
}

/// An open directory. It is not `Send`: other threads may have descriptor tables of their own.
pub struct OpenDirectory {
    descriptor: OwnedFd,
    not_send: PhantomData<*const ()>,
}

impl OpenDirectory {
    /// The directory itself, wherever its path leads by now.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A file that a walk found. Its path is built on demand: of some thousand files few are printed.
pub struct WalkedFile {
    directory: Arc<WalkedDirectory>,
    name: Range<usize>,
    /// The directory, if it was just opened for this file.
    open: Option<OpenDirectory>,
}

impl WalkedFile {
    /// Takes the directory that contains the file, if it was just opened for it, so that its path need not be resolved again.
    pub fn take_open(&mut self) -> Option<OpenDirectory> {
        self.open.take()
    }

    /// The directory that contains the file.
    pub fn directory(&self) -> &Arc<WalkedDirectory> {
        &self.directory
    }

    /// Its name in that directory.
    pub fn name(&self) -> &OsStr {
        self.directory.name(&self.name)
    }

    /// Its path: the directory's, and the name.
    pub fn path(&self) -> PathBuf {
        self.directory.path.join(self.name())
    }
}

/// A directory with the entries that are still to be visited, the next one last.
struct PendingDirectory {
    directory: Arc<WalkedDirectory>,
    entries: Vec<WantedEntry>,
}

struct WantedEntry {
    is_directory: bool,
    /// Where its name is among the directory's names.
    name: Range<usize>,
}

impl Walk {
    /// A walk over the module files in and below a directory. Nothing is opened yet.
    pub fn modules(directory: PathBuf) -> Walk {
        Walk::new(directory, Scope::MODULES)
    }

    /// A walk over the files of a scope. Nothing is opened yet.
    pub fn new(directory: PathBuf, scope: Scope) -> Walk {
        Walk {
            top: Arc::from(directory),
            scope,
            is_begun: false,
            pending: Vec::new(),
            is_any: false,
            entries_left: scope.entries,
            device: None,
            buffer: vec![MaybeUninit::uninit(); BUFFER],
        }
    }

    /// The next file, with the directory that contains it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] and related kinds for a directory that cannot be read, [`ErrorKind::Unsupported`] for one that is too
    /// deep, [`ErrorKind::NotFound`] if the walk found nothing at all.
    pub fn next_file(&mut self) -> Option<Result<WalkedFile>> {
        let mut open = None;
        if !std::mem::replace(&mut self.is_begun, true) {
            match self.enter(self.top.to_path_buf(), OFlags::empty()) {
                Ok(entered) => open = entered,
                Err(error) => return Some(self.failed(error)),
            }
        }
        loop {
            let PendingDirectory { directory, entries } = self.pending.last_mut()?;
            let Some(entry) = entries.pop() else {
                open = None;
                let done = self.pending.pop()?.directory;
                if self.pending.is_empty() && !self.is_any {
                    return Some(Err(Error::new(ErrorKind::NotFound, "no module in this folder").on(done.path())));
                }
                continue;
            };
            if !entry.is_directory {
                self.is_any = true;
                return Some(Ok(WalkedFile { directory: directory.clone(), name: entry.name, open }));
            }
            let path = directory.path.join(directory.name(&entry.name));
            // A directory that was replaced by a link meanwhile is not followed either.
            match self.enter(path, OFlags::NOFOLLOW) {
                Ok(entered) => open = entered,
                Err(error) => return Some(self.failed(error)),
            }
        }
    }

    /// Opens a directory and reads its entries. `None` for one on another file system, if the walk stays on the first.
    fn enter(&mut self, path: PathBuf, flags: OFlags) -> Result<Option<OpenDirectory>> {
        if self.pending.len() > self.scope.depth {
            let what = format!("folders are nested more than {} deep here", self.scope.depth);
            return Err(Error::new(ErrorKind::Unsupported, what).hint("name this folder itself").on(path));
        }
        match self.read(&path, flags) {
            Ok(Some((open, pending))) => {
                self.pending.push(pending);
                Ok(Some(open))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(Error::io("reading the folder", error).on(path)),
        }
    }

    fn read(&mut self, path: &Path, flags: OFlags) -> Result<Option<(OpenDirectory, PendingDirectory)>, Errno> {
        let open = open(path, flags)?;
        if self.scope.one_file_system {
            let device = rustix::fs::fstat(open.descriptor())?.st_dev;
            if *self.device.get_or_insert(device) != device {
                return Ok(None);
            }
        }
        let depth = self.pending.len();
        let (mut entries, mut names) = (Vec::with_capacity(16), Vec::with_capacity(256));
        let mut list = RawDir::new(open.descriptor(), &mut self.buffer);
        while let Some(entry) = list.next() {
            let entry = entry?;
            let name = entry.file_name();
            let file_type = match entry.file_type() {
                // Not every file system reports the type.
                FileType::Unknown => {
                    let stat = rustix::fs::statat(open.descriptor(), name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode)
                }
                file_type => file_type,
            };
            let name = name.to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let Some(left) = self.entries_left.checked_sub(1) else { break };
            self.entries_left = left;
            let is_directory = file_type == FileType::Directory;
            if is_directory || file_type == FileType::RegularFile && (self.scope.wanted)(OsStr::from_bytes(name), depth)
            {
                let start = names.len();
                names.extend_from_slice(name);
                entries.push(WantedEntry { is_directory, name: start..names.len() });
            }
        }
        // In reverse order, since entries are taken from the end.
        entries.sort_unstable_by(|a, b| names.get(b.name.clone()).cmp(&names.get(a.name.clone())));
        let directory = WalkedDirectory { top: self.top.clone(), path: path.to_owned(), names };
        Ok(Some((open, PendingDirectory { directory: Arc::new(directory), entries })))
    }

    fn failed(&mut self, error: Error) -> Result<WalkedFile> {
        self.is_any = true;
        Err(error)
    }
}

fn open(path: &Path, flags: OFlags) -> Result<OpenDirectory, Errno> {
    let descriptor = rustix::fs::open(path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(OpenDirectory { descriptor, not_send: PhantomData })
}

impl Iterator for Walk {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Result<PathBuf>> {
        self.next_file().map(|next| next.map(|file| file.path()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn modules_are_sorted_by_the_components_of_their_paths() {
        let top = tempfile::tempdir().unwrap();
        for file in ["b/2.ko", "b/1.ko.xz", "b-x/0.ko", "a.ko.zst", "c/d/e.ko.gz", "c/readme", "z.ko.d/x"] {
            let path = top.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<PathBuf> = Walk::modules(top.path().to_owned()).map(Result::unwrap).collect();
        let found: Vec<&str> =
            found.iter().map(|path| path.strip_prefix(top.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["a.ko.zst", "b/1.ko.xz", "b/2.ko", "b-x/0.ko", "c/d/e.ko.gz"]);
    }

    #[test]
    fn a_directory_with_many_files_takes_several_calls() {
        let top = tempfile::tempdir().unwrap();
        let name = |number: usize| format!("{number:05}-{}.ko", "x".repeat(100));
        for number in (0..2000).rev() {
            fs::write(top.path().join(name(number)), "").unwrap();
        }
        let found: Vec<PathBuf> = Walk::modules(top.path().to_owned()).map(Result::unwrap).collect();
        assert!(found.iter().enumerate().all(|(number, path)| path.ends_with(name(number))));
        assert_eq!(found.len(), 2000);
    }

    #[test]
    fn too_deep_directories_are_an_error() {
        let top = tempfile::tempdir().unwrap();
        let deep = (0..DEPTH + 1).fold(top.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("a.ko"), "").unwrap();
        fs::write(top.path().join("b.ko"), "").unwrap();
        let found: Vec<Result<PathBuf>> = Walk::modules(top.path().to_owned()).collect();
        assert_eq!(found[1].as_ref().unwrap_err().what(), "folders are nested more than 64 deep here");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_scope_limits_names_by_depth_and_the_number_of_entries() {
        let top = tempfile::tempdir().unwrap();
        for file in ["a/list", "a/1.ko", "b/2.ko", "list", "z.ko"] {
            let path = top.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let scope = Scope {
            wanted: |name, depth| is_module_name(name) || depth == 0 && name == "list",
            one_file_system: true,
            ..Scope::MODULES
        };
        let found = |scope| -> Vec<String> {
            let files = Walk::new(top.path().to_owned(), scope).map(Result::unwrap);
            files.map(|path| path.strip_prefix(top.path()).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(found(scope), ["a/1.ko", "b/2.ko", "list", "z.ko"]);
        assert_eq!(found(Scope { entries: 4, ..scope }), ["list", "z.ko"]);
    }
}
