//! The limits and the cache that all readers of kernels share.

use std::path::PathBuf;

use crate::module::container::DEFAULT_MAX_SIZE;

/// How kernels are read.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The most bytes that a compressed file may have when it is decompressed.
    pub max_size: u64,
    /// The folder in which facts of large sources are cached; `None` caches nothing.
    pub cache: Option<PathBuf>,
}

impl Default for Lookup {
    /// Files may decompress to 1 GiB; nothing is cached.
    fn default() -> Lookup {
        Lookup { max_size: DEFAULT_MAX_SIZE, cache: None }
    }
}
