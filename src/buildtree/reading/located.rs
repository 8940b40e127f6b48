//! A value, where it was read, and how it was determined. Pure.

use std::path::PathBuf;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;

/// A value, where it was read, and how it was determined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The line that it comes from.
    pub place: FileLine,
    /// How it was determined, in words: "its Makefile includes the source's".
    pub how: String,
}

/// A [`Located`] path, written as [`lossy`](crate::buildtree::file_line::lossy) writes one.
pub(super) fn located_path<S: serde::Serializer>(known: &Located<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let Located { value, place, how } = known;
    let value = value.to_string_lossy().into_owned();
    Located { value, place: place.clone(), how: how.clone() }.serialize(serializer)
}
