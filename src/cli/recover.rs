//! `recover`: finishes or undoes what an interrupted run left. Every command that writes does it first.

use crate::cli::Status;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::error::Error;
use crate::vault::recovery::Outcome;
use crate::vault::{Vault, Writer};

#[derive(clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    // Without a state folder nothing was interrupted, and none is made to find that out.
    let outcomes = if vault.is_there() { vault.writer()?.recovered().to_vec() } else { Vec::new() };
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

/// The vault's writer, for a command that writes. What was recovered is reported on stderr.
pub(super) fn writer<'v>(vault: &'v Vault, session: &mut Session<'_>) -> Result<Writer<'v>, Error> {
    let writer = vault.writer()?;
    for recovered in writer.recovered() {
        let what = match &recovered.outcome {
            Outcome::Done => "an interrupted run was finished".to_owned(),
            Outcome::Undone => "an interrupted run was undone".to_owned(),
            Outcome::Conflict(why) | Outcome::Later(why) => format!("an interrupted run can't be settled: {why}"),
        };
        session.remark(format_args!("{}: {what} ({})", output::path(&recovered.path), recovered.operation.name()));
    }
    Ok(writer)
}
