//! Going through folders: the modules in them, sorted, with as little memory and as few calls as a tree of thousands allows.

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

/// How deep folders are gone into. Module trees have a tenth of it; a file system that is built to be endless has more.
const DEPTH: usize = 64;

/// Room for what one call says of a folder. A name has 255 bytes at most.
const ROOM: usize = 1 << 15;

/// The modules in a folder and in those below it: regular files with a module's name, sorted by their paths' parts. Links
/// are not followed, so `build` and `source` of a module tree lead nowhere; the folder itself may be named by one.
///
/// Between two calls it has no file open, so that each may be made on another thread, be its descriptors its own or not.
pub(super) struct Walk {
    /// The folder that was named.
    top: Arc<Path>,
    is_begun: bool,
    /// The folders that are being gone through, from the top down.
    inside: Vec<Left>,
    /// Was anything found, be it an error?
    is_any: bool,
    room: Vec<MaybeUninit<u8>>,
}

/// Does a walk through a folder, by its real path, find a module at this path?
pub(super) fn finds(top: &Path, path: &Path) -> bool {
    let depth = path.strip_prefix(top).map_or(usize::MAX, |below| below.components().count());
    let is_file = || path.symlink_metadata().is_ok_and(|meta| meta.is_file());
    // Not behind a link.
    let is_real = || path.canonicalize().is_ok_and(|real| real == path);
    depth <= DEPTH + 1 && path.file_name().is_some_and(is_module_name) && is_file() && is_real()
}

/// A folder, and the names of what is wanted in it.
pub(super) struct Folder {
    top: Arc<Path>,
    path: PathBuf,
    names: Vec<u8>,
}

impl Folder {
    /// Its path, as it was come by.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that was named, in which it is.
    pub(super) fn top(&self) -> &Arc<Path> {
        &self.top
    }

    /// Opens it for this thread, if it is still there.
    pub(super) fn open(&self) -> Option<Open> {
        // The one that was named may be named by a link.
        let flags = if *self.path == *self.top { OFlags::empty() } else { OFlags::NOFOLLOW };
        open(&self.path, flags | OFlags::PATH).ok()
    }

    fn name(&self, place: &Range<usize>) -> &OsStr {
        OsStr::from_bytes(self.names.get(place.clone()).unwrap_or_default())
    }
}

/// An open folder, which stays on the thread that opened it: others may have descriptors of their own.
pub(super) struct Open {
    folder: OwnedFd,
    stays: PhantomData<*const ()>,
}

impl Open {
    /// The folder itself, wherever its path leads by now.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// A module that was found. Its path is put together for who wants it: of some thousand modules few are named.
pub(super) struct Found {
    folder: Arc<Folder>,
    name: Range<usize>,
    /// The folder, if it was just opened for this one.
    open: Option<Open>,
}

impl Found {
    /// Takes the folder that it is in, if that was just opened for it: the way there need not be looked for anew.
    pub(super) fn take_open(&mut self) -> Option<Open> {
        self.open.take()
    }

    /// The folder that it is in.
    pub(super) fn folder(&self) -> &Arc<Folder> {
        &self.folder
    }

    /// Its name in that folder.
    pub(super) fn name(&self) -> &OsStr {
        self.folder.name(&self.name)
    }

    /// Its path: the folder's, and the name.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path.join(self.name())
    }
}

/// A folder with what is left in it, the next one last.
struct Left {
    folder: Arc<Folder>,
    left: Vec<Entry>,
}

struct Entry {
    is_folder: bool,
    /// Its place among the names.
    name: Range<usize>,
}

impl Walk {
    /// Nothing is opened yet.
    pub(super) fn new(folder: PathBuf) -> Walk {
        let top = Arc::from(folder);
        Walk { top, is_begun: false, inside: Vec::new(), is_any: false, room: vec![MaybeUninit::uninit(); ROOM] }
    }

    /// Opens a folder and reads what is in it.
    fn enter(&mut self, path: PathBuf, flags: OFlags) -> Result<Open> {
        if self.inside.len() > DEPTH {
            let what = format!("folders are nested more than {DEPTH} deep here");
            return Err(Error::new(ErrorKind::Unsupported, what).hint("name this folder itself").on(path));
        }
        match read(&path, flags, &mut self.room) {
            Ok((open, left, names)) => {
                let folder = Folder { top: self.top.clone(), path, names };
                self.inside.push(Left { folder: Arc::new(folder), left });
                Ok(open)
            }
            Err(error) => Err(Error::io("reading the folder", error).on(path)),
        }
    }
}

fn open(path: &Path, flags: OFlags) -> Result<Open, Errno> {
    let folder = rustix::fs::open(path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Open { folder, stays: PhantomData })
}

fn read(path: &Path, flags: OFlags, room: &mut [MaybeUninit<u8>]) -> Result<(Open, Vec<Entry>, Vec<u8>), Errno> {
    let open = open(path, flags)?;
    let folder = open.folder();
    let (mut entries, mut names) = (Vec::with_capacity(16), Vec::with_capacity(256));
    let mut list = RawDir::new(folder, room);
    while let Some(entry) = list.next() {
        let entry = entry?;
        let name = entry.file_name();
        let kind = match entry.file_type() {
            // Not every file system tells.
            FileType::Unknown => {
                let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(found.st_mode)
            }
            kind => kind,
        };
        let name = name.to_bytes();
        let is_folder = kind == FileType::Directory;
        if is_folder && name != b"." && name != b".."
            || kind == FileType::RegularFile && is_module_name(OsStr::from_bytes(name))
        {
            let start = names.len();
            names.extend_from_slice(name);
            entries.push(Entry { is_folder, name: start..names.len() });
        }
    }
    // The last first, since they are taken from the end.
    entries.sort_unstable_by(|a, b| names.get(b.name.clone()).cmp(&names.get(a.name.clone())));
    Ok((open, entries, names))
}

impl Iterator for Walk {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Result<PathBuf>> {
        self.next_found().map(|next| next.map(|found| found.path()))
    }
}

impl Walk {
    /// The next one, in the folder that it is in.
    pub(super) fn next_found(&mut self) -> Option<Result<Found>> {
        let mut open = None;
        if !std::mem::replace(&mut self.is_begun, true) {
            match self.enter(self.top.to_path_buf(), OFlags::empty()) {
                Ok(entered) => open = Some(entered),
                Err(error) => return Some(self.failed(error)),
            }
        }
        loop {
            let Left { folder, left } = self.inside.last_mut()?;
            let Some(entry) = left.pop() else {
                open = None;
                let done = self.inside.pop()?.folder;
                if self.inside.is_empty() && !self.is_any {
                    return Some(Err(Error::new(ErrorKind::NotFound, "no module in this folder").on(done.path())));
                }
                continue;
            };
            if !entry.is_folder {
                self.is_any = true;
                return Some(Ok(Found { folder: folder.clone(), name: entry.name, open }));
            }
            let path = folder.path.join(folder.name(&entry.name));
            // One that became a link meanwhile is not followed either.
            match self.enter(path, OFlags::NOFOLLOW) {
                Ok(entered) => open = Some(entered),
                Err(error) => return Some(self.failed(error)),
            }
        }
    }

    fn failed(&mut self, error: Error) -> Result<Found> {
        self.is_any = true;
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn modules_come_sorted_by_the_parts_of_their_paths() {
        let top = tempfile::tempdir().unwrap();
        for file in ["b/2.ko", "b/1.ko.xz", "b-x/0.ko", "a.ko.zst", "c/d/e.ko.gz", "c/readme", "z.ko.d/x"] {
            let path = top.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found: Vec<PathBuf> = Walk::new(top.path().to_owned()).map(Result::unwrap).collect();
        let found: Vec<&str> =
            found.iter().map(|path| path.strip_prefix(top.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["a.ko.zst", "b/1.ko.xz", "b/2.ko", "b-x/0.ko", "c/d/e.ko.gz"]);
    }

    #[test]
    fn a_folder_with_many_files_needs_several_calls() {
        let top = tempfile::tempdir().unwrap();
        let name = |number: usize| format!("{number:05}-{}.ko", "x".repeat(100));
        for number in (0..2000).rev() {
            fs::write(top.path().join(name(number)), "").unwrap();
        }
        let found: Vec<PathBuf> = Walk::new(top.path().to_owned()).map(Result::unwrap).collect();
        assert!(found.iter().enumerate().all(|(number, path)| path.ends_with(name(number))));
        assert_eq!(found.len(), 2000);
    }

    #[test]
    fn folders_without_an_end_are_an_error_and_no_silence() {
        let top = tempfile::tempdir().unwrap();
        let deep = (0..DEPTH + 1).fold(top.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("a.ko"), "").unwrap();
        fs::write(top.path().join("b.ko"), "").unwrap();
        let found: Vec<Result<PathBuf>> = Walk::new(top.path().to_owned()).collect();
        assert_eq!(found[1].as_ref().unwrap_err().what(), "folders are nested more than 64 deep here");
        assert_eq!(found.len(), 2);
    }
}
