//! `scan`: a summary of very many modules.

mod table;

use crate::cli::known;
use crate::cli::modules::Modules;
use crate::cli::output::{self, Counter, Failure, Session};
use crate::cli::status::Status;
use crate::cli::words;
use crate::error::ErrorKind;
use crate::scan::{CSV_HEADER, Detail, ScanJournal, ScanProgress, ScanRequest, ScannedModule, scan, write_csv};

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
#[command(mut_arg("modules", |modules| modules.value_name("PATH").help(
    "Module trees or other folders, which are searched without following links, 64 folders deep; packages (.deb, or A+B); module files"
)))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// One JSON object per line and module
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// One line of comma-separated values per module, after a line with the names of the columns
    #[arg(long)]
    csv: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let detail = if args.json || args.csv { Detail::Records } else { Detail::Tally };
    // Without a home directory and without a state folder on the command line there is no journal. The journal only adds to
    // what a scan shows, so a scan reports an untrusted journal and continues without it.
    let vault = match session.vault() {
        Err(e) if e.kind() == ErrorKind::Untrusted => {
            session.complain(&e);
            session.remark("going on without the journal: no module is shown as known to it");
            None
        }
        vault => vault.ok(),
    };
    // Nor does it fail because of a journal that can't be read.
    let index = vault.and_then(|vault| match vault.index() {
        Ok(index) => Some(index),
        Err(e) => {
            session.complain(&e);
            session.remark("going on without the journal: no module is shown as known to it");
            None
        }
    });
    if let Some(index) = &index {
        known::warn_of_damage(index.damage(), session);
    }
    let journal = ScanJournal::new(index);
    let request =
        ScanRequest { named: Box::new(args.modules.selection().named()?), journal, max_size: session.max_size };
    let render = |module: &ScannedModule<'_>, out: &mut Vec<u8>| {
        // A write to memory does not fail.
        let _ = match args.json {
            true => output::write_json(&module.record(words::error_without_path), out),
            false => write_csv(module, words::error_without_path, out),
        };
    };
    if args.csv {
        writeln!(session.out, "{}", CSV_HEADER)?;
    }
    let counter = Counter::new("module", detail == Detail::Tally || !session.escapes);
    let counter = std::cell::RefCell::new(counter);
    let progress = |ScanProgress { rendered, errors, done }| {
        if !errors.is_empty() || !rendered.is_empty() {
            counter.borrow_mut().clear();
        }
        session.out.write_all(&rendered)?;
        for error in &errors {
            session.complain(error);
        }
        counter.borrow_mut().at(done);
        Ok::<(), Failure>(())
    };
    let report = scan(request, detail, render, progress, |done| counter.borrow_mut().at(done))?;
    counter.borrow_mut().clear();
    match report.only_error {
        // Of one module that cannot be read, the error says everything.
        Some((path, error)) => session.complain(&error.on(path)),
        None if detail == Detail::Tally => table::print(&report.tally, session)?,
        None => {}
    }
    Ok(match (report.failed, report.done) {
        (0, _) => Status::Done,
        (_, 1) => Status::Failed,
        _ => Status::Partial,
    })
}
