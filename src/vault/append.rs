//! Appending to the journal: durably, with one flush, and never over a complete line.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, OFlags};

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::damage::DamageKind;
use crate::vault::disk;
use crate::vault::journal::{JournalTail, NO_LINE};
use crate::vault::layout::{COPY, JOURNAL, temporary};
use crate::vault::record::{JournalEntry, LONGEST_LINE, NewEntry, RunRecord, SCHEMA_VERSION};

/// What the program does when a call of this file fails.
const DOING: &str = "writing the journal";

impl JournalTail {
    /// Appends lines durably, with one flush, and then to the journal's copy. If that fails, the file is truncated to its old length.
    ///
    /// The end of a damaged journal is never truncated or overwritten. Lines that may be appended to it
    /// ([`NewEntry::is_way_back`]) follow whatever is there, in the journal and in its copy; one of both is enough.
    /// `by` is the run that writes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] for other lines; [`ErrorKind::TooLarge`]; [`ErrorKind::Io`].
    pub(super) fn append(
        &mut self,
        state: &PrivateFolder,
        news: Vec<NewEntry>,
        by: Option<&Arc<RunRecord>>,
    ) -> Result<Vec<JournalEntry>> {
        let on = |e: Error| e.on(state.path().join(JOURNAL));
        if !news.iter().all(NewEntry::is_way_back) {
            self.must_be_whole().map_err(on)?;
        }
        let (entries, lines, tail) = self.next_lines(news, by).map_err(on)?;
        match self.damage.is_empty() {
            true => {
                self.append_text(state, lines.as_bytes()).map_err(on)?;
                self.copy_text(state, lines.as_bytes());
            }
            false => append_to_damaged(state, lines.as_bytes())?,
        }
        *self = tail;
        Ok(entries)
    }

    /// Refuses a damaged journal.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`].
    pub(super) fn must_be_whole(&self) -> Result<()> {
        match self.damage.first() {
            None => Ok(()),
            Some(first) => {
                let what = format!("the journal is damaged ({first}); only a restore may be recorded in it");
                Err(Error::new(ErrorKind::Damaged, what).remedy(Remedy::RepairJournal))
            }
        }
    }

    /// The text of new lines at this end, and the end after them. `by` is the run that writes.
    pub(super) fn next_lines(
        &self,
        news: Vec<NewEntry>,
        by: Option<&Arc<RunRecord>>,
    ) -> Result<(Vec<JournalEntry>, String, JournalTail)> {
        let (mut entries, mut lines) = (Vec::with_capacity(news.len()), String::new());
        let mut last_hash = self.last_hash;
        for (seq, news) in (self.count + 1..).zip(news) {
            let is_damaged = self.damage.first().filter(|_| news.repaired.is_none());
            let note = match is_damaged.map(|first| format!("the journal was damaged: {first}")) {
                Some(damage) => Some(news.note.map_or(damage.clone(), |note| format!("{note}; {damage}"))),
                None => news.note,
            };
            let entry = JournalEntry {
                schema_version: SCHEMA_VERSION,
                seq,
                time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                id: news.id,
                operation: news.operation,
                recovered: news.recovered,
                change: news.change,
                dropped: news.dropped,
                imported: news.imported,
                repaired: news.repaired,
                note,
                run: if news.recovered { news.run } else { news.run.or_else(|| by.cloned()) },
                recovered_by: by.filter(|_| news.recovered).cloned(),
                tool: concat!("kmodlab ", env!("CARGO_PKG_VERSION")).to_owned(),
                prev: last_hash.unwrap_or(NO_LINE),
            };
            let text = serde_json::to_string(&entry).map_err(|e| Error::io(DOING, e))?;
            // A path may contain control characters for terminals; `cat` of the journal must be safe.
            let text = crate::escape::json_for_eyes(&text);
            let signed = text.strip_suffix('}').unwrap_or(&text);
            let hash = sha256(signed.as_bytes());
            if signed.len() as u64 + 100 > LONGEST_LINE {
                let what = format!("its line would have more than {LONGEST_LINE} bytes");
                return Err(Error::new(ErrorKind::TooLarge, what));
            }
            lines.push_str(signed);
            lines.push_str(",\"hash\":\"");
            lines.push_str(&hash.to_string());
            lines.push_str("\"}\n");
            last_hash = Some(hash);
            entries.push(entry);
        }
        let (count, whole) = (self.count + entries.len() as u64, self.whole + lines.len() as u64);
        let tail = JournalTail { count, last_hash, whole, lacks_end: false, damage: self.damage.clone() };
        Ok((entries, lines, tail))
    }

    fn append_text(&self, state: &PrivateFolder, lines: &[u8]) -> Result<()> {
        let doing = |e: rustix::io::Errno| Error::io(DOING, e);
        let file = state.file(JOURNAL, DOING, OFlags::WRONLY | OFlags::CREATE)?;
        // An incomplete line is cut off first. Writing at a fixed offset, not at the end, makes a repeated append the same.
        if rustix::fs::fstat(&file).map_err(doing)?.st_size as u64 > self.whole {
            rustix::fs::ftruncate(&file, self.whole).map_err(doing)?;
        }
        if self.lacks_end {
            disk::write_at(&file, b"\n", self.whole - 1).map_err(doing)?;
        }
        let written = disk::write_at(&file, lines, self.whole).and_then(|()| disk::sync(&file));
        if written.is_err() {
            let _ = rustix::fs::ftruncate(&file, self.whole);
        } else if self.whole == 0 {
            disk::sync(state.dir()).map_err(doing)?;
        }
        written.map_err(doing)
    }

    /// Appends the same lines to the copy, which is made again if it is not that of this journal. No operation depends on it, so a failure
    /// costs only the copy; the next append makes it again.
    fn copy_text(&self, state: &PrivateFolder, lines: &[u8]) {
        let is_same = |copy: &File| -> Result<bool> {
            let journal = state.file(JOURNAL, DOING, OFlags::RDONLY)?;
            let length = copy.metadata().map_err(|e| Error::io(DOING, e))?.len();
            Ok(length == self.whole && ends_alike(&journal, copy, self.whole).unwrap_or(false))
        };
        let append = || -> Result<()> {
            let copy = state.file(COPY, DOING, OFlags::RDWR | OFlags::CREATE)?;
            match is_same(&copy)? {
                true => disk::write_at(&copy, lines, self.whole).map_err(|e| Error::io(DOING, e)),
                false => copy_again(state),
            }
        };
        let _ = append();
    }
}

/// Refuses a journal to which nothing can be appended, before anything else is written: one that is immutable or append-only, or on a
/// file system that can't be written; or one that does not exist, in a folder of that kind.
///
/// # Errors
///
/// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
pub(super) fn must_be_possible(state: &PrivateFolder, tail: &JournalTail) -> Result<()> {
    let may_open = |name| state.file(name, "opening the journal for writing", OFlags::WRONLY).map(drop);
    let open = |name| match may_open(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let may_create = rustix::fs::accessat(state.dir(), ".", Access::WRITE_OK, AtFlags::EACCESS);
            may_create.map_err(|e| Error::io("creating the journal", e).on(state.path().join(name)))
        }
        file => file,
    };
    let is_unreadable = tail.damage.iter().any(|damage| damage.kind == DamageKind::Unreadable);
    match open(JOURNAL) {
        // Without the lines of the copy, the numbers of new lines would be those of lines in the journal.
        Err(e) if is_unreadable && may_open(COPY).is_err() => Err(e),
        Err(e) if !tail.damage.is_empty() && e.kind() != ErrorKind::Untrusted => open(COPY),
        answer => answer,
    }
}

/// How much of the end of the journal and of its copy is compared before lines are appended to the copy, in bytes. The end of a line has its
/// hash, on which every earlier line has an effect.
const COMPARED: u64 = 512;

/// Whether two files are the same before this offset, as far as they are compared.
fn ends_alike(one: &File, other: &File, end: u64) -> std::io::Result<bool> {
    let from = end.saturating_sub(COMPARED);
    let mut ends = [[0; COMPARED as usize]; 2];
    let length = usize::try_from(end - from).unwrap_or_default();
    for (file, bytes) in [one, other].into_iter().zip(&mut ends) {
        file.read_exact_at(bytes.get_mut(..length).unwrap_or_default(), from)?;
    }
    Ok(ends[0] == ends[1])
}

/// Makes the copy of the journal again.
pub(super) fn copy_again(state: &PrivateFolder) -> Result<()> {
    let (dir, temporary) = (state.dir(), temporary(COPY));
    let journal = state.file(JOURNAL, DOING, OFlags::RDONLY)?;
    disk::remove(dir, temporary.as_ref())?;
    let copied = disk::create_new(dir, temporary.as_ref(), 0o600)
        .map_err(|e| Error::io("creating", e))
        .and_then(|copy| disk::copy(&journal, &copy))
        .and_then(|()| disk::rename(dir, temporary.as_ref(), COPY.as_ref(), true));
    if copied.is_err() {
        let _ = disk::remove(dir, temporary.as_ref());
    }
    copied
}

/// Appends lines to a damaged journal and its copy, durably, after whatever is there.
fn append_to_damaged(state: &PrivateFolder, lines: &[u8]) -> Result<()> {
    let [journal, copy] = [JOURNAL, COPY].map(|name| {
        let doing = |e: rustix::io::Errno| Error::io(DOING, e).on(state.path().join(name));
        let file = state.file(name, DOING, OFlags::RDWR | OFlags::CREATE)?;
        let length = rustix::fs::fstat(&file).map_err(doing)?.st_size as u64;
        let mut last = *b"\n";
        if length > 0 {
            file.read_exact_at(&mut last, length - 1).map_err(|e| Error::io(DOING, e))?;
        }
        let end = if last == *b"\n" { lines.to_vec() } else { [b"\n", lines].concat() };
        disk::write_at(&file, &end, length).and_then(|()| disk::sync(&file)).map_err(doing)?;
        disk::sync(state.dir()).map_err(doing)
    });
    // Whichever of both got the lines is enough to find them.
    journal.or(copy)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use std::io::Cursor;
    use std::path::PathBuf;

    use super::*;
    use crate::vault::journal::{Journal, line_at, walk};
    use crate::vault::record::Operation;

    fn news(id: &str) -> NewEntry {
        NewEntry {
            id: id.to_owned(),
            operation: Operation::Enrol,
            recovered: false,
            change: None,
            dropped: vec![],
            imported: None,
            repaired: None,
            note: Some("a note".into()),
            run: None,
        }
    }

    fn three_lines() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let state = PrivateFolder::open(folder.path()).unwrap();
        let mut tail = JournalTail::default();
        tail.append(&state, vec![news("a")], None).unwrap();
        tail.append(&state, vec![news("b"), news("c")], None).unwrap();
        (folder, path)
    }

    fn tail_of(path: &Path) -> JournalTail {
        walk(&mut Cursor::new(std::fs::read(path).unwrap()), JournalTail::default(), &mut Vec::new(), |_| {})
            .unwrap()
            .0
            .tail
    }

    fn read(path: &Path) -> Journal {
        Journal::parse(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn appended_lines_are_read() {
        let (_folder, path) = three_lines();
        let journal = read(&path);
        assert_eq!(journal.entries.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(journal.has("b") && !journal.has("d"));
    }

    #[test]
    fn the_writers_run_is_recorded_and_an_interrupted_operation_keeps_its_own() {
        let run = |uid| Arc::new(RunRecord { uid, message: Some(format!("by {uid}")), ..RunRecord::default() });
        let (folder, path) = three_lines();
        let state = PrivateFolder::open(folder.path()).unwrap();
        let (mut tail, own) = (tail_of(&path), run(7));
        let recovered = NewEntry { recovered: true, run: Some(run(5)), ..news("e") };
        let old = NewEntry { recovered: true, ..news("f") };
        tail.append(&state, vec![news("d"), recovered, old], Some(&own)).unwrap();
        let runs: Vec<_> = read(&path).entries.into_iter().map(|entry| (entry.run, entry.recovered_by)).collect();
        let expected = [(Some(own.clone()), None), (Some(run(5)), Some(own.clone())), (None, Some(own))];
        assert_eq!(runs[..3], [const { (None, None) }; 3]);
        assert_eq!(runs[3..], expected);
    }

    /// Lines that were written before lines had a run, and a new line after them.
    #[test]
    fn an_old_journal_stays_valid_and_can_be_continued() {
        let old = include_bytes!("../../fixtures/recorded/state/journal.jsonl");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        std::fs::write(&path, old).unwrap();
        let run = Arc::new(RunRecord { uid: 7, ..RunRecord::default() });
        tail_of(&path).append(&PrivateFolder::open(folder.path()).unwrap(), vec![news("new")], Some(&run)).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text[..old.len()], old[..]);
        let entries = read(&path).entries;
        let (new, old) = entries.split_last().unwrap();
        assert!(!old.is_empty() && old.iter().all(|entry| entry.run.is_none()));
        assert_eq!(new.run, Some(run));
    }

    #[test]
    fn every_changed_byte_and_every_missing_or_swapped_line_is_detected() {
        let (_folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        for at in 0..text.len() - 1 {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Journal::parse(&changed).is_err(), "byte {at}");
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|b| *b == b'\n').collect();
        assert!(Journal::parse(&lines[1..].concat()).is_err());
        assert!(Journal::parse(&[lines[0], lines[2]].concat()).is_err());
        assert!(Journal::parse(&[lines[1], lines[0], lines[2]].concat()).is_err());
    }

    #[test]
    fn a_changed_last_line_without_a_line_feed_is_detected() {
        let (_folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        let text = text.strip_suffix(b"\n").unwrap();
        let last = text.iter().rposition(|b| *b == b'\n').unwrap() + 1;
        let mut seen = 0;
        for at in last..text.len() {
            for bits in [1, 0x10] {
                let mut changed = text.to_vec();
                changed[at] ^= bits;
                // A missing or an additional quote can leave text that looks like the start of a line: it is ignored.
                match Journal::parse(&changed) {
                    Err(error) => seen += usize::from(error.kind() == ErrorKind::Damaged),
                    Ok(journal) => assert!(journal.is_torn && journal.entries.len() == 2, "byte {at}"),
                }
            }
        }
        let changes = 2 * (text.len() - last);
        assert!(seen * 10 > changes * 9, "{seen} of {changes}");
        // Text that can't be the start of a line is detected too, and so is another line after the last one.
        for rest in ["x", "{\"a\":x", "}", "{\"a\": 1}", "\"\""] {
            let text = [text, b"\n", rest.as_bytes()].concat();
            assert_eq!(Journal::parse(&text).unwrap_err().kind(), ErrorKind::Damaged, "{rest}");
        }
    }

    #[test]
    fn a_line_without_end_is_read_up_to_a_limit() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b' '));
        let error = Journal::parse_from(&mut endless).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let file = tempfile::tempfile().unwrap();
        file.set_len(6 << 30).unwrap();
        assert_eq!(line_at(&file, 0).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn nul_bytes_in_the_last_line_are_an_incomplete_write_and_damage_elsewhere() {
        let (_folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        for at in (0..text.len()).filter(|at| text[*at] != b'\n') {
            let mut torn = text.clone();
            torn[at] = 0;
            let is_in_the_last = !text[at..text.len() - 1].contains(&b'\n');
            assert_eq!(Journal::parse(&torn).ok().map(|j| j.entries.len()), is_in_the_last.then_some(2), "byte {at}");
        }
    }

    #[test]
    fn an_incomplete_last_line_is_ignored_and_the_next_one_replaces_it() {
        let (folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        for cut in 1..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let journal = read(&path);
            // A line that lacks only its line feed is valid.
            let ended = text[..=cut].iter().filter(|b| **b == b'\n').count();
            let whole = if text[cut] == b'\n' { ended } else { text[..cut].iter().filter(|b| **b == b'\n').count() };
            assert_eq!(journal.entries.len(), whole);
            let (course, _) =
                walk(&mut Cursor::new(&text[..cut]), JournalTail::default(), &mut Vec::new(), |_| {}).unwrap();
            let mut tail = course.tail;
            tail.append(&PrivateFolder::open(folder.path()).unwrap(), vec![news("next")], None).unwrap();
            assert_eq!(read(&path).entries.len(), whole + 1);
        }
    }
}
