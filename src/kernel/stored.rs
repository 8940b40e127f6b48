//! A module as a source of a kernel stores it. Pure.

use std::path::PathBuf;

/// A module of a kernel, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModule {
    /// The release of its kernel, if its place names one.
    pub release: Option<String>,
    /// Its path below its module tree.
    pub below: String,
    /// Its path, or its path in the package.
    pub path: String,
    /// The package that contains it.
    pub package: Option<PathBuf>,
    /// Its bytes, compressed or not, with the trailer.
    pub bytes: StoredBytes,
    /// When it was last changed, in seconds since the epoch, if a package records it.
    pub modified: Option<i64>,
}

/// The bytes of a stored module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredBytes {
    /// In memory: a package was decompressed for them.
    InMemory(Vec<u8>),
    /// In this file, which was not opened yet.
    InFile(PathBuf),
}
