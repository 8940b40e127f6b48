//! `recover`: completes or rolls back interrupted operations. Every command that writes does it first.

use crate::cli::known;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::status::Status;
use crate::error::Error;
use crate::vault::recovered::{Recovered, RecoveryOutcome, RecoveryReport};
use crate::vault::{Vault, Writer};

#[derive(clap::Args)]
pub(super) struct Args {
    /// One JSON object per line and interrupted operation
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    // Without a state folder nothing was interrupted, and none is created to find that out.
    let (outcomes, damaged) = match vault.is_there() {
        true => {
            let writer = vault.writer()?;
            (writer.recovered().to_vec(), writer.damaged_intents().to_vec())
        }
        false => (Vec::new(), Vec::new()),
    };
    known::warn_of_intents(&damaged, session);
    if args.json {
        outcomes.iter().try_for_each(|recovered| session.json(&RecoveryReport::of(recovered)))?;
    } else {
        print(&outcomes, session)?;
    }
    let any = |wanted: fn(&RecoveryOutcome) -> bool| outcomes.iter().any(|r| wanted(&r.outcome));
    Ok(match (any(|o| matches!(o, RecoveryOutcome::Later(_))), any(|o| matches!(o, RecoveryOutcome::Conflict(_)))) {
        (true, _) => Status::Failed,
        (false, true) => Status::Conflict,
        (false, false) if !damaged.is_empty() => Status::Failed,
        (false, false) => Status::Done,
    })
}

fn print(outcomes: &[Recovered], session: &mut Session<'_>) -> Result<(), Failure> {
    if outcomes.is_empty() {
        writeln!(session.out, "nothing to recover")?;
    }
    for recovered in outcomes {
        let (paint, text) = match &recovered.outcome {
            RecoveryOutcome::Done => (Paint::Good, "completed: the file has its new contents".to_owned()),
            RecoveryOutcome::Undone => (Paint::Good, "rolled back: the file has its old contents".to_owned()),
            RecoveryOutcome::Conflict(why) => (
                Paint::Bad,
                format!(
                    "conflict: {why}; nothing was written (kmodlab restore --discard-changes puts the original back)"
                ),
            ),
            RecoveryOutcome::Later(why) => {
                (Paint::Bad, format!("not settled: {why}; fix that, then run kmodlab recover again"))
            }
        };
        let text = session.paint(paint, text);
        writeln!(session.out, "{}: interrupted {}, {text}", output::path(&recovered.path), recovered.operation.name())?;
    }
    Ok(())
}

/// The vault's writer, for a command that writes. What was recovered is reported on stderr.
pub(super) fn writer<'v>(vault: &'v Vault, session: &mut Session<'_>) -> Result<Writer<'v>, Error> {
    let writer = vault.writer()?;
    for recovered in writer.recovered() {
        let what = match &recovered.outcome {
            RecoveryOutcome::Done => "an interrupted operation was completed".to_owned(),
            RecoveryOutcome::Undone => "an interrupted operation was rolled back".to_owned(),
            RecoveryOutcome::Conflict(why) | RecoveryOutcome::Later(why) => {
                format!("an interrupted operation can't be settled: {why}")
            }
        };
        session.remark(format_args!("{}: {what} ({})", output::path(&recovered.path), recovered.operation.name()));
    }
    known::warn_of_intents(writer.damaged_intents(), session);
    Ok(writer)
}

/// As [`writer`], for a command whose lines a damaged journal does not take.
pub(super) fn writer_of_new<'v>(vault: &'v Vault, session: &mut Session<'_>) -> Result<Writer<'v>, Error> {
    let writer = writer(vault, session)?;
    writer.must_be_whole()?;
    Ok(writer)
}
