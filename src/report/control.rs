//! The control of a trial: the trial of the kernel's own module with the same force.

use std::collections::{BTreeMap, HashMap};

use crate::lab::record::{LoadMode, ProbeResult, Trial, TrialRole};

/// The controls among some trials, by kernel and module.
#[derive(Debug, Default)]
pub(super) struct Controls<'c>(HashMap<(&'c str, &'c str), Vec<&'c Trial>>);

impl<'c> Controls<'c> {
    /// Collects the controls.
    pub(super) fn of(trials: &[&'c Trial]) -> Controls<'c> {
        let mut controls: HashMap<_, Vec<&Trial>> = HashMap::new();
        for trial in trials.iter().filter(|trial| trial.role == TrialRole::Control) {
            controls.entry((trial.kernel.name.as_str(), trial.module.name.as_str())).or_default().push(trial);
        }
        Controls(controls)
    }

    /// The control of a trial: one in the same load mode, or else one that is forced if and only if the trial is.
    pub(super) fn beside(&self, trial: &Trial) -> Option<&'c Trial> {
        if trial.role == TrialRole::Control {
            return None;
        }
        let controls = self.0.get(&(trial.kernel.name.as_str(), trial.module.name.as_str()))?;
        let is_forced = |load_mode: LoadMode| load_mode.flags() != 0;
        let same = controls.iter().find(|control| control.load_mode == trial.load_mode);
        same.or_else(|| controls.iter().find(|control| is_forced(control.load_mode) == is_forced(trial.load_mode)))
            .copied()
    }
}

/// A check of a probe, with its result and that of the control; `None` if the check was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbePair<'c> {
    pub(super) what: &'c str,
    pub(super) how: Option<&'c str>,
    pub(super) control: Option<&'c str>,
}

/// The results of two probes, check by check: first those of the trial, then those that only the control has.
pub(super) fn pairs<'c>(ours: &'c [ProbeResult], control: &'c [ProbeResult]) -> Vec<ProbePair<'c>> {
    let theirs: BTreeMap<&str, &str> = control.iter().map(|seen| (seen.what.as_str(), seen.how.as_str())).collect();
    let known: BTreeMap<&str, &str> = ours.iter().map(|seen| (seen.what.as_str(), seen.how.as_str())).collect();
    let both = ours.iter().map(|seen| {
        let what = seen.what.as_str();
        ProbePair { what, how: Some(&seen.how), control: theirs.get(what).copied() }
    });
    let missing = control.iter().filter(|seen| !known.contains_key(seen.what.as_str()));
    let missing = missing.map(|seen| ProbePair { what: &seen.what, how: None, control: Some(&seen.how) });
    both.chain(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_only_the_control_has_are_listed_last() {
        let seen = |what: &str, how: &str| ProbeResult { what: what.to_owned(), how: how.to_owned() };
        let ours = [seen("dummy0 exists", "yes"), seen("dummy0 sends", "0 packets")];
        let control = [seen("dummy0 sends", "3 packets"), seen("dummy0 goes", "yes")];
        assert_eq!(
            pairs(&ours, &control),
            [
                ProbePair { what: "dummy0 exists", how: Some("yes"), control: None },
                ProbePair { what: "dummy0 sends", how: Some("0 packets"), control: Some("3 packets") },
                ProbePair { what: "dummy0 goes", how: None, control: Some("yes") },
            ]
        );
    }
}
