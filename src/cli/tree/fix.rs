//! `tree --fix`: the changes that are edits of text, shown as a diff, confirmed, and written.

use std::path::Path;

use similar::TextDiff;

use crate::buildtree::advising::edits::FileEdit;
use crate::buildtree::report::TreeReport;
use crate::change::{Confirmable, TreeFix};
use crate::cli::confirmation::confirmed;
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::recover;
use crate::cli::status::Status;
use crate::cli::tree::arguments::Args;
use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::escape::for_eyes;
use crate::vault::target;

/// How many lines of a diff are shown before a question: a configuration that is replaced differs in thousands.
const LINES_SHOWN: usize = 60;

fn diff(file: &FileEdit) -> String {
    let (before, after) = (String::from_utf8_lossy(&file.before), String::from_utf8_lossy(&file.after));
    TextDiff::from_lines(before.as_ref(), after.as_ref()).unified_diff().context_radius(1).to_string()
}

pub(super) fn run(report: &TreeReport, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault_with(&args.message)?;
    let fix = TreeFix::review(report, &session.machine(&vault))?;
    if fix.files().is_empty() {
        return nothing(report, &fix, args, session);
    }
    if args.json && args.dry_run {
        session.json(&fix.report(diff))?;
        return Ok(Status::Done);
    }
    if args.dry_run || (args.confirm.is_none() && session.may_ask) {
        show(report, &fix, args.dry_run, session)?;
    }
    if args.dry_run {
        return Ok(Status::Done);
    }
    let confirmed =
        confirmed(fix, "change it so", "--fix -n", args.confirm.as_deref(), session).map_err(|e| e.on(&args.tree))?;
    let fixed = TreeFix::apply(confirmed, &mut recover::writer_of_new(&vault, session)?)?;
    let failed: Vec<&Error> = fixed.outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    failed.iter().for_each(|error| session.complain(error));
    if args.json {
        session.json(&fixed.report(diff))?;
    } else {
        for (file, _) in fixed.files.iter().zip(&fixed.outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            let before = sha256(&file.before);
            let changed = session.paint(Paint::Good, "changed");
            writeln!(session.out, "{changed}  {}", output::path(&file.path))?;
            writeln!(session.out, "  backup  {}", output::path(&vault.objects().path(before)))?;
            let path = output::shell_word(&file.path);
            writeln!(session.out, "  undo    kmodlab {}restore {path}", session.state_option())?;
        }
        if fixed.remaining > 0 {
            let (left, tree) = (count(fixed.remaining, "change"), output::shell_word(&args.tree));
            let kernel = output::shell_word(Path::new(&report.kernel.name));
            writeln!(
                session.out,
                "{left} left that no edit of text makes; kmodlab tree {tree} --for {kernel} prints the commands"
            )?;
        }
    }
    Ok(match (failed.first(), failed.len() == fixed.files.len()) {
        (None, _) => Status::Done,
        (Some(error), true) => Status::of(error),
        (Some(_), false) => Status::Partial,
    })
}

/// Prints the changes as a unified diff.
fn show(report: &TreeReport, fix: &TreeFix, is_whole: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let root = target::real_path(&report.summary.layout.object)?;
    for edited in fix.files() {
        let name = output::path(edited.path.strip_prefix(&root).unwrap_or(&edited.path));
        writeln!(session.out, "--- {name}\n+++ {name}")?;
        let text = diff(edited);
        let shown = if is_whole { usize::MAX } else { LINES_SHOWN };
        let all = text.lines().count();
        for line in text.lines().take(shown) {
            let text = for_eyes(line);
            let text = match line.as_bytes().first() {
                Some(b'+') => session.paint(Paint::Good, text),
                Some(b'-') => session.paint(Paint::Bad, text),
                _ => text,
            };
            writeln!(session.out, "{text}")?;
        }
        if all > shown {
            writeln!(session.out, "… and {} more lines, which --fix -n prints", all - shown)?;
        }
    }
    writeln!(session.out, "digest  {}", session.paint(Paint::Strong, fix.digest()))?;
    Ok(())
}

/// There is no edit of text to make.
fn nothing(report: &TreeReport, fix: &TreeFix, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let status = if report.matches { Status::Done } else { Status::Negative };
    if args.json {
        session.json(&fix.report(diff))?;
        return Ok(status);
    }
    let why = match (fix.remaining(), &report.impossible) {
        (_, Some(_)) => "this tree can't match; kmodlab tree without --fix says why",
        (0, None) => "nothing to change; nothing was written",
        (_, None) => "no change is an edit of text; kmodlab tree without --fix prints the commands",
    };
    writeln!(session.out, "{}: {why}", output::path(&args.tree))?;
    Ok(status)
}
