//! The journal: one JSON object a line for each operation, appended, never rewritten, chained by hashes.
//!
//! Each line ends with `"hash"`, the SHA-256 of the line's text before `,"hash"`; and names the line before it by that
//! line's hash in `"prev"`. So a changed, removed or swapped line is seen; lines cut off at the end are not.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;
use crate::private_folder::PrivateFolder;
use crate::vault::intent::Intent;
use crate::vault::metadata::Metadata;
use crate::vault::{JOURNAL, disk};

/// The form of a line. A reader that meets a higher number must not guess.
pub const SCHEMA_VERSION: u32 = 1;

/// The most bytes that a line may have, with its end. A line tells of one file: its edits, each byte in two digits, before and
/// after; or of backups that were dropped, 67 bytes each. So this is room for edits of 60 MiB, and for four million backups.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// What the first line names as the line before it.
const NO_LINE: Sha256 = Sha256::from_bytes([0; 32]);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A module's bytes were changed by a plan.
    Patch,
    /// A module got its original bytes back.
    Restore,
    /// An interrupted operation was undone by recovery: the file is as it was before.
    Undone,
    /// An interrupted operation was given up: somebody else changed the file, and its state was discarded or kept.
    GivenUp,
    /// A person declared this machine a lab machine.
    Enrol,
    /// A person took that back.
    Unenrol,
    /// A person dropped backups that nothing needed any more.
    Drop,
    /// A person let go of a path: what was patched there is not expected there any more. No file was written.
    Forget,
}

impl Operation {
    /// The word for it in messages.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Patch => "patch",
            Operation::Restore => "restore",
            Operation::Undone => "undone",
            Operation::GivenUp => "given-up",
            Operation::Enrol => "enrol",
            Operation::Unenrol => "unenrol",
            Operation::Drop => "drop",
            Operation::Forget => "forget",
        }
    }
}

/// How a file's bytes were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Spans were written over in the file itself.
    InPlace,
    /// A whole new file took its place.
    Replace,
    /// A new file was made; the module that it comes from was left alone.
    Create,
}

/// What was done to one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file's real path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The module's name.
    pub module: String,
    /// How its bytes were changed.
    pub how: How,
    /// SHA-256 before; the backup has this name.
    pub before: Sha256,
    /// SHA-256 after.
    pub after: Sha256,
    /// Size before, in bytes.
    pub size_before: u64,
    /// Size after, in bytes.
    pub size_after: u64,
    /// The exact edits. Empty where a whole new file took the old one's place and nobody planned it as edits.
    pub edits: Vec<Edit>,
    /// How the file is stored, if the edits are those of what is inside it: the uncompressed bytes.
    #[serde(default, skip_serializing_if = "Container::is_none")]
    pub container: Container,
    /// The file's metadata before.
    pub metadata: Metadata,
    /// Version magic before, where the operation changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_before: Option<String>,
    /// Version magic after; empty after `--mode blank`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_after: Option<String>,
    /// The digest of the plan that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Sha256>,
    /// The overrides that were used, by the guards' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The form of this line.
    pub schema_version: u32,
    /// Its number, from 1.
    pub seq: u64,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// The operation's own name, by which an intent finds its line.
    pub id: String,
    /// What was done.
    pub operation: Operation,
    /// Was it finished by recovery after an interruption?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// What was done to a file, where the operation was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<FileChange>,
    /// The backups that were dropped, by their SHA-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Sha256>,
    /// Anything else worth keeping, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The program that wrote it.
    pub tool: String,
    /// The hash of the line before.
    pub prev: Sha256,
}

/// What a caller says of an operation; the journal adds number, time, tool and chain.
pub(super) struct News {
    pub(super) id: String,
    pub(super) operation: Operation,
    pub(super) recovered: bool,
    pub(super) change: Option<FileChange>,
    pub(super) dropped: Vec<Sha256>,
    pub(super) note: Option<String>,
}

impl News {
    /// That what an intent announced was done.
    pub(super) fn of(intent: &Intent, recovered: bool) -> News {
        News {
            id: intent.id.clone(),
            operation: intent.operation,
            recovered,
            change: Some(intent.change.clone()),
            dropped: Vec::new(),
            note: intent.note.clone(),
        }
    }
}

/// The journal as read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Its lines, oldest first.
    pub entries: Vec<Entry>,
    /// Is there text behind the last whole line? It does not count: whoever wrote it was stopped, or it was cut.
    pub is_torn: bool,
}

/// One line of a journal as it was read.
pub(super) struct Line<'l> {
    /// What it means.
    pub(super) entry: Entry,
    /// The line as it stands there, without its end.
    pub(super) text: &'l str,
    /// Where it begins, in bytes.
    pub(super) at: u64,
}

/// What going through a journal led to.
#[derive(Default)]
pub(super) struct Course {
    /// Where it ends.
    pub(super) tail: Tail,
    /// Is there text behind the last whole line?
    pub(super) is_torn: bool,
}

/// Where the journal ends: all that appending to it takes, however long it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// How many lines there are.
    count: u64,
    last_hash: Option<Sha256>,
    /// Length of the whole lines, in bytes; what follows was torn off by a crash and never counted.
    whole: u64,
    /// Is the last line whole but for the line feed, which `whole` counts already?
    lacks_end: bool,
}

/// An operation's name: when and by whom. No two are the same, however quickly they follow each other.
pub(super) fn new_id() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = jiff::Timestamp::now().as_microsecond();
    let before = LAST.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1))).unwrap_or_default();
    format!("{}-{}", now.max(before + 1), std::process::id())
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

    fn parse_from(text: &mut impl BufRead) -> Result<Journal> {
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
    each: impl FnMut(Line<'_>),
) -> Result<Course> {
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
fn walk(
    text: &mut impl BufRead,
    line: &mut Vec<u8>,
    mut each: impl FnMut(Line<'_>),
) -> Result<(Course, Option<Error>)> {
    let mut tail = Tail::default();
    while next(text, line)? {
        let torn = |tail| Ok((Course { tail, is_torn: true }, None));
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
                tail =
                    Tail { count: tail.count + 1, last_hash: Some(hash), whole: at + body.len() as u64 + 1, lacks_end };
                each(Line { entry, text: &String::from_utf8_lossy(body), at });
            }
            Err(what) => {
                let broken = Error::new(ErrorKind::Damaged, format!("line {} {what}", tail.count + 1)).hint(BY_HAND);
                return Ok((Course { tail, is_torn: true }, Some(broken)));
            }
        }
    }
    Ok((Course { tail, is_torn: false }, None))
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
fn next_line(body: &[u8], tail: &Tail) -> Result<(Entry, Sha256), &'static str> {
    let (signed, hash) = split_hash(body).ok_or("is no journal line")?;
    let entry: Entry = serde_json::from_slice(body).map_err(|_| "is no journal line")?;
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
fn whole_line(body: &[u8]) -> Option<Entry> {
    let (signed, hash) = split_hash(body)?;
    if sha256(signed) == hash { serde_json::from_slice(body).ok() } else { None }
}

impl Tail {
    /// Appends lines, durably, by one flush. If that fails, the file is cut back to what it was.
    pub(super) fn append(&mut self, state: &PrivateFolder, news: Vec<News>) -> Result<Vec<Entry>> {
        let (mut entries, mut lines) = (Vec::with_capacity(news.len()), String::new());
        let mut last_hash = self.last_hash;
        for (seq, news) in (self.count + 1..).zip(news) {
            let entry = Entry {
                schema_version: SCHEMA_VERSION,
                seq,
                time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                id: news.id,
                operation: news.operation,
                recovered: news.recovered,
                change: news.change,
                dropped: news.dropped,
                note: news.note,
                tool: concat!("kmodlab ", env!("CARGO_PKG_VERSION")).to_owned(),
                prev: last_hash.unwrap_or(NO_LINE),
            };
            let text = serde_json::to_string(&entry).map_err(|e| Error::io("writing the journal", e))?;
            // A path may hold marks that a terminal obeys; the journal must be safe to cat.
            let text = crate::escape::json_for_eyes(&text);
            let signed = text.strip_suffix('}').unwrap_or(&text);
            let hash = sha256(signed.as_bytes());
            if signed.len() as u64 + 100 > LONGEST_LINE {
                let what = format!("its line would have more than {LONGEST_LINE} bytes");
                return Err(Error::new(ErrorKind::TooLarge, what).on(state.path().join(JOURNAL)));
            }
            lines.push_str(signed);
            lines.push_str(",\"hash\":\"");
            lines.push_str(&hash.to_string());
            lines.push_str("\"}\n");
            last_hash = Some(hash);
            entries.push(entry);
        }
        self.append_text(state, lines.as_bytes()).map_err(|e| e.on(state.path().join(JOURNAL)))?;
        let whole = self.whole + lines.len() as u64;
        *self = Tail { count: self.count + entries.len() as u64, last_hash, whole, lacks_end: false };
        Ok(entries)
    }

    fn append_text(&self, state: &PrivateFolder, lines: &[u8]) -> Result<()> {
        const DOING: &str = "writing the journal";
        let doing = |e: rustix::io::Errno| Error::io(DOING, e);
        let file = state.file(JOURNAL, DOING, OFlags::WRONLY | OFlags::CREATE)?;
        // A torn tail goes first. Writing at a fixed place, not "at the end", makes the append the same each time.
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

/// Reads the line again that begins there: a whole one, which was read before.
pub(super) fn line_at(file: &File, at: u64) -> Result<Entry> {
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

/// A path in JSON: as text where it is UTF-8, else as `{"hex": …}`, so that any name comes back as it was.
pub(super) mod path_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Text {
        Utf8(String),
        Other {
            #[serde(with = "hex")]
            hex: Vec<u8>,
        },
    }

    pub(in crate::vault) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match path.to_str() {
            Some(text) => Text::Utf8(text.to_owned()),
            None => Text::Other { hex: path.as_os_str().as_bytes().to_vec() },
        };
        text.serialize(serializer)
    }

    pub(in crate::vault) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Text::deserialize(deserializer)? {
            Text::Utf8(text) => text.into(),
            Text::Other { hex } => OsString::from_vec(hex).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn news(id: &str) -> News {
        News {
            id: id.to_owned(),
            operation: Operation::Enrol,
            recovered: false,
            change: None,
            dropped: vec![],
            note: Some("a note".into()),
        }
    }

    fn three_lines() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let state = PrivateFolder::open(folder.path()).unwrap();
        let mut tail = Tail::default();
        tail.append(&state, vec![news("a")]).unwrap();
        tail.append(&state, vec![news("b"), news("c")]).unwrap();
        (folder, path)
    }

    fn read(path: &Path) -> Journal {
        Journal::parse(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn what_is_appended_is_read_again() {
        let (_folder, path) = three_lines();
        let journal = read(&path);
        assert_eq!(journal.entries.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert!(journal.has("b") && !journal.has("d"));
    }

    #[test]
    fn each_changed_byte_and_each_missing_or_swapped_line_is_seen() {
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
    fn a_changed_last_line_is_seen_without_its_line_feed_too() {
        let (_folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        let text = text.strip_suffix(b"\n").unwrap();
        let last = text.iter().rposition(|b| *b == b'\n').unwrap() + 1;
        let mut seen = 0;
        for at in last..text.len() {
            for bits in [1, 0x10] {
                let mut changed = text.to_vec();
                changed[at] ^= bits;
                // A quote that is gone, or a new one, can leave what looks like a start: that is not believed either.
                match Journal::parse(&changed) {
                    Err(error) => seen += usize::from(error.kind() == ErrorKind::Damaged),
                    Ok(journal) => assert!(journal.is_torn && journal.entries.len() == 2, "byte {at}"),
                }
            }
        }
        let changes = 2 * (text.len() - last);
        assert!(seen * 10 > changes * 9, "{seen} of {changes}");
        // So is text that no line begins with, and another line behind the last one.
        for rest in ["x", "{\"a\":x", "}", "{\"a\": 1}", "\"\""] {
            let text = [text, b"\n", rest.as_bytes()].concat();
            assert_eq!(Journal::parse(&text).unwrap_err().kind(), ErrorKind::Damaged, "{rest}");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_read_to_a_bound() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b' '));
        let error = Journal::parse_from(&mut endless).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let file = tempfile::tempfile().unwrap();
        file.set_len(6 << 30).unwrap();
        assert_eq!(line_at(&file, 0).unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn a_hole_in_the_last_line_is_a_torn_write_and_one_before_it_is_damage() {
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
    fn a_torn_last_line_never_counted_and_the_next_one_takes_its_place() {
        let (folder, path) = three_lines();
        let text = std::fs::read(&path).unwrap();
        for cut in 1..text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let journal = read(&path);
            // A line that lacks nothing but its end counts.
            let ended = text[..=cut].iter().filter(|b| **b == b'\n').count();
            let whole = if text[cut] == b'\n' { ended } else { text[..cut].iter().filter(|b| **b == b'\n').count() };
            assert_eq!(journal.entries.len(), whole);
            let (course, _) = walk(&mut Cursor::new(&text[..cut]), &mut Vec::new(), |_| {}).unwrap();
            let mut tail = course.tail;
            tail.append(&PrivateFolder::open(folder.path()).unwrap(), vec![news("next")]).unwrap();
            assert_eq!(read(&path).entries.len(), whole + 1);
        }
    }
}
