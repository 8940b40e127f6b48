//! `recover`: finishes or undoes what an interrupted run left. Every command that writes does it first.

use std::path::Path;

use crate::cli::Status;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::error::{Error, ErrorKind, Remedy};
use crate::vault::recovery::{Outcome, Recovered};
use crate::vault::{Locked, Vault, restore};

#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    // Without a state folder nothing was interrupted, and none is made to find that out.
    let outcomes = if vault.is_there() { vault.lock()?.recover()? } else { Vec::new() };
    if outcomes.is_empty() {
        writeln!(session.out, "nothing to recover")?;
    }
    for recovered in &outcomes {
        let (paint, text) = match &recovered.outcome {
            Outcome::Done => (Paint::Good, "finished: it is as after it".to_owned()),
            Outcome::Undone => (Paint::Good, "undone: it is as before it".to_owned()),
            Outcome::Conflict(why) => (
                Paint::Bad,
                format!(
                    "conflict: {why}; nothing was written (kmodlab restore --discard-changes puts the original back)"
                ),
            ),
            Outcome::Later(why) => (Paint::Bad, format!("not settled: {why}; run this again when that is mended")),
        };
        let text = session.paint(paint, text);
        writeln!(session.out, "{}: interrupted {}, {text}", output::path(&recovered.path), recovered.operation.name())?;
    }
    let any = |wanted: fn(&Outcome) -> bool| outcomes.iter().any(|r| wanted(&r.outcome));
    Ok(match (any(|o| matches!(o, Outcome::Later(_))), any(|o| matches!(o, Outcome::Conflict(_)))) {
        (true, _) => Status::Failed,
        (false, true) => Status::Conflict,
        (false, false) => Status::Done,
    })
}

/// Locks the vault and recovers, before a command writes. What was found is told on stderr.
pub(super) fn first<'v>(vault: &'v Vault, session: &mut Session<'_>) -> Result<(Locked<'v>, Vec<Recovered>), Error> {
    let mut locked = vault.lock()?;
    let outcomes = locked.recover()?;
    for recovered in &outcomes {
        let what = match &recovered.outcome {
            Outcome::Done => "an interrupted run was finished".to_owned(),
            Outcome::Undone => "an interrupted run was undone".to_owned(),
            Outcome::Conflict(why) | Outcome::Later(why) => format!("an interrupted run can't be settled: {why}"),
        };
        session.remark(format_args!("{}: {what} ({})", output::path(&recovered.path), recovered.operation.name()));
    }
    Ok((locked, outcomes))
}

/// Refuses a file whose interrupted operation could not be settled.
pub(super) fn must_be_settled<'r>(outcomes: impl IntoIterator<Item = &'r Recovered>, path: &Path) -> Result<(), Error> {
    for recovered in outcomes.into_iter().filter(|r| r.path == path) {
        match &recovered.outcome {
            Outcome::Done | Outcome::Undone => {}
            Outcome::Conflict(_) => return Err(restore::conflict(path)),
            Outcome::Later(why) => {
                let what = format!("an interrupted run is not settled: {why}");
                return Err(Error::new(ErrorKind::NeedsRecovery, what).remedy(Remedy::FixThenRecover).on(path));
            }
        }
    }
    Ok(())
}
