//! A line of a file: the source of a statement about a tree. Pure.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::buildtree::preprocessor::Location;
use crate::escape;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FileLine {
    /// The file, as it was opened: below the named folder, if it is in it.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// Its line, counted from 1; 0 is the file as a whole.
    pub line: usize,
}

/// A path in a document: bytes that are not UTF-8 become U+FFFD.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

impl FileLine {
    /// A line of a file.
    pub fn new(file: impl AsRef<Path>, line: usize) -> Self {
        FileLine { file: file.as_ref().to_owned(), line }
    }

    /// A file as a whole.
    pub fn whole(file: impl AsRef<Path>) -> Self {
        FileLine::new(file, 0)
    }
}

impl fmt::Display for FileLine {
    /// `FILE:LINE`, or `FILE` for the file as a whole. Control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::bytes_for_eyes(self.file.as_os_str().as_bytes()))?;
        match self.line {
            0 => Ok(()),
            line => write!(f, ":{line}"),
        }
    }
}

impl From<Location> for FileLine {
    fn from(location: Location) -> Self {
        FileLine { file: location.file, line: location.line }
    }
}

impl From<&FileLine> for Location {
    fn from(line: &FileLine) -> Self {
        Location { file: line.file.clone(), line: line.line }
    }
}
