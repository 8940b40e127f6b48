//! A kernel known by one of its modules.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Fact, Kernel, Machine};
use crate::module;

/// What a module tells of the kernel that it was built for.
pub(super) fn facts(path: &Path, max_size: u64) -> Result<Kernel> {
    if path.is_dir() {
        let hint = "name a module in it; folders, images and packages are not read yet";
        return Err(Error::new(ErrorKind::Unsupported, "a folder does not name a kernel here").hint(hint).on(path));
    }
    let module = module::open_unhashed(path, max_size).map_err(|e| match e.kind() {
        ErrorKind::NotFound => e.hint("a kernel is: running, vermagic:STRING, or a module of that kernel"),
        _ => e,
    })?;
    let missing = || Error::new(ErrorKind::NotFound, "this module has no version magic").on(path);
    let source = format!("module {}", path.display());
    let vermagic = Fact { value: module.vermagic().ok_or_else(missing)?, source: source.clone() };
    let layout = module.versions.crc(b"module_layout");
    Ok(Kernel {
        name: String::new(),
        vermagic,
        machine: Some(Fact { value: Machine::of(&module), source: source.clone() }),
        module_layout: layout.map(|value| Fact { value, source }),
    })
}
