//! Restore: the original bytes, mode, owner, extended attributes and times of a module.

use std::collections::BTreeSet;
use std::path::Path;

use crate::digest::{Sha256, sha256};
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::container::Container;
use crate::module::name_of_file;
use crate::module::summary::MARK;
use crate::vault::group::PlannedWrite;
use crate::vault::history::{DISCARD, History};
use crate::vault::index::JournalIndex;
use crate::vault::intent::Intent;
use crate::vault::mark::{MarkedOriginal, PatchMark};
use crate::vault::metadata::Metadata;
use crate::vault::objects::{BackupNames, LARGEST, Objects};
use crate::vault::record::{FileChange, JournalEntry, Operation, WriteMethod};
use crate::vault::target::Target;
use crate::vault::writer::Writer;
use crate::vault::{obstacle, recovered};

/// If more bytes differ, a new file is written instead of spans.
pub(crate) const MAX_SPANS: usize = 1 << 16;

/// The planned restore of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestorePlan {
    /// What has to be done.
    pub step: RestoreStep,
    /// The module's name according to the journal.
    pub module: String,
    /// SHA-256 of the file now; `None` if there is none.
    pub current: Option<Sha256>,
    /// SHA-256 of its original.
    pub original: Sha256,
    /// The metadata of the original.
    pub metadata: Metadata,
    /// Whether the file is known only by its contents, so that its mode, owner and attributes stay.
    pub by_content: bool,
    /// The number of the line by which the original's backup was dropped, if it was.
    dropped_by: Option<u64>,
    /// The size of the original, if the journal has it.
    size: Option<u64>,
    /// Whether the journal has one modification time of the original. Otherwise the file keeps its own.
    times_agree: bool,
    /// The digest that confirms exactly this restore.
    pub digest: Sha256,
    /// The mark that led to the backup, if the journal did not.
    pub mark: Option<PatchMark>,
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
        objects.get_up_to(self.original, self.most()).map_err(|e| self.unless_dropped(e))
    }

    /// Refuses a backup that is not there, by the names of all, or that can't be read.
    ///
    /// # Errors
    ///
    /// Those of [`RestorePlan::backup`].
    pub(crate) fn must_have_backup(&self, objects: &Objects, names: &BackupNames) -> Result<()> {
        match names.may_have(self.original) {
            true => self.backup(objects).map(drop),
            false => Err(self.unless_dropped(objects.missing(self.original))),
        }
    }

    /// The size that the backup has at most.
    fn most(&self) -> u64 {
        self.size.unwrap_or(LARGEST)
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

    /// The original as a target, to be created at a real path.
    fn target_from_backup(&self, path: &Path, objects: &Objects) -> Result<Target> {
        let (_, file) = objects.checked(self.original, &|| self.most()).map_err(|e| self.unless_dropped(e))?;
        Target::of_backup(path, file, self.backup(objects)?, self.metadata.clone())
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
    /// The file is gone; it is created again.
    Recreate,
}

/// Plans the restore of a real path: by the history of the path, or, for a file that was moved or copied, by its contents. `current` is the
/// SHA-256 of the file; `None` if there is none.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if the journal knows neither the path nor the contents; [`ErrorKind::Ambiguous`] if the contents have
/// two originals.
pub fn plan(history: &History<'_>, pending: &[Intent], path: &Path, current: Option<Sha256>) -> Result<RestorePlan> {
    let of_path = history.at(path);
    let now = current.map_or_else(|| "missing".to_owned(), |sha| sha.to_string());
    let planned = |step, original: Sha256, root: &FileChange| RestorePlan {
        step,
        module: root.module.clone(),
        current,
        original,
        metadata: root.metadata.clone(),
        by_content: false,
        dropped_by: history.dropped_by(original),
        size: history.patch_of(original).map(|change| change.size_before),
        times_agree: true,
        mark: None,
        digest: sha256(format!("restore\n{}\n{now}\n{original}\n", path.display()).as_bytes()),
        vermagic: (
            of_path.and_then(|t| t.last).filter(|_| current.is_some()).and_then(|last| last.vermagic_after.clone()),
            root.vermagic_before.clone(),
        ),
    };
    let origins = current.map(|sha| history.origins(path, sha)).unwrap_or_default();
    match origins.as_slice() {
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
    let step = if current.is_some() { RestoreStep::Conflict } else { RestoreStep::Recreate };
    if let Some(root) = of_path.and_then(|t| t.root()) {
        // The first patch at this path may have changed a copy that was already patched elsewhere.
        let original = match history.origins(path, root.before).as_slice() {
            [origin] if step == RestoreStep::Recreate => origin.original,
            _ => root.before,
        };
        return Ok(planned(step, original, root));
    }
    // A new file that did not get its name was never there.
    let was_there = |intent: &&Intent| step == RestoreStep::Conflict || intent.change.how != WriteMethod::Create;
    if let Some(intent) = pending.iter().filter(was_there).find(|i| i.change.path == path) {
        let origins = history.origins(path, intent.change.before);
        let original = origins.first().map_or(intent.change.before, |o| o.original);
        return Ok(planned(step, original, origins.first().map_or(&intent.change, |o| o.change)));
    }
    if let Some(last) = of_path.and_then(|t| t.last) {
        // Restored before: the contents after the restore are the original. The line of the reverted patch has its metadata; the line of the
        // restore has the metadata before the restore.
        let step = if current == Some(last.after) { RestoreStep::Nothing } else { step };
        let patch = of_path.and_then(|t| t.taken_back).or_else(|| history.patch_of(last.after)).unwrap_or(last);
        return Ok(planned(step, last.after, patch));
    }
    let what = match current {
        None => "no such file, and the journal does not know this path",
        Some(sha) if history.is_original(sha) => "this is an original, and is not patched",
        Some(_) => "the journal knows neither this path nor these contents",
    };
    Err(Error::new(ErrorKind::NotFound, what).remedy(Remedy::ShowHistory).on(path))
}

/// As [`plan`], with an index of the journal.
///
/// # Errors
///
/// Those of [`plan`] and of [`JournalIndex::about`].
pub fn plan_by(index: &JournalIndex, pending: &[Intent], path: &Path, current: Option<Sha256>) -> Result<RestorePlan> {
    let mut contents: Vec<Sha256> = current.into_iter().collect();
    contents.extend(pending.iter().filter(|i| i.change.path == path).map(|i| i.change.before));
    plan(&index.changes_about(path, &contents)?.history(), pending, path, current)
}

/// Plans the restore of a file whose contents and metadata are given: by the journal, or, if that does not know it, by its mark.
///
/// # Errors
///
/// Those of [`plan_by`] and of [`PatchMark::original_of`].
pub fn plan_file(
    objects: &Objects,
    index: &JournalIndex,
    pending: &[Intent],
    path: &Path,
    file: Option<(&[u8], Sha256, Metadata)>,
) -> Result<RestorePlan> {
    let planned = plan_by(index, pending, path, file.as_ref().map(|(_, sha, _)| *sha));
    let (Err(unknown), Some((bytes, current, metadata))) = (&planned, file) else { return planned };
    let Some(mark) = PatchMark::of(bytes).filter(|_| unknown.kind() == ErrorKind::NotFound) else { return planned };
    let original = match mark.original_of(bytes, objects)? {
        MarkedOriginal::Backup(original) => original,
        nothing => return Err(mark.unknown(nothing).on(path)),
    };
    Ok(RestorePlan {
        step: RestoreStep::PutBack,
        module: name_of_file(path),
        current: Some(current),
        original,
        metadata,
        by_content: true,
        dropped_by: None,
        size: None,
        times_agree: false,
        digest: sha256(format!("restore by mark\n{}\n{current}\n{original}\n", path.display()).as_bytes()),
        mark: Some(mark),
        vermagic: (None, None),
    })
}

/// The write of a planned restore of a real path, whose file is `target`, if there is one; `None` if there is nothing to do. With `discard`,
/// a person decided to discard changes by somebody else, which are backed up too.
///
/// # Errors
///
/// [`ErrorKind::Changed`] if the file is not as planned any more; [`ErrorKind::Conflict`] if somebody else changed it and
/// `discard` is off; [`ErrorKind::NotFound`] or [`ErrorKind::Damaged`] if the backup can't be had.
pub(crate) fn wanted(
    path: &Path,
    target: Option<Target>,
    restore: &RestorePlan,
    objects: &Objects,
    discard: bool,
) -> Result<Option<(Target, PlannedWrite)>> {
    if target.as_ref().map(Target::sha256) != restore.current {
        return Err(Error::new(ErrorKind::Changed, "changed since it was looked at").on(path));
    }
    let is_conflict = restore.step == RestoreStep::Conflict;
    match restore.step {
        RestoreStep::Nothing => return Ok(None),
        RestoreStep::Conflict if !discard => return Err(recovered::conflict(path)),
        RestoreStep::Conflict | RestoreStep::PutBack | RestoreStep::Recreate => {}
    }
    let named = |e: Error| e.on(path);
    let (target, after, edits, creates) = match target {
        None => {
            obstacle::must_be_creatable(path)?;
            (restore.target_from_backup(path, objects).map_err(named)?, None, Vec::new(), Some(path.to_owned()))
        }
        Some(target) => match restore.edits_of(&target.bytes, objects).map_err(named)? {
            Some(edits) => (target, None, edits, None),
            None => (target, Some(restore.backup(objects).map_err(named)?), Vec::new(), None),
        },
    };
    let write = PlannedWrite {
        operation: Operation::Restore,
        after,
        after_sha256: restore.original,
        edits,
        metadata_after: Some(restore.metadata_for(&target)),
        module: restore.module.clone(),
        vermagic: restore.vermagic.clone(),
        plan: is_conflict.then_some(restore.digest),
        overrides: if is_conflict { vec![DISCARD.to_owned()] } else { Vec::new() },
        patch: None,
        note: match &restore.mark {
            Some(mark) => Some(format!("the mark {MARK}={} led to the backup; the journal did not", mark.text())),
            None => is_conflict.then(|| "changes made by somebody else were discarded".to_owned()),
        },
        container: Container::None,
        creates,
    };
    Ok(Some((target, write)))
}

impl Writer<'_> {
    /// Carries a planned restore of a real path out. `target` is its file, if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`wanted`] and of [`Writer::carry_out`].
    pub(crate) fn restore(
        &mut self,
        path: &Path,
        target: Option<Target>,
        restore: &RestorePlan,
        discard: bool,
    ) -> Result<Option<JournalEntry>> {
        let wanted = wanted(path, target, restore, &self.vault.objects(), discard)?;
        let Some((target, wanted)) = wanted else { return Ok(None) };
        if restore.step == RestoreStep::Conflict {
            self.give_up(path)?;
        }
        self.carry_out(&target, wanted).map(Some)
    }
}
