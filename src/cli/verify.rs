//! `verify`: is each module as recorded?

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;

use crate::cli::known::{self, Named, Selecting};
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session};
use crate::cli::status::Status;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};
use crate::vault::history::Trail;
use crate::vault::standing::{Backup, Standing, State, standing};

#[derive(clap::Args)]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, or folders, in which, 64 folders deep, those count that the journal knows [default: all that the journal knows]")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// One JSON object a module, in a line each
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    let index = vault.index()?;
    let pending = vault.pending()?;
    if pending.is_empty() {
        known::tell_doubt(&vault, index.is_empty(), index.is_torn(), session)?;
    }
    let waiting: BTreeSet<&Path> = pending.iter().map(|intent| intent.change.path.as_path()).collect();
    let is_all = args.modules.is_empty();
    let is_expected = if is_all { |_: &Trail<'_>| true } else { |trail: &Trail<'_>| !trail.patches.is_empty() };
    let known = Selecting { vault: &vault, index: &index, pending: &pending, is_expected };
    let mut selection = output::waiting("looking for what was patched", || match is_all {
        true => known.all(),
        false => known.named(&args.modules),
    })?;
    let count = selection.len();
    if count == 0 && is_all && !args.json {
        writeln!(session.out, "the journal knows no module")?;
    }
    let progress = Mutex::new(Some(Progress::new("module", count)));
    let look = |named: &Named| -> Result<Standing, Error> {
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
        let path = named.real.as_ref().map_err(Error::again)?;
        let standing = standing(&vault, &index, path)?;
        match standing.state {
            // An interrupted first operation: its intent knows the file, the journal does not yet.
            _ if waiting.contains(path.as_path()) => Ok(standing),
            State::Unknown => Err(known::unknown()),
            State::Missing if !index.knows_place(path)? => Err(Error::new(ErrorKind::NotFound, "no such file")),
            _ => Ok(standing),
        }
    };
    let (mut failed, mut changed) = (0, 0);
    let mut modules = selection.iter()?;
    loop {
        let some: Vec<Named> = modules.by_ref().take(known::STEP).collect::<Result<_, _>>()?;
        if some.is_empty() {
            break;
        }
        let looked: Vec<Result<Standing, Error>> = match some.as_slice() {
            [only] => vec![look(only)],
            several => several.par_iter().map(look).collect(),
        };
        // Its line goes before others are printed.
        progress.lock().unwrap_or_else(|e| e.into_inner()).take();
        for (named, looked) in some.iter().zip(looked) {
            match looked {
                Ok(standing) => {
                    let interrupted = waiting.contains(standing.path.as_path());
                    changed += usize::from(!standing.is_as_recorded() || interrupted);
                    match args.json {
                        true => session.json(&Verified::of(&standing, interrupted))?,
                        false => print(&standing, interrupted, session)?,
                    }
                }
                Err(error) => {
                    session.complain(&error.on(&named.path));
                    failed += 1;
                }
            }
        }
    }
    drop(modules);
    if !args.json {
        selection.tell_others(session)?;
    }
    Ok(match (failed, changed, count) {
        (0, 0, _) => Status::Done,
        (0, _, _) => Status::Negative,
        (_, _, 1) => Status::Failed,
        _ => Status::Partial,
    })
}

fn word(state: State) -> &'static str {
    match state {
        State::Original => "original",
        State::Patched => "patched",
        State::Changed => "changed by somebody else",
        State::Missing => "not there",
        State::Unknown => "unknown",
    }
}

fn print(standing: &Standing, interrupted: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let paint = if standing.is_as_recorded() { Paint::Good } else { Paint::Bad };
    let state = session.paint(paint, word(standing.state));
    writeln!(session.out, "{}: {state}", output::path(&standing.path))?;
    for place in &standing.recorded_at {
        writeln!(session.out, "  recorded as {}", output::path(place))?;
    }
    if let (State::Patched | State::Changed | State::Missing, Some(original)) = (standing.state, &standing.original) {
        let backup = match standing.backup {
            Backup::Whole => session.paint(Paint::Good, "backup whole"),
            Backup::Damaged => session.paint(Paint::Bad, "backup DAMAGED"),
            Backup::Missing => session.paint(Paint::Bad, "backup MISSING"),
            Backup::Dropped => {
                let by = standing.dropped_by.map(|line| format!(" (line {line} of the journal)")).unwrap_or_default();
                session.paint(Paint::Bad, format!("backup DROPPED{by}"))
            }
            Backup::None => "no backup".to_owned(),
        };
        writeln!(session.out, "  original {original}, {backup}")?;
    }
    if standing.state == State::Missing {
        writeln!(
            session.out,
            "  if it will not be there again: kmodlab vault forget {}",
            output::shell_word(&standing.path)
        )?;
    }
    if interrupted {
        let note = session.paint(Paint::Bad, "an interrupted run left it: kmodlab recover finishes or undoes that");
        writeln!(session.out, "  {note}")?;
    }
    Ok(())
}

/// A module's standing as JSON.
#[derive(Serialize)]
struct Verified {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    state: State,
    current: Option<Sha256>,
    original: Option<Sha256>,
    backup: Backup,
    /// The number of the journal's line, if the backup was dropped
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by: Option<u64>,
    recorded_at: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded_at_hex: Option<Vec<Option<String>>>,
    interrupted: bool,
}

impl Verified {
    fn of(standing: &Standing, interrupted: bool) -> Verified {
        Verified {
            schema_version: 1,
            module: output::path_text(&standing.path).into_owned(),
            path_hex: output::path_hex(&standing.path),
            state: standing.state,
            current: standing.current,
            original: standing.original,
            backup: standing.backup,
            dropped_by: standing.dropped_by,
            recorded_at: standing.recorded_at.iter().map(|path| output::path_text(path).into_owned()).collect(),
            recorded_at_hex: output::paths_hex(&standing.recorded_at),
            interrupted,
        }
    }
}
