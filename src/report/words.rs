//! What the parts of a record are called on the page, and the sign of each outcome.

use crate::lab::record::{Agreement, End, Init, LoadMode, Phase, TrialOutcome};
use crate::predict::{Decision, errno_words};

/// The sign that stands for an outcome in the heat map, so that none is told by its colour alone.
pub fn sign(outcome: TrialOutcome) -> &'static str {
    match outcome {
        TrialOutcome::QemuError => "E",
        TrialOutcome::NoBoot => "B",
        TrialOutcome::InitNeverRan => "N",
        TrialOutcome::Crash => "C",
        TrialOutcome::Hang => "H",
        TrialOutcome::Refused => "R",
        TrialOutcome::InitFailed => "I",
        TrialOutcome::Misbehaves => "M",
        TrialOutcome::Warned => "W",
        TrialOutcome::NoDifference => "=",
        TrialOutcome::RecordBroken => "!",
        TrialOutcome::NotRun => "–",
    }
}

/// The class of an outcome in the page's style sheet.
pub(super) fn class(outcome: TrialOutcome) -> String {
    outcome.name().replace(' ', "-").to_lowercase()
}

/// Is it as predicted, in words?
pub fn agreement(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Agree => "as predicted",
        Agreement::Unknown => "can't be compared",
        Agreement::Disagree => "not as predicted",
    }
}

/// How a module is loaded, in words.
pub fn load_mode(load_mode: LoadMode) -> &'static str {
    match load_mode {
        LoadMode::Original => "as it is",
        LoadMode::ForcedVermagic => "forced past the version magic",
        LoadMode::ForcedModversions => "forced past the symbol versions",
        LoadMode::Forced => "forced past both",
        LoadMode::Patched => "patched",
    }
}

/// What was predicted, in words.
pub(super) fn answer(answer: Decision) -> &'static str {
    match answer {
        Decision::Accepted => "the loader takes it",
        Decision::Refused => "the loader refuses it",
        Decision::Unknown => "unknown",
    }
}

/// How a trial ended, in words.
pub(super) fn end(end: &End) -> String {
    match end {
        End::Done => "ran to its end".to_owned(),
        End::NotRun => "was not started".to_owned(),
        End::Qemu(why) => format!("broke, or did not start: {why}"),
        End::NoBoot(why) => format!("did not come up: {why}"),
        End::Stuck(phase) => format!("went on, but {} did not end in its time", phase_of(*phase)),
        End::Silent(phase) => format!("stood still in {}", phase_of(*phase)),
        End::Ended(phase) => format!("ended in {}", phase_of(*phase)),
        End::Broken(why) => format!("sent no record of this trial: {why}"),
    }
}

fn phase_of(phase: Phase) -> String {
    format!("the phase \u{201c}{}\u{201d}", phase.name())
}

/// What became of the init function, in words.
pub(super) fn init(init: Init) -> String {
    match init {
        Init::NotReached => "not reached".to_owned(),
        Init::NeverRan => "never called, though the loader took the module".to_owned(),
        Init::Began => "began, and never returned".to_owned(),
        Init::Returned(0) => "returned 0".to_owned(),
        Init::Returned(code) if code < 0 => format!("returned \u{2212}{}", errno(code.saturating_neg())),
        Init::Returned(code) => format!("returned {code}"),
    }
}

/// What a call returned: 0, or an errno with its name.
pub(super) fn errno(number: i32) -> String {
    if number == 0 { "0".to_owned() } else { errno_words(number) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_outcome_has_a_sign_of_its_own() {
        assert_eq!(TrialOutcome::ALL.map(sign).into_iter().collect::<BTreeSet<_>>().len(), TrialOutcome::ALL.len());
    }

    #[test]
    fn what_init_returned_is_named_where_it_is_known() {
        assert_eq!(errno(0), "0");
        assert_eq!(init(Init::Returned(-19)), "returned \u{2212}ENODEV (19)");
        assert_eq!(init(Init::Returned(i32::MIN)), "returned \u{2212}errno 2147483647");
    }
}
