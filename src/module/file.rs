//! Opening a module file for reading: mapped under a lease if possible, read otherwise.
//!
//! If a mapped file is truncated, access to the lost pages raises SIGBUS, which no error value can prevent.
//! A read lease (fcntl(2), `F_SETLEASE`) makes the kernel delay such a truncate until the lease is released. Without a lease
//! (another's file, a file that is open for writing, a file system without leases) the bytes are read into memory.
//! Either way [`FileContents`] is short-lived: facts are copied out of it as values, so that a reader that waits for a pager
//! delays no writer.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use memmap2::Mmap;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::budget::DEFAULT_MAX_SIZE;
use crate::error::{Error, ErrorKind, Remedy, Result};

/// The bytes of a file as it is on disk, compressed or not.
pub struct FileContents {
    bytes: MappedOrRead,
}

enum MappedOrRead {
    /// Mapped; the lease lives as long as the mapping. Fields drop in order: first the mapping goes, then the lease.
    Mapped {
        map: Mmap,
        _lease: Lease,
    },
    Read(Vec<u8>),
}

impl FileContents {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            MappedOrRead::Mapped { map, .. } => map,
            MappedOrRead::Read(bytes) => bytes,
        }
    }
}

/// The size up to which a file is read, for a limit that is about decompressed files, in bytes: at least 1 GiB. No module is
/// larger, and a hole of any size takes no space on a disk.
pub fn largest(max_size: u64) -> u64 {
    max_size.max(DEFAULT_MAX_SIZE)
}

/// Opens a regular file of at most 1 GiB for reading and takes its bytes.
///
/// Symbolic links are followed: reading harms nothing, and `/lib` is one on most systems.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`]; [`ErrorKind::NotAModule`] for a folder, a device or an empty file;
/// [`ErrorKind::TooLarge`], before anything is read; [`ErrorKind::Changed`] if the file shrank or grew while it was read.
pub fn read(path: &Path) -> Result<FileContents> {
    contents(path, DEFAULT_MAX_SIZE).and_then(not_empty).map_err(|e| e.on(path))
}

/// As [`read`], of a file with at most `max_size` bytes, or 1 GiB if that is more.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_up_to(path: &Path, max_size: u64) -> Result<FileContents> {
    contents(path, largest(max_size)).and_then(not_empty).map_err(|e| raisable(e).on(path))
}

/// As [`read_up_to`]; an empty file has no bytes, and is no error: a kernel has an answer to it.
///
/// # Errors
///
/// Those of [`read`] for other files.
pub fn read_even_empty(path: &Path, max_size: u64) -> Result<FileContents> {
    contents(path, largest(max_size)).map_err(|e| raisable(e).on(path))
}

fn not_empty(contents: FileContents) -> Result<FileContents> {
    match contents.bytes().is_empty() {
        true => Err(Error::new(ErrorKind::NotAModule, "an empty file")),
        false => Ok(contents),
    }
}

/// The error with the way to raise the limit, if a limit is the reason.
pub fn raisable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::TooLarge => error.remedy(Remedy::RaiseSizeLimit),
        _ => error,
    }
}

/// All bytes of a regular file with at most `most` bytes, also of one in /proc or /sys, which has no size in its metadata. The
/// bytes are read, not mapped; an empty file is no error.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`]; [`ErrorKind::NotAModule`] for a folder, a FIFO or a device;
/// [`ErrorKind::TooLarge`], before anything is read if the size is known.
pub fn read_small(path: &Path, most: u64) -> Result<Vec<u8>> {
    let read = || {
        let (file, size) = open_regular(path)?;
        within(size, most)?;
        let mut bytes = Vec::new();
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
        within(bytes.len() as u64, most)?;
        Ok(bytes)
    };
    read().map_err(|e: Error| e.on(path))
}

/// Is a size within a limit?
///
/// # Errors
///
/// [`ErrorKind::TooLarge`].
pub fn within(size: u64, most: u64) -> Result<()> {
    match size > most {
        true => Err(Error::new(ErrorKind::TooLarge, format!("it exceeds the limit of {most} bytes"))),
        false => Ok(()),
    }
}

/// Opens a regular file, without waiting for whatever else may have its name; returns its size too.
fn open_regular(path: &Path) -> Result<(File, u64)> {
    // NONBLOCK, so that a FIFO without a writer is recognised without waiting.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = open_unnoticed(path, flags).map_err(|e| Error::io("opening", e))?;
    let meta = file.metadata().map_err(|e| Error::io("looking at the file", e))?;
    if meta.is_dir() {
        return Err(Error::new(ErrorKind::NotAModule, "a folder, not a module"));
    }
    if !meta.is_file() {
        return Err(Error::new(ErrorKind::NotAModule, "not a regular file"));
    }
    Ok((file, meta.len()))
}

fn contents(path: &Path, most: u64) -> Result<FileContents> {
    let (file, size) = open_regular(path)?;
    within(size, most)?;
    if size == 0 {
        // There is nothing to map.
        return Ok(FileContents { bytes: MappedOrRead::Read(Vec::new()) });
    }
    match Lease::take(&file) {
        Some(lease) => {
            let map = map(&file, &lease)?;
            // The size may have changed between the look above and the lease; the mapping has the size of now.
            Ok(FileContents { bytes: MappedOrRead::Mapped { map, _lease: lease } })
        }
        None => Ok(FileContents { bytes: MappedOrRead::Read(read_all(file, size)?) }),
    }
}

/// Opens a text to be read from its start to its end: a regular file, `/dev/null`, or a pipe that has no name, as a shell makes
/// it for `<(command)` and `/dev/stdin`. A FIFO may have no writer, and a device no end.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`]; [`ErrorKind::Usage`] for anything else that has a name.
pub fn open_text(path: &Path) -> Result<File> {
    const PIPEFS_MAGIC: u64 = 0x5049_5045;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || {
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::io("opening", e))?);
        let failed = |e: Errno| Error::io("looking at the file", e);
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let is_good = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => true,
            // The null device is an empty text.
            FileType::CharacterDevice => stat.st_rdev == rustix::fs::makedev(1, 3),
            FileType::Fifo => u64::try_from(rustix::fs::fstatfs(&file).map_err(failed)?.f_type) == Ok(PIPEFS_MAGIC),
            _ => false,
        };
        if !is_good {
            return Err(Error::new(ErrorKind::Usage, "not a regular file"));
        }
        // Whoever writes into a pipe may take a while.
        let flags = rustix::fs::fcntl_getfl(&file).map_err(failed)?;
        rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(failed)?;
        Ok(file)
    };
    open().map_err(|e| e.on(path))
}

/// Opens a file so that reading it leaves its access time as it is, where the system lets us: its owner and root may.
pub(crate) fn open_unnoticed(path: &Path, flags: OFlags) -> Result<File, Errno> {
    open_unnoticed_in(rustix::fs::CWD, path, flags)
}

/// The same, of a path in an open folder.
pub(super) fn open_unnoticed_in(folder: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<File, Errno> {
    match rustix::fs::openat(folder, path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(folder, path, flags, Mode::empty()).map(File::from),
        answer => answer.map(File::from),
    }
}

fn read_all(mut file: File, expected: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let size = usize::try_from(expected).map_err(|_| Error::new(ErrorKind::TooLarge, "too large for this machine"))?;
    bytes.try_reserve_exact(size).map_err(|_| Error::new(ErrorKind::TooLarge, "larger than the memory left"))?;
    file.read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
    let after = file.metadata().map_err(|e| Error::io("looking at the file", e))?.len();
    if bytes.len() != size || after != expected {
        return Err(Error::new(ErrorKind::Changed, "changed while it was read").hint("try again when it is at rest"));
    }
    Ok(bytes)
}

/// A read lease on a file: while it lives, the kernel holds back whoever wants to truncate or write the file (up to
/// /proc/sys/fs/lease-break-time, 45 seconds as a rule; nothing here takes a tenth of that).
struct Lease {
    file: File,
}

impl Lease {
    fn take(file: &File) -> Option<Lease> {
        let file = file.try_clone().ok()?;
        // The kernel notifies a lease's holder of a waiting open by SIGIO, which kills by default; SIGURG is ignored by
        // default; no notification is needed, since the lease is released soon anyway.
        const F_SETSIG: libc::c_int = 10;
        fcntl(&file, F_SETSIG, libc::SIGURG)?;
        fcntl(&file, libc::F_SETLEASE, libc::F_RDLCK)?;
        Some(Lease { file })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = fcntl(&self.file, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

/// The two lease calls of fcntl(2), which rustix does not have. `None` where the kernel refuses.
fn fcntl(file: &File, command: libc::c_int, argument: libc::c_int) -> Option<()> {
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and both commands take one int and touch no
    // memory of ours (fcntl(2)).
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    (answer != -1).then_some(())
}

/// Maps a file that is held by a lease.
fn map(file: &File, _held: &Lease) -> Result<Mmap> {
    use std::os::fd::AsFd;
    let fd: BorrowedFd<'_> = file.as_fd();
    // SAFETY: the mapping is read-only and private to this process. The lease, which outlives it (field order in
    // `Bytes::Mapped`), keeps other processes from truncating or writing the file while it is there, and this program
    // never writes a module through another descriptor while it holds one of these.
    let map = unsafe { Mmap::map(&fd) };
    map.map_err(|e| Error::io("mapping", e))
}
