//! Letting go of a path: a patched module that is gone for good, or was moved and restored elsewhere, is not expected in its
//! old place for ever. Only a person can know that.

use std::path::Path;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::file;
use crate::vault::history::History;
use crate::vault::record::{self, FileChange, JournalEntry, NewEntry, Operation};
use crate::vault::writer::Writer;

/// What letting go of one path would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetPlan {
    /// The changes that are let go of, each from the first one's content before to the last one's content after.
    pub changes: Vec<FileChange>,
    /// What a confirmation of exactly this names.
    pub digest: Sha256,
}

/// Finds what there is to let go of at a real path.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the journal knows nothing there; [`ErrorKind::Guard`] if a patched module is there, which can
/// be restored; [`ErrorKind::Io`] if the file that is there can't be read.
pub fn plan(history: &History<'_>, path: &Path) -> Result<ForgetPlan> {
    let is_patched = is_patched(history, path)?;
    let trail = history.at(path);
    let stays = trail.filter(|_| is_patched).and_then(|trail| trail.root());
    // What needs the same backup as the module that stays is of no weight, and stays with it.
    let displaced = history.displaced_from(path).filter(|(first, _)| stays.is_none_or(|s| s.before != first.before));
    let gone = trail.filter(|_| !is_patched).and_then(|trail| Some((trail.root().or(trail.last)?, trail.last?)));
    let changes: Vec<FileChange> = displaced.chain(gone).map(|(first, last)| let_go(first, last)).collect();
    if changes.is_empty() {
        return Err(match is_patched {
            true => Error::new(ErrorKind::Guard, "refused: a patched module is there").remedy(Remedy::Restore),
            false => {
                Error::new(ErrorKind::NotFound, "the journal knows nothing of this path").remedy(Remedy::ShowHistory)
            }
        }
        .on(path));
    }
    let mut text = format!("forget\n{}\n", path.display());
    changes.iter().for_each(|change| text.push_str(&format!("{}\n{}\n", change.before, change.after)));
    Ok(ForgetPlan { changes, digest: sha256(text.as_bytes()) })
}

/// Is what is there now the outcome of a patch?
fn is_patched(history: &History<'_>, path: &Path) -> Result<bool> {
    // A link leads to a module that has a path of its own.
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        return Ok(false);
    }
    match file::read(path) {
        Ok(contents) => Ok(history.knows(sha256(contents.bytes()))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotAModule) => Ok(false),
        Err(e) => Err(e),
    }
}

fn let_go(first: &FileChange, last: &FileChange) -> FileChange {
    FileChange {
        after: last.after,
        size_after: last.size_after,
        edits: Vec::new(),
        plan: None,
        overrides: Vec::new(),
        ..first.clone()
    }
}

impl Writer<'_> {
    /// Lets go of paths, each by its plan: a line in the journal for each change, by one flush. No file is written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn forget(&mut self, plans: &[ForgetPlan]) -> Result<Vec<JournalEntry>> {
        let line = |change: &FileChange| NewEntry {
            id: record::new_id(),
            operation: Operation::Forget,
            recovered: false,
            change: Some(change.clone()),
            dropped: Vec::new(),
            note: None,
        };
        self.append_all(plans.iter().flat_map(|plan| &plan.changes).map(line).collect())
    }
}
