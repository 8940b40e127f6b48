//! Very many modules, counted by what matters: what most of a tree are, and which are the odd ones out. Pure, and of bounded
//! size: of each group a few paths are kept, of hostile trees a bounded number of groups.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::error::Error;

/// How many paths are kept of a group.
pub(super) const KEPT: usize = 5;

/// How many groups of one kind are kept apart in a tree, and how many trees.
const MOST_GROUPS: usize = 256;
const MOST_TREES: usize = 1024;

/// The longest text by which modules are grouped, in bytes; of a longer one the start counts.
const LONGEST: usize = 512;

/// What a module is, as far as it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// The first version magic.
    pub(super) vermagic: Option<Arc<[u8]>>,
    /// Who signed it; `None` for nobody.
    pub(super) signer: Option<Arc<[u8]>>,
    /// Class, byte order and machine, in words.
    pub(super) machine: Arc<[u8]>,
    /// It says itself that it was patched.
    pub(super) has_mark: bool,
    /// What the journal says of it.
    pub(super) recorded: Option<Recorded>,
    /// What is odd about it.
    pub(super) odd: Vec<Odd>,
}

impl Traits {
    /// Are they the same? Quick where they share their texts, as those that one thread has looked at do.
    pub(super) fn is_alike(&self, other: &Traits) -> bool {
        let is_same = |ours: &Option<Arc<[u8]>>, theirs: &Option<Arc<[u8]>>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs) || ours == theirs,
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_same(&self.vermagic, &other.vermagic)
            && is_same(&self.signer, &other.signer)
            && (Arc::ptr_eq(&self.machine, &other.machine) || self.machine == other.machine)
            && (self.has_mark, self.recorded, &self.odd) == (other.has_mark, other.recorded, &other.odd)
    }
}

/// What a module is by the journal, by its bytes; the words are those of `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Recorded {
    /// Its bytes are what a patch left, here or elsewhere.
    Patched,
    /// It was patched and not restored, and its bytes are others now.
    Changed,
    /// It was patched and not restored, and its bytes are those of before all the same.
    Original,
}

impl Recorded {
    /// Its word in JSON and CSV.
    pub(super) fn name(self) -> &'static str {
        match self {
            Recorded::Patched => "patched",
            Recorded::Changed => "changed",
            Recorded::Original => "original",
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Recorded::Patched => "by the journal",
            Recorded::Changed => "by the journal, but changed since",
            Recorded::Original => "by the journal, but the original again",
        }
    }
}

/// What is odd about a module, beside having no version magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// More than one `vermagic=`.
    Several,
    /// `.modinfo` is not marked SHF_ALLOC.
    Hidden,
    /// Nor is `__versions`.
    VersionsHidden,
    /// Bytes behind the ELF image that belong to nothing.
    Unclaimed,
}

impl Odd {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Odd::Several => "several vermagic entries: the kernel takes the first",
            Odd::Hidden => ".modinfo is not marked SHF_ALLOC: kernels up to 6.3 do not see it",
            Odd::VersionsHidden => "__versions is not marked SHF_ALLOC: no kernel sees the symbol versions",
            Odd::Unclaimed => "bytes behind the ELF image that belong to nothing",
        }
    }
}

/// Some modules of which a few are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) count: usize,
    /// The first of them.
    pub(super) first: Vec<String>,
}

impl Sample {
    fn add(&mut self, count: usize, first: impl Iterator<Item = String>) {
        self.count += count;
        self.first.extend(first.take(KEPT - self.first.len().min(KEPT)));
    }
}

/// Modules grouped by one trait.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    groups: HashMap<Option<Arc<[u8]>>, Sample>,
    /// Those for which there were too many groups.
    pub(super) others: Sample,
}

impl Groups {
    fn add(&mut self, key: Option<&Arc<[u8]>>, count: usize, first: impl Iterator<Item = String>) {
        let key = key.map(|key| key.get(..LONGEST).map_or_else(|| key.clone(), Arc::from));
        let is_full = self.groups.len() >= MOST_GROUPS;
        match self.groups.get_mut(&key) {
            Some(group) => group.add(count, first),
            None if is_full => self.others.add(count, first),
            None => self.groups.entry(key).or_default().add(count, first),
        }
    }

    /// The largest first; of two as large the one that sorts first.
    pub(super) fn sorted(&self) -> Vec<(Option<&[u8]>, &Sample)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(key, group)| (key.as_deref(), group)).collect();
        groups.sort_by(|(a, one), (b, other)| other.count.cmp(&one.count).then_with(|| a.cmp(b)));
        groups
    }
}

/// The modules of one tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) count: usize,
    pub(super) vermagics: Groups,
    pub(super) signers: Groups,
    pub(super) machines: Groups,
    pub(super) marked: Sample,
    pub(super) recorded: BTreeMap<Recorded, Sample>,
    pub(super) odd: Vec<(Odd, Sample)>,
    pub(super) unreadable: Sample,
}

/// All trees, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Tally {
    trees: Vec<(Option<Arc<Path>>, Tree)>,
    by_name: HashMap<Option<Arc<Path>>, usize>,
    /// How many trees were too many to be kept apart; the last one has their modules.
    pub(super) has_more: bool,
}

impl Tally {
    fn tree(&mut self, name: &Option<Arc<Path>>) -> Option<&mut Tree> {
        let place = match self.by_name.get(name) {
            Some(place) => *place,
            None if self.trees.len() >= MOST_TREES => {
                self.has_more = true;
                self.trees.len() - 1
            }
            None => {
                self.trees.push((name.clone(), Tree::default()));
                self.by_name.insert(name.clone(), self.trees.len() - 1);
                self.trees.len() - 1
            }
        };
        self.trees.get_mut(place).map(|(_, tree)| tree)
    }

    /// Adds so many modules that are alike. `first` are the first paths in the tree, for eyes; few are wanted.
    pub(super) fn add(
        &mut self,
        tree: &Option<Arc<Path>>,
        looked: &Result<Traits, Error>,
        count: usize,
        first: impl Iterator<Item = String> + Clone,
    ) {
        let Some(tree) = self.tree(tree) else { return };
        tree.count += count;
        let traits = match looked {
            Ok(traits) => traits,
            Err(error) => {
                let told = |path| format!("{path}: {}", crate::escape::for_eyes(error.what()));
                return tree.unreadable.add(count, first.map(told));
            }
        };
        tree.vermagics.add(traits.vermagic.as_ref(), count, first.clone());
        tree.signers.add(traits.signer.as_ref(), count, first.clone());
        tree.machines.add(Some(&traits.machine), count, first.clone());
        if traits.has_mark {
            tree.marked.add(count, first.clone());
        }
        if let Some(recorded) = traits.recorded {
            tree.recorded.entry(recorded).or_default().add(count, first.clone());
        }
        for odd in &traits.odd {
            let place = tree.odd.iter().position(|(known, _)| known == odd).unwrap_or_else(|| {
                tree.odd.push((*odd, Sample::default()));
                tree.odd.len() - 1
            });
            if let Some((_, sample)) = tree.odd.get_mut(place) {
                sample.add(count, first.clone());
            }
        }
    }

    /// The trees; without a name, files that were named one by one.
    pub(super) fn trees(&self) -> impl Iterator<Item = (Option<&Path>, &Tree)> {
        self.trees.iter().map(|(name, tree)| (name.as_deref(), tree))
    }
}

/// The module tree that a path is in, by its `lib/modules/RELEASE/`: how many bytes of the path it has.
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
        tally.add(tree, &Ok(traits), 1, std::iter::once(path.to_owned()));
    }

    #[test]
    fn a_module_tree_is_told_by_its_place() {
        let tree = |path: &str| module_tree(path.as_bytes()).map(|len| path[..len].to_owned());
        assert_eq!(tree("/x/lib/modules/6.1/kernel/a.ko").as_deref(), Some("/x/lib/modules/6.1"));
        assert_eq!(tree("lib/modules/6.1/a.ko").as_deref(), Some("lib/modules/6.1"));
        assert_eq!(tree("usr/lib/modules/6.1/a.ko").as_deref(), Some("usr/lib/modules/6.1"));
        assert_eq!(tree("mylib/modules/6.1/a.ko"), None);
        assert_eq!(tree("lib/modules/a.ko"), None);
        assert_eq!(tree("lib/modules//a.ko"), None);
    }

    #[test]
    fn the_largest_group_comes_first_and_few_paths_are_kept() {
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
    fn a_hostile_tree_fills_no_memory() {
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
