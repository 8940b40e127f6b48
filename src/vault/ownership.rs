//! The state folder and its files, opened only if no other user could have written them.
//!
//! Recovery overwrites, unlinks and chmods the files that an intent names, and a restore trusts the journal. So whoever can
//! write the state acts with the rights of the user who runs this program next. Every open of the state goes through this
//! file, which refuses a folder or file that the effective user does not own, that its group or others may write (an
//! access control list that lets somebody write shows in the group's bits, acl(5)), or that is a link, FIFO, socket or
//! device.
//!
//! The state folder is opened once per [`super::Vault`], without following a link in its last component, and checked by its
//! descriptor. All else is opened relative to that descriptor. So whoever owns a folder above it can move it away, and can
//! not exchange it for another one during a run. No other user can add a name to a folder that passes the check.

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

/// A folder of the state that no other user can write: the state folder itself, or one in it.
#[derive(Clone, Debug)]
pub(super) struct StateFolder {
    path: PathBuf,
    dir: Arc<File>,
    /// The effective user when the state folder was opened.
    user: u32,
}

impl StateFolder {
    /// Opens the state folder and checks it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    pub(super) fn open(path: &Path) -> Result<StateFolder> {
        let user = rustix::process::geteuid().as_raw();
        // Without a slash or a dot at its end, by which the kernel would follow a link in spite of O_NOFOLLOW.
        let path: PathBuf = path.components().collect();
        StateFolder::open_at(rustix::fs::CWD, path.as_os_str(), &path, user)
    }

    fn open_at(parent: impl std::os::fd::AsFd, name: &OsStr, path: &Path, user: u32) -> Result<StateFolder> {
        let parent = parent.as_fd();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(|e| {
            why_not(parent, name, path, user).unwrap_or_else(|| {
                let error = Error::io("opening the state folder", e).on(path);
                if e == Errno::NOTDIR { error.remedy(Remedy::OtherStateFolder) } else { error }
            })
        })?;
        let stat = rustix::fs::fstat(&dir).map_err(|e| Error::io("looking at the state folder", e).on(path))?;
        judge(&stat, path, user)?;
        Ok(StateFolder { path: path.to_owned(), dir: Arc::new(dir.into()), user })
    }

    /// Its path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    pub(super) fn dir(&self) -> &File {
        &self.dir
    }

    /// Opens a folder in it.
    ///
    /// # Errors
    ///
    /// As [`StateFolder::open`].
    pub(super) fn folder(&self, name: &str) -> Result<StateFolder> {
        StateFolder::open_at(&self.dir, name.as_ref(), &self.path.join(name), self.user)
    }

    /// Makes a folder in it, if there is none, and opens it. The name is still to be flushed.
    ///
    /// # Errors
    ///
    /// As [`StateFolder::open`].
    pub(super) fn make_folder(&self, name: &str) -> Result<StateFolder> {
        match rustix::fs::mkdirat(&self.dir, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.folder(name),
            Err(e) => Err(Error::io("making the state folder", e).on(self.path.join(name))),
        }
    }

    /// Opens a file in it: a regular one, or none. It never waits for the other end of a FIFO, and a new file is this
    /// user's alone to write. `doing` says what it is opened for, for messages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    pub(super) fn file(&self, name: impl AsRef<OsStr>, doing: &str, access: OFlags) -> Result<File> {
        let name = name.as_ref();
        let path = self.path.join(name);
        if !is_plain(name) {
            return Err(Error::new(ErrorKind::Untrusted, "this name leads out of the state folder").on(path));
        }
        let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file: File = match rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => file.into(),
            Err(Errno::NOENT) => return Err(Error::io(doing, Errno::NOENT).on(path)),
            Err(e) => {
                let why = why_not(&self.dir, name, &path, self.user);
                return Err(why.unwrap_or_else(|| Error::io(doing, e).on(path)));
            }
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| Error::io(doing, e).on(&path))?;
        judge(&stat, &path, self.user)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file),
            _ => Err(Error::io(doing, Errno::ISDIR).on(path)),
        }
    }

    /// The names in it that are wanted, sorted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(super) fn names(&self, is_wanted: impl Fn(&Path) -> bool) -> Result<Vec<OsString>> {
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

    /// Checks everything in it by name, without opening it: to open a device can have an effect.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`] for the first one that is not trusted; [`ErrorKind::Io`].
    pub(super) fn check_all(&self) -> Result<()> {
        for name in self.names(|_| true)? {
            let path = || self.path.join(&name);
            match rustix::fs::statat(&self.dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => judge(&stat, &path(), self.user)?,
                // Another run takes its temporary files away.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(Error::io("looking at the state", e).on(path())),
            }
        }
        Ok(())
    }
}

/// Why a name that could not be opened is not to be trusted, if that is so.
fn why_not(parent: impl std::os::fd::AsFd, name: &OsStr, path: &Path, user: u32) -> Option<Error> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    judge(&stat, path, user).err()
}

/// Refuses what another user could have put there, or could write.
fn judge(stat: &Stat, path: &Path, user: u32) -> Result<()> {
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
        let what = format!("refused as state, because it is {kind}");
        return Err(untrusted(what).remedy(Remedy::RemoveOrOtherStateFolder));
    }
    if stat.st_uid != user {
        let what = format!("refused as state, because it belongs to user {} and not to user {user}", stat.st_uid);
        return Err(untrusted(what).remedy(Remedy::OwnStateFolder));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        let what = format!("refused as state, because other users can write it (mode {mode:04o})");
        return Err(untrusted(what).hint("check what is in it, then chmod go-w it"));
    }
    Ok(())
}

/// Is this the name of something in the folder itself?
pub(super) fn is_plain(name: &OsStr) -> bool {
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
    fn a_folder_is_opened_only_if_no_other_user_can_write_it() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("state");
        fs::create_dir(&path).unwrap();
        for mode in 0o700..=0o777 {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let is_refused = refusal(StateFolder::open(&path)).is_some();
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
            let refusal = refusal(StateFolder::open(&outer.path().join(name)));
            assert!(refusal.is_some_and(|what| what.contains("symbolic link")), "{name}");
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_opens_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(outer.path()).unwrap();
        for name in ["", ".", "..", "../x", "a/b", "/etc/hostname", "a/"] {
            assert!(refusal(folder.file(name, "opening", OFlags::RDONLY)).is_some(), "{name}");
        }
        assert!(is_plain("..a".as_ref()) && is_plain("a b".as_ref()));
    }

    #[test]
    fn a_fifo_is_refused_at_once_and_so_is_a_link() {
        let outer = tempfile::tempdir().unwrap();
        let folder = StateFolder::open(outer.path()).unwrap();
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
