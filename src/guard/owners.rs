//! Which package owns which file, by the package managers' own records: dpkg, pacman, apk.
//!
//! The records are lists with some hundred thousand paths in hundreds of files. For a few files, the lists are searched as bytes, up to
//! the first one that has the path; most files belong to no package, so nearly always all lists are read. For a plan of many modules they
//! are read once into an index, in which a path is known by its hash alone: that takes as long as about ten searches.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use memchr::memmem;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

/// For how many files the lists are searched before an index is made.
const FEW: usize = 8;

/// How much of a list is read at once, in bytes. Most lists are smaller, and one has megabytes; more would not stay in the
/// processor's cache.
const AT_ONCE: usize = 1 << 16;

/// The owners of the files below a root folder.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    root: PathBuf,
    /// How many files were asked about.
    asked: Arc<AtomicUsize>,
    index: OnceLock<OwnerIndex>,
}

impl Owners {
    /// Those that the package managers below a root folder have recorded. Nothing is read yet.
    pub(super) fn below(root: &Path) -> Owners {
        Owners { root: root.to_owned(), asked: Arc::default(), index: OnceLock::new() }
    }

    /// The owner of a file, by its path below the root: "dpkg package linux-image-…".
    pub(super) fn of_file(&self, below: &Path) -> Option<String> {
        let wanted = WantedFile::of(below);
        match self.asked.fetch_add(1, Ordering::Relaxed) < FEW {
            true => wanted.search(&self.root),
            false => self.index.get_or_init(|| OwnerIndex::of(&self.root)).of_file(&wanted),
        }
    }
}

/// A file, by the names that a package may have for it: with or without `/usr` before `/lib`.
struct WantedFile {
    /// Its path below the root.
    name: Vec<u8>,
    other: Vec<u8>,
}

impl WantedFile {
    fn of(below: &Path) -> WantedFile {
        let name = below.as_os_str().as_bytes().to_vec();
        let other = match name.strip_prefix(b"usr/") {
            Some(short) => short.to_vec(),
            None => [b"usr/", name.as_slice()].concat(),
        };
        WantedFile { name, other }
    }

    /// The package that has the file by its name, or else by the other one: the first in each case.
    fn search(&self, root: &Path) -> Option<String> {
        // Each of the two names ends with the shorter one.
        let short = if self.name.len() < self.other.len() { &self.name } else { &self.other };
        let finder = memmem::Finder::new(short);
        let mut by_other = None;
        let by_name = each_list(root, Some(short), |list| match self.is_in(list.text, &finder) {
            Some(true) => ControlFlow::Break(list.owner()),
            Some(false) => {
                by_other.get_or_insert_with(|| list.owner());
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        });
        by_name.break_value().or(by_other)
    }

    /// Is a line of a list the file's name (`true`), or at least the other name (`false`)?
    fn is_in(&self, text: &[u8], finder: &memmem::Finder<'_>) -> Option<bool> {
        let (mut from, mut found) = (0, None);
        while let Some(at) = finder.find(text.get(from..)?) {
            let start = memchr::memrchr(b'\n', text.get(..from + at)?).map_or(0, |end| end + 1);
            let end = memchr::memchr(b'\n', text.get(start..)?).map_or(text.len(), |len| start + len);
            let line = path_in(text.get(start..end)?);
            if line == self.name {
                return Some(true);
            }
            if line == self.other {
                found = Some(false);
            }
            // A name with a line feed is in no line, and may begin in one and end in another.
            from = end.max(from + at + 1);
        }
        found
    }
}

/// The owners of all files.
#[derive(Clone, Debug, Default)]
struct OwnerIndex {
    /// "dpkg package linux-image-…"
    packages: Vec<String>,
    /// The package of a path below the root, by the path's hash.
    by_path: HashMap<u64, usize>,
}

impl OwnerIndex {
    fn of(root: &Path) -> OwnerIndex {
        let mut index = OwnerIndex::default();
        let _ = each_list::<()>(root, None, |list| {
            let owner = list.owner();
            if index.packages.last() != Some(&owner) {
                index.packages.push(owner);
            }
            let package = index.packages.len() - 1;
            for line in list.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                index.by_path.entry(hash(path_in(line))).or_insert(package);
            }
            ControlFlow::Continue(())
        });
        index
    }

    fn of_file(&self, wanted: &WantedFile) -> Option<String> {
        let package = self.by_path.get(&hash(&wanted.name)).or_else(|| self.by_path.get(&hash(&wanted.other)))?;
        self.packages.get(*package).cloned()
    }
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The path below the root in a line of a list.
fn path_in(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"/").unwrap_or(line)
}

/// A part of the list of a package's files, one path in a line. Large lists have several parts.
struct PackageList<'l> {
    manager: &'static str,
    package: &'l OsStr,
    text: &'l [u8],
}

impl PackageList<'_> {
    fn owner(&self) -> String {
        format!("{} package {}", self.manager, self.package.to_string_lossy())
    }
}

/// Passes on the lists of all packages, in a fixed order. If only one file is wanted, lists may be omitted that do not contain the
/// bytes of its name.
fn each_list<B>(
    root: &Path,
    wanted: Option<&[u8]>,
    mut each: impl FnMut(PackageList<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut buffer = Vec::with_capacity(AT_ONCE);
    each_name(&root.join("var/lib/dpkg/info"), ".list", |folder, package, name| {
        each_part(folder, Path::new(name), &mut buffer, |text| each(PackageList { manager: "dpkg", package, text }))
    })?;
    each_name(&root.join("var/lib/pacman/local"), "", |folder, package, name| {
        let list = Path::new(name).join("files");
        each_part(folder, &list, &mut buffer, |text| each(PackageList { manager: "pacman", package, text }))
    })?;
    each_of_apk(&root.join("lib/apk/db/installed"), wanted, each)
}

/// The packages of apk's database, which has a package, its folders, and the files in each of them in lines of their own.
fn each_of_apk<B>(
    database: &Path,
    wanted: Option<&[u8]>,
    mut each: impl FnMut(PackageList<'_>) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let Ok(text) = std::fs::read_to_string(database) else { return ControlFlow::Continue(()) };
    let file_name = wanted.and_then(|wanted| wanted.rsplit(|byte| *byte == b'/').next());
    if file_name.is_some_and(|name| memmem::find(text.as_bytes(), name).is_none()) {
        return ControlFlow::Continue(());
    }
    let (mut package, mut folder, mut files) = ("", "", String::new());
    for line in text.lines().chain(["P:"]) {
        match line.split_once(':') {
            Some(("P", name)) => {
                if !files.is_empty() {
                    each(PackageList { manager: "apk", package: package.as_ref(), text: files.as_bytes() })?;
                }
                files.clear();
                package = name;
            }
            Some(("F", name)) => folder = name,
            Some(("R", file)) => files.extend([folder, "/", file, "\n"]),
            _ => {}
        }
    }
    ControlFlow::Continue(())
}

/// Passes on the names in a folder that have an ending, sorted, each without and with the ending. The folder is open: to resolve its
/// path for each file would take as long as to read the file.
fn each_name<B>(
    path: &Path,
    ending: &str,
    mut each: impl FnMut(BorrowedFd<'_>, &OsStr, &OsStr) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open(path, flags, Mode::empty()) else { return ControlFlow::Continue(()) };
    let Ok(entries) = Dir::read_from(&folder) else { return ControlFlow::Continue(()) };
    let stem = |name: &[u8]| name.strip_suffix(ending.as_bytes()).map(<[u8]>::len).filter(|len| *len > 0);
    let mut names: Vec<Vec<u8>> = entries
        .flatten()
        .map(|entry| entry.file_name().to_bytes().to_vec())
        .filter(|name| stem(name).is_some() && name != b"." && name != b"..")
        .collect();
    names.sort_unstable();
    names.iter().try_for_each(|name| {
        let stem = stem(name).and_then(|len| name.get(..len)).unwrap_or(name);
        each(folder.as_fd(), OsStr::from_bytes(stem), OsStr::from_bytes(name))
    })
}

/// Passes on the lines of a file in a folder, many at once. What can't be read is left out.
fn each_part<B>(
    folder: BorrowedFd<'_>,
    name: &Path,
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]) -> ControlFlow<B>,
) -> ControlFlow<B> {
    buffer.clear();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let Ok(file) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return ControlFlow::Continue(()) };
    loop {
        if buffer.len() == buffer.capacity() {
            // A line that is longer than the buffer.
            buffer.reserve(AT_ONCE);
        }
        match rustix::io::read(&file, rustix::buffer::spare_capacity(buffer)) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(_) => return ControlFlow::Continue(()),
        }
        // A short read is the end of the file: to ask again would be one call in four.
        if buffer.len() < buffer.capacity() {
            return each(buffer);
        }
        let lines = memchr::memrchr(b'\n', buffer).map_or(0, |end| end + 1);
        each(buffer.get(..lines).unwrap_or_default())?;
        buffer.drain(..lines);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: PathBuf, text: impl AsRef<[u8]>) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Both ways to find an owner have the same answers.
    #[track_caller]
    fn owner(root: &Path, file: impl AsRef<Path>) -> Option<String> {
        let wanted = WantedFile::of(file.as_ref());
        let searched = wanted.search(root);
        assert_eq!(OwnerIndex::of(root).of_file(&wanted), searched);
        searched
    }

    #[test]
    fn a_whole_line_of_a_list_is_a_file_and_parts_of_lines_are_none() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let dpkg = root.join("var/lib/dpkg/info");
        write(dpkg.join("a.list"), "/.\n/opt\n/opt/x.ko.xz\n/srv/opt/x.ko\n/opt/x.ko/y\n");
        write(dpkg.join("b.list"), "/.\n/opt\n/opt/x.ko\n/r/r/r\n/usr/s/s/s\n/opt/last.ko");
        write(dpkg.join("c.list"), "/opt/x.ko\n");
        write(dpkg.join("d.md5sums"), "/opt/sums.ko\n");
        write(dpkg.join(".list"), "/opt/nameless.ko\n");
        let b = Some("dpkg package b".to_owned());
        for file in ["opt/x.ko", "r/r/r", "s/s/s", "usr/s/s/s", "opt/last.ko", "usr/opt/last.ko"] {
            assert_eq!(owner(root, file), b, "{file}");
        }
        for file in ["x.ko", "opt/x", "opt/x.ko\n/r/r/r", "opt/last", "opt/sums.ko", "opt/nameless.ko", "r/r", "\n"] {
            assert_eq!(owner(root, file), None, "{file}");
        }
    }

    #[test]
    fn the_name_of_the_file_counts_before_the_name_with_or_without_usr() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(root.join("var/lib/dpkg/info/a.list"), "/lib/modules/1/a.ko\n/lib/modules/1/b.ko\n");
        write(root.join("var/lib/dpkg/info/b.list"), "/usr/lib/modules/1/b.ko\n");
        write(root.join("var/lib/pacman/local/p-1/files"), "%FILES%\nusr/lib/modules/1/a.ko\nusr/lib/modules/1/c.ko\n");
        write(root.join("var/lib/pacman/local/empty"), "not a folder");
        let apk = "C:Q1\nP:k\nF:lib/modules/1\nR:c.ko\nR:d.ko\nZ:Q1\n\nP:l\nF:usr/lib/modules/1\nR:e.ko\nP:m\n";
        write(root.join("lib/apk/db/installed"), apk);
        let answers = [
            ("lib/modules/1/a.ko", "dpkg package a"),
            ("usr/lib/modules/1/a.ko", "pacman package p-1"),
            ("usr/lib/modules/1/b.ko", "dpkg package b"),
            ("lib/modules/1/b.ko", "dpkg package a"),
            ("lib/modules/1/c.ko", "apk package k"),
            ("usr/lib/modules/1/c.ko", "pacman package p-1"),
            ("usr/lib/modules/1/d.ko", "apk package k"),
            ("lib/modules/1/e.ko", "apk package l"),
        ];
        for (file, package) in answers {
            assert_eq!(owner(root, file).as_deref(), Some(package), "{file}");
        }
        assert_eq!(owner(root, "usr/lib/modules/1/none.ko"), None);
    }

    #[test]
    fn of_many_files_most_are_looked_up_in_an_index() {
        let root = tempfile::tempdir().unwrap();
        let lines: String = (0..100).map(|n| format!("/opt/{n}.ko\n")).collect();
        // More than is read at once, and a line that is longer than that.
        let lines = "/opt/doc\n".repeat(20_000) + "/opt/" + &"long".repeat(AT_ONCE) + "\n" + &lines;
        write(root.path().join("var/lib/dpkg/info/a:amd64.list"), lines);
        let owners = Owners::below(root.path());
        for n in 0..100 {
            assert_eq!(owners.of_file(Path::new(&format!("opt/{n}.ko"))).as_deref(), Some("dpkg package a:amd64"));
            assert_eq!(owners.index.get().is_some(), 2 * n + 1 > FEW, "{n}");
            assert_eq!(owners.of_file(Path::new(&format!("opt/{n}.k"))), None);
        }
    }
}
