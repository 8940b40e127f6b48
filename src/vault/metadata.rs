//! The metadata of a file that a restore puts back: mode, owner, times, extended attributes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::path::Path;

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// A time as the file system keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileTime {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: i64,
}

/// A file's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Permission bits with set-uid, set-gid and sticky (`st_mode & 07777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub accessed: FileTime,
    /// Last modification.
    pub modified: FileTime,
    /// Extended attributes (labels, ACLs, IMA among them); values in hexadecimal.
    pub xattrs: BTreeMap<String, String>,
}

impl Metadata {
    /// Reads it by the file's descriptor.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub fn of(file: &File) -> Result<Metadata> {
        let stat = rustix::fs::fstat(file).map_err(|e| Error::io("looking at the file", e))?;
        Ok(Metadata {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            accessed: FileTime { seconds: stat.st_atime, nanoseconds: stat.st_atime_nsec as i64 },
            modified: FileTime { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as i64 },
            xattrs: xattrs(file).map_err(|e| Error::io("reading extended attributes", e))?,
        })
    }

    /// Reads it by the file's path.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`], where this user may not read the file, among others.
    pub fn of_path(path: &Path) -> Result<Metadata> {
        let opened = File::open(path).map_err(|e| Error::io("opening", e));
        opened.and_then(|file| Metadata::of(&file)).map_err(|e| e.on(path))
    }

    /// Gives the file everything but the times: what a new file that takes the old one's place needs.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`], where this user may not give the file away or set an attribute.
    pub fn give(&self, file: &File) -> Result<()> {
        let has = Metadata::of(file)?;
        if (has.uid, has.gid) != (self.uid, self.gid) {
            let owner = (Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)));
            rustix::fs::fchown(file, owner.0, owner.1).map_err(|e| Error::io("giving back the owner", e))?;
        }
        if has.mode != self.mode || has.uid != self.uid || has.gid != self.gid {
            rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))
                .map_err(|e| Error::io("giving back the mode", e))?;
        }
        let left = rustix::fs::fstat(file).map_err(|e| Error::io("looking at the file", e))?.st_mode & 0o7777;
        if left != self.mode {
            // Without a word the kernel drops set-gid for a group that this user is not in (chmod(2)).
            let what = format!("giving back the mode {:04o}: the system left {left:04o}", self.mode);
            return Err(Error::new(ErrorKind::Io, what));
        }
        for (name, value) in self.xattrs.iter().filter(|(name, value)| has.xattrs.get(*name) != Some(value)) {
            let value = hex::decode(value).unwrap_or_default();
            rustix::fs::fsetxattr(file, name_of(name), &value, XattrFlags::empty())
                .map_err(|e| Error::io(&format!("giving back the extended attribute {name}"), e))?;
        }
        for name in has.xattrs.keys().filter(|name| !self.xattrs.contains_key(*name)) {
            // One that the system itself puts on every file may stay.
            let removed = rustix::fs::fremovexattr(file, name_of(name));
            if let Err(e) = removed
                && !name.starts_with("security.")
            {
                return Err(Error::io(&format!("removing the extended attribute {name}"), e));
            }
        }
        Ok(())
    }

    /// Gives the file its times: the last step, since every write moves them.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub fn give_times(&self, file: &File) -> Result<()> {
        let time = |t: FileTime| Timespec { tv_sec: t.seconds, tv_nsec: t.nanoseconds as _ };
        let times = Timestamps { last_access: time(self.accessed), last_modification: time(self.modified) };
        rustix::fs::futimens(file, &times).map_err(|e| Error::io("giving back the times", e))
    }

    /// Is everything the same but the time of the last access, which reading moves?
    pub fn same_but_access(&self, other: &Metadata) -> bool {
        Metadata { accessed: other.accessed, ..self.clone() } == *other
    }
}

fn name_of(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

/// All extended attributes that this user can see. A file system without any has none.
fn xattrs(file: &File) -> Result<BTreeMap<String, String>, Errno> {
    // First asked how long the list is: most files have none, and room for the longest costs time for each of thousands.
    match rustix::fs::flistxattr_query(file) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(BTreeMap::new()),
        Ok(_) => {}
        Err(e) => return Err(e),
    }
    let mut names = vec![0; 1 << 16];
    let len = rustix::fs::flistxattr(file, &mut names[..])?;
    let mut found = BTreeMap::new();
    let mut value = vec![0; 1 << 16];
    for name in names.get(..len).unwrap_or_default().split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let name = String::from_utf8_lossy(name).into_owned();
        match rustix::fs::fgetxattr(file, name_of(&name), &mut value[..]) {
            Ok(len) => {
                found.insert(name, hex::encode(value.get(..len).unwrap_or_default()));
            }
            // Gone meanwhile, or a label that only another user may read: then it is not ours to give back.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(Errno::PERM | Errno::ACCESS) if !name.starts_with("user.") => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}
