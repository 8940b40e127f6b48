//! `try`: a module in a temporary virtual machine, unchanged, forced and patched, next to the kernel's own.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::cli::lab::{LabArgs, status, stored};
use crate::cli::output::{self, Failure, Paint, Session, waiting};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::kernel;
use crate::lab::experiment::run_in_order;
use crate::lab::outcome::{self, decisive_line};
use crate::lab::record::{Agreement, LoadMode, Trial, TrialOutcome, TrialRole};
use crate::lab::spec::{control_of, specs};
use crate::lab::store::{self, TrialWriter};
use crate::lab::subject::{TrialSubject, subjects};
use crate::lab::tally::AgreementCounts;
use crate::lab::target::TargetKernel;
use crate::predict::taint_letters;

#[derive(clap::Args)]
pub(super) struct Args {
    /// A module file, or the name of a module of the kernel that --built-for names
    #[arg(value_name = "MODULE")]
    module: OsString,
    /// The kernel to try it on, which is booted: an image (vmlinuz) with its module folder, or a package
    #[arg(long, value_name = "K")]
    kernel: OsString,
    /// The kernel that the module was built for; a MODULE given by name is taken from it
    #[arg(long, value_name = "K")]
    built_for: Option<OsString>,
    /// Append the trials to trials.jsonl in this folder, for kmodlab report
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object per line and trial
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

impl Args {
    /// Tries a module file on a kernel, unforced and unpatched.
    pub(super) fn original(module: &Path, kernel: &OsStr, json: bool) -> Args {
        let (module, kernel) = (module.as_os_str().to_owned(), kernel.to_owned());
        Args { module, kernel, built_for: None, out: None, json, lab: LabArgs::original() }
    }
}

/// The most functions of a call trace that are shown.
const TRACE_SHOWN: usize = 6;

/// The most differences from the control that are shown.
const DIFFERENCES_SHOWN: usize = 6;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let conditions = args.lab.conditions(&lookup)?;
    let built_for: Vec<OsString> = args.built_for.iter().cloned().collect();
    let found = waiting("reading the module", || subjects(std::slice::from_ref(&args.module), &built_for, &lookup))?;
    let [subject] = found.as_slice() else {
        return Err(Error::new(ErrorKind::Usage, "try takes one module").hint("kmodlab matrix takes many").into());
    };
    if let Some(origin) = args.built_for.as_ref() {
        fits(subject, origin, session)?;
    }
    let target = waiting("reading the kernel and its modules", || {
        TargetKernel::open(&args.kernel, &BTreeSet::from([subject.seen.name.clone()]), &conditions.settings, &lookup)
    })?;
    let own: Vec<TrialSubject> = target.own(&subject.seen.name).into_iter().collect();
    let specs = specs(&own, &found, &args.lab.load_modes());
    let mut writer = args.out.as_ref().map(|folder| writer(folder, session)).transpose()?;
    if !args.json {
        heading(subject, &target, !own.is_empty(), session)?;
    }
    let trials = run_in_order(&target, &specs, &conditions, |trials| {
        let mut shown: Vec<Trial> = Vec::new();
        while let Some(trial) = waiting("running it in a virtual machine", || trials.next()) {
            if let Some(writer) = &mut writer {
                writer.add(&trial)?;
            }
            if args.json {
                session.json(&trial)?;
            } else {
                print(&trial, &shown, session)?;
            }
            session.out.flush()?;
            shown.push(trial);
        }
        Ok::<_, Failure>(shown)
    })?;
    if !args.json {
        conclude(&trials, session)?;
    }
    if let Some(folder) = &args.out {
        session.remark(format_args!("the trials are in {}; kmodlab report makes a page of them", output::path(folder)));
    }
    Ok(status(&trials))
}

/// Opens the file of trials in a folder. Its trials stay.
fn writer(folder: &Path, session: &mut Session<'_>) -> Result<TrialWriter, Error> {
    let path = folder.join(store::FILE);
    if path.exists() {
        stored(&path, session)?;
    }
    TrialWriter::open(&path)
}

/// Reports a module whose vermagic differs from that of the kernel it was allegedly built for.
fn fits(subject: &TrialSubject, origin: &OsString, session: &mut Session<'_>) -> Result<(), Failure> {
    let lookup = session.lookup();
    let kernel = waiting("reading the kernel that it was built for", || kernel::named(origin, &lookup))?;
    if subject.differs_from(&kernel) {
        session.remark(format_args!(
            "{} was not built for {}: its vermagic is {}",
            for_eyes(&subject.seen.path),
            for_eyes(&kernel.name.to_string()),
            for_eyes(subject.seen.vermagic.as_deref().unwrap_or_default())
        ));
    }
    Ok(())
}

fn heading(
    subject: &TrialSubject,
    target: &TargetKernel,
    has_own: bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let name = session.paint(Paint::Strong, for_eyes(&subject.seen.name));
    writeln!(session.out, "{name}  {}", for_eyes(&subject.seen.path))?;
    let vermagic = subject.seen.vermagic.as_deref().unwrap_or("no version magic");
    writeln!(session.out, "  built for  {}", output::vermagic(vermagic.as_bytes()))?;
    writeln!(session.out, "  tried on   {}", output::vermagic_of(&target.kernel))?;
    if !has_own {
        let name = for_eyes(&subject.seen.name);
        writeln!(session.out, "  control    none: this kernel has no module {name} of its own")?;
    }
    let heads = session.paint(Paint::Faint, format_args!("  {:<20} {:<36} {}", "load mode", "predicted", "happened"));
    writeln!(session.out, "\n{heads}")?;
    Ok(())
}

/// One row, with the lines that decided the outcome below it.
fn print(trial: &Trial, before: &[Trial], session: &mut Session<'_>) -> Result<(), Failure> {
    let load_mode = match trial.role {
        TrialRole::Control if trial.load_mode == LoadMode::Original => "the kernel's own".to_owned(),
        TrialRole::Control => "its own, forced".to_owned(),
        TrialRole::Asked => trial.load_mode.name().to_owned(),
    };
    let paint = match trial.outcome {
        TrialOutcome::NoDifference => Paint::Good,
        TrialOutcome::Refused | TrialOutcome::NotRun | TrialOutcome::InitFailed | TrialOutcome::Warned => Paint::Odd,
        _ => Paint::Bad,
    };
    let happened = session.paint(paint, for_eyes(&outcome::words(trial)));
    let mark = match trial.agreement {
        Agreement::Disagree => format!("  {}", session.paint(Paint::Bad, "not as predicted")),
        Agreement::Agree | Agreement::Unknown => String::new(),
    };
    writeln!(session.out, "  {load_mode:<20} {:<36} {happened}{mark}", outcome::predicted(trial))?;
    let mut detail = |text: &str| writeln!(session.out, "  {:<20} {}", "", for_eyes(text));
    if let Some(line) = decisive_line(trial) {
        detail(line)?;
    }
    if let Some(crash) = &trial.observed.crash {
        if trial.outcome == TrialOutcome::InitNeverRan {
            detail(&crash.line)?;
        }
        for place in crash.place.iter().chain(&crash.trace).take(TRACE_SHOWN) {
            detail(&format!("    {place}"))?;
        }
    }
    if let Some(why) = trial.change.as_ref().and_then(|change| change.impossible.as_ref()) {
        detail(why)?;
    }
    if trial.outcome == TrialOutcome::Misbehaves
        && let Some(control) = control_of(before, &trial.module.name, trial.load_mode)
    {
        let differences = outcome::differences(&trial.observed, &control.observed);
        for difference in differences.iter().take(DIFFERENCES_SHOWN) {
            detail(difference)?;
        }
    }
    let taint = taint_letters(trial.observed.taint_after & !trial.observed.taint_before);
    if !taint.is_empty() {
        detail(&format!("taint {taint}"))?;
    }
    if trial.agreement == Agreement::Disagree {
        detail(&trial.disagreement)?;
    }
    Ok(())
}

/// The conclusion: each outcome that occurs with its meaning, worst first, and the agreement with the predictions.
fn conclude(trials: &[Trial], session: &mut Session<'_>) -> Result<(), Failure> {
    writeln!(session.out)?;
    let asked: Vec<&Trial> = trials.iter().filter(|trial| trial.role == TrialRole::Asked).collect();
    let outcomes: BTreeSet<TrialOutcome> = asked.iter().map(|trial| trial.outcome).collect();
    for outcome in TrialOutcome::ALL.into_iter().filter(|outcome| outcomes.contains(outcome)) {
        let load_modes: Vec<&str> =
            asked.iter().filter(|trial| trial.outcome == outcome).map(|trial| trial.load_mode.name()).collect();
        let name = session.paint(Paint::Strong, outcome.name());
        writeln!(session.out, "  {name} ({}): {}", load_modes.join(", "), outcome.sentence())?;
    }
    let original = asked.iter().max_by_key(|trial| trial.prediction.dangers.len());
    for danger in original.map(|trial| trial.prediction.dangers.as_slice()).unwrap_or_default() {
        let what = session.paint(Paint::Bad, "known to be unsafe");
        writeln!(session.out, "  {what}: {}", for_eyes(danger))?;
    }
    let AgreementCounts { agree, unknown, disagree } = AgreementCounts::of(trials);
    writeln!(
        session.out,
        "  {agree} of {} trials as predicted, {unknown} can't be compared, {disagree} not as predicted",
        trials.len()
    )?;
    Ok(())
}
