//! `vault`: which backups are kept and what needs them; are they whole; those that nothing needs can go.

mod forget;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, grouped};
use crate::cli::status::Status;
use crate::cli::{known, recover};
use crate::digest::{Sha256, sha256};
use crate::error::Error;
use crate::vault::Vault;
use crate::vault::inventory::{Inventory, Kept, Missing, Source, Why, may_be_dropped, no_such_backup};
use crate::vault::objects::Object;
use crate::vault::record::Operation;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// Each backup in a line
    #[arg(short, long)]
    list: bool,
    /// One JSON object a backup, in a line each
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum What {
    /// Read all backups and compare each with its name
    Verify {
        /// One JSON object a backup, in a line each
        #[arg(long)]
        json: bool,
    },
    /// Drop backups that no patched file needs, after a confirmation
    ///
    /// The journal does not know of copies. A patched module that was copied elsewhere can't be restored any more once the
    /// backup of its original is dropped.
    Drop(Drop),
    /// Let go of paths at which patched modules were and will not be again, after a confirmation
    ///
    /// A module that is gone for good, or was moved and restored elsewhere, is missed in its old place by `verify` and
    /// `restore --all` until its path is forgotten. Then nothing needs its backup any more; until that is dropped, a
    /// patched copy that turns up elsewhere can be restored. No module is written.
    Forget(forget::Args),
}

#[derive(clap::Args)]
struct Drop {
    /// Backups, by their SHA-256
    #[arg(value_name = "SHA", required_unless_present = "unneeded")]
    backups: Vec<String>,
    /// All that no patched file needs, but for orphans and for what was discarded: of these there may be no other copy
    #[arg(long, conflicts_with = "backups")]
    unneeded: bool,
    /// Say what would go, and the digest; drop nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Drop exactly the backups of this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    match &args.what {
        None => show(&vault, &args, session),
        Some(What::Verify { json }) => verify(&vault, *json, session),
        Some(What::Drop(drop)) => self::drop(&vault, drop, session),
        Some(What::Forget(args)) => forget::run(&vault, args, session),
    }
}

fn inventory(vault: &Vault, session: &mut Session<'_>) -> Result<Inventory, Error> {
    let (journal, pending) = (vault.journal()?, vault.pending()?);
    if pending.is_empty() {
        known::tell_doubt(vault, journal.entries.is_empty(), journal.is_torn, session)?;
    }
    Inventory::of(vault, &journal.entries, &pending)
}

fn show(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut lines = 0_usize;
    vault.each_line(|_, _| lines += 1)?;
    let inventory = inventory(vault, session)?;
    let status = if inventory.missing.is_empty() { Status::Done } else { Status::Negative };
    if args.json {
        for kept in &inventory.objects {
            session.json(&Shown::of(kept, None))?;
        }
        for (sha, missing) in &inventory.missing {
            session.json(&Gone::of(*sha, missing))?;
        }
        return Ok(status);
    }
    let some = |wanted: fn(&Kept) -> bool| {
        let of_them = inventory.objects.iter().filter(|kept| wanted(kept)).map(|kept| kept.object.size);
        of_them.fold((0_usize, 0_u64), |(number, bytes), size| (number + 1, bytes + size))
    };
    let told = |(number, bytes): (usize, u64)| match number {
        0 => "none".to_owned(),
        _ => format!("{number}, {} bytes", grouped(bytes)),
    };
    let discarded = some(|kept| kept.why == Why::Discarded);
    let unneeded = some(|kept| kept.why == Why::Unneeded);
    let orphans = some(|kept| kept.why == Why::Orphan);
    let by: BTreeSet<_> = inventory
        .objects
        .iter()
        .filter_map(|kept| if let Why::Needed(by) = &kept.why { Some(by) } else { None })
        .flatten()
        .collect();
    let pending = vault.pending()?.len();
    writeln!(session.out, "{}", output::path(vault.folder()))?;
    writeln!(session.out, "  backups     {}", told(some(|_| true)))?;
    writeln!(session.out, "  plain       {}", told(some(|kept| !kept.object.is_compressed)))?;
    writeln!(session.out, "  compressed  {}", told(some(|kept| kept.object.is_compressed)))?;
    let needed = some(|kept| matches!(kept.why, Why::Needed(_)));
    let for_files = if by.is_empty() { String::new() } else { format!(", by {}", count(by.len(), "patched module")) };
    writeln!(session.out, "  needed      {}{for_files}", told(needed))?;
    writeln!(session.out, "  discarded   {}", told(discarded))?;
    writeln!(session.out, "  unneeded    {}", told(unneeded))?;
    writeln!(session.out, "  orphans     {}", told(orphans))?;
    if !inventory.missing.is_empty() {
        let missing = format!("{}: kmodlab vault verify names them", inventory.missing.len());
        writeln!(session.out, "  missing     {}", session.paint(Paint::Bad, missing))?;
    }
    writeln!(session.out, "  journal     {}", count(lines, "line"))?;
    if pending > 0 {
        let text = format!("{}: kmodlab recover finishes or undoes them", count(pending, "interrupted operation"));
        writeln!(session.out, "  pending     {}", session.paint(Paint::Bad, text))?;
    }
    if args.list {
        for kept in &inventory.objects {
            print(kept, session)?;
        }
        return Ok(status);
    }
    if unneeded.0 > 0 {
        writeln!(session.out, "kmodlab vault drop --unneeded -n says what could go")?;
    }
    if discarded.0 + orphans.0 > 0 {
        let text = "of what was discarded, and of orphans, there may be no other copy: they go only by their SHA-256";
        writeln!(session.out, "{text} (kmodlab vault --list)")?;
    }
    Ok(status)
}

fn print(kept: &Kept, session: &mut Session<'_>) -> Result<(), Failure> {
    /// So many of a backup's lines are named: one of a module that is in many trees has many.
    const NAMED: usize = 3;
    let Kept { object, why, sources } = kept;
    let form = if object.is_compressed { "compressed" } else { "plain" };
    writeln!(session.out, "{}  {:>12} {form}", object.sha, grouped(object.size))?;
    match why {
        Why::Needed(by) => {
            by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?
        }
        Why::Discarded => {
            writeln!(session.out, "  discarded: what somebody else wrote; there may be no other copy")?;
        }
        Why::Unneeded => writeln!(session.out, "  unneeded")?,
        Why::Orphan => {
            writeln!(session.out, "  orphan: no line of the journal names it; it may be the only original")?;
        }
    }
    for Source { line, operation, path } in sources.iter().take(NAMED) {
        writeln!(session.out, "  of line {line}: {} {}", operation.name(), output::path(path))?;
    }
    if let more @ 1.. = sources.len().saturating_sub(NAMED) {
        writeln!(session.out, "  and of {}", count(more, "line"))?;
    }
    Ok(())
}

fn verify(vault: &Vault, json: bool, session: &mut Session<'_>) -> Result<Status, Failure> {
    let inventory = inventory(vault, session)?;
    let objects = vault.objects();
    let progress = Mutex::new(Some(Progress::new("backup", inventory.objects.len())));
    let is_whole = |kept: &Kept| {
        let is_whole = objects.is_whole(&kept.object);
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
        is_whole
    };
    let whole: Vec<bool> = match inventory.objects.as_slice() {
        [only] => vec![is_whole(only)],
        several => several.par_iter().map(is_whole).collect(),
    };
    progress.lock().unwrap_or_else(|e| e.into_inner()).take();
    // A backup may be there in both forms, of which one is damaged.
    let whole_forms: BTreeMap<Sha256, &Object> = inventory
        .objects
        .iter()
        .zip(&whole)
        .filter(|(_, is_whole)| **is_whole)
        .map(|(kept, _)| (kept.object.sha, &kept.object))
        .collect();
    let mut damaged = 0;
    for (kept, is_whole) in inventory.objects.iter().zip(&whole) {
        damaged += usize::from(!is_whole);
        if json {
            session.json(&Shown::of(kept, Some(*is_whole)))?;
        } else if !is_whole {
            let what = session.paint(Paint::Bad, "DAMAGED: its bytes are not those of its name");
            writeln!(session.out, "{}: {what}", kept.object.file_name())?;
            match (whole_forms.get(&kept.object.sha), &kept.why) {
                (Some(other), _) => {
                    let (other, this) = (other.file_name(), kept.object.file_name());
                    writeln!(
                        session.out,
                        "  {other} beside it is whole, and is what a restore takes; {this} can be removed by hand"
                    )?;
                }
                (None, Why::Needed(by)) => {
                    by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
                }
                (None, _) => {}
            }
        }
    }
    for (sha, missing) in &inventory.missing {
        if json {
            session.json(&Gone::of(*sha, missing))?;
            continue;
        }
        let by = missing.dropped_by.map(|line| format!(": line {line} of the journal dropped it")).unwrap_or_default();
        writeln!(session.out, "{sha}: {}{by}", session.paint(Paint::Bad, "MISSING"))?;
        missing.by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
    }
    if !json {
        writeln!(session.out, "{} whole", count(inventory.objects.len() - damaged, "backup"))?;
    }
    Ok(if damaged > 0 || !inventory.missing.is_empty() { Status::Negative } else { Status::Done })
}

fn drop(vault: &Vault, args: &Drop, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut writer = match args.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer(vault, session)?),
    };
    let inventory = inventory(vault, session)?;
    let shas: BTreeSet<Sha256> = match args.unneeded {
        true => inventory.unneeded(),
        false => args.backups.iter().map(|name| named(name)).collect::<Result<_, Error>>()?,
    };
    may_be_dropped(&inventory, &shas)?;
    if shas.is_empty() {
        writeln!(session.out, "nothing is unneeded")?;
        return Ok(Status::Done);
    }
    let list: Vec<String> = shas.iter().map(Sha256::to_string).collect();
    let digest = sha256(format!("drop\n{}\n", list.join("\n")).as_bytes());
    let backups = count(shas.len(), "backup");
    if args.dry_run || (session.may_ask && args.confirm.is_none()) {
        for kept in inventory.objects.iter().filter(|kept| shas.contains(&kept.object.sha)) {
            print(kept, session)?;
        }
        writeln!(session.out, "{backups} would go for good: patched copies elsewhere could not be restored any more")?;
        writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, digest))?;
    }
    let Some(locked) = writer.as_mut().filter(|_| !args.dry_run) else { return Ok(Status::Done) };
    let these = if shas.len() == 1 { "this backup" } else { "these backups" };
    let to = format!("drop {these}, and with that the way back of patched copies elsewhere");
    let word = shas.len().to_string();
    let question = Question { to: &to, word: &word, digest, see: "vault drop -n" };
    confirm(&question, args.confirm.as_deref(), session)?;
    locked.drop_backups(&shas)?;
    writeln!(session.out, "{} {backups}", session.paint(Paint::Good, "dropped"))?;
    Ok(Status::Done)
}

/// The backup that a person names, in digits of either case.
fn named(name: &str) -> Result<Sha256, Error> {
    name.to_ascii_lowercase().parse().map_err(|_| no_such_backup(name))
}

fn texts(paths: &BTreeSet<std::path::PathBuf>) -> Vec<String> {
    paths.iter().map(|path| output::path_text(path).into_owned()).collect()
}

/// A backup as JSON.
#[derive(Serialize)]
struct Shown {
    schema_version: u32,
    sha256: Sha256,
    size: u64,
    compressed: bool,
    /// needed, discarded, unneeded or orphan
    state: &'static str,
    needed_by: Vec<String>,
    /// The bytes of their paths in hexadecimal, each in its place, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_by_hex: Option<Vec<Option<String>>>,
    /// The journal's lines for which it was made
    of: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<bool>,
}

/// A line of the journal as JSON.
#[derive(Serialize)]
struct Line {
    line: u64,
    operation: Operation,
    module: String,
}

impl Shown {
    fn of(kept: &Kept, whole: Option<bool>) -> Shown {
        let (state, needed_by, needed_by_hex) = match &kept.why {
            Why::Needed(by) => ("needed", texts(by), output::paths_hex(by)),
            Why::Discarded => ("discarded", Vec::new(), None),
            Why::Unneeded => ("unneeded", Vec::new(), None),
            Why::Orphan => ("orphan", Vec::new(), None),
        };
        let line = |source: &Source| Line {
            line: source.line,
            operation: source.operation,
            module: source.path.to_string_lossy().into_owned(),
        };
        Shown {
            schema_version: 1,
            sha256: kept.object.sha,
            size: kept.object.size,
            compressed: kept.object.is_compressed,
            state,
            needed_by,
            needed_by_hex,
            of: kept.sources.iter().map(line).collect(),
            whole,
        }
    }
}

/// A backup that is needed and is not there, as JSON.
#[derive(Serialize)]
struct Gone {
    schema_version: u32,
    sha256: Sha256,
    state: &'static str,
    needed_by: Vec<String>,
    /// The bytes of their paths in hexadecimal, each in its place, where one of them is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_by_hex: Option<Vec<Option<String>>>,
    /// The journal's line by which it was dropped
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_by: Option<u64>,
}

impl Gone {
    fn of(sha: Sha256, missing: &Missing) -> Gone {
        Gone {
            schema_version: 1,
            sha256: sha,
            state: "missing",
            needed_by: texts(&missing.by),
            needed_by_hex: output::paths_hex(&missing.by),
            dropped_by: missing.dropped_by,
        }
    }
}
