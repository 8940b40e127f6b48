//! Many modules by one plan: one review, one confirmation, one group commit.

use std::path::Path;

use crate::change::{
    Batch, BatchItem, BatchPlan, BatchReport, BatchSummary, Confirmable, LeftOutReport, ListedRefusal, PatchReport,
    PlanReport,
};
use crate::cli::confirmation::confirmed;
use crate::cli::output::{self, Failure, Paint, Progress, Session, count};
use crate::cli::patch::arguments::Args;
use crate::cli::patch::summary::{self, REPORTED, digits, report};
use crate::cli::status::Status;
use crate::cli::{recover, words};
use crate::error::{Error, ErrorKind, Result};
use crate::spill::Spool;
use crate::vault::Vault;

pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if args.output.is_some() {
        return Err(Error::new(ErrorKind::Usage, "-o takes one module, not several or a folder").into());
    }
    let (request, kernel) = args.wanted.request(session)?;
    let vault = session.vault_with(&args.change.message)?.compressing(args.vault_compress);
    let mut unsettled = Vec::new();
    if !args.change.dry_run && vault.folder().exists() {
        unsettled = recover::writer_of_new(&vault, session)?.recovered().to_vec();
    } else if vault.has_intents()? {
        session.remark("an interrupted run left something: kmodlab recover comes first, and may change the plan");
    }
    let machine = session.machine(&vault);
    let batch = Batch {
        request: &request,
        kernel: kernel.as_ref(),
        machine: &machine,
        overrides: args.overrides.overrides(),
        unsettled: &unsettled,
        // The vault's folder is on a disk. The folder for temporary files may be in memory.
        queue_in: (!args.change.dry_run).then_some(vault.folder()),
    };
    let mut refusals = Spool::new(None);
    let plan = review(&batch, args, &mut refusals, session)?;
    let digest = plan.digest();
    summary::report_refusals(plan.summary(), session);
    if args.change.dry_run {
        if args.list {
            summary::list(plan.summary(), &mut refusals, session)?;
        }
        let summary = plan.summary();
        match args.change.json {
            true => session.json(&BatchReport::of(summary, digest))?,
            false => summary::print(summary, &request, kernel.is_some(), digest, session)?,
        }
        // A refusal is part of the plan. A module that can't be planned for is an error.
        return Ok(if summary.failed > 0 { summary::status(summary, 0) } else { Status::Done });
    }
    if plan.summary().planned == 0 {
        if !args.change.json {
            writeln!(session.out, "nothing to patch: {}", summary::left_out(plan.summary()))?;
        }
        return Ok(summary::status(plan.summary(), 0));
    }
    let given = args.change.confirm.as_deref();
    if given.is_none() && session.may_ask {
        summary::print(plan.summary(), &request, kernel.is_some(), digest, session)?;
    }
    carry_out(plan, &vault, args, session)
}

/// Reviews every module that is named.
fn review<'b>(
    batch: &Batch<'b>,
    args: &Args,
    refusals: &mut Spool<ListedRefusal>,
    session: &mut Session<'_>,
) -> Result<BatchPlan<'b>, Failure> {
    let is_json = args.change.json && args.change.dry_run;
    let paths = args.modules.selection().real_files()?;
    let progress = Progress::of("module", || output::waiting("counting", || args.modules.selection().count()));
    let json = |review: &crate::change::Review<'_>| {
        is_json.then(|| serde_json::to_string(&PlanReport::of(review, None, words::GUARDS)).unwrap_or_default())
    };
    batch.review(paths, json, |path: &Path, item, summary| {
        match item {
            BatchItem::Planned(json) => {
                if let Some(json) = json {
                    writeln!(session.out, "{}", crate::escape::json_for_eyes(&json))?;
                }
            }
            BatchItem::AsRequested => {}
            BatchItem::Refused(refused) => {
                if is_json {
                    session.json(&LeftOutReport::refused(path, &refused, words::GUARDS))?;
                }
                for (guard, reason) in refused.iter().filter(|_| args.list) {
                    refusals.push(&ListedRefusal::of(path, *guard, reason))?;
                }
            }
            BatchItem::Failed(error) => {
                if is_json {
                    session.json(&LeftOutReport::failed(path, &error))?;
                }
                report(summary.failed, &error, session);
            }
        }
        progress.step();
        Ok(())
    })
}

fn carry_out(plan: BatchPlan<'_>, vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let summary: BatchSummary = plan.summary().clone();
    let planned = summary.planned;
    let to = format!("patch {}", count(planned, "module"));
    let confirmed = confirmed(plan, &to, "-n", args.change.confirm.as_deref(), session)?;
    let mut writer = recover::writer_of_new(vault, session)?;
    let progress = Progress::new("module", planned);
    let (mut written, mut unwritten, mut lines) = (0, 0, None);
    let mut printed: Result<(), Failure> = Ok(());
    let outcome = BatchPlan::apply(confirmed, &mut writer, |path, done| {
        progress.step();
        match done {
            Ok(Some(entry)) => {
                written += 1;
                let (first, _) = lines.unwrap_or((entry.seq, entry.seq));
                lines = Some((first, entry.seq));
                if let (true, Ok(()), Some(change)) = (args.change.json, &printed, &entry.change) {
                    printed = session.json(&PatchReport::of(change, entry.seq));
                }
            }
            Ok(None) => {}
            Err(error) => {
                unwritten += 1;
                report(unwritten, &error.on(path), session);
            }
        }
    })?;
    drop(progress);
    if let Err(error) = outcome.end {
        session.complain(&error);
        let left = planned - outcome.reached;
        unwritten += left;
        output::remark_left(left, "patched", &error, session);
    }
    if printed.is_err() {
        session.remark(format_args!("{} patched all the same; kmodlab log shows them", count(written, "module")));
    }
    printed?;
    if unwritten > REPORTED && outcome.reached == planned {
        session.remark(format_args!("and {} more that were not patched", digits(unwritten - REPORTED)));
    }
    if !args.change.json {
        let patched = session.paint(Paint::Good, "patched");
        writeln!(session.out, "{patched}  {}", count(written, "module"))?;
        if let Some((first, last)) = lines {
            let lines = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
            writeln!(session.out, "  journal  {lines}")?;
            let words = args.modules.words().join(" ");
            writeln!(session.out, "  undo     kmodlab {}restore {words}", session.state_option())?;
        }
        if unwritten > 0 {
            writeln!(session.out, "  not patched  {}", count(unwritten, "module"))?;
        }
        if !summary::left_out(&summary).is_empty() {
            writeln!(session.out, "  left out     {}", summary::left_out(&summary))?;
        }
    }
    Ok(summary::status(&summary, unwritten))
}
