//! `log`: prints the journal.

use std::io;
use std::path::PathBuf;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::cli::known;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind};
use crate::vault::Vault;
use crate::vault::log::{ChainProof, LogQuery, LogSubject};
use crate::vault::record::{FileChange, JournalEntry, Operation, RunRecord, WriteMethod};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only the operations on a file, on files in a folder, on modules of a name, on contents of a SHA-256 (8 digits or more),
    /// or from or to a kernel's release
    #[arg(value_name = "WHAT")]
    what: Option<PathBuf>,
    /// At most this many operations, the newest
    #[arg(short = 'n', long, value_name = "NUMBER")]
    max_count: Option<usize>,
    /// From this time on: 2026-01-31, "2026-01-31 14:00" in local time, RFC 3339, or how long ago ("3 days")
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time, likewise
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// The oldest first
    #[arg(long)]
    reverse: bool,
    /// One line per operation
    #[arg(long, conflicts_with = "json")]
    oneline: bool,
    /// Check that each line has the hash of the one before, and print the last hash; with HASH, look for the line that has it: that
    /// line and all before it are as they were when it was noted
    #[arg(long, value_name = "HASH", num_args = 0..=1,
        conflicts_with_all = ["what", "max_count", "since", "until", "reverse", "oneline", "json"])]
    verify: Option<Option<Sha256>>,
    #[command(flatten)]
    foreign: ForeignArg,
    /// Print the lines of the journal as they are: JSON, the oldest first
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault_to_read(&args.foreign)?;
    if let Some(hash) = args.verify {
        return verify(&vault, hash, session);
    }
    let zone = TimeZone::system();
    let time = |text: &Option<String>| text.as_deref().map(|text| utc(text, &zone)).transpose();
    let query = LogQuery {
        subject: args.what.as_deref().map(|what| LogSubject::named(what, session.root.as_ref())),
        since: time(&args.since)?,
        until: time(&args.until)?,
        most: args.max_count,
    };
    let lines = vault.log(&query)?;
    let status = if known::warn_of_damage(lines.damage(), session) { Status::Negative } else { Status::Done };
    if args.json {
        // On a terminal escaped, which is the same JSON; else byte for byte, so that the hashes can be checked.
        for text in lines.texts() {
            let text = text?;
            match session.escapes {
                true => writeln!(session.out, "{}", crate::escape::json_for_eyes(&text))?,
                false => writeln!(session.out, "{text}")?,
            }
        }
    } else {
        let print = if args.oneline { print_short } else { print };
        let mut entries = lines.entries();
        while let Some(entry) = if args.reverse { entries.next() } else { entries.next_back() } {
            print(&entry?, &zone, session)?;
        }
    }
    let is_empty = lines.is_of_empty_journal();
    match (lines.is_empty(), &args.what) {
        (true, Some(what)) => {
            let text = match query.subject {
                Some(LogSubject::File(_)) => "the journal does not know this file",
                Some(LogSubject::Folder(_)) => "the journal does not know a file in this folder",
                _ => "the journal does not know it: no path, module, SHA-256 or kernel release",
            };
            let nowhere = is_empty.then(|| known::empty_text(&vault));
            return Err(known::or_nowhere(Error::new(ErrorKind::NotFound, text), nowhere.as_deref()).on(what).into());
        }
        (true, None) if !args.json => {
            if is_empty {
                known::explain_empty(&vault, session);
            }
            let is_all = query.since.is_none() && query.until.is_none();
            writeln!(session.out, "{}", if is_all { "the journal is empty" } else { "no operation in that time" })?;
        }
        _ => {}
    }
    Ok(status)
}

/// A time that a person names, in UTC, as the journal writes it.
pub(super) fn utc(text: &str, zone: &TimeZone) -> Result<String, Error> {
    let bad = || {
        Error::new(ErrorKind::Usage, format!("{text:?} is not a time"))
            .hint("write 2026-01-31, \"2026-01-31 14:00\", 2026-01-31T14:00:00Z, or \"3 days\"")
    };
    let moment = match (text.parse::<Timestamp>(), text.parse::<DateTime>()) {
        (Ok(moment), _) => moment,
        (_, Ok(local)) => local.to_zoned(zone.clone()).map_err(|_| bad())?.timestamp(),
        _ => {
            let ago = text.strip_suffix("ago").unwrap_or(text).trim().parse::<Span>().map_err(|_| bad())?;
            Zoned::now().checked_sub(ago.abs()).map_err(|_| bad())?.timestamp()
        }
    };
    Ok(moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A time of the journal in local time with its zone. What is no time is shown as it is.
fn local(time: &str, zone: &TimeZone) -> String {
    match time.parse::<Timestamp>() {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => crate::escape::for_eyes(time),
    }
}

/// Checks the chain of hashes.
fn verify(vault: &Vault, hash: Option<Sha256>, session: &mut Session<'_>) -> Result<Status, Failure> {
    let chain = vault.chain(hash)?;
    let lines = output::count(usize::try_from(chain.lines).unwrap_or(usize::MAX), "line");
    let is_damaged = !chain.damage.is_empty();
    let state = match is_damaged {
        true => session.paint(Paint::Bad, "DAMAGED"),
        false => "each with the hash of the one before".to_owned(),
    };
    writeln!(session.out, "journal  {lines}, {state}")?;
    for damage in &chain.damage {
        writeln!(session.out, "         {}", known::damage_text(damage))?;
    }
    for damage in &chain.repaired {
        writeln!(session.out, "         {}; a repair recorded that", known::damage_text(damage))?;
    }
    if let Some(head) = chain.head {
        writeln!(session.out, "head     {}", session.paint(Paint::Strong, head))?;
    }
    let of_chain = if is_damaged { Status::Negative } else { Status::Done };
    let Some(hash) = hash else { return Ok(of_chain) };
    match chain.proof_of(hash) {
        ChainProof::Unchanged(line) => {
            let good = session.paint(Paint::Good, "unchanged");
            writeln!(session.out, "{good} up to line {line}, which has this hash")?;
            return Ok(of_chain);
        }
        ChainProof::LinesLost(line) => {
            let bad = session.paint(Paint::Bad, "not proven");
            writeln!(session.out, "{bad}: line {line} has this hash, but not all lines before it are left")?;
        }
        ChainProof::Unknown => {
            let bad = session.paint(Paint::Bad, "no line has this hash");
            writeln!(session.out, "{bad}: the journal was replaced, or the hash is of another one")?;
        }
    }
    Ok(Status::Negative)
}

/// The subject of an operation: its file, or its note.
fn what(entry: &JournalEntry) -> String {
    let note = || entry.note.as_deref().map(crate::escape::for_eyes);
    entry.change.as_ref().map(|change| output::path(&change.path)).or_else(note).unwrap_or_default()
}

/// Who did it, where, and why, if the line records it.
fn about_run(entry: &JournalEntry) -> Vec<String> {
    let here = rustix::system::uname();
    let by = |run: &RunRecord| match run.host.as_deref().filter(|host| here.nodename().to_str() != Ok(*host)) {
        Some(host) => format!("{} on {host}", run.who()),
        None => run.who(),
    };
    let mut lines: Vec<String> = entry.run.iter().map(|run| format!("by {}", by(run))).collect();
    lines.extend(entry.recovered_by.iter().map(|run| format!("recovered by {}", by(run))));
    lines.extend(entry.run.iter().filter_map(|run| Some(format!("note: {}", run.message.as_ref()?))));
    lines.iter().map(|line| crate::escape::for_eyes(line)).collect()
}

/// One line.
fn print_short(entry: &JournalEntry, zone: &TimeZone, session: &mut Session<'_>) -> io::Result<()> {
    let operation = session.paint(Paint::Strong, format_args!("{:<8}", entry.operation.name()));
    let change = entry.change.as_ref().filter(|_| entry.operation != Operation::Forget);
    let digits =
        |change: &FileChange| format!("  {:.12} to {:.12}", change.before.to_string(), change.after.to_string());
    let hashes = change.map(digits).unwrap_or_default();
    let time = local(&entry.time, zone);
    writeln!(session.out, "{:>4}  {time}  {operation}  {}{hashes}", entry.seq, what(entry))
}

fn print(entry: &JournalEntry, zone: &TimeZone, session: &mut Session<'_>) -> io::Result<()> {
    let shown = crate::escape::for_eyes;
    let operation = session.paint(Paint::Strong, format_args!("{:<8}", entry.operation.name()));
    writeln!(session.out, "{:>4}  {}  {operation}  {}", entry.seq, local(&entry.time, zone), what(entry))?;
    for line in about_run(entry) {
        writeln!(session.out, "      {line}")?;
    }
    let Some(change) = entry.change.as_ref().filter(|_| entry.operation != Operation::Forget) else { return Ok(()) };
    let mut remarks = Vec::new();
    remarks.push(match change.how {
        WriteMethod::InPlace => format!("in place, {}", output::count(change.edits.len(), "edit")),
        WriteMethod::Replace => "a new file".to_owned(),
        WriteMethod::Create if entry.operation == Operation::Restore => "created again from its backup".to_owned(),
        WriteMethod::Create => "into a new file".to_owned(),
    });
    if entry.recovered {
        remarks.push("settled by recovery".to_owned());
    }
    if !change.overrides.is_empty() {
        remarks.push(format!("overrides: {}", change.overrides.join(", ")));
    }
    remarks.extend(entry.note.clone());
    writeln!(session.out, "      {}", shown(&remarks.join("; ")))?;
    if let Some(patch) = &change.patch {
        let kernel = patch.kernel.iter().map(|kernel| format!("for {}", kernel.text()));
        let parts: Vec<String> = kernel.chain(patch.parts().map(|(part, fate)| format!("{part} {fate}"))).collect();
        if !parts.is_empty() {
            writeln!(session.out, "      {}", shown(&parts.join("; ")))?;
        }
    }
    if let (Some(before), Some(after)) = (&change.vermagic_before, &change.vermagic_after)
        && before != after
    {
        let side = |text: &str| if text.is_empty() { "blank".to_owned() } else { output::vermagic(text.as_bytes()) };
        writeln!(session.out, "      {}", session.paint(Paint::Bad, side(before)))?;
        writeln!(session.out, "      {}", session.paint(Paint::Good, side(after)))?;
    }
    if change.before != change.after {
        writeln!(session.out, "      {} to", change.before)?;
    }
    writeln!(session.out, "      {}", change.after)?;
    Ok(())
}
