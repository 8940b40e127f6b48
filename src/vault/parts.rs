//! The files of the journal: the parts that a repair closed, oldest first, the current one, and a copy of each.
//!
//! ```text
//! journal.1.jsonl    journal.1.copy.jsonl    closed by a repair, and never written again
//! journal.jsonl      journal.copy.jsonl      the current part
//! ```
//!
//! The copy gets each line after the journal has it durably, so it is never longer than the journal, and needs no flush. With it a line
//! that was changed or removed is found again, and a journal that was cut off is noticed.
//!
//! An import writes parts under temporary names. They belong to the journal as soon as the part after them names them: the current part takes
//! its place last, in one step. While the first line of the part after them is damaged, nobody knows whether they belong: they stay as they are.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::vault::layout::{COPY, JOURNAL, temporary};
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

    /// Whether it is the current part.
    pub(super) fn is_current(&self) -> bool {
        self.name == JOURNAL
    }

    /// The numbers of the closed parts, those with temporary names included.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder can't be read.
    pub(super) fn numbers(state: &PrivateFolder) -> Result<BTreeSet<u32>> {
        let names = state.names(|name| JournalPart::number(name).is_some())?;
        Ok(names.iter().filter_map(|name| JournalPart::number(name.as_ref())).collect())
    }

    /// The number of the closed part that has this name, or this name for its copy, temporary names included.
    fn number(name: &Path) -> Option<u32> {
        let name = name.to_str()?;
        let name = name.strip_suffix(disk::TEMPORARY).unwrap_or(name);
        let number = name.strip_prefix("journal.")?.strip_suffix(".jsonl")?;
        number.strip_suffix(".copy").unwrap_or(number).parse().ok()
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
    /// Its parts, the oldest first, the current one last.
    pub(super) parts: Vec<PartRead>,
}

/// What was read of a part.
pub(super) struct PartRead {
    /// Its names.
    pub(super) part: JournalPart,
    /// The number and the hash of the last line before it.
    pub(super) start: (u64, Option<Sha256>),
    /// The number and the hash of the last line up to which no line breaks the chain.
    pub(super) valid: (u64, Option<Sha256>),
    /// Whether a line then breaks it.
    pub(super) is_broken: bool,
    /// Whether its lines are there and can't be read.
    pub(super) is_unreadable: bool,
    /// The number of its first file.
    file: usize,
}

impl JournalRead {
    /// The journal of the system with this root folder.
    pub(super) fn below(mut self, root: SystemRoot) -> JournalRead {
        self.files.root = Some(root);
        self
    }

    /// Takes the open files of a part: its lines, and their copy.
    pub(super) fn take_files(&mut self, part: &PartRead) -> [Option<File>; 2] {
        [part.file, part.file + 1].map(|file| self.files.files.get_mut(file).and_then(Option::take))
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
    each: impl FnMut(JournalLine),
) -> Result<JournalRead> {
    read_parts(OpenPart::all(state)?, pending, each)
}

/// Reads the parts of a journal whose files have these names, as [`read`] does.
///
/// # Errors
///
/// [`ErrorKind::Io`].
pub(super) fn read_files(files: &BTreeMap<String, File>, each: impl FnMut(JournalLine)) -> Result<JournalRead> {
    let numbers = files.keys().filter_map(|name| JournalPart::number(name.as_ref())).collect();
    let open = |name: &str| match files.get(name).map(File::try_clone) {
        Some(file) => file.map(|file| (Some(file), false)).map_err(|e| Error::io("reading the journal", e)),
        None => Ok((None, false)),
    };
    read_parts(OpenPart::of(&numbers, &open)?, &BTreeSet::new, each)
}

fn read_parts(
    parts: Vec<OpenPart>,
    pending: &dyn Fn() -> BTreeSet<String>,
    mut each: impl FnMut(JournalLine),
) -> Result<JournalRead> {
    let mut read = JournalRead::default();
    let mut repairs: Vec<RepairedPart> = Vec::new();
    // The closed parts that are damaged, each with the range of its damage.
    let mut closed: Vec<(ClosedPart, Range<usize>)> = Vec::new();
    for (number, OpenPart { part, files, belongs }) in parts.into_iter().enumerate() {
        if belongs != Some(true) {
            read.files.files.extend([None, None]);
            continue;
        }
        let is_current = part.is_current();
        let (tail, file) = (std::mem::take(&mut read.end.tail), 2 * number);
        let (before, start) = (tail.damage.len(), (tail.count, tail.last_hash));
        // A closed part was never written again, so none of its lines belongs to an operation that is pending.
        let pending = || if is_current { pending() } else { BTreeSet::new() };
        let (end, valid, is_broken) = files.read(tail, &pending, |line, is_copy| {
            repairs.extend(line.entry.repaired.clone());
            each(JournalLine { at: place(file + usize::from(is_copy), line.at), ..line });
        })?;
        read.end = end;
        let damage = before..read.end.tail.damage.len();
        if !is_current && !damage.is_empty() {
            let sha256 = files.journal.as_ref().and_then(|journal| sum_of(journal).ok()?);
            closed.push((ClosedPart { part: part.name.clone(), sha256 }, damage));
        }
        let is_unreadable = files.is_unreadable;
        read.files.files.extend([files.journal, files.copy]);
        read.parts.push(PartRead { part, start, valid, is_broken, is_unreadable, file });
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

/// Settles the parts of an import that was stopped, as [`settle_imported`] does, after making durable that the journal names them: with their
/// names they would count even if the journal lost its own.
///
/// # Errors
///
/// Those of [`settle_imported`].
pub(super) fn settle_stopped_import(state: &PrivateFolder) -> Result<()> {
    if !has_imported(state)? {
        return Ok(());
    }
    disk::sync(state.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(state.path()))?;
    settle_imported(state)
}

/// Whether a part with a temporary name is there.
fn has_imported(state: &PrivateFolder) -> Result<bool> {
    let is_new = |name: &Path| name.to_str().is_some_and(|name| name.ends_with(disk::TEMPORARY));
    Ok(!state.names(|name| is_new(name) && JournalPart::number(name).is_some())?.is_empty())
}

/// Gives the parts of an import their names if they belong to the journal, and removes them if they do not. The journal's name must be
/// durable. The folder need not be flushed afterwards: the parts count under both names.
///
/// # Errors
///
/// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
pub(super) fn settle_imported(state: &PrivateFolder) -> Result<()> {
    if !has_imported(state)? {
        return Ok(());
    }
    for OpenPart { part, belongs, .. } in OpenPart::all(state)?.into_iter().filter(|open| !open.part.is_current()) {
        let Some(belongs) = belongs else { continue };
        for name in [part.copy, part.name] {
            let new = temporary(&name);
            let settled = match (open_or_why(state, &new)?, open_or_why(state, &name)?) {
                // A folder is not the vault's, and what is next to one may be the only file with these lines.
                ((None, _), _) | (_, (None, true)) => Ok(()),
                (_, (None, false)) if belongs => disk::rename(state.dir(), new.as_ref(), name.as_ref(), true),
                _ => disk::remove(state.dir(), new.as_ref()),
            };
            settled.map_err(|e| e.on(state.path().join(&name)))?;
        }
    }
    Ok(())
}

/// Opens a file of the journal. The result says as well whether the file is there and can't be read: it is a folder, or this user may not
/// read it.
fn open_or_why(state: &PrivateFolder, name: &str) -> Result<(Option<File>, bool)> {
    match state.file(name, "opening the journal", OFlags::RDONLY) {
        Ok(file) => Ok((Some(file), false)),
        Err(e) if e.is_errno(Errno::NOENT) => Ok((None, false)),
        Err(e) if e.is_errno(Errno::ISDIR) || e.is_errno(Errno::ACCESS) => Ok((None, true)),
        Err(e) => Err(e),
    }
}

/// Opens a file of the journal by its name, as [`open_or_why`] does.
type Open<'o> = dyn Fn(&str) -> Result<(Option<File>, bool)> + 'o;

/// A part with its open files.
struct OpenPart {
    part: JournalPart,
    files: Opened,
    /// Whether it is a part of the journal; none if that is not known.
    belongs: Option<bool>,
}

impl OpenPart {
    /// All parts, the oldest first, the current one last.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
    fn all(state: &PrivateFolder) -> Result<Vec<OpenPart>> {
        OpenPart::of(&JournalPart::numbers(state)?, &|name| open_or_why(state, name))
    }

    /// The closed parts with these numbers, and the current one. `open` opens a file by its name.
    fn of(numbers: &BTreeSet<u32>, open: &Open<'_>) -> Result<Vec<OpenPart>> {
        let files = Opened::of(open, &JournalPart::current(), false)?;
        let mut parts = vec![OpenPart { part: JournalPart::current(), files, belongs: Some(true) }];
        for part in numbers.iter().rev().copied().map(JournalPart::closed) {
            let is_free = |name: &str| -> Result<bool> { Ok(matches!(open(name)?, (None, false))) };
            let is_new = is_free(&part.name)? && is_free(&part.copy)?;
            let files = Opened::of(open, &part, true)?;
            let belongs = match parts.iter().rfind(|next| next.belongs == Some(true)) {
                Some(next) => files.belong_before(&part.name, is_new, &next.files)?,
                None => Some(false),
            };
            parts.push(OpenPart { part, files, belongs });
        }
        parts.reverse();
        Ok(parts)
    }
}

/// The open files of one part.
struct Opened {
    journal: Option<File>,
    copy: Option<File>,
    /// Whether the journal is there and can't be read.
    is_unreadable: bool,
    /// Whether any of both is there.
    is_there: bool,
    /// The length of the copy before the journal was read: a running writer makes both longer, the journal first.
    copied: u64,
}

impl Opened {
    /// Opens the files of a part; with `or_new`, also those that an import wrote and did not give their names yet.
    fn of(open: &Open<'_>, part: &JournalPart, or_new: bool) -> Result<Opened> {
        let opened = |name: &str| -> Result<(Option<File>, bool)> {
            match open(name)? {
                (None, false) if or_new => match open(&temporary(name))? {
                    // Meanwhile it may have got its name.
                    (None, false) => open(name),
                    new => Ok(new),
                },
                file => Ok(file),
            }
        };
        let (copy, is_copy_unreadable) = opened(&part.copy)?;
        let copied = copy.as_ref().and_then(|copy| copy.metadata().ok()).map_or(0, |metadata| metadata.len());
        let (journal, is_unreadable) = opened(&part.name)?;
        let is_there = journal.is_some() || copy.is_some() || is_unreadable || is_copy_unreadable;
        Ok(Opened { journal, copy, is_unreadable, is_there, copied })
    }

    /// Whether these are the files of the part of this name before `next`; none if that is not known. A repair that was interrupted gave the
    /// current part its second name already, and nothing more; an import that was stopped wrote parts (`is_new`) that no part names.
    fn belong_before(&self, name: &str, is_new: bool, next: &Opened) -> Result<Option<bool>> {
        if let Some((first, is_copy)) = next.first_line()? {
            let is_named = first.repaired.as_ref().is_some_and(|repaired| repaired.part == name);
            // If the line that names it was removed, it still begins with an earlier line.
            if is_named || (!is_new && self.first_line()?.is_some_and(|(own, _)| own.seq() < first.seq())) {
                return Ok(Some(true));
            }
            // While an imported part has no name of its own, the copy may still be that of the journal before the import.
            if !is_copy || !is_new {
                return Ok(Some(false));
            }
        }
        Ok(match is_new {
            true if next.is_there => None,
            true => Some(false),
            false => Some(!are_same(self.journal.as_ref(), next.journal.as_ref())?),
        })
    }

    /// The first line, if it is whole, and whether only the copy has it.
    fn first_line(&self) -> Result<Option<(JournalEntry, bool)>> {
        for (file, is_copy) in [(&self.journal, false), (&self.copy, true)] {
            let (Some(file), mut line) = (file, Vec::new()) else { continue };
            // A line that can't be read now may be whole: nothing follows from that.
            journal::read_line(&mut text(file, 0)?, &mut line)?;
            if let Some(entry) = journal::whole_line(line.strip_suffix(b"\n").unwrap_or(&line)) {
                return Ok(Some((entry, is_copy)));
            }
        }
        Ok(None)
    }

    /// Reads this part after those that end with `start`. The result has its end; the last line up to which no line breaks the chain; and
    /// whether a line then does.
    fn read(
        &self,
        mut start: JournalTail,
        pending: &dyn Fn() -> BTreeSet<String>,
        mut each: impl FnMut(JournalLine, bool),
    ) -> Result<(JournalEnd, (u64, Option<Sha256>), bool)> {
        let mut damage = std::mem::take(&mut start.damage);
        (start.whole, start.lacks_end) = (0, false);
        let (mut end, broken) = match &self.journal {
            Some(journal) => {
                let start = intact::read(journal, start, |line| each(line, false))?;
                journal::each_line(&mut text(journal, start.whole)?, start, pending, |line| each(line, false))?
            }
            None => (JournalEnd { tail: start, ..JournalEnd::default() }, None),
        };
        let (valid, is_broken) = ((end.tail.count, end.tail.last_hash), broken.is_some());
        if self.is_unreadable && self.copied == 0 {
            let next = end.tail.count + 1;
            damage.push(JournalDamage { first: next, last: next, kind: DamageKind::Unreadable, is_lossless: false });
        }
        // The journal has all that its copy has, unless it was cut off.
        if broken.is_none() && self.copied <= end.tail.whole {
            end.tail.damage = damage;
            return Ok((end, valid, is_broken));
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
            return Ok((end, valid, is_broken));
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
        Ok((JournalEnd { tail, is_torn: journal.is_torn, ..JournalEnd::default() }, valid, is_broken))
    }
}

/// The text of a file from an offset on.
fn text(file: &File, from: u64) -> Result<BufReader<&File>> {
    let mut text = BufReader::with_capacity(1 << 16, file);
    text.seek(SeekFrom::Start(from)).map_err(|e| Error::io("reading the journal", e))?;
    Ok(text)
}
