//! Finds the files that belong to each module of a kernel, and compares them, on all cores.
//!
//! A module has the same name everywhere; of several files with its name, the one at the same place below the module tree is
//! preferred. Both sides are read once: the kernel's modules as they come, the files when their module comes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::against::originals::{Originals, no_modules};
use crate::against::relation::{OriginalComparison, compare_stored};
use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::files::{StoredBytes, StoredModule, each_module};
use crate::module::file::{self, FileContents};
use crate::module::name_of_file;
use crate::parallel::in_order;
use crate::selection::FileSelection;
use crate::walk::Walk;

/// A file that is compared.
pub(crate) struct PairedFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// The number of the name that selected it.
    pub(super) named: usize,
    /// Was it named itself, and not found in a folder?
    pub(super) is_named: bool,
    /// The release in its path, if it is in a module tree.
    release: Option<String>,
    /// Its path below the module tree, or below the folder that was named.
    pub(super) below: String,
}

/// How well the place of a file fits a module of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PlaceMatch {
    /// Only the name is the same.
    Name,
    /// The folder that was named may be a part of a module tree.
    PartOfTree,
    /// The place is the same in the tree of another release.
    OtherRelease,
    /// The place is the same.
    Same,
}

/// The files that were selected.
#[derive(Default)]
pub(crate) struct PairedFiles {
    /// The files, in the order of the selection.
    pub(crate) files: Vec<PairedFile>,
    /// The paths that were named.
    pub(super) named: Vec<PathBuf>,
    /// What cannot be searched.
    pub(crate) errors: Vec<Error>,
    by_name: HashMap<String, Vec<usize>>,
}

impl PairedFiles {
    /// The files of a selection: named files, and the modules in named folders.
    ///
    /// # Errors
    ///
    /// Those of [`FileSelection::named`].
    pub(crate) fn of(selection: &FileSelection) -> Result<PairedFiles> {
        let mut all = PairedFiles::default();
        for (number, path) in selection.named()?.enumerate() {
            let path = path?;
            match path.is_dir() {
                false => all.add(path.clone(), number, None),
                true => {
                    for found in Walk::modules(path.clone()) {
                        match found {
                            Ok(found) => all.add(found, number, Some(&path)),
                            Err(error) => all.errors.push(error),
                        }
                    }
                }
            }
            all.named.push(path);
        }
        Ok(all)
    }

    /// Files that are named by themselves.
    pub(crate) fn single(paths: impl IntoIterator<Item = PathBuf>) -> PairedFiles {
        let mut all = PairedFiles::default();
        paths.into_iter().for_each(|path| all.add(path, 0, None));
        all
    }

    fn add(&mut self, path: PathBuf, named: usize, folder: Option<&Path>) {
        let (release, below) = place(&path, folder);
        self.by_name.entry(name_of_file(&path)).or_default().push(self.files.len());
        self.files.push(PairedFile { path, named, is_named: folder.is_none(), release, below });
    }
}

/// The release and the place below the module tree of a path; without a module tree in it, the place below a folder.
fn place(path: &Path, folder: Option<&Path>) -> (Option<String>, String) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = absolute.to_string_lossy();
    if let Some((_, rest)) = text.rsplit_once("/lib/modules/")
        && let Some((release, below)) = rest.split_once('/')
    {
        return (Some(release.to_owned()), below.to_owned());
    }
    let below = folder.and_then(|folder| path.strip_prefix(folder).ok());
    let below = below.or_else(|| path.file_name().map(Path::new)).unwrap_or(path);
    (None, below.to_string_lossy().into_owned())
}

/// A place without the ending of a compression.
fn without_compression(below: &str) -> &str {
    [".gz", ".xz", ".zst"].iter().find_map(|ending| below.strip_suffix(ending)).unwrap_or(below)
}

impl PairedFile {
    /// How well its place fits a module of the kernel.
    fn fits(&self, original: &StoredModule) -> PlaceMatch {
        let [ours, theirs] = [&self.below, &original.below].map(|below| without_compression(below));
        let is_other =
            self.release.as_ref().zip(original.release.as_ref()).is_some_and(|(ours, theirs)| ours != theirs);
        match theirs.strip_suffix(ours) {
            Some("") if is_other => PlaceMatch::OtherRelease,
            Some("") => PlaceMatch::Same,
            Some(rest) if rest.ends_with('/') && ours.contains('/') => PlaceMatch::PartOfTree,
            _ => PlaceMatch::Name,
        }
    }
}

/// A module of the kernel, without its bytes.
#[derive(Debug)]
pub(crate) struct OriginalName {
    /// Its place below its module tree.
    pub(crate) below: String,
    /// Its path, or its path in the package.
    pub(crate) path: String,
    /// The package that contains it.
    pub(crate) package: Option<PathBuf>,
}

/// A file with its original, and a value of the caller's own.
pub(crate) struct Pair<T> {
    /// The number of the file.
    pub(crate) file: usize,
    /// How well the places fit.
    pub(crate) place: PlaceMatch,
    /// The result; the error names the file that cannot be read.
    pub(crate) comparison: Result<OriginalComparison>,
    /// What the caller made of both while they were in memory.
    pub(crate) own: Option<T>,
}

/// A file and its original while both are in memory.
pub(crate) struct PairInMemory<'p> {
    /// The number of the file.
    pub(crate) file: usize,
    /// When the original was last changed, in seconds since the epoch, if its package records it.
    pub(crate) modified: Option<i64>,
    /// The bytes of the original, as it is stored.
    pub(crate) original_bytes: &'p [u8],
    /// The bytes of the file, as it is stored.
    pub(crate) found_bytes: &'p [u8],
    /// The result.
    pub(crate) comparison: &'p OriginalComparison,
}

/// Compares each file with each module of its name.
///
/// `look` gets each pair with its bytes, on a worker thread; `each` gets each original with its pairs, in the order of the
/// kernel's source, on the calling thread.
///
/// # Errors
///
/// Those of reading the kernel; [`ErrorKind::TooMuchWork`] if all decompression together takes more than the budget allows; the
/// first error of `each`.
pub(crate) fn each_pair<T: Send>(
    originals: Originals,
    files: &PairedFiles,
    budget: &WorkBudget,
    look: impl Fn(PairInMemory<'_>) -> T + Sync,
    mut each: impl FnMut(OriginalName, Vec<Pair<T>>) -> Result<()>,
) -> Result<()> {
    let mut originals = match originals {
        Originals::Streamed(originals) => originals,
        Originals::Inline(kernel, lookup) => {
            let mut has_any = false;
            each_module(&kernel, &lookup, budget, |original| {
                has_any = true;
                let pairs = compare_all(&original, files, budget, &look)?;
                let StoredModule { below, path, package, .. } = original;
                each(OriginalName { below, path, package }, pairs)
            })?;
            return if has_any { Ok(()) } else { Err(no_modules(&kernel)) };
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let work = |_: &mut (), original: Result<StoredModule>| {
        let original = original?;
        let pairs = compare_all(&original, files, budget, &look)?;
        let StoredModule { below, path, package, .. } = original;
        Ok((OriginalName { below, path, package }, pairs))
    };
    in_order(
        threads,
        || originals.next(),
        || (),
        work,
        |done: Result<_>| done.and_then(|(original, pairs)| each(original, pairs)),
        || (),
    )
}

/// Compares the files of one name with an original. All files are added to the budget.
fn compare_all<T>(
    original: &StoredModule,
    files: &PairedFiles,
    budget: &WorkBudget,
    look: &impl Fn(PairInMemory<'_>) -> T,
) -> Result<Vec<Pair<T>>> {
    let Some(same_name) = files.by_name.get(&name_of_file(Path::new(&original.below))) else { return Ok(Vec::new()) };
    let read = |path: &Path| -> Result<FileContents> {
        let contents = file::read_even_empty(path, budget.max_size())?;
        budget.admit(contents.bytes().len());
        Ok(contents)
    };
    let mut pairs = Vec::with_capacity(same_name.len());
    for (at, file) in same_name.iter().filter_map(|at| Some((*at, files.files.get(*at)?))) {
        let mut own = None;
        let mut compare = || -> Result<OriginalComparison> {
            let found = read(&file.path)?;
            let contents;
            let bytes = match &original.bytes {
                StoredBytes::InMemory(bytes) => bytes.as_slice(),
                StoredBytes::InFile(path) => {
                    contents = read(path)?;
                    contents.bytes()
                }
            };
            let comparison = compare_stored(bytes, found.bytes(), budget)?;
            own = Some(look(PairInMemory {
                file: at,
                modified: original.modified,
                original_bytes: bytes,
                found_bytes: found.bytes(),
                comparison: &comparison,
            }));
            Ok(comparison)
        };
        let comparison = match compare() {
            // Nothing more may be decompressed.
            Err(error) if error.kind() == ErrorKind::TooMuchWork => return Err(error),
            comparison => comparison.map_err(|e| e.on(&original.path)),
        };
        pairs.push(Pair { file: at, place: file.fits(original), comparison, own });
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(path: &str, folder: Option<&str>, below: &str) -> PlaceMatch {
        let mut files = PairedFiles::default();
        files.add(path.into(), 0, folder.map(Path::new));
        let original = StoredModule {
            release: Some("6.1".to_owned()),
            below: below.to_owned(),
            path: String::new(),
            package: None,
            bytes: StoredBytes::InMemory(Vec::new()),
            modified: None,
        };
        files.files[0].fits(&original)
    }

    #[test]
    fn the_place_in_a_module_tree_is_found_from_any_folder() {
        let below = "kernel/fs/ext4/ext4.ko";
        for (path, folder, place) in [
            ("/lib/modules/6.1/kernel/fs/ext4/ext4.ko", Some("/lib/modules/6.1"), PlaceMatch::Same),
            ("/lib/modules/6.1/kernel/fs/ext4/ext4.ko.xz", Some("/"), PlaceMatch::Same),
            ("/lib/modules/6.1/kernel/fs/ext4/ext4.ko", None, PlaceMatch::Same),
            ("/lib/modules/6.2/kernel/fs/ext4/ext4.ko", Some("/"), PlaceMatch::OtherRelease),
            ("/copy/kernel/fs/ext4/ext4.ko.zst", Some("/copy"), PlaceMatch::Same),
            ("/copy/fs/ext4/ext4.ko", Some("/copy"), PlaceMatch::PartOfTree),
            ("/copy/ext4.ko", Some("/copy"), PlaceMatch::Name),
            ("/copy/kernel/fs/ext4/ext4.ko", None, PlaceMatch::Name),
            ("/lib/modules/6.1/updates/ext4.ko", Some("/lib/modules/6.1"), PlaceMatch::Name),
        ] {
            assert_eq!(fits(path, folder, below), place, "{path}");
        }
    }
}
