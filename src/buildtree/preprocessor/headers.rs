//! Where headers come from, and in which folders `#include` looks for them.

use std::path::PathBuf;

use crate::error::Result;

/// Where headers come from.
pub trait HeaderSource {
    /// The file at a path below the tree (`include/linux/vermagic.h`), or `None` if there is none. In a tree of several folders
    /// (an `O=` build, a package of two parts) each is searched.
    ///
    /// # Errors
    ///
    /// If the file exists and cannot be read.
    fn read(&self, path: &str) -> Result<Option<HeaderFile>>;
}

/// A header.
#[derive(Clone, Debug)]
pub struct HeaderFile {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// A folder in which `#include` looks for headers, as the compiler's `-I` names it.
#[derive(Clone, Debug)]
pub struct IncludeFolder {
    /// Only names with this prefix are looked for here. Empty for a folder of `-I`; `asm/` for the target of a link that a build
    /// creates, and that may not exist yet.
    pub prefix: String,
    /// The folder below the tree that replaces the prefix, with a slash at its end.
    pub path: String,
}

/// A name in a folder, without `.` and `..`; `None` if it is outside of the tree, or too long for a file (`NAME_MAX`,
/// `PATH_MAX`).
pub(super) fn below(folder: &str, name: &str) -> Option<String> {
    let is_impossible = name.len() > 2048 || name.contains('\0') || name.split('/').any(|part| part.len() > 255);
    if is_impossible || name.starts_with('/') {
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
