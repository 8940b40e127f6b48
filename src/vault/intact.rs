//! The intact beginning of a large journal, read on all cores: the lines are parsed and hashed in any order, and the chain is followed in
//! theirs. At the first line that is not as it should be it ends, and [`super::journal`] says what is wrong.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::digest::Sha256;
use crate::error::{Error, Result};
use crate::parallel;
use crate::vault::journal::{self, JournalLine, JournalTail};
use crate::vault::record::JournalEntry;

/// The smallest journal for which threads are worth their start and their memory, in bytes: about ten thousand lines.
const LARGE: u64 = 8 << 20;

/// How many bytes are read at a time: about ten lines. Many blocks wait for each other, and all of them are in memory.
const BLOCK: usize = 1 << 13;

/// The longest line that is read here, in bytes.
const LONGEST: usize = 1 << 17;

/// Why reading ends.
enum Ending {
    /// A line, or what follows it, is not as it should be.
    Line,
    Error(Error),
}

/// Reads the lines of a file from `start.whole` on, as far as nothing is wrong with them. The result is the end of what was read; of a small
/// file nothing is read.
///
/// # Errors
///
/// [`ErrorKind::Io`](crate::error::ErrorKind::Io).
pub(super) fn read(file: &File, start: JournalTail, each: impl FnMut(JournalLine)) -> Result<JournalTail> {
    read_if(file, LARGE, start, each)
}

fn read_if(file: &File, large: u64, start: JournalTail, mut each: impl FnMut(JournalLine)) -> Result<JournalTail> {
    let size = file.metadata().map_err(failed)?.len();
    let threads = parallel::threads();
    if threads < 2 || size.saturating_sub(start.whole) < large {
        return Ok(start);
    }
    let mut tail = start;
    let mut blocks = Blocks { file, at: tail.whole, is_over: false };
    let follow = |parsed: Result<Parsed>| {
        let parsed = parsed.map_err(Ending::Error)?;
        for (entry, hash, len) in parsed.lines {
            if !journal::follows(&entry, &tail) {
                return Err(Ending::Line);
            }
            let at = tail.whole;
            tail.count += 1;
            tail.last_hash = Some(hash);
            tail.whole = at + len;
            each(JournalLine { entry, at, hash });
        }
        if parsed.is_whole { Ok(()) } else { Err(Ending::Line) }
    };
    let parse = |(): &mut (), block: Result<Vec<u8>>| block.map(|block| Parsed::of(&block));
    match parallel::in_order(threads, || blocks.next(), || (), parse, follow, || ()) {
        Ok(()) | Err(Ending::Line) => Ok(tail),
        Err(Ending::Error(error)) => Err(error),
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::io("reading the journal", e)
}

/// Blocks of whole lines.
struct Blocks<'f> {
    file: &'f File,
    at: u64,
    is_over: bool,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Vec<u8>>;

    /// The next block; `None` at the end, and before a line that no block can hold.
    fn next(&mut self) -> Option<Result<Vec<u8>>> {
        if self.is_over {
            return None;
        }
        for len in [BLOCK, LONGEST] {
            let mut block = match self.read(len) {
                Ok(block) => block,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(failed(error)));
                }
            };
            if let Some(end) = memchr::memrchr(b'\n', &block) {
                block.truncate(end + 1);
                self.at += block.len() as u64;
                return Some(Ok(block));
            }
        }
        self.is_over = true;
        None
    }
}

impl Blocks<'_> {
    /// The next bytes, this many unless the file ends.
    fn read(&self, size: usize) -> std::io::Result<Vec<u8>> {
        let (mut block, mut len) = (vec![0; size], 0);
        while let Some(room) = block.get_mut(len..).filter(|room| !room.is_empty()) {
            match self.file.read_at(room, self.at.saturating_add(len as u64)) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        block.truncate(len);
        Ok(block)
    }
}

/// The lines of a block.
struct Parsed {
    /// Each with its hash, which is right, and with its length in bytes with the line feed.
    lines: Vec<(JournalEntry, Sha256, u64)>,
    /// Whether these are all of its lines.
    is_whole: bool,
}

impl Parsed {
    fn of(block: &[u8]) -> Parsed {
        let mut lines = Vec::new();
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let parsed = line.strip_suffix(b"\n").and_then(|body| journal::alone(body).ok());
            let Some((entry, hash)) = parsed else { return Parsed { lines, is_whole: false } };
            lines.push((entry, hash, line.len() as u64));
        }
        Parsed { lines, is_whole: true }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Cursor, Write};

    use super::*;
    use crate::digest::sha256;

    /// A journal of this many lines.
    fn journal(lines: u64) -> Vec<u8> {
        let (mut text, mut previous) = (Vec::new(), journal::NO_LINE);
        for seq in 1..=lines {
            let note = "n".repeat(400 + (seq % 97) as usize);
            let line = format!(
                r#"{{"schema_version":1,"seq":{seq},"time":"2026-11-30T10:00:00Z","id":"{seq}-7","operation":"enrol","note":"{note}","tool":"kmodlab","prev":"{previous}""#
            );
            previous = sha256(line.as_bytes());
            writeln!(text, r#"{line},"hash":"{previous}"}}"#).unwrap();
        }
        text
    }

    /// What is read on all cores first, and what is read only in order, are the same; how many lines were read on all cores.
    #[track_caller]
    fn is_read_as_in_order(text: &[u8]) -> u64 {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        let each = |line: JournalLine| found.push((line.entry.id, line.at, line.hash));
        let tail = read_if(&file, 1 << 20, JournalTail::default(), each).unwrap();
        let count = tail.count;
        let mut rest = Cursor::new(text);
        rest.set_position(tail.whole);
        let each = |line: JournalLine| found.push((line.entry.id, line.at, line.hash));
        let (end, broken) = journal::each_line(&mut rest, tail, BTreeSet::new, each).unwrap();
        let each = |line: JournalLine| expected.push((line.entry.id, line.at, line.hash));
        let (whole, why) =
            journal::each_line(&mut Cursor::new(text), JournalTail::default(), BTreeSet::new, each).unwrap();
        let said = |error: Option<Error>| error.map(|error| error.to_string());
        assert_eq!(said(broken), said(why));
        assert_eq!(
            (end.tail.count, end.tail.last_hash, end.tail.whole),
            (whole.tail.count, whole.tail.last_hash, whole.tail.whole)
        );
        assert_eq!((end.is_torn, end.tail.lacks_end), (whole.is_torn, whole.tail.lacks_end));
        assert!(found == expected);
        count
    }

    #[test]
    fn a_large_journal_is_read_as_in_order_wherever_it_is_damaged() {
        let text = journal(2500);
        assert!(text.len() > 1 << 20);
        if parallel::threads() > 1 {
            assert_eq!(is_read_as_in_order(&text), 2500);
        }
        for at in [0, 300, BLOCK - 1, BLOCK, text.len() / 2, text.len() - 200, text.len() - 2] {
            for byte in [b'\n', 0, b'"', b'0'] {
                let mut changed = text.clone();
                changed[at] = byte;
                is_read_as_in_order(&changed);
            }
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        for removed in [0, 1, 1000, 2499] {
            let mut left = lines.clone();
            left.remove(removed);
            is_read_as_in_order(&left.concat());
        }
        for cut in [1, 2, 70, 400, BLOCK] {
            is_read_as_in_order(&text[..text.len() - cut]);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_left_to_the_reader_in_order() {
        let mut text = journal(1500);
        let last = text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        text.truncate(last);
        let long = [b"{\"note\":\"".as_slice(), &vec![b'n'; 1 << 20], b"\"}\n"].concat();
        text.extend(&long);
        assert!(is_read_as_in_order(&text) <= 1499);
        // A small journal is not worth threads.
        assert_eq!(is_read_as_in_order(&journal(100)), 0);
    }
}
