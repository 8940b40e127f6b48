//! The kernels that `tests/real/fetch` keeps, and the reason why one of them is missing. A test that needs a missing kernel
//! fails with the kernel's name; no test is skipped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use kmodlab::kernel::Lookup;

use crate::support::KMODLAB;

/// How tests read these kernels if reading them is not what they test: large enough for each image, and each kernel is read only
/// once. Each test program has its own folder, since a value that another program cached is computed again.
pub(crate) static LOOKUP: LazyLock<Lookup> = LazyLock::new(|| {
    let program = std::env::current_exe().unwrap();
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("facts").join(program.file_name().unwrap());
    Lookup { max_size: 1 << 30, cache: Some(cache) }
});

/// The folder in which `tests/real/fetch` keeps everything: its real path, which is also valid inside `tests/real/chroot`.
pub(crate) fn top() -> PathBuf {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real");
    top.canonicalize().unwrap_or(top)
}

/// The program, for a test that asks it about these kernels: it reads each kernel only once.
pub(crate) fn kmodlab() -> Command {
    let mut command = Command::new(KMODLAB);
    command.env("XDG_CACHE_HOME", cache());
    command
}

/// Where the program caches facts of these kernels; a path that is also valid inside `tests/real/chroot`.
pub(crate) fn cache() -> PathBuf {
    top().join("cache")
}

/// The folder of a kernel's packages. The test fails if the kernel is missing.
pub(crate) fn folder(name: &str) -> PathBuf {
    folder_in(&top(), name).unwrap_or_else(|why| panic!("{why}"))
}

/// The folder of a kernel's packages, or why there is none.
pub(crate) fn folder_in(top: &Path, name: &str) -> Result<PathBuf, String> {
    let folder = top.join("deb").join(name);
    if folder.join(".complete").exists() {
        return Ok(folder);
    }
    let why = std::fs::read_to_string(folder.join(".missing"));
    let why = why.map_or(String::new(), |why| format!(" ({})", why.trim_end()));
    Err(format!("{name} is not there{why}: run tests/real/fetch {name}"))
}

/// The packages of a kernel for the program: image and modules, without headers.
pub(crate) fn packages(name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let is_part = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".deb") && !name.starts_with("linux-headers")
    };
    let mut parts: Vec<PathBuf> = files.filter(is_part).collect();
    parts.sort();
    parts
}

/// The package of a kernel's headers, which contains its configuration for every release.
pub(crate) fn headers(name: &str) -> PathBuf {
    let mut files = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let is_headers = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("linux-headers");
    files.find(is_headers).unwrap_or_else(|| panic!("{name} has no headers: run tests/real/fetch {name}"))
}

/// A kernel as an argument for the program: its package, or its two packages, joined with `+`.
pub(crate) fn named(name: &str) -> OsString {
    let parts: Vec<OsString> = packages(name).into_iter().map(PathBuf::into_os_string).collect();
    parts.join("+".as_ref())
}
