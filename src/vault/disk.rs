//! The few ways in which the vault touches a disk: whole writes, durable new files, durable renames.
//!
//! Everything that must survive a power cut goes through here, so that one file can be read to see that each write is
//! followed by its fsync, and each rename by the fsync of its folder.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};

/// How often a call that a signal interrupted is made again before it counts as failed: bounded, so that a storm of
/// signals is an error and not a hang.
const INTERRUPTIONS: usize = 64;

/// Makes a call again while signals interrupt it, within bounds.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut left = INTERRUPTIONS;
    loop {
        match call() {
            Err(Errno::INTR) if left > 0 => left -= 1,
            answer => return answer,
        }
    }
}

/// Writes all of `bytes` at `offset`, however short the single writes are.
pub(crate) fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match uninterrupted(|| rustix::io::pwrite(file, bytes, offset))? {
            0 => return Err(Errno::IO),
            n => {
                bytes = bytes.get(n..).ok_or(Errno::IO)?;
                offset += n as u64;
            }
        }
    }
    Ok(())
}

/// Reads the whole file by its descriptor, from its start, into memory of our own.
pub(crate) fn read_whole(file: &File) -> Result<Vec<u8>> {
    let failed = |e: Errno| Error::io("reading", e);
    let size = rustix::fs::fstat(file).map_err(failed)?.st_size;
    let size = usize::try_from(size).map_err(|_| Error::new(ErrorKind::TooLarge, "too large for this machine"))?;
    let mut bytes = Vec::new();
    // One byte more than expected, so that a file that grows meanwhile is seen.
    bytes.try_reserve_exact(size + 1).map_err(|_| Error::new(ErrorKind::TooLarge, "larger than the memory left"))?;
    bytes.resize(size + 1, 0);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match uninterrupted(|| rustix::io::pread(file, &mut *rest, filled as u64)).map_err(failed)? {
            0 => break,
            n => filled += n,
        }
    }
    if filled != size {
        return Err(Error::new(ErrorKind::Changed, "changed while it was read").hint("try again when it is at rest"));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// fsync, once: after a failed fsync the kernel may have dropped the data, so a second one that succeeds says nothing.
pub(crate) fn sync(file: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsync(file)
}

/// Opens a folder for its descriptor.
pub(crate) fn open_folder(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|e| Error::io("opening the folder", e).on(path))
}

/// Makes the names in a folder last. Into one that we may not open we wrote none, and some file systems flush none.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    let dir = match open_folder(folder) {
        Err(e) if e.is_errno(Errno::ACCESS) || e.is_errno(Errno::PERM) => return Ok(()),
        answer => answer?,
    };
    match sync(dir) {
        Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        answer => answer.map_err(|e| Error::io("flushing the folder to disk", e).on(folder)),
    }
}

/// Makes a file last that is there already, with its name: whoever made it may have been stopped before it did.
pub(crate) fn sync_by_name(path: &Path) -> Result<()> {
    let failed = |e| Error::io("flushing to disk", e).on(path);
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    sync(file).map_err(failed)?;
    let Some(folder) = path.parent() else { return Ok(()) };
    sync(open_folder(folder)?).map_err(failed)
}

/// Makes a file in a folder so that after this returns it is there whole, and before this returns not at all or whole:
/// a temporary file, its bytes, fsync, reading back, rename, fsync of the folder. A file of that name is replaced.
pub(crate) fn create_durably(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let at = folder.join(name);
    let dir = open_folder(folder)?;
    let temporary = format!("{name}.tmp");
    let _ = rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty());
    let result = write_and_rename(&dir, &temporary, name, bytes, mode);
    if result.is_err() {
        let _ = rustix::fs::unlinkat(&dir, &temporary, AtFlags::empty());
    }
    result.map_err(|e| e.on(at))
}

fn write_and_rename(dir: &File, temporary: &str, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file: File = rustix::fs::openat(dir, temporary, flags, Mode::from_raw_mode(mode))
        .map_err(|e| Error::io("creating", e))?
        .into();
    write_at(&file, bytes, 0).map_err(|e| Error::io("writing", e))?;
    sync(&file).map_err(|e| Error::io("flushing to disk", e))?;
    if read_whole(&file)? != bytes {
        return Err(Error::new(ErrorKind::Io, "reads back other than it was written").hint("is the disk failing?"));
    }
    rustix::fs::renameat(dir, temporary, dir, name).map_err(|e| Error::io("renaming", e))?;
    sync(dir).map_err(|e| Error::io("flushing the folder to disk", e))
}

/// Renames within a folder and makes that durable. With `replace` off, a file of the new name is never overwritten.
pub(crate) fn rename_durably(dir: &File, from: &OsStr, to: &OsStr, replace: bool) -> Result<()> {
    let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(dir, from, dir, to, flags).map_err(|e| match e {
        Errno::EXIST => Error::new(ErrorKind::Usage, "exists already; output never overwrites a file"),
        e => Error::io("renaming", e),
    })?;
    sync(dir).map_err(|e| Error::io("flushing the folder to disk", e))
}

/// Removes a file and makes that durable; one that is gone already is well.
pub(crate) fn remove_durably(dir: &File, name: &OsStr) -> Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => sync(dir).map_err(|e| Error::io("flushing the folder to disk", e)),
        Err(e) => Err(Error::io("removing", e)),
    }
}
