//! `vault`: which backups are kept and what needs them; whether they are whole; dropping those that nothing needs.

mod export;
mod forget;
mod import;
mod repair;

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::change::{self, BackupDrop, BackupDropReport, Confirmable};
use crate::cli::confirmation::ChangeArgs;
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, grouped};
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::cli::{known, recover};
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::vault::Vault;
use crate::vault::inventory::{self, BackupSource, BackupTotal, Inventory, KeepReason, KeptBackup};
use crate::vault::objects::Object;
use crate::vault::reports::{BackupReport, MissingBackupReport};

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print one line per backup
    #[arg(short, long)]
    list: bool,
    #[command(flatten)]
    foreign: ForeignArg,
    /// One JSON object per line and backup
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Read all backups and compare each with its name
    Verify {
        #[command(flatten)]
        foreign: ForeignArg,
        /// One JSON object per line and backup
        #[arg(long)]
        json: bool,
    },
    /// Print a backup's contents: uncompressed, and only if they match its name
    Cat {
        /// The backup, by its SHA-256; 8 digits are enough if no other begins with them
        #[arg(value_name = "SHA")]
        backup: String,
        #[command(flatten)]
        foreign: ForeignArg,
    },
    /// Drop backups that no patched file needs, after a confirmation
    ///
    /// The journal does not know of copies. A patched module that was copied elsewhere can't be restored any more once the
    /// backup of its original is dropped.
    Drop(DropArgs),
    /// Forget paths at which no patched module is expected any more, after a confirmation
    ///
    /// `verify` and `restore --all` report a module that was deleted, or moved and restored elsewhere, as missing until its old
    /// path is forgotten. Then nothing needs its backup; until the backup is dropped, a patched copy that is found elsewhere can
    /// be restored. No module is written.
    Forget(forget::Args),
    /// Write the backups and the journal to one file, each verified, for another machine or for safekeeping
    ///
    /// It is a tar archive, which also unpacks to a state folder. A damaged backup is named and left out, and the exit status is 1.
    Export(export::Args),
    /// Import an export: verify the whole file, then add its backups and its journal, after a confirmation
    ///
    /// Backups that are here stay as they are; damaged ones are replaced. The lines of the journal are appended if the journal here is
    /// empty or is their beginning; a journal that contradicts them is not changed.
    Import(import::Args),
    /// Start a new part of a damaged journal, after a confirmation
    ///
    /// The files of the damaged journal stay, under other names, and the lines that are left in them count as before. The first
    /// line of the new part names the damage. Until then only restores are recorded. No module is written.
    Repair(repair::Args),
}

#[derive(clap::Args)]
struct DropArgs {
    /// Backups, by their SHA-256
    #[arg(value_name = "SHA", required_unless_present = "unneeded")]
    backups: Vec<String>,
    /// All backups that no patched file needs, except for orphans and discarded changes, of which there may be no other copy
    #[arg(long, conflicts_with = "backups")]
    unneeded: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    match &args.action {
        None => show(&session.vault_to_read(&args.foreign)?, &args, session),
        Some(Action::Verify { json, foreign }) => verify(&session.vault_to_read(foreign)?, *json, session),
        Some(Action::Cat { backup, foreign }) => cat(&session.vault_to_read(foreign)?, backup, session),
        Some(Action::Drop(args)) => drop_backups(&session.vault_with(&args.change.message)?, args, session),
        Some(Action::Forget(args)) => forget::run(&session.vault_with(&args.change.message)?, args, session),
        Some(Action::Export(args)) => export::run(&session.vault_to_read(&args.foreign)?, args, session),
        Some(Action::Import(args)) => import::run(&session.vault_with(&args.change.message)?, args, session),
        Some(Action::Repair(args)) => repair::run(&session.vault_with(&args.change.message)?, args, session),
    }
}

/// The backups, and whether the journal or an intent is damaged.
fn inventory_of(vault: &Vault, session: &mut Session<'_>) -> Result<(Inventory, bool)> {
    let (journal, pending) = (vault.journal()?, vault.pending()?);
    if pending.is_empty() {
        known::warn_of_doubt(vault, journal.entries.is_empty(), journal.is_torn, session)?;
    }
    let mut is_damaged = known::warn_of_damage(&journal.damage, session);
    is_damaged |= known::warn_of_intents(&vault.damaged_intents()?, session);
    Ok((Inventory::of(vault, &journal.entries, &pending)?, is_damaged))
}

fn show(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lines = usize::try_from(vault.chain(None)?.lines).unwrap_or(usize::MAX);
    let (inventory, is_damaged) = inventory_of(vault, session)?;
    let status = if inventory.missing.is_empty() && !is_damaged { Status::Done } else { Status::Negative };
    if args.json {
        for kept in &inventory.objects {
            session.json(&BackupReport::of(kept, None))?;
        }
        for (sha, missing) in &inventory.missing {
            session.json(&MissingBackupReport::of(*sha, missing))?;
        }
        return Ok(status);
    }
    let summary = inventory.summary();
    let text = |total: BackupTotal| match total.count {
        0 => "none".to_owned(),
        number => format!("{number}, {} bytes", grouped(total.bytes)),
    };
    let needed_by = match summary.needed_by {
        0 => String::new(),
        files => format!(", by {}", count(files, "patched module")),
    };
    let pending = vault.pending()?.len();
    writeln!(session.out, "{}", output::path(vault.folder()))?;
    writeln!(session.out, "  backups     {}", text(summary.all))?;
    writeln!(session.out, "  plain       {}", text(summary.plain))?;
    writeln!(session.out, "  compressed  {}", text(summary.compressed))?;
    writeln!(session.out, "  needed      {}{needed_by}", text(summary.needed))?;
    writeln!(session.out, "  discarded   {}", text(summary.discarded))?;
    writeln!(session.out, "  unneeded    {}", text(summary.unneeded))?;
    writeln!(session.out, "  orphans     {}", text(summary.orphans))?;
    if summary.missing > 0 {
        let missing = format!("{}; kmodlab vault verify lists them", summary.missing);
        writeln!(session.out, "  missing     {}", session.paint(Paint::Bad, missing))?;
    }
    writeln!(session.out, "  journal     {}", count(lines, "line"))?;
    if pending > 0 {
        let text = format!("{}; kmodlab recover settles them", count(pending, "interrupted operation"));
        writeln!(session.out, "  pending     {}", session.paint(Paint::Bad, text))?;
    }
    if args.list {
        for kept in &inventory.objects {
            print(kept, session)?;
        }
        return Ok(status);
    }
    if summary.unneeded.count > 0 {
        writeln!(session.out, "kmodlab vault drop --unneeded -n prints which backups nothing needs")?;
    }
    if summary.discarded.count + summary.orphans.count > 0 {
        let text = "discarded changes and orphans may have no other copy; only their SHA-256 drops them";
        writeln!(session.out, "{text} (kmodlab vault --list)")?;
    }
    Ok(status)
}

fn print(kept: &KeptBackup, session: &mut Session<'_>) -> Result<(), Failure> {
    /// How many lines of a backup are printed: a module that is in many trees has many.
    const PRINTED: usize = 3;
    let KeptBackup { object, why, sources } = kept;
    let form = if object.is_compressed { "compressed" } else { "plain" };
    writeln!(session.out, "{}  {:>12} {form}", object.sha, grouped(object.size))?;
    match why {
        KeepReason::Needed(by) => {
            by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?
        }
        KeepReason::Discarded => {
            writeln!(session.out, "  discarded: changes by somebody else; there may be no other copy")?;
        }
        KeepReason::Unneeded => writeln!(session.out, "  unneeded")?,
        KeepReason::Orphan => {
            writeln!(session.out, "  orphan: no line of the journal names it; it may be the only original")?;
        }
    }
    for BackupSource { line, operation, path } in sources.iter().take(PRINTED) {
        writeln!(session.out, "  from line {line}: {} {}", operation.name(), output::path(path))?;
    }
    if let more @ 1.. = sources.len().saturating_sub(PRINTED) {
        writeln!(session.out, "  and from {}", count(more, "more line"))?;
    }
    Ok(())
}

fn verify(vault: &Vault, json: bool, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (inventory, is_damaged) = inventory_of(vault, session)?;
    let progress = Mutex::new(Progress::new("backup", inventory.objects.len()));
    let whole = inventory.verify(vault, || progress.lock().unwrap_or_else(|e| e.into_inner()).step());
    drop(progress);
    for (kept, is_whole) in whole.backups() {
        if json {
            session.json(&BackupReport::of(kept, Some(is_whole)))?;
        } else if !is_whole {
            print_damaged(kept, whole.other_form(kept), session)?;
        }
    }
    let damaged = whole.damaged();
    for (sha, missing) in &inventory.missing {
        if json {
            session.json(&MissingBackupReport::of(*sha, missing))?;
            continue;
        }
        let by = missing.dropped_by.map(|line| format!(": dropped by line {line} of the journal")).unwrap_or_default();
        writeln!(session.out, "{sha}: {}{by}", session.paint(Paint::Bad, "MISSING"))?;
        missing.by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
    }
    if !json {
        writeln!(session.out, "{} whole", count(inventory.objects.len() - damaged, "backup"))?;
    }
    Ok(if damaged > 0 || is_damaged || !inventory.missing.is_empty() { Status::Negative } else { Status::Done })
}

fn print_damaged(kept: &KeptBackup, whole_form: Option<&Object>, session: &mut Session<'_>) -> Result<(), Failure> {
    let what = session.paint(Paint::Bad, "DAMAGED: its contents do not match its name");
    writeln!(session.out, "{}: {what}", kept.object.file_name())?;
    match (whole_form, &kept.why) {
        (Some(other), _) => {
            let (other, this) = (other.file_name(), kept.object.file_name());
            writeln!(session.out, "  {other} is whole, and a restore uses it; {this} can be removed by hand")?;
        }
        (None, KeepReason::Needed(by)) => {
            by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
        }
        (None, _) => {}
    }
    Ok(())
}

fn drop_backups(vault: &Vault, args: &DropArgs, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut writer = match args.change.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer_of_new(vault, session)?),
    };
    let (inventory, _) = inventory_of(vault, session)?;
    let backups: BTreeSet<Sha256> = match args.unneeded {
        true => inventory.unneeded(),
        false => args.backups.iter().map(|name| inventory::backup_named(name)).collect::<Result<_>>()?,
    };
    let Some(drop) = BackupDrop::plan(&inventory, backups)? else {
        match args.change.json {
            true => session.json(&BackupDropReport::nothing())?,
            false => writeln!(session.out, "nothing is unneeded")?,
        }
        return Ok(Status::Done);
    };
    let (backups, report) = (count(drop.count(), "backup"), drop.report(true));
    args.change.show(&drop.report(false), session, |session| {
        for kept in inventory.objects.iter().filter(|kept| drop.contains(kept)) {
            print(kept, session)?;
        }
        writeln!(session.out, "{backups} would be removed; patched copies elsewhere could not be restored any more")?;
        writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, drop.digest()))?;
        Ok(())
    })?;
    let Some(writer) = writer.as_mut().filter(|_| !args.change.dry_run) else { return Ok(Status::Done) };
    let these = if drop.count() == 1 { "this backup" } else { "these backups" };
    let to = format!("drop {these}, after which patched copies elsewhere can't be restored");
    let confirmed = args.change.confirmed(drop, &to, "vault drop -n", session)?;
    change::drop_backups(confirmed, writer)?;
    match args.change.json {
        true => session.json(&report)?,
        false => writeln!(session.out, "{} {backups}", session.paint(Paint::Good, "dropped"))?,
    }
    Ok(Status::Done)
}

/// Writes a backup to stdout.
fn cat(vault: &Vault, name: &str, session: &mut Session<'_>) -> Result<Status, Failure> {
    if session.escapes {
        let what = "a backup is binary, and stdout is a terminal";
        return Err(Error::new(ErrorKind::Usage, what).hint("send it to a file: kmodlab vault cat SHA > FILE").into());
    }
    let backup = vault.objects().beginning_with(name)?;
    session.out.write_all(&vault.objects().get(backup)?)?;
    Ok(Status::Done)
}
