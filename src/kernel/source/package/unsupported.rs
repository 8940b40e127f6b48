//! In place of the reader of archives in a build without the feature `packages`.

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::place::BundlePath;
use crate::kernel::source::package::member::PackagedFile;

pub(super) fn walk(
    _: &[u8],
    _: &WorkBudget,
    _: impl Fn(&BundlePath<'_>) -> bool,
    _: impl FnMut(PackagedFile) -> Result<()>,
) -> Result<()> {
    let what = "a package, which this build cannot read: it was built without the feature packages";
    Err(Error::new(ErrorKind::Unsupported, what).hint("unpack it, and name the folder"))
}

pub(super) fn architecture_name(_: &[u8], _: &WorkBudget) -> Option<String> {
    None
}
