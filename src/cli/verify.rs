//! `verify`: is each module as recorded, or as a distribution built it?

use std::ffi::OsString;
use std::sync::Mutex;

use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session};
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::cli::{against, known};
use crate::error::Result;
use crate::module::summary::MARK;
use crate::selection::{JournalSelector, SelectedModule};
use crate::text::grouped;
use crate::vault::index::IndexedHistory;
use crate::vault::mark::PatchMark;
use crate::vault::reports::{FileReport, FileTally};
use crate::vault::standing::{BackupState, FileState, Standing};

#[derive(clap::Args)]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, or folders, in which the modules that the journal knows are selected, 64 folders deep; with --against, all modules in a folder [default: all modules that the journal knows, or, if there is none, those with a mark in this machine's module trees; with --against, the module tree of the kernel's release on this machine]")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// Compare with the modules of this kernel instead of the journal: a package (.deb and others, or A+B), a folder
    /// (/lib/modules/RELEASE, an unpacked package), running, or another copy of a module
    #[arg(long, value_name = "K")]
    against: Option<OsString>,
    #[command(flatten)]
    foreign: ForeignArg,
    /// One JSON object per line and module
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if let Some(kernel) = &args.against {
        return against::verify(kernel, &args.modules, args.json, session);
    }
    let vault = session.vault_to_read(&args.foreign)?;
    let index = vault.index()?;
    let pending = vault.pending()?;
    // The errors of the modules say it, if there are any.
    let nowhere = if args.modules.selection().is_empty() { None } else { known::nowhere(&vault, &index, &pending)? };
    if pending.is_empty() && nowhere.is_none() {
        known::warn_of_doubt(&vault, index.is_empty(), index.is_torn(), session)?;
    }
    let mut is_damaged = known::warn_of_damage(index.damage(), session);
    is_damaged |= known::warn_of_intents(&vault.damaged_intents()?, session);
    let is_all = args.modules.selection().is_empty();
    let is_expected = if is_all { |_: &IndexedHistory| true } else { IndexedHistory::is_patched };
    let selector = JournalSelector { vault: &vault, index: &index, pending: &pending, is_expected };
    let mut selection = output::waiting("searching for patched modules", || match is_all {
        true => selector.all(),
        false => selector.named(&args.modules.selection_in(session)),
    })?;
    if selection.is_empty() && is_all {
        selection = known::marked(&selector, session)?;
        if selection.is_empty() && !args.json {
            known::print_searched("the journal knows no module", session)?;
        }
    }
    let count = selection.len();
    let progress = Mutex::new(Some(Progress::new("module", count)));
    let inspect = |module: &SelectedModule| -> Result<FileReport> {
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
        FileReport::of(&vault, &index, &pending, module.real_path()?)
    };
    let mut tally = FileTally::default();
    selection.inspect(inspect, |module, report| {
        // The progress line is removed before anything else is printed.
        progress.lock().unwrap_or_else(|e| e.into_inner()).take();
        tally.add(&report);
        match report {
            Ok(report) if args.json => session.json(&report),
            Ok(report) => print(&report, session),
            Err(error) => {
                session.complain(&known::or_nowhere(error, nowhere.as_deref()).on(&module.path));
                Ok(())
            }
        }
    })?;
    if !args.json {
        known::print_unknown(&selection, session)?;
        if count > 1 {
            summary(&tally, session)?;
        }
    }
    Ok(match (tally.failed, tally.changed, count) {
        (0, 0, _) if !is_damaged => Status::Done,
        (0, _, _) => Status::Negative,
        (_, _, 1) => Status::Failed,
        _ => Status::Partial,
    })
}

/// Counts the modules of each state.
fn summary(tally: &FileTally, session: &mut Session<'_>) -> Result<(), Failure> {
    let FileTally { states, failed, .. } = tally;
    let all = states.values().sum::<usize>() + failed;
    let parts = states.iter().map(|(state, count)| format!("{} {}", grouped(*count as u64), word(*state)));
    let failures = (*failed > 0).then(|| format!("{} not readable", grouped(*failed as u64)));
    let parts: Vec<String> = parts.chain(failures).collect();
    writeln!(session.out, "{}: {}", output::count(all, "module"), parts.join(", "))?;
    Ok(())
}

fn word(state: FileState) -> &'static str {
    match state {
        FileState::Original => "original",
        FileState::Patched => "patched",
        FileState::Changed => "changed by somebody else",
        FileState::Missing => "missing",
        FileState::Unknown => "unknown",
        FileState::Marked => "patched by its mark, and unknown to the journal",
    }
}

/// Where the mark of a module leads.
fn print_marked(standing: &Standing, mark: &PatchMark, session: &mut Session<'_>) -> Result<(), Failure> {
    writeln!(session.out, "  mark     {MARK}={}", crate::escape::for_eyes(mark.text()))?;
    match (&standing.original, standing.backup, mark.digits()) {
        (Some(original), BackupState::Whole, _) => {
            let whole = session.paint(Paint::Good, "backup whole");
            writeln!(session.out, "  original {original}, {whole}")?;
            writeln!(session.out, "  to get it back: kmodlab restore {}", output::shell_word(&standing.path))?;
        }
        (Some(original), _, _) => {
            let damaged = session.paint(Paint::Bad, "backup DAMAGED");
            writeln!(session.out, "  original {original}, {damaged}")?;
        }
        (None, _, Some(digits)) => {
            let missing = session.paint(Paint::Bad, "backup MISSING");
            writeln!(
                session.out,
                "  original {digits}…, {missing}: look for objects/{digits}* in other state folders"
            )?;
        }
        (None, _, None) => writeln!(session.out, "  the mark has no digits of a SHA-256")?,
    }
    Ok(())
}

fn print(report: &FileReport, session: &mut Session<'_>) -> Result<(), Failure> {
    let standing = &report.standing;
    let paint = if standing.is_as_recorded() { Paint::Good } else { Paint::Bad };
    let state = session.paint(paint, word(standing.state));
    writeln!(session.out, "{}: {state}", output::path(&standing.path))?;
    for place in &standing.recorded_at {
        writeln!(session.out, "  recorded as {}", output::path(place))?;
    }
    if let (FileState::Patched | FileState::Changed | FileState::Missing, Some(original)) =
        (standing.state, &standing.original)
    {
        let backup = match standing.backup {
            BackupState::Whole => session.paint(Paint::Good, "backup whole"),
            BackupState::Damaged => session.paint(Paint::Bad, "backup DAMAGED"),
            BackupState::Missing => session.paint(Paint::Bad, "backup MISSING"),
            BackupState::Dropped => {
                let by = standing.dropped_by.map(|line| format!(" (line {line} of the journal)")).unwrap_or_default();
                session.paint(Paint::Bad, format!("backup DROPPED{by}"))
            }
            BackupState::None => "no backup".to_owned(),
        };
        writeln!(session.out, "  original {original}, {backup}")?;
    }
    if let Some(mark) = &standing.mark {
        return print_marked(standing, mark, session);
    }
    if standing.state == FileState::Missing {
        if standing.backup == BackupState::Whole {
            writeln!(session.out, "  to get it back: kmodlab restore {}", output::shell_word(&standing.path))?;
        }
        writeln!(
            session.out,
            "  if no module is expected there again: kmodlab vault forget {}",
            output::shell_word(&standing.path)
        )?;
    }
    if report.interrupted {
        let note = session.paint(Paint::Bad, "an operation on it was interrupted; kmodlab recover settles it");
        writeln!(session.out, "  {note}")?;
    }
    Ok(())
}
