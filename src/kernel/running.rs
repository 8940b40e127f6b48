//! The running kernel. It tells its release to anyone (uname(2)), but its version magic only through its modules.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Facts, Lookup, reference};

/// What a module of the running kernel's tree under `root` tells of it.
pub(super) fn facts(root: &Path, lookup: &Lookup) -> Result<Facts> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let tree = root.join("lib/modules").join(&release);
    let Some(module) = first_module(&tree.join("kernel"), 12) else {
        let what = format!("the running kernel ({release}) has no module here that tells its version magic");
        let hint = "name it by vermagic:STRING, or by a module of that kernel";
        return Err(Error::new(ErrorKind::NotFound, what).hint(hint).on(tree));
    };
    let facts = reference::facts(&module, lookup.max_size)?;
    let says =
        facts.vermagic.as_ref().and_then(|v| v.value.release()).map(|token| token.text.clone()).unwrap_or_default();
    if says != release {
        let what = format!("this module of the running kernel's tree is for {says}, not for {release}");
        return Err(Error::new(ErrorKind::Malformed, what).hint("name the kernel by vermagic:STRING").on(module));
    }
    Ok(facts)
}

/// The first module below a folder, by name, so that the answer is the same each time.
fn first_module(folder: &Path, depth: usize) -> Option<PathBuf> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).collect();
    names.sort();
    let is_module = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|end| name.ends_with(end)) && path.is_file()
    };
    let is_folder = |path: &&PathBuf| path.symlink_metadata().is_ok_and(|m| m.is_dir());
    let here = names.iter().find(|path| is_module(path)).cloned();
    here.or_else(|| names.iter().filter(is_folder).filter(|_| depth > 0).find_map(|path| first_module(path, depth - 1)))
}
