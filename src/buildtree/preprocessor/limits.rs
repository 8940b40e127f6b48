//! How much is read and computed before it is an error.

use crate::error::{Error, ErrorKind};

/// How much is read and computed before it is an error. No kernel's headers come near these limits.
#[derive(Clone, Copy, Debug)]
pub struct PreprocessorLimits {
    /// Files that are read.
    pub files: usize,
    /// Bytes of all files.
    pub bytes: usize,
    /// Headers within headers. gcc has 200.
    pub depth: usize,
    /// Directives that are processed, and tokens that are created.
    pub steps: u64,
}

impl Default for PreprocessorLimits {
    fn default() -> Self {
        PreprocessorLimits { files: 5_000, bytes: 64 << 20, depth: 100, steps: 3_000_000 }
    }
}

/// Arguments within arguments, and brackets within brackets in an expression.
pub(super) const MOST_NESTED: usize = 100;

/// The error of a limit that was exceeded.
pub(super) fn too_much(why: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("its headers cannot be evaluated: {why}")).hint("is this a kernel's tree?")
}
