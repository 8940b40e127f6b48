//! Appending to the journal: durably, with one flush, and never over a complete line.

use std::sync::Arc;

use rustix::fs::OFlags;

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::disk;
use crate::vault::journal::{JournalTail, NO_LINE};
use crate::vault::layout::JOURNAL;
use crate::vault::record::{JournalEntry, LONGEST_LINE, NewEntry, RunRecord, SCHEMA_VERSION};

impl JournalTail {
    /// Appends lines durably, with one flush. If that fails, the file is truncated to its old length.
    /// `by` is the run that writes.
    pub(super) fn append(
        &mut self,
        state: &PrivateFolder,
        news: Vec<NewEntry>,
        by: Option<&Arc<RunRecord>>,
    ) -> Result<Vec<JournalEntry>> {
        let on = |e: Error| e.on(state.path().join(JOURNAL));
        let (entries, lines, tail) = self.next_lines(news, by).map_err(on)?;
        self.append_text(state, lines.as_bytes()).map_err(on)?;
        *self = tail;
        Ok(entries)
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
                note: news.note,
                run: if news.recovered { news.run } else { news.run.or_else(|| by.cloned()) },
                recovered_by: by.filter(|_| news.recovered).cloned(),
                tool: concat!("kmodlab ", env!("CARGO_PKG_VERSION")).to_owned(),
                prev: last_hash.unwrap_or(NO_LINE),
            };
            let text = serde_json::to_string(&entry).map_err(|e| Error::io("writing the journal", e))?;
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
        Ok((entries, lines, JournalTail { count, last_hash, whole, lacks_end: false }))
    }

    fn append_text(&self, state: &PrivateFolder, lines: &[u8]) -> Result<()> {
        const DOING: &str = "writing the journal";
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
        walk(&mut Cursor::new(std::fs::read(path).unwrap()), &mut Vec::new(), |_| {}).unwrap().0.tail
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
            let (course, _) = walk(&mut Cursor::new(&text[..cut]), &mut Vec::new(), |_| {}).unwrap();
            let mut tail = course.tail;
            tail.append(&PrivateFolder::open(folder.path()).unwrap(), vec![news("next")], None).unwrap();
            assert_eq!(read(&path).entries.len(), whole + 1);
        }
    }
}
