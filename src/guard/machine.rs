//! The machine as the guards see it: its module trees, what is loaded, what packages own, whether it is a lab machine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A machine, seen from its root folder. Tests look at one of their own making.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    release: String,
    is_lab_machine: bool,
}

/// A module that is loaded now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its name.
    pub name: String,
    /// Its build-id, where sysfs tells it.
    pub build_id: Option<Vec<u8>>,
}

impl Machine {
    /// This machine. `is_lab_machine` is what [`crate::guard::enrol`] found.
    pub fn here(is_lab_machine: bool) -> Machine {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Machine { root: PathBuf::from("/"), release, is_lab_machine }
    }

    /// A machine whose root folder is elsewhere.
    pub fn at(root: impl Into<PathBuf>, release: &str, is_lab_machine: bool) -> Machine {
        Machine { root: root.into(), release: release.to_owned(), is_lab_machine }
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
        let mut trees = self.homes().map(|home| home.join(&self.release)).filter(|tree| tree.is_dir());
        trees.any(|tree| is_below(path, &tree) || contains_inode(&tree, path))
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

    /// Where systems keep modules: most, most of today, NixOS, Android.
    fn homes(&self) -> impl Iterator<Item = PathBuf> {
        let places = [
            "lib/modules",
            "usr/lib/modules",
            "run/booted-system/kernel-modules/lib/modules",
            "run/current-system/kernel-modules/lib/modules",
            "vendor/lib/modules",
            "system/lib/modules",
        ];
        places.into_iter().map(|place| self.root.join(place)).filter(|home| home.is_dir())
    }

    /// The modules that are loaded now (sysfs, and /proc/modules beside it).
    pub fn loaded(&self) -> Vec<Loaded> {
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
        let names = self.names_of(path);
        self.dpkg_owner(&names)
            .or_else(|| self.pacman_owner(&names))
            .or_else(|| self.apk_owner(&names))
            .or_else(|| self.rpm_owner(path))
    }

    /// What a package may call this path: as it is under the root, and with or without `/usr` before `/lib`.
    fn names_of(&self, path: &Path) -> Vec<String> {
        let Ok(below) = path.strip_prefix(&self.root) else { return Vec::new() };
        let below = below.to_string_lossy().into_owned();
        let other = match below.strip_prefix("usr/") {
            Some(short) => short.to_owned(),
            None => format!("usr/{below}"),
        };
        vec![below, other]
    }

    fn dpkg_owner(&self, names: &[String]) -> Option<String> {
        let lines: Vec<String> = names.iter().map(|name| format!("/{name}")).collect();
        let lists = std::fs::read_dir(self.root.join("var/lib/dpkg/info")).ok()?.flatten().map(|e| e.path());
        let mut lists = lists.filter(|path| path.extension().is_some_and(|e| e == "list"));
        let list = lists.find(|list| has_line(list, &lines))?;
        Some(format!("dpkg package {}", list.file_stem()?.to_string_lossy()))
    }

    fn pacman_owner(&self, names: &[String]) -> Option<String> {
        let mut packages = std::fs::read_dir(self.root.join("var/lib/pacman/local")).ok()?.flatten().map(|e| e.path());
        let package = packages.find(|package| has_line(&package.join("files"), names))?;
        Some(format!("pacman package {}", package.file_name()?.to_string_lossy()))
    }

    fn apk_owner(&self, names: &[String]) -> Option<String> {
        let database = std::fs::read_to_string(self.root.join("lib/apk/db/installed")).ok()?;
        let (mut package, mut folder) = ("", "");
        for line in database.lines() {
            match line.split_once(':') {
                Some(("P", name)) => package = name,
                Some(("F", name)) => folder = name,
                Some(("R", file)) if names.iter().any(|name| *name == format!("{folder}/{file}")) => {
                    return Some(format!("apk package {package}"));
                }
                _ => {}
            }
        }
        None
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

/// Is the file at `path`, there or not, in `folder`? Told by the folders' device and inode.
fn is_below(path: &Path, folder: &Path) -> bool {
    let Ok(wanted) = folder.metadata() else { return false };
    let same = |above: &Path| above.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (wanted.dev(), wanted.ino()));
    path.ancestors().skip(1).any(same)
}

/// Is one of the tree's files this very file, reached through a bind mount?
fn contains_inode(tree: &Path, path: &Path) -> bool {
    let (Ok(file), Ok(root)) = (path.metadata(), tree.metadata()) else { return false };
    file.dev() == root.dev() && has_inode(tree, (file.dev(), file.ino()), 16)
}

fn has_inode(folder: &Path, wanted: (u64, u64), depth: usize) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => depth > 0 && has_inode(&entry.path(), wanted, depth - 1),
        Ok(meta) => (meta.dev(), meta.ino()) == wanted,
        Err(_) => false,
    })
}

fn has_line(file: &Path, lines: &[String]) -> bool {
    let text = std::fs::read(file).unwrap_or_default();
    text.split(|b| *b == b'\n').any(|line| lines.iter().any(|wanted| wanted.as_bytes() == line))
}

/// The description of a GNU build-id note as sysfs gives it: three words in the machine's byte order, "GNU\0", the id.
fn build_id(note: &[u8]) -> Option<Vec<u8>> {
    let at = note.windows(4).position(|w| w == b"GNU\0")?;
    let id = note.get(at + 4..)?;
    let size = note.get(at.checked_sub(8)?..)?.first_chunk::<4>().map(|n| u32::from_ne_bytes(*n) as usize)?;
    id.get(..size).map(<[u8]>::to_vec)
}
