//! An index of the journal: it finds the lines about a file without keeping the journal in memory.
//!
//! [`History`] has the meaning of lines; the index selects the lines that can change the history of one file. Tests with random journals
//! compare the selection with the complete journal.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::digest::{Sha256, Sha256Hasher};
use crate::door::internal_fn;
use crate::error::Result;
use crate::spill::multimap::{Key, Multimap, MultimapBuilder};
use crate::vault::damage::JournalDamage;
use crate::vault::history::History;
use crate::vault::journal::JournalLine;
use crate::vault::parts::{JournalFiles, JournalRead};
use crate::vault::reader::Vault;
use crate::vault::record::{FileChange, JournalEntry, Operation};

/// The index of a journal, as it was when the index was built.
pub struct JournalIndex {
    files: JournalFiles,
    lines: Multimap,
    /// The number of lines.
    count: u64,
    is_torn: bool,
    damage: Vec<JournalDamage>,
    sizes: BTreeSet<u64>,
    /// The file names of patched files, without their directories.
    names: BTreeSet<OsString>,
}

/// The kinds of keys by which a line is found.
#[derive(Clone, Copy)]
enum KeyKind {
    /// The path of the file.
    Path,
    /// The contents after a patch.
    After,
    /// The contents before a patch.
    Before,
    /// The contents of which any operation made a backup.
    Backup,
    /// A backup that was dropped.
    Drop,
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

impl Vault {
    internal_fn! {
        /// Reads its journal, to look things up in it. It takes some bytes a line, in memory or, if they are many, in a
        /// temporary file.
        ///
        /// # Errors
        ///
        /// Those of [`Vault::journal`]; [`ErrorKind::Io`] if a temporary file can't be written.
        fn index(&self) -> Result<JournalIndex> {
            let mut lines = MultimapBuilder::new(self.temporary_folder());
            let (mut count, mut sizes, mut names, mut failed) = (0, BTreeSet::new(), BTreeSet::new(), None);
            let each = |line: JournalLine| {
                count += 1;
                if let Err(error) = enter(&line.entry, line.at, &mut lines) {
                    failed.get_or_insert(error);
                }
                let is_patch = matches!(line.entry.operation, Operation::Patch | Operation::GivenUp);
                if let Some(change) = line.entry.change.as_ref().filter(|_| is_patch) {
                    sizes.insert(change.size_after);
                    let name = change.path.file_name().unwrap_or_default();
                    if !names.contains(name) {
                        names.insert(name.to_owned());
                    }
                }
            };
            let JournalRead { end, files } = self.go_through(each)?;
            match failed {
                Some(error) => Err(error),
                None => {
                    let (is_torn, damage) = (end.is_torn, end.tail.damage);
                    Ok(JournalIndex { files, lines: lines.done()?, count, is_torn, damage, sizes, names })
                }
            }
        }
    }
}

fn enter(entry: &JournalEntry, at: u64, lines: &mut MultimapBuilder) -> Result<()> {
    entry.dropped.iter().try_for_each(|sha| lines.add(key(KeyKind::Drop, sha.as_bytes()), at))?;
    let Some(change) = &entry.change else { return Ok(()) };
    lines.add(key_of_path(&change.path), at)?;
    if entry.operation != Operation::Forget {
        lines.add(key(KeyKind::Backup, change.before.as_bytes()), at)?;
    }
    if matches!(entry.operation, Operation::Patch | Operation::GivenUp) {
        lines.add(key(KeyKind::After, change.after.as_bytes()), at)?;
        lines.add(key(KeyKind::Before, change.before.as_bytes()), at)?;
    }
    Ok(())
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

    /// The entries about the file at a real path, and about the originals of these contents at that path. [`History::of`] of them gives the
    /// same answers about both as of all entries, except for other paths with these contents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] or [`ErrorKind::Changed`] if a line can't be read again.
    pub fn about(&self, path: &Path, contents: &[Sha256]) -> Result<Vec<JournalEntry>> {
        Ok(self.found(path, contents, false)?.into_values().collect())
    }

    /// As [`JournalIndex::about`], with the entries about all other paths that have these contents according to the journal.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn about_with_places(&self, path: &Path, contents: &[Sha256]) -> Result<Vec<JournalEntry>> {
        Ok(self.found(path, contents, true)?.into_values().collect())
    }

    /// Whether a file of this name was patched in any directory.
    pub fn has_name(&self, name: &OsStr) -> bool {
        self.names.contains(name)
    }

    /// Whether the file at this real path is patched now, according to the journal.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn is_patched(&self, path: &Path) -> Result<bool> {
        let entries = self.at_place(path)?;
        Ok(History::of(entries.values()).at(path).is_some_and(|of_path| !of_path.patches.is_empty()))
    }

    /// Whether the journal knows this real path.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn knows_place(&self, path: &Path) -> Result<bool> {
        let entries = self.at_place(path)?;
        Ok(!entries.is_empty() && History::of(entries.values()).at(path).is_some())
    }

    /// Whether a patch gave these contents, at any path.
    ///
    /// # Errors
    ///
    /// Those of [`JournalIndex::about`].
    pub fn knows_content(&self, sha: Sha256) -> Result<bool> {
        let none = Path::new("");
        Ok(History::of(&self.about(none, &[sha])?).knows(sha))
    }

    /// Calls `each` with every path for which `is_wanted` returns true, and its history, in the order of the last operations.
    ///
    /// # Errors
    ///
    /// The first one of `each`; those of [`Vault::journal`] and of [`JournalIndex::about`].
    pub fn each_file(
        &self,
        vault: &Vault,
        is_wanted: impl Fn(&Path) -> bool,
        mut each: impl FnMut(&Path, &History<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut done = Ok(());
        let mut look = |entry: &JournalEntry, at: u64| -> Result<()> {
            let Some(change) = &entry.change else { return Ok(()) };
            if !is_wanted(&change.path) || self.lines.last(key_of_path(&change.path))? != Some(at) {
                return Ok(());
            }
            let entries = self.at_place(&change.path)?;
            let history = History::of(entries.values());
            if history.at(&change.path).is_some() { each(&change.path, &history) } else { Ok(()) }
        };
        vault.go_through(|line| {
            if done.is_ok() {
                done = look(&line.entry, line.at);
            }
        })?;
        done
    }

    fn found(&self, path: &Path, contents: &[Sha256], with_places: bool) -> Result<BTreeMap<u64, JournalEntry>> {
        let mut found = self.at_place(path)?;
        let mut wanted = self.unresolved(&History::of(found.values()), path, contents);
        if with_places {
            let elsewhere: Vec<Sha256> = wanted.iter().copied().filter(|sha| contents.contains(sha)).collect();
            for sha in elsewhere {
                for at in self.lines.all(key(KeyKind::After, sha.as_bytes()))? {
                    if let Some(change) = self.entry(at)?.change {
                        found.extend(self.at_place(&change.path)?);
                    }
                }
            }
        }
        let mut seen = BTreeSet::new();
        while let Some(sha) = wanted.pop() {
            if !seen.insert(sha) {
                continue;
            }
            let sha = sha.as_bytes();
            // The patches that gave these contents lead back to the original.
            for at in self.lines.all(key(KeyKind::After, sha))? {
                let entry = self.entry(at)?;
                wanted.extend(entry.change.as_ref().map(|change| change.before));
                found.insert(entry.seq, entry);
            }
            // The first patch shows whether it is an original.
            let before = key(KeyKind::Before, sha);
            let mut lines: Vec<u64> = match self.damage.is_empty() {
                true => self.lines.first(before)?.into_iter().collect(),
                // The places of a damaged journal's lines are not in the order of their numbers.
                false => self.lines.all(before)?,
            };
            let drops = self.lines.all(key(KeyKind::Drop, sha))?;
            if !drops.is_empty() {
                // The backup may have been made again since.
                lines.extend(drops);
                lines.extend(self.lines.all(key(KeyKind::Backup, sha))?.pop());
            }
            for at in lines {
                let entry = self.entry(at)?;
                found.insert(entry.seq, entry);
            }
        }
        Ok(found)
    }

    /// The contents about which more must be known than the history of this path.
    fn unresolved(&self, here: &History<'_>, path: &Path, contents: &[Sha256]) -> Vec<Sha256> {
        let of_path = here.at(path);
        let root: Option<&FileChange> = of_path.and_then(|of_path| of_path.root());
        let expected = of_path.and_then(|of_path| of_path.expected());
        let is_here = |sha: Sha256| root.is_some_and(|root| root.before == sha || expected == Some(sha));
        let mut wanted: Vec<Sha256> = contents.iter().copied().filter(|sha| !is_here(*sha)).collect();
        match root {
            Some(root) => wanted.push(root.before),
            // Restored contents are an original.
            None => wanted.extend(expected),
        }
        wanted
    }

    fn at_place(&self, path: &Path) -> Result<BTreeMap<u64, JournalEntry>> {
        let lines = self.lines.all(key_of_path(path))?;
        let entry = |at| {
            let entry = self.entry(at)?;
            Ok((entry.seq, entry))
        };
        lines.into_iter().map(entry).collect()
    }

    fn entry(&self, at: u64) -> Result<JournalEntry> {
        self.files.line_at(at)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
            prop_assert_eq!(index.sizes(), all.sizes());
            let said = |plan: Result<restore::RestorePlan>| plan.map_err(|e| e.to_string());
            for sha in contents() {
                prop_assert_eq!(index.knows_content(sha).unwrap(), all.knows(sha));
                for path in PATHS.map(Path::new) {
                    let found = index.about(path, &[sha]).unwrap();
                    let some = History::of(&found);
                    prop_assert_eq!(said(restore::plan(&some, &[], path, Some(sha))), said(restore::plan(&all, &[], path, Some(sha))));
                    prop_assert_eq!(state_of(&some, path, Some(sha)), state_of(&all, path, Some(sha)));
                    prop_assert_eq!(state_of(&some, path, None), state_of(&all, path, None));
                    let original = state_of(&all, path, Some(sha)).1.unwrap_or(sha);
                    prop_assert_eq!(some.dropped_by(original), all.dropped_by(original));
                    let expected = all.at(path).and_then(|of_path| of_path.expected());
                    if expected != Some(sha) {
                        let found = index.about_with_places(path, &[sha]).unwrap();
                        prop_assert_eq!(History::of(&found).places_of(sha), all.places_of(sha));
                    }
                }
            }
            for path in PATHS.map(Path::new) {
                let found = index.about(path, &[]).unwrap();
                let of_missing = said(restore::plan(&History::of(&found), &[], path, None));
                prop_assert_eq!(of_missing, said(restore::plan(&all, &[], path, None)));
                prop_assert_eq!(index.knows_place(path).unwrap(), all.at(path).is_some());
                let is_patched = all.at(path).is_some_and(|of_path| !of_path.patches.is_empty());
                prop_assert_eq!(index.is_patched(path).unwrap(), is_patched);
                prop_assert!(!is_patched || index.has_name(path.file_name().unwrap()));
            }
            let mut files: Vec<PathBuf> = Vec::new();
            let each = |path: &Path, history: &History<'_>| {
                let changes = |history: &History<'_>| {
                    let of_path = history.at(path).unwrap();
                    (of_path.patches.clone().into_iter().cloned().collect::<Vec<_>>(), of_path.last.cloned())
                };
                assert_eq!(changes(history), changes(&all));
                files.push(path.to_owned());
                Ok(())
            };
            index.each_file(&vault, |_| true, each).unwrap();
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
        let done: Vec<Done> = (0..200).map(|number| (Operation::Patch, number % 4, 0, 1, 0)).collect();
        let (_folder, vault) = vault(&done[..4]);
        let index = vault.index().unwrap();
        // Its own line, which is the first patch of this original too; the other lines are not read.
        assert_eq!(index.about(Path::new("/a.ko"), &[sha256(b"B")]).unwrap().len(), 1);
        assert_eq!(index.about(Path::new("/moved.ko"), &[sha256(b"B")]).unwrap().len(), 4);
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
                    assert!(!is_there || index.entry(0).is_ok());
                }
            });
        }
    }
}
