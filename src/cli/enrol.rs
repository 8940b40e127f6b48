//! `enrol`: a person declares this machine a lab machine, where modules in use may be patched.

use std::path::Path;

use crate::change::{Confirmable, Enrolment, enrol, withdraw};
use crate::cli::confirmation::confirmed;
use crate::cli::output::{Failure, Session};
use crate::cli::recover;
use crate::cli::run::MessageArg;
use crate::cli::status::Status;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Withdraw the enrolment
    #[arg(long, conflicts_with_all = ["dry_run", "confirm"])]
    undo: bool,
    /// Print what an enrolment means, and its digest; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Enrol the machine of this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
    #[command(flatten)]
    message: MessageArg,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault_with(&args.message)?;
    if args.undo {
        withdraw(&mut recover::writer(&vault, session)?)?;
        writeln!(session.out, "this machine is no lab machine")?;
        return Ok(Status::Done);
    }
    let enrolment = Enrolment::of(Path::new("/"))?;
    if args.dry_run || (session.may_ask && args.confirm.is_none()) {
        let machine = session.machine(&vault);
        let traces = machine.virtual_traces().unwrap_or_else(|| "nothing virtual".to_owned());
        writeln!(
            session.out,
            "a lab machine is one that nobody will miss: on it the guards live-tree and loaded do not refuse"
        )?;
        writeln!(
            session.out,
            "  machine  {}, which looks like {traces} (that unlocks nothing)",
            crate::escape::for_eyes(&enrolment.name_to_type())
        )?;
        let now = if machine.is_lab_machine() { "enrolled" } else { "not enrolled" };
        writeln!(session.out, "  now      {now}")?;
        writeln!(session.out, "  digest   {}", enrolment.digest())?;
    }
    if args.dry_run {
        return Ok(Status::Done);
    }
    let confirmed = confirmed(enrolment, "declare it a lab machine", "enrol -n", args.confirm.as_deref(), session)?;
    enrol(confirmed, &mut recover::writer_of_new(&vault, session)?)?;
    writeln!(session.out, "this machine is a lab machine now; kmodlab enrol --undo withdraws that")?;
    Ok(Status::Done)
}
