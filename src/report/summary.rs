//! The cells, counted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lab::record::{Agreement, Cell, Outcome};
use crate::lab::store::latest;
use crate::report::text::{count, grouped};

/// How many cells there are of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All.
    pub cells: usize,
    /// Those that are as predicted.
    pub agree: usize,
    /// Those that can't be compared with a prediction.
    pub unknown: usize,
    /// Those that are not as predicted.
    pub disagree: usize,
    /// How many have each outcome; each outcome is there.
    pub outcomes: BTreeMap<Outcome, usize>,
}

impl Summary {
    /// Counts cells; of several with one id the last one counts.
    pub fn of(cells: &[Cell]) -> Summary {
        Summary::of_latest(&latest(cells))
    }

    pub(super) fn of_latest(cells: &[&Cell]) -> Summary {
        let with = |agreement| cells.iter().filter(|cell| cell.agreement == agreement).count();
        let of = |outcome| (outcome, cells.iter().filter(|cell| cell.outcome == outcome).count());
        Summary {
            cells: cells.len(),
            agree: with(Agreement::Agree),
            unknown: with(Agreement::Unknown),
            disagree: with(Agreement::Disagree),
            outcomes: Outcome::ALL.into_iter().map(of).collect(),
        }
    }

    /// How many have this outcome.
    pub fn outcome(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Summary {
    /// "2,400 cells: 2,398 agree, 1 unknown, 1 disagrees".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = |n: usize, verb: &str| format!("{} {verb}{}", grouped(n as u64), if n == 1 { "s" } else { "" });
        let (cells, unknown) = (count(self.cells, "cell"), grouped(self.unknown as u64));
        write!(f, "{cells}: {}, {unknown} unknown, {}", verb(self.agree, "agree"), verb(self.disagree, "disagree"))
    }
}
