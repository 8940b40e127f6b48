//! How cells came out: how many agree, a row for each kernel and origin, and each cell that does not, with both sides.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmodlab::lab::agreement::{is_same_line, loader_lines};
use kmodlab::lab::outcome::words;
use kmodlab::lab::record::{Agreement, Cell, End, Observed, Outcome, Role, Way};
use kmodlab::predict::{Decision, StepResult as Found, taint_letters};

/// The taints that the module's own code may leave, beside what the loader sets (C is both's).
const OF_ITS_OWN: [char; 4] = ['D', 'W', 'L', 'C'];

/// How many cells are what.
#[derive(Clone, Copy, Default)]
struct Counts {
    agree: usize,
    unknown: usize,
    disagree: usize,
    /// Those of the unknown over which the kernel died before it answered.
    died: usize,
}

impl Counts {
    fn add(&mut self, cell: &Cell) {
        match cell.agreement {
            Agreement::Agree => self.agree += 1,
            Agreement::Unknown => self.unknown += 1,
            Agreement::Disagree => self.disagree += 1,
        }
        self.died += usize::from(cell.agreement == Agreement::Unknown && died_in_the_loader(&cell.observed));
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.agree, self.unknown, self.disagree)?;
        if self.died > 0 { write!(f, " ({})", self.died) } else { Ok(()) }
    }
}

/// All cells, counted.
#[derive(Default)]
pub(crate) struct Tally {
    all: Counts,
    rows: BTreeMap<(String, String), BTreeMap<Way, Counts>>,
    outcomes: BTreeMap<(Role, Outcome), usize>,
    details: String,
    /// What could not be patched, because the new version magic is longer than its place.
    too_long: usize,
    /// Of those that agree, how many do in every line of the loader's.
    every_line: usize,
    /// Where a later line differs, by kernel and the two lines: in how many cells.
    later_lines: BTreeMap<(String, String, String), usize>,
    taints: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts cells.
    pub(crate) fn of(cells: &[Cell]) -> Tally {
        let mut tally = Tally::default();
        cells.iter().for_each(|cell| tally.add(cell));
        tally
    }

    fn add(&mut self, cell: &Cell) {
        let origin = match cell.role {
            Role::Control => "(its own, control)".to_owned(),
            Role::Asked => cell.module.origin.clone().unwrap_or_default(),
        };
        let row = self.rows.entry((cell.kernel.release.clone(), origin)).or_default();
        row.entry(cell.way).or_default().add(cell);
        self.all.add(cell);
        *self.outcomes.entry((cell.role, cell.outcome)).or_default() += 1;
        match cell.agreement {
            Agreement::Agree => self.look_closer(cell),
            Agreement::Unknown if is_too_long(cell) => self.too_long += 1,
            Agreement::Unknown | Agreement::Disagree => self.explain(cell),
        }
    }

    /// The lines behind the first, and the taint.
    fn look_closer(&mut self, cell: &Cell) {
        let (theirs, ours) = (loader_lines(&cell.observed), &cell.prediction.dmesg);
        let line =
            |line: Option<&str>| line.map_or("nothing".to_owned(), |line| line.replace(&cell.module.name, "NAME"));
        let different = (0..theirs.len().max(ours.len())).find_map(|at| {
            let (theirs, ours) = (theirs.get(at).copied(), ours.get(at).map(String::as_str));
            let is_same = theirs.zip(ours).is_some_and(|(theirs, ours)| is_same_line(theirs, ours));
            (!is_same).then(|| (cell.kernel.release.clone(), line(theirs), line(ours)))
        });
        match different {
            None => self.every_line += 1,
            Some(lines) => *self.later_lines.entry(lines).or_default() += 1,
        }
        let seen = &cell.observed;
        let theirs = of_the_loader(&taint_letters(seen.taint_after & !seen.taint_before));
        let ours = of_the_loader(cell.prediction.taint.as_deref().unwrap_or_default());
        if theirs != ours && seen.end == End::Done {
            let stage = cell.prediction.stage.as_deref().unwrap_or("accepted");
            let what = format!("{} {stage}: predicted {ours:?}, was {theirs:?}", cell.kernel.release);
            *self.taints.entry(what).or_default() += 1;
        }
    }

    fn explain(&mut self, cell: &Cell) {
        let (out, seen, prediction) = (&mut self.details, &cell.observed, &cell.prediction);
        let _ = writeln!(out, "\n{:?}: {}", cell.agreement, called(cell));
        let _ = writeln!(out, "  why        {}", cell.disagreement);
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

    /// Prints all, and fails below the bar: each cell that is not unknown agrees, unknown are less than 3 % of those that
    /// were run, and none was left out but what can't be patched.
    pub(crate) fn judge(&self, title: &str) {
        println!("{}", self.details);
        println!("\n{title}: agree/unknown/disagree (unknown, and the kernel died over it)");
        let cells = |each: &dyn Fn(Way) -> String| Way::ALL.map(|way| format!("{:>20}", each(way))).concat();
        println!("{:24} {:24}{}", "kernel", "origin", cells(&|way| way.name().to_owned()));
        for ((kernel, origin), row) in &self.rows {
            let count = |way| row.get(&way).map_or(String::new(), Counts::to_string);
            println!("{kernel:24} {origin:24}{}", cells(&count));
        }
        let all = self.all.agree + self.all.unknown + self.all.disagree;
        println!("{title}: {all} cells, {}", self.all);
        for ((role, outcome), count) in &self.outcomes {
            println!("{title}: {count:>5} {role:?} {}", outcome.name());
        }
        println!("{title}: {} are left out: the new version magic is longer than its place", self.too_long);
        println!("{title}: of {} that agree, all loader lines are as predicted in {}", self.all.agree, self.every_line);
        for ((kernel, theirs, ours), count) in self.later_lines.iter().take(40) {
            println!("{title}: {kernel}, in {count} cells {theirs:?} where {ours:?} was predicted");
        }
        for (what, count) in &self.taints {
            println!("{title}: taint differs in {count} cells: {what}");
        }
        assert!(all > 0, "no cell was asked");
        assert_eq!(self.all.disagree, 0, "{title}: a real kernel answers otherwise");
        let (run, unknown) = (all - self.too_long, self.all.unknown - self.too_long);
        assert!(unknown * 100 < run * 3, "{title}: {unknown} of {run} are unknown");
        for broken in [Outcome::EngineError, Outcome::NoBoot, Outcome::RecordBroken] {
            assert_eq!(self.count(broken), 0, "{title}: {}", broken.name());
        }
        assert_eq!(self.count(Outcome::NotRun), self.too_long, "{title}: some were not run");
    }

    fn count(&self, outcome: Outcome) -> usize {
        [Role::Asked, Role::Control].iter().filter_map(|role| self.outcomes.get(&(*role, outcome))).sum()
    }
}

/// The one reason to leave a cell out: a patch that does not fit.
fn is_too_long(cell: &Cell) -> bool {
    let why = cell.change.as_ref().and_then(|change| change.impossible.as_deref());
    let is_for_room = why.is_some_and(|why| why.contains("but the old entry has room for"));
    cell.outcome == Outcome::NotRun && cell.way == Way::Patched && is_for_room
}

/// A cell, for eyes.
pub(crate) fn called(cell: &Cell) -> String {
    let (module, kernel, way, what) = (&cell.module, &cell.kernel.release, cell.way.name(), words(cell));
    let origin = module.origin.as_deref().unwrap_or("nobody");
    format!("{} ({}) of {origin} on {kernel}, {way}, {:?}: {what}", module.name, module.path, cell.role)
}

fn died_in_the_loader(seen: &Observed) -> bool {
    !seen.accepted && seen.errno.is_none() && seen.end != End::NotRun
}

/// The letters that the loader is answerable for.
pub(crate) fn of_the_loader(letters: &str) -> String {
    let mut letters: Vec<char> = letters.chars().filter(|letter| !OF_ITS_OWN.contains(letter)).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}
