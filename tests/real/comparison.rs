//! What a real kernel answered beside what was predicted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kmodlab::lab::agreement::{is_loader_line, is_same_line};
use kmodlab::predict::taint_letters;
use serde_json::Value;

use crate::agreement::{Asked, FORCES};

/// How a cell comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Agree,
    /// Nothing was predicted, for want of a fact.
    Unknown,
    Disagree,
    /// The kernel died or hung before it said whether it takes the module: there is no answer to compare with.
    Died,
}

/// Compares one cell. `predicted` is the line of `check --json`.
pub(crate) fn compare(asked: &Asked, predicted: &Value) -> Outcome {
    if died_in_the_loader(asked) {
        // A kernel that crashes gives no answer, and so there must be none predicted.
        return if predicted["verdict"] == "unknown" { Outcome::Died } else { Outcome::Disagree };
    }
    let accepted = is_accepted(asked);
    let agree = match predicted["verdict"].as_str() {
        Some("unknown") => return Outcome::Unknown,
        Some("accepted") => accepted,
        Some("refused") => !accepted && predicted["errno"].as_i64() == Some(i64::from(asked.answer.errno)),
        other => panic!("check says {other:?}"),
    };
    let theirs = loader_lines(&asked.answer.log);
    let ours = predicted_lines(predicted);
    let is_first_same = match (theirs.first(), ours.first()) {
        (Some(theirs), Some(ours)) => is_same_line(theirs, ours),
        (None, None) => true,
        _ => false,
    };
    if agree && is_first_same { Outcome::Agree } else { Outcome::Disagree }
}

/// Where a later line of the loader's is not as predicted: the kernel's, and ours, without the module's name.
fn first_difference(asked: &Asked, predicted: &Value) -> Option<(String, String)> {
    let (theirs, ours) = (loader_lines(&asked.answer.log), predicted_lines(predicted));
    let at = (0..theirs.len().max(ours.len())).find(|at| match (theirs.get(*at), ours.get(*at)) {
        (Some(theirs), Some(ours)) => !is_same_line(theirs, ours),
        _ => true,
    })?;
    let line = |lines: &[&str]| lines.get(at).map_or("nothing".to_owned(), |line| line.replace(&asked.module, "NAME"));
    Some((line(&theirs), line(&ours)))
}

/// Whether the loader took the module, whatever the module's own init did then.
fn is_accepted(asked: &Asked) -> bool {
    let answer = &asked.answer;
    // A guest that ended can't tell of its trace; the call trace on its console can.
    let in_init = answer.console.as_ref().is_some_and(|console| console.contains("do_init_module"));
    answer.accepted || answer.died.is_some() && in_init
}

fn died_in_the_loader(asked: &Asked) -> bool {
    let answer = &asked.answer;
    !is_accepted(asked) && (answer.died.is_some() || answer.signal != 0 || answer.timeout || answer.errno < 0)
}

fn predicted_lines(predicted: &Value) -> Vec<&str> {
    predicted["dmesg"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The lines that the loader itself prints, among those of the module's own code and of others.
pub(crate) fn loader_lines(log: &[String]) -> Vec<&str> {
    log.iter().map(String::as_str).filter(|line| is_loader_line(line)).collect()
}

/// The table of all cells: how many came out how, a row for each kernel and origin, and under it each cell that
/// disagrees, with both sides.
#[derive(Default)]
pub(crate) struct Matrix {
    rows: BTreeMap<(String, String, u8), BTreeMap<Outcome, usize>>,
    totals: BTreeMap<Outcome, usize>,
    details: String,
    every_line: usize,
    compared: usize,
    /// Where a later line differs, by kernel and the two lines: in how many cells.
    later_lines: BTreeMap<(String, String, String), usize>,
    taints: BTreeMap<String, usize>,
}

impl Matrix {
    pub(crate) fn add(&mut self, asked: &Asked, predicted: &Value) {
        let outcome = compare(asked, predicted);
        let key = (asked.kernel.clone(), asked.origin.clone(), asked.flags);
        *self.rows.entry(key).or_default().entry(outcome).or_default() += 1;
        *self.totals.entry(outcome).or_default() += 1;
        match outcome {
            Outcome::Agree => {}
            Outcome::Disagree | Outcome::Died => self.explain(outcome, asked, predicted),
            Outcome::Unknown => {
                let (module, origin, kernel) = (&asked.module, &asked.origin, &asked.kernel);
                let findings = predicted["findings"].as_array().into_iter().flatten();
                let open: Vec<_> =
                    findings.filter(|finding| finding["result"] == "unknown").map(|finding| &finding["note"]).collect();
                let _ = writeln!(
                    self.details,
                    "\nUnknown: {module} of {origin} on {kernel}, flags {}: {open:?}",
                    asked.flags
                );
            }
        }
        if outcome == Outcome::Agree {
            self.compared += 1;
            match first_difference(asked, predicted) {
                None => self.every_line += 1,
                Some((theirs, ours)) => {
                    *self.later_lines.entry((asked.kernel.clone(), theirs, ours)).or_default() += 1;
                }
            }
            // D and W are of what the module's own code did.
            let theirs = taint_letters(asked.answer.taint_after).replace(['D', 'W', 'L', 'C'], "");
            let ours = predicted["taint"].as_str().unwrap_or_default();
            if sorted(&theirs) != sorted(&ours.replace('C', "")) && asked.answer.died.is_none() {
                let stage = predicted["stage"].as_str().unwrap_or("accepted");
                let what = format!("{} {stage}: predicted {ours:?}, was {theirs:?}", asked.kernel);
                *self.taints.entry(what).or_default() += 1;
            }
        }
    }

    fn explain(&mut self, outcome: Outcome, asked: &Asked, predicted: &Value) {
        let answer = &asked.answer;
        let out = &mut self.details;
        let _ = writeln!(
            out,
            "\n{outcome:?}: {} of {} on {}, flags {}",
            asked.module, asked.origin, asked.kernel, asked.flags
        );
        let _ = writeln!(
            out,
            "  predicted  {} errno {} at {}: {:?}",
            predicted["verdict"],
            predicted["errno"],
            predicted["stage"],
            predicted_lines(predicted).iter().take(4).collect::<Vec<_>>()
        );
        let _ = writeln!(
            out,
            "  answered   accepted {} errno {} signal {} timeout {} {}: {:?}",
            answer.accepted,
            answer.errno,
            answer.signal,
            answer.timeout,
            answer.died.as_deref().unwrap_or_default(),
            loader_lines(&answer.log).iter().take(4).collect::<Vec<_>>()
        );
        let tail = answer.console.as_deref().map(|console| console.lines().rev().take(30).collect::<Vec<_>>());
        let log = answer.log.iter().map(String::as_str).filter(|_| outcome == Outcome::Died);
        for line in log.take(12).chain(tail.into_iter().flatten().rev()) {
            let _ = writeln!(out, "    | {}", line.escape_debug());
        }
    }

    /// Prints all, and fails below the bar: each cell that is not unknown agrees, and unknown are less than 3 %.
    pub(crate) fn judge(&self, title: &str) {
        println!("{}", self.details);
        println!("\n{title}: agree/unknown/disagree (died in the loader)");
        println!("{:18} {:18} {}", "kernel", "origin", FORCES.map(|force| format!("{force:>16}")).concat());
        let mut keys: Vec<_> = self.rows.keys().map(|(kernel, origin, _)| (kernel, origin)).collect();
        keys.dedup();
        for (kernel, origin) in keys {
            let cells = [0, 1, 2, 3].map(|flags| {
                let row = self.rows.get(&(kernel.clone(), origin.clone(), flags));
                row.map_or(String::new(), counts)
            });
            println!("{kernel:18} {origin:18} {}", cells.map(|cell| format!("{cell:>16}")).concat());
        }
        let all: usize = self.totals.values().sum();
        println!("{title}: {all} cells, {}", counts(&self.totals));
        println!("{title}: of {} that agree, all loader lines are as predicted in {}", self.compared, self.every_line);
        for ((kernel, theirs, ours), count) in self.later_lines.iter().take(40) {
            println!("{title}: {kernel}, in {count} cells {theirs:?} where {ours:?} was predicted");
        }
        for (what, count) in &self.taints {
            println!("{title}: taint differs in {count} cells: {what}");
        }
        let of = |outcome| self.totals.get(&outcome).copied().unwrap_or(0);
        assert!(all > 0, "no cell was asked");
        assert_eq!(of(Outcome::Disagree), 0, "{title}: a real kernel answers otherwise");
        let unknown = of(Outcome::Unknown) + of(Outcome::Died);
        assert!(unknown * 100 < all * 3, "{title}: {unknown} of {all} are unknown");
    }
}

fn sorted(letters: &str) -> Vec<char> {
    let mut letters: Vec<char> = letters.chars().collect();
    letters.sort_unstable();
    letters
}

fn counts(row: &BTreeMap<Outcome, usize>) -> String {
    let of = |outcome| row.get(&outcome).copied().unwrap_or(0);
    let died = match of(Outcome::Died) {
        0 => String::new(),
        died => format!(" ({died})"),
    };
    format!("{}/{}/{}{died}", of(Outcome::Agree), of(Outcome::Unknown), of(Outcome::Disagree))
}
