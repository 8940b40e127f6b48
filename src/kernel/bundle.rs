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

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::preference::Preference;
use crate::kernel::tree::{self, Gathered};
use crate::kernel::{Fact, Facts, Origin, config, image, merge, symvers, system_map};
use crate::module::is_module_name;

/// What a file of a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
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
pub(super) struct Place<'p> {
    /// What it is.
    pub(super) role: Role,
    /// What it belongs to.
    pub(super) group: Group,
    /// Its path in that.
    pub(super) below: &'p str,
}

/// What a file belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Group {
    /// A kernel by its release.
    Release(String),
    /// A build tree or module tree by its folder in the bundle, empty for the bundle itself. What it holds tells the
    /// release.
    Folder(String),
}

/// What a file is by its place: a path with `/`, without one at its start. `None` for what tells nothing of a kernel.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    let merged = path.strip_prefix("usr/").unwrap_or(path);
    if let Some(rest) = merged.strip_prefix("lib/modules/") {
        let (release, below) = rest.split_once('/')?;
        // Both are mostly links to a build tree, which is another bundle.
        let is_build = below.starts_with("build/") || below.starts_with("source/");
        if release.is_empty() || is_build && below != IN_BUILD {
            return None;
        }
        return Some(Place { role: in_tree(below)?, group: Group::Release(release.to_owned()), below });
    }
    if let Some(name) = path.strip_prefix("boot/") {
        let (role, release) = in_boot(name)?;
        // A release begins with a number (VERSION, Makefile of the kernel), a flavour does not.
        let group = match release.starts_with(|first: char| first.is_ascii_digit()) {
            true => Group::Release(release.to_owned()),
            false => Group::Folder(format!("boot/*-{release}")),
        };
        return Some(Place { role, group, below: name });
    }
    if let Some(rest) = path.strip_prefix("usr/src/") {
        let start = if rest.starts_with("kernels/") { "kernels/".len() } else { 0 };
        let end = start + rest.get(start..)?.find('/')?;
        let (folder, below) = (rest.get(..end)?, rest.get(end + 1..)?);
        let role = in_build(below)?;
        return Some(Place { role, group: Group::Folder(format!("usr/src/{folder}")), below });
    }
    let role = in_build(path).or_else(|| in_tree(path))?;
    Some(Place { role, group: Group::Folder(String::new()), below: path })
}

/// `vmlinuz-REL` and so on.
pub(super) fn in_boot(name: &str) -> Option<(Role, &str)> {
    let starts = [
        ("vmlinuz-", Role::Image),
        ("vmlinux-", Role::Image),
        ("Image-", Role::Image),
        ("config-", Role::Config),
        ("System.map-", Role::SystemMap),
    ];
    let symvers = name.strip_prefix("symvers-").map(|rest| (Role::Symvers, without_ending(rest)));
    let found = starts.iter().find_map(|(start, role)| Some((*role, name.strip_prefix(start)?)));
    found.or(symvers).filter(|(_, release)| !release.is_empty() && !release.contains('/'))
}

/// The name without the ending of what packed the file.
fn without_ending(name: &str) -> &str {
    [".xz", ".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name)
}

/// The exports in a module tree whose `build` is a folder: so Arch has it (its package linux-headers).
pub(super) const IN_BUILD: &str = "build/Module.symvers";

/// What a file of a module tree is.
fn in_tree(below: &str) -> Option<Role> {
    match below {
        "vmlinuz" | "vmlinux" => Some(Role::Image),
        "config" => Some(Role::Config),
        "System.map" => Some(Role::SystemMap),
        "modules.builtin" => Some(Role::BuiltIn),
        "modules.builtin.modinfo" => Some(Role::BuiltInModinfo),
        "modules.order" => Some(Role::Order),
        "Module.symvers" | IN_BUILD => Some(Role::Symvers),
        _ if without_ending(below) == "symvers" => Some(Role::Symvers),
        _ => is_module_name(below).then_some(Role::Module),
    }
}

/// What a file of a build tree is.
fn in_build(below: &str) -> Option<Role> {
    const IN_BOOT: [&str; 6] = ["bzImage", "Image", "Image.gz", "zImage", "uImage", "vmlinuz.efi"];
    match below {
        "vmlinux" | "vmlinuz" => Some(Role::Image),
        ".config" => Some(Role::Config),
        "System.map" => Some(Role::SystemMap),
        "Module.symvers" => Some(Role::Symvers),
        "include/generated/utsrelease.h" => Some(Role::Release),
        "include/config/kernel.release" => Some(Role::BaseRelease),
        _ => {
            let (_, name) = below.strip_prefix("arch/")?.split_once("/boot/")?;
            IN_BOOT.contains(&name).then_some(Role::Image)
        }
    }
}

/// What was found, gathered.
pub(super) struct Bundle {
    max_size: u64,
    found: BTreeMap<Group, Found>,
}

/// What belongs together.
#[derive(Default)]
struct Found {
    /// From the best source to the worst.
    facts: BTreeMap<Rank, Vec<Facts>>,
    release: Option<String>,
    built_in: Option<Vec<u8>>,
    built_in_modinfo: Option<Vec<u8>>,
    order: Option<Vec<u8>>,
    modules: Option<(Origin, Gathered)>,
}

/// Which source is asked first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Image,
    Modules,
    Symvers,
    SystemMap,
    Config,
    BaseRelease,
}

impl Bundle {
    /// An empty one; what is compressed in it may become that large.
    pub(super) fn new(max_size: u64) -> Bundle {
        Bundle { max_size, found: BTreeMap::new() }
    }

    /// Adds the facts of an image, which somebody else has read.
    pub(super) fn add_image(&mut self, group: Group, facts: Facts) {
        let found = self.found.entry(group).or_default();
        if found.release.is_none() {
            found.release = facts.release.as_ref().map(|release| release.value.clone());
        }
        found.facts.entry(Rank::Image).or_default().push(facts);
    }

    /// Adds the facts of a module tree, which somebody else has read.
    pub(super) fn add_tree(&mut self, group: Group, facts: Facts) {
        self.found.entry(group).or_default().facts.entry(Rank::Modules).or_default().push(facts);
    }

    /// Adds what modules say; the name is their tree's.
    pub(super) fn add_modules(&mut self, group: Group, name: Origin, modules: Gathered) {
        let found = self.found.entry(group).or_default();
        found.modules = Some(match found.modules.take() {
            Some((name, known)) => (name, known.join(modules)),
            None => (name, modules),
        });
    }

    /// Takes over what another has found in the same bundle.
    pub(super) fn join(&mut self, other: Bundle) {
        for (group, theirs) in other.found {
            if let Some((name, modules)) = theirs.modules {
                self.add_modules(group.clone(), name, modules);
            }
            let found = self.found.entry(group).or_default();
            for (rank, facts) in theirs.facts {
                found.facts.entry(rank).or_default().extend(facts);
            }
            found.release = found.release.take().or(theirs.release);
            found.built_in = found.built_in.take().or(theirs.built_in);
            found.built_in_modinfo = found.built_in_modinfo.take().or(theirs.built_in_modinfo);
            found.order = found.order.take().or(theirs.order);
        }
    }

    /// Adds any other file, whose whole bytes these are. The source says in words where they are from.
    ///
    /// # Errors
    ///
    /// Those of [`image::facts`], but for a file that is no kernel although its name says so: that one is left out.
    pub(super) fn add(&mut self, role: Role, group: Group, source: &Origin, bytes: Vec<u8>) -> Result<()> {
        if role == Role::Image {
            match image::facts(source, &bytes, self.max_size) {
                Ok(facts) => self.add_image(group, facts),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        let found = self.found.entry(group).or_default();
        let (rank, facts) = match role {
            Role::Symvers => (Rank::Symvers, symvers::read(&bytes, source, self.max_size)),
            Role::SystemMap => (Rank::SystemMap, system_map::facts(&String::from_utf8_lossy(&bytes), source)),
            Role::Config => (Rank::Config, config::facts(&String::from_utf8_lossy(&bytes), source)),
            Role::Release => {
                let release = release(&String::from_utf8_lossy(&bytes));
                found.release = found.release.take().or_else(|| release.clone());
                let known = release.map(|value| Fact { value, source: source.clone() });
                (Rank::Config, Facts { release: known, ..Facts::default() })
            }
            Role::BaseRelease => {
                let release = release(&String::from_utf8_lossy(&bytes));
                let known = release.map(|value| Fact { value, source: source.clone() });
                (Rank::BaseRelease, Facts { release: known, ..Facts::default() })
            }
            Role::BuiltIn => {
                found.built_in = Some(bytes);
                return Ok(());
            }
            Role::BuiltInModinfo => {
                found.built_in_modinfo = Some(bytes);
                return Ok(());
            }
            Role::Order => {
                found.order = Some(bytes);
                return Ok(());
            }
            Role::Image | Role::Module => return Ok(()),
        };
        found.facts.entry(rank).or_default().push(facts);
        Ok(())
    }

    /// The facts of the one kernel that is there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is none, [`ErrorKind::Ambiguous`] with their names if there are several.
    pub(super) fn facts(self) -> Result<Facts> {
        let mut kernels: BTreeMap<Option<String>, (bool, Facts)> = BTreeMap::new();
        for (group, found) in self.found {
            let (is_kernel, mut facts) = found.facts()?;
            if let Group::Release(release) = &group {
                facts.learn_release_of_folder(release);
            }
            let release = match group {
                Group::Release(release) => Some(release),
                Group::Folder(_) => facts.release.as_ref().map(|release| release.value.clone()),
            };
            let (was_kernel, known) = kernels.remove(&release).unwrap_or_default();
            kernels.insert(release, (is_kernel || was_kernel, merge(known, facts)));
        }
        // Headers of other kernels lie about on many systems.
        if kernels.values().any(|(is_kernel, _)| *is_kernel) {
            kernels.retain(|_, (is_kernel, _)| *is_kernel);
        }
        let names: BTreeSet<&str> =
            kernels.keys().map(|release| release.as_deref().unwrap_or("one without a name")).collect();
        must_be_one(&names)?;
        let facts = kernels.into_values().next().map(|(_, facts)| facts);
        facts.ok_or_else(|| {
            let what = "nothing of a kernel in it: no image, no modules, no configuration, no Module.symvers";
            Error::new(ErrorKind::NotFound, what)
        })
    }
}

impl Found {
    /// All that belongs together, merged, and whether an image or modules are among it.
    fn facts(mut self) -> Result<(bool, Facts)> {
        let lists = tree::Lists {
            built_in: tree::built_in(self.built_in.as_deref(), self.built_in_modinfo.as_deref()),
            names: self.order.as_deref().and_then(tree::names_in),
        };
        let is_kernel =
            self.facts.keys().any(|rank| matches!(rank, Rank::Image | Rank::Modules)) || self.modules.is_some();
        let (name, modules) = self.modules.unwrap_or_else(|| (Origin::from("modules.builtin"), Gathered::default()));
        self.facts.entry(Rank::Modules).or_default().push(modules.facts(&name, lists, &Preference::default()));
        let merged = self.facts.into_values().flatten().reduce(merge).unwrap_or_default();
        Ok((is_kernel, merged))
    }
}

/// Several kernels are an error that names them.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`].
pub(super) fn must_be_one(names: &BTreeSet<&str>) -> Result<()> {
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
fn release(text: &str) -> Option<String> {
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

    fn told(path: &str) -> Option<(Role, Group)> {
        place(path).map(|place| (place.role, place.group))
    }

    #[test]
    fn a_files_place_tells_what_it_is_and_whose() {
        let release = |name: &str| Group::Release(name.to_owned());
        let folder = |name: &str| Group::Folder(name.to_owned());
        assert_eq!(told("boot/vmlinuz-6.1"), Some((Role::Image, release("6.1"))));
        assert_eq!(told("boot/config-6.1"), Some((Role::Config, release("6.1"))));
        assert_eq!(told("boot/vmlinuz-lts"), Some((Role::Image, folder("boot/*-lts"))));
        assert_eq!(told("usr/lib/modules/7.2/vmlinuz"), Some((Role::Image, release("7.2"))));
        assert_eq!(told("lib/modules/6.1/kernel/fs/a.ko.xz"), Some((Role::Module, release("6.1"))));
        assert_eq!(
            told("usr/src/linux-headers-6.1/.config"),
            Some((Role::Config, folder("usr/src/linux-headers-6.1")))
        );
        assert_eq!(told("arch/x86/boot/bzImage"), Some((Role::Image, folder(""))));
        assert_eq!(told("kernel/fs/a.ko"), Some((Role::Module, folder(""))));
    }

    #[test]
    fn exports_lie_packed_beside_the_image_in_the_module_tree_or_in_a_build_folder() {
        let symvers = |group| Some((Role::Symvers, group));
        let release = || symvers(Group::Release("6.12.0-1.el10".to_owned()));
        for ending in [".xz", ".gz", ".zst", ""] {
            assert_eq!(told(&format!("boot/symvers-6.12.0-1.el10{ending}")), release());
            assert_eq!(told(&format!("lib/modules/6.12.0-1.el10/symvers{ending}")), release());
            assert_eq!(told(&format!("symvers{ending}")), symvers(Group::Folder(String::new())));
        }
        assert_eq!(told("usr/lib/modules/6.12.0-1.el10/build/Module.symvers"), release());
        let headers = "usr/src/kernels/6.12.0-1.el10";
        assert_eq!(told(&format!("{headers}/Module.symvers")), symvers(Group::Folder(headers.to_owned())));
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

    #[test]
    fn several_kernels_are_named() {
        let mut bundle = Bundle::new(1 << 20);
        for release in ["6.1", "6.2"] {
            let facts = Facts {
                release: Some(Fact { value: release.to_owned(), source: Origin::default() }),
                ..Facts::default()
            };
            bundle.add_image(Group::Release(release.to_owned()), facts);
        }
        let error = bundle.facts().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Ambiguous);
        assert_eq!(error.what(), "2 kernels in it: 6.1, 6.2");
    }
}
