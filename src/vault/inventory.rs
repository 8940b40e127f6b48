//! The inventory of the vault: its backups, and what needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::parallel;
use crate::vault::history::{self, History};
use crate::vault::intent::Intent;
use crate::vault::objects::{LARGEST, Object, Objects};
use crate::vault::reader::Vault;
use crate::vault::record::{JournalEntry, NewEntry, Operation};
use crate::vault::writer::Writer;

/// Why a backup is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// These patched files, or interrupted operations on them, need it.
    Needed(BTreeSet<PathBuf>),
    /// It holds changes by somebody else that a person discarded. There may be no other copy.
    Discarded,
    /// The journal names it, and no patched file needs it: its file was restored, or patched again.
    Unneeded,
    /// Neither the journal nor an intent names it: a run was stopped before it wrote its intent, or the journal lost lines. It may be the
    /// only copy of an original.
    Orphan,
}

/// A backup, why it is kept, and for which lines it was made.
#[derive(Clone, Debug)]
pub struct KeptBackup {
    /// The backup.
    pub object: Object,
    /// Why it is kept.
    pub why: KeepReason,
    /// The journal's lines for which it was made, oldest first.
    pub sources: Vec<BackupSource>,
}

/// A line of the journal for which a backup was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSource {
    /// Its number.
    pub line: u64,
    /// The operation.
    pub operation: Operation,
    /// The file.
    pub path: PathBuf,
}

/// A backup that is needed and does not exist.
#[derive(Clone, Debug, Default)]
pub struct MissingBackup {
    /// The patched files, or interrupted operations on them, that need it.
    pub by: BTreeSet<PathBuf>,
    /// The number of the line by which it was dropped, if it was.
    pub dropped_by: Option<u64>,
}

/// Why the journal may not name all backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalDoubt {
    /// It has no line.
    NoLine,
    /// Its last line is incomplete.
    Torn,
}

impl JournalDoubt {
    /// The doubt about a journal that has no line, or whose last line is incomplete.
    pub fn of(is_empty: bool, is_torn: bool) -> Option<JournalDoubt> {
        if is_torn {
            return Some(JournalDoubt::Torn);
        }
        is_empty.then_some(JournalDoubt::NoLine)
    }
}

/// The backups of a vault.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// All backups.
    pub objects: Vec<KeptBackup>,
    /// Backups that are needed and do not exist.
    pub missing: BTreeMap<Sha256, MissingBackup>,
    /// The recorded sizes of the backups, uncompressed.
    sizes: BTreeMap<Sha256, u64>,
}

impl Inventory {
    /// The inventory of a vault, by its journal and its pending intents.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder of the backups can't be read.
    pub fn of(vault: &Vault, entries: &[JournalEntry], pending: &[Intent]) -> Result<Inventory> {
        let history = History::of(entries);
        let mut needed = needed(&history, pending);
        let named = history::backups(entries);
        let mut inventory = Inventory::default();
        let mut there = BTreeSet::new();
        for object in vault.objects().all()? {
            let lines = named.get(&object.sha).map(Vec::as_slice).unwrap_or_default();
            let why = match needed.get(&object.sha) {
                Some(by) => KeepReason::Needed(by.clone()),
                None if lines.iter().any(|entry| history::discards(entry)) => KeepReason::Discarded,
                None if !lines.is_empty() => KeepReason::Unneeded,
                None => KeepReason::Orphan,
            };
            there.insert(object.sha);
            let sizes = lines.iter().filter_map(|entry| entry.change.as_ref()).map(|change| change.size_before);
            inventory.sizes.extend(sizes.max().map(|size| (object.sha, size)));
            let sources = lines.iter().filter_map(|entry| BackupSource::of(entry)).collect();
            inventory.objects.push(KeptBackup { object, why, sources });
        }
        needed.retain(|sha, _| !there.contains(sha));
        let missing = |(sha, by): (Sha256, _)| {
            let dropped_by = history.dropped_by(sha);
            (sha, MissingBackup { by, dropped_by })
        };
        inventory.missing = needed.into_iter().map(missing).collect();
        Ok(inventory)
    }

    /// The numbers of backups and bytes, by why they are kept.
    pub fn summary(&self) -> InventorySummary {
        let total = |is_counted: &dyn Fn(&KeptBackup) -> bool| {
            let sizes = self.objects.iter().filter(|kept| is_counted(kept)).map(|kept| kept.object.size);
            sizes.fold(BackupTotal::default(), |total, size| BackupTotal {
                count: total.count + 1,
                bytes: total.bytes + size,
            })
        };
        let needing = self.objects.iter().filter_map(|kept| match &kept.why {
            KeepReason::Needed(by) => Some(by),
            KeepReason::Discarded | KeepReason::Unneeded | KeepReason::Orphan => None,
        });
        InventorySummary {
            all: total(&|_| true),
            plain: total(&|kept| !kept.object.is_compressed),
            compressed: total(&|kept| kept.object.is_compressed),
            needed: total(&|kept| matches!(kept.why, KeepReason::Needed(_))),
            discarded: total(&|kept| kept.why == KeepReason::Discarded),
            unneeded: total(&|kept| kept.why == KeepReason::Unneeded),
            orphans: total(&|kept| kept.why == KeepReason::Orphan),
            needed_by: needing.flatten().collect::<BTreeSet<_>>().len(),
            missing: self.missing.len(),
        }
    }

    /// Compares the contents of every backup with its name, on all cores. `step` is called after each, on any thread.
    pub fn verify(&self, vault: &Vault, step: impl Fn() + Sync) -> VerifiedBackups<'_> {
        let objects = vault.objects();
        let is_whole = parallel::map(self.objects.iter().collect(), |kept: &KeptBackup| {
            let size = self.sizes.get(&kept.object.sha).copied().unwrap_or(LARGEST);
            let is_whole = objects.is_whole_up_to(&kept.object, size);
            step();
            is_whole
        });
        VerifiedBackups { inventory: self, is_whole }
    }

    /// The backups that the journal names and nothing needs. Orphans and discarded changes, which may have no other copy, are not among them.
    pub fn unneeded(&self) -> BTreeSet<Sha256> {
        let unneeded = self.objects.iter().filter(|kept| kept.why == KeepReason::Unneeded);
        unneeded.map(|kept| kept.object.sha).collect()
    }
}

/// The backups of an inventory, compared with their names.
#[derive(Clone, Debug)]
pub struct VerifiedBackups<'i> {
    inventory: &'i Inventory,
    /// One answer per backup.
    is_whole: Vec<bool>,
}

impl<'i> VerifiedBackups<'i> {
    /// All backups, and whether the contents of each match its name.
    pub fn backups(&self) -> impl Iterator<Item = (&'i KeptBackup, bool)> {
        self.inventory.objects.iter().zip(self.is_whole.iter().copied())
    }

    /// How many backups are damaged.
    pub fn damaged(&self) -> usize {
        self.is_whole.iter().filter(|is_whole| !**is_whole).count()
    }

    /// A backup may exist in both forms, of which one is damaged: the whole one of a damaged one.
    pub fn other_form(&self, damaged: &KeptBackup) -> Option<&'i Object> {
        let mut others = self.backups().filter(|(kept, is_whole)| *is_whole && kept.object.sha == damaged.object.sha);
        others.next().map(|(kept, _)| &kept.object)
    }
}

/// A number of backups, and their size on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupTotal {
    /// The number.
    pub count: usize,
    /// The size in bytes.
    pub bytes: u64,
}

/// The numbers of an [`Inventory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventorySummary {
    /// All backups.
    pub all: BackupTotal,
    /// Backups that are stored as they were.
    pub plain: BackupTotal,
    /// Backups that are compressed.
    pub compressed: BackupTotal,
    /// Backups that patched files or interrupted operations need.
    pub needed: BackupTotal,
    /// Backups of changes that a person discarded.
    pub discarded: BackupTotal,
    /// Backups that nothing needs.
    pub unneeded: BackupTotal,
    /// Backups that neither the journal nor an intent names.
    pub orphans: BackupTotal,
    /// How many files need a backup.
    pub needed_by: usize,
    /// How many backups are needed and do not exist.
    pub missing: usize,
}

impl BackupSource {
    fn of(entry: &JournalEntry) -> Option<BackupSource> {
        let path = entry.change.as_ref()?.path.clone();
        Some(BackupSource { line: entry.seq, operation: entry.operation, path })
    }
}

/// The backups that patched files and interrupted operations need, with these files.
fn needed(history: &History<'_>, pending: &[Intent]) -> BTreeMap<Sha256, BTreeSet<PathBuf>> {
    let mut needed: BTreeMap<Sha256, BTreeSet<PathBuf>> = BTreeMap::new();
    for (sha, paths) in history.needed() {
        needed.entry(sha).or_default().extend(paths.into_iter().map(PathBuf::from));
    }
    for change in pending.iter().map(|intent| &intent.change) {
        let origins = history.origins(&change.path, change.before);
        for sha in origins.iter().map(|origin| origin.original).chain([change.before]) {
            needed.entry(sha).or_default().insert(change.path.clone());
        }
    }
    needed
}

impl Writer<'_> {
    /// Drops backups durably; the journal gets a line first. If one of them is needed, none is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for a backup that a patched file or an interrupted operation needs; [`ErrorKind::NotFound`] for a
    /// missing one; [`ErrorKind::Io`].
    pub(crate) fn drop_backups(&mut self, shas: &BTreeSet<Sha256>) -> Result<JournalEntry> {
        let inventory = Inventory::of(self.vault, &self.journal()?.entries, &self.vault.pending()?)?;
        may_be_dropped(&inventory, shas)?;
        let note = match shas.len() {
            1 => "1 backup".to_owned(),
            several => format!("{several} backups"),
        };
        let dropped = shas.iter().copied().collect();
        let entry = self.append(NewEntry { dropped, note: Some(note), ..NewEntry::of(Operation::Drop) })?;
        self.vault.objects().remove(shas)?;
        Ok(entry)
    }
}

/// The backup that a person names, in digits of either case.
///
/// # Errors
///
/// [`ErrorKind::NotFound`].
pub fn backup_named(name: &str) -> Result<Sha256> {
    name.to_ascii_lowercase().parse().map_err(|_| no_such_backup(name))
}

impl Objects {
    /// The only backup whose name begins with some digits, of either case.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Ambiguous`]; [`ErrorKind::Io`].
    pub fn beginning_with(&self, name: &str) -> Result<Sha256> {
        let digits = name.to_ascii_lowercase();
        if !(8..=64).contains(&digits.len()) {
            return Err(no_such_backup(name));
        }
        let backups: BTreeSet<Sha256> = self.all()?.into_iter().map(|object| object.sha).collect();
        let mut found = backups.into_iter().filter(|sha| sha.to_string().starts_with(&digits));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => {
                let what = format!("several backups have names that begin so: {name}");
                Err(Error::new(ErrorKind::Ambiguous, what).hint("give more digits"))
            }
            (None, _) => Err(no_such_backup(name)),
        }
    }
}

/// The error for a missing backup of this name.
pub fn no_such_backup(name: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::NotFound, format!("no backup of this name: {name}")).remedy(Remedy::ListBackups)
}

/// Refuses to drop backups that are needed, or do not exist.
///
/// # Errors
///
/// [`ErrorKind::Guard`] and [`ErrorKind::NotFound`], as for [`Writer::drop_backups`].
pub fn may_be_dropped(inventory: &Inventory, shas: &BTreeSet<Sha256>) -> Result<()> {
    let there: BTreeMap<Sha256, &KeepReason> =
        inventory.objects.iter().map(|kept| (kept.object.sha, &kept.why)).collect();
    for sha in shas {
        let why = there.get(sha).ok_or_else(|| no_such_backup(sha))?;
        if let KeepReason::Needed(by) = why {
            let first = by.first().cloned().unwrap_or_default();
            let more = match by.len() {
                0 | 1 => String::new(),
                several => format!(" (and {} more)", several - 1),
            };
            let what = format!("refused: this patched file still needs the backup {sha}{more}");
            return Err(Error::new(ErrorKind::Guard, what).hint("restore it first, then its backup can go").on(first));
        }
    }
    Ok(())
}
