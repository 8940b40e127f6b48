//! `matrix`: many modules on many kernels in many ways; resumable.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::Status;
use crate::cli::lab::{LabArgs, stored, subjects};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, waiting};
use crate::cli::r#try::{predicted, status};
use crate::error::Error;
use crate::escape::for_eyes;
use crate::lab::experiment::{self, TargetKernel, TrialSpec};
use crate::lab::outcome;
use crate::lab::record::{Agreement, LoadMode, Trial, TrialOutcome, TrialRole};
use crate::lab::store::{self, TrialWriter};
use crate::lab::subject::TrialSubject;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files, folders of them, or names of modules of the kernels that --built-for names
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "MODULE")]
    modules: Vec<OsString>,
    /// The kernels that they are tried on: images with their folders of modules, or packages
    #[arg(long, required = true, num_args = 1.., value_name = "K")]
    kernels: Vec<OsString>,
    /// The kernels that modules are taken from which are only named; each module of each
    #[arg(long, num_args = 1.., value_name = "K")]
    built_for: Vec<OsString>,
    /// The folder for trials.jsonl; a trial that is in it already is not run again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave out the controls: the kernels' own modules, unforced and forced
    #[arg(long)]
    no_controls: bool,
    /// One JSON object a trial, in a line each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

/// How many trials that are not as predicted are shown.
const SHOWN: usize = 20;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let conditions = args.lab.conditions(&lookup)?;
    let load_modes = args.lab.load_modes();
    let modules = waiting("reading the modules", || subjects(&args.modules, &args.built_for, &lookup))?;
    let names: BTreeSet<String> = modules.iter().map(|subject| subject.seen.name.clone()).collect();
    let path = args.out.join(store::FILE);
    let stored = if args.out.is_dir() && store::files_of(&args.out).iter().any(|file| file.exists()) {
        stored(&args.out, session)?
    } else {
        Vec::new()
    };
    // Where the lab itself failed, another run may do better.
    let was_run = |trial: &Trial| !matches!(trial.outcome, TrialOutcome::QemuError | TrialOutcome::NoBoot);
    let known: HashMap<String, Trial> =
        stored.into_iter().filter(was_run).map(|trial| (trial.id.clone(), trial)).collect();
    let mut writer: Option<TrialWriter> = None;
    let controls = if args.no_controls { 0 } else { 2 * names.len() };
    let expected = args.kernels.len() * (modules.len() * load_modes.len() + controls);
    let progress = Progress::new("trial", expected);
    let reused = AtomicUsize::new(0);
    let mut all: Vec<Trial> = Vec::new();
    for name in &args.kernels {
        progress.doing(&name.to_string_lossy());
        let target = TargetKernel::open(name, &names, &conditions.settings, &lookup)?;
        let opened = match writer.take() {
            Some(writer) => writer,
            None => TrialWriter::open(&path)?,
        };
        let file = Mutex::new((opened, None::<Error>));
        let own: Vec<TrialSubject> = match args.no_controls {
            true => Vec::new(),
            false => names.iter().filter_map(|name| target.own(name)).collect(),
        };
        let of_own = own.iter().flat_map(|own| {
            [LoadMode::Original, LoadMode::Forced].map(|load_mode| TrialSpec {
                role: TrialRole::Control,
                subject: own,
                load_mode,
            })
        });
        let asked = modules.iter().flat_map(|subject| {
            load_modes.iter().map(move |load_mode| TrialSpec { role: TrialRole::Asked, subject, load_mode: *load_mode })
        });
        let questions: Vec<TrialSpec<'_>> = of_own.chain(asked).collect();
        let trials = experiment::run(&target, &questions, &conditions, &known, &|trial| {
            let before = known.get(&trial.id);
            reused.fetch_add(usize::from(before.is_some()), Ordering::Relaxed);
            if before != Some(trial) {
                let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
                if let Err(error) = file.0.add(trial) {
                    file.1.get_or_insert(error);
                }
            }
            progress.step();
        });
        let (opened, error) = file.into_inner().unwrap_or_else(|e| e.into_inner());
        error.map_or(Ok(()), Err)?;
        writer = Some(opened);
        all.extend(trials);
    }
    drop(progress);
    if args.json {
        all.iter().try_for_each(|trial| session.json(trial))?;
    } else {
        print(&all, &load_modes, session)?;
    }
    let reused = reused.into_inner();
    if reused > 0 {
        session.remark(format_args!("{} were done before, and are taken from there", count(reused, "trial")));
    }
    session.remark(format_args!("the trials are in {}; kmodlab report makes a page of them", output::path(&args.out)));
    Ok(status(&all))
}

/// A row a kernel and way, with how many trials came to what; then what is not as predicted.
fn print(trials: &[Trial], load_modes: &[LoadMode], session: &mut Session<'_>) -> Result<(), Failure> {
    let mut kernels: Vec<&str> = Vec::new();
    for trial in trials {
        if !kernels.contains(&trial.kernel.release.as_str()) {
            kernels.push(&trial.kernel.release);
        }
    }
    let heads =
        format!("{:<28} {:<18} {:>6} {:>8} {:>9}  outcomes", "kernel", "load mode", "agree", "unknown", "disagree");
    writeln!(session.out, "{}", session.paint(Paint::Faint, heads))?;
    let controls = [(TrialRole::Control, LoadMode::Original), (TrialRole::Control, LoadMode::Forced)];
    let rows: Vec<(TrialRole, LoadMode)> =
        controls.into_iter().chain(load_modes.iter().map(|load_mode| (TrialRole::Asked, *load_mode))).collect();
    for kernel in kernels {
        for (role, load_mode) in &rows {
            let is_in_row =
                |trial: &&Trial| trial.kernel.release == kernel && trial.role == *role && trial.load_mode == *load_mode;
            let row: Vec<&Trial> = trials.iter().filter(is_in_row).collect();
            if row.is_empty() {
                continue;
            }
            let of = |agreement| row.iter().filter(|trial| trial.agreement == agreement).count();
            let mut outcomes: BTreeMap<TrialOutcome, usize> = BTreeMap::new();
            row.iter().for_each(|trial| *outcomes.entry(trial.outcome).or_default() += 1);
            let outcomes: Vec<String> =
                outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect();
            let load_mode = match role {
                TrialRole::Control => format!("own, {}", load_mode.name()),
                TrialRole::Asked => load_mode.name().to_owned(),
            };
            let (agree, unknown, disagree) = (of(Agreement::Agree), of(Agreement::Unknown), of(Agreement::Disagree));
            let kernel = for_eyes(kernel);
            let outcomes = outcomes.join(", ");
            writeln!(session.out, "{kernel:<28} {load_mode:<18} {agree:>6} {unknown:>8} {disagree:>9}  {outcomes}")?;
        }
    }
    let of = |agreement| trials.iter().filter(move |trial| trial.agreement == agreement);
    let (agree, unknown, disagree) =
        (of(Agreement::Agree).count(), of(Agreement::Unknown).count(), of(Agreement::Disagree).count());
    let total = count(trials.len(), "trial");
    writeln!(session.out, "{total}: {agree} as predicted, {unknown} can't be compared, {disagree} not as predicted")?;
    for trial in of(Agreement::Disagree).take(SHOWN) {
        let origin = trial.module.origin.as_deref().unwrap_or(&trial.module.path);
        let name = session.paint(Paint::Bad, for_eyes(&trial.module.name));
        let (origin, kernel, load_mode) = (for_eyes(origin), for_eyes(&trial.kernel.release), trial.load_mode.name());
        writeln!(session.out, "\n{name} of {origin} on {kernel}, {load_mode}")?;
        writeln!(session.out, "  predicted  {}", predicted(trial))?;
        writeln!(session.out, "  happened   {}", for_eyes(&outcome::words(trial)))?;
        writeln!(session.out, "  but        {}", for_eyes(&trial.disagreement))?;
    }
    Ok(())
}
