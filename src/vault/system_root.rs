//! The root folder of another system: a mounted disk, or the tree of a container or an image.
//!
//! The journal of that system has paths as the system itself sees them. [`SystemRoot::outside`] is where such a file is here, and
//! [`SystemRoot::inside`] leads back. Links are resolved as that system resolves them: an absolute link begins at its root folder, and `..`
//! does not lead above it, so no path leads out. Writes then open the resolved path without following a link ([`super::beneath`]), so a link
//! that is put there meanwhile stops them.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::KernelName;
use crate::vault::intent::Intent;
use crate::vault::record::JournalEntry;

/// How many links are followed for one path; as many as the kernel follows (MAXSYMLINKS, include/linux/namei.h).
const MOST_LINKS: usize = 40;

/// The root folder of another system.
#[derive(Clone, Debug)]
pub(crate) struct SystemRoot {
    folder: Arc<Path>,
    /// The folder that was resolved last, and where it is: files of one folder follow each other.
    last: Arc<Mutex<Option<(PathBuf, PathBuf)>>>,
}

impl SystemRoot {
    /// The root folder at this path.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if it can't be found; [`ErrorKind::Usage`] if it is no folder.
    pub(crate) fn open(folder: &Path) -> Result<SystemRoot> {
        let real = folder.canonicalize().map_err(|e| Error::io("looking for the root folder", e).on(folder))?;
        match real.is_dir() {
            true => Ok(SystemRoot { folder: real.into(), last: Arc::default() }),
            false => Err(Error::new(ErrorKind::Usage, "is no folder, and so no root folder").on(folder)),
        }
    }

    /// Its real path.
    #[cfg(test)]
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file of that system is here. The folder's links are resolved; the file itself may be one.
    pub(crate) fn outside(&self, path: &Path) -> PathBuf {
        let Some((folder, name)) = path.parent().zip(path.file_name()) else { return self.resolved(path) };
        let mut last = self.last.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((_, real)) = last.as_ref().filter(|(known, _)| known == folder) {
            return real.join(name);
        }
        let real = self.resolved(folder);
        *last = Some((folder.to_owned(), real.clone()));
        real.join(name)
    }

    /// Where a file or folder of that system is here, as a person names it: a link to a folder is that folder.
    pub(crate) fn named(&self, path: &Path) -> PathBuf {
        let outside = self.outside(path);
        let is_link = outside.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
        match is_link.then(|| self.resolved(path)).filter(|real| real.is_dir()) {
            Some(folder) => folder,
            None => outside,
        }
    }

    /// The kernel of this name: a release or a path that exists below the root folder names the kernel there.
    pub(crate) fn kernel_name(&self, name: &OsStr) -> KernelName {
        let path = Path::new(name);
        let below = match path.components().count() {
            1 => self.named(&Path::new("/lib/modules").join(path)),
            _ => self.named(path),
        };
        KernelName::from(if below.exists() { below.as_os_str() } else { name })
    }

    /// The path by which that system knows a file that is here.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.folder).map_or_else(|_| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// Where a path of that system leads, with all links resolved. Names after one that does not exist stay as they are.
    fn resolved(&self, path: &Path) -> PathBuf {
        let mut left: VecDeque<OsString> = VecDeque::new();
        let add = |path: &Path, left: &mut VecDeque<OsString>| {
            let names = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
            names.rev().for_each(|part| left.push_front(part.as_os_str().to_owned()));
        };
        add(path, &mut left);
        let (mut real, mut links) = (self.folder.to_path_buf(), 0);
        while let Some(name) = left.pop_front() {
            if name == ".." {
                if real.as_path() != &*self.folder {
                    real.pop();
                }
                continue;
            }
            let next = real.join(&name);
            match std::fs::read_link(&next) {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        real = self.folder.to_path_buf();
                    }
                    add(&target, &mut left);
                }
                _ => real = next,
            }
        }
        real
    }

    /// A line of that system's journal, with the path of its file here.
    pub(super) fn entry(&self, mut entry: JournalEntry) -> JournalEntry {
        if let Some(change) = &mut entry.change {
            change.path = self.outside(&change.path);
        }
        entry
    }

    /// An intent of that system, with the path of its file here.
    pub(super) fn intent(&self, mut intent: Intent) -> Intent {
        intent.change.path = self.outside(&intent.change.path);
        intent
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, SystemRoot) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("usr/lib/modules")).unwrap();
        fs::write(folder.path().join("usr/lib/modules/a.ko"), "").unwrap();
        let root = SystemRoot::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn absolute_links_begin_at_the_root_folder() {
        let (folder, root) = root();
        symlink("/usr/lib", folder.path().join("lib")).unwrap();
        symlink("/lib/modules", folder.path().join("modules")).unwrap();
        let expected = root.folder().join("usr/lib/modules/a.ko");
        assert_eq!(root.outside(Path::new("/lib/modules/a.ko")), expected);
        assert_eq!(root.outside(Path::new("modules/a.ko")), expected);
        assert_eq!(root.named(Path::new("/modules")), root.folder().join("usr/lib/modules"));
        assert_eq!(root.inside(&expected), Path::new("/usr/lib/modules/a.ko"));
    }

    #[test]
    fn no_path_leads_out() {
        let (folder, root) = root();
        symlink("../../../../../../etc", folder.path().join("up")).unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        for path in ["/../../etc/passwd", "/up/passwd", "/loop/x/y", "/usr/../../../etc/passwd", "/", "..", ""] {
            let outside = root.outside(Path::new(path));
            assert!(outside.starts_with(root.folder()), "{path}: {}", outside.display());
        }
        assert_eq!(root.outside(Path::new("/up/passwd")), root.folder().join("etc/passwd"));
    }

    #[test]
    fn the_file_itself_may_be_a_link_and_need_not_exist() {
        let (folder, root) = root();
        symlink("/etc/passwd", folder.path().join("usr/lib/modules/b.ko")).unwrap();
        let in_folder = |name: &str| root.folder().join("usr/lib/modules").join(name);
        for name in ["b.ko", "gone.ko"] {
            assert_eq!(root.outside(&Path::new("/usr/lib/modules").join(name)), in_folder(name));
        }
        assert_eq!(root.named(Path::new("/usr/lib/modules/b.ko")), in_folder("b.ko"));
        assert_eq!(root.outside(Path::new("/gone/er/x.ko")), root.folder().join("gone/er/x.ko"));
    }

    #[test]
    fn a_root_folder_is_a_folder() {
        let (folder, _) = root();
        let error = SystemRoot::open(&folder.path().join("usr/lib/modules/a.ko")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(SystemRoot::open(&folder.path().join("gone")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
