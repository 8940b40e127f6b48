//! The files of a selection: files, directories that are searched, and lists of both.
//!
//! All of it is streamed: a tree or a list of some hundred thousand modules takes no more memory than a small one.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::file;
use crate::vault::system_root::SystemRoot;
use crate::vault::{index, target};
use crate::walk::Walk;

/// Modules that were named: files, directories, and a list of both.
#[derive(Clone, Debug, Default)]
pub struct FileSelection {
    /// Files and directories.
    pub modules: Vec<PathBuf>,
    /// A file with more of them: one per line, or each terminated by a NUL. `-` is stdin.
    pub list: Option<PathBuf>,
    /// The root folder of the system whose files they are, if that is not this one.
    pub(crate) root: Option<SystemRoot>,
}

/// How many bytes of a list are searched for a NUL: the first path of a list with NULs ends well before.
const SEARCHED: u64 = 1 << 16;

/// The longest line of a list, in bytes. No path is longer than 4096 (PATH_MAX, include/uapi/linux/limits.h).
const LONGEST_LINE: u64 = 1 << 16;

impl FileSelection {
    /// Is nothing named? An empty list counts as named.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.list.is_none()
    }

    /// Is exactly one file or directory named, so that no file can occur twice?
    pub fn is_single(&self) -> bool {
        self.modules.len() == 1 && self.list.is_none()
    }

    /// The only file that is named; `None` for several, for a directory, and with a list.
    pub fn one(&self) -> Option<&Path> {
        match (self.modules.as_slice(), &self.list) {
            ([module], None) if !module.is_dir() => Some(module),
            _ => None,
        }
    }

    /// The paths as they are named: first the single ones, then those of the list. Directories are not searched.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if the list cannot be opened. Items may be errors: an error of the list, which
    /// ends it; [`ErrorKind::Usage`] if only a list is named and it is empty.
    pub fn named(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        let mut list = self.list.as_deref().map(PathList::open).transpose()?;
        if let Some(list) = &mut list {
            list.may_be_empty = !self.modules.is_empty();
        }
        let root = self.root.clone();
        let named = self.modules.clone().into_iter().map(Ok).chain(list.into_iter().flatten());
        Ok(named.map(move |path| match (&root, path) {
            (Some(root), Ok(path)) => Ok(root.named(&path)),
            (_, path) => path,
        }))
    }

    /// The files that are selected: files that are named, whether they exist or not, and the modules in directories that are
    /// named, sorted.
    ///
    /// # Errors
    ///
    /// Those of [`FileSelection::named`]. Items may be errors too: those of the list, and those of [`Walk`].
    pub fn files(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        Ok(self.named()?.flat_map(|named| match named {
            Ok(path) if path.is_dir() => Selected::Below(Walk::modules(path)),
            named => Selected::Itself(Some(named)),
        }))
    }

    /// The real paths of [`FileSelection::files`], each once, in the order in which they are named. If several are named, each
    /// file takes 16 bytes of memory.
    ///
    /// # Errors
    ///
    /// Those of [`FileSelection::files`]; of each item those of [`target::real_path`] too.
    pub fn real_files(&self) -> Result<impl Iterator<Item = Result<PathBuf>> + Send + use<>> {
        // A walk visits each file once. No two paths have the same hash of 128 bits, whoever chose them.
        let mut seen = (!self.is_single()).then(HashSet::new);
        let mut real = RealPaths::default();
        let files = self.files()?.map(move |path| path.and_then(|path| real.path(&path)));
        Ok(files.filter(move |path| match (path, &mut seen) {
            (Ok(path), Some(seen)) => seen.insert(index::key_of_path(path)),
            _ => true,
        }))
    }

    /// About how many files are selected, by a walk of its own. `None` if there is a list, which may be readable only once.
    pub fn count(&self) -> Option<usize> {
        self.list.is_none().then(|| self.files().map_or(0, Iterator::count))
    }
}

/// Resolves paths, and remembers the directory of the last one.
#[derive(Default)]
struct RealPaths {
    /// A directory as it was named, and its real path. Files of one directory follow each other.
    last: Option<(PathBuf, PathBuf)>,
}

impl RealPaths {
    /// [`target::real_path`].
    fn path(&mut self, path: &Path) -> Result<PathBuf> {
        if let (Some((named, real)), Some(name)) = (&self.last, path.file_name())
            && path.parent() == Some(named.as_path())
        {
            return Ok(real.join(name));
        }
        let real = target::real_path(path)?;
        self.last = path.parent().zip(real.parent()).map(|(named, real)| (named.to_owned(), real.to_owned()));
        Ok(real)
    }
}

/// The files of one path that was named.
enum Selected {
    Itself(Option<Result<PathBuf>>),
    Below(Walk),
}

impl Iterator for Selected {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Selected::Itself(named) => named.take(),
            Selected::Below(files) => files.next(),
        }
    }
}

/// A list of paths, read as far as it is needed.
struct PathList {
    name: PathBuf,
    lines: Box<dyn BufRead + Send>,
    /// The byte that terminates a path.
    end: u8,
    is_over: bool,
    /// Is an empty list valid?
    may_be_empty: bool,
}

impl PathList {
    /// Opens a list; `-` is stdin.
    fn open(name: &Path) -> Result<PathList> {
        let (shown, file): (&Path, Box<dyn Read + Send>) = match name == Path::new("-") {
            true => (Path::new("stdin"), Box::new(io::stdin())),
            false => {
                let not_regular = |e: Error| match e.kind() {
                    ErrorKind::Usage => e.remedy(Remedy::ListFromPipe),
                    _ => e,
                };
                (name, Box::new(file::open_text(name).map_err(not_regular)?))
            }
        };
        PathList::of(shown, file)
    }

    /// The list in a stream. A path contains no NUL, so a NUL in its first bytes shows how paths are terminated.
    fn of(name: &Path, mut stream: Box<dyn Read + Send>) -> Result<PathList> {
        let mut start = Vec::new();
        let read = stream.by_ref().take(SEARCHED).read_to_end(&mut start);
        read.map_err(|e| Error::io("reading", e).on(name))?;
        let end = if start.contains(&0) { 0 } else { b'\n' };
        let lines = Box::new(BufReader::new(io::Cursor::new(start).chain(stream)));
        Ok(PathList { name: name.to_owned(), lines, end, is_over: false, may_be_empty: true })
    }

    fn line(&mut self) -> Result<Option<PathBuf>> {
        let mut empty = 0;
        loop {
            let mut line = Vec::new();
            let read = self.lines.by_ref().take(LONGEST_LINE).read_until(self.end, &mut line);
            read.map_err(|e| Error::io("reading", e))?;
            if line.is_empty() {
                return Ok(None);
            }
            if line.len() as u64 == LONGEST_LINE && line.last() != Some(&self.end) {
                let what = format!("a line of more than {LONGEST_LINE} bytes");
                return Err(Error::new(ErrorKind::Usage, what).hint("a list has one path in a line"));
            }
            line.pop_if(|last| *last == self.end);
            if line.contains(&0) {
                return Err(Error::new(ErrorKind::Usage, "a NUL within a line").hint("a list has one path in a line"));
            }
            if !line.is_empty() {
                return Ok(Some(PathBuf::from(OsString::from_vec(line))));
            }
            empty += 1;
            if empty == LONGEST_LINE {
                let what = format!("{LONGEST_LINE} empty lines one after the other");
                return Err(Error::new(ErrorKind::Usage, what).hint("a list has one path in a line"));
            }
        }
    }
}

impl Iterator for PathList {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let nothing = || Error::new(ErrorKind::Usage, "the list names no module");
        let line = match self.line().transpose() {
            None if !self.may_be_empty => Some(Err(nothing())),
            line => line,
        };
        self.is_over = !matches!(line, Some(Ok(_)));
        self.may_be_empty = true;
        line.map(|line| line.map_err(|e| e.on(&self.name)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn list(bytes: &[u8]) -> Vec<String> {
        let list = PathList::of(Path::new("L"), Box::new(io::Cursor::new(bytes.to_vec()))).unwrap();
        let shown = |line: Result<PathBuf>| line.map_or_else(|e| e.to_string(), |path| path.display().to_string());
        list.map(shown).collect()
    }

    #[test]
    fn a_list_has_one_path_per_line_and_the_last_line_end_may_be_missing() {
        assert_eq!(list(b"a.ko\n\n b \nc"), ["a.ko", " b ", "c"]);
        assert_eq!(list(b""), [] as [&str; 0]);
    }

    #[test]
    fn with_nuls_line_feeds_are_part_of_names() {
        assert_eq!(list(b"a\nb.ko\0c.ko\0"), ["a\nb.ko", "c.ko"]);
    }

    #[test]
    fn a_malformed_list_ends_with_one_error() {
        let late = [b"a.ko\n".repeat(1 << 14), b"b\0c\nd\n".to_vec()].concat();
        let lines = list(&late);
        assert_eq!(lines.last().unwrap(), "L: a NUL within a line; a list has one path in a line");
        assert_eq!(lines.len(), (1 << 14) + 1);
        let long = [b"a.ko\n".to_vec(), vec![b'x'; 1 << 18]].concat();
        assert_eq!(list(&long), ["a.ko", "L: a line of more than 65536 bytes; a list has one path in a line"]);
    }

    #[test]
    fn an_empty_list_is_an_error_if_nothing_else_is_named() {
        let list = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(names(&[], Some(list.path())), ["the list names no module"]);
        assert_eq!(names(&[Path::new("a.ko")], Some(list.path())), ["a.ko"]);
        fs::write(list.path(), "\n\n").unwrap();
        assert_eq!(names(&[], Some(list.path())), ["the list names no module"]);
    }

    fn names(modules: &[&Path], files_from: Option<&Path>) -> Vec<String> {
        let modules = FileSelection {
            modules: modules.iter().map(|path| (*path).to_owned()).collect(),
            list: files_from.map(Path::to_owned),
            root: None,
        };
        let shown = |file: Result<PathBuf>| match file {
            Ok(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
            Err(error) => error.what().to_owned(),
        };
        modules.files().unwrap().map(shown).collect()
    }

    #[test]
    fn a_directory_selects_its_modules_and_links_are_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let [tree, other, empty] = ["tree", "other", "empty"].map(|name| top.path().join(name));
        for folder in [tree.join("kernel/b"), tree.join("kernel-x"), other.clone(), empty.clone()] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in ["kernel/b/2.ko", "kernel/1.ko.xz", "kernel-x/0.ko.zst", "modules.dep", "kernel/x.ko.bak"] {
            fs::write(tree.join(file), "").unwrap();
        }
        fs::write(other.join("far.ko"), "").unwrap();
        std::os::unix::fs::symlink(&other, tree.join("build")).unwrap();
        std::os::unix::fs::symlink(other.join("far.ko"), tree.join("link.ko")).unwrap();
        assert_eq!(names(&[&tree], None), ["1.ko.xz", "2.ko", "0.ko.zst"]);
        // A path that is named itself is selected, whatever it is.
        assert_eq!(names(&[&tree.join("build"), &tree.join("link.ko")], None), ["far.ko", "link.ko"]);
        assert_eq!(names(&[&empty, &tree.join("missing")], None), ["no module in this folder", "missing"]);
        let list = top.path().join("list");
        fs::write(&list, format!("{}\n{}\n", other.display(), tree.join("modules.dep").display())).unwrap();
        assert_eq!(names(&[&tree.join("kernel/b")], Some(&list)), ["2.ko", "far.ko", "modules.dep"]);
    }

    #[test]
    fn each_real_path_occurs_once_in_the_order_of_the_names() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        for file in ["a/1.ko", "a/2.ko", "b/c/3.ko", "b/4.ko"] {
            fs::create_dir_all(top.join(file).parent().unwrap()).unwrap();
            fs::write(top.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(top.join("a"), top.join("link")).unwrap();
        let list = top.join("list");
        fs::write(&list, format!("{0}/b/4.ko\n{0}/a/./2.ko\n{0}/b/..\n", top.display())).unwrap();
        let real = |named: &[&str], files_from: Option<&Path>| {
            let named: Vec<PathBuf> = named.iter().map(|name| top.join(name)).collect();
            let modules = FileSelection { modules: named, list: files_from.map(Path::to_owned), root: None };
            let shown = |path: Result<PathBuf>| path.unwrap().strip_prefix(&top).unwrap().display().to_string();
            (modules.count(), modules.real_files().unwrap().map(shown).collect::<Vec<_>>())
        };
        assert_eq!(real(&["link"], None), (Some(2), vec!["a/1.ko".to_owned(), "a/2.ko".to_owned()]));
        let (count, twice) = real(&["b", "link", "b/c", "a/1.ko", "b"], None);
        assert_eq!((count, twice), (Some(8), ["b/4.ko", "b/c/3.ko", "a/1.ko", "a/2.ko"].map(str::to_owned).to_vec()));
        let (count, listed) = real(&["a/1.ko"], Some(&list));
        assert_eq!((count, listed), (None, ["a/1.ko", "b/4.ko", "a/2.ko", "b/c/3.ko"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_list_may_be_an_anonymous_pipe_but_no_fifo_or_device() {
        use std::io::Write;
        use std::os::fd::AsRawFd;
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"a.ko\nb.ko\n").unwrap();
        drop(writer);
        let listed: Vec<String> = PathList::open(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd())))
            .unwrap()
            .map(|path| path.unwrap().display().to_string())
            .collect();
        assert_eq!(listed, ["a.ko", "b.ko"]);
        assert_eq!(PathList::open(Path::new("/dev/null")).unwrap().count(), 0);
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = PathList::open(path).err().unwrap();
            assert_eq!((error.kind(), error.what()), (ErrorKind::Usage, "not a regular file"), "{}", path.display());
        }
    }

    #[test]
    fn an_endless_list_of_empty_lines_is_an_error() {
        let mut list = PathList::of(Path::new("L"), Box::new(io::repeat(0))).unwrap();
        assert_eq!(list.next().unwrap().unwrap_err().kind(), ErrorKind::Usage);
        assert!(list.next().is_none());
    }

    #[test]
    fn a_missing_list_is_an_error_at_once() {
        let modules = FileSelection { list: Some("/not/there".into()), ..FileSelection::default() };
        assert!(!modules.is_empty());
        let error = modules.named().err().unwrap();
        assert_eq!(error.to_string(), "/not/there: opening: No such file or directory");
    }
}
