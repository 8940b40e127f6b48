//! Reading the journal: one JSON object per line and operation, appended, never rewritten, chained by hashes.
//!
//! Each line ends with `"hash"`, the SHA-256 of its text before `,"hash"`, and has the hash of the previous line as `"prev"`. So a changed,
//! removed or swapped line is detected; lines that were cut off at the end are detected by the journal's copy ([`super::parts`]).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Cursor};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::damage::JournalDamage;
use crate::vault::record::{ClosedPart, JournalEntry, LONGEST_LINE, LinePath, SCHEMA_VERSION};

const BREAKS_CHAIN: &str = "breaks the hash chain: it, or a line before it, was changed";

/// The hash that the first line has as that of the previous line.
pub(super) const NO_LINE: Sha256 = Sha256::from_bytes([0; 32]);

/// The journal as read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Its lines, oldest first.
    pub entries: Vec<JournalEntry>,
    /// Whether an incomplete line follows the last complete one. It is ignored: its writer was stopped, or it was cut.
    pub is_torn: bool,
    /// Which lines are not there as they were written.
    pub damage: Vec<JournalDamage>,
}

/// A line of the journal.
pub(super) struct JournalLine {
    /// Its contents.
    pub(super) entry: JournalEntry,
    /// Its offset in bytes; for a line of a vault, its place ([`super::parts::place`]).
    pub(super) at: u64,
    /// Its hash, which the next line repeats.
    pub(super) hash: Sha256,
}

/// The result of reading a journal to its end.
#[derive(Default)]
pub(super) struct JournalEnd {
    /// The end, to append to.
    pub(super) tail: JournalTail,
    /// Whether an incomplete line follows the last complete one.
    pub(super) is_torn: bool,
    /// The damage that repairs have recorded.
    pub(super) repaired: Vec<JournalDamage>,
    /// The closed parts with damage that no repair has recorded.
    pub(super) unrecorded: Vec<ClosedPart>,
}

/// The end of the journal: everything that is needed to append to it.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalTail {
    /// The number of lines.
    pub(super) count: u64,
    pub(super) last_hash: Option<Sha256>,
    /// The length of all complete lines in bytes. Text after them is an incomplete line, which is ignored.
    pub(super) whole: u64,
    /// Whether the last line is complete except for the line feed, which `whole` already counts.
    pub(super) lacks_end: bool,
    /// Which lines are not there as they were written. Nothing in such a journal is overwritten or cut off.
    pub(super) damage: Vec<JournalDamage>,
}

impl Journal {
    /// Parses the text of a journal and checks its chain.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] if a line was changed, removed or swapped.
    pub fn parse(text: &[u8]) -> Result<Journal> {
        Journal::parse_from(&mut Cursor::new(text))
    }

    pub(super) fn parse_from(text: &mut impl BufRead) -> Result<Journal> {
        let mut entries = Vec::new();
        let (end, broken) = each_line(text, JournalTail::default(), BTreeSet::new, |line| entries.push(line.entry))?;
        match broken {
            Some(broken) => Err(broken),
            None => Ok(Journal { entries, is_torn: end.is_torn, damage: Vec::new() }),
        }
    }

    /// Whether it has a line with this operation id.
    pub fn has(&self, id: &str) -> bool {
        self.entries.iter().any(|e| e.id == id)
    }
}

/// Reads a journal line by line, in no more memory than its longest line, after the lines that end with `start`. Its last
/// lines may be incomplete if they belong to operations in `pending`, whose intents still exist. Such lines are written together, so a
/// complete line may follow an incomplete one; all of them are ignored. A complete line of another operation after a broken one proves
/// that the journal was changed: the result is the end before the broken line, and the error.
///
/// # Errors
///
/// [`ErrorKind::Io`].
pub(super) fn each_line(
    text: &mut impl BufRead,
    start: JournalTail,
    pending: impl FnOnce() -> BTreeSet<String>,
    each: impl FnMut(JournalLine),
) -> Result<(JournalEnd, Option<Error>)> {
    let mut line = Vec::new();
    let (end, broken) = walk(text, start, &mut line, each)?;
    let Some(broken) = broken else { return Ok((end, None)) };
    let pending = pending();
    let is_foreign = |line: &[u8]| {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        whole_line(body).is_some_and(|entry| !pending.contains(&entry.id))
    };
    if pending.is_empty() || is_foreign(&line) {
        return Ok((end, Some(broken)));
    }
    loop {
        match next(text, &mut line) {
            Ok(false) => return Ok((JournalEnd { is_torn: true, ..end }, None)),
            Ok(true) if !is_foreign(&line) => {}
            Err(e) if e.kind() != ErrorKind::Damaged => return Err(e),
            Ok(true) | Err(_) => return Ok((end, Some(broken))),
        }
    }
}

/// Reads a journal and checks its chain, up to the end or to the first line that breaks it, which is then left in `line`.
pub(super) fn walk(
    text: &mut impl BufRead,
    start: JournalTail,
    line: &mut Vec<u8>,
    mut each: impl FnMut(JournalLine),
) -> Result<(JournalEnd, Option<Error>)> {
    let mut tail = JournalTail { lacks_end: false, ..start };
    loop {
        match next(text, line) {
            Ok(true) => {}
            Ok(false) => return Ok((JournalEnd { tail, is_torn: false, ..JournalEnd::default() }, None)),
            Err(e) if e.kind() == ErrorKind::Damaged => {
                return Ok((JournalEnd { tail, is_torn: false, ..JournalEnd::default() }, Some(e)));
            }
            Err(e) => return Err(e),
        }
        let torn = |tail| Ok((JournalEnd { tail, is_torn: true, ..JournalEnd::default() }, None));
        // A line without a line feed, or a last line with NUL bytes, was being written when the machine stopped, and is ignored. A line
        // that lacks only its line feed (an editor removed it, perhaps) is valid, and gets one with the next line. Anything else was
        // changed.
        let (body, lacks_end) = match line.strip_suffix(b"\n") {
            Some(body) if body.contains(&0) && is_over(text)? => return torn(tail),
            Some(body) => (body, false),
            None if is_start(line) => return torn(tail),
            None => (line.as_slice(), true),
        };
        match next_line(body, &tail) {
            Ok((entry, hash)) => {
                let at = tail.whole;
                tail.count += 1;
                tail.last_hash = Some(hash);
                tail.whole = at + body.len() as u64 + 1;
                tail.lacks_end = lacks_end;
                each(JournalLine { entry, at, hash });
            }
            Err(what) => {
                let broken = Error::new(ErrorKind::Damaged, format!("line {} {what}", tail.count + 1)).hint(INSPECT);
                return Ok((JournalEnd { tail, is_torn: false, ..JournalEnd::default() }, Some(broken)));
            }
        }
    }
}

/// Reads the next line, with its line feed. Returns false at the end.
fn next(text: &mut impl BufRead, line: &mut Vec<u8>) -> Result<bool> {
    match read_line(text, line)? {
        read if read > LONGEST_LINE => Err(too_long()),
        read => Ok(read > 0),
    }
}

/// Reads a line, with its line feed, but no more than [`LONGEST_LINE`] bytes and one, and returns how many bytes were read. Of what follows
/// a NUL byte only the line feed is kept: no line has a NUL byte, but a file with a hole has very many.
pub(super) fn read_line(text: &mut impl BufRead, line: &mut Vec<u8>) -> Result<u64> {
    line.clear();
    let (mut read, mut has_nul) = (0, false);
    loop {
        let piece = match text.fill_buf() {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            piece => piece.map_err(|e| Error::io("reading the journal", e))?,
        };
        let most = usize::try_from(LONGEST_LINE + 1 - read).unwrap_or(usize::MAX);
        let piece = piece.get(..most).unwrap_or(piece);
        let end = memchr::memchr(b'\n', piece).map(|at| at + 1);
        let piece = end.and_then(|end| piece.get(..end)).unwrap_or(piece);
        let nul = if has_nul { None } else { memchr::memchr(0, piece) };
        match nul {
            Some(nul) => line.extend(piece.iter().take(nul + 1)),
            None if has_nul => {}
            None => line.extend_from_slice(piece),
        }
        has_nul |= nul.is_some();
        if has_nul && end.is_some() {
            line.push(b'\n');
        }
        let used = piece.len();
        read += used as u64;
        text.consume(used);
        if used == 0 || end.is_some() || read > LONGEST_LINE {
            return Ok(read);
        }
    }
}

fn too_long() -> Error {
    let what = format!("a line of more than {LONGEST_LINE} bytes, which this program never writes");
    Error::new(ErrorKind::Damaged, what).hint(INSPECT)
}

/// What to do about a damaged journal.
const INSPECT: &str = "inspect it by hand; the backups stay in objects/, named by SHA-256";

/// Whether this can be the start of a line that was cut before its last byte, or a line with NUL bytes.
pub(super) fn is_start(line: &[u8]) -> bool {
    line.contains(&0) || serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|e| e.is_eof())
}

fn is_over(text: &mut impl BufRead) -> Result<bool> {
    text.fill_buf().map(<[u8]>::is_empty).map_err(|e| Error::io("reading the journal", e))
}

/// The next line and its hash, or what is wrong with it.
pub(super) fn next_line(body: &[u8], tail: &JournalTail) -> Result<(JournalEntry, Sha256), &'static str> {
    let (entry, hash) = alone(body)?;
    if follows(&entry, tail) { Ok((entry, hash)) } else { Err(BREAKS_CHAIN) }
}

/// A line and its hash, whatever precedes it, or what is wrong with it.
pub(super) fn alone(body: &[u8]) -> Result<(JournalEntry, Sha256), &'static str> {
    let (signed, hash) = split_hash(body).ok_or("is no journal line")?;
    let entry: JournalEntry = serde_json::from_slice(body).map_err(|_| "is no journal line")?;
    if entry.schema_version != SCHEMA_VERSION {
        return Err("is of another version of this program");
    }
    if sha256(signed) == hash { Ok((entry, hash)) } else { Err(BREAKS_CHAIN) }
}

/// Whether this line is the one after those that end so.
pub(super) fn follows(entry: &JournalEntry, tail: &JournalTail) -> bool {
    entry.prev == tail.last_hash.unwrap_or(NO_LINE) && entry.seq == tail.count + 1
}

/// A line whose hash is right, whatever precedes it.
pub(super) fn whole_line(body: &[u8]) -> Option<JournalEntry> {
    let (signed, hash) = split_hash(body)?;
    if sha256(signed) == hash { serde_json::from_slice(body).ok() } else { None }
}

/// Reads the complete line at this offset again.
pub(super) fn line_at(file: &File, at: u64) -> Result<JournalEntry> {
    read_at(file, at, |line| serde_json::from_slice(line).map_err(|_| changed()))?
}

/// Reads the path in the complete line at this offset again.
pub(super) fn path_at(file: &File, at: u64) -> Result<Option<PathBuf>> {
    let line: LinePath = read_at(file, at, |line| serde_json::from_slice(line).map_err(|_| changed()))??;
    Ok(line.change.map(|change| change.path))
}

fn changed() -> Error {
    Error::new(ErrorKind::Changed, "the journal changed while it was read")
}

/// Reads the text of the complete line at this offset again.
pub(super) fn text_at(file: &File, at: u64) -> Result<String> {
    read_at(file, at, |text| String::from_utf8_lossy(text).into_owned())
}

/// Reads the complete line at this offset again, without its line feed. Most lines are read in one step and into no new memory: threads wait
/// for each other when they allocate much.
fn read_at<R>(file: &File, at: u64, parse: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let mut first = [0; 1 << 11];
    let read = piece_at(file, at, &mut first)?;
    if let Some(line) = memchr::memchr(b'\n', read).and_then(|end| read.get(..end)) {
        return Ok(parse(line));
    }
    let mut text = read.to_vec();
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = piece_at(file, at.saturating_add(text.len() as u64), &mut piece)?;
        let end = memchr::memchr(b'\n', read);
        text.extend_from_slice(end.and_then(|end| read.get(..end)).unwrap_or(read));
        if text.len() as u64 > LONGEST_LINE {
            return Err(too_long());
        }
        if end.is_some() || read.is_empty() {
            return Ok(parse(&text));
        }
    }
}

fn piece_at<'r>(file: &File, at: u64, room: &'r mut [u8]) -> Result<&'r [u8]> {
    let read = file.read_at(room, at).map_err(|e| Error::io("reading the journal", e))?;
    Ok(room.get(..read).unwrap_or_default())
}

/// The text that is hashed, and the hash.
pub(super) fn split_hash(line: &[u8]) -> Option<(&[u8], Sha256)> {
    let line = line.strip_suffix(b"\"}")?;
    let (rest, hash) = line.split_at_checked(line.len().checked_sub(64)?)?;
    Some((rest.strip_suffix(b",\"hash\":\"")?, std::str::from_utf8(hash).ok()?.parse().ok()?))
}
