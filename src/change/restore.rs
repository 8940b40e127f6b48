//! Restores: originals are put back, from the vault's backups.
//!
//! A restore has conditions of its own instead of guards: the journal knows the file or its contents, the vault has the
//! original, and the contents that would be overwritten are those of a patch. Contents that somebody else wrote are discarded
//! only after a confirmation of exactly that, and are backed up too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, sha256};
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::file;
use crate::selection::{JournalSelector, RecordedSelection, SelectedModule};
use crate::vault::index::JournalIndex;
use crate::vault::metadata::Metadata;
use crate::vault::objects::Objects;
use crate::vault::obstacle::{self, LookedFolders};
use crate::vault::record::JournalEntry;
use crate::vault::recovered::{self, Recovered, RecoveryOutcome};
use crate::vault::restore::{self, RestorePlan, RestoreStep};
use crate::vault::target::{self, Target};
use crate::vault::{Intent, Vault, Writer};

/// A restore of one file that is proposed.
#[derive(Debug)]
pub struct Restore {
    path: PathBuf,
    plan: RestorePlan,
}

/// What became of a restore.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct Restored {
    /// The journal's entry; `None` if the file was the original already.
    pub entry: Option<JournalEntry>,
    /// What else was put back, because somebody else had changed it: mode, owner, extended attributes.
    pub metadata: Vec<String>,
}

impl Restore {
    /// Plans the restore of the file at this path, as it is now. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the journal knows neither the path nor the contents; [`ErrorKind::Ambiguous`] if the
    /// contents came from two originals; [`ErrorKind::Guard`] if the file can't be written, or is gone and can't be created;
    /// [`ErrorKind::Io`].
    pub fn plan(vault: &Vault, path: &Path) -> Result<Restore> {
        let known = (&vault.index()?, &vault.pending()?[..], &LookedFolders::default());
        Restore::plan_by(vault, known, &target::real_path(path)?)
    }

    /// Plans the restore of each selected module that has a backup, on all cores, and passes the plans on, in order. Nothing is written.
    ///
    /// # Errors
    ///
    /// Those of [`RecordedSelection::inspect`] and of [`Objects::names`]; each plan has those of [`Restore::plan`] and of
    /// [`Restore::must_have_backup`].
    pub(crate) fn plan_each(
        selection: &mut RecordedSelection,
        known: &JournalSelector<'_>,
        each: impl FnMut(&SelectedModule, Result<Restore>) -> Result<()>,
    ) -> Result<()> {
        let common = (known.index, known.pending, &LookedFolders::default());
        let objects = known.vault.objects();
        let names = objects.names()?;
        let plan = |named: &SelectedModule| {
            let restore = Restore::plan_by(known.vault, common, named.real_path()?)?;
            restore.plan.must_have_backup(&objects, &names)?;
            Ok(restore)
        };
        // Of many modules that are gone the next step is found on all cores.
        let plan =
            |named: &SelectedModule| plan(named).or_else(|error| Err(with_next_step(error, named, known.index)?));
        selection.inspect(plan, each)
    }

    /// As [`Restore::plan`], of a real path, with what many files have in common: an index of the journal, the pending intents, and the
    /// folders of those that are gone.
    ///
    /// # Errors
    ///
    /// Those of [`Restore::plan`].
    fn plan_by(
        vault: &Vault,
        (index, pending, folders): (&JournalIndex, &[Intent], &LookedFolders),
        path: &Path,
    ) -> Result<Restore> {
        let contents = match obstacle::is_gone(path) {
            true => None,
            false => {
                obstacle::must_be_writable(path)?;
                Some((file::read(path)?, Metadata::of_path(path)?))
            }
        };
        let file = contents.as_ref().map(|(file, metadata)| (file.bytes(), sha256(file.bytes()), metadata.clone()));
        let plan = restore::plan_file(&vault.objects(), index, pending, path, file)?;
        if plan.step == RestoreStep::Recreate {
            folders.must_be_creatable(path)?;
        }
        Ok(Restore { path: path.to_owned(), plan })
    }

    /// The real path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    internal_fn! {
        /// The plan: what is to be done, the file's hash now, and the original's.
        fn details(&self) -> &RestorePlan {
            &self.plan
        }
    }

    /// Did somebody else change the file since it was patched?
    pub fn discards_changes(&self) -> bool {
        self.plan.step == RestoreStep::Conflict
    }

    /// Refuses a restore whose backup can't be had.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Damaged`].
    pub fn must_have_backup(&self, vault: &Vault) -> Result<()> {
        self.plan.backup(&vault.objects()).map(drop)
    }

    /// The restore as a confirmed one, if it discards nothing that somebody else wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] if it would.
    pub fn without_discarding(self) -> Result<Confirmed<Restore>> {
        match self.discards_changes() {
            true => Err(recovered::conflict(&self.path)),
            false => Ok(Confirmed::new(self)),
        }
    }
}

impl Sealed for Restore {}

impl Confirmable for Restore {
    /// The module's name, as recorded.
    fn name_to_type(&self) -> String {
        self.plan.module.clone()
    }

    fn digest(&self) -> Sha256 {
        self.plan.digest
    }
}

impl Confirmed<Restore> {
    /// Puts the original back, if the file is still the one that the restore was planned for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if it is not; [`ErrorKind::NotFound`] or [`ErrorKind::Damaged`] if the backup can't be had;
    /// [`ErrorKind::NeedsRecovery`] if an interrupted operation on it can't be settled, or a failed write can't be rolled
    /// back; [`ErrorKind::Guard`], [`ErrorKind::Busy`], [`ErrorKind::Io`].
    pub fn apply(self, writer: &mut Writer<'_>) -> Result<Restored> {
        let Restore { path, plan } = self.into_change();
        let target = Target::open_if_there(&path)?;
        let vault = writer.vault();
        let now = planned(&vault.objects(), &vault.index()?, &vault.pending()?, &path, target.as_ref())?;
        if (&now.digest, now.step) != (&plan.digest, plan.step) {
            return Err(
                Error::new(ErrorKind::Changed, "changed since the restore was planned; nothing was written").on(path)
            );
        }
        let metadata = target.as_ref().map(|target| now.metadata_put_back(target)).unwrap_or_default();
        let entry = writer.restore(&path, target, &now, plan.step == RestoreStep::Conflict)?;
        Ok(Restored { entry, metadata })
    }
}

/// The plan for an open file, or for one that is gone.
fn planned(
    objects: &Objects,
    index: &JournalIndex,
    pending: &[Intent],
    path: &Path,
    target: Option<&Target>,
) -> Result<RestorePlan> {
    let file = target.map(|target| (target.bytes.as_slice(), target.sha256(), target.metadata.clone()));
    restore::plan_file(objects, index, pending, path, file)
}

/// Restores of many files, none of which discards what somebody else wrote: such a file is an error of its own.
pub struct Restores<'r> {
    index: &'r JournalIndex,
    pending: &'r [Intent],
}

impl<'r> Restores<'r> {
    /// Restores by this index of the journal, and these intents.
    pub fn by(index: &'r JournalIndex, pending: &'r [Intent]) -> Confirmed<Restores<'r>> {
        Confirmed::new(Restores { index, pending })
    }
}

impl<'r> Restores<'r> {
    /// Puts the originals of `count` files back, in groups. `files` are real paths, each once, and a value of the caller's
    /// own for each. `progress` is called for each file as it is examined, on any thread; `report` gets each outcome, in
    /// order, once its group is durable.
    ///
    /// # Errors
    ///
    /// The vault's own, or an error among `files`, which ends it: a file that was not reported is as before, except where the
    /// error is [`ErrorKind::NeedsRecovery`].
    pub fn apply<T: Send + Sync>(
        confirmed: Confirmed<Restores<'r>>,
        writer: &mut Writer<'_>,
        count: usize,
        files: impl IntoIterator<Item = Result<(PathBuf, T)>>,
        progress: impl Fn() + Sync + Send,
        mut report: impl FnMut(&Path, T, Result<Restored>),
    ) -> Result<()> {
        let Restores { index, pending } = confirmed.into_change();
        let unsettled: Vec<Recovered> = writer.recovered().iter().filter(|it| !it.is_settled()).cloned().collect();
        let objects = writer.vault().objects();
        let metadata: Mutex<BTreeMap<PathBuf, Vec<String>>> = Mutex::default();
        let decide = |_: &T, path: &Path| {
            progress();
            let target = Target::open_if_there(path)?;
            // What somebody else wrote is gone with the file.
            let is_gone = |it: &Recovered| target.is_none() && matches!(it.outcome, RecoveryOutcome::Conflict(_));
            let unsettled: Vec<Recovered> =
                unsettled.iter().filter(|it| it.path == path && !is_gone(it)).cloned().collect();
            recovered::must_be_settled(&unsettled, path)?;
            let plan = planned(&objects, index, pending, path, target.as_ref())?;
            let others = target.as_ref().map(|target| plan.metadata_put_back(target)).unwrap_or_default();
            let wanted = restore::wanted(path, target, &plan, &objects, false)?;
            if wanted.is_some() && !others.is_empty() {
                metadata.lock().unwrap_or_else(|e| e.into_inner()).insert(path.to_owned(), others);
            }
            Ok(wanted)
        };
        writer.carry_out_all(count, files, decide, |path, own, done| {
            let metadata = metadata.lock().unwrap_or_else(|e| e.into_inner()).remove(path).unwrap_or_default();
            report(path, own, done.map(|entry| Restored { entry, metadata }));
        })
    }

    /// As [`Restores::apply`], of a selection. `report` gets each module in the order of the selection, also one that has no real
    /// path. If the vault's own error ends it, that error and the number of modules that were not reached are returned.
    pub(crate) fn apply_to(
        confirmed: Confirmed<Restores<'r>>,
        writer: &mut Writer<'_>,
        selection: &mut RecordedSelection,
        progress: impl Fn() + Sync + Send,
        mut report: impl FnMut(&SelectedModule, Result<Restored>),
    ) -> Option<(Error, usize)> {
        let count = selection.len_of_real();
        // A module that could not even be looked for is reported in its place.
        let failed: RefCell<BTreeMap<usize, SelectedModule>> = RefCell::default();
        let next_failed = |end: usize| failed.borrow_mut().extract_if(..end, |_, _| true).next();
        let mut reached = 0;
        let ended = selection.iter().and_then(|modules| {
            let files = modules.enumerate().filter_map(|(at, named)| match named {
                Ok(SelectedModule { path, real: Ok(real) }) => Some(Ok((real, (at, path)))),
                Ok(named) => {
                    failed.borrow_mut().insert(at, named);
                    None
                }
                Err(error) => Some(Err(error)),
            });
            Restores::apply(confirmed, writer, count, files, progress, |real, (at, path), done| {
                reached += 1;
                while let Some((_, SelectedModule { path, real: Err(error) })) = next_failed(at) {
                    let named = SelectedModule { path, real: Err(error.again()) };
                    report(&named, Err(error));
                }
                report(&SelectedModule { path, real: Ok(real.to_owned()) }, done);
            })
        });
        while let Some((_, SelectedModule { path, real: Err(error) })) = next_failed(usize::MAX) {
            let named = SelectedModule { path, real: Err(error.again()) };
            report(&named, Err(error));
        }
        ended.err().map(|error| (error, count - reached))
    }
}

/// The error of a module that can't be restored, with what to do next if the journal knows its path: it is gone, or its folder is.
pub(crate) fn with_next_step(error: Error, named: &SelectedModule, index: &JournalIndex) -> Result<Error> {
    if error.kind() != ErrorKind::NotFound {
        return Ok(error);
    }
    match &named.real {
        Ok(path) if error.suggested().is_none() && obstacle::is_gone(path) && index.knows_place(path)? => {
            Ok(error.remedy(Remedy::Forget))
        }
        Ok(_) => Ok(error),
        // Its folder has to be created first.
        Err(_) => {
            let Ok(path) = std::path::absolute(&named.path) else { return Ok(error) };
            match path.parent().filter(|folder| !folder.exists()) {
                Some(folder) if index.knows_place(&path)? => Ok(error.remedy(Remedy::MakeFolder(folder.to_owned()))),
                _ => Ok(error),
            }
        }
    }
}
