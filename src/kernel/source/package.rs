//! The kernel in a package, read in one pass and without writing to disk.
//!
//! | package | is |
//! |---|---|
//! | Debian's `.deb` | an ar archive with `debian-binary`, `control.tar.*` and `data.tar.*` (deb(5)) |
//! | pacman's `.pkg.tar.*`, and `make tar-pkg` | a compressed tar archive |
//! | Alpine's `.apk` (format 2) | tar archives, each compressed with gzip, one after the other |
//! | OpenWrt's `.ipk` | a tar archive with `debian-binary`, `control.tar.gz` and `data.tar.gz`, compressed with gzip |
//!
//! Only files at the places that [`crate::kernel::place`] knows are read. Decompression takes most of the time and runs in
//! one thread; other threads read the files meanwhile.
//!
//! A package may come from anywhere. A member whose path leads out of the folder that it would be unpacked to, or through a
//! link, is an error, although nothing is unpacked here: only somebody who wants to do harm makes such a package.
//!
//! The feature `packages` gates the code that needs the `tar` crate (`archive`). Without it packages are still recognised,
//! and reading one is an error.

#[cfg(feature = "packages")]
mod archive;
#[cfg(not(feature = "packages"))]
#[path = "package/unsupported.rs"]
mod archive;
#[cfg(feature = "packages")]
mod links;
mod member;
mod stream;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Condvar, Mutex};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Architecture;
use crate::kernel::bundle::Bundle;
use crate::kernel::cached;
use crate::kernel::collect::FileSink;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::gather::GatheredModules;
use crate::kernel::lookup::KernelQuestion;
use crate::kernel::merge::FactSink;
use crate::kernel::origin::Origin;
use crate::kernel::place::{BundlePath, FileRole, KernelGroup};
use crate::kernel::source::KernelSource;
use crate::kernel::source::package::member::PackagedFile;
use crate::kernel::stored::{StoredBytes, StoredModule};
use crate::module;

/// How many bytes of a file are needed to recognise a package: a block of bzip2 has at most 900 kB.
const START: u64 = 1 << 20;

/// The most bytes that wait for the threads that read them; a single member may be larger.
const MOST_PENDING: u64 = 32 << 20;

/// A package in memory.
pub(in crate::kernel) struct Package {
    pub(in crate::kernel) path: PathBuf,
    pub(in crate::kernel) bytes: Vec<u8>,
}

impl KernelSource for Package {
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it is not a package, damaged, or has an unsafe path, [`ErrorKind::Truncated`] if it is cut
    /// short, [`ErrorKind::TooLarge`] beyond the limit for a member, [`ErrorKind::TooMuchWork`] beyond the budget, those of [`Bundle::facts`] and [`FactSink::add`].
    fn add_facts(&self, facts: &mut FactSink, question: &KernelQuestion<'_>) -> Result<()> {
        let origin = Origin::File(self.path.clone());
        let read = |origin: &Origin| read(origin, &self.bytes, question.budget);
        facts.add(&origin, cached::package(&origin, &self.bytes, question, read).map_err(|e| e.on(&self.path))?)
    }

    /// Reads the whole package, since an unsafe or damaged member may come last.
    fn add_files(&self, files: &mut FileSink, question: &KernelQuestion<'_>) -> Result<()> {
        let read = |wanted: &BTreeSet<String>| {
            // Both closures of the walk change the sink, but never at the same time.
            let sink = RefCell::new(FileSink::new(wanted));
            let is_wanted = |place: &BundlePath<'_>| sink.borrow_mut().wants(place);
            archive::walk(
                &self.bytes,
                question.budget,
                is_wanted,
                |PackagedFile { role, group, path, bytes, .. }| {
                    sink.borrow_mut().add(role, &group, &path, bytes);
                    Ok(())
                },
            )?;
            Ok(sink.into_inner())
        };
        let theirs = cached::files(&self.bytes, files.wanted(), question, read).map_err(|e| e.on(&self.path))?;
        files.join(theirs, &self.path);
        Ok(())
    }

    fn each_module(
        &self,
        question: &KernelQuestion<'_>,
        each: &mut dyn FnMut(StoredModule) -> Result<()>,
    ) -> Result<()> {
        let is_module = |place: &BundlePath<'_>| place.role == FileRole::Module;
        archive::walk(
            &self.bytes,
            question.budget,
            is_module,
            |PackagedFile { group, path, below, bytes, modified, .. }| {
                each(StoredModule {
                    release: group.release().map(str::to_owned),
                    below,
                    path,
                    package: Some(self.path.clone()),
                    bytes: StoredBytes::InMemory(bytes),
                    modified: modified.and_then(|seconds| i64::try_from(seconds).ok()),
                })
            },
        )
        .map_err(|e| e.on(&self.path))
    }
}

/// Do these bytes begin as a package does?
pub(in crate::kernel) fn looks_like(bytes: &[u8]) -> bool {
    stream::is_ar(bytes) || stream::is_tar(bytes)
}

/// Is this file a package, by its first bytes?
pub fn is_package(path: &Path) -> bool {
    let mut start = Vec::new();
    let is_file = path.metadata().is_ok_and(|meta| meta.is_file());
    is_file && File::open(path).is_ok_and(|file| file.take(START).read_to_end(&mut start).is_ok()) && looks_like(&start)
}

/// Passes each module of a package to `each`, in the order of the package: its path in the package, and the bytes of its
/// file. The package is added to the budget.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] for a package without any module; those of reading a package (not a package, damaged, cut
/// short, an unsafe path, a member beyond the size limit, more work than the budget allows); the first error of `each`, which ends the walk.
pub fn each_module(
    path: &Path,
    budget: &WorkBudget,
    mut each: impl FnMut(String, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let contents = module::file::read_up_to(path, budget.max_size())?;
    budget.admit(contents.bytes().len());
    let mut has_any = false;
    let is_module = |place: &BundlePath<'_>| place.role == FileRole::Module;
    archive::walk(contents.bytes(), budget, is_module, |member| {
        has_any = true;
        each(member.path, member.bytes)
    })
    .map_err(|e| e.on(path))?;
    match has_any {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::NotFound, "no module in this package").on(path)),
    }
}

/// The facts in a package.
fn read(origin: &Origin, bytes: &[u8], budget: &WorkBudget) -> Result<Facts> {
    let pending = PendingBytes::default();
    let (sender, receiver) = sync_channel(1 << 10);
    let receiver = Mutex::new(receiver);
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
    let (walked, bundles) = std::thread::scope(|scope| {
        let work = || work(origin, &receiver, &pending, budget);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let walked = archive::walk(
            bytes,
            budget,
            |_| true,
            |member| {
                pending.wait_for(member.bytes.len() as u64);
                // Sending fails only if all workers have ended; then nothing is left to do.
                let _ = sender.send(member);
                Ok(())
            },
        );
        drop(sender);
        let bundles: Vec<_> = workers.into_iter().filter_map(|worker| worker.join().ok()).collect();
        (walked, bundles)
    });
    walked?;
    let mut all = Bundle::new(budget);
    for bundle in bundles {
        all.join(bundle?);
    }
    let mut facts = all.facts()?;
    facts.architecture = match (facts.architecture.take(), architecture(origin, bytes, budget)) {
        (Some(known), Some(named)) => match known.value.and(named.value) {
            Some(value) => Some(Fact { value, source: known.source.and(named.source) }),
            None => Some(known),
        },
        (known, named) => known.or(named),
    };
    Ok(facts)
}

/// The architecture that the description of a package names, if it names a known one.
fn architecture(package: &Origin, bytes: &[u8], budget: &WorkBudget) -> Option<Fact<Architecture>> {
    let name = archive::architecture_name(bytes, budget)?;
    let value = Architecture::of_package(&name)?;
    Some(Fact { value, source: Origin::PackageArchitecture { name, package: Box::new(package.clone()) } })
}

/// Reads files until no more come.
fn work<'b>(
    package: &Origin,
    receiver: &Mutex<Receiver<PackagedFile>>,
    pending: &PendingBytes,
    budget: &'b WorkBudget,
) -> Result<Bundle<'b>> {
    let mut bundle = Bundle::new(budget);
    let mut modules: BTreeMap<KernelGroup, GatheredModules> = BTreeMap::new();
    let mut failed = None;
    loop {
        let next = receiver.lock().unwrap_or_else(|e| e.into_inner()).recv();
        let Ok(PackagedFile { role, group, path, below, bytes, .. }) = next else { break };
        let size = bytes.len() as u64;
        if role == FileRole::Module {
            modules.entry(group).or_default().add(Path::new(&below), &bytes, budget);
        } else {
            let origin = Origin::Packaged { path: path.clone(), package: Box::new(package.clone()) };
            if let Err(error) = bundle.add(role, group, &origin, bytes) {
                failed.get_or_insert(error.reworded(|what| format!("{path}: {what}")));
            }
        }
        pending.done(size);
    }
    for (group, gathered) in modules {
        bundle.add_modules(group, package.clone(), gathered);
    }
    failed.map_or(Ok(bundle), Err)
}

/// How many bytes wait to be read.
#[derive(Default)]
struct PendingBytes {
    bytes: Mutex<u64>,
    less: Condvar,
}

impl PendingBytes {
    /// Waits until this many bytes more are within the limit.
    fn wait_for(&self, more: u64) {
        let mut bytes = self.bytes.lock().unwrap_or_else(|e| e.into_inner());
        while *bytes > 0 && bytes.saturating_add(more) > MOST_PENDING {
            bytes = self.less.wait(bytes).unwrap_or_else(|e| e.into_inner());
        }
        *bytes = bytes.saturating_add(more);
    }

    fn done(&self, size: u64) {
        let mut bytes = self.bytes.lock().unwrap_or_else(|e| e.into_inner());
        *bytes = bytes.saturating_sub(size);
        self.less.notify_all();
    }
}
