//! The journal of an export, read as that of a state folder is: a journal without parts as a stream; one with parts, which is read more
//! than once, from temporary files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::archive::reader::{Contents, reading};
use crate::vault::archive::{ManifestSegment, MemberName};
use crate::vault::disk;
use crate::vault::journal::{JournalTail, next_line};
use crate::vault::layout::JOURNAL;
use crate::vault::parts;
use crate::vault::record::LONGEST_LINE;

/// The largest journal with parts that is read, in bytes: it is copied to temporary files.
const LARGEST: u64 = 1 << 30;

/// What was read of the journal of an export.
#[derive(Default)]
pub(super) struct ExportedJournal {
    /// The number of its last line.
    pub(super) count: u64,
    /// The hash of this line.
    pub(super) head: Option<Sha256>,
    /// The number and the hash of the last line before the current part.
    pub(super) start: (u64, Option<Sha256>),
    /// The number of the first line that is damaged, and of which no repair says that.
    pub(super) broken: Option<u64>,
    /// What the manifest must say about each part.
    pub(super) parts: Vec<ManifestSegment>,
    /// Whether it has a closed part that no line names.
    pub(super) has_stray_part: bool,
}

impl ExportedJournal {
    /// Reads a journal that is one file. `each` gets the number and the hash of each line.
    pub(super) fn of_stream(contents: &mut Contents<'_>, mut each: impl FnMut(u64, Sha256)) -> Result<ExportedJournal> {
        let (tail, broken) = each_line(contents, JournalTail::default(), |_, tail| {
            tail.last_hash.into_iter().for_each(|hash| each(tail.count, hash));
            Ok(())
        })?;
        let (count, head) = (tail.count, tail.last_hash);
        let parts = vec![ManifestSegment { name: JOURNAL.to_owned(), lines: count, head, broken }];
        Ok(ExportedJournal { count, head, broken, parts, ..ExportedJournal::default() })
    }

    /// Whether a manifest describes this journal.
    pub(super) fn is_described(&self, manifest: &[ManifestSegment]) -> bool {
        let is_same = |segment: &ManifestSegment, read: &ManifestSegment| {
            // The first version of the program walked each part as if nothing preceded it.
            let is_alone = (segment.lines, segment.head) == (0, None) && matches!(segment.broken, None | Some(1));
            segment == read || (is_alone && self.parts.first() != Some(read))
        };
        manifest.iter().all(|segment| {
            self.parts.iter().find(|read| read.name == segment.name).is_none_or(|read| is_same(segment, read))
        })
    }

    /// The names of its closed parts.
    pub(super) fn closed(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| part.name.as_str()).filter(|name| *name != JOURNAL)
    }
}

/// A journal with parts, in temporary files without names.
pub(super) struct JournalSpool {
    files: BTreeMap<String, File>,
    left: u64,
}

impl JournalSpool {
    /// An empty one.
    pub(super) fn new() -> JournalSpool {
        JournalSpool { files: BTreeMap::new(), left: LARGEST }
    }

    /// Adds a file of the journal.
    pub(super) fn add(&mut self, name: &MemberName, contents: &mut Contents<'_>) -> Result<()> {
        let file = tempfile::tempfile().map_err(|e| Error::io("creating a temporary file", e))?;
        let (mut at, mut written) = (0, Ok(()));
        disk::sha256_of_stream(contents.take(self.left.saturating_add(1)), |piece| {
            if written.is_ok() {
                written = disk::write_at(&file, piece, at);
            }
            at += piece.len() as u64;
        })
        .map_err(reading)?;
        written.map_err(|e| Error::io("writing a temporary file", e))?;
        let too_large = || Error::new(ErrorKind::TooLarge, format!("its journal is larger than {LARGEST} bytes"));
        self.left = self.left.checked_sub(at).ok_or_else(too_large)?;
        self.files.insert(name.text(), file);
        Ok(())
    }

    /// Reads the journal. `each` gets the number and the hash of each line that is left.
    pub(super) fn read(&self, mut each: impl FnMut(u64, Sha256)) -> Result<ExportedJournal> {
        let read = parts::read_files(&self.files, |line| each(line.entry.seq(), line.hash))?;
        let tail = &read.end.tail;
        let is_unfinished = read.end.is_torn || tail.lacks_end;
        let broken = tail.damage.first().map(|damage| damage.first).or(is_unfinished.then_some(tail.count + 1));
        let mut journal = ExportedJournal { count: tail.count, head: tail.last_hash, broken, ..Default::default() };
        for part in &read.parts {
            journal.parts.push(ManifestSegment::of(part));
            journal.start = part.start;
        }
        let is_known = |name: &String| journal.parts.iter().any(|part| part.name == *name);
        let mut parts =
            self.files.keys().filter(|name| MemberName::of_journal(name).is_some_and(|name| name.is_lines()));
        journal.has_stray_part = !parts.all(is_known);
        Ok(journal)
    }
}

/// Reads the lines of a part after the lines that end with `start`. `each` gets the text of each valid line, without its line feed, and the
/// end of the journal after it. The result has the number of the first line that is not valid.
pub(super) fn each_line(
    contents: &mut Contents<'_>,
    start: JournalTail,
    mut each: impl FnMut(&[u8], &JournalTail) -> Result<()>,
) -> Result<(JournalTail, Option<u64>)> {
    let mut text = BufReader::with_capacity(1 << 16, contents);
    let (mut tail, mut line) = (start, Vec::new());
    loop {
        line.clear();
        let read = text.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(reading)?;
        if read == 0 {
            return Ok((tail, None));
        }
        let valid = line.strip_suffix(b"\n").and_then(|body| Some((body, next_line(body, &tail).ok()?.1)));
        let Some((body, hash)) = valid else { return Ok((tail.clone(), Some(tail.count + 1))) };
        let whole = tail.whole + read as u64;
        tail =
            JournalTail { count: tail.count + 1, last_hash: Some(hash), whole, lacks_end: false, damage: Vec::new() };
        each(body, &tail)?;
    }
}

/// The lines here, while those of an export are compared with them.
pub(super) struct LinesCompared<'h> {
    here: std::slice::Iter<'h, (u64, Sha256)>,
    /// The first line that differs.
    pub(super) diverges: Option<u64>,
    /// The first line here that the export has not.
    pub(super) lacks: Option<u64>,
}

impl<'h> LinesCompared<'h> {
    /// Begins with the lines here, in the order of their numbers.
    pub(super) fn with(here: &'h [(u64, Sha256)]) -> LinesCompared<'h> {
        LinesCompared { here: here.iter(), diverges: None, lacks: None }
    }

    /// The next line of the export. One that is lost here contradicts nothing: if a line after it is the same, it was the same too.
    pub(super) fn line(&mut self, number: u64, hash: Sha256) {
        while let Some((here, of_here)) = self.here.as_slice().first().filter(|(here, _)| *here <= number) {
            self.here.next();
            if *here < number {
                self.lacks.get_or_insert(*here);
            } else if *of_here != hash {
                self.diverges.get_or_insert(number);
            }
        }
    }

    /// The end of the export, whose last line has this number.
    pub(super) fn end(&mut self, count: u64) {
        if let Some((here, _)) = self.here.as_slice().first().filter(|(here, _)| *here <= count) {
            self.lacks.get_or_insert(*here);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(here: &[(u64, u8)], export: &[(u64, u8)]) -> (Option<u64>, Option<u64>) {
        let lines = |lines: &[(u64, u8)]| -> Vec<(u64, Sha256)> {
            lines.iter().map(|(number, byte)| (*number, Sha256::from_bytes([*byte; 32]))).collect()
        };
        let here = lines(here);
        let mut compared = LinesCompared::with(&here);
        lines(export).into_iter().for_each(|(number, hash)| compared.line(number, hash));
        compared.end(export.last().map_or(0, |(number, _)| *number));
        (compared.diverges, compared.lacks)
    }

    #[test]
    fn lines_differ_by_their_hash_and_a_lost_line_is_no_contradiction() {
        assert_eq!(compared(&[(1, 1), (2, 2)], &[(1, 1), (2, 2), (3, 3)]), (None, None));
        assert_eq!(compared(&[(1, 1), (2, 2), (3, 3)], &[(1, 1), (2, 2)]), (None, None));
        assert_eq!(compared(&[(1, 1), (2, 2), (3, 3)], &[(1, 1), (2, 7), (3, 8)]), (Some(2), None));
        assert_eq!(compared(&[(1, 1), (3, 3)], &[(1, 1), (2, 2), (3, 3)]), (None, None));
        assert_eq!(compared(&[(1, 1), (2, 2), (3, 3)], &[(1, 1), (3, 3)]), (None, Some(2)));
        assert_eq!(compared(&[(1, 1)], &[]), (None, None));
        assert_eq!(compared(&[], &[(1, 1)]), (None, None));
    }
}
