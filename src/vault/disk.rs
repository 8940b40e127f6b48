//! The file operations of the vault: complete writes, durable new files, durable renames.
//!
//! Everything that must survive a power failure uses these functions, so that one file shows that every write is followed by an fsync, and
//! every rename by an fsync of the directory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::beneath::open_beneath;

/// How often a call that a signal interrupted is repeated before it fails: bounded, so that many signals are an error and not a hang.
const INTERRUPTIONS: usize = 64;

/// Repeats a call while signals interrupt it, up to a limit.
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

/// Reads the complete file by its descriptor into memory.
pub(crate) fn read_whole(file: &File) -> Result<Vec<u8>> {
    let failed = |e: Errno| Error::io("reading", e);
    let size = rustix::fs::fstat(file).map_err(failed)?.st_size;
    let size = usize::try_from(size).map_err(|_| Error::new(ErrorKind::TooLarge, "too large for this machine"))?;
    let mut bytes = Vec::new();
    // One byte more than expected, to detect a file that grows meanwhile.
    bytes.try_reserve_exact(size + 1).map_err(|_| Error::new(ErrorKind::TooLarge, "larger than the memory left"))?;
    while bytes.len() <= size {
        let at = bytes.len() as u64;
        let read = uninterrupted(|| rustix::io::pread(file, spare_capacity(&mut bytes), at)).map_err(failed)?;
        if read == 0 {
            break;
        }
    }
    if bytes.len() != size {
        return Err(
            Error::new(ErrorKind::Changed, "changed while it was read").hint("try again when nothing writes to it")
        );
    }
    Ok(bytes)
}

/// Reads a text file of the state completely by its descriptor. A file with a NUL byte is no text: it may be a hole of any length.
pub(super) fn read_text(file: &File, most: u64) -> Result<Vec<u8>> {
    let (mut text, mut has_nul) = (Vec::new(), false);
    each_piece(file, |piece| {
        has_nul = memchr::memchr(0, piece).is_some();
        text.extend_from_slice(piece);
        !has_nul && text.len() as u64 <= most
    })?;
    match text.len() as u64 > most {
        _ if has_nul => Err(Error::new(ErrorKind::Damaged, "has a NUL byte, which this program never writes")),
        true => Err(Error::new(ErrorKind::TooLarge, "larger than this program ever writes it")),
        false => Ok(text),
    }
}

/// The SHA-256 of the complete file, read by its descriptor in pieces.
pub(crate) fn sha256_of(file: &File) -> Result<Sha256> {
    let mut sum = Sha256Hasher::new();
    each_piece(file, |piece| {
        sum.update(piece);
        true
    })?;
    Ok(sum.finish())
}

/// Whether the file has exactly these contents; read by its descriptor in pieces.
pub(crate) fn holds(file: &File, bytes: &[u8]) -> Result<bool> {
    let mut left = Some(bytes);
    each_piece(file, |piece| {
        left = left.and_then(|left| left.strip_prefix(piece));
        left.is_some()
    })?;
    Ok(left.is_some_and(<[u8]>::is_empty))
}

/// Copies the contents of a file to an empty one, in pieces.
pub(super) fn copy(from: &File, to: &File) -> Result<()> {
    let (mut at, mut written) = (0, Ok(()));
    each_piece(from, |piece| {
        written = write_at(to, piece, at);
        at += piece.len() as u64;
        written.is_ok()
    })?;
    written.map_err(|e| Error::io("writing", e))
}

/// Reads a file by its descriptor in pieces until `seen` returns false.
pub(super) fn each_piece(file: &File, mut seen: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let read =
            uninterrupted(|| rustix::io::pread(file, &mut piece[..], at)).map_err(|e| Error::io("reading", e))?;
        if read == 0 || !seen(piece.get(..read).unwrap_or_default()) {
            return Ok(());
        }
        at += read as u64;
    }
}

/// The SHA-256 of a stream, read in pieces, each of which is passed to `seen`.
pub(crate) fn sha256_of_stream(mut stream: impl std::io::Read, mut seen: impl FnMut(&[u8])) -> std::io::Result<Sha256> {
    let mut sum = Sha256Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(sum.finish()),
            Ok(n) => {
                let piece = piece.get(..n).unwrap_or_default();
                sum.update(piece);
                seen(piece);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The size of a piece in bytes: it stays in the processor's cache until it is hashed.
const PIECE: usize = 1 << 16;

/// One fsync. After a failed fsync the kernel may have dropped the data, so a second successful one proves nothing.
pub(crate) fn sync(file: impl AsFd) -> Result<(), Errno> {
    rustix::fs::fsync(file)
}

/// Starts writeback while other files are prepared. A flush must follow. (For pages that are not needed, the kernel starts writeback of the
/// dirty ones, mm/fadvise.c.)
pub(crate) fn begin_flush(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

/// Makes many files durable with few flushes.
///
/// syncfs(2) flushes a complete file system, and since Linux 5.8 reports every write that failed since its descriptor was opened. So the
/// descriptor must be opened before the first write, by [`Flusher::watch`]. For an older kernel, for file systems that are not known to
/// report failed writes, and for a few files, each file gets its own fsync.
#[derive(Default)]
pub(crate) struct Flusher {
    watched: BTreeMap<u64, File>,
}

/// Up to this many files, one fsync per file is not slower than flushing the writes of other processes too.
const FEW: usize = 8;

/// The file systems whose syncfs reports failed writes (`f_type` of statfs(2)): ext2 to ext4, XFS, btrfs, F2FS, tmpfs. All of them record
/// failed writes by `mapping_set_error` (include/linux/pagemap.h), which `sync_fs` checks (fs/sync.c, 5.8).
const REPORTING: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

impl Flusher {
    /// Whether this many files are flushed one by one.
    pub(crate) fn are_few(files: usize) -> bool {
        files <= FEW
    }

    /// Watches the file system of this open file for failed writes from now on.
    pub(crate) fn watch(&mut self, device: u64, file: &File) {
        let tells =
            || rustix::fs::fstatfs(file).is_ok_and(|s| REPORTING.iter().any(|t| i128::from(*t) == s.f_type.into()));
        if !self.watched.contains_key(&device)
            && syncfs_tells()
            && tells()
            && let Ok(file) = file.try_clone()
        {
            self.watched.insert(device, file);
        }
    }

    /// Flushes files, or the names in directories, each given with its device. A failure for a file system is a failure for every file on it,
    /// because it is unknown which writes were lost.
    pub(crate) fn flush(&self, files: &[(u64, &File)]) -> Vec<Result<(), Errno>> {
        let mut answers: BTreeMap<u64, Result<(), Errno>> = BTreeMap::new();
        let is_each = Flusher::are_few(files.len());
        let flush_one = |(device, file): &(u64, &File)| match self.watched.get(device) {
            Some(watched) if !is_each => *answers.entry(*device).or_insert_with(|| match rustix::fs::syncfs(watched) {
                // A sandbox without syncfs: nothing was flushed, and nothing failed.
                Err(Errno::NOSYS) => files.iter().filter(|(d, _)| d == device).try_for_each(|(_, file)| sync(file)),
                answer => answer,
            }),
            _ => sync(file),
        };
        files.iter().map(flush_one).collect()
    }
}

/// Whether syncfs of this kernel reports failed writes (5.8 and later).
fn syncfs_tells() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    *TELLS.get_or_init(|| {
        let name = rustix::system::uname();
        let mut numbers = name.release().to_bytes().split(|b| !b.is_ascii_digit());
        let mut number = || std::str::from_utf8(numbers.next()?).ok()?.parse::<u32>().ok();
        number().zip(number()).is_some_and(|version| version >= (5, 8))
    })
}

/// Opens the directory of a module by its real path without following links: the owner of a directory above it may have put a link there, so
/// that files elsewhere would be created or removed.
pub(crate) fn open_real_folder(path: &Path) -> Result<File> {
    open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(|e| Error::io("opening the folder", e).on(path))
}

/// Opens a folder for its descriptor.
fn open_folder(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|e| Error::io("opening the folder", e).on(path))
}

/// Flushes the names in a directory. One that this user may not open has no new names, and some file systems can't flush directories.
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

/// Flushes an existing file of the state and its name, because its writer may have been stopped before that.
pub(super) fn sync_by_name(folder: &PrivateFolder, name: &str) -> Result<()> {
    const DOING: &str = "flushing to disk";
    let failed = |e| Error::io(DOING, e).on(folder.path().join(name));
    sync(folder.file(name, DOING, OFlags::RDONLY)?).map_err(failed)?;
    sync(folder.dir()).map_err(failed)
}

/// The extension of a file of the vault that is being written.
pub(super) const TEMPORARY: &str = ".tmp";

/// Creates a file durably, so that it is complete or absent at every moment: a temporary file, its bytes, fsync, reading back, rename, fsync
/// of the directory. A file with that name is replaced.
pub(super) fn create_durably(folder: &PrivateFolder, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let at = folder.path().join(name);
    let dir = folder.dir();
    let temporary = format!("{name}{TEMPORARY}");
    let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
    let result = write_and_rename(dir, &temporary, name, bytes, mode);
    if result.is_err() {
        let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
    }
    result.map_err(|e| e.on(at))
}

/// Creates a file that must not exist, for writing and reading back.
pub(crate) fn create_new(dir: &File, name: &OsStr, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(mode)).map(File::from)
}

fn write_and_rename(dir: &File, temporary: &str, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let file = create_new(dir, temporary.as_ref(), mode).map_err(|e| Error::io("creating", e))?;
    write_at(&file, bytes, 0).map_err(|e| Error::io("writing", e))?;
    sync(&file).map_err(|e| Error::io("flushing to disk", e))?;
    if !holds(&file, bytes)? {
        return Err(Error::new(ErrorKind::Io, "verification failed: the bytes read differ from the bytes written")
            .hint("is the disk failing?"));
    }
    rustix::fs::renameat(dir, temporary, dir, name).map_err(|e| Error::io("renaming", e))?;
    sync(dir).map_err(|e| Error::io("flushing the folder to disk", e))
}

/// Creates a file that `write` writes, and that is complete or absent; one that exists is never overwritten. Only its user may read it.
///
/// # Errors
///
/// [`ErrorKind::Usage`] if the file exists; [`ErrorKind::Io`]; those of `write`.
pub(crate) fn create_file<T>(path: &Path, write: impl FnOnce(&mut dyn io::Write) -> Result<T>) -> Result<T> {
    let failed = |doing: &str, e: io::Error| Error::io(doing, e).on(path);
    must_be_free(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| failed("creating", e))?;
    let mut out = io::BufWriter::with_capacity(PIECE, file.as_file_mut());
    let written = write(&mut out)?;
    io::Write::flush(&mut out).map_err(|e| failed("writing", e))?;
    drop(out);
    sync(file.as_file()).map_err(|e| failed("flushing to disk", e.into()))?;
    file.persist_noclobber(path).map_err(|e| match e.error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => failed("renaming", e.error),
    })?;
    sync_folder(folder)?;
    Ok(written)
}

/// Refuses a path at which something is.
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub(crate) fn must_be_free(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::Usage, "exists already; output never overwrites a file").on(path)
}

/// Renames within a directory. The caller flushes the directory. Without `replace`, an existing file is never overwritten.
pub(crate) fn rename(dir: &File, from: &OsStr, to: &OsStr, replace: bool) -> Result<()> {
    let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    rustix::fs::renameat_with(dir, from, dir, to, flags).map_err(|e| match e {
        Errno::EXIST => Error::new(ErrorKind::Usage, "exists already; output never overwrites a file"),
        e => Error::io("renaming", e),
    })
}

/// Removes a file durably, if it exists.
pub(crate) fn remove_durably(dir: &File, name: &OsStr) -> Result<()> {
    remove(dir, name)?;
    sync(dir).map_err(|e| Error::io("flushing the folder to disk", e))
}

/// Removes a file from a folder, which is then still to be flushed; one that is gone already is well.
pub(crate) fn remove(dir: &File, name: &OsStr) -> Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(Error::io("removing", e)),
    }
}
