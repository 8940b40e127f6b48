//! Modules counted by traits: the traits of most modules in a tree, and the modules that differ.
//!
//! Pure, and of bounded size: a few paths are kept per group, and a bounded number of groups and trees, however hostile they are.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::scan::journal::JournalState;
use crate::text;

/// How many paths are kept per group.
pub(super) const KEPT: usize = 5;

/// How many groups by one trait are kept apart per tree, and how many trees.
const MOST_GROUPS: usize = 256;
const MOST_TREES: usize = 1024;

/// The longest text by which modules are grouped, in bytes; of a longer one the start counts.
const LONGEST: usize = 512;

/// The traits by which modules are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// The first vermagic.
    pub(super) vermagic: Option<Arc<[u8]>>,
    /// Who signed it; `None` if it is not signed.
    pub(super) signer: Option<Arc<[u8]>>,
    /// Class, byte order and machine, in words.
    pub(super) machine: Arc<[u8]>,
    /// Does it have the mark of a patched module?
    pub(super) has_mark: bool,
    /// Its state by the journal.
    pub(super) journal: Option<JournalState>,
    /// Its oddities.
    pub(super) oddities: Vec<Oddity>,
}

impl Traits {
    /// Are the traits equal? Fast if they share their texts, as traits from one thread do.
    pub(super) fn is_alike(&self, other: &Traits) -> bool {
        let is_same = |ours: &Option<Arc<[u8]>>, theirs: &Option<Arc<[u8]>>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_same(&self.vermagic, &other.vermagic)
            && is_same(&self.signer, &other.signer)
            && (Arc::ptr_eq(&self.machine, &other.machine) || self.machine == other.machine)
            && (self.has_mark, self.journal, &self.oddities) == (other.has_mark, other.journal, &other.oddities)
    }
}

/// An unusual trait of a module, other than a missing vermagic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// More than one `vermagic=`.
    SeveralVermagics,
    /// `.modinfo` is not marked SHF_ALLOC.
    ModinfoNotAllocated,
    /// `__versions` is not marked SHF_ALLOC.
    VersionsNotAllocated,
    /// Bytes after the ELF image that belong to nothing.
    UnclaimedBytes,
}

/// A number of modules, and the paths of the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampledModules {
    /// How many modules there are.
    pub count: usize,
    /// The paths of the first ones, relative to their tree, escaped; for unreadable modules with the error.
    pub first: Vec<String>,
}

impl SampledModules {
    fn add(&mut self, count: usize, first: impl Iterator<Item = String>) {
        self.count += count;
        self.first.extend(first.take(KEPT - self.first.len().min(KEPT)));
    }
}

/// Modules grouped by one trait.
#[derive(Clone, Debug, Default)]
pub struct GroupedModules {
    groups: HashMap<Option<Arc<[u8]>>, SampledModules>,
    /// Modules in further groups, after the limit of groups was reached.
    pub others: SampledModules,
}

impl GroupedModules {
    fn add(&mut self, key: Option<&Arc<[u8]>>, count: usize, first: impl Iterator<Item = String>) {
        let key = key.map(|key| key.get(..LONGEST).map_or_else(|| key.clone(), Arc::from));
        let is_full = self.groups.len() >= MOST_GROUPS;
        match self.groups.get_mut(&key) {
            Some(group) => group.add(count, first),
            None if is_full => self.others.add(count, first),
            None => self.groups.entry(key).or_default().add(count, first),
        }
    }

    /// The groups by size, the largest first; of two equal ones the one whose key sorts first.
    pub fn sorted(&self) -> Vec<(Option<&[u8]>, &SampledModules)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(key, group)| (key.as_deref(), group)).collect();
        groups.sort_by(|(a, one), (b, other)| other.count.cmp(&one.count).then_with(|| a.cmp(b)));
        groups
    }
}

/// The modules of one tree.
#[derive(Clone, Debug, Default)]
pub struct TreeTally {
    /// All modules, including those that cannot be read.
    pub count: usize,
    /// By vermagic; `None` is no vermagic.
    pub vermagics: GroupedModules,
    /// By signer; `None` is no signature, an empty name an unnamed signer.
    pub signers: GroupedModules,
    /// By class, byte order and machine, in words.
    pub machines: GroupedModules,
    /// Modules with the mark of a patched module.
    pub marked: SampledModules,
    /// Modules that the journal knows, by state.
    pub journal: BTreeMap<JournalState, SampledModules>,
    /// Modules with oddities, in the order of the first module of each.
    pub oddities: Vec<(Oddity, SampledModules)>,
    /// Modules that cannot be read.
    pub unreadable: SampledModules,
}

/// All modules by tree, in the order of the trees' first modules.
#[derive(Debug, Default)]
pub struct Tally {
    trees: Vec<(Option<Arc<Path>>, TreeTally)>,
    by_name: HashMap<Option<Arc<Path>>, usize>,
    /// Were there more trees than the limit? The last one then counts the modules of all further ones.
    pub has_more: bool,
}

impl Tally {
    fn tree(&mut self, name: &Option<Arc<Path>>) -> Option<&mut TreeTally> {
        let index = match self.by_name.get(name) {
            Some(index) => *index,
            None if self.trees.len() >= MOST_TREES => {
                self.has_more = true;
                self.trees.len() - 1
            }
            None => {
                self.trees.push((name.clone(), TreeTally::default()));
                self.by_name.insert(name.clone(), self.trees.len() - 1);
                self.trees.len() - 1
            }
        };
        self.trees.get_mut(index).map(|(_, tree)| tree)
    }

    /// Adds `count` modules of a tree with equal traits, of which `first` are the first paths.
    pub(super) fn add(
        &mut self,
        name: &Option<Arc<Path>>,
        traits: &Result<Traits, Error>,
        count: usize,
        first: &[PathBuf],
    ) {
        let Some(tree) = self.tree(name) else { return };
        let first = first.iter().map(|path| relative(name, path));
        tree.count += count;
        let traits = match traits {
            Ok(traits) => traits,
            Err(error) => {
                let with_error = |path| format!("{path}: {}", crate::escape::for_eyes(error.what()));
                return tree.unreadable.add(count, first.map(with_error));
            }
        };
        tree.vermagics.add(traits.vermagic.as_ref(), count, first.clone());
        tree.signers.add(traits.signer.as_ref(), count, first.clone());
        tree.machines.add(Some(&traits.machine), count, first.clone());
        if traits.has_mark {
            tree.marked.add(count, first.clone());
        }
        if let Some(state) = traits.journal {
            tree.journal.entry(state).or_default().add(count, first.clone());
        }
        for oddity in &traits.oddities {
            let index = tree.oddities.iter().position(|(known, _)| known == oddity).unwrap_or_else(|| {
                tree.oddities.push((*oddity, SampledModules::default()));
                tree.oddities.len() - 1
            });
            if let Some((_, sample)) = tree.oddities.get_mut(index) {
                sample.add(count, first.clone());
            }
        }
    }

    /// The trees by name; `None` for files that were named one by one and are in no module tree.
    pub fn trees(&self) -> impl Iterator<Item = (Option<&Path>, &TreeTally)> {
        self.trees.iter().map(|(name, tree)| (name.as_deref(), tree))
    }
}

/// A path relative to its tree, escaped.
fn relative(tree: &Option<Arc<Path>>, path: &Path) -> String {
    let below = tree.as_deref().and_then(|tree| path.strip_prefix(tree).ok());
    text::path(below.unwrap_or(path))
}

/// The length of the path of the module tree in a module's path, by its `lib/modules/RELEASE/`.
pub(super) fn module_tree(path: &[u8]) -> Option<usize> {
    let part = b"lib/modules/";
    let mut places = memchr::memmem::find_iter(path, part).filter(|at| *at == 0 || path.get(at - 1) == Some(&b'/'));
    let release = places.next()? + part.len();
    let len = memchr::memchr(b'/', path.get(release..)?).filter(|len| *len > 0)?;
    Some(release + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Arc<[u8]>> {
        Some(Arc::from(text.as_bytes()))
    }

    fn add(tally: &mut Tally, tree: &Option<Arc<Path>>, path: &str, traits: Traits) {
        tally.add(tree, &Ok(traits), 1, &[path.into()]);
    }

    #[test]
    fn a_module_tree_is_known_by_its_path() {
        let tree = |path: &str| module_tree(path.as_bytes()).map(|len| path[..len].to_owned());
        assert_eq!(tree("/x/lib/modules/6.1/kernel/a.ko").as_deref(), Some("/x/lib/modules/6.1"));
        assert_eq!(tree("lib/modules/6.1/a.ko").as_deref(), Some("lib/modules/6.1"));
        assert_eq!(tree("usr/lib/modules/6.1/a.ko").as_deref(), Some("usr/lib/modules/6.1"));
        assert_eq!(tree("mylib/modules/6.1/a.ko"), None);
        assert_eq!(tree("lib/modules/a.ko"), None);
        assert_eq!(tree("lib/modules//a.ko"), None);
    }

    #[test]
    fn the_largest_group_is_first_and_few_paths_are_kept() {
        let mut tally = Tally::default();
        let module = |vermagic: &str| Traits { vermagic: text(vermagic), ..Traits::default() };
        add(&mut tally, &None, "odd.ko", module("5.10 "));
        for number in 0..100 {
            add(&mut tally, &None, &format!("{number}.ko"), module("6.1 "));
        }
        let (_, tree) = tally.trees().next().unwrap();
        let groups: Vec<_> = tree.vermagics.sorted().iter().map(|(key, some)| (key.unwrap(), some.count)).collect();
        assert_eq!(groups, [(b"6.1 ".as_slice(), 100), (b"5.10 ", 1)]);
        assert_eq!(tree.vermagics.sorted()[0].1.first, ["0.ko", "1.ko", "2.ko", "3.ko", "4.ko"]);
    }

    #[test]
    fn a_hostile_tree_takes_bounded_memory() {
        let mut tally = Tally::default();
        for number in 0..3000 {
            let vermagic = text(&format!("{number}{}", "x".repeat(2 * LONGEST)));
            let tree = Some(Arc::from(Path::new(&format!("/{number}"))));
            add(&mut tally, &tree, "a.ko", Traits { vermagic, ..Traits::default() });
        }
        assert_eq!(tally.trees().count(), MOST_TREES);
        let (_, last) = tally.trees().last().unwrap();
        assert_eq!((last.count, last.vermagics.sorted().len()), (3000 - MOST_TREES + 1, MOST_GROUPS));
        assert!(last.vermagics.sorted().iter().all(|(key, _)| key.unwrap().len() <= LONGEST));
        assert_eq!(last.vermagics.others.count, 3000 - MOST_TREES + 1 - MOST_GROUPS);
        assert!(tally.has_more);
    }
}
