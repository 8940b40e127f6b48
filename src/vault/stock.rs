//! What is kept in the vault, and what still needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};
use crate::module::Sha256Hex;
use crate::vault::history::{self, History};
use crate::vault::journal::{self, Entry, News, Operation};
use crate::vault::objects::Object;
use crate::vault::{Intent, Locked, Vault};

/// Why a backup is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// These patched files, or interrupted runs on them, still need it.
    Needed(BTreeSet<PathBuf>),
    /// The journal names it, and no patched file needs it: its file was restored, or patched once more.
    Unneeded,
    /// Neither the journal nor an intent names it: a run was stopped before it wrote its intent.
    Orphan,
}

/// What is kept.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    /// Each backup, and why it is kept.
    pub objects: Vec<(Object, Why)>,
    /// Backups that are needed and are not there, and by what.
    pub missing: BTreeMap<Sha256Hex, BTreeSet<PathBuf>>,
}

impl Stock {
    /// Takes stock of a vault, by its journal and the intents that wait.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the folder of the backups can't be read.
    pub fn of(vault: &Vault, entries: &[Entry], pending: &[Intent]) -> Result<Stock> {
        let mut needed = needed(&History::of(entries), pending);
        let named: BTreeSet<&Sha256Hex> = history::backups(entries);
        let mut stock = Stock::default();
        let mut there = BTreeSet::new();
        for object in vault.objects().all()? {
            let why = match needed.get(&object.sha) {
                Some(by) => Why::Needed(by.clone()),
                None if named.contains(&object.sha) => Why::Unneeded,
                None => Why::Orphan,
            };
            there.insert(object.sha.clone());
            stock.objects.push((object, why));
        }
        needed.retain(|sha, _| !there.contains(sha));
        stock.missing = needed;
        Ok(stock)
    }

    /// The backups that nothing needs, by their SHA-256.
    pub fn unneeded(&self) -> BTreeSet<&str> {
        let unneeded = self.objects.iter().filter(|(_, why)| !matches!(why, Why::Needed(_)));
        unneeded.map(|(object, _)| object.sha.as_str()).collect()
    }
}

/// What patched files and interrupted runs need, and by which files.
fn needed(history: &History<'_>, pending: &[Intent]) -> BTreeMap<Sha256Hex, BTreeSet<PathBuf>> {
    let mut needed: BTreeMap<Sha256Hex, BTreeSet<PathBuf>> = BTreeMap::new();
    for (sha, paths) in history.needed() {
        needed.entry(sha.to_owned()).or_default().extend(paths.into_iter().map(PathBuf::from));
    }
    for change in pending.iter().map(|intent| &intent.change) {
        let origins = history.origins(&change.path, &change.before);
        for sha in origins.iter().map(|origin| origin.original).chain([change.before.as_str()]) {
            needed.entry(sha.to_owned()).or_default().insert(change.path.clone());
        }
    }
    needed
}

impl Locked<'_> {
    /// Drops backups, durably; the journal gets a line first. None goes if one of them is needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for one that a patched file or an interrupted run needs; [`ErrorKind::NotFound`] for one that
    /// is not there; [`ErrorKind::Io`].
    pub fn drop_backups(&mut self, shas: &BTreeSet<&str>) -> Result<Entry> {
        let stock = Stock::of(self.vault, &self.journal()?.entries, &self.vault.pending()?)?;
        may_be_dropped(&stock, shas)?;
        let entry = self.append(News {
            id: journal::new_id(),
            operation: Operation::Drop,
            recovered: false,
            change: None,
            dropped: shas.iter().map(|sha| (*sha).to_owned()).collect(),
            note: Some(match shas.len() {
                1 => "1 backup".to_owned(),
                several => format!("{several} backups"),
            }),
        })?;
        self.vault.objects().remove(shas)?;
        Ok(entry)
    }
}

/// May these be dropped?
///
/// # Errors
///
/// [`ErrorKind::Guard`] and [`ErrorKind::NotFound`], as for [`Locked::drop_backups`].
pub fn may_be_dropped(stock: &Stock, shas: &BTreeSet<&str>) -> Result<()> {
    let there: BTreeMap<&str, &Why> = stock.objects.iter().map(|(object, why)| (object.sha.as_str(), why)).collect();
    for sha in shas {
        let why = there.get(sha).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("no backup of this name: {sha}"))
                .hint("kmodlab vault --list has them")
        })?;
        if let Why::Needed(by) = why {
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
