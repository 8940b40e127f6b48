//! A selection of files compared with a kernel: one result per file, and the kernel's modules that are missing.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::against::originals::{OriginalStream, Originals};
use crate::against::pairing::{OriginalName, Pair, PairedFiles, PlaceMatch, each_pair};
use crate::against::relation::{OriginalComparison, RelationToOriginal};
use crate::budget::WorkBudget;
use crate::comparison::MeaningfulDifference;
use crate::comparison::parts::SectionDifference;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{KernelName, Lookup};
use crate::module::container::Container;
use crate::selection::FileSelection;
use crate::text::{path_hex, path_text};

/// What is compared with what.
pub struct AgainstRequest<'r> {
    /// The kernel whose modules are the originals.
    pub kernel: &'r KernelName,
    /// The files and folders; none means the module tree of the kernel's release on this machine.
    pub selection: &'r FileSelection,
    /// How the kernel is read.
    pub lookup: &'r Lookup,
}

/// A module with its original.
#[derive(Clone, Debug)]
pub struct ComparedModule {
    /// The path of the file; of a missing one, where it should be.
    pub path: PathBuf,
    /// The path of the original, or its path in the package; `None` if the kernel has none.
    pub original: Option<String>,
    /// The package that contains the original.
    pub package: Option<PathBuf>,
    /// The result.
    pub comparison: OriginalComparison,
}

impl Serialize for ComparedModule {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Containers {
            original: Container,
            found: Container,
        }
        #[derive(Serialize)]
        struct ComparedModuleFields<'m> {
            schema_version: u32,
            module: Cow<'m, str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            path_hex: Option<String>,
            relation: RelationToOriginal,
            original: Option<&'m str>,
            package: Option<Cow<'m, str>>,
            containers: Option<Containers>,
            differences: &'m [MeaningfulDifference],
            differing_sections: usize,
            sections: &'m [SectionDifference],
            reason: Option<&'m str>,
        }
        let comparison = &self.comparison;
        let fields = ComparedModuleFields {
            schema_version: 1,
            module: path_text(&self.path),
            path_hex: path_hex(&self.path),
            relation: comparison.relation,
            original: self.original.as_deref(),
            package: self.package.as_deref().map(path_text),
            containers: comparison.containers.map(|[original, found]| Containers { original, found }),
            differences: &comparison.differences,
            differing_sections: comparison.differing_sections,
            sections: &comparison.sections,
            reason: comparison.reason.as_deref(),
        };
        fields.serialize(serializer)
    }
}

/// The results of a selection.
#[derive(Debug, Default)]
pub struct AgainstReport {
    /// The modules, by path.
    pub modules: Vec<ComparedModule>,
    /// What could not be read.
    pub errors: Vec<Error>,
    /// The module tree that was compared because nothing was named.
    pub tree: Option<PathBuf>,
}

impl AgainstReport {
    /// How many modules have each relation.
    pub fn counts(&self) -> BTreeMap<RelationToOriginal, usize> {
        let mut counts = BTreeMap::new();
        for module in &self.modules {
            *counts.entry(module.comparison.relation).or_default() += 1;
        }
        counts
    }
}

/// Compares a selection with a kernel. `begin` is called with the number of files, before they are read; `step` for each
/// comparison.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the kernel has no modules, or nothing is selected and this machine has no module tree of its
/// release; [`ErrorKind::TooMuchWork`] if all decompression together takes more work than the files justify; those of reading the
/// kernel. A file that cannot be read is a part of the report.
pub fn compare_with(request: &AgainstRequest<'_>, begin: impl FnOnce(usize), step: impl Fn()) -> Result<AgainstReport> {
    let budget = Arc::new(WorkBudget::new(request.lookup.max_size));
    let originals = OriginalStream::open(request.kernel, request.lookup, &budget)?;
    let tree = match request.selection.is_empty() {
        true => Some(own_tree(&originals, request, &budget)?),
        false => None,
    };
    let files = match &tree {
        Some(tree) => PairedFiles::of(&FileSelection { modules: vec![tree.clone()], ..FileSelection::default() })?,
        None => PairedFiles::of(request.selection)?,
    };
    begin(files.files.len());
    let (mut names, mut pairs) = (Vec::new(), Vec::new());
    let each = |name: OriginalName, found: Vec<Pair<()>>| {
        found.iter().for_each(|_| step());
        pairs.extend(found.into_iter().map(|pair| (names.len(), pair)));
        names.push(name);
        Ok(())
    };
    each_pair(Originals::Streamed(originals), &files, &budget, |_| (), each)
        .map_err(|e| e.on(request.kernel.to_string()))?;
    let mut report = Assignment::of(files, names, pairs).report();
    report.tree = tree;
    report.modules.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(report)
}

/// The module tree of the kernel's release on this machine.
fn own_tree(originals: &OriginalStream, request: &AgainstRequest<'_>, budget: &WorkBudget) -> Result<PathBuf> {
    let name = request.kernel.to_string();
    let Some(release) = originals.release(budget) else {
        let what = "its modules do not name a release, so its module tree is unknown";
        return Err(Error::new(ErrorKind::NotFound, what).hint("name the files or folders to compare").on(name));
    };
    let trees = ["/lib/modules", "/usr/lib/modules"].map(|modules| Path::new(modules).join(&release));
    let trees = trees.map(|tree| request.selection.root.as_ref().map_or(tree.clone(), |root| root.named(&tree)));
    let found = trees.into_iter().find(|tree| tree.is_dir()).ok_or_else(|| {
        let what = format!("this machine has no module tree of {release}");
        Error::new(ErrorKind::NotFound, what).hint("name the files or folders to compare").on(name.clone())
    })?;
    let is_itself = |path: &PathBuf| path.canonicalize().ok() == found.canonicalize().ok();
    if *request.kernel == KernelName::Running || request.kernel.paths().iter().any(is_itself) {
        let hint = "name the files or folders to compare";
        return Err(Error::new(ErrorKind::Usage, "this is the module tree itself").hint(hint).on(name));
    }
    Ok(found)
}

/// Which file belongs to which original.
struct Assignment {
    files: PairedFiles,
    names: Vec<OriginalName>,
    /// The pairs of each file, with the numbers of their originals.
    of_file: HashMap<usize, Vec<(usize, Pair<()>)>>,
    /// The best place of each original in each folder that was named.
    best: HashMap<(usize, usize), PlaceMatch>,
}

impl Assignment {
    fn of(files: PairedFiles, names: Vec<OriginalName>, pairs: Vec<(usize, Pair<()>)>) -> Assignment {
        let mut of_file: HashMap<usize, Vec<(usize, Pair<()>)>> = HashMap::new();
        let mut best: HashMap<(usize, usize), PlaceMatch> = HashMap::new();
        for (original, pair) in pairs {
            if let Some(file) = files.files.get(pair.file).filter(|file| !file.is_named) {
                let known = best.entry((file.named, original)).or_insert(pair.place);
                *known = pair.place.max(*known);
            }
            of_file.entry(pair.file).or_default().push((original, pair));
        }
        Assignment { files, names, of_file, best }
    }

    fn report(mut self) -> AgainstReport {
        let mut report = AgainstReport { errors: std::mem::take(&mut self.files.errors), ..AgainstReport::default() };
        // The originals that were found in each folder, and the trees that the folder may be.
        let mut found: HashSet<(usize, usize)> = HashSet::new();
        let mut trees: BTreeMap<usize, BTreeMap<TreePart, usize>> = BTreeMap::new();
        for (at, file) in self.files.files.iter().enumerate() {
            let pairs = self.of_file.remove(&at).unwrap_or_default().into_iter();
            // In a folder, a file at a worse place than another one is not the module, although it has its name.
            let is_best = |original: usize, place: PlaceMatch| {
                file.is_named || self.best.get(&(file.named, original)) == Some(&place)
            };
            let rank = |(_, pair): &(usize, Pair<()>)| {
                let relation = pair.comparison.as_ref().map_or(RelationToOriginal::Damaged, |c| c.relation);
                (pair.place, std::cmp::Reverse(relation))
            };
            let chosen = pairs.filter(|(original, pair)| is_best(*original, pair.place)).max_by_key(rank);
            let Some((original, pair)) = chosen else {
                if let Err(error) = file.path.symlink_metadata() {
                    report.errors.push(Error::io("looking at the file", error).on(&file.path));
                    continue;
                }
                let extra = OriginalComparison::without_original(RelationToOriginal::Extra);
                report.modules.push(ComparedModule {
                    path: file.path.clone(),
                    original: None,
                    package: None,
                    comparison: extra,
                });
                continue;
            };
            let Some(name) = self.names.get(original) else { continue };
            if !file.is_named {
                found.insert((file.named, original));
                if let (Some(folder), Some(part)) =
                    (self.files.named.get(file.named), TreePart::of(&file.path, &file.below, name, pair.place))
                {
                    *trees.entry(file.named).or_default().entry(part.within(folder)).or_default() += 1;
                }
            }
            let comparison = match pair.comparison {
                Ok(comparison) => comparison,
                Err(error) if error.kind() == ErrorKind::NotFound && error.path() == Some(&file.path) => {
                    OriginalComparison::without_original(RelationToOriginal::Missing)
                }
                Err(error) => {
                    report.errors.push(error);
                    continue;
                }
            };
            report.modules.push(ComparedModule {
                path: file.path.clone(),
                original: Some(name.path.clone()),
                package: name.package.clone(),
                comparison,
            });
        }
        for (folder, parts) in trees {
            let Some((part, _)) = parts.into_iter().max_by_key(|(_, count)| *count) else { continue };
            for (original, name) in self.names.iter().enumerate() {
                if let (false, Some(path)) = (found.contains(&(folder, original)), part.path_of(&name.below)) {
                    report.modules.push(ComparedModule {
                        path,
                        original: Some(name.path.clone()),
                        package: name.package.clone(),
                        comparison: OriginalComparison::without_original(RelationToOriginal::Missing),
                    });
                }
            }
        }
        report
    }
}

/// A part of a module tree: the folder of this part, and its place below the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TreePart {
    folder: PathBuf,
    /// Empty for the whole tree; else it ends with a slash.
    prefix: String,
}

impl TreePart {
    /// The tree that a file at the place of its original shows.
    fn of(path: &Path, below: &str, original: &OriginalName, place: PlaceMatch) -> Option<TreePart> {
        let depth = Path::new(below).components().count();
        let folder = match path.ancestors().nth(depth) {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            // The place begins above the folder that was named.
            _ => std::path::absolute(path).ok()?.ancestors().nth(depth)?.to_owned(),
        };
        match place {
            PlaceMatch::Same => Some(TreePart { folder, prefix: String::new() }),
            PlaceMatch::PartOfTree => {
                let file = original.below.rsplit_once('/').map_or("", |(folder, _)| folder);
                let ours = below.rsplit_once('/').map_or("", |(folder, _)| folder);
                Some(TreePart { folder, prefix: file.strip_suffix(ours)?.to_owned() })
            }
            PlaceMatch::Name | PlaceMatch::OtherRelease => None,
        }
    }

    /// The part of it that is in the folder that was named.
    fn within(self, folder: &Path) -> TreePart {
        let folder = match self.folder.is_absolute() {
            true => std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            false => folder.to_owned(),
        };
        let rest = folder.strip_prefix(&self.folder).map(|rest| rest.to_string_lossy().into_owned());
        match rest {
            Ok(rest) if !rest.is_empty() => TreePart { prefix: format!("{}{rest}/", self.prefix), folder },
            _ => self,
        }
    }

    /// Where a module should be, if it belongs to this part.
    fn path_of(&self, below: &str) -> Option<PathBuf> {
        Some(self.folder.join(below.strip_prefix(&self.prefix)?))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HELLO: &str = "fixtures/modules/hello-4.ko";
    const TEXT: &str = "fixtures/modules/text.ko";

    /// A folder with copies of fixtures in it.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (from, to) in files {
            let to = folder.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(from), to).unwrap();
        }
        folder
    }

    /// The relation of each module, by its path below the folder.
    fn compared(kernel: &Path, top: &Path, named: &[&str]) -> Vec<(String, &'static str)> {
        let kernel = KernelName::from(kernel);
        let modules = named.iter().map(|name| top.join(name)).collect();
        let selection = FileSelection { modules, ..FileSelection::default() };
        let request = AgainstRequest { kernel: &kernel, selection: &selection, lookup: &Lookup::default() };
        let report = compare_with(&request, |_| (), || ()).unwrap();
        let below = |path: &Path| path.strip_prefix(top).unwrap().display().to_string();
        report.modules.iter().map(|m| (below(&m.path), m.comparison.relation.name())).collect()
    }

    fn kernel() -> tempfile::TempDir {
        folder(&[
            (HELLO, "lib/modules/6.1/kernel/net/a.ko"),
            (HELLO, "lib/modules/6.1/kernel/net/b.ko"),
            (TEXT, "lib/modules/6.1/kernel/fs/c.ko"),
        ])
    }

    fn pairs(list: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        list.iter().map(|(path, relation)| ((*path).to_owned(), *relation)).collect()
    }

    #[test]
    fn in_a_part_of_a_tree_only_its_own_modules_are_missing() {
        let kernel = kernel();
        let found = folder(&[(HELLO, "lib/modules/6.1/kernel/net/a.ko")]);
        let (k, f) = (kernel.path(), found.path());
        let net = [("lib/modules/6.1/kernel/net/a.ko", "original"), ("lib/modules/6.1/kernel/net/b.ko", "missing")];
        assert_eq!(compared(k, f, &["lib/modules/6.1/kernel/net"]), pairs(&net));
        let all = [("lib/modules/6.1/kernel/fs/c.ko", "missing"), net[0], net[1]];
        for whole in ["", "lib/modules/6.1", "lib/modules/6.1/kernel"] {
            assert_eq!(compared(k, f, &[whole]), pairs(&all), "{whole}");
        }
    }

    #[test]
    fn a_copy_of_a_part_shows_which_part_it_is() {
        let (kernel, found) = (kernel(), folder(&[(HELLO, "copy/net/b.ko")]));
        let all = [("copy/fs/c.ko", "missing"), ("copy/net/a.ko", "missing"), ("copy/net/b.ko", "original")];
        assert_eq!(compared(kernel.path(), found.path(), &["copy"]), pairs(&all));
    }

    #[test]
    fn in_a_flat_folder_of_copies_nothing_is_missing() {
        let (kernel, found) = (kernel(), folder(&[(HELLO, "b.ko"), (HELLO, "c.ko"), (HELLO, "d.ko")]));
        let all = [("b.ko", "original"), ("c.ko", "rebuilt"), ("d.ko", "extra")];
        assert_eq!(compared(kernel.path(), found.path(), &[""]), pairs(&all));
    }

    #[test]
    fn an_update_and_the_tree_of_another_release_are_extra_next_to_the_module_itself() {
        let kernel = kernel();
        let found = folder(&[
            (HELLO, "lib/modules/6.1/kernel/net/a.ko"),
            (TEXT, "lib/modules/6.1/updates/a.ko"),
            (TEXT, "lib/modules/6.2/kernel/net/a.ko"),
        ]);
        let relations = compared(kernel.path(), found.path(), &[""]);
        assert!(relations.contains(&("lib/modules/6.1/kernel/net/a.ko".to_owned(), "original")));
        assert!(relations.contains(&("lib/modules/6.1/updates/a.ko".to_owned(), "extra")));
        assert!(relations.contains(&("lib/modules/6.2/kernel/net/a.ko".to_owned(), "extra")));
        // A file that is named itself is compared wherever it is.
        let named = compared(kernel.path(), found.path(), &["lib/modules/6.1/updates/a.ko"]);
        assert_eq!(named, pairs(&[("lib/modules/6.1/updates/a.ko", "rebuilt")]));
    }

    #[test]
    fn a_package_is_compared_without_unpacking_it() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/packages/plain.deb");
        let found = folder(&[(HELLO, "hello-4.ko")]);
        let relations = compared(&package, found.path(), &["hello-4.ko"]);
        assert_eq!(relations.len(), 1);
        assert_ne!(relations[0].1, "extra");
    }
}
