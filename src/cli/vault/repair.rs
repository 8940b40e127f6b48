//! `vault repair`: a new part of a damaged journal begins, and names the damage.

use crate::change::{Confirmable, Repair, repair_journal};
use crate::cli::confirmation::ChangeArgs;
use crate::cli::output::{Failure, Paint, Session};
use crate::cli::status::Status;
use crate::cli::{known, recover};
use crate::vault::Vault;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

pub(super) fn run(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    // Without a state folder there is no journal, and none is created to find that out.
    let mut writer = if vault.is_there() { Some(recover::writer(vault, session)?) } else { None };
    let repair = writer.as_ref().map(Repair::plan).transpose()?.flatten();
    let (Some(repair), Some(writer)) = (repair, writer.as_mut()) else {
        if !args.change.json {
            writeln!(session.out, "the journal is whole; nothing to repair")?;
        }
        return Ok(Status::Done);
    };
    let report = repair.report(true);
    args.change.show(&repair.report(false), session, |session| print(&repair, session))?;
    if args.change.dry_run {
        return Ok(Status::Negative);
    }
    let confirmed = args.change.confirmed(repair, "repair the journal", "vault repair -n", session)?;
    let entry = repair_journal(confirmed, writer)?;
    match args.change.json {
        true => session.json(&report)?,
        false => {
            let done = session.paint(Paint::Good, "repaired");
            writeln!(
                session.out,
                "{done}: line {} begins a new part of the journal; {} stays",
                entry.seq, report.part
            )?;
        }
    }
    Ok(Status::Done)
}

fn print(repair: &Repair, session: &mut Session<'_>) -> Result<(), Failure> {
    for damage in repair.damage() {
        writeln!(session.out, "{}", known::damage_text(damage))?;
    }
    let part = repair.part();
    writeln!(session.out, "the journal so far would stay as {part}; a new part would begin, and name this damage")?;
    writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, repair.digest()))?;
    Ok(())
}
