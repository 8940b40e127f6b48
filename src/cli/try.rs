//! `try`: a module in a throwaway virtual machine, as it is, forced and patched, beside the kernel's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::cli::Status;
use crate::cli::lab::{LabArgs, stored, subjects};
use crate::cli::output::{self, Failure, Paint, Session, waiting};
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::kernel;
use crate::lab::experiment::{self, TargetKernel, TrialSpec, control_of};
use crate::lab::outcome::{self, decisive_line};
use crate::lab::record::{Agreement, LoadMode, Trial, TrialOutcome, TrialRole};
use crate::lab::store::{self, TrialWriter};
use crate::lab::subject::TrialSubject;
use crate::predict::{self, Decision, errno_name, taint_letters};

#[derive(clap::Args)]
pub(super) struct Args {
    /// A module file, or the name of a module of the kernel that --built-for names
    #[arg(value_name = "MODULE")]
    module: OsString,
    /// The kernel that it is tried on: an image (vmlinuz) with its folder of modules, or a package; it is booted
    #[arg(long, value_name = "K")]
    kernel: OsString,
    /// The kernel that the module was built for: where MODULE is only a name, the module is taken from there
    #[arg(long, value_name = "K")]
    built_for: Option<OsString>,
    /// Add the trials to trials.jsonl in this folder, for kmodlab report
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One JSON object a trial, in a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

/// How many functions of a call trace are shown.
const TRACE_SHOWN: usize = 6;

/// How many differences to the control are shown.
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
    let own = target.own(&subject.seen.name);
    let controls = own.iter().flat_map(|own| {
        [LoadMode::Original, LoadMode::Forced].map(|load_mode| TrialSpec {
            role: TrialRole::Control,
            subject: own,
            load_mode,
        })
    });
    let asked =
        args.lab.load_modes().into_iter().map(|load_mode| TrialSpec { role: TrialRole::Asked, subject, load_mode });
    let questions: Vec<TrialSpec<'_>> = controls.chain(asked).collect();
    let mut writer = args.out.as_ref().map(|folder| writer(folder, session)).transpose()?;
    if !args.json {
        heading(subject, &target, own.is_some(), session)?;
    }
    // Told in the order of the questions, as soon as all before are done.
    let order: Vec<(TrialRole, LoadMode)> =
        questions.iter().map(|question| (question.role, question.load_mode)).collect();
    let done: Mutex<BTreeMap<usize, Trial>> = Mutex::new(BTreeMap::new());
    let place = |trial: &Trial| order.iter().position(|at| *at == (trial.role, trial.load_mode)).unwrap_or_default();
    let trials = std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let work = scope.spawn({
            let (done, target, questions, conditions) = (&done, &target, &questions, &conditions);
            move || {
                // The sender is dropped with the last trial, and that ends the loop below.
                let sender = Mutex::new(sender);
                experiment::run(target, questions, conditions, &HashMap::new(), &|trial| {
                    done.lock().unwrap_or_else(|e| e.into_inner()).insert(place(trial), trial.clone());
                    let _ = sender.lock().unwrap_or_else(|e| e.into_inner()).send(());
                })
            }
        });
        let mut told: Vec<Trial> = Vec::new();
        loop {
            let next = done.lock().unwrap_or_else(|e| e.into_inner()).remove(&told.len());
            if let Some(trial) = next {
                if let Some(writer) = &mut writer {
                    writer.add(&trial)?;
                }
                if args.json {
                    session.json(&trial)?;
                } else {
                    print(&trial, &told, session)?;
                }
                session.out.flush()?;
                told.push(trial);
            } else if waiting("trying it in a virtual machine", || receiver.recv()).is_err()
                && !done.lock().unwrap_or_else(|e| e.into_inner()).contains_key(&told.len())
            {
                break;
            }
        }
        drop(work.join());
        Ok::<_, Failure>(told)
    })?;
    if !args.json {
        conclude(&trials, session)?;
    }
    if let Some(folder) = &args.out {
        session.remark(format_args!("the trials are in {}; kmodlab report makes a page of them", output::path(folder)));
    }
    Ok(status(&trials))
}

/// The exit status: a wrong prediction is a negative verdict, and a lab that could not be run is an error.
pub(super) fn status(trials: &[Trial]) -> Status {
    let is = |outcomes: &[TrialOutcome]| trials.iter().any(|trial| outcomes.contains(&trial.outcome));
    if is(&[TrialOutcome::QemuError, TrialOutcome::NoBoot]) {
        Status::Failed
    } else if trials.iter().any(|trial| trial.agreement == Agreement::Disagree) {
        Status::Negative
    } else if trials.iter().all(|trial| trial.outcome == TrialOutcome::NotRun || trial.role == TrialRole::Control) {
        // Nothing of what was asked about was tried.
        Status::Failed
    } else {
        Status::Done
    }
}

/// Opens the file of trials in a folder; what is there stays.
fn writer(folder: &Path, session: &mut Session<'_>) -> Result<TrialWriter, Error> {
    let path = folder.join(store::FILE);
    if path.exists() {
        stored(&path, session)?;
    }
    TrialWriter::open(&path)
}

/// Is the module one of the kernel that it is said to be built for?
fn fits(subject: &TrialSubject, origin: &OsString, session: &mut Session<'_>) -> Result<(), Failure> {
    let lookup = session.lookup();
    let kernel = waiting("reading the kernel that it was built for", || kernel::named(origin, &lookup))?;
    let ours = subject.seen.vermagic.as_deref().unwrap_or_default();
    if kernel.vermagic.as_ref().is_some_and(|theirs| theirs.value.as_bytes() != ours.as_bytes()) {
        session.remark(format_args!(
            "{} was not built for {}: its version magic is {}",
            for_eyes(&subject.seen.path),
            for_eyes(&kernel.name),
            for_eyes(ours)
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
        writeln!(session.out, "  control    none: this kernel has no module {name} of its own to compare with")?;
    }
    let heads = session.paint(Paint::Faint, format_args!("  {:<20} {:<36} {}", "load mode", "predicted", "happened"));
    writeln!(session.out, "\n{heads}")?;
    Ok(())
}

/// One row, and under it what decided it.
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
    writeln!(session.out, "  {load_mode:<20} {:<36} {happened}{mark}", predicted(trial))?;
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

/// What was predicted, in a few words.
pub(super) fn predicted(trial: &Trial) -> String {
    let prediction = &trial.prediction;
    match prediction.verdict {
        Decision::Refused => {
            let stage = prediction.stage.as_deref().unwrap_or("a step");
            match prediction.errno.map(errno_name) {
                Some(errno) if prediction.undecided.is_empty() => format!("refused: {errno} at {stage}"),
                _ => format!("refused at {stage}, or before: {}", prediction.undecided.join(", ")),
            }
        }
        Decision::Accepted => match prediction.taint.as_deref().filter(|taint| !taint.is_empty()) {
            Some(taint) => format!("accepted, taint {taint}"),
            None => "accepted".to_owned(),
        },
        Decision::Unknown => {
            let open = |finding: &&predict::Finding| finding.result == predict::StepResult::Unknown;
            let step = prediction.findings.iter().find(open).map_or("", |finding| finding.step.name());
            format!("unknown: {step}")
        }
    }
}

/// The verdict in words: what each outcome that came up means, the worst first, and whether it was as predicted.
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
    let count = |agreement| trials.iter().filter(|trial| trial.agreement == agreement).count();
    let (agree, unknown, disagree) = (count(Agreement::Agree), count(Agreement::Unknown), count(Agreement::Disagree));
    writeln!(
        session.out,
        "  {agree} of {} trials as predicted, {unknown} can't be compared, {disagree} not as predicted",
        trials.len()
    )?;
    Ok(())
}
