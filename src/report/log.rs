//! The kernel's log by phases, with the line that decided the outcome.

use crate::lab::outcome::decisive_place;
use crate::lab::record::{Cell, Phase};

/// The most lines of a phase that are shown; a record has the rest.
const LINES: usize = 40;

/// The same of a phase before the module was loaded, which is much the same in all cells of a kernel.
const LINES_BEFORE: usize = 8;

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
    let decisive = decisive_place(cell);
    let log = || cell.observed.log.iter().enumerate();
    let part = |phase: Phase| {
        let lines: Vec<(&str, bool)> = log()
            .filter(|(_, line)| line.phase == phase)
            .map(|(place, line)| (line.text.as_str(), decisive == Some(place)))
            .collect();
        let all = lines.len();
        let decisive = lines.iter().position(|(_, decides)| *decides);
        let most = if phase < Phase::Load && decisive.is_none() { LINES_BEFORE } else { LINES };
        let last_start = all.saturating_sub(most);
        let before = decisive.map_or(last_start, |place| place.saturating_sub(most / 3).min(last_start));
        let lines: Vec<_> = lines.into_iter().skip(before).take(most).collect();
        let behind = all - before - lines.len();
        Part { phase, all, before, lines, behind }
    };
    Phase::ALL.into_iter().map(part).filter(|part| !part.lines.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A cell with so many lines of boot and load.
    fn cell(outcome: &str, boot: usize, load: usize) -> Cell {
        let line = |phase: &str, number: usize| json!({"phase": phase, "text": format!("{phase} {number}")});
        let log = (0..boot).map(|n| line("boot", n)).chain((0..load).map(|n| line("load", n)));
        let value = json!({
            "schema_version": 1, "id": "1", "role": "asked", "way": "original", "seconds": 1.0,
            "module": {"name": "m", "path": "m.ko", "origin": null, "sha256": "", "vermagic": null},
            "kernel": {"name": "k", "release": "k", "vermagic": "k "},
            "prediction": {"verdict": "refused", "errno": 8, "dmesg": ["load 50"], "taint": "", "stage": null,
                "findings": [], "needs": [], "dangers": []},
            "change": null, "observed": {"log": log.collect::<Vec<_>>()}, "outcome": outcome, "agreement": "agree",
            "disagreement": "",
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn of_a_long_log_the_lines_around_the_decisive_one_are_kept() {
        let cell = cell("refused", 100, 200);
        let parts = parts(&cell);
        let [boot, load] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!((boot.all, boot.before, boot.lines.len(), boot.behind), (100, 92, 8, 0));
        assert!(boot.is_before_the_load());
        assert_eq!((load.all, load.before, load.lines.len(), load.behind), (200, 37, 40, 123));
        assert_eq!(load.lines.iter().filter(|(_, decides)| *decides).collect::<Vec<_>>(), [&("load 50", true)]);
    }
}
