//! Importing: backups and lines of the journal of another vault, all of them verified before anything is written.
//!
//! Backups are written first. Then the journal gets the missing lines, byte for byte, and a line about the import, in one step. Parts that a
//! repair closed are written before that, under temporary names; this step makes them parts of the journal. Whatever stops it, the same
//! import then does what is missing: no line exists without its backups, and an import without its line is not complete.

mod exported;
mod written;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::digest::Sha256;
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::vault::archive::MemberName;
use crate::vault::archive::reader::{Archive, Contents, reading};
use crate::vault::export::bounded_sum;
use crate::vault::import::exported::{ExportedJournal, JournalSpool, LinesCompared, each_line};
use crate::vault::import::written::NewFile;
use crate::vault::journal::JournalTail;
use crate::vault::layout::JOURNAL;
use crate::vault::objects::Objects;
use crate::vault::reader::Vault;
use crate::vault::record::{JournalEntry, NewEntry, Operation};
use crate::vault::staging::Staging;
use crate::vault::writer::Writer;
use crate::vault::{append, disk, parts};

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
    /// The number and the hash of the last line before the current part of the imported journal.
    start: (u64, Option<Sha256>),
    /// The closed parts that are missing here.
    parts: BTreeSet<String>,
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
    /// The imported journal has closed parts that no line of it names, or whose names other files here have.
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
        self.is_recorded && self.backups.is_empty() && !self.appends()
    }

    /// Whether lines are appended.
    fn appends(&self) -> bool {
        matches!(self.merge, JournalMerge::Append(_))
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
                (ErrorKind::Unsupported, "its journal has parts that can't be merged with the journal here".to_owned())
            }
        };
        Err(Error::new(kind, format!("{what}; nothing was written")).on(&self.file).remedy(Remedy::ImportBackupsOnly))
    }
}

/// The journal here.
struct LinesHere {
    tail: JournalTail,
    /// The number and the hash of each line.
    lines: Vec<(u64, Sha256)>,
    /// The names of its closed parts.
    parts: BTreeSet<String>,
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
            let (mut journal, mut spool) = (ExportedJournal::default(), None::<JournalSpool>);
            let mut compared = LinesCompared::with(&here.lines);
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
                    // Closed parts, and copies, come before the current part.
                    current if *current == MemberName::CURRENT && spool.is_none() => {
                        journal = ExportedJournal::of_stream(contents, |number, hash| compared.line(number, hash))?;
                    }
                    MemberName::Journal(..) => match &mut spool {
                        Some(spool) => spool.add(name, contents)?,
                        none => none.insert(JournalSpool::new()).add(name, contents)?,
                    },
                    MemberName::Manifest => {}
                }
                Ok(())
            })?;
            if let Some(spool) = spool {
                journal = spool.read(|number, hash| compared.line(number, hash))?;
            }
            compared.end(journal.count);
            if !journal.is_described(&checked.manifest.journal) {
                return Err(Error::new(ErrorKind::Damaged, "its journal differs from its manifest").on(file));
            }
            let parts: BTreeSet<String> =
                journal.closed().filter(|name| !here.parts.contains(*name)).map(str::to_owned).collect();
            let merge = match (journal.broken, compared.diverges, journal.count.checked_sub(here.tail.count)) {
                (Some(line), _, _) => JournalMerge::Broken(line),
                _ if journal.has_stray_part => JournalMerge::Parts,
                (None, Some(line), _) => JournalMerge::Diverges(line),
                (None, None, None | Some(0)) => JournalMerge::Nothing,
                (None, None, Some(more)) if parts.is_empty() => JournalMerge::Append(more),
                (None, None, Some(more)) => match compared.lacks {
                    // The current part here gives its place to closed ones, which must have all of its lines.
                    Some(line) => JournalMerge::Diverges(line),
                    None if self.has_one_of(&parts)? => JournalMerge::Parts,
                    None => JournalMerge::Append(more),
                },
            };
            Ok(ImportPlan {
                file: file.to_owned(),
                max_size,
                sha: checked.sha,
                lines: journal.count,
                head: journal.head,
                merge,
                backups,
                here: count_here,
                is_recorded: here.imported.contains(&checked.sha),
                after: (here.tail.count, here.tail.last_hash),
                start: journal.start,
                parts,
            })
        }
    }

    fn lines_here(&self) -> Result<LinesHere> {
        let (mut lines, mut imported) = (Vec::new(), BTreeSet::new());
        let read = self.go_through(|line| {
            lines.push((line.entry.seq(), line.hash));
            imported.extend(line.entry.imported);
        })?;
        let parts = read.parts.into_iter().map(|read| read.part.name).collect();
        Ok(LinesHere { tail: read.end.tail, lines, parts, imported })
    }

    /// Whether a file of one of these parts is here.
    fn has_one_of(&self, parts: &BTreeSet<String>) -> Result<bool> {
        let part = |name: &Path| Some(MemberName::of_journal(name.to_str()?)?.part());
        let is_one = |name: &Path| part(name).is_some_and(|part| parts.contains(&part));
        match self.state.open() {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            state => Ok(!state?.names(is_one)?.is_empty()),
        }
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
        let state = self.vault.state.open()?;
        let (mut imported, mut closed) = (None, Vec::new());
        let checked = Archive::open(&plan.file)?.read(|name, contents| {
            match name {
                MemberName::Backup { sha, is_compressed } => {
                    backups.add(*sha, *is_compressed, contents)?;
                    step();
                }
                current if *current == MemberName::CURRENT && plan.appends() => {
                    imported = Some(self.longer_journal(plan, contents)?);
                }
                MemberName::Journal(..) if plan.appends() && plan.parts.contains(&name.part()) => {
                    closed.push(NewFile::copied(state, &name.text(), contents)?);
                }
                MemberName::Journal(..) | MemberName::Manifest => {}
            }
            Ok(())
        })?;
        if checked.sha != plan.sha {
            return Err(changed(plan));
        }
        backups.settle()?;
        match imported {
            Some((journal, entry, tail)) => {
                self.take_place(journal, closed)?;
                self.tail = tail;
                Ok(entry)
            }
            None => self.append(line(plan)),
        }
    }

    /// Makes a new journal the journal, durably, with its closed parts.
    fn take_place(&self, journal: NewFile, closed: Vec<NewFile>) -> Result<()> {
        let state = self.vault.state.open()?;
        let sync = || disk::sync(state.dir()).map_err(|e| Error::io("flushing the folder to disk", e).on(state.path()));
        closed.iter().chain([&journal]).try_for_each(NewFile::flush)?;
        if !closed.is_empty() {
            sync()?;
        }
        journal.rename()?;
        // From now on they belong to the journal, whatever their names are.
        closed.into_iter().for_each(NewFile::keep);
        sync()?;
        parts::settle_imported(state)?;
        // Without it the next append makes the copy.
        let _ = append::copy_again(state);
        Ok(())
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
    ) -> Result<(NewFile, JournalEntry, JournalTail)> {
        let mut journal = NewFile::create(self.vault.state.open()?, JOURNAL)?;
        let (mut lines, (count, last_hash)) = (Vec::new(), plan.start);
        let start = JournalTail { count, last_hash, ..JournalTail::default() };
        let (tail, broken) = each_line(contents, start, |body, tail| {
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
