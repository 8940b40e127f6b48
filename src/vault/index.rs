//! An index of the journal: it finds the lines about a file without keeping the journal in memory.
//!
//! It keeps 112 bytes per line: what the meaning of a line depends on, and its place. So to answer what state a file has, no line is
//! read again; for a restore, only those whose metadata it needs are. [`Histories`] has the meaning of lines; the index selects the lines
//! that can change the history of one file. Tests with random journals compare the selection with the complete journal.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Sha256, Sha256Hasher};
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Result};
use crate::parallel;
use crate::spill::multimap::{Key, Multimap, MultimapBuilder};
use crate::spill::table::{Table, TableBuilder, TableReader};
use crate::vault::damage::JournalDamage;
use crate::vault::history::{ChangeFacts, FileHistory, Histories, History};
use crate::vault::journal::JournalLine;
use crate::vault::metadata::FileTime;
use crate::vault::parts::{JournalFiles, JournalRead};
use crate::vault::reader::Vault;
use crate::vault::record::{FileChange, JournalEntry, Operation, WriteMethod};

/// For how many names of files there is room from the start.
const NAMES: usize = 7 << 10;

/// The index of a journal, as it was when the index was built.
pub struct JournalIndex {
    files: JournalFiles,
    /// The lines about files and dropped backups, in the order of the journal.
    lines: Table<{ IndexedLine::SIZE }>,
    /// The numbers of these lines, by what they are about.
    numbers: Multimap,
    /// Whether backups were dropped.
    has_drops: bool,
    /// The number of all lines.
    count: u64,
    is_torn: bool,
    damage: Vec<JournalDamage>,
    sizes: BTreeSet<u64>,
    /// Keys of the file names of patched files, without their directories.
    names: HashSet<Key>,
}

/// The kinds of keys by which a line is found.
#[derive(Clone, Copy)]
enum KeyKind {
    /// The path of the file.
    Path,
    /// The contents after a patch.
    After,
    /// The contents before any operation, which made a backup of them.
    Before,
    /// A backup that was dropped.
    Drop,
    /// The name of a patched file.
    Name,
}

fn key(by: KeyKind, text: &[u8]) -> Key {
    let mut sum = Sha256Hasher::new();
    sum.update([by as u8]);
    sum.update(text);
    sum.finish().as_bytes().first_chunk().copied().map(Key::from_le_bytes).unwrap_or_default()
}

/// A key for a path: 16 bytes of its hash. No two paths have the same key, whoever chose them.
pub fn key_of_path(path: &Path) -> u128 {
    key(KeyKind::Path, path.as_os_str().as_bytes())
}

/// What the index keeps of a line about a file: what the meaning of the journal depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedChange {
    /// The place of the line.
    place: u64,
    path: Key,
    before: Sha256,
    after: Sha256,
    modified: FileTime,
    is_creation: bool,
}

/// The history of one path, by the index.
pub type IndexedHistory = FileHistory<Arc<IndexedChange>>;

/// Histories by the index. A path is a key ([`key_of_path`]).
pub type IndexedHistories = Histories<u128, Arc<IndexedChange>>;

impl ChangeFacts for Arc<IndexedChange> {
    fn before(&self) -> Sha256 {
        self.before
    }

    fn after(&self) -> Sha256 {
        self.after
    }

    fn is_creation(&self) -> bool {
        self.is_creation
    }

    fn modified(&self) -> FileTime {
        self.modified
    }
}

/// A line in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct IndexedLine {
    /// What it does to a history.
    effect: LineEffect,
    /// The change; for dropped backups only its place counts.
    change: IndexedChange,
}

/// What a line does to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEffect {
    Patch = 0,
    Restore = 1,
    Forget = 2,
    Drop = 3,
    /// It made a backup, and nothing else.
    Backup = 4,
}

impl LineEffect {
    fn of(operation: Operation) -> LineEffect {
        match operation {
            Operation::Patch | Operation::GivenUp => LineEffect::Patch,
            Operation::Restore => LineEffect::Restore,
            Operation::Forget => LineEffect::Forget,
            Operation::Drop => LineEffect::Drop,
            Operation::Undone | Operation::Enrol | Operation::Unenrol | Operation::Import | Operation::Repair => {
                LineEffect::Backup
            }
        }
    }

    /// An operation with this effect.
    fn operation(self) -> Operation {
        match self {
            LineEffect::Patch => Operation::Patch,
            LineEffect::Restore => Operation::Restore,
            LineEffect::Forget => Operation::Forget,
            LineEffect::Drop => Operation::Drop,
            LineEffect::Backup => Operation::Undone,
        }
    }

    fn of_number(number: u64) -> LineEffect {
        match number {
            0 => LineEffect::Patch,
            1 => LineEffect::Restore,
            2 => LineEffect::Forget,
            3 => LineEffect::Drop,
            _ => LineEffect::Backup,
        }
    }
}

impl IndexedLine {
    /// The size of its record: place; effect and whether a file was created; key of the path; hashes before and after; time.
    const SIZE: usize = 8 + 8 + 16 + 32 + 32 + 16;

    fn of(effect: LineEffect, change: Option<&FileChange>, place: u64) -> IndexedLine {
        let none = Sha256::from_bytes([0; 32]);
        let change = IndexedChange {
            place,
            path: change.map_or(0, |change| key_of_path(&change.path)),
            before: change.map_or(none, |change| change.before),
            after: change.map_or(none, |change| change.after),
            modified: change.map_or(FileTime { seconds: 0, nanoseconds: 0 }, |change| change.metadata.modified),
            is_creation: change.is_some_and(|change| change.how == WriteMethod::Create),
        };
        IndexedLine { effect, change }
    }

    fn packed(&self) -> [u8; IndexedLine::SIZE] {
        let IndexedChange { place, path, before, after, modified, is_creation } = &self.change;
        let kind = ((self.effect as u64) << 1) | u64::from(*is_creation);
        let (seconds, nanoseconds) = (modified.seconds.to_le_bytes(), modified.nanoseconds.to_le_bytes());
        let parts: [&[u8]; 7] = [
            &place.to_le_bytes(),
            &kind.to_le_bytes(),
            &path.to_le_bytes(),
            before.as_bytes(),
            after.as_bytes(),
            &seconds,
            &nanoseconds,
        ];
        let mut record = [0; IndexedLine::SIZE];
        let bytes = parts.into_iter().flatten();
        record.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        record
    }

    fn unpacked(record: &[u8; IndexedLine::SIZE]) -> IndexedLine {
        let mut rest = record.as_slice();
        let place = u64::from_le_bytes(take(&mut rest));
        let kind = u64::from_le_bytes(take(&mut rest));
        let path = Key::from_le_bytes(take(&mut rest));
        let (before, after) = (Sha256::from_bytes(take(&mut rest)), Sha256::from_bytes(take(&mut rest)));
        let (seconds, nanoseconds) = (i64::from_le_bytes(take(&mut rest)), i64::from_le_bytes(take(&mut rest)));
        let (modified, is_creation) = (FileTime { seconds, nanoseconds }, kind & 1 == 1);
        let change = IndexedChange { place, path, before, after, modified, is_creation };
        IndexedLine { effect: LineEffect::of_number(kind >> 1), change }
    }
}

/// The next bytes.
fn take<const COUNT: usize>(rest: &mut &[u8]) -> [u8; COUNT] {
    match rest.split_first_chunk() {
        Some((taken, left)) => {
            *rest = left;
            *taken
        }
        None => [0; COUNT],
    }
}

/// Collects the lines of an index.
struct IndexBuilder {
    lines: TableBuilder<{ IndexedLine::SIZE }>,
    numbers: MultimapBuilder,
    has_drops: bool,
    count: u64,
    sizes: BTreeSet<u64>,
    names: HashSet<Key>,
}

impl IndexBuilder {
    fn add(&mut self, entry: &JournalEntry, place: u64) -> Result<()> {
        self.count += 1;
        let (change, effect) = (entry.change.as_ref(), LineEffect::of(entry.operation));
        if !entry.dropped.is_empty() {
            self.has_drops = true;
            // In a history, backups are dropped before the change of the same line.
            let number = self.lines.push(IndexedLine::of(LineEffect::Drop, None, place).packed())?;
            for sha in &entry.dropped {
                self.numbers.add(key(KeyKind::Drop, sha.as_bytes()), number)?;
            }
        }
        let Some(change) = change else { return Ok(()) };
        let line = IndexedLine::of(effect, Some(change), place);
        let number = self.lines.push(line.packed())?;
        self.numbers.add(line.change.path, number)?;
        if effect != LineEffect::Forget {
            self.numbers.add(key(KeyKind::Before, change.before.as_bytes()), number)?;
        }
        if effect == LineEffect::Patch {
            self.numbers.add(key(KeyKind::After, change.after.as_bytes()), number)?;
            self.sizes.insert(change.size_after);
            self.names.insert(key_of_name(change.path.file_name().unwrap_or_default()));
        }
        Ok(())
    }
}

fn key_of_name(name: &OsStr) -> Key {
    key(KeyKind::Name, name.as_bytes())
}

impl Vault {
    internal_fn! {
        /// Reads its journal, to look things up in it. It takes some bytes a line, in memory or, if they are many, in a
        /// temporary file.
        ///
        /// # Errors
        ///
        /// Those of [`Vault::journal`]; [`ErrorKind::Io`] if a temporary file can't be written.
        fn index(&self) -> Result<JournalIndex> {
            let folder = self.temporary_folder();
            let mut index = IndexBuilder {
                lines: TableBuilder::new(folder),
                numbers: MultimapBuilder::new(folder),
                has_drops: false,
                count: 0,
                sizes: BTreeSet::new(),
                names: HashSet::with_capacity(NAMES),
            };
            let mut added = Ok(());
            let JournalRead { end, files, .. } = self.go_through(|line: JournalLine| {
                if added.is_ok() {
                    added = index.add(&line.entry, line.at);
                }
            })?;
            added?;
            let IndexBuilder { lines, numbers, has_drops, count, sizes, names } = index;
            let (lines, numbers) = (lines.done()?, numbers.done()?);
            let (is_torn, damage) = (end.is_torn, end.tail.damage);
            Ok(JournalIndex { files, lines, numbers, has_drops, count, is_torn, damage, sizes, names })
        }
    }
}

impl JournalIndex {
    /// Whether the journal has no line.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether an incomplete line followed the last complete one.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Which lines of the journal are not there as they were written.
    pub fn damage(&self) -> &[JournalDamage] {
        &self.damage
    }

    /// The sizes of all contents that came out of a patch, in bytes: a file of another size is none of them.
    pub fn sizes(&self) -> &BTreeSet<u64> {
        &self.sizes
    }

    /// The history of the file at a real path, and of the originals of these contents. About both it gives the same answers as that of all
    /// entries, except for other paths with these contents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Changed`] if a line can't be read again.
    pub fn about(&self, path: &Path, contents: &[Sha256]) -> Result<IndexedHistories> {
        self.found(path, self.at_place(path)?, contents, false)
    }

    /// As [`JournalIndex::about`], with all other paths that have these contents according to the journal. `of_path` is the result of
    /// [`JournalIndex::at_place`].
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn about_with_places(
        &self,
        path: &Path,
        of_path: Option<IndexedHistory>,
        contents: &[Sha256],
    ) -> Result<IndexedHistories> {
        self.found(path, of_path, contents, true)
    }

    /// As [`JournalIndex::about`], with the complete changes.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn changes_about(&self, path: &Path, contents: &[Sha256]) -> Result<FoundChanges> {
        let histories = self.about(path, contents)?;
        let mut found = FoundChanges { path: path.to_owned(), histories, changes: Vec::new() };
        let of_path = found.histories.at(key_of_path(path));
        let last = of_path.and_then(FileHistory::expected);
        let root = of_path.and_then(FileHistory::root).map(|root| root.before);
        let asked: BTreeSet<Sha256> = contents.iter().copied().chain(root).chain(last).collect();
        let mut needed: Vec<Arc<IndexedChange>> = of_path.into_iter().flat_map(FileHistory::changes).cloned().collect();
        for sha in asked {
            let roots = found.histories.roots_of(sha).cloned();
            let originals: Vec<Arc<IndexedChange>> = roots.chain(found.histories.patch_of(sha)).collect();
            needed.extend(originals.iter().filter_map(|root| found.histories.patch_of(root.before)));
            needed.extend(originals);
        }
        needed.sort_unstable_by_key(|change| change.place);
        needed.dedup_by_key(|change| change.place);
        found.changes.reserve_exact(needed.len());
        for change in needed {
            found.changes.push((change.place, self.change(&change)?));
        }
        Ok(found)
    }

    /// Whether a file of this name was patched in any directory.
    pub fn has_name(&self, name: &OsStr) -> bool {
        self.names.contains(&key_of_name(name))
    }

    /// Whether the file at this real path is patched now, according to the journal.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn is_patched(&self, path: &Path) -> Result<bool> {
        Ok(self.at_place(path)?.is_some_and(|of_path| of_path.is_patched()))
    }

    /// Whether the journal knows this real path.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn knows_place(&self, path: &Path) -> Result<bool> {
        Ok(self.at_place(path)?.is_some())
    }

    /// Whether a patch gave these contents, at any path.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn knows_content(&self, sha: Sha256) -> Result<bool> {
        Ok(self.by_contents(vec![sha])?.knows(sha))
    }

    /// Calls `each` with every path that the journal knows, for whose history and for which the conditions hold, in the order of the last
    /// operations.
    ///
    /// # Errors
    ///
    /// The first one of `each`; those of [`JournalIndex::about`].
    pub fn each_file(
        &self,
        is_expected: impl Fn(&IndexedHistory) -> bool + Sync + Send,
        is_wanted: impl Fn(&Path) -> bool + Sync + Send,
        mut each: impl FnMut(PathBuf) -> Result<()>,
    ) -> Result<()> {
        let look = |number: u64| -> Result<Option<PathBuf>> {
            let line = self.line(&mut self.lines.reader(), number)?;
            if line.effect == LineEffect::Drop || self.numbers.last(line.change.path)? != Some(number) {
                return Ok(None);
            }
            match self.of_key(line.change.path)?.is_some_and(|of_path| is_expected(&of_path)) {
                true => Ok(Some(self.path(&line.change)?).filter(|path| is_wanted(path))),
                false => Ok(None),
            }
        };
        let lines = self.lines.len();
        let each = |found: Result<Option<PathBuf>>| found?.map_or(Ok(()), &mut each);
        parallel::each_in_order(usize::try_from(lines).unwrap_or(usize::MAX), 0..lines, look, each)
    }

    /// The paths in these histories that have these contents, sorted.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn places_of(&self, histories: &IndexedHistories, sha: Sha256) -> Result<Vec<PathBuf>> {
        let mut places =
            histories.last_changes_to(sha).map(|(_, change)| self.path(change)).collect::<Result<Vec<PathBuf>>>()?;
        places.sort();
        Ok(places)
    }

    fn found(
        &self,
        path: &Path,
        of_path: Option<IndexedHistory>,
        contents: &[Sha256],
        with_places: bool,
    ) -> Result<IndexedHistories> {
        let wanted = unresolved(of_path.as_ref(), contents);
        let elsewhere: Vec<Sha256> = wanted.iter().copied().filter(|sha| contents.contains(sha)).collect();
        let mut histories = self.by_contents(wanted)?;
        if with_places {
            let mut reader = self.lines.reader();
            let mut paths = BTreeSet::new();
            for number in elsewhere.iter().map(|sha| self.numbers.all(key(KeyKind::After, sha.as_bytes()))) {
                for number in number? {
                    paths.insert(self.line(&mut reader, number)?.change.path);
                }
            }
            for path in paths {
                if let Some(of_path) = self.of_key(path)? {
                    histories.set(path, of_path);
                }
            }
        }
        if let Some(of_path) = of_path {
            histories.set(key_of_path(path), of_path);
        }
        Ok(histories)
    }

    /// What is known about some contents, without paths.
    fn by_contents(&self, mut wanted: Vec<Sha256>) -> Result<IndexedHistories> {
        let mut reader = self.lines.reader();
        let (mut seen, mut lines) = (BTreeSet::new(), BTreeSet::new());
        while let Some(sha) = wanted.pop() {
            if !seen.insert(sha) {
                continue;
            }
            let sha = sha.as_bytes();
            // The patches that gave these contents lead back to the original.
            for number in self.numbers.all(key(KeyKind::After, sha))? {
                wanted.push(self.line(&mut reader, number)?.change.before);
                lines.insert(number);
            }
            // The first patch shows whether it is an original.
            let (mut first, before) = (Ok(None), key(KeyKind::Before, sha));
            self.numbers.each(before, |number| {
                let is_patch = self.line(&mut reader, number).map(|line| line.effect == LineEffect::Patch);
                first = is_patch.map(|is_patch| is_patch.then_some(number));
                matches!(first, Ok(None))
            })?;
            lines.extend(first?);
            let drops = if self.has_drops { self.numbers.all(key(KeyKind::Drop, sha))? } else { Vec::new() };
            if !drops.is_empty() {
                // The backup may have been made again since.
                lines.extend(drops);
                lines.extend(self.numbers.last(before)?);
            }
        }
        let mut histories = IndexedHistories::default();
        for number in lines {
            let IndexedLine { effect, change } = self.line(&mut reader, number)?;
            match effect {
                LineEffect::Drop => {
                    let entry = self.files.line_at(change.place)?;
                    histories.dropped(entry.seq, entry.dropped.into_iter().filter(|sha| seen.contains(sha)));
                }
                effect => histories.add(effect.operation(), change.path, Arc::new(change)),
            }
        }
        // These lines are not all lines about their paths.
        histories.drop_paths();
        Ok(histories)
    }

    /// The history of the file at this real path; `None` if the journal does not know it.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn at_place(&self, path: &Path) -> Result<Option<IndexedHistory>> {
        self.of_key(key_of_path(path))
    }

    fn of_key(&self, path: Key) -> Result<Option<IndexedHistory>> {
        let mut reader = self.lines.reader();
        let mut failed = Ok(());
        let numbers = self.numbers.all(path)?;
        let history = FileHistory::of(numbers.into_iter().map_while(|number| match self.line(&mut reader, number) {
            Ok(line) => Some((line.effect.operation(), Arc::new(line.change))),
            Err(error) => {
                failed = Err(error);
                None
            }
        }));
        failed.map(|()| history)
    }

    fn line(&self, reader: &mut TableReader<'_, { IndexedLine::SIZE }>, number: u64) -> Result<IndexedLine> {
        let gone = || Error::new(ErrorKind::Changed, "the index of the journal changed while it was read");
        Ok(IndexedLine::unpacked(&reader.get(number)?.ok_or_else(gone)?))
    }

    /// The complete change.
    pub(super) fn change(&self, change: &IndexedChange) -> Result<FileChange> {
        self.files.line_at(change.place)?.change.ok_or_else(changed)
    }

    /// The path of a change.
    fn path(&self, change: &IndexedChange) -> Result<PathBuf> {
        self.files.path_at(change.place)?.ok_or_else(changed)
    }
}

fn changed() -> Error {
    Error::new(ErrorKind::Changed, "the journal changed while it was read")
}

/// The contents about which more must be known than the history of this path.
fn unresolved(of_path: Option<&IndexedHistory>, contents: &[Sha256]) -> Vec<Sha256> {
    let root = of_path.and_then(FileHistory::root);
    let expected = of_path.and_then(FileHistory::expected);
    let is_here = |sha: Sha256| root.as_ref().is_some_and(|root| root.before == sha || expected == Some(sha));
    let mut wanted: Vec<Sha256> = contents.iter().copied().filter(|sha| !is_here(*sha)).collect();
    match &root {
        Some(root) => wanted.push(root.before),
        // Restored contents are an original.
        None => wanted.extend(expected),
    }
    wanted
}

/// What the journal has about a file, with the complete changes.
pub struct FoundChanges {
    path: PathBuf,
    histories: IndexedHistories,
    /// The changes, sorted by the places of their lines.
    changes: Vec<(u64, FileChange)>,
}

impl FoundChanges {
    /// The history.
    pub fn history(&self) -> History<'_> {
        let path = key_of_path(&self.path);
        let found = |change: &Arc<IndexedChange>| {
            let at = self.changes.binary_search_by_key(&change.place, |(place, _)| *place).ok()?;
            self.changes.get(at).map(|(_, change)| change)
        };
        self.histories.mapped(|known| (*known == path).then_some(self.path.as_path()), found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::sha256;
    use crate::vault::journal::JournalTail;
    use crate::vault::metadata::{FileTime, Metadata};
    use crate::vault::record::{NewEntry, WriteMethod};
    use crate::vault::restore;
    use crate::vault::standing::state_of;

    const PATHS: [&str; 4] = ["/a.ko", "/b.ko", "/c/a.ko", "/d.ko"];
    /// The contents: the digests of one letter each.
    fn contents() -> [Sha256; 5] {
        ["A", "B", "C", "D", "E"].map(|name| sha256(name.as_bytes()))
    }

    /// An operation: kind, path, contents before and after, a time.
    type Done = (Operation, usize, usize, usize, i64);

    fn news(done: &Done) -> NewEntry {
        let (operation, path, before, after, time) = *done;
        let time = FileTime { seconds: time, nanoseconds: 0 };
        let change = FileChange {
            path: PATHS[path].into(),
            module: "m".into(),
            how: if time.seconds == 2 { WriteMethod::Create } else { WriteMethod::InPlace },
            before: contents()[before],
            after: contents()[after],
            size_before: 1,
            size_after: after as u64,
            edits: vec![],
            container: Default::default(),
            metadata: Metadata { mode: 0, uid: 0, gid: 0, accessed: time, modified: time, xattrs: BTreeMap::new() },
            vermagic_before: None,
            vermagic_after: None,
            plan: None,
            overrides: vec![],
            patch: None,
        };
        let is_drop = operation == Operation::Drop;
        NewEntry {
            id: crate::vault::record::new_id(),
            operation,
            recovered: false,
            dropped: if is_drop { vec![contents()[before], contents()[after]] } else { vec![] },
            change: (!is_drop).then_some(change),
            imported: None,
            repaired: None,
            note: None,
            run: None,
        }
    }

    fn operation() -> impl Strategy<Value = Operation> {
        use Operation::{Drop, Forget, GivenUp, Patch, Restore, Undone};
        prop_oneof![
            6 => Just(Patch), 3 => Just(Restore), 1 => Just(GivenUp), 1 => Just(Undone), 1 => Just(Forget), 1 => Just(Drop)
        ]
    }

    fn vault(done: &[Done]) -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        JournalTail::default().append(vault.state.open().unwrap(), done.iter().map(news).collect(), None).unwrap();
        (folder, vault)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn the_lines_that_are_found_give_the_same_answers_as_all_lines(
            done in prop::collection::vec((operation(), 0..PATHS.len(), 0..contents().len(), 0..contents().len(), 0..3_i64), 0..14)
        ) {
            let (_folder, vault) = vault(&done);
            let journal = vault.journal().unwrap();
            let all = History::of(&journal.entries);
            let index = vault.index().unwrap();
            let is_patch = |entry: &&JournalEntry| matches!(entry.operation, Operation::Patch | Operation::GivenUp);
            let patches = journal.entries.iter().filter(is_patch).filter_map(|entry| entry.change.as_ref());
            prop_assert_eq!(index.sizes(), &patches.map(|change| change.size_after).collect());
            let said = |plan: Result<restore::RestorePlan>| plan.map_err(|e| e.to_string());
            for sha in contents() {
                prop_assert_eq!(index.knows_content(sha).unwrap(), all.knows(sha));
                for path in PATHS.map(Path::new) {
                    let some = index.about(path, &[sha]).unwrap();
                    let key = key_of_path(path);
                    prop_assert_eq!(said(restore::plan_by(&index, &[], path, Some(sha))), said(restore::plan(&all, &[], path, Some(sha))));
                    prop_assert_eq!(state_of(&some, key, Some(sha)), state_of(&all, path, Some(sha)));
                    prop_assert_eq!(state_of(&some, key, None), state_of(&all, path, None));
                    let original = state_of(&all, path, Some(sha)).1.unwrap_or(sha);
                    prop_assert_eq!(some.dropped_by(original), all.dropped_by(original));
                    prop_assert_eq!(some.is_original(original), all.is_original(original));
                    let expected = all.at(path).and_then(|of_path| of_path.expected());
                    if expected != Some(sha) {
                        let found = index.about_with_places(path, index.at_place(path).unwrap(), &[sha]).unwrap();
                        prop_assert_eq!(index.places_of(&found, sha).unwrap(), all.places_of(sha));
                    }
                }
            }
            for path in PATHS.map(Path::new) {
                let of_missing = said(restore::plan_by(&index, &[], path, None));
                prop_assert_eq!(of_missing, said(restore::plan(&all, &[], path, None)));
                prop_assert_eq!(index.knows_place(path).unwrap(), all.at(path).is_some());
                let is_patched = all.at(path).is_some_and(|of_path| of_path.is_patched());
                prop_assert_eq!(index.is_patched(path).unwrap(), is_patched);
                prop_assert!(!is_patched || index.has_name(path.file_name().unwrap()));
                let indexed = index.at_place(path).unwrap();
                let complete = indexed.as_ref().and_then(|of_path| of_path.mapped(|change| index.change(change).ok()));
                let complete = complete.as_ref().and_then(|of_path| of_path.mapped(Some));
                prop_assert_eq!(complete.as_ref(), all.at(path));
            }
            let mut files: Vec<PathBuf> = Vec::new();
            let add = |path: PathBuf| {
                files.push(path);
                Ok(())
            };
            index.each_file(|_| true, |_| true, add).unwrap();
            files.sort();
            prop_assert!(files.iter().map(PathBuf::as_path).eq(all.files().map(|(path, _)| path)));
        }
    }

    #[test]
    fn a_missing_journal_knows_nothing() {
        let index = Vault::at("/not/there").index().unwrap();
        assert!(index.is_empty() && !index.is_torn());
        assert!(!index.knows_place(Path::new("/a.ko")).unwrap() && !index.knows_content(sha256(b"A")).unwrap());
    }

    #[test]
    fn of_many_equal_copies_only_the_lines_of_one_are_read() {
        let done: Vec<Done> = (0..4).map(|number| (Operation::Patch, number, 0, 1, 0)).collect();
        let (_folder, vault) = vault(&done);
        let index = vault.index().unwrap();
        // Its own line, which is the first patch of this original too; the other lines are not read.
        assert_eq!(index.changes_about(Path::new("/a.ko"), &[sha256(b"B")]).unwrap().changes.len(), 1);
        let places = index.about_with_places(Path::new("/moved.ko"), None, &[sha256(b"B")]).unwrap();
        assert_eq!(places.files().count(), 4);
    }

    #[test]
    fn of_a_file_that_was_patched_often_few_lines_are_read() {
        let there_and_back = |number: usize| {
            let (patch, restore) = (Operation::Patch, Operation::Restore);
            if number.is_multiple_of(2) { (patch, 0, 0, 1, 0) } else { (restore, 0, 1, 0, 0) }
        };
        let done: Vec<Done> = (0..501).map(there_and_back).collect();
        let (_folder, vault) = vault(&done);
        let index = vault.index().unwrap();
        // The last patch, the first one of all, and the first one that the last restore reverted.
        let found = index.changes_about(Path::new("/a.ko"), &[]).unwrap();
        assert_eq!(found.changes.len(), 3);
        assert_eq!(found.history().at(Path::new("/a.ko")).and_then(|of_path| of_path.expected()), Some(sha256(b"B")));
    }

    #[test]
    fn a_line_is_packed_and_unpacked_as_it_is() {
        let entry = news(&(Operation::Patch, 0, 1, 2, -3));
        for operation in [Operation::Patch, Operation::Restore, Operation::Forget, Operation::Drop, Operation::Undone] {
            let line = IndexedLine::of(LineEffect::of(operation), entry.change.as_ref(), 1 << 48 | 5);
            assert_eq!(IndexedLine::unpacked(&line.packed()), line);
            assert_eq!(line.effect.operation(), operation);
        }
    }

    #[test]
    fn a_first_line_that_is_written_meanwhile_is_complete_or_absent() {
        for _ in 0..100 {
            let folder = tempfile::tempdir().unwrap();
            let vault = Vault::at(folder.path());
            let mut locked = vault.writer().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| locked.note(Operation::Enrol, "the first line").unwrap());
                let mut is_there = false;
                while !is_there {
                    let index = vault.index().unwrap();
                    is_there = !index.is_empty();
                    assert!(!is_there || index.files.line_at(0).is_ok());
                }
            });
        }
    }
}
