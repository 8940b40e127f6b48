//! The kernel's log by phases, with the line that decided the outcome.

use crate::lab::record::{Cell, Line, Outcome, Phase};

/// The most lines of a phase that are shown; a record has the rest.
const LINES: usize = 60;

/// A phase with the lines that are shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part<'c> {
    pub(super) phase: Phase,
    /// How many lines it has.
    pub(super) all: usize,
    /// How many lines before the first shown one are left out.
    pub(super) before: usize,
    /// The lines; is it the one that decided?
    pub(super) lines: Vec<(&'c str, bool)>,
    /// How many lines behind the last shown one are left out.
    pub(super) behind: usize,
}

impl Part<'_> {
    /// Does it tell only of what came before the module, and decide nothing?
    pub(super) fn is_before_the_load(&self) -> bool {
        self.phase < Phase::Load && !self.lines.iter().any(|(_, decides)| *decides)
    }
}

/// The log of a cell, phase by phase in the order of phases. Of a long phase the lines around the one that decided are
/// kept, or else the last ones.
pub(super) fn parts(cell: &Cell) -> Vec<Part<'_>> {
    let decisive = decisive(cell);
    let log = || cell.observed.log.iter().enumerate();
    let part = |phase: Phase| {
        let lines: Vec<(&str, bool)> = log()
            .filter(|(_, line)| line.phase == phase)
            .map(|(place, line)| (line.text.as_str(), decisive == Some(place)))
            .collect();
        let all = lines.len();
        let last_start = all.saturating_sub(LINES);
        let before = match lines.iter().position(|(_, decides)| *decides) {
            Some(place) => place.saturating_sub(LINES / 3).min(last_start),
            None => last_start,
        };
        let lines: Vec<_> = lines.into_iter().skip(before).take(LINES).collect();
        let behind = all - before - lines.len();
        Part { phase, all, before, lines, behind }
    };
    Phase::ALL.into_iter().map(part).filter(|part| !part.lines.is_empty()).collect()
}

/// Which line of the log decided the outcome, where one did.
///
/// For a refusal it is the loader's first line as predicted, or else the first one of the load; for distress, the line
/// that says so; for a silence, the last one before it; for a warning, its first line.
fn decisive(cell: &Cell) -> Option<usize> {
    let log = &cell.observed.log;
    let first = |fits: &dyn Fn(&Line) -> bool| log.iter().position(fits);
    match cell.outcome {
        Outcome::Refused => {
            let predicted = cell.prediction.dmesg.first();
            let loads = |line: &Line| line.phase == Phase::Load;
            first(&|line| loads(line) && Some(&line.text) == predicted).or_else(|| first(&loads))
        }
        Outcome::Crash | Outcome::Hang => match &cell.observed.crash {
            Some(crash) => first(&|line| line.phase == crash.phase && line.text == crash.line)
                .or_else(|| first(&|line| line.text == crash.line)),
            None => log.len().checked_sub(1),
        },
        Outcome::Warned => {
            let warnings = &cell.observed.warnings;
            first(&|line| warnings.contains(&line.text))
        }
        _ => None,
    }
}
