//! The machine as the guards see it: its module trees, the loaded modules, the files of packages, and whether it is a lab
//! machine.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::door::internal_fn;
use crate::guard::enrol;
use crate::guard::owners::Owners;
use crate::vault::Vault;
use crate::vault::system_root::SystemRoot;

/// A machine, by its root folder.
///
/// Facts that take long to gather are gathered once, when they are first needed: a plan may have thousands of modules.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    release: String,
    is_lab_machine: bool,
    loaded: OnceLock<Vec<Loaded>>,
    live_inodes: OnceLock<HashSet<(u64, u64)>>,
    mounted: OnceLock<Vec<(u32, u32)>>,
    owners: Owners,
}

/// Where systems keep modules: most, most of today, NixOS, Android.
const HOMES: [&str; 6] = [
    "lib/modules",
    "usr/lib/modules",
    "run/booted-system/kernel-modules/lib/modules",
    "run/current-system/kernel-modules/lib/modules",
    "vendor/lib/modules",
    "system/lib/modules",
];

/// A module that is loaded now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its build-id, where sysfs has it.
    pub build_id: Option<Vec<u8>>,
}

/// A machine whose root folder is elsewhere, for tests: what is there is made up.
pub fn made_up(root: impl Into<PathBuf>, release: &str, is_lab_machine: bool) -> Machine {
    let root = root.into();
    Machine {
        owners: Owners::below(&root),
        root,
        release: release.to_owned(),
        is_lab_machine,
        loaded: OnceLock::new(),
        live_inodes: OnceLock::new(),
        mounted: OnceLock::new(),
    }
}

impl Machine {
    /// This machine. It is a lab machine if this vault has its enrolment.
    pub fn here(vault: Option<&Vault>) -> Machine {
        let is_lab_machine = vault.is_some_and(|vault| enrol::is_enrolled(vault, Path::new("/")));
        made_up("/", &rustix::system::uname().release().to_string_lossy(), is_lab_machine)
    }

    /// Did a person declare it a lab machine?
    pub fn is_lab_machine(&self) -> bool {
        self.is_lab_machine
    }

    /// The running kernel's release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Is the file at this real path in the running kernel's module tree?
    ///
    /// By device and inode, so that links and bind mounts do not hide it: either a folder above the file is the tree, or
    /// a file in the tree is this file.
    pub fn in_live_tree(&self, path: &Path) -> bool {
        self.live_trees().any(|tree| is_below(path, &tree)) || self.has_live_inode(path)
    }

    fn live_trees(&self) -> impl Iterator<Item = PathBuf> {
        self.homes().map(|home| home.join(&self.release)).filter(|tree| tree.is_dir())
    }

    /// Is it one of the trees' files, reached through a link or a bind mount?
    fn has_live_inode(&self, path: &Path) -> bool {
        let Ok(file) = path.metadata() else { return false };
        if self.has_one_path(&file) {
            return false;
        }
        let inodes = self.live_inodes.get_or_init(|| {
            let mut found = HashSet::new();
            self.live_trees().for_each(|tree| gather_inodes(&tree, 16, &mut found));
            found
        });
        inodes.contains(&(file.dev(), file.ino()))
    }

    /// Is it certain that the file has no other path? It has one name, and its file system is mounted once. Then no tree is walked, which
    /// takes longer than all the rest of a plan. (On btrfs and others files have another device than their file system: nothing is certain.)
    fn has_one_path(&self, file: &Metadata) -> bool {
        let mounted = self
            .mounted
            .get_or_init(|| mounted_devices(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()));
        let device = (rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
        file.nlink() == 1 && mounted.iter().filter(|mounted| **mounted == device).count() == 1
    }

    /// The place where this system keeps the modules of its kernels, if the file at this real path is in one.
    pub fn installed_tree(&self, path: &Path) -> Option<PathBuf> {
        // A kernel's tree may itself be a link to somewhere else, so each is asked, not the place alone.
        let with_trees = |home: PathBuf| {
            let entries = std::fs::read_dir(&home).into_iter().flatten().flatten().map(|e| e.path());
            let trees: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
            std::iter::once(home).chain(trees)
        };
        self.homes().flat_map(with_trees).find(|tree| is_below(path, tree))
    }

    /// The folders in which this system, or the one with another root folder, keeps the module trees of its kernels, each once.
    pub(crate) fn module_folders(&self, root: Option<&SystemRoot>) -> Vec<PathBuf> {
        let mut seen = HashSet::new();
        let is_new = |home: &PathBuf| home.metadata().is_ok_and(|folder| seen.insert((folder.dev(), folder.ino())));
        let homes =
            HOMES.into_iter().map(|home| root.map_or_else(|| self.root.join(home), |root| root.named(home.as_ref())));
        homes.filter(|home| home.is_dir()).filter(is_new).collect()
    }

    fn homes(&self) -> impl Iterator<Item = PathBuf> {
        HOMES.into_iter().map(|place| self.root.join(place)).filter(|home| home.is_dir())
    }

    internal_fn! {
        /// The modules that are loaded now (sysfs, and /proc/modules), as of the first call.
        fn loaded(&self) -> &[Loaded] {
            self.loaded.get_or_init(|| self.look_what_is_loaded())
        }
    }

    fn look_what_is_loaded(&self) -> Vec<Loaded> {
        let mut loaded: Vec<Loaded> = Vec::new();
        for entry in std::fs::read_dir(self.root.join("sys/module")).into_iter().flatten().flatten() {
            let folder = entry.path();
            // Built-in code has a folder too, but no state and no notes of its own.
            if folder.join("initstate").exists() {
                let note = std::fs::read(folder.join("notes/.note.gnu.build-id")).ok();
                let name = entry.file_name().to_string_lossy().into_owned();
                loaded.push(Loaded { name, build_id: note.as_deref().and_then(build_id) });
            }
        }
        let list = std::fs::read_to_string(self.root.join("proc/modules")).unwrap_or_default();
        for name in list.lines().filter_map(|line| line.split(' ').next()) {
            if !loaded.iter().any(|l| l.name == name) {
                loaded.push(Loaded { name: name.to_owned(), build_id: None });
            }
        }
        loaded
    }

    /// The package that owns the file at this real path, by the package manager's own records: dpkg, pacman, apk; and
    /// rpm, which must be asked.
    pub fn owner(&self, path: &Path) -> Option<String> {
        let Ok(below) = path.strip_prefix(&self.root) else { return self.rpm_owner(path) };
        self.owners.of_file(below).or_else(|| self.rpm_owner(path))
    }

    fn rpm_owner(&self, path: &Path) -> Option<String> {
        let has_database = ["var/lib/rpm", "usr/lib/sysimage/rpm"].iter().any(|place| self.root.join(place).is_dir());
        if !has_database || self.root != Path::new("/") {
            return None;
        }
        let answer = std::process::Command::new("rpm").arg("-qf").arg("--").arg(path).output().ok()?;
        let name = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        (answer.status.success() && !name.is_empty()).then(|| format!("rpm package {name}"))
    }

    /// Does an IMA policy judge modules here? `None` where the policy can't be read.
    pub fn ima_appraises_modules(&self) -> Option<bool> {
        let policy = std::fs::read_to_string(self.root.join("sys/kernel/security/ima/policy")).ok()?;
        let judges =
            |line: &str| line.starts_with("appraise") && (line.contains("MODULE_CHECK") || !line.contains("func="));
        Some(policy.lines().any(judges))
    }

    /// Traces of a virtual machine or container, to be shown. They unlock nothing: being virtual is not being disposable.
    pub fn virtual_traces(&self) -> Option<String> {
        let product = std::fs::read_to_string(self.root.join("sys/class/dmi/id/product_name")).unwrap_or_default();
        let cpu = std::fs::read_to_string(self.root.join("proc/cpuinfo")).unwrap_or_default();
        let by_cpu = cpu.lines().any(|l| l.starts_with("flags") && l.split_whitespace().any(|f| f == "hypervisor"));
        let container = [".dockerenv", "run/.containerenv"].iter().any(|f| self.root.join(f).exists());
        match (container, by_cpu) {
            (true, _) => Some("a container".to_owned()),
            (_, true) => Some(format!("a virtual machine {}", product.trim()).trim_end().to_owned()),
            _ => None,
        }
    }
}

/// The major and minor numbers of the mounted file systems, of each mount, by /proc/self/mountinfo (proc(5)). None in a chroot(2) whose
/// root folder is no mount point: then the list lacks the file system of the root folder.
fn mounted_devices(mounts: &str) -> Vec<(u32, u32)> {
    let device = |line: &str| {
        let (major, minor) = line.split(' ').nth(2)?.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    match mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")) {
        true => mounts.lines().filter_map(device).collect(),
        false => Vec::new(),
    }
}

/// Is the file at `path`, existing or not, in `folder`? Determined by the folders' device and inode.
fn is_below(path: &Path, folder: &Path) -> bool {
    let Ok(wanted) = folder.metadata() else { return false };
    let same = |above: &Path| above.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (wanted.dev(), wanted.ino()));
    path.ancestors().skip(1).any(same)
}

/// Device and inode of all files below a folder.
fn gather_inodes(folder: &Path, depth: usize, found: &mut HashSet<(u64, u64)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => gather_inodes(&entry.path(), depth - 1, found),
            Ok(meta) if !meta.is_dir() => {
                found.insert((meta.dev(), meta.ino()));
            }
            _ => {}
        }
    }
}

/// The description of a GNU build-id note as sysfs gives it: three words in the machine's byte order, "GNU\0", the id.
fn build_id(note: &[u8]) -> Option<Vec<u8>> {
    let at = note.windows(4).position(|w| w == b"GNU\0")?;
    let id = note.get(at + 4..)?;
    let size = note.get(at.checked_sub(8)?..)?.first_chunk::<4>().map(|n| u32::from_ne_bytes(*n) as usize)?;
    id.get(..size).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mount_has_a_device_and_in_a_chroot_none_is_known() {
        let list = "21 1 254:0 / / rw - ext4 /dev/vda rw\n22 21 0:20 / /proc rw - proc proc rw\n\
                    30 21 254:0 /srv/a /mnt/b rw - ext4 /dev/vda rw\n";
        assert_eq!(mounted_devices(list), [(254, 0), (0, 20), (254, 0)]);
        assert_eq!(mounted_devices(&list.replace(" / / ", " /srv /srv ")), []);
    }
}
