//! Where headers come from, and in which folders `#include` looks for them.

use std::path::PathBuf;

use crate::error::Result;

/// Where headers come from.
pub trait HeaderSource {
    /// The file at a path below the tree (`include/linux/vermagic.h`), or `None` where there is none. A tree of several
    /// folders (an `O=` build, a package that is split) looks in each. An error is for a file that is there and can't
    /// be read.
    fn read(&self, path: &str) -> Result<Option<HeaderFile>>;
}

/// A header as it was found.
#[derive(Clone, Debug)]
pub struct HeaderFile {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Where `#include` looks, as the compiler's `-I` says it: one folder after the other.
#[derive(Clone, Debug)]
pub struct IncludeFolder {
    /// Names that do not begin so are not looked for here. Empty for a folder as `-I` names one; `asm/` where that is
    /// a link that a build makes, and may not be made yet.
    pub prefix: String,
    /// What the prefix stands for, below the tree, with a slash at its end.
    pub path: String,
}

/// A name in a folder, without `.` and `..`; `None` where it leads out of the tree, or can be no file's (`NAME_MAX`,
/// `PATH_MAX`).
pub(super) fn below(folder: &str, name: &str) -> Option<String> {
    let can_not_be = name.len() > 2048 || name.contains('\0') || name.split('/').any(|part| part.len() > 255);
    if can_not_be || name.starts_with('/') {
        return None;
    }
    let mut path: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}
