//! Restore: the original bytes, mode, owner, extended attributes and times of a module.

use std::collections::BTreeSet;
use std::path::Path;

use crate::digest::{Sha256, sha256};
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::container::Container;
use crate::vault::group::PlannedWrite;
use crate::vault::history::{DISCARD, History};
use crate::vault::index::JournalIndex;
use crate::vault::intent::Intent;
use crate::vault::metadata::Metadata;
use crate::vault::objects::Objects;
use crate::vault::record::{FileChange, JournalEntry, Operation};
use crate::vault::recovered;
use crate::vault::target::Target;
use crate::vault::writer::Writer;

/// If more bytes differ, a new file is written instead of spans.
const MAX_SPANS: usize = 1 << 16;

/// The planned restore of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlan {
    /// What has to be done.
    pub step: RestoreStep,
    /// The module's name according to the journal.
    pub module: String,
    /// SHA-256 of the file now.
    pub current: Sha256,
    /// SHA-256 of its original.
    pub original: Sha256,
    /// The metadata of the original.
    pub metadata: Metadata,
    /// Whether the file is known only by its contents, so that its mode, owner and attributes stay.
    pub by_content: bool,
    /// The number of the line by which the original's backup was dropped, if it was.
    dropped_by: Option<u64>,
    /// Whether the journal has one modification time of the original. Otherwise the file keeps its own.
    times_agree: bool,
    /// The digest that confirms exactly this restore.
    pub digest: Sha256,
    /// Version magic before and after, where the patch recorded it.
    vermagic: (Option<String>, Option<String>),
}

impl RestorePlan {
    /// The original's bytes, from its backup.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Damaged`] if the backup can't be read; the message says if it was dropped.
    pub fn backup(&self, objects: &Objects) -> Result<Vec<u8>> {
        objects.get(self.original).map_err(|e| self.unless_dropped(e))
    }

    /// The edits that turn `bytes` into the original; `None` if a new file has to be written.
    fn edits_of(&self, bytes: &[u8], objects: &Objects) -> Result<Option<Vec<Edit>>> {
        objects.edits_of(bytes, self.original, MAX_SPANS).map_err(|e| self.unless_dropped(e))
    }

    fn unless_dropped(&self, error: Error) -> Error {
        match self.dropped_by {
            Some(line) if error.kind() == ErrorKind::NotFound => {
                let what = format!("the backup of its original, {}, was dropped", self.original);
                Error::new(ErrorKind::NotFound, what).remedy(Remedy::ShowJournalLine(line))
            }
            _ => error,
        }
    }

    /// The metadata that the file gets.
    fn metadata_for(&self, target: &Target) -> Metadata {
        let mut metadata = if self.by_content { target.metadata.clone() } else { self.metadata.clone() };
        if self.by_content && self.times_agree {
            (metadata.accessed, metadata.modified) = (self.metadata.accessed, self.metadata.modified);
        }
        metadata
    }

    /// What a restore puts back in addition to bytes and times, because somebody else changed it.
    pub fn metadata_put_back(&self, target: &Target) -> Vec<String> {
        let (now, then) = (&target.metadata, self.metadata_for(target));
        let mut found = Vec::new();
        if now.mode != then.mode {
            found.push(format!("mode {:04o} becomes {:04o}", now.mode, then.mode));
        }
        if (now.uid, now.gid) != (then.uid, then.gid) {
            found.push(format!("owner {}:{} becomes {}:{}", now.uid, now.gid, then.uid, then.gid));
        }
        let names = now.xattrs.keys().chain(then.xattrs.keys()).collect::<BTreeSet<_>>();
        let changed = names.into_iter().filter(|name| now.xattrs.get(*name) != then.xattrs.get(*name));
        found.extend(changed.map(|name| format!("extended attribute {name} as before the patch")));
        found
    }
}

/// The kinds of restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStep {
    /// The file is as the patch left it; the original is put back.
    PutBack,
    /// The file is the original.
    Nothing,
    /// Somebody else changed the file since; only a person may decide to discard these changes.
    Conflict,
}

/// Plans the restore of a real path: by the history of the path, or, for a file that was moved or copied, by its contents.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the journal knows neither the path nor the contents; [`ErrorKind::Ambiguous`] if the contents have
/// two originals.
pub fn plan(history: &History<'_>, pending: &[Intent], path: &Path, current: Sha256) -> Result<RestorePlan> {
    let of_path = history.at(path);
    let planned = |step, original: Sha256, root: &FileChange| RestorePlan {
        step,
        module: root.module.clone(),
        current,
        original,
        metadata: root.metadata.clone(),
        by_content: false,
        dropped_by: history.dropped_by(original),
        times_agree: true,
        digest: sha256(format!("restore\n{}\n{current}\n{original}\n", path.display()).as_bytes()),
        vermagic: (
            of_path.and_then(|t| t.last).and_then(|last| last.vermagic_after.clone()),
            root.vermagic_before.clone(),
        ),
    };
    match history.origins(path, current).as_slice() {
        [] => {}
        [origin] => {
            let plan = planned(RestoreStep::PutBack, origin.original, origin.change);
            return Ok(RestorePlan { by_content: !origin.is_here, times_agree: origin.times_agree, ..plan });
        }
        several => {
            let list: Vec<String> = several.iter().map(|o| o.original.to_string()).collect();
            let what = format!("these contents have {} originals ({})", several.len(), list.join(", "));
            return Err(
                Error::new(ErrorKind::Ambiguous, what).hint("copy the right one from objects/ in the state folder")
            );
        }
    }
    if let Some(root) = of_path.and_then(|t| t.root()) {
        return Ok(planned(RestoreStep::Conflict, root.before, root));
    }
    if let Some(intent) = pending.iter().find(|i| i.change.path == path) {
        let origins = history.origins(path, intent.change.before);
        let original = origins.first().map_or(intent.change.before, |o| o.original);
        return Ok(planned(RestoreStep::Conflict, original, origins.first().map_or(&intent.change, |o| o.change)));
    }
    if let Some(last) = of_path.and_then(|t| t.last) {
        // Restored before: the contents after the restore are the original. The line of the reverted patch has its metadata; the line of the
        // restore has the metadata before the restore.
        let step = if current == last.after { RestoreStep::Nothing } else { RestoreStep::Conflict };
        let patch = of_path.and_then(|t| t.taken_back).or_else(|| history.patch_of(last.after)).unwrap_or(last);
        return Ok(planned(step, last.after, patch));
    }
    let what = match history.is_original(current) {
        true => "this is an original, and is not patched",
        false => "the journal knows neither this path nor these contents",
    };
    Err(Error::new(ErrorKind::NotFound, what).remedy(Remedy::ShowHistory).on(path))
}

/// As [`plan`], with an index of the journal.
///
/// # Errors
///
/// Those of [`plan`] and of [`JournalIndex::about`].
pub fn plan_by(index: &JournalIndex, pending: &[Intent], path: &Path, current: Sha256) -> Result<RestorePlan> {
    let mut contents = vec![current];
    contents.extend(pending.iter().filter(|i| i.change.path == path).map(|i| i.change.before));
    plan(&History::of(&index.about(path, &contents)?), pending, path, current)
}

/// The write of a planned restore; `None` if there is nothing to do. With `discard`, a person decided to discard changes by somebody else,
/// which are backed up too.
///
/// # Errors
///
/// [`ErrorKind::Changed`] if the file is not as planned any more; [`ErrorKind::Conflict`] if somebody else changed it and
/// `discard` is off; [`ErrorKind::NotFound`] or [`ErrorKind::Damaged`] if the backup can't be had.
pub(crate) fn wanted(
    target: &Target,
    restore: &RestorePlan,
    objects: &Objects,
    discard: bool,
) -> Result<Option<PlannedWrite>> {
    if target.sha256() != restore.current {
        return Err(Error::new(ErrorKind::Changed, "changed since it was looked at").on(&target.path));
    }
    let is_conflict = restore.step == RestoreStep::Conflict;
    match restore.step {
        RestoreStep::Nothing => return Ok(None),
        RestoreStep::Conflict if !discard => return Err(recovered::conflict(&target.path)),
        RestoreStep::Conflict | RestoreStep::PutBack => {}
    }
    let named = |e: Error| e.on(&target.path);
    let (after, edits) = match restore.edits_of(&target.bytes, objects).map_err(named)? {
        Some(edits) => (None, edits),
        None => (Some(restore.backup(objects).map_err(named)?), Vec::new()),
    };
    Ok(Some(PlannedWrite {
        operation: Operation::Restore,
        after,
        after_sha256: restore.original,
        edits,
        metadata_after: Some(restore.metadata_for(target)),
        module: restore.module.clone(),
        vermagic: restore.vermagic.clone(),
        plan: is_conflict.then_some(restore.digest),
        overrides: if is_conflict { vec![DISCARD.to_owned()] } else { Vec::new() },
        note: is_conflict.then(|| "changes made by somebody else were discarded".to_owned()),
        container: Container::None,
    }))
}

impl Writer<'_> {
    /// Carries a planned restore out.
    ///
    /// # Errors
    ///
    /// Those of [`wanted`] and of [`Writer::carry_out`].
    pub(crate) fn restore(
        &mut self,
        target: &Target,
        restore: &RestorePlan,
        discard: bool,
    ) -> Result<Option<JournalEntry>> {
        let Some(wanted) = wanted(target, restore, &self.vault.objects(), discard)? else { return Ok(None) };
        if restore.step == RestoreStep::Conflict {
            self.give_up(&target.path)?;
        }
        self.carry_out(target, wanted, None).map(Some)
    }
}
