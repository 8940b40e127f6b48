//! The journal: one JSON object a line for each operation, appended, never rewritten, chained by hashes.
//!
//! Each line ends with `"hash"`, the SHA-256 of the line's text before `,"hash"`; and names the line before it by that
//! line's hash in `"prev"`. So a changed, removed or swapped line is seen; lines cut off at the end are not.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Cursor, Read};
use std::os::unix::fs::FileExt;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::record::{JournalEntry, LONGEST_LINE, SCHEMA_VERSION};

/// What the first line names as the line before it.
pub(super) const NO_LINE: Sha256 = Sha256::from_bytes([0; 32]);

/// The journal as read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Its lines, oldest first.
    pub entries: Vec<JournalEntry>,
    /// Is there text behind the last whole line? It does not count: whoever wrote it was stopped, or it was cut.
    pub is_torn: bool,
}

/// One line of a journal as it was read.
pub(super) struct JournalLine<'l> {
    /// What it means.
    pub(super) entry: JournalEntry,
    /// The line as it stands there, without its end.
    pub(super) text: &'l str,
    /// Where it begins, in bytes.
    pub(super) at: u64,
}

/// What going through a journal led to.
#[derive(Default)]
pub(super) struct JournalEnd {
    /// Where it ends.
    pub(super) tail: JournalTail,
    /// Is there text behind the last whole line?
    pub(super) is_torn: bool,
}

/// Where the journal ends: all that appending to it takes, however long it is.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalTail {
    /// How many lines there are.
    pub(super) count: u64,
    pub(super) last_hash: Option<Sha256>,
    /// Length of the whole lines, in bytes; what follows was torn off by a crash and never counted.
    pub(super) whole: u64,
    /// Is the last line whole but for the line feed, which `whole` counts already?
    pub(super) lacks_end: bool,
}

impl Journal {
    /// Reads a journal's text and checks its chain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] if a line was changed, removed or swapped.
    pub fn parse(text: &[u8]) -> Result<Journal> {
        Journal::parse_from(&mut Cursor::new(text))
    }

    pub(super) fn parse_from(text: &mut impl BufRead) -> Result<Journal> {
        let mut entries = Vec::new();
        let course = each_line(text, BTreeSet::new, |line| entries.push(line.entry))?;
        Ok(Journal { entries, is_torn: course.is_torn })
    }

    /// Is there a line of this operation?
    pub fn has(&self, id: &str) -> bool {
        self.entries.iter().any(|e| e.id == id)
    }
}

/// Goes through a journal line by line, so that it takes no more memory than its longest line. Its last lines may be torn,
/// each a line of one of the operations that `pending` names: their intents still wait. Such lines are written together, so
/// there may be a whole one behind a torn one; none of them counts. A whole line of another operation behind a broken one
/// shows that the journal was changed.
///
/// # Errors
///
/// As [`Journal::parse`].
pub(super) fn each_line(
    text: &mut impl BufRead,
    pending: impl FnOnce() -> BTreeSet<String>,
    each: impl FnMut(JournalLine<'_>),
) -> Result<JournalEnd> {
    let mut line = Vec::new();
    let (course, broken) = walk(text, &mut line, each)?;
    let Some(broken) = broken else { return Ok(course) };
    let pending = pending();
    let is_foreign = |line: &[u8]| {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        whole_line(body).is_some_and(|entry| !pending.contains(&entry.id))
    };
    if pending.is_empty() || is_foreign(&line) {
        return Err(broken);
    }
    while next(text, &mut line)? {
        if is_foreign(&line) {
            return Err(broken);
        }
    }
    Ok(course)
}

/// Goes through a journal and checks its chain, up to the end or to the first line that breaks it, which is then left in
/// `line`.
pub(super) fn walk(
    text: &mut impl BufRead,
    line: &mut Vec<u8>,
    mut each: impl FnMut(JournalLine<'_>),
) -> Result<(JournalEnd, Option<Error>)> {
    let mut tail = JournalTail::default();
    while next(text, line)? {
        let torn = |tail| Ok((JournalEnd { tail, is_torn: true }, None));
        // A line without its end, or a last one with a hole in it, was being written when the machine stopped: it
        // never counted. But one that lacks nothing but its end (somebody's editor, perhaps) counts, and gets its end
        // with the next line. What is neither was never written so: it was changed.
        let (body, lacks_end) = match line.strip_suffix(b"\n") {
            Some(body) if body.contains(&0) && is_over(text)? => return torn(tail),
            Some(body) => (body, false),
            None if is_start(line) => return torn(tail),
            None => (line.as_slice(), true),
        };
        match next_line(body, &tail) {
            Ok((entry, hash)) => {
                let at = tail.whole;
                tail = JournalTail {
                    count: tail.count + 1,
                    last_hash: Some(hash),
                    whole: at + body.len() as u64 + 1,
                    lacks_end,
                };
                each(JournalLine { entry, text: &String::from_utf8_lossy(body), at });
            }
            Err(what) => {
                let broken = Error::new(ErrorKind::Damaged, format!("line {} {what}", tail.count + 1)).hint(BY_HAND);
                return Ok((JournalEnd { tail, is_torn: true }, Some(broken)));
            }
        }
    }
    Ok((JournalEnd { tail, is_torn: false }, None))
}

/// Reads the next line, with its end. Is there one?
fn next(text: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    line.clear();
    let read = text.by_ref().take(LONGEST_LINE + 1).read_until(b'\n', line);
    match read.map_err(|e| Error::io("reading the journal", e))? {
        read if read as u64 > LONGEST_LINE => Err(too_long()),
        read => Ok(read > 0),
    }
}

fn too_long() -> Error {
    let what = format!("a line of more than {LONGEST_LINE} bytes, which this program never writes");
    Error::new(ErrorKind::Damaged, what).hint(BY_HAND)
}

/// What to do about a journal that is damaged.
const BY_HAND: &str = "look at it by hand; the backups stay in objects/, each under its SHA-256";

/// Can this be the start of a line, cut anywhere before its last byte, or one with a hole in it?
fn is_start(line: &[u8]) -> bool {
    line.contains(&0) || serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|e| e.is_eof())
}

fn is_over(text: &mut impl BufRead) -> Result<bool> {
    text.fill_buf().map(<[u8]>::is_empty).map_err(|e| Error::io("reading the journal", e))
}

/// The line that follows these, and its hash; or what is wrong with it.
fn next_line(body: &[u8], tail: &JournalTail) -> Result<(JournalEntry, Sha256), &'static str> {
    let (signed, hash) = split_hash(body).ok_or("is no journal line")?;
    let entry: JournalEntry = serde_json::from_slice(body).map_err(|_| "is no journal line")?;
    if entry.schema_version != SCHEMA_VERSION {
        return Err("is of another version of this program");
    }
    let previous = tail.last_hash.unwrap_or(NO_LINE);
    if sha256(signed) != hash || entry.prev != previous || entry.seq != tail.count + 1 {
        return Err("breaks the hash chain: it, or a line before it, was changed");
    }
    Ok((entry, hash))
}

/// A line that is as it was written, wherever it stands.
fn whole_line(body: &[u8]) -> Option<JournalEntry> {
    let (signed, hash) = split_hash(body)?;
    if sha256(signed) == hash { serde_json::from_slice(body).ok() } else { None }
}

/// Reads the line again that begins there: a whole one, which was read before.
pub(super) fn line_at(file: &File, at: u64) -> Result<JournalEntry> {
    let failed = |e| Error::io("reading the journal", e);
    let mut text = Vec::with_capacity(1 << 11);
    loop {
        let len = text.len();
        text.resize(len + (1 << 11), 0);
        let room = text.get_mut(len..).unwrap_or_default();
        let read = file.read_at(room, at.saturating_add(len as u64)).map_err(failed)?;
        text.truncate(len + read);
        let end = memchr::memchr(b'\n', text.get(len..).unwrap_or_default());
        if let Some(end) = end {
            text.truncate(len + end);
        }
        if text.len() as u64 > LONGEST_LINE {
            return Err(too_long());
        }
        if end.is_some() || read == 0 {
            let changed = |_| Error::new(ErrorKind::Changed, "the journal changed while it was read");
            return serde_json::from_slice(&text).map_err(changed);
        }
    }
}

/// The text that the hash is of, and the hash.
fn split_hash(line: &[u8]) -> Option<(&[u8], Sha256)> {
    let line = line.strip_suffix(b"\"}")?;
    let (rest, hash) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(b",\"hash\":\"")?, std::str::from_utf8(hash).ok()?.parse().ok()?))
}
