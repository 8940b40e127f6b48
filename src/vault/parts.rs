//! The files of the journal: the parts that a repair closed, oldest first, the current one, and a copy of each.
//!
//! ```text
//! journal.1.jsonl    journal.1.copy.jsonl    closed by a repair, and never written again
//! journal.jsonl      journal.copy.jsonl      the current part
//! ```
//!
//! The copy gets each line after the journal has it durably, so it is never longer than the journal, and needs no flush. With it a line
//! that was changed or removed is found again, and a journal that was cut off is noticed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::damage::{DamageKind, JournalDamage};
use crate::vault::disk;
use crate::vault::intact;
use crate::vault::journal::{self, JournalEnd, JournalLine, JournalTail};
use crate::vault::layout::{COPY, JOURNAL};
use crate::vault::record::{ClosedPart, JournalEntry, LONGEST_LINE, RepairedPart};
use crate::vault::survey::{self, Survey};
use crate::vault::system_root::SystemRoot;
use crate::vault::target;

/// The files of a part of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JournalPart {
    /// Its name.
    pub(super) name: String,
    /// The name of its copy.
    pub(super) copy: String,
}

impl JournalPart {
    /// The current part.
    pub(super) fn current() -> JournalPart {
        JournalPart { name: JOURNAL.to_owned(), copy: COPY.to_owned() }
    }

    /// The part that a repair closed as number `number`.
    pub(super) fn closed(number: u32) -> JournalPart {
        JournalPart { name: format!("journal.{number}.jsonl"), copy: format!("journal.{number}.copy.jsonl") }
    }

    /// All parts, the oldest first, the current one last.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read.
    pub(super) fn all(state: &PrivateFolder) -> Result<Vec<JournalPart>> {
        let mut parts: Vec<JournalPart> = JournalPart::numbers(state)?.into_iter().map(JournalPart::closed).collect();
        parts.push(JournalPart::current());
        Ok(parts)
    }

    /// The numbers of the closed parts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read.
    pub(super) fn numbers(state: &PrivateFolder) -> Result<BTreeSet<u32>> {
        let number = |name: &Path| {
            let number = name.to_str()?.strip_prefix("journal.")?.strip_suffix(".jsonl")?;
            number.strip_suffix(".copy").unwrap_or(number).parse::<u32>().ok()
        };
        Ok(state.names(|name| number(name).is_some())?.iter().filter_map(|name| number(name.as_ref())).collect())
    }
}

/// The open files of the journal, to read lines again.
#[derive(Debug, Default)]
pub(super) struct JournalFiles {
    files: Vec<Option<File>>,
    /// The root folder of the system whose journal this is, if that is not this one.
    root: Option<SystemRoot>,
}

/// How many bits of a place are the offset in its file.
const OFFSET_BITS: u32 = 48;

/// The place of a line: the number of its file, and its offset in bytes.
pub(super) fn place(file: usize, at: u64) -> u64 {
    let file = u64::try_from(file).unwrap_or(u64::MAX >> OFFSET_BITS);
    (file << OFFSET_BITS) | (at & ((1 << OFFSET_BITS) - 1))
}

impl JournalFiles {
    fn at(&self, place: u64) -> Result<(&File, u64)> {
        let gone = || Error::new(ErrorKind::Changed, "the journal was removed");
        let file = usize::try_from(place >> OFFSET_BITS).ok().and_then(|file| self.files.get(file)?.as_ref());
        Ok((file.ok_or_else(gone)?, place & ((1 << OFFSET_BITS) - 1)))
    }

    /// Reads the complete line at this place again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`]; [`ErrorKind::Changed`] if it is not there any more.
    pub(super) fn line_at(&self, place: u64) -> Result<JournalEntry> {
        let (file, at) = self.at(place)?;
        let entry = journal::line_at(file, at)?;
        Ok(match &self.root {
            Some(root) => root.entry(entry),
            None => entry,
        })
    }

    /// Reads the path in the complete line at this place again; `None` if the line is not about a file.
    ///
    /// # Errors
    ///
    /// Those of [`JournalFiles::line_at`].
    pub(super) fn path_at(&self, place: u64) -> Result<Option<PathBuf>> {
        if self.root.is_some() {
            return Ok(self.line_at(place)?.change.map(|change| change.path));
        }
        let (file, at) = self.at(place)?;
        journal::path_at(file, at)
    }

    /// Reads the text of the complete line at this place again.
    ///
    /// # Errors
    ///
    /// Those of [`JournalFiles::line_at`].
    pub(super) fn text_at(&self, place: u64) -> Result<String> {
        let (file, at) = self.at(place)?;
        journal::text_at(file, at)
    }
}

/// A journal read to its end.
#[derive(Default)]
pub(super) struct JournalRead {
    /// Its end.
    pub(super) end: JournalEnd,
    /// Its files.
    pub(super) files: JournalFiles,
}

impl JournalRead {
    /// The journal of the system with this root folder.
    pub(super) fn below(mut self, root: SystemRoot) -> JournalRead {
        self.files.root = Some(root);
        self
    }
}

/// Reads all parts of the journal, and calls `each` with each line that is left, in the order of their numbers. `pending` returns the ids of
/// the operations whose intents exist.
///
/// # Errors
///
/// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`]. Damage is no error: the end has it.
pub(super) fn read(
    state: &PrivateFolder,
    pending: &dyn Fn() -> BTreeSet<String>,
    mut each: impl FnMut(JournalLine),
) -> Result<JournalRead> {
    let parts = JournalPart::all(state)?;
    let mut read = JournalRead::default();
    let mut repairs: Vec<RepairedPart> = Vec::new();
    // The closed parts that are damaged, each with the range of its damage.
    let mut closed: Vec<(ClosedPart, Range<usize>)> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let next = parts.get(number + 1);
        let files = Opened::of(state, part)?;
        // A repair that was interrupted gave the current part its second name already, and nothing more.
        let is_second_name = match next {
            Some(next) => match first_line(state, next)? {
                Some(first) => first.repaired.is_none_or(|repaired| repaired.part != part.name),
                None => are_same(files.journal.as_ref(), open(state, &next.name)?.as_ref())?,
            },
            None => false,
        };
        if is_second_name {
            read.files.files.extend([None, None]);
            continue;
        }
        let before = read.end.tail.damage.len();
        let file = 2 * number;
        read.end = files.read(std::mem::take(&mut read.end.tail), pending, |line, is_copy| {
            repairs.extend(line.entry.repaired.clone());
            each(JournalLine { at: place(file + usize::from(is_copy), line.at), ..line });
        })?;
        let damage = before..read.end.tail.damage.len();
        if next.is_some() && !damage.is_empty() {
            let sha256 = files.journal.as_ref().and_then(|journal| sum_of(journal).ok()?);
            closed.push((ClosedPart { part: part.name.clone(), sha256 }, damage));
        }
        read.files.files.extend([files.journal, files.copy]);
    }
    for (part, damage) in closed.into_iter().rev() {
        match repairs.iter().any(|repair| repair.knows(&part)) {
            true => drop(read.end.repaired.splice(..0, read.end.tail.damage.drain(damage))),
            false => read.end.unrecorded.insert(0, part),
        }
    }
    Ok(read)
}

/// Whether both are there and have the same contents.
fn are_same(one: Option<&File>, other: Option<&File>) -> Result<bool> {
    let (Some(one), Some(other)) = (one, other) else { return Ok(false) };
    if target::identity(one)? == target::identity(other)? {
        return Ok(true);
    }
    let length = |file: &File| file.metadata().map(|metadata| metadata.len()).ok();
    Ok(length(one) == length(other)
        && sum_of(one)?.is_some_and(|sum| sum_of(other).is_ok_and(|other| other == Some(sum))))
}

/// The SHA-256 of a file of the journal; `None` if a line is too long, so that what follows is not looked at. A file with a hole can be of
/// any length.
///
/// # Errors
///
/// [`ErrorKind::Io`].
pub(super) fn sum_of(file: &File) -> Result<Option<Sha256>> {
    let (mut sum, mut line) = (Sha256Hasher::new(), 0);
    disk::each_piece(file, |piece| {
        sum.update(piece);
        line = match memchr::memrchr(b'\n', piece) {
            Some(end) => (piece.len() - end - 1) as u64,
            None => line + piece.len() as u64,
        };
        line <= LONGEST_LINE
    })?;
    Ok((line <= LONGEST_LINE).then(|| sum.finish()))
}

/// The first line of a part, if it is whole.
fn first_line(state: &PrivateFolder, part: &JournalPart) -> Result<Option<JournalEntry>> {
    for name in [&part.name, &part.copy] {
        let Some(file) = open(state, name)? else { continue };
        let mut line = Vec::new();
        let read = journal::read_line(&mut BufReader::new(file), &mut line);
        if let (Ok(_), Some(entry)) = (read, journal::whole_line(line.strip_suffix(b"\n").unwrap_or(&line))) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Opens a file of the journal. One that is not there, is a folder, or must not be read is `None`.
fn open(state: &PrivateFolder, name: &str) -> Result<Option<File>> {
    open_or_why(state, name).map(|(file, _)| file)
}

/// The same, and whether the file is there and can't be read: it is a folder, or this user may not read it.
fn open_or_why(state: &PrivateFolder, name: &str) -> Result<(Option<File>, bool)> {
    match state.file(name, "opening the journal", OFlags::RDONLY) {
        Ok(file) => Ok((Some(file), false)),
        Err(e) if e.is_errno(Errno::NOENT) => Ok((None, false)),
        Err(e) if e.is_errno(Errno::ISDIR) || e.is_errno(Errno::ACCESS) => Ok((None, true)),
        Err(e) => Err(e),
    }
}

/// The open files of one part.
struct Opened {
    journal: Option<File>,
    copy: Option<File>,
    /// Whether the journal is there and can't be read.
    is_unreadable: bool,
    /// The length of the copy before the journal was read: a running writer makes both longer, the journal first.
    copied: u64,
}

impl Opened {
    fn of(state: &PrivateFolder, part: &JournalPart) -> Result<Opened> {
        let copy = open(state, &part.copy)?;
        let copied = copy.as_ref().and_then(|copy| copy.metadata().ok()).map_or(0, |metadata| metadata.len());
        let (journal, is_unreadable) = open_or_why(state, &part.name)?;
        Ok(Opened { journal, copy, is_unreadable, copied })
    }

    /// Reads this part after those that end with `start`.
    fn read(
        &self,
        mut start: JournalTail,
        pending: &dyn Fn() -> BTreeSet<String>,
        mut each: impl FnMut(JournalLine, bool),
    ) -> Result<JournalEnd> {
        let mut damage = std::mem::take(&mut start.damage);
        (start.whole, start.lacks_end) = (0, false);
        let (mut end, broken) = match &self.journal {
            Some(journal) => {
                let start = intact::read(journal, start, |line| each(line, false))?;
                journal::each_line(&mut text(journal, start.whole)?, start, pending, |line| each(line, false))?
            }
            None => (JournalEnd { tail: start, ..JournalEnd::default() }, None),
        };
        if self.is_unreadable && self.copied == 0 {
            let next = end.tail.count + 1;
            damage.push(JournalDamage { first: next, last: next, kind: DamageKind::Unreadable, is_lossless: false });
        }
        // The journal has all that its copy has, unless it was cut off.
        if broken.is_none() && self.copied <= end.tail.whole {
            end.tail.damage = damage;
            return Ok(end);
        }
        let survey = |file: &Option<File>, from| match file {
            Some(file) => Survey::of(&mut text(file, from)?, from, end.tail.count),
            None => Ok(Survey::default()),
        };
        let (journal, copy) = (survey(&self.journal, end.tail.whole)?, survey(&self.copy, 0)?);
        let mut remains = survey::together(end.tail.count, end.tail.last_hash, &journal, &copy);
        let missing = remains.damage.iter_mut().filter(|damage| damage.kind == DamageKind::Missing);
        missing.filter(|_| self.is_unreadable).for_each(|damage| damage.kind = DamageKind::Unreadable);
        if broken.is_none() && remains.damage.is_empty() {
            // The copy of another journal, of which this one needs nothing.
            end.tail.damage = damage;
            return Ok(end);
        }
        for (line, is_copy) in &remains.lines {
            let file = if *is_copy { &self.copy } else { &self.journal };
            let Some(file) = file else { continue };
            each(JournalLine { entry: journal::line_at(file, line.at)?, at: line.at, hash: line.hash }, *is_copy);
        }
        if broken.is_some() && remains.damage.is_empty() {
            let next = end.tail.count + 1;
            damage.push(JournalDamage { first: next, last: next, kind: DamageKind::Changed, is_lossless: true });
        }
        damage.extend(remains.damage);
        let tail = JournalTail {
            count: remains.count,
            last_hash: remains.last_hash,
            whole: end.tail.whole,
            lacks_end: false,
            damage,
        };
        Ok(JournalEnd { tail, is_torn: journal.is_torn, ..JournalEnd::default() })
    }
}

/// The text of a file from an offset on.
fn text(file: &File, from: u64) -> Result<BufReader<&File>> {
    let mut text = BufReader::with_capacity(1 << 16, file);
    text.seek(SeekFrom::Start(from)).map_err(|e| Error::io("reading the journal", e))?;
    Ok(text)
}
