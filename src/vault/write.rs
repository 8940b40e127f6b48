//! The write protocol: how a file's bytes become others so that at each moment either state can be had.
//!
//! Backup, intent, another look, the write itself, verification through a fresh descriptor, journal, and only then the
//! intent goes. Whatever stops it in between, [`super::recovery`] finds an intent and a file whose content tells which
//! side of the change it is on.

use std::ffi::OsString;
use std::fs::File;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::module::sha256;
use crate::vault::intent::Intent;
use crate::vault::journal::{self, Entry, FileChange, How, Operation};
use crate::vault::metadata::Metadata;
use crate::vault::target::{self, Target};
use crate::vault::{Locked, disk};

/// A change that is decided: what the file holds now, what it is to hold.
pub struct Change<'c> {
    /// Patch or restore.
    pub operation: Operation,
    /// The file that is read; it is the file that is written too, unless `create` names another.
    pub target: &'c Target,
    /// The bytes that come.
    pub after: &'c [u8],
    /// The exact edits, where they keep the length; else a whole new file takes the old one's place.
    pub edits: Vec<Edit>,
    /// A new file to be made instead, in whose place there is none.
    pub create: Option<&'c Path>,
    /// The metadata that the file is to have afterwards; `None` keeps what there is and lets the times move.
    pub metadata_after: Option<Metadata>,
    /// The module's name, for the journal.
    pub module: String,
    /// Version magic before and after, for the journal.
    pub vermagic: (Option<String>, Option<String>),
    /// Digest of the plan that was confirmed, for the journal.
    pub plan: Option<String>,
    /// Overrides used, for the journal.
    pub overrides: Vec<String>,
    /// Anything else for the journal.
    pub note: Option<String>,
}

impl Locked<'_> {
    /// Carries a change out, by the protocol.
    ///
    /// # Errors
    ///
    /// Any, with the file as it was before; but [`ErrorKind::NeedsRecovery`] where only `recover` can tell.
    pub fn carry_out(&mut self, change: Change<'_>) -> Result<Entry> {
        let target = change.target;
        let before = self.vault.objects().put(&target.bytes)?;
        let intent = self.announce(&change, before)?;
        let done = match intent.change.how {
            How::InPlace => self.in_place(&change, &intent),
            How::Replace | How::Create => self.whole_file(&change, &intent),
        };
        match done {
            Ok(()) => self.close(&intent, false),
            Err(e) if e.kind() == ErrorKind::NeedsRecovery => Err(e),
            Err(e) => {
                // Undone: the file is as before, so nothing is left to recover.
                intent.retire(&self.vault.intents())?;
                Err(e)
            }
        }
    }

    /// Writes the intent.
    fn announce(&self, change: &Change<'_>, before: String) -> Result<Intent> {
        let target = change.target;
        let in_place = change.create.is_none()
            && change.edits.iter().all(Edit::keeps_length)
            && edit::apply(&target.bytes, &change.edits).is_ok_and(|made| made == change.after);
        let how = match change.create {
            Some(_) => How::Create,
            None if in_place => How::InPlace,
            None => How::Replace,
        };
        let path = change.create.unwrap_or(&target.path);
        let id = journal::new_id();
        let temporary = (how != How::InPlace).then(|| format!(".kmodlab-{id}.tmp"));
        let file_change = FileChange {
            path: path.to_owned(),
            module: change.module.clone(),
            how,
            before,
            after: sha256(change.after),
            size_before: target.bytes.len() as u64,
            size_after: change.after.len() as u64,
            edits: change.edits.clone(),
            metadata: target.metadata.clone(),
            vermagic_before: change.vermagic.0.clone(),
            vermagic_after: change.vermagic.1.clone(),
            plan: change.plan.clone(),
            overrides: change.overrides.clone(),
        };
        let intent = Intent {
            schema_version: journal::SCHEMA_VERSION,
            id,
            operation: change.operation,
            change: file_change,
            identity: target.identity,
            metadata_after: change.metadata_after.clone(),
            temporary,
            note: change.note.clone(),
            checksum: String::new(),
        };
        intent.write(&self.vault.intents())
    }

    fn in_place(&self, change: &Change<'_>, intent: &Intent) -> Result<()> {
        let target = change.target;
        target.look_again()?;
        let written = write_spans(&target.file, &intent.change.edits, |e| &e.new)
            .and_then(|()| disk::sync(&target.file))
            .map_err(|e| Error::io("writing", e).on(&target.path))
            .and_then(|()| verify(&target.path, &intent.change.after, Some(target.identity)));
        if let Err(error) = written {
            return Err(undo(target, intent, error));
        }
        // From here on the bytes are what they should be: whatever fails is finished by recovery, not undone.
        give_metadata(change.metadata_after.as_ref(), &target.file).map_err(|e| unfinished(e.on(&target.path)))
    }

    fn whole_file(&self, change: &Change<'_>, intent: &Intent) -> Result<()> {
        let path = &intent.change.path;
        let (Some(folder), Some(name), Some(temporary)) = (path.parent(), path.file_name(), &intent.temporary) else {
            return Err(Error::new(ErrorKind::Usage, "names no file").on(path));
        };
        let temporary = OsString::from(temporary);
        let dir = disk::open_folder(folder)?;
        let given = change.metadata_after.as_ref().unwrap_or(&change.target.metadata);
        let with_times = change.metadata_after.is_some();
        let made = make_beside(&dir, &temporary, change.after, given, with_times).and_then(|()| match change.create {
            Some(_) => Ok(()),
            None => change.target.look_again(),
        });
        let renamed = match made {
            Ok(()) => disk::rename_durably(&dir, &temporary, name, change.create.is_none()).map_err(|error| {
                // It may have been made all the same, and not flushed: content tells, so ask it.
                let is_as_before = match change.create {
                    Some(_) => error.kind() == ErrorKind::Usage || !path.exists(),
                    None => verify(path, &intent.change.before, None).is_ok(),
                };
                (error.on(path), is_as_before)
            }),
            Err(error) => Err((error.on(path), true)),
        };
        if let Err((error, is_as_before)) = renamed {
            let is_removed = disk::remove_durably(&dir, &temporary).is_ok();
            return Err(if is_as_before && is_removed { error } else { unfinished(error) });
        }
        verify(path, &intent.change.after, None).map_err(unfinished)
    }

    /// Writes the journal's line and lets the intent go.
    pub(super) fn close(&mut self, intent: &Intent, recovered: bool) -> Result<Entry> {
        let done = self.append(journal::News {
            id: intent.id.clone(),
            operation: intent.operation,
            recovered,
            change: Some(intent.change.clone()),
            note: intent.note.clone(),
        });
        let entry = done.map_err(unfinished)?;
        intent.retire(&self.vault.intents()).map_err(unfinished)?;
        Ok(entry)
    }
}

/// Writes one side of each edit over its span.
pub(super) fn write_spans(
    file: &File,
    edits: &[Edit],
    side: impl Fn(&Edit) -> &Vec<u8>,
) -> Result<(), rustix::io::Errno> {
    edits.iter().try_for_each(|edit| disk::write_at(file, side(edit), edit.offset))
}

/// Writes the old bytes back and makes them last, with the time that was theirs.
pub(super) fn write_back(target: &Target, edits: &[Edit], metadata: &Metadata) -> Result<()> {
    let failed = |e| Error::io("writing the old bytes back", e);
    write_spans(&target.file, edits, |e| &e.old).map_err(failed)?;
    metadata.give_times(&target.file)?;
    disk::sync(&target.file).map_err(failed)
}

/// A failed write is taken back: old bytes, one fsync, a look. If that fails too, the intent stays.
fn undo(target: &Target, intent: &Intent, error: Error) -> Error {
    let undone = write_back(target, &intent.change.edits, &target.metadata)
        .and_then(|()| verify(&target.path, &intent.change.before, Some(target.identity)));
    match undone {
        Ok(()) => error.hint("nothing was changed"),
        Err(_) => unfinished(error),
    }
}

fn unfinished(error: Error) -> Error {
    let what = format!("interrupted: {}", error.what());
    let unfinished =
        Error::new(ErrorKind::NeedsRecovery, what).hint("run kmodlab recover, which finishes or undoes it");
    match error.path() {
        Some(path) => unfinished.on(path),
        None => unfinished,
    }
}

/// Reads the file through a fresh descriptor and compares its hash, and where it is given, its device and inode.
pub(super) fn verify(path: &Path, sha: &str, identity: Option<(u64, u64)>) -> Result<()> {
    let open = || -> Result<(File, Vec<u8>)> {
        let file = target::open_beneath(path, OFlags::RDONLY).map_err(|e| Error::io("opening to verify", e))?;
        let bytes = disk::read_whole(&file)?;
        Ok((file, bytes))
    };
    let (file, bytes) = open().map_err(|e| e.on(path))?;
    let same_file = identity.is_none_or(|expected| target::identity(&file).is_ok_and(|found| found == expected));
    if same_file && sha256(&bytes) == sha {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "reads back other than it was written").on(path))
}

/// Gives the file the metadata that it is to have, durably.
pub(super) fn give_metadata(metadata: Option<&Metadata>, file: &File) -> Result<()> {
    let Some(metadata) = metadata else { return Ok(()) };
    metadata.give(file)?;
    metadata.give_times(file)?;
    disk::sync(file).map_err(|e| Error::io("flushing to disk", e))
}

/// Makes a whole new file beside the old one.
fn make_beside(dir: &File, name: &OsString, bytes: &[u8], metadata: &Metadata, with_times: bool) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file: File = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600))
        .map_err(|e| Error::io("creating a file beside it", e))?
        .into();
    disk::write_at(&file, bytes, 0).map_err(|e| Error::io("writing a file beside it", e))?;
    metadata.give(&file)?;
    if with_times {
        metadata.give_times(&file)?;
    }
    disk::sync(&file).map_err(|e| Error::io("flushing to disk", e))?;
    if disk::read_whole(&file)? != bytes {
        return Err(Error::new(ErrorKind::Io, "reads back other than it was written"));
    }
    Ok(())
}
