//! The results of trials: how many agree, a row for each kernel and origin, and each trial that does not agree, with both
//! sides.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmodlab::lab::agreement::{is_same_line, loader_lines};
use kmodlab::lab::outcome::words;
use kmodlab::lab::record::{Agreement, End, LoadMode, Observed, Trial, TrialOutcome, TrialRole};
use kmodlab::predict::{Decision, StepResult as Found, taint_letters};

/// The taints that the module's own code may set, in addition to those that the loader sets (both can set C).
const OF_ITS_OWN: [char; 4] = ['D', 'W', 'L', 'C'];

/// The number of trials by agreement.
#[derive(Clone, Copy, Default)]
struct Counts {
    agree: usize,
    unknown: usize,
    disagree: usize,
    /// The unknown ones in which the kernel crashed before it answered.
    died: usize,
}

impl Counts {
    fn add(&mut self, trial: &Trial) {
        match trial.agreement {
            Agreement::Agree => self.agree += 1,
            Agreement::Unknown => self.unknown += 1,
            Agreement::Disagree => self.disagree += 1,
        }
        self.died += usize::from(trial.agreement == Agreement::Unknown && died_in_the_loader(&trial.observed));
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.agree, self.unknown, self.disagree)?;
        if self.died > 0 { write!(f, " ({})", self.died) } else { Ok(()) }
    }
}

/// All trials, counted.
#[derive(Default)]
pub(crate) struct Tally {
    all: Counts,
    rows: BTreeMap<(String, String), BTreeMap<LoadMode, Counts>>,
    outcomes: BTreeMap<(TrialRole, TrialOutcome), usize>,
    details: String,
    /// Trials without a patched module, because the new version magic is longer than the space for it.
    too_long: usize,
    /// How many of those that agree do so in every line of the loader.
    every_line: usize,
    /// Where a later line differs: the number of trials, by kernel and the two lines.
    later_lines: BTreeMap<(String, String, String), usize>,
    taints: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts trials.
    pub(crate) fn of(trials: &[Trial]) -> Tally {
        let mut tally = Tally::default();
        trials.iter().for_each(|trial| tally.add(trial));
        tally
    }

    fn add(&mut self, trial: &Trial) {
        let origin = match trial.role {
            TrialRole::Control => "(its own, control)".to_owned(),
            TrialRole::Asked => trial.module.origin.clone().unwrap_or_default(),
        };
        let row = self.rows.entry((trial.kernel.release.clone(), origin)).or_default();
        row.entry(trial.load_mode).or_default().add(trial);
        self.all.add(trial);
        *self.outcomes.entry((trial.role, trial.outcome)).or_default() += 1;
        match trial.agreement {
            Agreement::Agree => self.look_closer(trial),
            Agreement::Unknown if is_too_long(trial) => self.too_long += 1,
            Agreement::Unknown | Agreement::Disagree => self.explain(trial),
        }
    }

    /// Compares the lines after the first, and the taint.
    fn look_closer(&mut self, trial: &Trial) {
        let (theirs, ours) = (loader_lines(&trial.observed), &trial.prediction.dmesg);
        let line =
            |line: Option<&str>| line.map_or("nothing".to_owned(), |line| line.replace(&trial.module.name, "NAME"));
        let different = (0..theirs.len().max(ours.len())).find_map(|at| {
            let (theirs, ours) = (theirs.get(at).copied(), ours.get(at).map(String::as_str));
            let is_same = theirs.zip(ours).is_some_and(|(theirs, ours)| is_same_line(theirs, ours));
            (!is_same).then(|| (trial.kernel.release.clone(), line(theirs), line(ours)))
        });
        match different {
            None => self.every_line += 1,
            Some(lines) => *self.later_lines.entry(lines).or_default() += 1,
        }
        let seen = &trial.observed;
        let theirs = of_the_loader(&taint_letters(seen.taint_after & !seen.taint_before));
        let ours = of_the_loader(trial.prediction.taint.as_deref().unwrap_or_default());
        if theirs != ours && seen.end == End::Done {
            let stage = trial.prediction.stage.as_deref().unwrap_or("accepted");
            let what = format!("{} {stage}: predicted {ours:?}, was {theirs:?}", trial.kernel.release);
            *self.taints.entry(what).or_default() += 1;
        }
    }

    fn explain(&mut self, trial: &Trial) {
        let (out, seen, prediction) = (&mut self.details, &trial.observed, &trial.prediction);
        let _ = writeln!(out, "\n{:?}: {}", trial.agreement, called(trial));
        let _ = writeln!(out, "  why        {}", trial.disagreement);
        if prediction.verdict == Decision::Unknown {
            let open = prediction.findings.iter().filter(|finding| finding.result == Found::Unknown);
            let open: Vec<String> =
                open.map(|finding| format!("{}: {:?}", finding.step.name(), finding.note)).collect();
            let _ = writeln!(out, "  predicted  unknown: {}", open.join("; "));
        } else {
            let (verdict, errno, stage) = (prediction.verdict, prediction.errno, &prediction.stage);
            let lines: Vec<&String> = prediction.dmesg.iter().take(4).collect();
            let _ = writeln!(out, "  predicted  {verdict:?} errno {errno:?} at {stage:?}: {lines:?}");
        }
        let (end, errno, accepted) = (&seen.end, seen.errno, seen.accepted);
        let lines: Vec<&str> = loader_lines(seen).into_iter().take(4).collect();
        let _ = writeln!(out, "  happened   {end:?} accepted {accepted} errno {errno:?}: {lines:?}");
        let console: Vec<&str> = seen.console.lines().rev().take(30).collect();
        for line in console.into_iter().rev() {
            let _ = writeln!(out, "    | {}", line.escape_debug());
        }
    }

    /// Prints everything, and fails if the requirements are not met: each trial that is not unknown agrees, less than 3 % of
    /// the trials that were run are unknown, and only trials that cannot be patched were left out.
    pub(crate) fn judge(&self, title: &str) {
        println!("{}", self.details);
        println!("\n{title}: agree/unknown/disagree (unknown, and the kernel died over it)");
        let trials = |each: &dyn Fn(LoadMode) -> String| {
            LoadMode::ALL.map(|load_mode| format!("{:>20}", each(load_mode))).concat()
        };
        println!("{:24} {:24}{}", "kernel", "origin", trials(&|load_mode| load_mode.name().to_owned()));
        for ((kernel, origin), row) in &self.rows {
            let count = |load_mode| row.get(&load_mode).map_or(String::new(), Counts::to_string);
            println!("{kernel:24} {origin:24}{}", trials(&count));
        }
        let all = self.all.agree + self.all.unknown + self.all.disagree;
        println!("{title}: {all} trials, {}", self.all);
        for ((role, outcome), count) in &self.outcomes {
            println!("{title}: {count:>5} {role:?} {}", outcome.name());
        }
        println!("{title}: {} are left out: the new version magic is longer than its place", self.too_long);
        println!("{title}: of {} that agree, all loader lines are as predicted in {}", self.all.agree, self.every_line);
        for ((kernel, theirs, ours), count) in self.later_lines.iter().take(40) {
            println!("{title}: {kernel}, in {count} trials {theirs:?} where {ours:?} was predicted");
        }
        for (what, count) in &self.taints {
            println!("{title}: taint differs in {count} trials: {what}");
        }
        assert!(all > 0, "no trial was asked");
        assert_eq!(self.all.disagree, 0, "{title}: a real kernel answers otherwise");
        let (run, unknown) = (all - self.too_long, self.all.unknown - self.too_long);
        assert!(unknown * 100 < run * 3, "{title}: {unknown} of {run} are unknown");
        for broken in [TrialOutcome::QemuError, TrialOutcome::NoBoot, TrialOutcome::RecordBroken] {
            assert_eq!(self.count(broken), 0, "{title}: {}", broken.name());
        }
        assert_eq!(self.count(TrialOutcome::NotRun), self.too_long, "{title}: some were not run");
    }

    fn count(&self, outcome: TrialOutcome) -> usize {
        [TrialRole::Asked, TrialRole::Control].iter().filter_map(|role| self.outcomes.get(&(*role, outcome))).sum()
    }
}

/// The one reason to leave a trial out: a patch that does not fit.
fn is_too_long(trial: &Trial) -> bool {
    let why = trial.change.as_ref().and_then(|change| change.impossible.as_deref());
    let is_for_room = why.is_some_and(|why| why.contains("but the old entry has space for"));
    trial.outcome == TrialOutcome::NotRun && trial.load_mode == LoadMode::Patched && is_for_room
}

/// A description of a trial.
pub(crate) fn called(trial: &Trial) -> String {
    let (module, kernel, load_mode, what) =
        (&trial.module, &trial.kernel.release, trial.load_mode.name(), words(trial));
    let origin = module.origin.as_deref().unwrap_or("nobody");
    format!("{} ({}) of {origin} on {kernel}, {load_mode}, {:?}: {what}", module.name, module.path, trial.role)
}

fn died_in_the_loader(seen: &Observed) -> bool {
    !seen.accepted && seen.errno.is_none() && seen.end != End::NotRun
}

/// The letters of the taints that the loader sets.
pub(crate) fn of_the_loader(letters: &str) -> String {
    let mut letters: Vec<char> = letters.chars().filter(|letter| !OF_ITS_OWN.contains(letter)).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}
