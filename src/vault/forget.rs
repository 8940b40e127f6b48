//! Forgetting a path: a patched module that was deleted, or moved and restored elsewhere, is not expected at its old path any more. Only a
//! person can know that.

use std::path::Path;

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::file;
use crate::vault::history::History;
use crate::vault::record::{FileChange, JournalEntry, NewEntry, Operation};
use crate::vault::writer::Writer;

/// The planned forgetting of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetPlan {
    /// The changes that are forgotten, each from the contents before the first patch to the contents after the last one.
    pub changes: Vec<FileChange>,
    /// The digest that confirms exactly this.
    pub digest: Sha256,
}

/// Plans to forget a real path.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the journal knows nothing there; [`ErrorKind::Guard`] if a patched module is there, which can
/// be restored; [`ErrorKind::Io`] if the file that is there can't be read.
pub fn plan(history: &History<'_>, path: &Path) -> Result<ForgetPlan> {
    let is_patched = is_patched(history, path)?;
    let of_path = history.at(path);
    let stays = of_path.filter(|_| is_patched).and_then(|of_path| of_path.root());
    // A displaced module that needs the same backup as the module that stays is kept with it.
    let displaced = history.displaced_from(path).filter(|(first, _)| stays.is_none_or(|s| s.before != first.before));
    let gone =
        of_path.filter(|_| !is_patched).and_then(|of_path| Some((of_path.root().or(of_path.last)?, of_path.last?)));
    let changes: Vec<FileChange> = displaced.chain(gone).map(|(first, last)| forgotten(first, last)).collect();
    if changes.is_empty() {
        return Err(match is_patched {
            true => Error::new(ErrorKind::Guard, "refused: a patched module is there").remedy(Remedy::Restore),
            false => Error::new(ErrorKind::NotFound, "the journal does not know this path").remedy(Remedy::ShowHistory),
        }
        .on(path));
    }
    let mut text = format!("forget\n{}\n", path.display());
    changes.iter().for_each(|change| text.push_str(&format!("{}\n{}\n", change.before, change.after)));
    Ok(ForgetPlan { changes, digest: sha256(text.as_bytes()) })
}

/// Whether a patched module is there now.
fn is_patched(history: &History<'_>, path: &Path) -> Result<bool> {
    // A link leads to a module with another path.
    if path.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        return Ok(false);
    }
    match file::read(path) {
        Ok(contents) => Ok(history.knows(sha256(contents.bytes()))),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotAModule) => Ok(false),
        Err(e) => Err(e),
    }
}

fn forgotten(first: &FileChange, last: &FileChange) -> FileChange {
    FileChange {
        after: last.after,
        size_after: last.size_after,
        edits: Vec::new(),
        plan: None,
        overrides: Vec::new(),
        patch: None,
        ..first.clone()
    }
}

impl Writer<'_> {
    /// Forgets paths: one line of the journal per change, with one flush. No other file is written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(crate) fn forget(&mut self, plans: &[ForgetPlan]) -> Result<Vec<JournalEntry>> {
        let line = |change: &FileChange| NewEntry { change: Some(change.clone()), ..NewEntry::of(Operation::Forget) };
        self.append_all(plans.iter().flat_map(|plan| &plan.changes).map(line).collect())
    }
}
