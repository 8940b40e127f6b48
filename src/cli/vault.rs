//! `vault`: which backups are kept and what needs them; are they whole; those that nothing needs can go.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rayon::prelude::*;
use serde::Serialize;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, grouped};
use crate::cli::{Status, recover};
use crate::error::Error;
use crate::module::sha256;
use crate::vault::Vault;
use crate::vault::objects::Object;
use crate::vault::stock::{Stock, Why, may_be_dropped};

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
    Drop(Drop),
}

#[derive(clap::Args)]
struct Drop {
    /// Backups, by their SHA-256
    #[arg(value_name = "SHA", required_unless_present = "unneeded")]
    backups: Vec<String>,
    /// All that no patched file needs
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
    }
}

fn stock(vault: &Vault) -> Result<Stock, Error> {
    Stock::of(vault, &vault.journal()?.entries, &vault.pending()?)
}

fn show(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut lines = 0_usize;
    vault.each_line(|_, _| lines += 1)?;
    let stock = stock(vault)?;
    if args.json {
        for (object, why) in &stock.objects {
            session.json(&Shown::of(object, why, None))?;
        }
        return Ok(Status::Done);
    }
    let some = |wanted: fn(&Object, &Why) -> bool| {
        let of_them = stock.objects.iter().filter(|(object, why)| wanted(object, why)).map(|(object, _)| object.size);
        of_them.fold((0_usize, 0_u64), |(number, bytes), size| (number + 1, bytes + size))
    };
    let told = |(number, bytes): (usize, u64)| match number {
        0 => "none".to_owned(),
        _ => format!("{number}, {} bytes", grouped(bytes)),
    };
    let unneeded = some(|_, why| *why == Why::Unneeded);
    let orphans = some(|_, why| *why == Why::Orphan);
    let by: BTreeSet<_> = stock
        .objects
        .iter()
        .filter_map(|(_, why)| if let Why::Needed(by) = why { Some(by) } else { None })
        .flatten()
        .collect();
    let pending = vault.pending()?.len();
    writeln!(session.out, "{}", output::path(vault.folder()))?;
    writeln!(session.out, "  backups     {}", told(some(|_, _| true)))?;
    writeln!(session.out, "  plain       {}", told(some(|object, _| !object.is_compressed)))?;
    writeln!(session.out, "  compressed  {}", told(some(|object, _| object.is_compressed)))?;
    let needed = some(|_, why| matches!(why, Why::Needed(_)));
    let for_files = if by.is_empty() { String::new() } else { format!(", by {}", count(by.len(), "patched module")) };
    writeln!(session.out, "  needed      {}{for_files}", told(needed))?;
    writeln!(session.out, "  unneeded    {}", told(unneeded))?;
    writeln!(session.out, "  orphans     {}", told(orphans))?;
    if !stock.missing.is_empty() {
        let missing = format!("{}: kmodlab vault verify names them", stock.missing.len());
        writeln!(session.out, "  missing     {}", session.paint(Paint::Bad, missing))?;
    }
    writeln!(session.out, "  journal     {}", count(lines, "line"))?;
    if pending > 0 {
        let text = format!("{}: kmodlab recover finishes or undoes them", count(pending, "interrupted operation"));
        writeln!(session.out, "  pending     {}", session.paint(Paint::Bad, text))?;
    }
    if args.list {
        for (object, why) in &stock.objects {
            print(object, why, session)?;
        }
    } else if unneeded.0 + orphans.0 > 0 {
        writeln!(session.out, "kmodlab vault drop --unneeded -n says what could go")?;
    }
    Ok(Status::Done)
}

fn print(object: &Object, why: &Why, session: &mut Session<'_>) -> Result<(), Failure> {
    let form = if object.is_compressed { "compressed" } else { "plain" };
    writeln!(session.out, "{}  {:>12} {form}", object.sha, grouped(object.size))?;
    match why {
        Why::Needed(by) => {
            by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?
        }
        Why::Unneeded => writeln!(session.out, "  unneeded")?,
        Why::Orphan => writeln!(session.out, "  orphan: no line of the journal names it")?,
    }
    Ok(())
}

fn verify(vault: &Vault, json: bool, session: &mut Session<'_>) -> Result<Status, Failure> {
    let stock = stock(vault)?;
    let objects = vault.objects();
    let progress = Mutex::new(Some(Progress::new("backup", stock.objects.len())));
    let is_whole = |(object, _): &(Object, Why)| {
        let is_whole = objects.is_whole(object);
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
        is_whole
    };
    let whole: Vec<bool> = match stock.objects.as_slice() {
        [only] => vec![is_whole(only)],
        several => several.par_iter().map(is_whole).collect(),
    };
    progress.lock().unwrap_or_else(|e| e.into_inner()).take();
    let mut damaged = 0;
    for ((object, why), is_whole) in stock.objects.iter().zip(whole) {
        damaged += usize::from(!is_whole);
        if json {
            session.json(&Shown::of(object, why, Some(is_whole)))?;
        } else if !is_whole {
            let what = session.paint(Paint::Bad, "DAMAGED: its bytes are not those of its name");
            writeln!(session.out, "{}: {what}", object.sha)?;
            if let Why::Needed(by) = why {
                by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
            }
        }
    }
    for (sha, by) in &stock.missing {
        if json {
            session.json(&Missing { schema_version: 1, sha256: sha, state: "missing", needed_by: texts(by) })?;
            continue;
        }
        writeln!(session.out, "{sha}: {}", session.paint(Paint::Bad, "MISSING"))?;
        by.iter().try_for_each(|path| writeln!(session.out, "  needed by {}", output::path(path)))?;
    }
    if !json {
        writeln!(session.out, "{} whole", count(stock.objects.len() - damaged, "backup"))?;
    }
    Ok(if damaged > 0 || !stock.missing.is_empty() { Status::Negative } else { Status::Done })
}

fn drop(vault: &Vault, args: &Drop, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut writer = match args.dry_run || !vault.folder().exists() {
        true => None,
        false => Some(recover::first(vault, session)?.0),
    };
    let stock = stock(vault)?;
    let given: Vec<String> = args.backups.iter().map(|sha| sha.to_ascii_lowercase()).collect();
    let shas: BTreeSet<&str> = match args.unneeded {
        true => stock.unneeded(),
        false => given.iter().map(String::as_str).collect(),
    };
    may_be_dropped(&stock, &shas)?;
    if shas.is_empty() {
        writeln!(session.out, "nothing is unneeded")?;
        return Ok(Status::Done);
    }
    let list: Vec<&str> = shas.iter().copied().collect();
    let digest = sha256(format!("drop\n{}\n", list.join("\n")).as_bytes());
    let backups = count(shas.len(), "backup");
    if args.dry_run || (session.may_ask && args.confirm.is_none()) {
        for (object, why) in stock.objects.iter().filter(|(object, _)| shas.contains(object.sha.as_str())) {
            print(object, why, session)?;
        }
        writeln!(session.out, "{backups} would go for good")?;
        writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, &digest))?;
    }
    let Some(locked) = writer.as_mut().filter(|_| !args.dry_run) else { return Ok(Status::Done) };
    let to = if shas.len() == 1 { "drop this backup" } else { "drop these backups" };
    let word = shas.len().to_string();
    let question = Question { to, word: &word, digest: &digest, see: "vault drop -n" };
    confirm(&question, args.confirm.as_deref(), session)?;
    locked.drop_backups(&shas)?;
    writeln!(session.out, "{} {backups}", session.paint(Paint::Good, "dropped"))?;
    Ok(Status::Done)
}

fn texts(paths: &BTreeSet<std::path::PathBuf>) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// A backup as JSON.
#[derive(Serialize)]
struct Shown<'o> {
    schema_version: u32,
    sha256: &'o str,
    size: u64,
    compressed: bool,
    /// needed, unneeded or orphan
    state: &'static str,
    needed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<bool>,
}

impl<'o> Shown<'o> {
    fn of(object: &'o Object, why: &Why, whole: Option<bool>) -> Shown<'o> {
        let (state, needed_by) = match why {
            Why::Needed(by) => ("needed", texts(by)),
            Why::Unneeded => ("unneeded", Vec::new()),
            Why::Orphan => ("orphan", Vec::new()),
        };
        Shown {
            schema_version: 1,
            sha256: &object.sha,
            size: object.size,
            compressed: object.is_compressed,
            state,
            needed_by,
            whole,
        }
    }
}

/// A backup that is needed and is not there, as JSON.
#[derive(Serialize)]
struct Missing<'m> {
    schema_version: u32,
    sha256: &'m str,
    state: &'static str,
    needed_by: Vec<String>,
}
