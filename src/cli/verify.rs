//! `verify`: is each module as recorded?

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::Status;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::error::{Error, ErrorKind};
use crate::vault::history::History;
use crate::vault::state::{Backup, Standing, State, standing};
use crate::vault::target;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files [default: all that the journal knows]
    #[arg(value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// One JSON object a module, in a line each
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    let journal = vault.journal()?;
    let history = History::of(&journal.entries);
    let pending = vault.pending()?;
    let known = match args.modules.is_empty() {
        true => {
            let interrupted = pending.iter().map(|intent| intent.change.path.as_path());
            history.files().map(|(path, _)| path).chain(interrupted).map(Path::to_owned).collect::<BTreeSet<_>>()
        }
        false => BTreeSet::new(),
    };
    let files: Vec<PathBuf> = known.into_iter().chain(args.modules.iter().cloned()).collect();
    if files.is_empty() && !args.json {
        writeln!(session.out, "the journal knows no module")?;
    }
    let is_pending = |path: &Path| pending.iter().any(|intent| intent.change.path == path);
    let (mut failed, mut changed) = (0, 0);
    for path in &files {
        let looked = target::real_path(path).and_then(|real| standing(&vault, &history, &real));
        let looked = looked.and_then(|standing| match standing.state {
            // An interrupted first operation: its intent knows the file, the journal does not yet.
            _ if is_pending(&standing.path) => Ok(standing),
            State::Unknown => {
                let what = "the journal knows neither this path nor these bytes";
                Err(Error::new(ErrorKind::NotFound, what).hint("kmodlab log shows what was done to which file"))
            }
            State::Missing if history.at(&standing.path).is_none() => {
                Err(Error::new(ErrorKind::NotFound, "no such file"))
            }
            _ => Ok(standing),
        });
        match looked {
            Ok(standing) => {
                let interrupted = is_pending(&standing.path);
                changed += usize::from(!standing.is_as_recorded() || interrupted);
                match args.json {
                    true => session.json(&Verified::of(&standing, interrupted))?,
                    false => print(&standing, interrupted, session)?,
                }
            }
            Err(error) => {
                session.complain(&error.on(path));
                failed += 1;
            }
        }
    }
    Ok(match (failed, changed, files.len()) {
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
            Backup::None => "no backup".to_owned(),
        };
        writeln!(session.out, "  original {original}, {backup}")?;
    }
    if interrupted {
        let note = session.paint(Paint::Bad, "an interrupted run left it: kmodlab recover finishes or undoes that");
        writeln!(session.out, "  {note}")?;
    }
    Ok(())
}

/// A module's standing as JSON.
#[derive(Serialize)]
struct Verified<'s> {
    schema_version: u32,
    module: String,
    state: State,
    current: Option<&'s str>,
    original: Option<&'s str>,
    backup: Backup,
    recorded_at: Vec<String>,
    interrupted: bool,
}

impl<'s> Verified<'s> {
    fn of(standing: &'s Standing, interrupted: bool) -> Verified<'s> {
        Verified {
            schema_version: 1,
            module: standing.path.to_string_lossy().into_owned(),
            state: standing.state,
            current: standing.current.as_deref(),
            original: standing.original.as_deref(),
            backup: standing.backup,
            recorded_at: standing.recorded_at.iter().map(|p| p.to_string_lossy().into_owned()).collect(),
            interrupted,
        }
    }
}
