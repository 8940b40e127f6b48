//! A scan: a summary of very many modules, from module trees, other directories, packages and files.
//!
//! [`scan`] reads all modules on all cores, in the order in which they are named, with bounded memory. It returns a [`ScanReport`];
//! on the way it passes on errors and, if [`Detail::Records`] is wanted, the rendered record of each module.

mod csv;
mod journal;
mod record;
mod source;
mod tally;
mod worker;

use std::path::PathBuf;

pub use csv::{CSV_HEADER, write_csv};
pub use journal::{JournalState, ScanJournal};
pub use record::{InspectedModule, ModuleRecord, ScannedModule};
pub use tally::{GroupedModules, Oddity, SampledModules, Tally, TreeTally};
pub use worker::Detail;

use crate::error::{Error, Result};
use crate::parallel::in_order;
use source::{ModuleSource, SourceItem};
use worker::Worker;

/// How many directories all threads together keep open. A process may usually have 1024 open files.
const OPEN_DIRECTORIES: usize = 256;

/// What a scan reads.
pub struct ScanRequest {
    /// Module trees and other directories, packages, and module files, in this order.
    pub named: Box<dyn Iterator<Item = Result<PathBuf>> + Send>,
    /// The journal, from which patched modules are known.
    pub journal: ScanJournal,
    /// The greatest size of a decompressed module, in bytes.
    pub max_size: u64,
}

/// Results of a scan that are ready.
#[derive(Debug, Default)]
pub struct ScanProgress {
    /// Rendered records.
    pub rendered: Vec<u8>,
    /// What was named and cannot be read, and directories and packages that cannot be read.
    pub errors: Vec<Error>,
    /// How many modules are done so far, including those that cannot be read.
    pub done: usize,
}

/// The result of a scan.
#[derive(Debug, Default)]
pub struct ScanReport {
    /// The modules by tree, if they were counted.
    pub tally: Tally,
    /// How many modules, directories and packages were visited.
    pub done: usize,
    /// How many of them could not be read.
    pub failed: usize,
    /// The only module and its error, if there was one module and it cannot be read.
    pub only_error: Option<(PathBuf, Error)>,
}

/// Scans what is named.
///
/// `render` appends a module's record to a buffer; it runs on all threads. `progress` gets the results in order, on the calling
/// thread; `idle` is called there when there is nothing to do for a while, with the number of modules done.
///
/// # Errors
///
/// The first error of `progress`. Modules that cannot be read are part of the results.
pub fn scan<E>(
    request: ScanRequest,
    detail: Detail,
    render: impl Fn(&ScannedModule<'_>, &mut Vec<u8>) + Sync,
    mut progress: impl FnMut(ScanProgress) -> Result<(), E>,
    mut idle: impl FnMut(usize),
) -> Result<ScanReport, E> {
    let ScanRequest { named, journal, max_size } = request;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut source = ModuleSource::new(named, (OPEN_DIRECTORIES / threads).max(1), max_size);
    let mut report = ScanReport::default();
    let done = std::cell::Cell::new(0);
    in_order(
        threads,
        || source.batch(),
        Worker::new,
        |worker, batch: Vec<SourceItem>| worker.work(batch, detail, &render, &journal, max_size),
        |result| {
            done.set(done.get() + result.done);
            report.failed += result.failed;
            progress(ScanProgress { rendered: result.rendered, errors: result.errors, done: done.get() })?;
            for counted in result.counted {
                report.tally.add(&counted.tree, &counted.traits, counted.count, &counted.first);
                let path = counted.first.into_iter().next();
                report.only_error = path.zip(counted.traits.err()).filter(|_| done.get() == 1);
            }
            Ok(())
        },
        || idle(done.get()),
    )?;
    report.done = done.get();
    report.only_error = report.only_error.filter(|_| report.done == 1);
    Ok(report)
}
