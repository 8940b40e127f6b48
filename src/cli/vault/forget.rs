//! `vault forget`: no patched module is expected at these paths any more.

use std::path::PathBuf;

use crate::change::{Confirmable, Forget, forget_paths, forgettable_path};
use crate::cli::confirmation::ChangeArgs;
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::recover;
use crate::cli::status::Status;
use crate::vault::Vault;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Paths at which a patched module was, whether or not they exist
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

/// Forgets all paths that are named, or none.
pub(super) fn run(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| session.place(path)).collect();
    let mut writer = match args.change.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer_of_new(vault, session)?),
    };
    if let Some(writer) = &writer {
        paths.iter().try_for_each(|path| writer.must_be_settled(&forgettable_path(path)))?;
    }
    let forget = Forget::plan(vault, &paths)?;
    let paths = count(forget.count(), "path");
    let report = forget.report(true);
    args.change.show(&forget.report(false), session, |session| print(&forget, &paths, session))?;
    let Some(writer) = writer.as_mut().filter(|_| !args.change.dry_run) else { return Ok(Status::Done) };
    let to = if forget.count() == 1 { "forget this path" } else { "forget these paths" };
    let confirmed = args.change.confirmed(forget, to, "vault forget -n", session)?;
    forget_paths(confirmed, writer)?;
    match args.change.json {
        true => session.json(&report)?,
        false => writeln!(session.out, "{} {paths}", session.paint(Paint::Good, "forgot"))?,
    }
    Ok(Status::Done)
}

fn print(forget: &Forget, paths: &str, session: &mut Session<'_>) -> Result<(), Failure> {
    for (path, changes) in forget.paths() {
        writeln!(session.out, "{}", output::path(path))?;
        for change in changes {
            writeln!(session.out, "  patched   {}", change.after)?;
            writeln!(session.out, "  original  {}", change.before)?;
        }
    }
    writeln!(session.out, "{paths} would be forgotten: no module is expected there, and no backup is needed for it")?;
    writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, forget.digest()))?;
    Ok(())
}
