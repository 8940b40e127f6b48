//! Counts trials per kernel and load mode, and draws a conclusion from all. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::lab::record::{Agreement, LoadMode, Trial, TrialOutcome, TrialRole};

/// How many trials agree with their predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgreementCounts {
    /// Trials that came out as predicted.
    pub agree: usize,
    /// Trials that cannot be compared with a prediction.
    pub unknown: usize,
    /// Trials that did not come out as predicted.
    pub disagree: usize,
}

impl AgreementCounts {
    /// Counts trials.
    pub fn of<'t>(trials: impl IntoIterator<Item = &'t Trial>) -> AgreementCounts {
        let mut counts = AgreementCounts::default();
        for trial in trials {
            match trial.agreement {
                Agreement::Agree => counts.agree += 1,
                Agreement::Unknown => counts.unknown += 1,
                Agreement::Disagree => counts.disagree += 1,
            }
        }
        counts
    }
}

/// The trials on a kernel in one load mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TallyRow {
    /// The kernel's release.
    pub kernel: String,
    /// Controls, or the modules in question.
    pub role: TrialRole,
    /// How they were loaded.
    pub load_mode: LoadMode,
    /// How many agree with their predictions.
    #[serde(flatten)]
    pub agreement: AgreementCounts,
    /// How many have each outcome that occurs.
    pub outcomes: BTreeMap<TrialOutcome, usize>,
}

/// One row per kernel, role and load mode that occurs: kernels in the order of their first trials, controls before
/// modules in question, load modes in the order of tables.
pub fn rows(trials: &[Trial]) -> Vec<TallyRow> {
    let mut kernels: Vec<&str> = Vec::new();
    let mut groups: BTreeMap<(usize, TrialRole, LoadMode), Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        let release = trial.kernel.release.as_str();
        let kernel = kernels.iter().position(|kernel| *kernel == release).unwrap_or_else(|| {
            kernels.push(release);
            kernels.len() - 1
        });
        groups.entry((kernel, trial.role, trial.load_mode)).or_default().push(trial);
    }
    let row = |((kernel, role, load_mode), trials): ((usize, TrialRole, LoadMode), Vec<&Trial>)| {
        let mut outcomes: BTreeMap<TrialOutcome, usize> = BTreeMap::new();
        trials.iter().for_each(|trial| *outcomes.entry(trial.outcome).or_default() += 1);
        let kernel = kernels.get(kernel).copied().unwrap_or_default().to_owned();
        TallyRow { kernel, role, load_mode, agreement: AgreementCounts::of(trials), outcomes }
    };
    groups.into_iter().map(row).collect()
}

/// The conclusion from a run of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// In at least one trial QEMU failed or the kernel did not boot.
    LabFailed,
    /// At least one trial did not come out as predicted.
    NotAsPredicted,
    /// No module in question was tried.
    NothingTried,
    /// All trials that can be compared came out as predicted.
    AsPredicted,
}

impl Conclusion {
    /// The conclusion: the first variant that applies, in their order.
    pub fn of(trials: &[Trial]) -> Conclusion {
        let is_lab_failure = |trial: &Trial| matches!(trial.outcome, TrialOutcome::QemuError | TrialOutcome::NoBoot);
        let is_idle = |trial: &Trial| trial.outcome == TrialOutcome::NotRun || trial.role == TrialRole::Control;
        if trials.iter().any(is_lab_failure) {
            Conclusion::LabFailed
        } else if trials.iter().any(|trial| trial.agreement == Agreement::Disagree) {
            Conclusion::NotAsPredicted
        } else if trials.iter().all(is_idle) {
            Conclusion::NothingTried
        } else {
            Conclusion::AsPredicted
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::example;

    #[test]
    fn rows_count_trials_per_kernel_role_and_load_mode() {
        let mut control = example::trial("1");
        control.role = TrialRole::Control;
        let mut wrong = example::trial("3");
        wrong.agreement = Agreement::Disagree;
        let rows = rows(&[example::trial("2"), wrong, control]);
        let [first, second] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((first.role, first.agreement.unknown), (TrialRole::Control, 1));
        assert_eq!(second.agreement, AgreementCounts { agree: 0, unknown: 1, disagree: 1 });
        assert_eq!(second.outcomes, BTreeMap::from([(TrialOutcome::NotRun, 2)]));
    }

    #[test]
    fn the_worst_conclusion_applies() {
        let with = |outcome, agreement| Trial { outcome, agreement, ..example::trial("1") };
        let fine = with(TrialOutcome::NoDifference, Agreement::Agree);
        let wrong = with(TrialOutcome::Refused, Agreement::Disagree);
        let failed = with(TrialOutcome::NoBoot, Agreement::Unknown);
        assert_eq!(Conclusion::of(&[example::trial("1")]), Conclusion::NothingTried);
        assert_eq!(Conclusion::of(&[example::trial("1"), fine.clone()]), Conclusion::AsPredicted);
        assert_eq!(Conclusion::of(&[fine.clone(), wrong.clone()]), Conclusion::NotAsPredicted);
        assert_eq!(Conclusion::of(&[fine, wrong, failed]), Conclusion::LabFailed);
    }
}
