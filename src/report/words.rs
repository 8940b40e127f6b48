//! The page's words for the parts of a record, and the sign of each outcome.

use crate::lab::record::{Agreement, End, Init, LoadMode, Phase, TrialOutcome};
use crate::predict::{Decision, errno_words};

/// The sign of an outcome in the heat map, so that its colour is not the only difference.
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

/// The class of an outcome in the style sheet.
pub(super) fn class(outcome: TrialOutcome) -> String {
    outcome.name().replace(' ', "-").to_lowercase()
}

/// The agreement in words.
pub fn agreement(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Agree => "as predicted",
        Agreement::Unknown => "can't be compared",
        Agreement::Disagree => "not as predicted",
    }
}

/// The load mode in words.
pub fn load_mode(load_mode: LoadMode) -> &'static str {
    match load_mode {
        LoadMode::Original => "unchanged",
        LoadMode::ForcedVermagic => "forced past the version magic",
        LoadMode::ForcedModversions => "forced past the symbol versions",
        LoadMode::Forced => "forced past both",
        LoadMode::Patched => "patched",
    }
}

/// The predicted answer in words.
pub(super) fn answer(answer: Decision) -> &'static str {
    match answer {
        Decision::Accepted => "accepted by the loader",
        Decision::Refused => "refused by the loader",
        Decision::Unknown => "unknown",
    }
}

/// The end of a trial in words.
pub(super) fn end(end: &End) -> String {
    match end {
        End::Done => "ran to the end".to_owned(),
        End::NotRun => "was not started".to_owned(),
        End::Qemu(why) => format!("failed, or did not start: {why}"),
        End::NoBoot(why) => format!("did not boot: {why}"),
        End::Stuck(phase) => format!("kept running, but {} exceeded its time limit", phase_of(*phase)),
        End::Silent(phase) => format!("hung in {}", phase_of(*phase)),
        End::Ended(phase) => format!("ended in {}", phase_of(*phase)),
        End::Broken(why) => format!("sent invalid messages: {why}"),
    }
}

fn phase_of(phase: Phase) -> String {
    format!("the phase \u{201c}{}\u{201d}", phase.name())
}

/// The fate of the init function in words.
pub(super) fn init(init: Init) -> String {
    match init {
        Init::NotReached => "not reached".to_owned(),
        Init::NeverRan => "never called, although the loader accepted the module".to_owned(),
        Init::Began => "began and did not return".to_owned(),
        Init::Returned(0) => "returned 0".to_owned(),
        Init::Returned(code) if code < 0 => format!("returned \u{2212}{}", errno(code.saturating_neg())),
        Init::Returned(code) => format!("returned {code}"),
    }
}

/// The return value of a call: 0, or an errno with its name.
pub(super) fn errno(number: i32) -> String {
    if number == 0 { "0".to_owned() } else { errno_words(number) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn signs_of_outcomes_are_distinct() {
        assert_eq!(TrialOutcome::ALL.map(sign).into_iter().collect::<BTreeSet<_>>().len(), TrialOutcome::ALL.len());
    }

    #[test]
    fn return_values_of_init_are_named() {
        assert_eq!(errno(0), "0");
        assert_eq!(init(Init::Returned(-19)), "returned \u{2212}ENODEV (19)");
        assert_eq!(init(Init::Returned(i32::MIN)), "returned \u{2212}errno 2147483647");
    }
}
