//! Extracting: an original is written into a new file outside of the vault. The vault, and the module, are only read.
//!
//! No line of the journal records it, because nothing that the journal is about changes, and the vault may be read-only or another
//! user's.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::module::file;
use crate::vault::index::JournalIndex;
use crate::vault::intent::Intent;
use crate::vault::metadata::Metadata;
use crate::vault::reader::Vault;
use crate::vault::restore::{self, RestorePlan, RestoreStep};
use crate::vault::{disk, record, target};

/// The permission bits that a new file gets from an original. Set-uid and set-gid would give the rights of its new owner.
const PERMISSIONS: u32 = 0o777;

/// An original that was written into a new file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtractedOriginal {
    /// The real path of the module, which need not exist.
    pub path: PathBuf,
    /// SHA-256 of the original.
    pub original: Sha256,
}

/// Writes the original of the file at `path` into a new file: its bytes, its permission bits and its modification time. The new file belongs
/// to this user. A file that exists is never overwritten.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the journal knows neither the path nor the contents, or if the backup is missing;
/// [`ErrorKind::Usage`] if `out` exists; [`ErrorKind::Ambiguous`], [`ErrorKind::Damaged`], [`ErrorKind::Io`].
pub(crate) fn extract(
    vault: &Vault,
    index: &JournalIndex,
    pending: &[Intent],
    path: &Path,
    out: &Path,
) -> Result<ExtractedOriginal> {
    if out.symlink_metadata().is_ok() {
        return Err(exists_already().on(out));
    }
    let contents = match file::read(path) {
        Ok(contents) => Some(contents),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        // What took the module's place does not matter, because it stays.
        Err(_) if index.knows_place(path)? => None,
        Err(e) => return Err(e),
    };
    let metadata = contents.as_ref().map(|_| Metadata::of_path(path)).transpose()?;
    let file = contents.as_ref().zip(metadata);
    let file = file.map(|(contents, metadata)| (contents.bytes(), sha256(contents.bytes()), metadata));
    let plan = restore::plan_file(&vault.objects(), index, pending, path, file)?;
    let bytes = match contents.filter(|_| plan.step == RestoreStep::Nothing) {
        Some(original) => original.bytes().to_vec(),
        None => plan.backup(&vault.objects())?,
    };
    create(out, &bytes, &plan)?;
    Ok(ExtractedOriginal { path: path.to_owned(), original: plan.original })
}

fn exists_already() -> Error {
    Error::new(ErrorKind::Usage, "exists already; output never overwrites a file")
}

/// Creates a file with these contents: complete or not at all.
fn create(out: &Path, bytes: &[u8], plan: &RestorePlan) -> Result<()> {
    let real = target::real_path(out)?;
    let named = |e: Error| e.on(out);
    let (Some(folder), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(named(Error::new(ErrorKind::Usage, "names no file")));
    };
    let dir = disk::open_real_folder(folder)?;
    let temporary = Intent::temporary_of(&record::new_id());
    let temporary = OsStr::new(&temporary);
    let file = disk::create_new(&dir, temporary, 0o600).map_err(|e| named(Error::io("creating", e)))?;
    let created = write(&file, bytes, &plan.metadata).and_then(|()| disk::rename(&dir, temporary, name, false));
    if created.is_err() {
        let _ = disk::remove(&dir, temporary);
    }
    created.map_err(named)?;
    disk::sync(&dir).map_err(|e| named(Error::io("flushing the folder to disk", e)))
}

fn write(file: &File, bytes: &[u8], metadata: &Metadata) -> Result<()> {
    disk::write_at(file, bytes, 0).map_err(|e| Error::io("writing", e))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(metadata.mode & PERMISSIONS))
        .map_err(|e| Error::io("setting the mode", e))?;
    metadata.give_times(file)?;
    disk::sync(file).map_err(|e| Error::io("flushing to disk", e))?;
    match disk::holds(file, bytes)? {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Io, "verification failed: the bytes read differ from the bytes written")),
    }
}
