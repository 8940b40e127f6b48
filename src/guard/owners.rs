//! Which package owns which file, by the package managers' own records: dpkg, pacman, apk.
//!
//! Lists have some hundred thousand paths, and are asked for each module of a plan; so they are read once, and a path is
//! known by its hash alone.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The owners of files.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    /// "dpkg package linux-image-…"
    packages: Vec<String>,
    /// The package of a path below the root, by the path's hash.
    by_path: HashMap<u64, usize>,
}

impl Owners {
    /// Reads what the package managers below a root folder have recorded.
    pub(super) fn of(root: &Path) -> Owners {
        let mut owners = Owners::default();
        owners.read_dpkg(&root.join("var/lib/dpkg/info"));
        owners.read_pacman(&root.join("var/lib/pacman/local"));
        owners.read_apk(&root.join("lib/apk/db/installed"));
        owners
    }

    /// The owner of a file, by its path below the root. A package may call it with or without `/usr` before `/lib`.
    pub(super) fn of_file(&self, below: &Path) -> Option<String> {
        let name = below.as_os_str().as_bytes();
        let other = match name.strip_prefix(b"usr/") {
            Some(short) => short.to_vec(),
            None => [b"usr/", name].concat(),
        };
        let package = self.by_path.get(&hash(name)).or_else(|| self.by_path.get(&hash(&other)))?;
        self.packages.get(*package).cloned()
    }

    fn add<'n>(&mut self, package: String, names: impl Iterator<Item = &'n [u8]>) {
        let index = self.packages.len();
        self.packages.push(package);
        for name in names {
            self.by_path.entry(hash(name.strip_prefix(b"/").unwrap_or(name))).or_insert(index);
        }
    }

    fn read_dpkg(&mut self, folder: &Path) {
        for list in entries(folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "list")) {
            let name = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            self.add(format!("dpkg package {name}"), lines(&std::fs::read(&list).unwrap_or_default()));
        }
    }

    fn read_pacman(&mut self, folder: &Path) {
        for package in entries(folder) {
            let name = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.add(
                format!("pacman package {name}"),
                lines(&std::fs::read(package.join("files")).unwrap_or_default()),
            );
        }
    }

    fn read_apk(&mut self, database: &Path) {
        let Ok(text) = std::fs::read_to_string(database) else { return };
        let (mut package, mut folder, mut files) = ("", "", Vec::new());
        for line in text.lines().chain(["P:"]) {
            match line.split_once(':') {
                Some(("P", name)) => {
                    let names: Vec<String> = std::mem::take(&mut files);
                    if !names.is_empty() {
                        self.add(format!("apk package {package}"), names.iter().map(String::as_bytes));
                    }
                    package = name;
                }
                Some(("F", name)) => folder = name,
                Some(("R", file)) => files.push(format!("{folder}/{file}")),
                _ => {}
            }
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
