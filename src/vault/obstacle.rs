//! Obstacles: properties of a file or of its folder because of which it can't be written, or could not be restored.

use std::collections::HashMap;
use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{Access, AtFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};

use crate::error::{Error, ErrorKind, Remedy, Result};

/// Why a file can't be written, whatever anybody overrides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Obstacle {
    /// It is a symbolic link, to this path; `None` if the link leads nowhere.
    SymbolicLink(Option<PathBuf>),
    /// It is a directory.
    Directory,
    /// It is a FIFO.
    Fifo,
    /// It is a socket.
    Socket,
    /// It is a device.
    Device,
    /// It has this many names, more than one.
    HardLinks(u64),
    /// It has the inode flag immutable (chattr(1), `+i`).
    Immutable,
    /// It has the inode flag append-only (chattr(1), `+a`).
    AppendOnly,
    /// fs-verity protects its contents.
    Verity,
    /// It belongs to another user.
    OtherOwner,
    /// It is set-gid for a group that this user is not a member of.
    OtherGroup,
    /// It has file capabilities (capabilities(7)), which a write drops.
    Capabilities,
    /// It is on a mount that is read-only.
    ReadOnlyMount,
    /// Its path has no folder.
    NoFolder,
    /// A new file has to be created in its folder, which this user can't write to.
    FolderNotWritable,
    /// A new file has to be created in its folder, which is immutable.
    FolderImmutable,
    /// A file has to be replaced in its folder, which is append-only.
    FolderAppendOnly,
}

impl Obstacle {
    /// Is there no regular file at the path at all?
    pub fn is_no_regular_file(&self) -> bool {
        use Obstacle::{Device, Directory, Fifo, Socket, SymbolicLink};
        matches!(self, SymbolicLink(_) | Directory | Fifo | Socket | Device)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Obstacle::SymbolicLink(Some(to)) => {
                return write!(f, "it is a symbolic link to {}; name that file instead", to.display());
            }
            Obstacle::SymbolicLink(None) => "it is a symbolic link that leads nowhere",
            Obstacle::Directory => "it is a folder, not a regular file",
            Obstacle::Fifo => "it is a FIFO, not a regular file",
            Obstacle::Socket => "it is a socket, not a regular file",
            Obstacle::Device => "it is a device, not a regular file",
            Obstacle::HardLinks(links) => {
                return write!(f, "it has {links} hard links, and a write would change the file under all of them");
            }
            Obstacle::Immutable => "it is immutable (chattr +i)",
            Obstacle::AppendOnly => "it is append-only (chattr +a)",
            Obstacle::Verity => "it is protected by fs-verity",
            Obstacle::OtherOwner => "it belongs to another user; only that user or root can restore its times and mode",
            Obstacle::OtherGroup => {
                "it is set-gid for a group that you are not a member of; only root can restore that"
            }
            Obstacle::Capabilities => "it has file capabilities; a write drops them, and only root can restore them",
            Obstacle::ReadOnlyMount => "it is on a read-only mount",
            Obstacle::NoFolder => "it is in no folder",
            Obstacle::FolderNotWritable => "a new file has to be created in its folder, which this user can't write to",
            Obstacle::FolderImmutable => "a new file has to be created in its folder, which is immutable (chattr +i)",
            Obstacle::FolderAppendOnly => "a file has to be replaced in its folder, which is append-only (chattr +a)",
        })
    }
}

/// Why a file can't be written in place. The guard file-kind refuses on these.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if the file can't be examined.
pub fn of_file(path: &Path) -> Result<Vec<Obstacle>> {
    let meta = path.symlink_metadata().map_err(|e| Error::io("looking at the file", e).on(path))?;
    let kind = meta.file_type();
    if kind.is_symlink() {
        return Ok(vec![Obstacle::SymbolicLink(path.canonicalize().ok())]);
    }
    if !kind.is_file() {
        return Ok(vec![match kind {
            kind if kind.is_dir() => Obstacle::Directory,
            kind if kind.is_fifo() => Obstacle::Fifo,
            kind if kind.is_socket() => Obstacle::Socket,
            _ => Obstacle::Device,
        }]);
    }
    let mut found = Vec::new();
    if meta.nlink() > 1 {
        found.push(Obstacle::HardLinks(meta.nlink()));
    }
    let attributes = attributes(path, AtFlags::SYMLINK_NOFOLLOW);
    let flags = [
        (StatxAttributes::IMMUTABLE, Obstacle::Immutable),
        (StatxAttributes::APPEND, Obstacle::AppendOnly),
        (StatxAttributes::VERITY, Obstacle::Verity),
    ];
    found.extend(flags.into_iter().filter(|(flag, _)| attributes.contains(*flag)).map(|(_, obstacle)| obstacle));
    found.extend(to_a_restore(path, &meta));
    if rustix::fs::statvfs(path).is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        found.push(Obstacle::ReadOnlyMount);
    }
    Ok(found)
}

/// Why no new file can be created next to the file at this path. A change of its length needs one.
pub fn of_folder(path: &Path) -> Vec<Obstacle> {
    let Some(folder) = path.parent() else { return vec![Obstacle::NoFolder] };
    let mut found = Vec::new();
    if rustix::fs::accessat(rustix::fs::CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        found.push(Obstacle::FolderNotWritable);
    }
    let attributes = attributes(folder, AtFlags::empty());
    let flags = [
        (StatxAttributes::IMMUTABLE, Obstacle::FolderImmutable),
        (StatxAttributes::APPEND, Obstacle::FolderAppendOnly),
    ];
    found.extend(flags.into_iter().filter(|(flag, _)| attributes.contains(*flag)).map(|(_, obstacle)| obstacle));
    found
}

/// Whether no file has this path, not even a link that leads nowhere.
pub fn is_gone(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
}

/// Refuses a path at which no file is, and where none can be created.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if its folder does not exist; [`ErrorKind::Guard`] if the folder has an obstacle.
pub fn must_be_creatable(path: &Path) -> Result<()> {
    FolderState::of(path).must_be_usable(path)
}

/// The folders of files that are gone, each looked at once: for a plan of many files, which a later look checks again.
#[derive(Debug, Default)]
pub(crate) struct LookedFolders(Mutex<HashMap<PathBuf, FolderState>>);

impl LookedFolders {
    /// As [`must_be_creatable`], as the folder was when it was asked about first.
    ///
    /// # Errors
    ///
    /// Those of [`must_be_creatable`].
    pub(crate) fn must_be_creatable(&self, path: &Path) -> Result<()> {
        let Some(folder) = path.parent() else { return must_be_creatable(path) };
        let mut looked = self.0.lock().unwrap_or_else(|e| e.into_inner());
        match looked.get(folder) {
            Some(state) => state.must_be_usable(path),
            None => looked.entry(folder.to_owned()).or_insert(FolderState::of(path)).must_be_usable(path),
        }
    }
}

/// Whether a file can be created in a folder.
#[derive(Debug)]
enum FolderState {
    Usable,
    Gone,
    Obstacle(Obstacle),
}

impl FolderState {
    /// That of the folder of this path.
    fn of(path: &Path) -> FolderState {
        match path.parent() {
            Some(folder) if is_gone(folder) => FolderState::Gone,
            _ => of_folder(path).into_iter().next().map_or(FolderState::Usable, FolderState::Obstacle),
        }
    }

    fn must_be_usable(&self, path: &Path) -> Result<()> {
        match self {
            FolderState::Usable => Ok(()),
            FolderState::Gone => {
                let error = Error::new(ErrorKind::NotFound, "its folder does not exist").on(path);
                Err(error.remedy(Remedy::MakeFolder(path.parent().unwrap_or(path).to_owned())))
            }
            FolderState::Obstacle(obstacle) => Err(refused(obstacle).on(path)),
        }
    }
}

fn refused(obstacle: &Obstacle) -> Error {
    Error::new(ErrorKind::Guard, format!("refused by the guard file-kind: {obstacle}"))
}

/// Refuses a file that has an obstacle.
///
/// # Errors
///
/// [`ErrorKind::Guard`] with the first of them; those of [`of_file`].
pub fn must_be_writable(path: &Path) -> Result<()> {
    match of_file(path)?.into_iter().next() {
        None => Ok(()),
        Some(obstacle) => Err(refused(&obstacle).on(path)),
    }
}

/// The inode flags; none where the file system has none.
fn attributes(path: &Path, flags: AtFlags) -> StatxAttributes {
    let statx = rustix::fs::statx(rustix::fs::CWD, path, flags, StatxFlags::BASIC_STATS);
    statx.map(|s| s.stx_attributes).unwrap_or(StatxAttributes::empty())
}

/// Why this user could write the file, but not restore it: only its owner and root can set times, mode and attributes.
fn to_a_restore(path: &Path, meta: &Metadata) -> Option<Obstacle> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return None;
    }
    if meta.uid() != user.as_raw() {
        return Some(Obstacle::OtherOwner);
    }
    let groups = rustix::process::getgroups().unwrap_or_default();
    let is_ours = |gid| rustix::process::getegid().as_raw() == gid || groups.iter().any(|g| g.as_raw() == gid);
    if meta.mode() & 0o2000 != 0 && !is_ours(meta.gid()) {
        return Some(Obstacle::OtherGroup);
    }
    let has_capabilities = rustix::fs::getxattr(path, "security.capability", &mut [0_u8; 64]).is_ok();
    has_capabilities.then_some(Obstacle::Capabilities)
}
