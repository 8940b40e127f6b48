//! A folder that only its own user may write, and its files: the state folder with what is below it, and the cache folder.
//!
//! Recovery overwrites, removes and chmods the files that an intent names, and a restore trusts the journal. A user who can write
//! the state therefore acts with the rights of the user who runs this program next. [`PrivateFolder`] refuses a folder or file that
//! the effective user does not own, that its group or others may write (an access control list that lets somebody write shows in
//! the group's bits, acl(5)), or that is a link, FIFO, socket or device.
//!
//! The folder is opened once, without following a link in its last component, and checked by its descriptor. Everything in it is
//! opened relative to that descriptor. The owner of a folder above it can move it away, but cannot exchange it for another folder
//! during a run. No other user can add a name to a folder that passes the check.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Remedy, Result};

/// The mode bits that let the group and others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// An open folder that no other user can write.
#[derive(Clone, Debug)]
pub(crate) struct PrivateFolder {
    path: PathBuf,
    dir: Arc<File>,
    trust: Trust,
}

/// Whose folder may be opened.
#[derive(Clone, Copy, Debug)]
enum Trust {
    /// Only one that this user, the effective one when the folder was opened, owns and alone can write.
    Own(u32),
    /// Anybody's, which is only read. Links, FIFOs, sockets and devices are refused, and so are files above [`LARGEST_FOREIGN`].
    Anybody,
}

/// The largest file of another user that is read, in bytes.
pub(crate) const LARGEST_FOREIGN: u64 = 1 << 30;

impl PrivateFolder {
    /// Opens a folder and checks it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    pub(crate) fn open(path: &Path) -> Result<PrivateFolder> {
        PrivateFolder::open_trusting(path, Trust::Own(rustix::process::geteuid().as_raw()))
    }

    /// Opens a folder that another user may own or write, to read it. What is in it must not lead to a write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Untrusted`] if it is no folder; [`ErrorKind::Io`].
    pub(crate) fn open_foreign(path: &Path) -> Result<PrivateFolder> {
        PrivateFolder::open_trusting(path, Trust::Anybody)
    }

    fn open_trusting(path: &Path, trust: Trust) -> Result<PrivateFolder> {
        // Without a trailing slash or dot: with one, the kernel follows a link in spite of O_NOFOLLOW.
        let path: PathBuf = path.components().collect();
        PrivateFolder::open_at(rustix::fs::CWD, path.as_os_str(), &path, trust)
    }

    fn open_at(parent: impl std::os::fd::AsFd, name: &OsStr, path: &Path, trust: Trust) -> Result<PrivateFolder> {
        let parent = parent.as_fd();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|e| {
            distrust(parent, name, path, trust).unwrap_or_else(|| {
                let error = Error::io("opening the folder", e).on(path);
                if e == Errno::NOTDIR { error.remedy(Remedy::OtherStateFolder) } else { error }
            })
        })?;
        let stat = rustix::fs::fstat(&dir).map_err(|e| Error::io("reading the metadata of the folder", e).on(path))?;
        check(&stat, path, trust)?;
        Ok(PrivateFolder { path: path.to_owned(), dir: Arc::new(dir.into()), trust })
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub(crate) fn dir(&self) -> &File {
        &self.dir
    }

    /// Opens a folder in it.
    ///
    /// # Errors
    ///
    /// As [`PrivateFolder::open`].
    pub(crate) fn folder(&self, name: &str) -> Result<PrivateFolder> {
        PrivateFolder::open_at(&self.dir, name.as_ref(), &self.path.join(name), self.trust)
    }

    /// Creates a folder in it, if there is none, and opens it. The caller flushes the name.
    ///
    /// # Errors
    ///
    /// As [`PrivateFolder::open`].
    pub(crate) fn make_folder(&self, name: &str) -> Result<PrivateFolder> {
        match rustix::fs::mkdirat(&self.dir, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.folder(name),
            Err(e) => Err(Error::io("creating the folder", e).on(self.path.join(name))),
        }
    }

    /// Opens a regular file in it. The call never waits for the other end of a FIFO, and only this user may read and write a new
    /// file. `doing` says for messages what the file is opened for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    pub(crate) fn file(&self, name: impl AsRef<OsStr>, doing: &str, access: OFlags) -> Result<File> {
        let name = name.as_ref();
        let path = self.path.join(name);
        if !is_plain(name) {
            return Err(Error::new(ErrorKind::Untrusted, "this name leads out of its folder").on(path));
        }
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file: File = match rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Err(Error::io(doing, Errno::NOENT).on(path)),
            Err(e) => {
                let why = distrust(&self.dir, name, &path, self.trust);
                return Err(why.unwrap_or_else(|| Error::io(doing, e).on(path)));
            }
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| Error::io(doing, e).on(&path))?;
        check(&stat, &path, self.trust)?;
        let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if matches!(self.trust, Trust::Anybody) && size > LARGEST_FOREIGN {
            return Err(Error::new(ErrorKind::TooLarge, "too large for a file of another user's state").on(path));
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(Error::io(doing, Errno::ISDIR).on(path)),
        }
    }

    /// The names in it for which `is_wanted` returns true, sorted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn names(&self, mut is_wanted: impl FnMut(&Path) -> bool) -> Result<Vec<OsString>> {
        let failed = |e| Error::io("reading the folder", e).on(&self.path);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir).map_err(failed)? {
            let name = OsString::from_vec(entry.map_err(failed)?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." && is_wanted(Path::new(&name)) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Checks the owner, mode and type of everything in it without opening it, because opening a device can have an effect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] for the first entry that another user could have written; [`ErrorKind::Io`].
    pub(crate) fn check_all(&self) -> Result<()> {
        for name in self.names(|_| true)? {
            let path = || self.path.join(&name);
            match rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => check(&stat, &path(), self.trust)?,
                // Another run removed its temporary file.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(Error::io("reading metadata", e).on(path())),
            }
        }
        Ok(())
    }
}

/// The reason not to trust a name that could not be opened, if there is one.
fn distrust(parent: impl std::os::fd::AsFd, name: &OsStr, path: &Path, trust: Trust) -> Option<Error> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    check(&stat, path, trust).err()
}

/// Refuses a file or folder that another user could have put there, or could write.
fn check(stat: &Stat, path: &Path, trust: Trust) -> Result<()> {
    let untrusted = |what: String| Error::new(ErrorKind::Untrusted, what).on(path);
    let mode = stat.st_mode & 0o7777;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Directory => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a FIFO"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    };
    if let Some(kind) = kind {
        let what = format!("not trusted: it is {kind}");
        return Err(untrusted(what).remedy(Remedy::RemoveOrOtherStateFolder));
    }
    let Trust::Own(user) = trust else { return Ok(()) };
    if stat.st_uid != user {
        let what = format!("not trusted: it belongs to user {} and not to user {user}", stat.st_uid);
        return Err(untrusted(what).remedy(Remedy::OwnStateFolder));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        let what = format!("not trusted: other users can write it (mode {mode:04o})");
        return Err(untrusted(what).hint("check its contents, then chmod go-w it"));
    }
    Ok(())
}

/// Returns whether this is the name of an entry of the folder itself.
fn is_plain(name: &OsStr) -> bool {
    let mut parts = Path::new(name).components();
    let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    is_one && !name.as_bytes().contains(&b'/')
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn refusal(done: Result<impl Sized>) -> Option<String> {
        done.err().filter(|e| e.kind() == ErrorKind::Untrusted).map(|e| e.what().to_owned())
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("state");
        fs::create_dir(&path).unwrap();
        for mode in 0o700..=0o777 {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let is_refused = refusal(PrivateFolder::open(&path)).is_some();
            assert_eq!(is_refused, mode & 0o022 != 0, "mode {mode:04o}");
        }
    }

    #[test]
    fn a_link_to_a_folder_is_refused_however_its_name_ends() {
        let outer = tempfile::tempdir().unwrap();
        fs::create_dir(outer.path().join("real")).unwrap();
        fs::set_permissions(outer.path().join("real"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("real", outer.path().join("link")).unwrap();
        for name in ["link", "link/", "link//", "link/."] {
            let refusal = refusal(PrivateFolder::open(&outer.path().join(name)));
            assert!(refusal.is_some_and(|what| what.contains("symbolic link")), "{name}");
        }
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_opens_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open(outer.path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "/etc/hostname", "a/"] {
            assert!(refusal(folder.file(name, "opening", OFlags::RDONLY)).is_some(), "{name}");
        }
        assert!(is_plain("..a".as_ref()) && is_plain("a b".as_ref()));
    }

    #[test]
    fn a_fifo_and_a_link_are_refused_at_once() {
        let outer = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open(outer.path()).unwrap();
        rustix::fs::mkfifoat(folder.dir(), "fifo", Mode::RWXU).unwrap();
        symlink("/etc/hostname", outer.path().join("link")).unwrap();
        for name in ["fifo", "link"] {
            for access in [OFlags::RDONLY, OFlags::WRONLY, OFlags::RDWR | OFlags::CREATE] {
                assert!(refusal(folder.file(name, "opening", access)).is_some(), "{name}, {access:?}");
            }
        }
        assert!(refusal(folder.check_all()).is_some());
    }
}
