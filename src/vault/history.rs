//! What the journal means: which files are patched now, and what each known content was originally. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::vault::record::{FileChange, JournalEntry, Operation};

/// What a restore's line has among its overrides if a person discarded what somebody else wrote.
pub(super) const DISCARD: &str = "discard-changes";

/// A file's patches that were not taken back, oldest first.
#[derive(Clone, Debug, Default)]
pub struct FileHistory<'j> {
    /// The patches.
    pub patches: Vec<&'j FileChange>,
    /// The last change of any kind, a restore among them.
    pub last: Option<&'j FileChange>,
    /// The first of the patches that a restore took back last: its metadata are those that the restore gave.
    pub taken_back: Option<&'j FileChange>,
}

impl<'j> FileHistory<'j> {
    /// The first patch: what it names as before is the original.
    pub fn root(&self) -> Option<&'j FileChange> {
        self.patches.first().copied()
    }

    /// What the file should be now, by its SHA-256.
    pub fn expected(&self) -> Option<Sha256> {
        self.last.map(|change| change.after)
    }
}

/// What a content was originally.
#[derive(Clone, Debug)]
pub struct OriginalContents<'j> {
    /// SHA-256 of the original.
    pub original: Sha256,
    /// The change whose metadata is the original's.
    pub change: &'j FileChange,
    /// Known by the file's own place, not by its content alone.
    pub is_here: bool,
    /// Do all changes that lead to this original agree about its time?
    pub times_agree: bool,
}

/// The journal, read for its meaning.
#[derive(Clone, Debug, Default)]
pub struct History<'j> {
    trails: BTreeMap<&'j Path, FileHistory<'j>>,
    /// For each content that came out of a patch, the changes whose `before` is its original.
    roots: BTreeMap<Sha256, Vec<&'j FileChange>>,
    /// For each original, the first patch of it.
    originals: BTreeMap<Sha256, &'j FileChange>,
    /// The sizes of what came out of patches.
    sizes: BTreeSet<u64>,
    /// Patched files in whose places others were found: they may be elsewhere now. What they came out as, and where they
    /// were.
    displaced: Vec<(&'j Path, Vec<&'j FileChange>)>,
    /// Backups that a person dropped, and that nobody made again, each with the line that says so.
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
                // What was given up stays on the trail: it leads back to the original, whatever stands there now.
                Operation::Patch | Operation::GivenUp => history.patched(change),
                Operation::Restore => {
                    let trail = history.trails.entry(&change.path).or_default();
                    trail.taken_back = trail.root().or(trail.taken_back);
                    trail.patches.clear();
                    trail.last = Some(change);
                    history.displaced.retain(|(_, patches)| patches.last().is_none_or(|p| p.after != change.before));
                }
                Operation::Undone | Operation::Enrol | Operation::Unenrol | Operation::Drop | Operation::Forget => {}
            }
        }
        history
    }

    /// Lets go of what was patched at a path, there or displaced from there. What its content was originally stays known.
    fn forget(&mut self, change: &FileChange) {
        let is_it = |first: Option<&FileChange>, last: Option<&FileChange>| {
            first.is_some_and(|first| first.before == change.before) && last.is_some_and(|l| l.after == change.after)
        };
        let path = change.path.as_path();
        self.displaced
            .retain(|(from, patches)| *from != path || !is_it(patches.first().copied(), patches.last().copied()));
        if self.at(path).is_some_and(|trail| is_it(trail.root().or(trail.last), trail.last)) {
            self.trails.remove(path);
        }
    }

    fn patched(&mut self, change: &'j FileChange) {
        let trail = self.trails.entry(&change.path).or_default();
        // Not what the last patch left: another file took this place meanwhile, and it is an original of its own.
        if trail.expected().is_some_and(|expected| expected != change.before) {
            let patches = std::mem::take(&mut trail.patches);
            if !patches.is_empty() {
                self.displaced.push((&change.path, patches));
            }
        }
        trail.patches.push(change);
        self.sizes.insert(change.size_after);
        trail.last = Some(change);
        let roots = match self.roots.get(&change.before) {
            Some(roots) => roots.clone(),
            None => {
                self.originals.entry(change.before).or_insert(change);
                vec![change]
            }
        };
        // A patch that leads back to an original makes nothing that a restore would have to undo.
        if !self.originals.contains_key(&change.after) {
            let known = self.roots.entry(change.after).or_default();
            known.extend(
                roots.into_iter().filter(|root| !known.iter().any(|k| std::ptr::eq(*k, *root))).collect::<Vec<_>>(),
            );
        }
    }

    /// What was done to the file at a real path.
    pub fn at(&self, path: &Path) -> Option<&FileHistory<'j>> {
        self.trails.get(path)
    }

    /// The patches of files in whose place, this path, others were found later: of each file the first and the last.
    pub fn displaced_from(&self, path: &Path) -> impl Iterator<Item = (&'j FileChange, &'j FileChange)> {
        let displaced = self.displaced.iter().filter(move |(from, _)| *from == path);
        displaced.filter_map(|(_, patches)| Some((*patches.first()?, *patches.last()?)))
    }

    /// The files that are patched now, by the journal.
    pub fn patched_files(&self) -> impl Iterator<Item = (&'j Path, &FileHistory<'j>)> {
        self.trails.iter().filter(|(_, trail)| !trail.patches.is_empty()).map(|(path, trail)| (*path, trail))
    }

    /// All files that the journal knows.
    pub fn files(&self) -> impl Iterator<Item = (&'j Path, &FileHistory<'j>)> {
        self.trails.iter().map(|(path, trail)| (*path, trail))
    }

    /// What this content at this place was originally: by the place's own record, or, for a file that was moved or
    /// copied, by the content alone. Several if the content came of several originals; none if nothing is known.
    pub fn origins(&self, path: &Path, sha: Sha256) -> Vec<OriginalContents<'j>> {
        if let Some(trail) = self.at(path)
            && let Some(root) = trail.root()
            && (trail.expected() == Some(sha) || root.before == sha)
        {
            // The first patch here may have been of a copy that was patched elsewhere before.
            let original = match self.distinct(root.before).as_slice() {
                [one] => one.original,
                _ => root.before,
            };
            return vec![OriginalContents { original, change: root, is_here: true, times_agree: true }];
        }
        self.distinct(sha)
    }

    /// The originals of a content, each once.
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

    /// The sizes of all contents that came out of a patch, in bytes: a file of another size is none of them.
    pub fn sizes(&self) -> &BTreeSet<u64> {
        &self.sizes
    }

    /// Did this content come out of a patch, wherever that was?
    pub fn knows(&self, sha: Sha256) -> bool {
        self.roots.contains_key(&sha)
    }

    /// The originals that patched files still need, each with the places of those files: where they are now, by the
    /// journal, or were before another file was found there.
    pub fn needed(&self) -> BTreeMap<Sha256, BTreeSet<&'j Path>> {
        let mut needed: BTreeMap<Sha256, BTreeSet<&Path>> = BTreeMap::new();
        let here = self.trails.iter().filter_map(|(path, trail)| Some((*path, trail.root()?)));
        let elsewhere = self.displaced.iter().filter_map(|(path, patches)| Some((*path, *patches.first()?)));
        for (path, root) in here.chain(elsewhere) {
            needed.entry(root.before).or_default().insert(path);
            // The first patch here may have been of a copy that was patched elsewhere before.
            for origin in self.distinct(root.before) {
                needed.entry(origin.original).or_default().insert(path);
            }
        }
        needed
    }

    /// The number of the journal's line by which a person dropped this backup, if that was done.
    pub fn dropped_by(&self, sha: Sha256) -> Option<u64> {
        self.dropped.get(&sha).copied()
    }

    /// Is this content an original that was patched somewhere?
    pub fn is_original(&self, sha: Sha256) -> bool {
        self.originals.contains_key(&sha)
    }

    /// The first patch of this original, wherever it was.
    pub fn patch_of(&self, original: Sha256) -> Option<&'j FileChange> {
        self.originals.get(&original).copied()
    }

    /// Where this content is recorded as the outcome of a patch.
    pub fn places_of(&self, sha: Sha256) -> Vec<PathBuf> {
        self.patched_files()
            .filter(|(_, trail)| trail.expected() == Some(sha))
            .map(|(path, _)| path.to_owned())
            .collect()
    }
}

/// The backups that a journal refers to, by their SHA-256, each with the lines for which it was made.
pub fn backups(entries: &[JournalEntry]) -> BTreeMap<Sha256, Vec<&JournalEntry>> {
    let mut backups: BTreeMap<Sha256, Vec<&JournalEntry>> = BTreeMap::new();
    for entry in entries {
        if let Some(change) = &entry.change {
            backups.entry(change.before).or_default().push(entry);
        }
    }
    backups
}

/// Was a backup made, by this line, of what somebody else wrote and a person then discarded?
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
            note: None,
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
    fn a_restored_file_is_patched_no_more() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Restore, "/m.ko", B, A)];
        let history = History::of(&journal);
        assert_eq!(history.patched_files().count(), 0);
        assert_eq!(history.at(Path::new("/m.ko")).unwrap().expected(), Some(A));
    }

    #[test]
    fn a_patch_back_to_the_original_makes_no_circle() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", B, A)];
        let history = History::of(&journal);
        assert!(history.is_original(A));
        assert!(history.origins(Path::new("/moved.ko"), A).is_empty());
    }

    #[test]
    fn two_originals_that_became_the_same_are_both_named() {
        let journal = [entry(Operation::Patch, "/1.ko", A, B), entry(Operation::Patch, "/2.ko", C, B)];
        let history = History::of(&journal);
        let originals = |path: &str| history.origins(Path::new(path), B).iter().map(|o| o.original).collect::<Vec<_>>();
        assert_eq!(originals("/moved.ko"), [A, C]);
        assert_eq!(originals("/2.ko"), [C]);
        assert_eq!(history.at(Path::new("/2.ko")).unwrap().root().unwrap().before, C);
    }

    #[test]
    fn a_file_that_took_the_place_of_a_patched_one_is_an_original_of_its_own() {
        let journal = [entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", X, Y)];
        let history = History::of(&journal);
        assert_eq!(history.origins(Path::new("/m.ko"), Y)[0].original, X);
    }

    #[test]
    fn an_original_is_needed_until_its_file_is_restored_wherever_that_is_now() {
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
    fn a_path_that_is_forgotten_needs_nothing_and_its_content_stays_known() {
        let needed = |journal: &[JournalEntry]| History::of(journal).needed().len();
        let mut journal = vec![entry(Operation::Patch, "/m.ko", A, B), entry(Operation::Patch, "/m.ko", X, Y)];
        journal.push(entry(Operation::Patch, "/n.ko", A, B));
        assert_eq!(needed(&journal), 2);
        // The one that was displaced, alone.
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
    fn a_dropped_backup_that_is_made_again_is_dropped_no_more() {
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
