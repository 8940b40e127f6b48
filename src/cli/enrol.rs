//! `enrol`: a person declares this machine a lab machine, where modules in use may be patched.

use std::path::Path;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{Failure, Session};
use crate::cli::{Status, recover};
use crate::guard::enrol;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Take it back
    #[arg(long, conflicts_with_all = ["dry_run", "confirm"])]
    undo: bool,
    /// Say what it means, and the digest; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Enrol the machine of this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let root = Path::new("/");
    let vault = session.vault()?;
    if args.undo {
        let mut writer = recover::writer(&vault, session)?;
        enrol::unenrol(&mut writer)?;
        writeln!(session.out, "this machine is no lab machine")?;
        return Ok(Status::Done);
    }
    let machine = enrol::machine(root)?;
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if args.dry_run || (session.may_ask && args.confirm.is_none()) {
        let traces = session.machine(&vault).virtual_traces();
        let traces = traces.unwrap_or_else(|| "nothing virtual".to_owned());
        writeln!(
            session.out,
            "a lab machine is one that nobody will miss: on it the guards live-tree and loaded no longer refuse"
        )?;
        writeln!(
            session.out,
            "  machine  {}, which looks like {traces} (that unlocks nothing)",
            crate::escape::for_eyes(&name)
        )?;
        writeln!(
            session.out,
            "  now      {}",
            if enrol::is_enrolled(&vault, root) { "enrolled" } else { "not enrolled" }
        )?;
        writeln!(session.out, "  digest   {machine}")?;
    }
    if args.dry_run {
        return Ok(Status::Done);
    }
    let question = Question { to: "declare it a lab machine", word: &name, digest: machine, see: "enrol -n" };
    confirm(&question, args.confirm.as_deref(), session)?;
    let mut writer = recover::writer(&vault, session)?;
    enrol::enrol(&mut writer, root)?;
    writeln!(session.out, "this machine is a lab machine now; kmodlab enrol --undo takes it back")?;
    Ok(Status::Done)
}
