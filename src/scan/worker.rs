//! What each thread of a scan does: it inspects modules and counts equal ones.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::error::{Error, Result};
use crate::module::elf::{self, Class, Endian};
use crate::module::summary::{ModuleSummary, Summarizer};
use crate::module::versions::VersionsFormat;
use crate::scan::journal::{JournalState, ScanJournal};
use crate::scan::record::{InspectedModule, ScannedModule};
use crate::scan::source::SourceItem;
use crate::scan::tally::{self, KEPT, Oddity, Traits};
use crate::walk::{OpenDirectory, WalkedDirectory, WalkedFile};

/// What a scan returns per module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing: modules are only counted, in [`ScanReport::tally`](super::ScanReport::tally).
    Tally,
    /// The record of each module, as rendered by the caller. Nothing is counted.
    Records,
}

/// The results of a batch.
#[derive(Default)]
pub(super) struct BatchResult {
    /// The rendered records.
    pub(super) rendered: Vec<u8>,
    /// What was named and cannot be read, and directories and packages that cannot be read.
    pub(super) errors: Vec<Error>,
    /// Modules for the tally.
    pub(super) counted: Vec<CountedModules>,
    pub(super) done: usize,
    pub(super) failed: usize,
}

/// Successive modules with equal traits.
pub(super) struct CountedModules {
    pub(super) tree: Option<Arc<Path>>,
    pub(super) traits: Result<Traits>,
    pub(super) count: usize,
    /// The paths of the first ones.
    pub(super) first: Vec<PathBuf>,
}

impl CountedModules {
    fn is_alike(&self, tree: &Option<Arc<Path>>, traits: &Result<Traits>) -> bool {
        let is_same = match (&self.tree, tree) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_same && matches!((&self.traits, traits), (Ok(ours), Ok(theirs)) if ours.is_alike(theirs))
    }
}

/// What a thread keeps from one module to the next: memory, and texts that most modules share.
#[derive(Default)]
pub(super) struct Worker {
    looker: Summarizer,
    directory: CurrentDirectory,
    vermagic: SharedText,
    signer: SharedText,
    machine: Option<MachineWords>,
    trees: TreeNames,
}

/// A text that is usually equal to the previous one.
#[derive(Default)]
struct SharedText(Option<Arc<[u8]>>);

impl SharedText {
    fn of(&mut self, text: &[u8]) -> Arc<[u8]> {
        match &self.0 {
            Some(known) if **known == *text => known.clone(),
            _ => self.0.insert(Arc::from(text)).clone(),
        }
    }
}

/// The directory of the last module, if it could be opened.
#[derive(Default)]
struct CurrentDirectory(Option<(Arc<WalkedDirectory>, Option<OpenDirectory>)>);

impl CurrentDirectory {
    /// Changes to the directory that contains a module.
    fn of(&mut self, file: &mut WalkedFile) -> Option<&OpenDirectory> {
        let open = file.take_open();
        let is_current = matches!(&self.0, Some((directory, _)) if Arc::ptr_eq(directory, file.directory()));
        if open.is_some() || !is_current {
            let directory = file.directory().clone();
            let open = open.or_else(|| directory.open());
            self.0 = Some((directory, open));
        }
        self.0.as_ref().and_then(|(_, open)| open.as_ref())
    }
}

impl Worker {
    /// A worker for this thread, which gets a descriptor table of its own: the kernel locks a shared table, which takes a tenth
    /// of the time. Where unshare(2) is not allowed, as in some containers, the scan is slower.
    pub(super) fn new() -> Worker {
        // SAFETY: a descriptor that is opened from here on, on any of the threads, is used and closed on the same one. What
        // is taken from the source stays on the thread that took it (an `OpenDirectory` is not `Send`); the source is used by
        // all threads, but what it keeps open was opened before there were threads (a list of files), or is nothing (`Walk`,
        // between two calls), or belongs to one other thread from opening to closing (`unpack`); results hold no files; and
        // the journal's index was opened before, and stays open until the threads have ended.
        let _ = unsafe { unshare_unsafe(UnshareFlags::FILES) };
        Worker::default()
    }

    /// Inspects the modules of a batch.
    pub(super) fn work(
        &mut self,
        batch: Vec<SourceItem>,
        detail: Detail,
        render: &(impl Fn(&ScannedModule<'_>, &mut Vec<u8>) + Sync),
        journal: &ScanJournal,
        max_size: u64,
    ) -> BatchResult {
        let mut result = BatchResult::default();
        for mut item in batch {
            result.done += 1;
            let inspected = match &mut item {
                SourceItem::Named(path) => {
                    let name = path.file_name().unwrap_or_default();
                    let summary = self.looker.file(path, max_size);
                    summary.and_then(|summary| Ok((journal.file(name, || path.clone(), summary.stored_size)?, summary)))
                }
                SourceItem::Walked(file) => {
                    let directory = self.directory.of(file);
                    let (name, path) = (file.name(), || file.path());
                    let summary = match directory {
                        Some(open) => self.looker.file_in(open.descriptor(), name, path, max_size),
                        None => self.looker.file(&path(), max_size),
                    };
                    summary.and_then(|summary| Ok((journal.file(name, path, summary.stored_size)?, summary)))
                }
                SourceItem::Packed { bytes, budget, .. } => {
                    let summary = self.looker.bytes_within(bytes, budget);
                    summary.and_then(|summary| Ok((journal.bytes(bytes)?, summary)))
                }
                SourceItem::Failed(_) => {
                    result.failed += 1;
                    if let SourceItem::Failed(error) = item {
                        result.errors.push(error);
                    }
                    continue;
                }
            };
            result.failed += usize::from(inspected.is_err());
            if detail == Detail::Records {
                let inspected =
                    inspected.as_ref().map(|(journal, summary)| InspectedModule { summary, journal: *journal });
                let (package, path) = item.path();
                render(&ScannedModule { package, path: &path, inspected }, &mut result.rendered);
            }
            let traits = match inspected {
                Err(error) if matches!(item, SourceItem::Named(_)) => {
                    result.errors.push(error);
                    continue;
                }
                _ if detail == Detail::Records => continue,
                Ok((state, summary)) => {
                    let machine = machine_words(&mut self.machine, &summary);
                    Ok(traits(&summary, state, machine, &mut self.vermagic, &mut self.signer))
                }
                Err(error) => Err(error),
            };
            let tree = self.trees.of(&item);
            match result.counted.last_mut() {
                Some(last) if last.is_alike(&tree, &traits) => {
                    last.count += 1;
                    if last.first.len() < KEPT {
                        last.first.push(item.path().1.into_owned());
                    }
                }
                _ => {
                    let first = vec![item.path().1.into_owned()];
                    result.counted.push(CountedModules { tree, traits, count: 1, first });
                }
            }
        }
        result
    }
}

/// Class, byte order and machine, and their words.
struct MachineWords {
    key: (Class, Endian, u16),
    words: Arc<[u8]>,
}

/// The words for a machine, which are usually those of the previous module.
fn machine_words(last: &mut Option<MachineWords>, summary: &ModuleSummary<'_>) -> Arc<[u8]> {
    let key = (summary.class, summary.endian, summary.machine);
    match last {
        Some(known) if known.key == key => known.words.clone(),
        _ => {
            let machine = elf::machine_name(summary.machine);
            let words = format!("{} {} {machine}", summary.class.name(), summary.endian.name());
            last.insert(MachineWords { key, words: Arc::from(words.as_bytes()) }).words.clone()
        }
    }
}

fn traits(
    summary: &ModuleSummary<'_>,
    journal: Option<JournalState>,
    machine: Arc<[u8]>,
    vermagic: &mut SharedText,
    signer: &mut SharedText,
) -> Traits {
    let has_basic = matches!(summary.versions, VersionsFormat::Basic | VersionsFormat::Both);
    let oddities = [
        (summary.vermagics > 1, Oddity::SeveralVermagics),
        (!summary.visible, Oddity::ModinfoNotAllocated),
        (has_basic && !summary.versions_visible, Oddity::VersionsNotAllocated),
        (summary.unclaimed > 0, Oddity::UnclaimedBytes),
    ];
    Traits {
        vermagic: summary.vermagic.map(|text| vermagic.of(text)),
        signer: summary.is_signed.then(|| signer.of(summary.signer.unwrap_or_default())),
        machine,
        has_mark: summary.mark.is_some(),
        journal,
        oddities: oddities.into_iter().filter(|(applies, _)| *applies).map(|(_, oddity)| oddity).collect(),
    }
}

/// The names of the last trees, which most modules share.
#[derive(Default)]
struct TreeNames {
    /// The last directory, and the tree of all modules in it.
    directory: Option<(Arc<WalkedDirectory>, Option<Arc<Path>>)>,
    /// The last module tree.
    last: Option<Arc<Path>>,
}

impl TreeNames {
    /// The tree in which a module is counted: the module tree in its path, the package or the directory that was named, or none.
    fn of(&mut self, item: &SourceItem) -> Option<Arc<Path>> {
        match item {
            SourceItem::Packed { package, .. } => Some(package.clone()),
            SourceItem::Named(path) => self.module_tree(path),
            SourceItem::Walked(file) => match &self.directory {
                Some((directory, tree)) if Arc::ptr_eq(directory, file.directory()) => tree.clone(),
                _ => {
                    let tree = self.module_tree(&file.path()).or_else(|| Some(file.directory().top().clone()));
                    self.directory = Some((file.directory().clone(), tree.clone()));
                    tree
                }
            },
            SourceItem::Failed(_) => None,
        }
    }

    fn module_tree(&mut self, path: &Path) -> Option<Arc<Path>> {
        let path = path.as_os_str().as_bytes();
        let tree = tally::module_tree(path).and_then(|len| path.get(..len))?;
        match &self.last {
            Some(known) if known.as_os_str().as_bytes() == tree => Some(known.clone()),
            _ => Some(self.last.insert(Arc::from(Path::new(OsStr::from_bytes(tree)))).clone()),
        }
    }
}
