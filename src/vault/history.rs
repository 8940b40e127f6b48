//! The meaning of the journal: which files are patched now, and the original of each known content. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::vault::record::{FileChange, JournalEntry, Operation, WriteMethod};

/// The override in a restore's line by which a person discarded changes by somebody else.
pub(crate) const DISCARD: &str = "discard-changes";

/// The history of one path.
#[derive(Clone, Debug, Default)]
pub struct FileHistory<'j> {
    /// The patches that were not reverted, oldest first.
    pub patches: Vec<&'j FileChange>,
    /// The last change, which may be a restore.
    pub last: Option<&'j FileChange>,
    /// The first of the patches that the last restore reverted: the restore set its metadata.
    pub taken_back: Option<&'j FileChange>,
}

impl<'j> FileHistory<'j> {
    /// The first patch. The contents before it are the original.
    pub fn root(&self) -> Option<&'j FileChange> {
        self.patches.first().copied()
    }

    /// Is the file patched now? What `patch -o` made is no module that was patched: it has no original of its own.
    pub fn is_patched_in_place(&self) -> bool {
        self.root().is_some_and(|root| root.how != WriteMethod::Create)
    }

    /// The SHA-256 that the file should have now.
    pub fn expected(&self) -> Option<Sha256> {
        self.last.map(|change| change.after)
    }
}

/// The original of some contents.
#[derive(Clone, Debug)]
pub struct OriginalContents<'j> {
    /// SHA-256 of the original.
    pub original: Sha256,
    /// The change that recorded the original's metadata.
    pub change: &'j FileChange,
    /// Whether it is known by the path, not only by the contents.
    pub is_here: bool,
    /// Whether all changes of this original have the same modification time.
    pub times_agree: bool,
}

/// The meaning of the lines of a journal.
#[derive(Clone, Debug, Default)]
pub struct History<'j> {
    paths: BTreeMap<&'j Path, FileHistory<'j>>,
    /// For the contents after each patch, the changes whose `before` is the original.
    roots: BTreeMap<Sha256, Vec<&'j FileChange>>,
    /// For each original, the first patch of it.
    originals: BTreeMap<Sha256, &'j FileChange>,
    /// The sizes of the contents after patches.
    sizes: BTreeSet<u64>,
    /// Patched files at whose paths other files were found later: the paths, and the patches. They may have been moved.
    displaced: Vec<(&'j Path, Vec<&'j FileChange>)>,
    /// Backups that were dropped and not made again, with the numbers of the lines.
    dropped: BTreeMap<Sha256, u64>,
}

impl<'j> History<'j> {
    /// Reads the entries in their order.
    pub fn of(entries: impl IntoIterator<Item = &'j JournalEntry>) -> History<'j> {
        let mut history = History::default();
        for entry in entries {
            history.dropped.extend(entry.dropped.iter().map(|sha| (*sha, entry.seq)));
            let Some(change) = &entry.change else { continue };
            if entry.operation == Operation::Forget {
                history.forget(change);
                continue;
            }
            history.dropped.remove(&change.before);
            match entry.operation {
                // An abandoned change stays in the history, because it leads back to the original, whatever the file holds now.
                Operation::Patch | Operation::GivenUp => history.patched(change),
                Operation::Restore => {
                    let of_path = history.paths.entry(&change.path).or_default();
                    of_path.taken_back = of_path.root().or(of_path.taken_back);
                    let patches = std::mem::take(&mut of_path.patches);
                    of_path.last = Some(change);
                    // No file was there: the patched file was deleted, or it was moved and is still patched.
                    if change.how == WriteMethod::Create && !patches.is_empty() {
                        history.displaced.push((&change.path, patches));
                    }
                    history.displaced.retain(|(_, patches)| patches.last().is_none_or(|p| p.after != change.before));
                }
                Operation::Undone
                | Operation::Enrol
                | Operation::Unenrol
                | Operation::Drop
                | Operation::Forget
                | Operation::Import
                | Operation::Repair => {}
            }
        }
        history
    }

    /// Removes a patched module from the history of its path. The original of its contents stays known.
    fn forget(&mut self, change: &FileChange) {
        let is_it = |first: Option<&FileChange>, last: Option<&FileChange>| {
            first.is_some_and(|first| first.before == change.before) && last.is_some_and(|l| l.after == change.after)
        };
        let path = change.path.as_path();
        self.displaced
            .retain(|(from, patches)| *from != path || !is_it(patches.first().copied(), patches.last().copied()));
        if self.at(path).is_some_and(|of_path| is_it(of_path.root().or(of_path.last), of_path.last)) {
            self.paths.remove(path);
        }
    }

    fn patched(&mut self, change: &'j FileChange) {
        let of_path = self.paths.entry(&change.path).or_default();
        // These are not the contents that the last patch wrote: another file replaced it, and is an original.
        if of_path.expected().is_some_and(|expected| expected != change.before) {
            let patches = std::mem::take(&mut of_path.patches);
            if !patches.is_empty() {
                self.displaced.push((&change.path, patches));
            }
        }
        of_path.patches.push(change);
        self.sizes.insert(change.size_after);
        of_path.last = Some(change);
        let roots = match self.roots.get(&change.before) {
            Some(roots) => roots.clone(),
            None => {
                self.originals.entry(change.before).or_insert(change);
                vec![change]
            }
        };
        // After a patch that leads back to an original there is nothing to restore.
        if !self.originals.contains_key(&change.after) {
            let known = self.roots.entry(change.after).or_default();
            known.extend(
                roots.into_iter().filter(|root| !known.iter().any(|k| std::ptr::eq(*k, *root))).collect::<Vec<_>>(),
            );
        }
    }

    /// The history of a real path.
    pub fn at(&self, path: &Path) -> Option<&FileHistory<'j>> {
        self.paths.get(path)
    }

    /// The files that were patched at this path and displaced by others: the first and the last patch of each.
    pub fn displaced_from(&self, path: &Path) -> impl Iterator<Item = (&'j FileChange, &'j FileChange)> {
        let displaced = self.displaced.iter().filter(move |(from, _)| *from == path);
        displaced.filter_map(|(_, patches)| Some((*patches.first()?, *patches.last()?)))
    }

    /// The files that are patched now, according to the journal.
    pub fn patched_files(&self) -> impl Iterator<Item = (&'j Path, &FileHistory<'j>)> {
        self.paths.iter().filter(|(_, of_path)| !of_path.patches.is_empty()).map(|(path, of_path)| (*path, of_path))
    }

    /// All paths that the journal knows.
    pub fn files(&self) -> impl Iterator<Item = (&'j Path, &FileHistory<'j>)> {
        self.paths.iter().map(|(path, of_path)| (*path, of_path))
    }

    /// The original of these contents at this path: by the history of the path, or, for a file that was moved or copied, by the contents.
    /// Several if patches of different originals gave these contents; none if nothing is known.
    pub fn origins(&self, path: &Path, sha: Sha256) -> Vec<OriginalContents<'j>> {
        if let Some(of_path) = self.at(path)
            && let Some(root) = of_path.root()
            && (of_path.expected() == Some(sha) || root.before == sha)
        {
            // The first patch at this path may have changed a copy that was already patched elsewhere.
            let original = match self.distinct(root.before).as_slice() {
                [one] => one.original,
                _ => root.before,
            };
            return vec![OriginalContents { original, change: root, is_here: true, times_agree: true }];
        }
        self.distinct(sha)
    }

    /// The originals of some contents, each once.
    fn distinct(&self, sha: Sha256) -> Vec<OriginalContents<'j>> {
        let mut origins: Vec<OriginalContents<'j>> = Vec::new();
        for change in self.roots.get(&sha).into_iter().flatten() {
            match origins.iter_mut().find(|o| o.original == change.before) {
                Some(known) => known.times_agree &= known.change.metadata.modified == change.metadata.modified,
                None => origins.push(OriginalContents {
                    original: change.before,
                    change,
                    is_here: false,
                    times_agree: true,
                }),
            }
        }
        origins
    }

    /// The sizes in bytes of all contents after patches. A file of another size is not one of them.
    pub fn sizes(&self) -> &BTreeSet<u64> {
        &self.sizes
    }

    /// Whether a patch gave these contents, at any path.
    pub fn knows(&self, sha: Sha256) -> bool {
        self.roots.contains_key(&sha)
    }

    /// The originals that patched files need, with the paths of these files, or their last paths if they were displaced.
    pub fn needed(&self) -> BTreeMap<Sha256, BTreeSet<&'j Path>> {
        let mut needed: BTreeMap<Sha256, BTreeSet<&Path>> = BTreeMap::new();
        let here = self.paths.iter().filter_map(|(path, of_path)| Some((*path, of_path.root()?)));
        let elsewhere = self.displaced.iter().filter_map(|(path, patches)| Some((*path, *patches.first()?)));
        for (path, root) in here.chain(elsewhere) {
            needed.entry(root.before).or_default().insert(path);
            // The first patch at this path may have changed a copy that was already patched elsewhere.
            for origin in self.distinct(root.before) {
                needed.entry(origin.original).or_default().insert(path);
            }
        }
        needed
    }

    /// The number of the line by which this backup was dropped, if it was.
    pub fn dropped_by(&self, sha: Sha256) -> Option<u64> {
        self.dropped.get(&sha).copied()
    }

    /// Whether these contents are an original that was patched, at any path.
    pub fn is_original(&self, sha: Sha256) -> bool {
        self.originals.contains_key(&sha)
    }

    /// The first patch of this original, at any path.
    pub fn patch_of(&self, original: Sha256) -> Option<&'j FileChange> {
        self.originals.get(&original).copied()
    }

    /// The paths at which a patch gave these contents, according to the journal.
    pub fn places_of(&self, sha: Sha256) -> Vec<PathBuf> {
        self.patched_files()
            .filter(|(_, of_path)| of_path.expected() == Some(sha))
            .map(|(path, _)| path.to_owned())
            .collect()
    }
}

/// The backups that a journal names, each with the lines for which it was made.
pub fn backups(entries: &[JournalEntry]) -> BTreeMap<Sha256, Vec<&JournalEntry>> {
    let mut backups: BTreeMap<Sha256, Vec<&JournalEntry>> = BTreeMap::new();
    for entry in entries {
        if let Some(change) = &entry.change {
            backups.entry(change.before).or_default().push(entry);
        }
    }
    backups
}

/// Whether this line made a backup of changes by somebody else that a person discarded.
pub fn discards(entry: &JournalEntry) -> bool {
    let is_discard = |change: &FileChange| change.overrides.iter().any(|name| name == DISCARD);
    matches!(entry.operation, Operation::Restore | Operation::GivenUp) && entry.change.as_ref().is_some_and(is_discard)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::metadata::{FileTime, Metadata};
    use crate::vault::record::WriteMethod;

    const A: Sha256 = Sha256::from_bytes([b'A'; 32]);
    const B: Sha256 = Sha256::from_bytes([b'B'; 32]);
    const C: Sha256 = Sha256::from_bytes([b'C'; 32]);
    const D: Sha256 = Sha256::from_bytes([b'D'; 32]);
    const X: Sha256 = Sha256::from_bytes([b'X'; 32]);
    const Y: Sha256 = Sha256::from_bytes([b'Y'; 32]);

    fn entry(operation: Operation, path: &str, before: Sha256, after: Sha256) -> JournalEntry {
        let epoch = FileTime { seconds: 0, nanoseconds: 0 };
        let change = FileChange {
            path: path.into(),
            module: "m".into(),
            how: WriteMethod::InPlace,
            before,
            after,
            size_before: 0,
            size_after: 0,
            edits: vec![],
            container: Default::default(),
            metadata: Metadata { mode: 0, uid: 0, gid: 0, accessed: epoch, modified: epoch, xattrs: BTreeMap::new() },
            vermagic_before: None,
            vermagic_after: None,
            plan: None,
            overrides: vec![],
            patch: None,
        };
        JournalEntry {
            schema_version: 1,
            seq: 0,
            time: String::new(),
            id: String::new(),
            operation,
            recovered: false,
            change: Some(change),
            dropped: vec![],
            imported: None,
            repaired: None,
            note: None,
            run: None,
            recovered_by: None,
            tool: String::new(),
            prev: A,
        }
    }

    #[test]
    fn a_file_patched_twice_has_the_first_state_as_its_original() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", B, C)];
        let history = History::of(&journal);
        assert_eq!(history.at(Path::new("/m.ko")).unwrap().root().unwrap().before, A);
        assert_eq!(history.origins(Path::new("/moved.ko"), C)[0].original, A);
        assert!(history.is_original(A) && !history.is_original(B));
    }

    #[test]
    fn a_restored_file_is_not_patched() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Restore, "/m.ko", B, A)];
        let history = History::of(&journal);
        assert_eq!(history.patched_files().count(), 0);
        assert_eq!(history.at(Path::new("/m.ko")).unwrap().expected(), Some(A));
    }

    #[test]
    fn a_patch_back_to_the_original_makes_no_cycle() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", B, A)];
        let history = History::of(&journal);
        assert!(history.is_original(A));
        assert!(history.origins(Path::new("/moved.ko"), A).is_empty());
    }

    #[test]
    fn two_originals_with_the_same_patched_contents_are_both_found() {
        let journal = [entry(Operation::Patch, "/1.ko", A, B), entry(Operation::Patch, "/2.ko", C, B)];
        let history = History::of(&journal);
        let originals = |path: &str| history.origins(Path::new(path), B).iter().map(|o| o.original).collect::<Vec<_>>();
        assert_eq!(originals("/moved.ko"), [A, C]);
        assert_eq!(originals("/2.ko"), [C]);
        assert_eq!(history.at(Path::new("/2.ko")).unwrap().root().unwrap().before, C);
    }

    #[test]
    fn a_file_that_replaced_a_patched_one_is_an_original() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", X, Y)];
        let history = History::of(&journal);
        assert_eq!(history.origins(Path::new("/m.ko"), Y)[0].original, X);
    }

    #[test]
    fn an_original_is_needed_until_its_file_is_restored_at_any_path() {
        let needed = |journal: &[JournalEntry]| History::of(journal).needed().into_keys().collect::<Vec<_>>();
        let mut journal = vec![entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", B, C)];
        assert_eq!(needed(&journal), [A]);
        // It was moved, and another took its place.
        journal.push(entry(Operation::Patch, "/m.ko", X, Y));
        assert_eq!(needed(&journal), [A, X]);
        journal.push(entry(Operation::Restore, "/moved.ko", C, A));
        assert_eq!(needed(&journal), [X]);
        journal.push(entry(Operation::Restore, "/m.ko", Y, X));
        assert_eq!(needed(&journal), Vec::<Sha256>::new());
    }

    #[test]
    fn a_module_that_was_created_again_may_have_been_moved_so_its_backup_stays_needed() {
        let needed = |journal: &[JournalEntry]| History::of(journal).needed().into_keys().collect::<Vec<_>>();
        let mut recreated = entry(Operation::Restore, "/m.ko", A, A);
        recreated.change.as_mut().unwrap().how = WriteMethod::Create;
        let mut journal = vec![entry(Operation::Patch, "/m.ko", A, B), recreated];
        let history = History::of(&journal);
        let of_path = history.at(Path::new("/m.ko")).unwrap();
        assert!(of_path.patches.is_empty() && of_path.expected() == Some(A));
        assert_eq!(needed(&journal), [A]);
        // The patched file was elsewhere, and was restored there.
        journal.push(entry(Operation::Restore, "/moved.ko", B, A));
        assert_eq!(needed(&journal), Vec::<Sha256>::new());
    }

    #[test]
    fn a_forgotten_path_needs_no_backup_and_its_contents_stay_known() {
        let needed = |journal: &[JournalEntry]| History::of(journal).needed().len();
        let mut journal = vec![entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", X, Y)];
        journal.push(entry(Operation::Patch, "/n.ko", A, B));
        assert_eq!(needed(&journal), 2);
        // Only the displaced one.
        journal.push(entry(Operation::Forget, "/m.ko", A, B));
        let history = History::of(&journal);
        assert_eq!(history.displaced_from(Path::new("/m.ko")).count(), 0);
        assert_eq!(history.at(Path::new("/m.ko")).unwrap().root().unwrap().before, X);
        journal.push(entry(Operation::Forget, "/n.ko", A, B));
        assert_eq!(needed(&journal), 1);
        let history = History::of(&journal);
        assert!(history.at(Path::new("/n.ko")).is_none());
        assert_eq!(history.origins(Path::new("/elsewhere.ko"), B)[0].original, A);
    }

    #[test]
    fn a_dropped_backup_that_is_made_again_is_not_dropped() {
        let mut drop = entry(Operation::Drop, "/m.ko", A, A);
        (drop.change, drop.dropped) = (None, vec![A]);
        let mut journal = vec![drop];
        assert_eq!(History::of(&journal).dropped_by(A), Some(0));
        journal.push(entry(Operation::Patch, "/m.ko", A, B));
        assert_eq!(History::of(&journal).dropped_by(A), None);
    }

    #[test]
    fn a_patched_copy_that_is_patched_again_leads_back_to_the_first_original() {
        let journal = [entry(Operation::Patch, "/c.ko", A, B), entry(Operation::Patch, "/copy.ko", B, D)];
        let history = History::of(&journal);
        assert_eq!(history.origins(Path::new("/copy.ko"), D)[0].original, A);
    }
}
