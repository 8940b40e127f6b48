//! What the files of a folder or a package are, by their places in it. Pure.
//!
//! | place | role |
//! |---|---|
//! | `boot/vmlinuz-REL`, `boot/config-REL`, `boot/System.map-REL` | image, configuration, symbols |
//! | `boot/vmlinuz-FLAVOUR` (Alpine's `vmlinuz-lts`, `vmlinuz-linux` on Arch) | the same; the release is read from the image |
//! | `lib/modules/REL/…`, `usr/lib/modules/REL/…` | the module tree; image and configuration too, in newer packages |
//! | `boot/symvers-REL.xz`, `lib/modules/REL/symvers.xz` (or gz, zst) | the exports, compressed |
//! | `lib/modules/REL/build/Module.symvers` | the exports, if `build` is a folder and not a link |
//! | `usr/src/NAME/…`, `usr/src/kernels/REL/…` | a build tree or unpacked headers |
//! | `vmlinux`, `.config`, `Module.symvers`, `include/…`, `arch/*/boot/…` | the folder or package itself is such a tree |
//! | any other `*.ko*` | the folder or package itself is a module tree |

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::module::is_module_name;

/// The role of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel) enum FileRole {
    /// `vmlinuz`, `vmlinux`, `bzImage` and so on.
    Image,
    /// `config-REL`, `.config`.
    Config,
    /// `System.map`.
    SystemMap,
    /// `Module.symvers`, or `symvers.xz` and the like.
    Symvers,
    /// `include/generated/utsrelease.h`.
    Release,
    /// `include/config/kernel.release`, from which utsrelease.h is generated. Debian replaces utsrelease.h: for one build of
    /// 6.1 this file has 6.1.192, and utsrelease.h has the kernel's release, 6.1.0-56-amd64.
    BaseRelease,
    /// `modules.builtin`.
    BuiltIn,
    /// `modules.builtin.modinfo`.
    BuiltInModinfo,
    /// `modules.order`: all modules that were built, present or not.
    Order,
    /// A module's file.
    Module,
}

/// The place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct BundlePath<'p> {
    /// Its role.
    pub(in crate::kernel) role: FileRole,
    /// The group that it belongs to.
    pub(in crate::kernel) group: KernelGroup,
    /// Its path in the group.
    pub(in crate::kernel) below: &'p str,
}

/// The kernel or tree that a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::kernel) enum KernelGroup {
    /// A kernel by its release.
    Release(String),
    /// A build tree or module tree by its folder, which is empty for the whole folder or package. The release is read from its
    /// files.
    Folder(String),
}

impl KernelGroup {
    /// The release, if the group is known by it.
    pub(in crate::kernel) fn release(&self) -> Option<&str> {
        match self {
            KernelGroup::Release(release) => Some(release),
            KernelGroup::Folder(_) => None,
        }
    }
}

/// Classifies a file by its path, with `/` between the parts and none at its start. `None` for a file that yields no fact
/// about a kernel.
pub(in crate::kernel) fn classify(path: &str) -> Option<BundlePath<'_>> {
    let merged = path.strip_prefix("usr/").unwrap_or(path);
    if let Some(rest) = merged.strip_prefix("lib/modules/") {
        let (release, below) = rest.split_once('/')?;
        // Both are usually links to a build tree, which is read by its own name.
        let is_build = below.starts_with("build/") || below.starts_with("source/");
        if release.is_empty() || is_build && below != IN_BUILD {
            return None;
        }
        return Some(BundlePath { role: in_tree(below)?, group: KernelGroup::Release(release.to_owned()), below });
    }
    if let Some(name) = path.strip_prefix("boot/") {
        let (role, release) = in_boot(name)?;
        // A release begins with a number (VERSION, Makefile of the kernel), a flavour does not.
        let group = match release.starts_with(|first: char| first.is_ascii_digit()) {
            true => KernelGroup::Release(release.to_owned()),
            false => KernelGroup::Folder(format!("boot/*-{release}")),
        };
        return Some(BundlePath { role, group, below: name });
    }
    if let Some(rest) = path.strip_prefix("usr/src/") {
        let start = if rest.starts_with("kernels/") { "kernels/".len() } else { 0 };
        let end = start + rest.get(start..)?.find('/')?;
        let (folder, below) = (rest.get(..end)?, rest.get(end + 1..)?);
        let role = in_build(below)?;
        return Some(BundlePath { role, group: KernelGroup::Folder(format!("usr/src/{folder}")), below });
    }
    let role = in_build(path).or_else(|| in_tree(path))?;
    Some(BundlePath { role, group: KernelGroup::Folder(String::new()), below: path })
}

/// `vmlinuz-REL` and so on.
pub(in crate::kernel) fn in_boot(name: &str) -> Option<(FileRole, &str)> {
    let starts = [
        ("vmlinuz-", FileRole::Image),
        ("vmlinux-", FileRole::Image),
        ("Image-", FileRole::Image),
        ("config-", FileRole::Config),
        ("System.map-", FileRole::SystemMap),
    ];
    let symvers = name.strip_prefix("symvers-").map(|rest| (FileRole::Symvers, without_ending(rest)));
    let found = starts.iter().find_map(|(start, role)| Some((*role, name.strip_prefix(start)?)));
    found.or(symvers).filter(|(_, release)| !release.is_empty() && !release.contains('/'))
}

/// The name without the ending of a compression format.
fn without_ending(name: &str) -> &str {
    [".xz", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The exports in a module tree whose `build` is a folder, as on Arch (its package linux-headers).
pub(in crate::kernel) const IN_BUILD: &str = "build/Module.symvers";

/// The role of a file in a module tree.
fn in_tree(below: &str) -> Option<FileRole> {
    match below {
        "vmlinuz" | "vmlinux" => Some(FileRole::Image),
        "config" => Some(FileRole::Config),
        "System.map" => Some(FileRole::SystemMap),
        "modules.builtin" => Some(FileRole::BuiltIn),
        "modules.builtin.modinfo" => Some(FileRole::BuiltInModinfo),
        "modules.order" => Some(FileRole::Order),
        "Module.symvers" | IN_BUILD => Some(FileRole::Symvers),
        _ if without_ending(below) == "symvers" => Some(FileRole::Symvers),
        _ => is_module_name(below).then_some(FileRole::Module),
    }
}

/// The role of a file in a build tree.
fn in_build(below: &str) -> Option<FileRole> {
    const IN_BOOT: [&str; 6] = ["bzImage", "Image", "Image.gz", "zImage", "uImage", "vmlinuz.efi"];
    match below {
        "vmlinux" | "vmlinuz" => Some(FileRole::Image),
        ".config" => Some(FileRole::Config),
        "System.map" => Some(FileRole::SystemMap),
        "Module.symvers" => Some(FileRole::Symvers),
        "include/generated/utsrelease.h" => Some(FileRole::Release),
        "include/config/kernel.release" => Some(FileRole::BaseRelease),
        _ => {
            let (_, name) = below.strip_prefix("arch/")?.split_once("/boot/")?;
            IN_BOOT.contains(&name).then_some(FileRole::Image)
        }
    }
}

/// Fails if there are several kernels, and names them.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`].
pub(in crate::kernel) fn must_be_one(names: &BTreeSet<&str>) -> Result<()> {
    if names.len() < 2 {
        return Ok(());
    }
    let what = format!("{} kernels in it: {}", names.len(), shortened(names));
    let hint = "name one of them: its file in boot, or its folder in lib/modules";
    Err(Error::new(ErrorKind::Ambiguous, what).hint(hint))
}

/// The first eight names.
fn shortened(names: &BTreeSet<&str>) -> String {
    let mut text = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        text.push_str(", …");
    }
    text
}

/// The release in `#define UTS_RELEASE "…"`, or in a file with nothing else.
pub(in crate::kernel) fn release(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let release = match text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE ")) {
        Some(quoted) => quoted.trim().trim_matches('"'),
        None => line.trim(),
    };
    // A release must fit into utsname (include/uapi/linux/utsname.h).
    (!release.is_empty() && release.len() <= 64 && !release.contains(char::is_whitespace)).then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(path: &str) -> Option<(FileRole, KernelGroup)> {
        classify(path).map(|place| (place.role, place.group))
    }

    #[test]
    fn a_file_is_classified_by_its_place() {
        let release = |name: &str| KernelGroup::Release(name.to_owned());
        let folder = |name: &str| KernelGroup::Folder(name.to_owned());
        assert_eq!(classified("boot/vmlinuz-6.1"), Some((FileRole::Image, release("6.1"))));
        assert_eq!(classified("boot/config-6.1"), Some((FileRole::Config, release("6.1"))));
        assert_eq!(classified("boot/vmlinuz-lts"), Some((FileRole::Image, folder("boot/*-lts"))));
        assert_eq!(classified("usr/lib/modules/7.2/vmlinuz"), Some((FileRole::Image, release("7.2"))));
        assert_eq!(classified("lib/modules/6.1/kernel/fs/a.ko.xz"), Some((FileRole::Module, release("6.1"))));
        assert_eq!(
            classified("usr/src/linux-headers-6.1/.config"),
            Some((FileRole::Config, folder("usr/src/linux-headers-6.1")))
        );
        assert_eq!(classified("arch/x86/boot/bzImage"), Some((FileRole::Image, folder(""))));
        assert_eq!(classified("kernel/fs/a.ko"), Some((FileRole::Module, folder(""))));
    }

    #[test]
    fn exports_are_next_to_the_image_in_the_module_tree_or_in_a_build_folder() {
        let symvers = |group| Some((FileRole::Symvers, group));
        let release = || symvers(KernelGroup::Release("6.12.0-1.el10".to_owned()));
        for ending in [".xz", ".gz", ".zst", ""] {
            assert_eq!(classified(&format!("boot/symvers-6.12.0-1.el10{ending}")), release());
            assert_eq!(classified(&format!("lib/modules/6.12.0-1.el10/symvers{ending}")), release());
            assert_eq!(classified(&format!("symvers{ending}")), symvers(KernelGroup::Folder(String::new())));
        }
        assert_eq!(classified("usr/lib/modules/6.12.0-1.el10/build/Module.symvers"), release());
        let headers = "usr/src/kernels/6.12.0-1.el10";
        assert_eq!(classified(&format!("{headers}/Module.symvers")), symvers(KernelGroup::Folder(headers.to_owned())));
        for other in [
            "boot/symvers-.xz",
            "boot/symvers.xz",
            "lib/modules/6.12/kernel/symvers.xz",
            "lib/modules/6.12/symvers.bz2",
        ] {
            assert_eq!(classified(other), None, "{other}");
        }
    }

    #[test]
    fn files_without_facts_are_left_out() {
        for path in ["usr/share/doc/x", "lib/modules/6.1/build/vmlinux", "lib/modules/6.1", "boot/grub/grub.cfg", ""] {
            assert_eq!(classified(path), None, "{path}");
        }
    }

    #[test]
    fn a_release_is_found_in_both_files_that_have_it() {
        assert_eq!(release("#define UTS_RELEASE \"6.1.0-1-amd64\"\n").as_deref(), Some("6.1.0-1-amd64"));
        assert_eq!(release("6.1.0-1-amd64\n").as_deref(), Some("6.1.0-1-amd64"));
        assert_eq!(release(""), None);
    }
}
