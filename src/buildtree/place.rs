//! Where in a tree something stands. Pure.

use std::path::PathBuf;

use serde::Serialize;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file, as it was opened: below the folder that was named, where it is in it.
    pub file: PathBuf,
    /// Its line, counted from 1; 0 is the file as a whole.
    pub line: usize,
}
