//! `vault import`: backups and journal of another machine.

use std::path::PathBuf;

use crate::change::{self, Import, ImportReport};
use crate::cli::confirmation::ChangeArgs;
use crate::cli::output::{Failure, Paint, Progress, Session, count};
use crate::cli::recover;
use crate::cli::status::Status;
use crate::error::Result;
use crate::vault::{Vault, signature};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The file that vault export wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Import the backups, and no line of the journal
    #[arg(long)]
    backups_only: bool,
    /// Only if FILE.sig is a signature by one of these SSH keys: an allowed_signers file (ssh-keygen(1)), or a public key
    #[arg(long, value_name = "KEYS")]
    verify: Option<PathBuf>,
    #[command(flatten)]
    pub(super) change: ChangeArgs,
}

pub(super) fn run(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let plan = |session: &Session<'_>| -> Result<Import> {
        let progress = Progress::of("file", || None);
        Import::plan(vault, &args.file, session.max_size, args.backups_only, || progress.step())
    };
    let writer = match args.change.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer(vault, session)?),
    };
    let signer = args.verify.as_deref().map(|keys| signature::verify(&args.file, keys)).transpose()?;
    let mut import = plan(session)?;
    if let Some(signer) = signer {
        import.must_be_signed(signer)?;
    }
    let report = import.report(!args.change.dry_run);
    args.change.show(&report, session, |session| print(&report, session))?;
    if args.change.dry_run || import.is_done() {
        writer.as_ref().map_or(Ok(()), |writer| writer.flush_journal())?;
        match (args.change.json, args.change.dry_run) {
            (true, true) => {}
            (true, false) => session.json(&import.report(false))?,
            (false, _) if import.is_done() => writeln!(session.out, "nothing is left to import")?,
            (false, _) => {}
        }
        return Ok(Status::Done);
    }
    let to = format!("import {}", what(&report));
    let confirmed = args.change.confirmed(import, &to, "vault import -n", session)?;
    let progress = Progress::new("backup", report.backups.len() + report.backups_here);
    let mut writer = match writer {
        Some(writer) => writer,
        None => recover::writer(vault, session)?,
    };
    change::import(confirmed, &mut writer, || progress.step())?;
    drop(progress);
    match args.change.json {
        true => session.json(&report)?,
        false => writeln!(session.out, "{} {}", session.paint(Paint::Good, "imported"), what(&report))?,
    }
    for sha in report.repaired.iter().filter(|_| !args.change.json) {
        writeln!(session.out, "  repaired  {sha}")?;
    }
    Ok(Status::Done)
}

fn what(report: &ImportReport) -> String {
    let lines = usize::try_from(report.new_lines).unwrap_or(usize::MAX);
    format!("{} and {}", count(lines, "line"), count(report.backups.len(), "backup"))
}

fn print(report: &ImportReport, session: &mut Session<'_>) -> Result<(), Failure> {
    let head = report.head.map(|head| format!(", last hash {head}")).unwrap_or_default();
    let repaired = match report.repaired.len() {
        0 => String::new(),
        number => format!(", {number} of them instead of a damaged one"),
    };
    let lines = count(usize::try_from(report.lines).unwrap_or(usize::MAX), "line");
    writeln!(session.out, "intact: every byte is as it was exported")?;
    writeln!(session.out, "  sha256   {}", report.sha256)?;
    if let Some(signer) = &report.signed_by {
        let name = crate::escape::for_eyes(&signer.name);
        writeln!(session.out, "  signed   by {}, {}", session.paint(Paint::Good, name), signer.key)?;
    }
    writeln!(session.out, "  journal  {lines}{head}; {} would be appended", report.new_lines)?;
    let (missing, here) = (report.backups.len(), report.backups_here);
    writeln!(session.out, "  backups  {}; {missing} would be written{repaired}", missing + here)?;
    if let Some(digest) = report.digest {
        writeln!(session.out, "  digest   {}", session.paint(Paint::Strong, digest))?;
    }
    Ok(())
}
