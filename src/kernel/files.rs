//! The real files of a kernel: its image as a machine boots it, and modules by name.
//!
//! Facts are what a verdict needs; a virtual machine needs the files that they were read from. They are found where the
//! facts are found, by the same readers: the same places count, and the same paths and bombs are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::bundle::{self, Group, Place, Role};
use crate::kernel::preference::{self, Preference};
use crate::kernel::{Kernel, Lookup, Source, cache, folder, of_path, package, paths, running};
use crate::module::container::Container;
use crate::module::name_of_file;

/// Files of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The image with its path, for eyes: the file as it lies there, not unpacked, as boot loaders and QEMU take it.
    /// `None` where what names the kernel has no image.
    pub image: Option<(String, Vec<u8>)>,
    /// The modules by name, with `_`. What was wanted and is not there is not among them.
    pub modules: BTreeMap<String, ModuleFile>,
}

/// A module's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its path, or that in the package.
    pub path: String,
    /// Its bytes, decompressed, with the trailer.
    pub bytes: Vec<u8>,
}

/// The image and the wanted modules of a kernel that is named as in [`crate::kernel::named`]. Modules are told by the
/// names of their files, as modprobe(8) does it, `-` and `_` being one; of two files of one module the one that depmod
/// prefers counts ([`preference`]). A version magic, a module that stands for its kernel, and a text have no files to give.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`] if there are files of more than one kernel; [`ErrorKind::Io`] for what is wanted and can't be
/// read; those of [`Container::decompress`] for a module; those of [`crate::kernel::named`] for a package.
pub fn of(kernel: &OsStr, wanted: &BTreeSet<String>, lookup: &Lookup) -> Result<Files> {
    let mut found = Found::new(wanted);
    match kernel.as_bytes() {
        b"running" => running::files(Path::new("/"), &mut found, lookup)?,
        bytes if bytes.starts_with(b"vermagic:") => {}
        _ => paths(kernel).iter().try_for_each(|path| add(path, &mut found, lookup))?,
    }
    found.files(lookup.max_size).map_err(|e| e.on(kernel))
}

/// Modules of a kernel with all that they need, in an order in which they can be loaded
/// ([`Tree::in_load_order`](crate::kernel::Tree::in_load_order)). Of a kernel whose modules are not known it is the names
/// alone.
pub fn with_dependencies(kernel: &Kernel, names: &[String]) -> Vec<String> {
    match &kernel.facts.tree {
        Some(tree) => tree.value.in_load_order(names),
        None => names.to_vec(),
    }
}

/// Adds what a path has.
fn add(path: &Path, found: &mut Found, lookup: &Lookup) -> Result<()> {
    match Source::of(path, lookup)? {
        Source::Folder => folder::files(path, found, lookup),
        Source::Package(bytes) => {
            let read = |wanted: &BTreeSet<String>| {
                let mut found = Found::new(wanted);
                package::files(&bytes, &mut found, lookup.max_size).map(|()| found)
            };
            let theirs = cache::files(&bytes, &found.wanted, lookup, read).map_err(|e| e.on(path))?;
            found.join(theirs, path);
            Ok(())
        }
        Source::Image(contents) => {
            let group = Group::Folder(String::new());
            found.add(Role::Image, &group, &path.display().to_string(), contents.bytes().to_vec());
            Ok(())
        }
        // They have none; what is no kernel at all is an error here as everywhere.
        Source::Other(_) | Source::Nothing => of_path(path, lookup).map(|_| ()),
    }
}

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    wanted: BTreeSet<String>,
    /// The releases of all kernels that are there, wanted or not.
    releases: BTreeSet<String>,
    image: Option<Stored>,
    modules: BTreeMap<String, Stored>,
}

/// A file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// How well it serves; of two files the smaller number counts.
    rank: u8,
    path: String,
    #[serde(with = "in_one_piece")]
    bytes: Vec<u8>,
}

impl Found {
    /// Nothing yet; the image and these modules are wanted.
    pub(super) fn new(wanted: &BTreeSet<String>) -> Found {
        let wanted = wanted.iter().map(|name| name.replace('-', "_")).collect();
        Found { wanted, ..Found::default() }
    }

    /// Is the file at this place wanted? It is noted whose it is, in any case.
    pub(super) fn wants(&mut self, place: &Place<'_>) -> bool {
        let is_wanted = match place.role {
            Role::Image => true,
            Role::Module => self.wanted.contains(&name_of_file(Path::new(place.below))),
            _ => return false,
        };
        if let Group::Release(release) = &place.group
            && !self.releases.contains(release)
        {
            self.releases.insert(release.clone());
        }
        is_wanted
    }

    /// Adds a file that is wanted. An empty one is none.
    pub(super) fn add(&mut self, role: Role, group: &Group, path: &str, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let path = path.to_owned();
        match role {
            Role::Image => {
                let stored = Stored { rank: image_rank(group, &path), path, bytes };
                if self.image.as_ref().is_none_or(|known| stored.rank < known.rank) {
                    self.image = Some(stored);
                }
            }
            Role::Module => {
                let below = preference::below_tree(&path);
                let rank = Preference::default().place(below);
                self.add_module(name_of_file(Path::new(&path)), Stored { rank, path, bytes });
            }
            _ => {}
        }
    }

    fn add_module(&mut self, name: String, stored: Stored) {
        let is_better = |known: &Stored| (stored.rank, &stored.path) < (known.rank, &known.path);
        if self.modules.get(&name).is_none_or(is_better) {
            self.modules.insert(name, stored);
        }
    }

    /// Takes over what was found in a package, as far as it is wanted.
    fn join(&mut self, other: Found, package: &Path) {
        self.releases.extend(other.releases);
        if let Some(mut image) = other.image
            && self.image.as_ref().is_none_or(|known| image.rank < known.rank)
        {
            image.path = format!("{} in {}", image.path, package.display());
            self.image = Some(image);
        }
        for (name, stored) in other.modules {
            if self.wanted.contains(&name) {
                self.add_module(name, stored);
            }
        }
    }

    /// What was looked for, found or not.
    pub(super) fn wanted(&self) -> &BTreeSet<String> {
        &self.wanted
    }

    /// How many bytes the files have together.
    pub(super) fn size(&self) -> u64 {
        self.image.iter().chain(self.modules.values()).map(|stored| stored.bytes.len() as u64).sum()
    }

    /// The files, modules decompressed.
    pub(super) fn files(self, max_size: u64) -> Result<Files> {
        bundle::must_be_one(&self.releases.iter().map(String::as_str).collect())?;
        let mut modules = BTreeMap::new();
        for (name, Stored { path, bytes, .. }) in self.modules {
            let bytes = match Container::of(&bytes) {
                Container::None if bytes.len() as u64 > max_size => {
                    let what = format!("it exceeds the limit of {max_size} bytes");
                    return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit).on(path));
                }
                Container::None => bytes,
                container => container.decompress(&bytes, max_size).map_err(|e| e.on(&path))?,
            };
            modules.insert(name, ModuleFile { path, bytes });
        }
        Ok(Files { image: self.image.map(|stored| (stored.path, stored.bytes)), modules })
    }
}

/// Which of a kernel's images is booted. A boot loader takes `vmlinux` on few machines, and what lies among headers holds
/// types, but no kernel.
fn image_rank(group: &Group, path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or_default();
    match group {
        Group::Folder(folder) if folder.starts_with("usr/src/") => 3,
        _ if name.starts_with("vmlinux") => 2,
        _ if matches!(name, "uImage" | "vmlinuz.efi") => 1,
        _ => 0,
    }
}

/// Bytes written and read as a whole, not one by one.
mod in_one_piece {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    const LOOKUP: Lookup = Lookup { max_size: 1 << 20, cache: None };

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    fn package(name: &str) -> PathBuf {
        fixture("packages").join(name)
    }

    fn ask(kernel: impl AsRef<OsStr>, wanted: &[&str], lookup: &Lookup) -> Result<Files> {
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
            let of_facts = crate::kernel::named(path.as_os_str(), &LOOKUP).unwrap_err();
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
        assert_eq!(ask(root.path(), &["hello_4"], &LOOKUP).unwrap(), Files::default());
    }

    #[test]
    fn what_has_no_files_gives_none_and_what_is_nothing_is_an_error() {
        assert_eq!(ask("vermagic:6.1 SMP ", &["hello_4"], &LOOKUP).unwrap(), Files::default());
        assert_eq!(ask(fixture("modules/hello-4.ko"), &["hello_4"], &LOOKUP).unwrap(), Files::default());
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
