//! The limits and the cache that all readers of kernels share.

use std::path::{Path, PathBuf};

use crate::budget::{DEFAULT_MAX_SIZE, WorkBudget};

/// How kernels are read.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The most bytes that a compressed file may have when it is decompressed. Above 1 GiB it also raises the limit on all
    /// decompression for one kernel, in proportion ([`ErrorKind::TooMuchWork`](crate::ErrorKind::TooMuchWork)).
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

/// One question about a kernel: how its sources are read, and the work that the answer may still cost.
pub(in crate::kernel) struct KernelQuestion<'l> {
    lookup: &'l Lookup,
    /// One budget for all sources, for all files in them, and for whatever is packed in those.
    pub(in crate::kernel) budget: &'l WorkBudget,
}

impl<'l> KernelQuestion<'l> {
    pub(in crate::kernel) fn new(lookup: &'l Lookup, budget: &'l WorkBudget) -> KernelQuestion<'l> {
        KernelQuestion { lookup, budget }
    }

    /// The greatest size of a single decompressed file, in bytes.
    pub(in crate::kernel) fn max_size(&self) -> u64 {
        self.lookup.max_size
    }

    /// The folder in which facts are cached.
    pub(in crate::kernel) fn cache(&self) -> Option<&'l Path> {
        self.lookup.cache.as_deref()
    }
}
