//! (filled in next)

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::kernel::{Facts, Lookup, image};
use crate::module;

pub(super) fn image(source: &str, file: &Path, lookup: &Lookup) -> Result<Facts> {
    image_bytes(source, module::file::read(file)?.bytes(), lookup)
}

pub(super) fn image_bytes(source: &str, bytes: &[u8], lookup: &Lookup) -> Result<Facts> {
    image::facts(source, bytes, lookup.max_size)
}

pub(super) fn tree(_folder: &Path, _files: &[PathBuf], _lookup: &Lookup, read: impl FnOnce() -> Facts) -> Facts {
    read()
}
