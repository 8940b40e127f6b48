//! A line of a file.

use std::path::PathBuf;

/// A line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// The file, as [`HeaderSource`](super::headers::HeaderSource) names it.
    pub file: PathBuf,
    /// Its line, counted from 1; 0 is the file as a whole.
    pub line: usize,
}
