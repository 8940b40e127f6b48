//! The modules of a scan, in order: those of directories and packages, and files.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{KernelName, package};
use crate::module::is_module_name;
use crate::walk::{Walk, WalkedFile};

/// How many files a thread takes at a time: uncompressed ones, which take microseconds each, and compressed ones. Batches are
/// small enough that the last ones keep all cores at work.
const BATCH: usize = 32;
const COMPRESSED_BATCH: usize = 4;

/// How many unpacked modules of a package wait to be inspected.
const UNPACKED_AHEAD: usize = 4;

/// A module to inspect, or the error in its place.
pub(super) enum SourceItem {
    /// A file that was named.
    Named(PathBuf),
    /// A file in a directory that was named.
    Walked(WalkedFile),
    /// A module in a package, and the budget that all modules of the package share.
    Packed { package: Arc<Path>, path: PathBuf, bytes: Vec<u8>, budget: Arc<WorkBudget> },
    /// A directory, package or list that cannot be read.
    Failed(Error),
}

impl SourceItem {
    /// The package that contains it, if any, and its path.
    pub(super) fn path(&self) -> (Option<&Path>, Cow<'_, Path>) {
        match self {
            SourceItem::Named(path) => (None, Cow::Borrowed(path)),
            SourceItem::Walked(file) => (None, Cow::Owned(file.path())),
            SourceItem::Packed { package, path, .. } => (Some(package), Cow::Borrowed(path)),
            SourceItem::Failed(_) => (None, Cow::Borrowed(Path::new(""))),
        }
    }
}

/// Yields the modules of all that is named, one after the other.
pub(super) struct ModuleSource {
    named: Box<dyn Iterator<Item = Result<PathBuf>> + Send>,
    current: Current,
    /// In how many directories the files of a batch may be: these stay open until the batch is done.
    directories: usize,
    max_size: u64,
}

/// What the source is reading.
enum Current {
    Nothing,
    Directory(Walk),
    Package(Arc<Path>, Arc<WorkBudget>, Receiver<Result<(String, Vec<u8>)>>),
    /// Several packages, named as one (`A+B`).
    Packages(VecDeque<PathBuf>),
}

impl ModuleSource {
    pub(super) fn new(
        named: Box<dyn Iterator<Item = Result<PathBuf>> + Send>,
        directories: usize,
        max_size: u64,
    ) -> ModuleSource {
        ModuleSource { named, current: Current::Nothing, directories, max_size }
    }

    /// Several items. A module of a package is a batch of its own, since it holds memory.
    pub(super) fn batch(&mut self) -> Option<Vec<SourceItem>> {
        let (mut batch, mut left) = (Vec::with_capacity(BATCH), BATCH);
        let (mut last, mut directories) = (None, 0);
        while left > 0 && directories < self.directories {
            let Some(item) = self.next() else { break };
            let directory = match &item {
                SourceItem::Walked(file) => Some(Arc::as_ptr(file.directory())),
                _ => None,
            };
            directories += usize::from(directory != last);
            last = directory;
            let by_name = |name: &OsStr| if name.as_bytes().ends_with(b".ko") { 1 } else { BATCH / COMPRESSED_BATCH };
            left = left.saturating_sub(match &item {
                SourceItem::Walked(file) => by_name(file.name()),
                SourceItem::Named(path) => by_name(path.as_os_str()),
                SourceItem::Failed(_) => BATCH / COMPRESSED_BATCH,
                SourceItem::Packed { .. } => BATCH,
            });
            batch.push(item);
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn next(&mut self) -> Option<SourceItem> {
        loop {
            match &mut self.current {
                Current::Nothing => match self.named.next()? {
                    Ok(path) => {
                        if let Some(item) = self.enter(path) {
                            return Some(item);
                        }
                    }
                    Err(error) => return Some(SourceItem::Failed(error)),
                },
                Current::Directory(files) => match files.next_file() {
                    Some(Ok(file)) => return Some(SourceItem::Walked(file)),
                    Some(Err(error)) => return Some(SourceItem::Failed(error)),
                    None => self.current = Current::Nothing,
                },
                Current::Package(package, budget, modules) => match modules.recv() {
                    Ok(Ok((path, bytes))) => {
                        let (package, budget) = (package.clone(), budget.clone());
                        return Some(SourceItem::Packed { package, path: path.into(), bytes, budget });
                    }
                    Ok(Err(error)) => return Some(SourceItem::Failed(error)),
                    Err(_) => self.current = Current::Nothing,
                },
                Current::Packages(packages) => {
                    let mut packages = std::mem::take(packages);
                    self.current = Current::Nothing;
                    if let Some(first) = packages.pop_front() {
                        // The others are named next.
                        let named = std::mem::replace(&mut self.named, Box::new(std::iter::empty()));
                        self.named = Box::new(packages.into_iter().map(Ok).chain(named));
                        if let Some(item) = self.enter(first) {
                            return Some(item);
                        }
                    }
                }
            }
        }
    }

    /// Begins with a path; a file is an item at once.
    fn enter(&mut self, path: PathBuf) -> Option<SourceItem> {
        if path.is_dir() {
            self.current = Current::Directory(Walk::modules(path));
            return None;
        }
        if is_module_name(&path) {
            return Some(SourceItem::Named(path));
        }
        if package::is_package(&path) {
            let package: Arc<Path> = path.into();
            let budget = Arc::new(WorkBudget::new(self.max_size));
            self.current = Current::Package(package.clone(), budget.clone(), unpack(package, budget));
            return None;
        }
        let name = KernelName::from(path.as_path());
        let packages = name.paths().to_vec();
        if packages.len() > 1 {
            self.current = Current::Packages(packages.into());
            return None;
        }
        Some(SourceItem::Named(path))
    }
}

/// Unpacks a package on a thread of its own, which ends when the receiver is dropped.
fn unpack(package: Arc<Path>, budget: Arc<WorkBudget>) -> Receiver<Result<(String, Vec<u8>)>> {
    let (sender, receiver) = sync_channel(UNPACKED_AHEAD);
    std::thread::spawn(move || {
        let dropped = || Error::new(ErrorKind::Io, "the receiver of unpacked modules was dropped");
        let each = |path, bytes| sender.send(Ok((path, bytes))).map_err(|_| dropped());
        if let Err(error) = package::each_module(&package, &budget, each) {
            // A dropped receiver needs no error.
            let _ = sender.send(Err(error));
        }
    });
    receiver
}
