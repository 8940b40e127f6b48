//! The facts and files of large sources without a cache (feature `cache`): they are read whenever somebody asks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::kernel::collect::FileSink;
use crate::kernel::facts::Facts;
use crate::kernel::image;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::origin::Origin;
use crate::module;

/// The facts of an image file, which the question is then about too.
///
/// # Errors
///
/// Those of [`module::file::read_up_to`] and [`image::facts`].
pub(super) fn image(source: &Origin, file: &Path, question: &KernelQuestion<'_>) -> Result<Facts> {
    let contents = module::file::read_up_to(file, question.max_size())?;
    question.budget.admit(contents.bytes().len());
    image_bytes(source, contents.bytes(), question)
}

/// The facts of an image file with these bytes.
///
/// # Errors
///
/// Those of [`image::facts`].
pub(super) fn image_bytes(source: &Origin, bytes: &[u8], question: &KernelQuestion<'_>) -> Result<Facts> {
    image::facts(source, bytes, question.budget)
}

/// The facts of a package: what `read` returns.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn package(
    source: &Origin,
    _: &[u8],
    _: &KernelQuestion<'_>,
    read: impl FnOnce(&Origin) -> Result<Facts>,
) -> Result<Facts> {
    read(source)
}

/// The facts of a module tree: what `read` returns.
pub(super) fn tree(folder: &Path, _: &[PathBuf], _: &KernelQuestion<'_>, read: impl FnOnce(&Origin) -> Facts) -> Facts {
    read(&Origin::File(folder.to_owned()))
}

/// The files of a package: what `read` returns.
///
/// # Errors
///
/// Those of `read`.
pub(super) fn files(
    _: &[u8],
    wanted: &BTreeSet<String>,
    _: &KernelQuestion<'_>,
    read: impl FnOnce(&BTreeSet<String>) -> Result<FileSink>,
) -> Result<FileSink> {
    read(wanted)
}
