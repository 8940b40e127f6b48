//! A file of a package.

use crate::kernel::place::{FileRole, KernelGroup};

/// A file of a package that is worth reading.
pub(super) struct PackagedFile {
    pub(super) role: FileRole,
    pub(super) group: KernelGroup,
    /// Its path in the package.
    pub(super) path: String,
    /// Its path in its group.
    pub(super) below: String,
    pub(super) bytes: Vec<u8>,
    /// When it was last changed, in seconds since the epoch, as the package records it.
    pub(super) modified: Option<u64>,
}
