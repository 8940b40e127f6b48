//! A kernel known by one of its modules.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Fact;
use crate::module;
use crate::vermagic::Vermagic;

/// The version magic of the kernel that this module was built for.
pub(super) fn vermagic(path: &Path, max_size: u64) -> Result<Fact<Vermagic>> {
    if path.is_dir() {
        let hint = "name a module in it; folders, images and packages are not read yet";
        return Err(Error::new(ErrorKind::Unsupported, "a folder does not name a kernel here").hint(hint).on(path));
    }
    let module = module::open_unhashed(path, max_size).map_err(|e| match e.kind() {
        ErrorKind::NotFound => e.hint("a kernel is: running, vermagic:STRING, or a module of that kernel"),
        _ => e,
    })?;
    let missing = || Error::new(ErrorKind::NotFound, "this module has no version magic").on(path);
    let value = module.vermagic().ok_or_else(missing)?;
    Ok(Fact { value, source: format!("module {}", path.display()) })
}
