//! Reads text files and folders of a tree up to a limit, because anybody can have made the tree.

use std::fs;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::module::file;

/// The largest file that is read, in bytes: a configuration has 300 KiB, `Module.symvers` some MiB.
const MOST: u64 = 64 << 20;

/// A file's text; `None` if there is no file. Bytes that are not UTF-8 become U+FFFD.
///
/// # Errors
///
/// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Malformed`] if it is not a regular file, [`ErrorKind::TooLarge`] if it
/// is larger than any text file of a kernel's tree.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("opening", error).hint("make could not read it either").on(path)),
    };
    // Reading a device or a pipe might never end.
    if !meta.is_file() {
        let what = "not a regular file";
        return Err(Error::new(ErrorKind::Malformed, what).hint("put the tree's own file there").on(path));
    }
    let bytes = file::read_small(path, MOST).map_err(|e| match e.kind() {
        ErrorKind::TooLarge | ErrorKind::NotAModule => e.hint("put the tree's own file there"),
        _ => e.hint("make it readable for you, or run this as its owner"),
    })?;
    Ok(Some(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())))
}

/// The names in a folder, sorted by bytes; none if it cannot be read.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
