//! The name of a kernel, as users and options give it, parsed once.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::kernel::pasted;
use crate::vermagic::Vermagic;

/// The prefix of a version magic that is given instead of a kernel.
const VERMAGIC: &str = "vermagic:";

/// The most parts of one name.
const MOST_PARTS: usize = 8;

/// The name of a kernel: `running`, `vermagic:STRING`, a path, or several paths with `+` between them.
///
/// ```
/// use kmodlab::KernelName;
///
/// assert_eq!(KernelName::from("running"), KernelName::Running);
/// assert_eq!(KernelName::from("vermagic:6.1.0 SMP ").to_string(), "vermagic:6.1.0 SMP ");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelName {
    /// The kernel that this machine runs.
    Running,
    /// A kernel of which only the version magic is given.
    Vermagic(Vermagic),
    /// Files or folders of one kernel: images, packages, module trees, modules, lists of symbols, configurations. Their
    /// contents determine what they are.
    Paths(Vec<PathBuf>),
}

impl KernelName {
    /// The paths in it; none for `running` and for a version magic.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            KernelName::Paths(paths) => paths,
            KernelName::Running | KernelName::Vermagic(_) => &[],
        }
    }
}

impl From<&OsStr> for KernelName {
    /// Parses a name. What people paste names a kernel too: the loader's line `version magic 'A' should be 'B'`, `uname -a`, the
    /// text of /proc/version, and `dmesg:FILE`, a log with such a line. Packages have a `+` in their names, so the whole name is tried as a path first, and a `+` separates
    /// two paths only if both exist. A name that fits nothing is one path.
    fn from(name: &OsStr) -> KernelName {
        let bytes = name.as_bytes();
        if bytes == b"running" {
            return KernelName::Running;
        }
        if let Some(string) = bytes.strip_prefix(VERMAGIC.as_bytes()) {
            return KernelName::Vermagic(Vermagic::parse(pasted::unquoted(string)));
        }
        if !Path::new(name).exists()
            && let Some(vermagic) = pasted::vermagic(name)
        {
            return KernelName::Vermagic(vermagic);
        }
        let whole = || vec![PathBuf::from(name)];
        KernelName::Paths(match Path::new(name).exists() {
            true => whole(),
            false => split(bytes, 0).unwrap_or_else(whole),
        })
    }
}

impl From<&str> for KernelName {
    fn from(name: &str) -> KernelName {
        KernelName::from(OsStr::new(name))
    }
}

impl From<&Path> for KernelName {
    fn from(path: &Path) -> KernelName {
        KernelName::from(path.as_os_str())
    }
}

impl FromStr for KernelName {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<KernelName, Infallible> {
        Ok(KernelName::from(name))
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KernelName::Running => f.write_str("running"),
            KernelName::Vermagic(vermagic) => write!(f, "{VERMAGIC}{}", String::from_utf8_lossy(vermagic.as_bytes())),
            KernelName::Paths(paths) => {
                for (index, path) in paths.iter().enumerate() {
                    write!(f, "{}{}", if index == 0 { "" } else { "+" }, path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl Serialize for KernelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Splits a name at `+` into paths that all exist, with the longest possible first path.
fn split(name: &[u8], depth: usize) -> Option<Vec<PathBuf>> {
    let path = |bytes: &[u8]| PathBuf::from(OsString::from(OsStr::from_bytes(bytes)));
    if depth > 0 && path(name).exists() {
        return Some(vec![path(name)]);
    }
    if depth == MOST_PARTS {
        return None;
    }
    for at in memchr::memrchr_iter(b'+', name) {
        let (first, rest) = (name.get(..at)?, name.get(at + 1..)?);
        if !first.is_empty()
            && path(first).exists()
            && let Some(rest) = split(rest, depth + 1)
        {
            return Some([vec![path(first)], rest].concat());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_separates_only_paths_that_exist() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["image+zst.deb", "modules"] {
            std::fs::write(path(name), "").unwrap();
        }
        let whole = path("image+zst.deb");
        assert_eq!(KernelName::from(whole.as_path()).paths(), std::slice::from_ref(&whole));
        let both = format!("{}+{}", whole.display(), path("modules").display());
        assert_eq!(KernelName::from(both.as_str()).paths(), [whole, path("modules")]);
        assert_eq!(KernelName::from(both.as_str()).to_string(), both);
        let missing = format!("{}+{}", path("modules").display(), path("none").display());
        assert_eq!(KernelName::from(missing.as_str()).paths(), [PathBuf::from(&missing)]);
    }
}
