//! A bundle of named files: what a folder or a package holds of a kernel, told by the files' places in it.
//!
//! | place | what it is |
//! |---|---|
//! | `boot/vmlinuz-REL`, `boot/config-REL`, `boot/System.map-REL` | image, configuration, symbols |
//! | `boot/vmlinuz-FLAVOUR` (Alpine's `vmlinuz-lts`, `vmlinuz-linux` on Arch) | the same; the image itself tells the release |
//! | `lib/modules/REL/…`, `usr/lib/modules/REL/…` | the module tree; image and configuration too, in newer packages |
//! | `boot/symvers-REL.xz`, `lib/modules/REL/symvers.xz` (or gz, zst) | the exports, packed |
//! | `lib/modules/REL/build/Module.symvers` | the exports; where `build` is a folder and no link |
//! | `usr/src/NAME/…`, `usr/src/kernels/REL/…` | a build tree or unpacked headers |
//! | `vmlinux`, `.config`, `Module.symvers`, `include/…`, `arch/*/boot/…` | the bundle itself is such a tree |
//! | any other `*.ko*` | the bundle itself is a module tree |

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind, Result};
use crate::module::is_module_name;

/// What a file of a bundle is.
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
    /// `include/config/kernel.release`, from which the other is made. Debian puts its own in place of the other: for 6.1
    /// this one says 6.1.192, and the other 6.1.0-56-amd64, which it is.
    BaseRelease,
    /// `modules.builtin`.
    BuiltIn,
    /// `modules.builtin.modinfo`.
    BuiltInModinfo,
    /// `modules.order`: all modules that were built, whether they are here or not.
    Order,
    /// A module's file.
    Module,
}

/// Where in a bundle a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kernel) struct BundlePath<'p> {
    /// What it is.
    pub(in crate::kernel) role: FileRole,
    /// What it belongs to.
    pub(in crate::kernel) group: KernelGroup,
    /// Its path in that.
    pub(in crate::kernel) below: &'p str,
}

/// What a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::kernel) enum KernelGroup {
    /// A kernel by its release.
    Release(String),
    /// A build tree or module tree by its folder in the bundle, empty for the bundle itself. What it holds tells the
    /// release.
    Folder(String),
}

/// What a file is by its place: a path with `/`, without one at its start. `None` for what tells nothing of a kernel.
pub(in crate::kernel) fn classify(path: &str) -> Option<BundlePath<'_>> {
    let merged = path.strip_prefix("usr/").unwrap_or(path);
    if let Some(rest) = merged.strip_prefix("lib/modules/") {
        let (release, below) = rest.split_once('/')?;
        // Both are mostly links to a build tree, which is another bundle.
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

/// The name without the ending of what packed the file.
fn without_ending(name: &str) -> &str {
    [".xz", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The exports in a module tree whose `build` is a folder: so Arch has it (its package linux-headers).
pub(in crate::kernel) const IN_BUILD: &str = "build/Module.symvers";

/// What a file of a module tree is.
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

/// What a file of a build tree is.
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

/// Several kernels are an error that names them.
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

/// The names, but for those beyond the first eight.
fn shortened(names: &BTreeSet<&str>) -> String {
    let mut text = names.iter().take(8).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 8 {
        text.push_str(", …");
    }
    text
}

/// The release in `#define UTS_RELEASE "…"`, or in a file that holds nothing else.
pub(in crate::kernel) fn release(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let release = match text.lines().find_map(|line| line.strip_prefix("#define UTS_RELEASE ")) {
        Some(quoted) => quoted.trim().trim_matches('"'),
        None => line.trim(),
    };
    // What a release may have is what fits into utsname (include/uapi/linux/utsname.h).
    (!release.is_empty() && release.len() <= 64 && !release.contains(char::is_whitespace)).then(|| release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> Option<(FileRole, KernelGroup)> {
        classify(path).map(|place| (place.role, place.group))
    }

    #[test]
    fn a_files_place_tells_what_it_is_and_whose() {
        let release = |name: &str| KernelGroup::Release(name.to_owned());
        let folder = |name: &str| KernelGroup::Folder(name.to_owned());
        assert_eq!(told("boot/vmlinuz-6.1"), Some((FileRole::Image, release("6.1"))));
        assert_eq!(told("boot/config-6.1"), Some((FileRole::Config, release("6.1"))));
        assert_eq!(told("boot/vmlinuz-lts"), Some((FileRole::Image, folder("boot/*-lts"))));
        assert_eq!(told("usr/lib/modules/7.2/vmlinuz"), Some((FileRole::Image, release("7.2"))));
        assert_eq!(told("lib/modules/6.1/kernel/fs/a.ko.xz"), Some((FileRole::Module, release("6.1"))));
        assert_eq!(
            told("usr/src/linux-headers-6.1/.config"),
            Some((FileRole::Config, folder("usr/src/linux-headers-6.1")))
        );
        assert_eq!(told("arch/x86/boot/bzImage"), Some((FileRole::Image, folder(""))));
        assert_eq!(told("kernel/fs/a.ko"), Some((FileRole::Module, folder(""))));
    }

    #[test]
    fn exports_lie_packed_beside_the_image_in_the_module_tree_or_in_a_build_folder() {
        let symvers = |group| Some((FileRole::Symvers, group));
        let release = || symvers(KernelGroup::Release("6.12.0-1.el10".to_owned()));
        for ending in [".xz", ".gz", ".zst", ""] {
            assert_eq!(told(&format!("boot/symvers-6.12.0-1.el10{ending}")), release());
            assert_eq!(told(&format!("lib/modules/6.12.0-1.el10/symvers{ending}")), release());
            assert_eq!(told(&format!("symvers{ending}")), symvers(KernelGroup::Folder(String::new())));
        }
        assert_eq!(told("usr/lib/modules/6.12.0-1.el10/build/Module.symvers"), release());
        let headers = "usr/src/kernels/6.12.0-1.el10";
        assert_eq!(told(&format!("{headers}/Module.symvers")), symvers(KernelGroup::Folder(headers.to_owned())));
        for other in [
            "boot/symvers-.xz",
            "boot/symvers.xz",
            "lib/modules/6.12/kernel/symvers.xz",
            "lib/modules/6.12/symvers.bz2",
        ] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    #[test]
    fn what_tells_nothing_is_left_out() {
        for path in ["usr/share/doc/x", "lib/modules/6.1/build/vmlinux", "lib/modules/6.1", "boot/grub/grub.cfg", ""] {
            assert_eq!(told(path), None, "{path}");
        }
    }

    #[test]
    fn a_release_is_found_in_both_files_that_have_it() {
        assert_eq!(release("#define UTS_RELEASE \"6.1.0-1-amd64\"\n").as_deref(), Some("6.1.0-1-amd64"));
        assert_eq!(release("6.1.0-1-amd64\n").as_deref(), Some("6.1.0-1-amd64"));
        assert_eq!(release(""), None);
    }
}
