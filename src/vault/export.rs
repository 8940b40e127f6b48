//! Exporting: backups and journal as one file, each verified while it is read.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::vault::archive::writer::ArchiveWriter;
use crate::vault::archive::{ManifestSegment, MemberName};
use crate::vault::disk;
use crate::vault::objects::Object;
use crate::vault::parts::sum_of;
use crate::vault::reader::Vault;

/// An export, as it is serialised.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    schema_version: u32,
    /// The SHA-256 of the file.
    pub sha256: Sha256,
    /// The number of lines of the journal.
    pub lines: u64,
    /// The hash of the journal's last line.
    pub head: Option<Sha256>,
    /// The number of the first line that is not as it was written, and of which no repair says that. The journal then is in the file as it
    /// is.
    pub broken_line: Option<u64>,
    /// The number of backups.
    pub backups: usize,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Backups that are not in the file.
    pub left_out: Vec<LeftOut>,
    /// The number of interrupted operations, whose intents are not in the file.
    pub interrupted: usize,
}

/// A backup that is not in an export.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// The name of its file.
    pub backup: String,
    /// Why.
    pub why: String,
}

/// The journal, opened.
struct OpenJournal {
    files: Vec<JournalFile>,
    parts: Vec<ManifestSegment>,
    /// The number and the hash of the last line up to which no line of the current part breaks the chain.
    end: (u64, Option<Sha256>),
    /// The number of the first line that is damaged.
    broken: Option<u64>,
}

/// A file of the journal, opened.
struct JournalFile {
    name: MemberName,
    file: File,
    size: u64,
    lacks_end: bool,
}

impl Vault {
    /// Writes backups and journal to a stream, as one file. A backup that is damaged, can't be read, or is larger than `max_size` bytes
    /// when decompressed, is left out. `step` is called after each backup.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no state folder; [`ErrorKind::Untrusted`]; [`ErrorKind::Io`] if something can't be read or
    /// written; [`ErrorKind::Changed`].
    pub(crate) fn export(
        &self,
        out: impl Write,
        compress: bool,
        max_size: u64,
        step: impl Fn(),
    ) -> Result<ExportReport> {
        if !self.is_there() {
            let what = "there is nothing to export: this state folder does not exist";
            return Err(Error::new(ErrorKind::NotFound, what).on(self.folder()).remedy(Remedy::OtherStateFolder));
        }
        // Backups are written before the lines that name them, so the lines are opened first.
        let journal = self.open_journal()?;
        let mut archive = ArchiveWriter::new(out, compress)?;
        let (mut backups, mut bytes, mut left_out) = (0, 0, Vec::new());
        for object in self.objects().all()? {
            match self.export_backup(&object, max_size, &mut archive)? {
                None => (backups, bytes) = (backups + 1, bytes + object.size),
                Some(why) => left_out.push(LeftOut { backup: object.file_name(), why }),
            }
            step();
        }
        for file in &journal.files {
            let at = Bytes { file: &file.file, at: 0, left: file.size };
            let end: &[u8] = if file.lacks_end { b"\n" } else { b"" };
            let size = file.size + end.len() as u64;
            archive
                .add(&file.name, size, &mut at.chain(end))
                .map_err(|e| e.on(self.folder().join(file.name.text())))?;
        }
        let OpenJournal { parts, end: (lines, head), broken: broken_line, .. } = journal;
        let interrupted = self.pending()?.len();
        let names = left_out.iter().map(|left_out| left_out.backup.clone()).collect();
        let (_, sha256) = archive.finish(parts, names)?;
        Ok(ExportReport { schema_version: 1, sha256, lines, head, broken_line, backups, bytes, left_out, interrupted })
    }

    /// Adds a backup. The result says why it was left out.
    fn export_backup<W: Write>(
        &self,
        object: &Object,
        max_size: u64,
        archive: &mut ArchiveWriter<W>,
    ) -> Result<Option<String>> {
        let objects = self.objects();
        let file = match objects.open()?.file(object.file_name(), "reading the backup", OFlags::RDONLY) {
            // Another run dropped it.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            // It is a folder, or this user may not read it.
            Err(e) if e.is_errno(Errno::ISDIR) || e.is_errno(Errno::ACCESS) => return Ok(Some(e.what().to_owned())),
            file => file?,
        };
        let on = |e: Error| e.on(objects.folder().join(object.file_name()));
        let size = file.metadata().map_err(|e| on(Error::io("reading the backup", e)))?.len();
        let whole = |left| Bytes { file: &file, at: 0, left };
        let found = match object.is_compressed {
            true => zstd::Decoder::new(whole(size)).and_then(|decoder| bounded_sum(decoder, max_size)),
            false => bounded_sum(whole(size), max_size),
        };
        match found {
            Ok(Some(sha)) if sha == object.sha => {}
            Ok(None) => return Ok(Some(format!("larger than {max_size} bytes"))),
            Err(e) if e.raw_os_error().is_some() => return Err(on(Error::io("reading the backup", e))),
            Ok(Some(_)) | Err(_) => return Ok(Some("damaged: its contents do not match its name".to_owned())),
        }
        let added = archive.add(&MemberName::of(object), size, &mut whole(size)).map_err(on)?;
        match object.is_compressed || added == object.sha {
            true => Ok(None),
            false => Err(on(Error::new(ErrorKind::Changed, "changed while it was read"))),
        }
    }

    /// Opens the files of the journal. The copy of the current part is needed only if this part is damaged.
    fn open_journal(&self) -> Result<OpenJournal> {
        let mut read = self.go_through(|_| {})?;
        let broken = read.end.tail.damage.first().map(|damage| damage.first);
        let mut journal = OpenJournal { files: Vec::new(), parts: Vec::new(), end: (0, None), broken };
        for part in std::mem::take(&mut read.parts) {
            if part.is_unreadable {
                self.state.open()?.file(&part.part.name, "opening the journal", OFlags::RDONLY)?;
            }
            let is_intact = part.part.is_current() && broken.is_none();
            let [lines, copy] = read.take_files(&part);
            let names = [&part.part.copy, &part.part.name];
            let files = names.into_iter().zip([copy.filter(|_| !is_intact), lines]);
            for (name, file) in files.filter_map(|(name, file)| MemberName::of_journal(name).zip(file)) {
                if !is_intact && sum_of(&file)?.is_none() {
                    let what = "this part of the journal has a line that is too long, which this program never writes";
                    let error = Error::new(ErrorKind::TooLarge, what).on(self.folder().join(name.text()));
                    return Err(error.hint("move the file away, then export what is left"));
                }
                let whole = file.metadata().map_err(|e| Error::io("opening the journal", e).on(self.folder()))?.len();
                let lacks_end = is_intact && read.end.tail.lacks_end;
                let size = if is_intact { read.end.tail.whole - u64::from(lacks_end) } else { whole };
                if name.is_lines() {
                    journal.parts.push(ManifestSegment::of(&part));
                }
                journal.files.push(JournalFile { name, file, size, lacks_end });
            }
            journal.end = part.valid;
        }
        Ok(journal)
    }
}

/// The SHA-256 of a stream; `None` if it is longer than `most` bytes.
pub(super) fn bounded_sum(stream: impl Read, most: u64) -> io::Result<Option<Sha256>> {
    let mut len = 0_u64;
    let sum = disk::sha256_of_stream(stream.take(most.saturating_add(1)), |piece| len += piece.len() as u64)?;
    Ok((len <= most).then_some(sum))
}

/// A part of a file, read by its descriptor wherever other readers of it are.
pub(super) struct Bytes<'f> {
    pub(super) file: &'f File,
    pub(super) at: u64,
    pub(super) left: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(room.len());
        let read = self.file.read_at(room.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;

    #[test]
    fn a_stream_that_is_too_long_has_no_sum() {
        assert_eq!(bounded_sum(&b"module"[..], 6).unwrap(), Some(sha256(b"module")));
        assert_eq!(bounded_sum(&b"module"[..], 5).unwrap(), None);
    }
}
