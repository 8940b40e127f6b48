//! Importing: backups and lines of the journal of another vault, all of them verified before anything is written.
//!
//! Backups are written first. Then the journal gets the missing lines, byte for byte, and a line about the import, in one step. Whatever stops
//! it, the same import then does what is missing: no line exists without its backups, and an import without its line is not complete.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::digest::{Sha256, Sha256Hasher};
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::private_folder::PrivateFolder;
use crate::vault::archive::reader::{Archive, Contents, reading};
use crate::vault::archive::{ManifestSegment, MemberName};
use crate::vault::disk;
use crate::vault::export::{Bytes, bounded_sum};
use crate::vault::journal::{JournalTail, next_line};
use crate::vault::layout::{JOURNAL, temporary_journal};
use crate::vault::objects::Objects;
use crate::vault::reader::Vault;
use crate::vault::record::{JournalEntry, LONGEST_LINE, NewEntry, Operation};
use crate::vault::staging::Staging;
use crate::vault::writer::Writer;

/// Backups are made durable together, up to this many, and up to about this many bytes.
const TOGETHER: (usize, usize) = (256, 64 << 20);

/// Lines of the journal are written together, in pieces of about this many bytes.
const PIECE: usize = 1 << 20;

/// What an export contains, and what an import of it would do.
#[derive(Debug)]
pub struct ImportPlan {
    file: PathBuf,
    max_size: u64,
    /// The SHA-256 of the file.
    pub sha: Sha256,
    /// The number of lines of its journal.
    pub lines: u64,
    /// The hash of the last line of its journal.
    pub head: Option<Sha256>,
    /// What becomes of the lines.
    pub merge: JournalMerge,
    /// The backups that are missing or damaged here.
    pub backups: Vec<ImportedBackup>,
    /// The number of its backups that are here already.
    pub here: usize,
    /// Whether the journal has the line about this import.
    is_recorded: bool,
    /// The end of the journal here, by its number of lines and its last hash.
    after: (u64, Option<Sha256>),
}

/// What an import does with the lines of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalMerge {
    /// All of them are here.
    Nothing,
    /// The journal here is the beginning of the imported one: so many lines are appended.
    Append(u64),
    /// The journals contradict each other: this is the first line that differs.
    Diverges(u64),
    /// The imported journal is damaged: this line breaks its chain.
    Broken(u64),
    /// The imported journal was damaged once, and a repair closed a part of it.
    Parts,
}

/// A backup that an import writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportedBackup {
    /// The SHA-256 of its contents.
    pub sha: Sha256,
    /// Whether it is written compressed.
    is_compressed: bool,
    /// Whether it replaces a damaged one.
    pub is_repair: bool,
}

impl ImportPlan {
    /// The file that is imported.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.is_recorded && self.backups.is_empty() && !matches!(self.merge, JournalMerge::Append(_))
    }

    /// The same plan for only the backups: no line of the imported journal is appended.
    #[must_use]
    pub fn backups_only(self) -> ImportPlan {
        ImportPlan { merge: JournalMerge::Nothing, ..self }
    }

    /// Refuses a journal that contradicts the one here, or is damaged.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`], [`ErrorKind::Damaged`].
    pub fn must_merge(&self) -> Result<()> {
        let (kind, what) = match self.merge {
            JournalMerge::Nothing | JournalMerge::Append(_) => return Ok(()),
            JournalMerge::Diverges(line) => {
                (ErrorKind::Conflict, format!("its journal contradicts the journal here: line {line} differs"))
            }
            JournalMerge::Broken(line) => {
                (ErrorKind::Damaged, format!("its journal was exported damaged: line {line} breaks the hash chain"))
            }
            JournalMerge::Parts => {
                (ErrorKind::Unsupported, "its journal has parts that a repair closed, and can't be merged".to_owned())
            }
        };
        Err(Error::new(kind, format!("{what}; nothing was written")).on(&self.file).remedy(Remedy::ImportBackupsOnly))
    }
}

/// The journal here, while an export is read.
struct LinesHere {
    tail: JournalTail,
    file: Option<File>,
    /// The exports whose import is recorded.
    imported: BTreeSet<Sha256>,
}

impl Vault {
    internal_fn! {
        /// Reads a whole export, verifies everything in it, and compares it with this vault. Nothing is written. `step` is called with each member.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Damaged`] for a file that is not exactly as it was exported; [`ErrorKind::TooLarge`] if a backup is larger than
        /// `max_size` bytes; [`ErrorKind::NotFound`]; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`].
        fn plan_import(&self, file: &Path, max_size: u64, step: impl Fn()) -> Result<ImportPlan> {
            let here = self.lines_here()?;
            let objects = self.objects();
            let (mut backups, mut count_here) = (Vec::new(), 0);
            let mut journal = (JournalTail::default(), None);
            let (mut diverges, mut has_parts) = (None, false);
            let checked = Archive::open(file)?.read(|name, contents| {
                step();
                match name {
                    MemberName::Backup { sha, is_compressed } => {
                        verify_backup(*sha, *is_compressed, max_size, contents)?;
                        match missing(&objects, *sha, *is_compressed)? {
                            Some(missing) => backups.push(missing),
                            None => count_here += 1,
                        }
                    }
                    current if *current == MemberName::CURRENT => {
                        let mut lines = here.lines();
                        journal = each_line(contents, |body, tail| {
                            if diverges.is_none() && tail.count <= here.tail.count && !lines.next_is(body)? {
                                diverges = Some(tail.count);
                            }
                            Ok(())
                        })?;
                    }
                    MemberName::Journal(_) | MemberName::Manifest => has_parts = true,
                }
                Ok(())
            })?;
            let (tail, broken) = journal;
            let read = ManifestSegment { name: JOURNAL.to_owned(), lines: tail.count, head: tail.last_hash, broken };
            if checked.manifest.journal.iter().any(|segment| segment.name == JOURNAL && *segment != read) {
                return Err(Error::new(ErrorKind::Damaged, "its journal differs from its manifest").on(file));
            }
            let merge = match (broken, diverges) {
                _ if has_parts => JournalMerge::Parts,
                (Some(line), _) => JournalMerge::Broken(line),
                (None, Some(line)) => JournalMerge::Diverges(line),
                (None, None) => match tail.count.checked_sub(here.tail.count) {
                    None | Some(0) => JournalMerge::Nothing,
                    Some(more) => JournalMerge::Append(more),
                },
            };
            Ok(ImportPlan {
                file: file.to_owned(),
                max_size,
                sha: checked.sha,
                lines: tail.count,
                head: tail.last_hash,
                merge,
                backups,
                here: count_here,
                is_recorded: here.imported.contains(&checked.sha),
                after: (here.tail.count, here.tail.last_hash),
            })
        }
    }

    fn lines_here(&self) -> Result<LinesHere> {
        let mut imported = BTreeSet::new();
        let tail = self.go_through(|line| imported.extend(line.entry.imported))?.end.tail;
        let open = || self.state.open()?.file(JOURNAL, "opening the journal", OFlags::RDONLY);
        let file = match open() {
            Ok(file) => Some(file),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        Ok(LinesHere { tail, file, imported })
    }
}

impl LinesHere {
    fn lines(&self) -> Lines<'_> {
        let bytes = self.file.as_ref().map(|file| Bytes { file, at: 0, left: self.tail.whole });
        Lines { text: bytes.map(BufReader::new), line: Vec::new() }
    }
}

/// The lines of the journal here, one after the other.
struct Lines<'f> {
    text: Option<BufReader<Bytes<'f>>>,
    line: Vec<u8>,
}

impl Lines<'_> {
    /// Whether the next line has this text.
    fn next_is(&mut self, body: &[u8]) -> Result<bool> {
        let Some(text) = &mut self.text else { return Ok(false) };
        self.line.clear();
        text.read_until(b'\n', &mut self.line).map_err(|e| Error::io("reading the journal", e))?;
        Ok(self.line.strip_suffix(b"\n").unwrap_or(&self.line) == body)
    }
}

/// Reads the lines of an imported journal. `each` gets the text of each valid line, without its line feed, and the end of the journal after
/// it. The result has the number of the first line that is not valid.
fn each_line(
    contents: &mut Contents<'_>,
    mut each: impl FnMut(&[u8], &JournalTail) -> Result<()>,
) -> Result<(JournalTail, Option<u64>)> {
    let mut text = BufReader::with_capacity(1 << 16, contents);
    let (mut tail, mut line) = (JournalTail::default(), Vec::new());
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

/// Compares a backup in an export with its name.
fn verify_backup(sha: Sha256, is_compressed: bool, max_size: u64, contents: &mut Contents<'_>) -> Result<()> {
    let found = match is_compressed {
        true => zstd::Decoder::new(contents).and_then(|decoder| bounded_sum(decoder, max_size)),
        false => bounded_sum(contents, max_size),
    };
    match found.map_err(reading)? {
        Some(found) if found == sha => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Damaged, format!("its backup {sha} does not match its name"))),
        None => Err(too_large(sha, max_size)),
    }
}

fn too_large(sha: Sha256, max_size: u64) -> Error {
    let what = format!("its backup {sha} is larger than {max_size} bytes");
    Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit)
}

/// The backup to be written, if it is missing or damaged here.
fn missing(objects: &Objects, sha: Sha256, is_compressed: bool) -> Result<Option<ImportedBackup>> {
    match objects.check(sha) {
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::Untrusted => Err(e),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Some(ImportedBackup { sha, is_compressed, is_repair: false })),
        // The damaged file is replaced, in its form.
        Err(_) => {
            let plain = objects.open()?.file(sha.to_string(), "reading the backup", OFlags::RDONLY);
            let is_compressed = plain.is_err_and(|e| e.kind() == ErrorKind::NotFound);
            Ok(Some(ImportedBackup { sha, is_compressed, is_repair: true }))
        }
    }
}

impl Writer<'_> {
    /// Imports what a plan says, and records it. All backups of the export are flushed, because another run of this import may have been
    /// stopped before it flushed them. `step` is called after each.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the file or the journal is not the one that was planned; those of [`Vault::plan_import`].
    pub(crate) fn import(&mut self, plan: &ImportPlan, step: impl Fn()) -> Result<JournalEntry> {
        self.must_be_whole()?;
        if (self.tail.count, self.tail.last_hash) != plan.after {
            let what = "the journal changed since the import was planned; nothing was written";
            return Err(Error::new(ErrorKind::Changed, what).on(&plan.file));
        }
        let mut backups = ImportStaging::of(self.vault, plan);
        let mut imported = None;
        let checked = Archive::open(&plan.file)?.read(|name, contents| {
            match name {
                MemberName::Backup { sha, is_compressed } => {
                    backups.add(*sha, *is_compressed, contents)?;
                    step();
                }
                MemberName::Journal(_) if matches!(plan.merge, JournalMerge::Append(_)) => {
                    imported = Some(self.longer_journal(plan, contents)?);
                }
                MemberName::Journal(_) | MemberName::Manifest => {}
            }
            Ok(())
        })?;
        if checked.sha != plan.sha {
            return Err(changed(plan));
        }
        backups.settle()?;
        match imported {
            Some((journal, entry, tail)) => {
                journal.settle()?;
                self.tail = tail;
                Ok(entry)
            }
            None => self.append(line(plan)),
        }
    }

    /// Flushes the journal and its name, because another run may have been stopped before that.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn flush_journal(&self) -> Result<()> {
        match self.tail.count {
            0 => Ok(()),
            _ => disk::sync_by_name(self.vault.state.open()?, JOURNAL),
        }
    }

    /// Writes a copy of the journal with the missing lines and the line about the import. It takes the journal's place in one step: if lines
    /// were appended, a power cut could leave later ones without earlier ones, which is no journal.
    fn longer_journal(
        &self,
        plan: &ImportPlan,
        contents: &mut Contents<'_>,
    ) -> Result<(NewJournal, JournalEntry, JournalTail)> {
        let mut journal = NewJournal::create(self.vault.state.open()?)?;
        let mut lines = Vec::new();
        let (tail, broken) = each_line(contents, |body, tail| {
            // The lines that are here are the first ones: the last of them has the same hash.
            if tail.count == self.tail.count && tail.last_hash != self.tail.last_hash {
                return Err(changed(plan));
            }
            lines.extend_from_slice(body);
            lines.push(b'\n');
            if lines.len() > PIECE {
                journal.write(&lines)?;
                lines.clear();
            }
            Ok(())
        })?;
        if broken.is_some() || (tail.count, tail.last_hash) != (plan.lines, plan.head) {
            return Err(changed(plan));
        }
        let (mut entries, last, tail) = tail.next_lines(vec![line(plan)], self.vault.run.as_ref())?;
        lines.extend_from_slice(last.as_bytes());
        journal.write(&lines)?;
        let entry = entries.pop().ok_or_else(|| Error::new(ErrorKind::Io, "a journal line is missing"))?;
        Ok((journal, entry, tail))
    }
}

fn changed(plan: &ImportPlan) -> Error {
    Error::new(ErrorKind::Changed, "changed while it was imported; nothing was recorded").on(&plan.file)
}

/// The line about an import.
fn line(plan: &ImportPlan) -> NewEntry {
    let count = |number: u64, what| crate::text::count(usize::try_from(number).unwrap_or(usize::MAX), what);
    let lines = if let JournalMerge::Append(lines) = plan.merge { lines } else { 0 };
    let (lines, backups) = (count(lines, "line"), count(plan.backups.len() as u64, "backup"));
    NewEntry {
        imported: Some(plan.sha),
        note: Some(format!("{lines} and {backups} from an export")),
        ..NewEntry::of(Operation::Import)
    }
}

/// A file that takes the journal's place. If it does not, it is removed.
struct NewJournal {
    state: PrivateFolder,
    file: File,
    len: u64,
    sum: Sha256Hasher,
    is_settled: bool,
}

impl NewJournal {
    fn create(state: &PrivateFolder) -> Result<NewJournal> {
        let name = temporary_journal();
        disk::remove(state.dir(), name.as_ref())?;
        let file = disk::create_new(state.dir(), name.as_ref(), 0o600);
        let file = file.map_err(|e| Error::io("creating", e).on(state.path().join(&name)))?;
        Ok(NewJournal { state: state.clone(), file, len: 0, sum: Sha256Hasher::new(), is_settled: false })
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        let failed = |e| Error::io("writing the journal", e).on(self.state.path().join(temporary_journal()));
        disk::write_at(&self.file, text, self.len).map_err(failed)?;
        self.len += text.len() as u64;
        self.sum.update(text);
        Ok(())
    }

    /// Makes it the journal durably: it is flushed, read back, renamed, and its name is flushed.
    fn settle(mut self) -> Result<()> {
        let (dir, path) = (self.state.dir(), self.state.path().join(JOURNAL));
        let failed = |doing, e| Error::io(doing, e).on(&path);
        disk::sync(&self.file).map_err(|e| failed("flushing to disk", e))?;
        if disk::sha256_of(&self.file).map_err(|e| e.on(&path))? != self.sum.clone().finish() {
            let what = "verification failed: the bytes read differ from the bytes written";
            return Err(Error::new(ErrorKind::Io, what).hint("is the disk failing?").on(&path));
        }
        let temporary = temporary_journal();
        rustix::fs::renameat(dir, &temporary, dir, JOURNAL).map_err(|e| failed("renaming", e))?;
        self.is_settled = true;
        disk::sync(dir).map_err(|e| failed("flushing the folder to disk", e))
    }
}

impl Drop for NewJournal {
    fn drop(&mut self) {
        if !self.is_settled {
            let _ = disk::remove(self.state.dir(), temporary_journal().as_ref());
        }
    }
}

/// Backups of an export, on their way into the vault.
struct ImportStaging {
    /// For plain and for compressed backups.
    objects: [Objects; 2],
    /// The form of each backup to be written.
    compressed: BTreeSet<Sha256>,
    plain: BTreeSet<Sha256>,
    max_size: u64,
    waiting: Vec<(Sha256, bool, Vec<u8>)>,
    bytes: usize,
}

impl ImportStaging {
    fn of(vault: &Vault, plan: &ImportPlan) -> ImportStaging {
        let form = |is_compressed: bool| {
            let of_form = plan.backups.iter().filter(|backup| backup.is_compressed == is_compressed);
            of_form.map(|backup| backup.sha).collect()
        };
        let objects = [false, true].map(|compress| vault.clone().compressing(compress).objects());
        let (waiting, max_size) = (Vec::new(), plan.max_size);
        ImportStaging { objects, compressed: form(true), plain: form(false), max_size, waiting, bytes: 0 }
    }

    fn add(&mut self, sha: Sha256, is_compressed: bool, contents: &mut Contents<'_>) -> Result<()> {
        let most = self.max_size.saturating_add(1);
        let mut bytes = Vec::new();
        let read = match is_compressed {
            true => zstd::Decoder::new(contents).and_then(|decoder| decoder.take(most).read_to_end(&mut bytes)),
            false => contents.take(most).read_to_end(&mut bytes),
        };
        if read.map_err(reading)? as u64 > self.max_size {
            return Err(too_large(sha, self.max_size));
        }
        if crate::digest::sha256(&bytes) != sha {
            return Err(Error::new(ErrorKind::Damaged, format!("its backup {sha} does not match its name")));
        }
        let is_compressed =
            if self.plain.contains(&sha) { false } else { is_compressed || self.compressed.contains(&sha) };
        self.bytes += bytes.len();
        self.waiting.push((sha, is_compressed, bytes));
        let (most, most_bytes) = TOGETHER;
        if self.waiting.len() >= most || self.bytes >= most_bytes { self.settle() } else { Ok(()) }
    }

    /// Makes the backups that wait durable.
    fn settle(&mut self) -> Result<()> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        for (objects, wanted) in self.objects.iter().zip([false, true]) {
            let of_form: Vec<_> = waiting.iter().filter(|(_, is_compressed, _)| *is_compressed == wanted).collect();
            if of_form.is_empty() {
                continue;
            }
            let staging = Staging::begin(objects, of_form.len())?;
            of_form.into_iter().try_for_each(|(sha, _, bytes)| staging.stage_bytes(*sha, bytes))?;
            staging.settle()?;
        }
        Ok(())
    }
}
