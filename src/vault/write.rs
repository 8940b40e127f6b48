//! One file's part of the write protocol ([`super::group`] has the order): spans that are overwritten in place, or a new file; verification
//! through a new descriptor; rollback.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use rustix::fs::OFlags;

use crate::digest::{Sha256, sha256};
use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::vault::beneath::open_beneath;
use crate::vault::disk;
use crate::vault::intent::Intent;
use crate::vault::metadata::Metadata;
use crate::vault::record::FileChange;
use crate::vault::target::{self, Target};

/// Writes one side of each edit over its span.
pub(super) fn write_spans(
    file: &File,
    edits: &[Edit],
    side: impl Fn(&Edit) -> &Vec<u8>,
) -> Result<(), rustix::io::Errno> {
    edits.iter().try_for_each(|edit| disk::write_at(file, side(edit), edit.offset))
}

/// Writes the old bytes back durably, with the old times.
pub(super) fn write_back(target: &Target, edits: &[Edit], metadata: &Metadata) -> Result<()> {
    let failed = |e| Error::io("writing the old bytes back", e);
    write_spans(&target.file, edits, |e| &e.old).map_err(failed)?;
    metadata.give_times(&target.file)?;
    disk::sync(&target.file).map_err(failed)
}

/// Rolls a failed write in place back: old bytes, one fsync, verification. If that fails too, or if somebody else changed the file
/// meanwhile, the intent stays.
pub(super) fn undo(target: &Target, intent: &Intent, error: Error) -> Error {
    let change = &intent.change;
    let undone = must_be_torn(&target.file, change)
        .and_then(|()| write_back(target, &change.edits, &target.metadata))
        .and_then(|()| verify(&target.path, change.before, Some(target.identity)));
    match undone {
        Ok(()) => error.hint("nothing was changed"),
        Err(_) => unfinished(error),
    }
}

/// Refuses a file whose contents are not those of an interrupted write of this change: the old bytes must overwrite nothing else.
fn must_be_torn(file: &File, change: &FileChange) -> Result<()> {
    match edit::undo_torn(&disk::read_whole(file)?, &change.edits) {
        Some(old) if sha256(&old) == change.before => Ok(()),
        _ => Err(Error::new(ErrorKind::Conflict, "somebody else changed it meanwhile")),
    }
}

/// Removes a new file that failed. If that fails too, or if the old file is not in its place, the intent stays.
pub(super) fn take_away(dir: &File, temporary: &OsStr, is_as_before: bool, error: Error) -> Error {
    let is_removed = disk::remove_durably(dir, temporary).is_ok();
    if is_as_before && is_removed { error } else { unfinished(error) }
}

pub(super) fn unfinished(error: Error) -> Error {
    let what = format!("interrupted: {}", error.what());
    let unfinished = Error::new(ErrorKind::NeedsRecovery, what).remedy(Remedy::Recover);
    match error.path() {
        Some(path) => unfinished.on(path),
        None => unfinished,
    }
}

/// Reads the file through a new descriptor and compares its hash, and its device and inode number if they are given.
pub(super) fn verify(path: &Path, sha: Sha256, identity: Option<(u64, u64)>) -> Result<()> {
    let open = || -> Result<(File, Sha256)> {
        let file = open_beneath(path, OFlags::RDONLY).map_err(|e| Error::io("opening to verify", e))?;
        let found = disk::sha256_of(&file)?;
        Ok((file, found))
    };
    let (file, found) = open().map_err(|e| e.on(path))?;
    let same_file = identity.is_none_or(|expected| target::identity(&file).is_ok_and(|found| found == expected));
    if same_file && found == sha {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Io, "verification failed: the bytes read differ from the bytes written").on(path))
}

/// Gives the file its metadata. The caller flushes them.
pub(super) fn give_metadata(metadata: &Metadata, file: &File) -> Result<()> {
    metadata.give(file)?;
    metadata.give_times(file)
}

/// Writes a new file in the directory of the old one. The caller flushes it.
pub(super) fn make_beside(
    dir: &File,
    name: &OsStr,
    bytes: &[u8],
    metadata: &Metadata,
    with_times: bool,
) -> Result<File> {
    let file = disk::create_new(dir, name, 0o600).map_err(|e| Error::io("creating a new file in its directory", e))?;
    disk::write_at(&file, bytes, 0).map_err(|e| Error::io("writing a new file in its directory", e))?;
    metadata.give(&file)?;
    if with_times {
        metadata.give_times(&file)?;
    }
    Ok(file)
}
