//! Counts of trials.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lab::record::{Trial, TrialOutcome};
use crate::lab::store::latest;
use crate::lab::tally::AgreementCounts;
use crate::report::text::{count, grouped};

/// The number of trials, in all and of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrialSummary {
    /// All trials.
    pub trials: usize,
    /// How many agree with their predictions.
    #[serde(flatten)]
    pub agreement: AgreementCounts,
    /// How many have each outcome; all outcomes are listed.
    pub outcomes: BTreeMap<TrialOutcome, usize>,
}

impl TrialSummary {
    /// Counts trials. If several have the same id, the last one counts.
    pub fn of(trials: &[Trial]) -> TrialSummary {
        TrialSummary::of_latest(&latest(trials))
    }

    pub(super) fn of_latest(trials: &[&Trial]) -> TrialSummary {
        let of = |outcome| (outcome, trials.iter().filter(|trial| trial.outcome == outcome).count());
        TrialSummary {
            trials: trials.len(),
            agreement: AgreementCounts::of(trials.iter().copied()),
            outcomes: TrialOutcome::ALL.into_iter().map(of).collect(),
        }
    }

    /// How many have this outcome.
    pub fn outcome(&self, outcome: TrialOutcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for TrialSummary {
    /// "2,400 trials: 2,398 agree, 1 unknown, 1 disagrees".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verb = |n: usize, verb: &str| format!("{} {verb}{}", grouped(n as u64), if n == 1 { "s" } else { "" });
        let AgreementCounts { agree, unknown, disagree } = self.agreement;
        let (trials, unknown) = (count(self.trials, "trial"), grouped(unknown as u64));
        write!(f, "{trials}: {}, {unknown} unknown, {}", verb(agree, "agree"), verb(disagree, "disagree"))
    }
}
