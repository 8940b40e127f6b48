//! The meaning of the journal: which files are patched now, and the original of each known content. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::vault::metadata::FileTime;
use crate::vault::record::{FileChange, JournalEntry, Operation, WriteMethod};

/// The override in a restore's line by which a person discarded changes by somebody else.
pub(crate) const DISCARD: &str = "discard-changes";

/// What the meaning of the journal depends on in a change of a file.
pub trait ChangeFacts: Clone {
    /// SHA-256 before.
    fn before(&self) -> Sha256;

    /// SHA-256 after.
    fn after(&self) -> Sha256;

    /// Whether a new file was created where there was none.
    fn is_creation(&self) -> bool;

    /// The modification time of the file before.
    fn modified(&self) -> FileTime;
}

impl ChangeFacts for &FileChange {
    fn before(&self) -> Sha256 {
        self.before
    }

    fn after(&self) -> Sha256 {
        self.after
    }

    fn is_creation(&self) -> bool {
        self.how == WriteMethod::Create
    }

    fn modified(&self) -> FileTime {
        self.metadata.modified
    }
}

/// The history of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHistory<C> {
    /// The first of the patches that were not reverted.
    root: Option<C>,
    /// The last change, which may be a restore. If the file is patched, it is the last patch.
    pub last: Option<C>,
    /// The first of the patches that the last restore reverted: the restore set its metadata.
    pub taken_back: Option<C>,
}

/// The first and the last patch of a module.
type PatchRange<C> = (C, C);

impl<C> Default for FileHistory<C> {
    fn default() -> FileHistory<C> {
        FileHistory { root: None, last: None, taken_back: None }
    }
}

impl<C> FileHistory<C> {
    /// The same history of other values for the changes; `None` if one of them has none.
    pub(super) fn mapped<'h, D>(&'h self, map: impl Fn(&'h C) -> Option<D>) -> Option<FileHistory<D>> {
        let map = |change: &'h Option<C>| match change {
            Some(change) => map(change).map(Some),
            None => Some(None),
        };
        Some(FileHistory { root: map(&self.root)?, last: map(&self.last)?, taken_back: map(&self.taken_back)? })
    }
}

impl<C: ChangeFacts> FileHistory<C> {
    /// The history of one path by its lines, in their order; `None` if the path is not known, or was forgotten.
    pub(super) fn of(lines: impl IntoIterator<Item = (Operation, C)>) -> Option<FileHistory<C>> {
        let mut history: Option<FileHistory<C>> = None;
        for (operation, change) in lines {
            match operation {
                Operation::Patch | Operation::GivenUp => {
                    history.get_or_insert_default().patched(change);
                }
                Operation::Restore => {
                    history.get_or_insert_default().restored(change);
                }
                Operation::Forget => history = history.filter(|history| !history.is_forgotten_by(&change)),
                Operation::Undone
                | Operation::Enrol
                | Operation::Unenrol
                | Operation::Drop
                | Operation::Import
                | Operation::Repair => {}
            }
        }
        history
    }

    /// The first patch. The contents before it are the original.
    pub fn root(&self) -> Option<C> {
        self.root.clone()
    }

    /// Whether the file is patched now.
    pub fn is_patched(&self) -> bool {
        self.root.is_some()
    }

    /// Is the file patched now? What `patch -o` made is no module that was patched: it has no original of its own.
    pub fn is_patched_in_place(&self) -> bool {
        self.root.as_ref().is_some_and(|root| !root.is_creation())
    }

    /// The SHA-256 that the file should have now.
    pub fn expected(&self) -> Option<Sha256> {
        self.last.as_ref().map(C::after)
    }

    /// Adds a patch. The result is the patches of the file that another one replaced.
    fn patched(&mut self, change: C) -> Option<PatchRange<C>> {
        // These are not the contents that the last patch wrote: another file replaced it, and is an original.
        let is_other = self.expected().is_some_and(|expected| expected != change.before());
        let displaced = if is_other { self.root.take().zip(self.last.take()) } else { None };
        self.root.get_or_insert_with(|| change.clone());
        self.last = Some(change);
        displaced
    }

    /// Adds a restore. The result is the patches of the file, if it was not there: it was deleted, or it was moved and is still patched.
    fn restored(&mut self, change: C) -> Option<PatchRange<C>> {
        let patches = self.root.take().zip(self.last.clone());
        if let Some((root, _)) = &patches {
            self.taken_back = Some(root.clone());
        }
        let is_creation = change.is_creation();
        self.last = Some(change);
        patches.filter(|_| is_creation)
    }

    /// The changes that it consists of.
    pub(super) fn changes(&self) -> impl Iterator<Item = &C> {
        [&self.root, &self.last, &self.taken_back].into_iter().flatten()
    }

    fn is_forgotten_by(&self, forgotten: &C) -> bool {
        let first = self.root.as_ref().or(self.last.as_ref());
        first.zip(self.last.as_ref()).is_some_and(|(first, last)| is_of(forgotten, first, last))
    }
}

/// Whether a line by which a module was forgotten is about these patches.
fn is_of<C: ChangeFacts>(forgotten: &C, first: &C, last: &C) -> bool {
    first.before() == forgotten.before() && last.after() == forgotten.after()
}

/// The original of some contents.
#[derive(Clone, Debug)]
pub struct OriginalContents<C> {
    /// SHA-256 of the original.
    pub original: Sha256,
    /// The change that recorded the original's metadata.
    pub change: C,
    /// Whether it is known by the path, not only by the contents.
    pub is_here: bool,
    /// Whether all changes of this original have the same modification time.
    pub times_agree: bool,
}

/// An original that patches turned into some contents.
#[derive(Clone, Debug)]
struct RootChange<C> {
    /// The first change whose `before` is the original.
    change: C,
    /// Whether all changes of this original that led to the contents have the same modification time.
    times_agree: bool,
}

/// A patched file at whose path another file was found later. It may have been moved.
#[derive(Clone, Debug)]
struct DisplacedFile<P, C> {
    /// Its number: files are displaced one after the other.
    number: u64,
    path: P,
    first: C,
    last: C,
}

/// The meaning of the lines of a journal, with paths as `P` and changes as `C`.
#[derive(Clone, Debug)]
pub struct Histories<P, C> {
    paths: BTreeMap<P, FileHistory<C>>,
    /// For the contents after each patch, their originals.
    roots: BTreeMap<Sha256, Vec<RootChange<C>>>,
    /// For each original, the first patch of it.
    originals: BTreeMap<Sha256, C>,
    /// Displaced files, by the contents after their last patch.
    displaced: BTreeMap<Sha256, Vec<DisplacedFile<P, C>>>,
    /// How many files were displaced so far.
    displacements: u64,
    /// Backups that were dropped and not made again, with the numbers of the lines.
    dropped: BTreeMap<Sha256, u64>,
}

/// The meaning of the lines of a journal.
pub type History<'j> = Histories<&'j Path, &'j FileChange>;

impl<P, C> Default for Histories<P, C> {
    fn default() -> Histories<P, C> {
        Histories {
            paths: BTreeMap::new(),
            roots: BTreeMap::new(),
            originals: BTreeMap::new(),
            displaced: BTreeMap::new(),
            displacements: 0,
            dropped: BTreeMap::new(),
        }
    }
}

impl<'j> History<'j> {
    /// Reads the entries in their order.
    pub fn of(entries: impl IntoIterator<Item = &'j JournalEntry>) -> History<'j> {
        let mut history = History::default();
        for entry in entries {
            history.dropped(entry.seq, entry.dropped.iter().copied());
            if let Some(change) = &entry.change {
                history.add(entry.operation, change.path.as_path(), change);
            }
        }
        history
    }

    /// The paths at which a patch gave these contents, according to the journal.
    pub fn places_of(&self, sha: Sha256) -> Vec<PathBuf> {
        self.last_changes_to(sha).map(|(path, _)| path.to_owned()).collect()
    }
}

impl<P: Ord + Clone, C: ChangeFacts> Histories<P, C> {
    /// Adds a line about dropped backups.
    pub(super) fn dropped(&mut self, line: u64, shas: impl Iterator<Item = Sha256>) {
        self.dropped.extend(shas.map(|sha| (sha, line)));
    }

    /// Adds the change of a line.
    pub(super) fn add(&mut self, operation: Operation, path: P, change: C) {
        if operation == Operation::Forget {
            return self.forget(&path, &change);
        }
        self.dropped.remove(&change.before());
        match operation {
            // An abandoned change stays in the history, because it leads back to the original, whatever the file holds now.
            Operation::Patch | Operation::GivenUp => self.patched(path, change),
            Operation::Restore => {
                let before = change.before();
                let displaced = self.paths.entry(path.clone()).or_default().restored(change);
                self.displace(path, displaced);
                self.displaced.remove(&before);
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

    fn displace(&mut self, path: P, patches: Option<PatchRange<C>>) {
        if let Some((first, last)) = patches {
            self.displacements += 1;
            let number = self.displacements;
            self.displaced.entry(last.after()).or_default().push(DisplacedFile { number, path, first, last });
        }
    }

    /// Removes a patched module from the history of its path. The original of its contents stays known.
    fn forget(&mut self, path: &P, change: &C) {
        if let Some(displaced) = self.displaced.get_mut(&change.after()) {
            displaced.retain(|file| file.path != *path || !is_of(change, &file.first, &file.last));
        }
        if self.paths.get(path).is_some_and(|of_path| of_path.is_forgotten_by(change)) {
            self.paths.remove(path);
        }
    }

    fn patched(&mut self, path: P, change: C) {
        let (before, after) = (change.before(), change.after());
        let displaced = self.paths.entry(path.clone()).or_default().patched(change.clone());
        self.displace(path, displaced);
        let roots = match self.roots.get(&before) {
            Some(roots) => roots.clone(),
            None => {
                self.originals.entry(before).or_insert_with(|| change.clone());
                vec![RootChange { change, times_agree: true }]
            }
        };
        // After a patch that leads back to an original there is nothing to restore.
        if !self.originals.contains_key(&after) {
            let known = self.roots.entry(after).or_default();
            for root in roots {
                match known.iter_mut().find(|known| known.change.before() == root.change.before()) {
                    Some(known) => {
                        known.times_agree &= root.times_agree && known.change.modified() == root.change.modified();
                    }
                    None => known.push(root),
                }
            }
        }
    }

    /// The history of a real path.
    pub fn at(&self, path: P) -> Option<&FileHistory<C>> {
        self.paths.get(&path)
    }

    /// The first change of each original that patches turned into these contents.
    pub(super) fn roots_of(&self, sha: Sha256) -> impl Iterator<Item = &C> {
        self.roots.get(&sha).into_iter().flatten().map(|root| &root.change)
    }

    /// The same histories of other values for paths and changes, without displaced files. What has no such value is left out.
    pub(super) fn mapped<Q: Ord, D>(
        &self,
        path: impl Fn(&P) -> Option<Q>,
        change: impl Fn(&C) -> Option<D>,
    ) -> Histories<Q, D> {
        let root =
            |root: &RootChange<C>| Some(RootChange { change: change(&root.change)?, times_agree: root.times_agree });
        let roots = |(sha, roots): (&Sha256, &Vec<RootChange<C>>)| {
            Some((*sha, roots.iter().map(root).collect::<Option<Vec<_>>>()?))
        };
        let of_path = |(known, of_path): (&P, &FileHistory<C>)| Some((path(known)?, of_path.mapped(&change)?));
        Histories {
            paths: self.paths.iter().filter_map(of_path).collect(),
            roots: self.roots.iter().filter_map(roots).collect(),
            originals: self.originals.iter().filter_map(|(sha, first)| Some((*sha, change(first)?))).collect(),
            dropped: self.dropped.clone(),
            ..Histories::default()
        }
    }

    /// Removes all paths, and keeps what is known about contents.
    pub(super) fn drop_paths(&mut self) {
        self.paths.clear();
        self.displaced.clear();
    }

    /// Sets the history of a real path.
    pub(super) fn set(&mut self, path: P, of_path: FileHistory<C>) {
        self.paths.insert(path, of_path);
    }

    /// The files that were patched at this path and displaced by others: the first and the last patch of each.
    pub fn displaced_from(&self, path: P) -> impl Iterator<Item = (C, C)> {
        let mut displaced: Vec<_> = self.displaced.values().flatten().filter(|file| file.path == path).collect();
        displaced.sort_by_key(|file| file.number);
        displaced.into_iter().map(|file| (file.first.clone(), file.last.clone()))
    }

    /// The files that are patched now, according to the journal.
    pub fn patched_files(&self) -> impl Iterator<Item = (P, &FileHistory<C>)> {
        self.files().filter(|(_, of_path)| of_path.is_patched())
    }

    /// All paths that the journal knows.
    pub fn files(&self) -> impl Iterator<Item = (P, &FileHistory<C>)> {
        self.paths.iter().map(|(path, of_path)| (path.clone(), of_path))
    }

    /// The original of these contents at this path: by the history of the path, or, for a file that was moved or copied, by the contents.
    /// Several if patches of different originals gave these contents; none if nothing is known.
    pub fn origins(&self, path: P, sha: Sha256) -> Vec<OriginalContents<C>> {
        if let Some(of_path) = self.at(path)
            && let Some(root) = of_path.root()
            && (of_path.expected() == Some(sha) || root.before() == sha)
        {
            // The first patch at this path may have changed a copy that was already patched elsewhere.
            let original = match self.distinct(root.before()).as_slice() {
                [one] => one.original,
                _ => root.before(),
            };
            return vec![OriginalContents { original, change: root, is_here: true, times_agree: true }];
        }
        self.distinct(sha)
    }

    /// The originals of some contents, each once.
    fn distinct(&self, sha: Sha256) -> Vec<OriginalContents<C>> {
        let origin = |root: &RootChange<C>| OriginalContents {
            original: root.change.before(),
            change: root.change.clone(),
            is_here: false,
            times_agree: root.times_agree,
        };
        self.roots.get(&sha).into_iter().flatten().map(origin).collect()
    }

    /// Whether a patch gave these contents, at any path.
    pub fn knows(&self, sha: Sha256) -> bool {
        self.roots.contains_key(&sha)
    }

    /// The originals that patched files need, with the paths of these files, or their last paths if they were displaced.
    pub fn needed(&self) -> BTreeMap<Sha256, BTreeSet<P>> {
        let mut needed: BTreeMap<Sha256, BTreeSet<P>> = BTreeMap::new();
        let here = self.paths.iter().filter_map(|(path, of_path)| Some((path, of_path.root.as_ref()?)));
        let elsewhere = self.displaced.values().flatten().map(|file| (&file.path, &file.first));
        for (path, root) in here.chain(elsewhere) {
            needed.entry(root.before()).or_default().insert(path.clone());
            // The first patch at this path may have changed a copy that was already patched elsewhere.
            for origin in self.roots.get(&root.before()).into_iter().flatten() {
                needed.entry(origin.change.before()).or_default().insert(path.clone());
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
    pub fn patch_of(&self, original: Sha256) -> Option<C> {
        self.originals.get(&original).cloned()
    }

    /// The paths at which a patch gave these contents, according to the journal, each with its last patch.
    pub(super) fn last_changes_to(&self, sha: Sha256) -> impl Iterator<Item = (P, &C)> {
        let is_it = move |of_path: &FileHistory<C>| of_path.expected() == Some(sha);
        let found = self.patched_files().filter(move |(_, of_path)| is_it(of_path));
        found.filter_map(|(path, of_path)| Some((path, of_path.last.as_ref()?)))
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
    use crate::vault::metadata::Metadata;

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
        assert!(!of_path.is_patched() && of_path.expected() == Some(A));
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
