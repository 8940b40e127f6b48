//! The files of a kernel: its image as a machine boots it, and modules by name.
//!
//! A prediction needs facts; a virtual machine needs the files that they were read from. The same readers find both, so the
//! same places are read, and the same unsafe paths and decompression bombs are refused.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use crate::budget::WorkBudget;
use crate::error::Result;
use crate::kernel::collect::FileSink;
pub use crate::kernel::collect::{KernelFiles, ModuleFile};
use crate::kernel::find;
use crate::kernel::lookup::Lookup;
use crate::kernel::model::Kernel;
use crate::kernel::name::KernelName;
pub use crate::kernel::stored::{StoredBytes, StoredModule};

/// The image and the wanted modules of a kernel. Modules are found by the names of their files, as modprobe(8) finds them,
/// with `-` and `_` treated alike; of two files of one module the one that depmod prefers is used
/// ([`crate::kernel::preference`]). A version magic, a module that stands for its kernel, and a text have no files.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`](crate::error::ErrorKind::Ambiguous) if there are files of more than one kernel;
/// [`ErrorKind::Io`](crate::error::ErrorKind::Io) for a wanted file that cannot be read; those of
/// [`Container::decompress`](crate::module::container::Container::decompress) for a module; those of [`Kernel::read`] for a
/// package.
pub fn of(kernel: &OsStr, wanted: &BTreeSet<String>, lookup: &Lookup) -> Result<KernelFiles> {
    find::files(&KernelName::from(kernel), FileSink::new(wanted), lookup)
}

/// Passes each module of a kernel to `each`, as it is stored: all files of a module tree, not only those that depmod prefers.
/// A package is decompressed once, and one module of it is in memory at a time. A version magic, an image and a text have
/// no modules. Packages are added to the budget, which the caller shares for what it decompresses itself; modules in files are not.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`](crate::error::ErrorKind::Ambiguous) if there are modules of more than one kernel; those of
/// [`Kernel::read`] for the sources; the first error of `each`.
pub fn each_module(
    kernel: &KernelName,
    lookup: &Lookup,
    budget: &WorkBudget,
    each: impl FnMut(StoredModule) -> Result<()>,
) -> Result<()> {
    find::each_module(kernel, lookup, budget, each)
}

/// Modules of a kernel with all their dependencies, in an order in which they can be loaded
/// ([`ModuleTree::in_load_order`](crate::kernel::ModuleTree::in_load_order)). If the kernel's modules are not known, it is
/// only the names.
pub fn with_dependencies(kernel: &Kernel, names: &[String]) -> Vec<String> {
    match &kernel.facts.tree {
        Some(tree) => tree.value.in_load_order(names),
        None => names.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::error::ErrorKind;

    const LOOKUP: Lookup = Lookup { max_size: 1 << 20, cache: None };

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    fn package(name: &str) -> PathBuf {
        fixture("packages").join(name)
    }

    fn ask(kernel: impl AsRef<OsStr>, wanted: &[&str], lookup: &Lookup) -> Result<KernelFiles> {
        of(kernel.as_ref(), &wanted.iter().map(|name| (*name).to_owned()).collect(), lookup)
    }

    /// A folder with copies of fixtures in it.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (from, to) in files {
            let to = root.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(fixture(from), to).unwrap();
        }
        root
    }

    #[test]
    fn a_package_gives_the_image_as_it_is_and_the_modules_that_are_wanted() {
        let whole = package("linux-image-6.1.0-1-kmodlab_6.1.0+1-1_amd64.deb");
        let files = ask(&whole, &["hello-4", "not_there"], &LOOKUP).unwrap();
        let (path, image) = files.image.unwrap();
        assert_eq!(path, format!("boot/vmlinuz-6.1.0-1-kmodlab in {}", whole.display()));
        assert_eq!(image, fs::read(fixture("kernels/bzImage-xz")).unwrap());
        assert_eq!(files.modules.keys().collect::<Vec<_>>(), ["hello_4"]);
        let hello = &files.modules["hello_4"];
        assert_eq!(hello.path, "lib/modules/6.1.0-1-kmodlab/kernel/drivers/misc/hello-4.ko");
        let module = crate::module::Module::read(&hello.bytes).unwrap();
        assert_eq!(module.vermagic().unwrap().release().unwrap().text, "6.1.0-1-kmodlab");
        assert_eq!(ask(&whole, &[], &LOOKUP).unwrap().modules, BTreeMap::new());
    }

    #[test]
    fn two_packages_of_one_kernel_give_together_what_one_has() {
        let [image, modules] = ["image+zst.deb", "modules+gz.deb"].map(package);
        let both: OsString = [image.as_os_str(), OsStr::new("+"), modules.as_os_str()].into_iter().collect();
        let (both, whole) = (ask(both, &["hello_4"], &LOOKUP), ask(package("plain.deb"), &["hello_4"], &LOOKUP));
        let (both, whole) = (both.unwrap(), whole.unwrap());
        assert_eq!(both.modules, whole.modules);
        assert_eq!(both.image.unwrap().1, whole.image.unwrap().1);
        assert_eq!(ask(modules, &["hello_4"], &LOOKUP).unwrap().image, None);
    }

    #[test]
    fn evil_packages_are_refused_as_they_are_for_facts() {
        for (name, kind) in [
            ("dotdot.deb", ErrorKind::Malformed),
            ("absolute.deb", ErrorKind::Malformed),
            ("through-link.deb", ErrorKind::Malformed),
            ("bomb.deb", ErrorKind::Malformed),
            ("lies.deb", ErrorKind::TooLarge),
            ("cut.deb", ErrorKind::Truncated),
            ("no-data.deb", ErrorKind::Malformed),
            ("two-kernels.deb", ErrorKind::Ambiguous),
        ] {
            let path = package(name);
            let error = ask(&path, &["hello_4"], &LOOKUP).unwrap_err();
            let of_facts = find::named(path.as_os_str(), &LOOKUP).unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (kind, of_facts.to_string()));
        }
    }

    #[test]
    fn a_root_file_system_and_a_module_tree_in_it_give_the_same() {
        let root = root(&[
            ("kernels/bzImage-xz", "boot/vmlinuz-6.1"),
            ("modules/hello-4.ko.xz", "lib/modules/6.1/kernel/hello-4.ko.xz"),
            ("modules/exports.ko", "lib/modules/6.1/kernel/exports.ko"),
        ]);
        let plain = fs::read(fixture("modules/hello-4.ko")).unwrap();
        for kernel in [root.path().to_owned(), root.path().join("lib/modules/6.1")] {
            let files = ask(&kernel, &["hello_4"], &LOOKUP).unwrap();
            assert_eq!(files.image.unwrap().1, fs::read(fixture("kernels/bzImage-xz")).unwrap());
            assert_eq!(files.modules.keys().collect::<Vec<_>>(), ["hello_4"]);
            assert_eq!(files.modules["hello_4"].bytes, plain);
            assert!(files.modules["hello_4"].path.ends_with("lib/modules/6.1/kernel/hello-4.ko.xz"));
        }
    }

    #[test]
    fn two_kernels_in_a_folder_are_too_many_though_only_one_has_what_is_wanted() {
        let root = root(&[
            ("kernels/bzImage-xz", "boot/vmlinuz-6.1"),
            ("modules/hello-4.ko", "lib/modules/6.2/kernel/hello-4.ko"),
        ]);
        let error = ask(root.path(), &[], &LOOKUP).unwrap_err();
        assert_eq!((error.kind(), error.what()), (ErrorKind::Ambiguous, "2 kernels in it: 6.1, 6.2"));
    }

    #[test]
    fn of_two_files_of_a_module_that_of_an_update_counts() {
        let root = root(&[
            ("modules/exports.ko", "lib/modules/6.1/extra/hello-4.ko"),
            ("modules/hello-4.ko", "lib/modules/6.1/updates/dkms/hello-4.ko"),
            ("modules/text.ko", "lib/modules/6.1/kernel/hello_4.ko"),
        ]);
        let files = ask(root.path(), &["hello_4"], &LOOKUP).unwrap();
        assert!(files.modules["hello_4"].path.ends_with("updates/dkms/hello-4.ko"));
        assert_eq!(files.modules["hello_4"].bytes, fs::read(fixture("modules/hello-4.ko")).unwrap());
    }

    #[test]
    fn of_a_build_tree_that_is_booted_which_was_made_for_it() {
        let root = root(&[
            ("kernels/vmlinux-amd64", "vmlinux"),
            ("kernels/bzImage-xz", "arch/x86/boot/bzImage"),
            ("modules/hello-4.ko", "drivers/misc/hello-4.ko"),
        ]);
        let files = ask(root.path(), &["hello_4"], &LOOKUP).unwrap();
        assert!(files.image.unwrap().0.ends_with("arch/x86/boot/bzImage"));
        assert_eq!(files.modules.len(), 1);
        assert!(ask(root.path().join("vmlinux"), &[], &LOOKUP).unwrap().image.unwrap().0.ends_with("vmlinux"));
    }

    #[test]
    fn a_link_leads_nowhere() {
        let root = root(&[("modules/exports.ko", "lib/modules/6.1/kernel/exports.ko")]);
        fs::create_dir(root.path().join("boot")).unwrap();
        let links = [("kernels/bzImage-xz", "boot/vmlinuz-6.1"), ("modules/hello-4.ko", "lib/modules/6.1/hello-4.ko")];
        for (to, link) in links {
            std::os::unix::fs::symlink(fixture(to), root.path().join(link)).unwrap();
        }
        assert_eq!(ask(root.path(), &["hello_4"], &LOOKUP).unwrap(), KernelFiles::default());
    }

    #[test]
    fn what_has_no_files_gives_none_and_what_is_nothing_is_an_error() {
        assert_eq!(ask("vermagic:6.1 SMP ", &["hello_4"], &LOOKUP).unwrap(), KernelFiles::default());
        assert_eq!(ask(fixture("modules/hello-4.ko"), &["hello_4"], &LOOKUP).unwrap(), KernelFiles::default());
        assert_eq!(ask("/not/there", &[], &LOOKUP).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_wanted_module_that_is_a_bomb_or_cut_is_an_error_that_names_it() {
        let root = root(&[
            ("hostile/bomb.ko.xz", "lib/modules/6.1/kernel/bomb.ko.xz"),
            ("modules/hello-4.ko.zst", "lib/modules/6.1/kernel/hello-4.ko.zst"),
        ]);
        let cut = root.path().join("lib/modules/6.1/kernel/hello-4.ko.zst");
        let bytes = fs::read(&cut).unwrap();
        fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let say = |name: &str| ask(root.path(), &[name], &LOOKUP).unwrap_err().to_string();
        assert!(say("bomb").contains("kernel/bomb.ko.xz: "), "{}", say("bomb"));
        assert!(say("hello_4").contains("kernel/hello-4.ko.zst: the zstd stream is cut short"));
    }

    #[test]
    fn the_second_time_a_packages_files_come_from_the_cache_and_more_can_be_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let lookup = Lookup { cache: Some(folder.path().join("new")), ..LOOKUP };
        let whole = package("plain.deb");
        let fresh = ask(&whole, &["hello_4"], &LOOKUP).unwrap();
        assert_eq!(ask(&whole, &[], &lookup).unwrap().modules.len(), 0);
        for _ in 0..2 {
            assert_eq!(ask(&whole, &["hello_4"], &lookup).unwrap(), fresh);
        }
        // What was kept of more than is wanted now does not show.
        assert_eq!(ask(&whole, &[], &lookup).unwrap().modules.len(), 0);
        let kept: Vec<_> =
            fs::read_dir(folder.path().join("new")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(kept.len(), 1);
        // And what was changed there is not believed.
        let mut bytes = fs::read(&kept[0]).unwrap();
        let at = memchr::memmem::find(&bytes, b"\x7fELF").unwrap();
        bytes[at + 0x100] ^= 1;
        fs::write(&kept[0], bytes).unwrap();
        assert_eq!(ask(&whole, &["hello_4"], &lookup).unwrap(), fresh);
    }
}
