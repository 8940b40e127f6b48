//! `log`: prints the journal.

use std::io;
use std::path::PathBuf;

use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind};
use crate::vault::record::{JournalEntry, Operation, WriteMethod};
use crate::vault::target;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Only the operations on this module
    #[arg(value_name = "MODULE")]
    module: Option<PathBuf>,
    /// Print the lines of the journal as they are: JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    // If the module's directory is gone, its path is used as it was given.
    let only = args.module.as_ref().map(|path| target::real_path(path).unwrap_or_else(|_| path.clone()));
    let concerns = |entry: &JournalEntry| only.is_none() || entry.change.as_ref().map(|c| &c.path) == only.as_ref();
    let vault = session.vault()?;
    let mut printed = Ok(0);
    vault.each_line(|entry, line| {
        if let Ok(before) = printed
            && concerns(&entry)
        {
            let shown = match args.json {
                // On a terminal escaped, which is the same JSON; else byte for byte, so that the hashes can be checked.
                true if session.escapes => writeln!(session.out, "{}", crate::escape::json_for_eyes(line)),
                true => writeln!(session.out, "{line}"),
                false => print(&entry, session),
            };
            printed = shown.map(|()| before + 1);
        }
    })?;
    match (printed?, &args.module) {
        (0, Some(path)) => {
            let error = Error::new(ErrorKind::NotFound, "the journal does not know this file");
            return Err(error.on(path).into());
        }
        (0, None) if !args.json => writeln!(session.out, "the journal is empty")?,
        _ => {}
    }
    Ok(Status::Done)
}

fn print(entry: &JournalEntry, session: &mut Session<'_>) -> io::Result<()> {
    let shown = crate::escape::for_eyes;
    let operation = session.paint(Paint::Strong, format_args!("{:<8}", entry.operation.name()));
    let what = entry
        .change
        .as_ref()
        .map(|c| output::path(&c.path))
        .or_else(|| entry.note.as_deref().map(shown))
        .unwrap_or_default();
    writeln!(session.out, "{:>4}  {}  {operation}  {what}", entry.seq, shown(&entry.time))?;
    let Some(change) = entry.change.as_ref().filter(|_| entry.operation != Operation::Forget) else { return Ok(()) };
    let mut remarks = Vec::new();
    remarks.push(match change.how {
        WriteMethod::InPlace => format!("in place, {}", output::count(change.edits.len(), "edit")),
        WriteMethod::Replace => "a new file".to_owned(),
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
    if let (Some(before), Some(after)) = (&change.vermagic_before, &change.vermagic_after)
        && before != after
    {
        let side = |text: &str| if text.is_empty() { "blank".to_owned() } else { output::vermagic(text.as_bytes()) };
        writeln!(session.out, "      {}", session.paint(Paint::Bad, side(before)))?;
        writeln!(session.out, "      {}", session.paint(Paint::Good, side(after)))?;
    }
    writeln!(session.out, "      {} to", change.before)?;
    writeln!(session.out, "      {}", change.after)?;
    Ok(())
}
