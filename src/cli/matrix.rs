//! `matrix`: many modules on many kernels, in several load modes; can be resumed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::cli::lab::{LabArgs, status, stored};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, waiting};
use crate::cli::status::Status;
use crate::escape::for_eyes;
use crate::lab::matrix::{MatrixProgress, MatrixRequest};
use crate::lab::outcome;
use crate::lab::record::{Agreement, Trial, TrialRole};
use crate::lab::store;
use crate::lab::subject::subjects;
use crate::lab::tally::{self, AgreementCounts};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files, folders of them, or names of modules of the kernels that --built-for names
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',', value_name = "MODULE")]
    modules: Vec<OsString>,
    /// The kernels to try them on: images with their module folders, or packages
    #[arg(long, required = true, num_args = 1.., value_name = "K")]
    kernels: Vec<OsString>,
    /// The kernels to take modules from that are given by name; each module is taken from each kernel
    #[arg(long, num_args = 1.., value_name = "K")]
    built_for: Vec<OsString>,
    /// The folder for trials.jsonl; trials that are already in it are not run again
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave out the controls: the kernels' own modules, unforced and forced
    #[arg(long)]
    no_controls: bool,
    /// Print one JSON object per line and trial
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lab: LabArgs,
}

/// The most trials not as predicted that are shown.
const SHOWN: usize = 20;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let conditions = args.lab.conditions(&lookup)?;
    let request = MatrixRequest {
        subjects: waiting("reading the modules", || subjects(&args.modules, &args.built_for, &lookup))?,
        kernels: args.kernels,
        load_modes: args.lab.load_modes(),
        has_controls: !args.no_controls,
        conditions,
    };
    let has_earlier = args.out.is_dir() && store::files_of(&args.out).iter().any(|file| file.exists());
    let earlier = if has_earlier { stored(&args.out, session)? } else { Vec::new() };
    let progress = Progress::new("trial", request.most_trials());
    let report = request.run(&args.out, earlier, &lookup, &ProgressLine(&progress))?;
    drop(progress);
    if args.json {
        report.trials.iter().try_for_each(|trial| session.json(trial))?;
    } else {
        print(&report.trials, session)?;
    }
    if report.reused > 0 {
        let reused = count(report.reused, "trial");
        session.remark(format_args!("{reused} were run before and are not run again"));
    }
    session.remark(format_args!("the trials are in {}; kmodlab report makes a page of them", output::path(&args.out)));
    Ok(status(&report.trials))
}

/// Shows the progress of a matrix on the terminal.
struct ProgressLine<'p>(&'p Progress);

impl MatrixProgress for ProgressLine<'_> {
    fn kernel(&self, name: &OsStr) {
        self.0.doing(&name.to_string_lossy());
    }

    fn trial(&self) {
        self.0.step();
    }
}

/// One row per kernel and load mode, with the number of trials per outcome; then the trials that are not as predicted.
fn print(trials: &[Trial], session: &mut Session<'_>) -> Result<(), Failure> {
    let heads =
        format!("{:<28} {:<18} {:>6} {:>8} {:>9}  outcomes", "kernel", "load mode", "agree", "unknown", "disagree");
    writeln!(session.out, "{}", session.paint(Paint::Faint, heads))?;
    for row in tally::rows(trials) {
        let AgreementCounts { agree, unknown, disagree } = row.agreement;
        let outcomes: Vec<String> =
            row.outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect();
        let (kernel, outcomes) = (for_eyes(&row.kernel), outcomes.join(", "));
        let load_mode = match row.role {
            TrialRole::Control => format!("own, {}", row.load_mode.name()),
            TrialRole::Asked => row.load_mode.name().to_owned(),
        };
        writeln!(session.out, "{kernel:<28} {load_mode:<18} {agree:>6} {unknown:>8} {disagree:>9}  {outcomes}")?;
    }
    let AgreementCounts { agree, unknown, disagree } = AgreementCounts::of(trials);
    let total = count(trials.len(), "trial");
    writeln!(session.out, "{total}: {agree} as predicted, {unknown} can't be compared, {disagree} not as predicted")?;
    for trial in trials.iter().filter(|trial| trial.agreement == Agreement::Disagree).take(SHOWN) {
        let origin = trial.module.origin.as_deref().unwrap_or(&trial.module.path);
        let name = session.paint(Paint::Bad, for_eyes(&trial.module.name));
        let (origin, kernel, load_mode) = (for_eyes(origin), for_eyes(&trial.kernel.release), trial.load_mode.name());
        writeln!(session.out, "\n{name} of {origin} on {kernel}, {load_mode}")?;
        writeln!(session.out, "  predicted  {}", outcome::predicted(trial))?;
        writeln!(session.out, "  happened   {}", for_eyes(&outcome::words(trial)))?;
        writeln!(session.out, "  but        {}", for_eyes(&trial.disagreement))?;
    }
    Ok(())
}
