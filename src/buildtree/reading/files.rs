//! The text files and folders of a tree, read to a bound: whoever made the tree may have put anything in their places.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};

/// The most that is read of a file of a tree: a configuration has 300 KiB, `Module.symvers` some MiB.
const MOST: u64 = 64 << 20;

/// A file's text; `None` where it is not there. What is not UTF-8 becomes U+FFFD.
///
/// # Errors
///
/// [`ErrorKind::Io`] if it is there and can't be read, [`ErrorKind::TooLarge`] if it is no text of a kernel's tree.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("opening", error).hint("make would not read it either").on(path)),
    };
    // A device or a pipe would never end.
    if !meta.is_file() {
        let what = "no regular file";
        return Err(Error::new(ErrorKind::Malformed, what).hint("put the tree's own file there").on(path));
    }
    let file = fs::File::open(path)
        .map_err(|e| Error::io("opening", e).hint("make it readable for you, or run this as its owner").on(path))?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e).on(path))?;
    if bytes.len() as u64 > MOST {
        return Err(Error::new(ErrorKind::TooLarge, format!("it has more than {MOST} bytes"))
            .hint("put the tree's own file there")
            .on(path));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// The names in a folder, sorted by their bytes; none where it can't be read.
pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
