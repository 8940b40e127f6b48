//! The outcome of a trial: how it is decided, what it means, and which log line decided it. Pure.

use crate::lab::agreement::{is_loader_line, is_same_line};
use crate::lab::record::{
    Crash, CrashKind, End, Init, LogLine, Observed, Phase, Trial, TrialOutcome, TrialPrediction, TrialRole,
};
use crate::predict::{Decision, Finding, StepResult, errno_name, taint_bits, taint_letters};

impl TrialOutcome {
    /// All outcomes, in the order of tables.
    pub const ALL: [TrialOutcome; 12] = [
        TrialOutcome::QemuError,
        TrialOutcome::NoBoot,
        TrialOutcome::InitNeverRan,
        TrialOutcome::Crash,
        TrialOutcome::Hang,
        TrialOutcome::Refused,
        TrialOutcome::InitFailed,
        TrialOutcome::Misbehaves,
        TrialOutcome::Warned,
        TrialOutcome::NoDifference,
        TrialOutcome::RecordBroken,
        TrialOutcome::NotRun,
    ];

    /// Its name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            TrialOutcome::QemuError => "QEMU error",
            TrialOutcome::NoBoot => "no boot",
            TrialOutcome::InitNeverRan => "init never ran",
            TrialOutcome::Crash => "crash",
            TrialOutcome::Hang => "hang",
            TrialOutcome::Refused => "refused",
            TrialOutcome::InitFailed => "init failed",
            TrialOutcome::Misbehaves => "misbehaves",
            TrialOutcome::Warned => "warned",
            TrialOutcome::NoDifference => "no difference",
            TrialOutcome::RecordBroken => "record broken",
            TrialOutcome::NotRun => "not run",
        }
    }

    /// Its meaning, in one sentence for a reader who sees it for the first time.
    pub fn sentence(self) -> &'static str {
        match self {
            TrialOutcome::QemuError => {
                "The virtual machine did not start, or failed, so nothing is known about the module."
            }
            TrialOutcome::NoBoot => "The kernel did not boot, so the module was never loaded.",
            TrialOutcome::InitNeverRan => {
                "The kernel accepted the module and reported success, but looked for its init function where this \
                 module does not have it, and called nothing: the module is loaded, does nothing, and no message says \
                 so."
            }
            TrialOutcome::Crash => {
                "The kernel crashed (panic, oops or BUG): on a real machine, unsaved work is lost and data may be \
                 damaged."
            }
            TrialOutcome::Hang => {
                "The machine, or the call that loads the module, hung and did not return in time: on a real machine \
                 only a reset would help."
            }
            TrialOutcome::Refused => "The loader refused the module before any of its code ran: no harm was done.",
            TrialOutcome::InitFailed => {
                "The loader accepted the module, but the module's own init function returned an error, so it was \
                 unloaded again."
            }
            TrialOutcome::Misbehaves => {
                "It was loaded without a complaint, but it does not do what the kernel's own module does: it is \
                 silently broken."
            }
            TrialOutcome::Warned => "It was loaded, and the kernel logged a warning or has an unexpected taint.",
            TrialOutcome::NoDifference => {
                "It was loaded, and no check differs from the kernel's own module; that is no proof that it is safe."
            }
            TrialOutcome::RecordBroken => "The guest's messages contradict each other, so none of them is trusted.",
            TrialOutcome::NotRun => "It was not run, because there was nothing to load.",
        }
    }
}

/// Decides the outcome. `control` is the trial of the kernel's own module with the same force flags; a control itself
/// has none. `has_init`: does the module have an init function?
pub fn decide(seen: &Observed, prediction: &TrialPrediction, control: Option<&Trial>, has_init: bool) -> TrialOutcome {
    match &seen.end {
        End::NotRun => return TrialOutcome::NotRun,
        End::Qemu(_) => return TrialOutcome::QemuError,
        End::NoBoot(_) => return TrialOutcome::NoBoot,
        _ => {}
    }
    // Checked before the crash that may follow when the module is unloaded.
    if has_init && seen.errno == Some(0) && seen.accepted && seen.init == Init::NeverRan {
        return TrialOutcome::InitNeverRan;
    }
    match &seen.crash {
        Some(crash) if is_hang(crash) => return TrialOutcome::Hang,
        Some(_) => return TrialOutcome::Crash,
        None => {}
    }
    match &seen.end {
        End::Stuck(_) | End::Silent(_) => return TrialOutcome::Hang,
        // A guest ends without a message only if its kernel died.
        End::Ended(_) => return TrialOutcome::Crash,
        End::Broken(_) => return TrialOutcome::RecordBroken,
        _ => {}
    }
    match (seen.accepted, seen.errno) {
        (_, None) => return TrialOutcome::RecordBroken,
        (false, Some(0)) => return TrialOutcome::RecordBroken,
        (false, Some(_)) => return TrialOutcome::Refused,
        (true, Some(0)) => {}
        (true, Some(_)) => return TrialOutcome::InitFailed,
    }
    if control.is_some_and(|control| !differences(seen, &control.observed).is_empty()) {
        return TrialOutcome::Misbehaves;
    }
    let quiet = control.map_or(&[][..], |control| &control.observed.warnings);
    let new_warnings = seen.warnings.iter().any(|warning| !quiet.contains(warning));
    if new_warnings || unexpected_taint(seen, prediction) != 0 {
        return TrialOutcome::Warned;
    }
    TrialOutcome::NoDifference
}

/// Is it a hang?
fn is_hang(crash: &Crash) -> bool {
    matches!(crash.kind, CrashKind::HungTask | CrashKind::RcuStall | CrashKind::SoftLockup | CrashKind::HardLockup)
}

/// The differences from the control, one sentence each. A control that was not used successfully shows none.
pub fn differences(seen: &Observed, control: &Observed) -> Vec<String> {
    if control.end != End::Done || control.errno != Some(0) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for theirs in &control.probe {
        let ours = seen.probe.iter().find(|ours| ours.what == theirs.what);
        let how = ours.map_or("not seen", |ours| ours.how.as_str());
        if how != theirs.how {
            found.push(format!("{}: {how}, the kernel's own: {}", theirs.what, theirs.how));
        }
    }
    let is_known = |what: &String| control.probe.iter().any(|theirs| theirs.what == *what);
    found.extend(
        seen.probe
            .iter()
            .filter(|ours| !is_known(&ours.what))
            .map(|ours| format!("{}: {}, the kernel's own: not seen", ours.what, ours.how)),
    );
    let unloaded = |seen: &Observed| {
        seen.unload.map(|unload| match unload.errno {
            Some(0) if unload.gone => "gone".to_owned(),
            Some(0) => "success reported, but still loaded".to_owned(),
            Some(errno) => errno_name(errno).into_owned(),
            None => "no return".to_owned(),
        })
    };
    if let (Some(ours), Some(theirs)) = (unloaded(seen), unloaded(control))
        && ours != theirs
    {
        found.push(format!("unloading: {ours}, the kernel's own: {theirs}"));
    }
    found
}

/// The taint bits that are set now, were not set before, and were not predicted; none if there is no prediction.
pub fn unexpected_taint(seen: &Observed, prediction: &TrialPrediction) -> u64 {
    let Some(letters) = &prediction.taint else { return 0 };
    seen.taint_after & !seen.taint_before & !taint_bits(letters)
}

/// The position in [`Observed::log`] of the line that decided the outcome, if one did.
///
/// For a refusal: the last predicted line that was logged, since earlier ones only lead up to it; without one, the
/// loader's last line; without that, the first line of the load phase. For a crash or hang: the line that reports it,
/// or the last line before a silence. For a warning: its first line.
pub fn decisive_place(trial: &Trial) -> Option<usize> {
    let seen = &trial.observed;
    let first = |fits: &dyn Fn(&LogLine) -> bool| seen.log.iter().position(fits);
    let last = |fits: &dyn Fn(&LogLine) -> bool| seen.log.iter().rposition(fits);
    let loads = |line: &LogLine| line.phase == Phase::Load;
    match trial.outcome {
        TrialOutcome::Refused => {
            let is_predicted =
                |line: &LogLine| trial.prediction.dmesg.iter().any(|ours| is_same_line(&line.text, ours));
            last(&|line| loads(line) && is_predicted(line))
                .or_else(|| last(&|line| loads(line) && is_loader_line(&line.text)))
                .or_else(|| first(&loads))
        }
        TrialOutcome::Crash | TrialOutcome::Hang => match &seen.crash {
            Some(crash) => first(&|line| line.phase == crash.phase && line.text == crash.line)
                .or_else(|| first(&|line| line.text == crash.line)),
            None => seen.log.len().checked_sub(1),
        },
        TrialOutcome::Warned => {
            let warning = seen.warnings.first()?;
            first(&|line| line.text == *warning)
        }
        _ => None,
    }
}

/// The line that decided the outcome: the one at [`decisive_place`], or a text in its place if the log has none.
pub fn decisive_line(trial: &Trial) -> Option<&str> {
    let seen = &trial.observed;
    match (trial.outcome, &seen.end) {
        (TrialOutcome::QemuError | TrialOutcome::NoBoot | TrialOutcome::RecordBroken, end) => match end {
            End::Qemu(why) | End::NoBoot(why) | End::Broken(why) => return Some(why),
            _ => {}
        },
        // The line may have reached the console only.
        (TrialOutcome::Crash | TrialOutcome::Hang, _) if seen.crash.is_some() => {
            return seen.crash.as_ref().map(|crash| crash.line.as_str());
        }
        (TrialOutcome::Warned, _) => return seen.warnings.first().map(String::as_str),
        _ => {}
    }
    decisive_place(trial).and_then(|place| seen.log.get(place)).map(|line| line.text.as_str())
}

/// The prediction in a few words.
pub fn predicted(trial: &Trial) -> String {
    let prediction = &trial.prediction;
    match prediction.verdict {
        Decision::Refused => {
            let stage = prediction.stage.as_deref().unwrap_or("a step");
            match prediction.errno.map(errno_name) {
                Some(errno) if prediction.undecided.is_empty() => format!("refused: {errno} at {stage}"),
                _ => format!("refused at {stage}, or before: {}", prediction.undecided.join(", ")),
            }
        }
        Decision::Accepted => match prediction.taint.as_deref().filter(|taint| !taint.is_empty()) {
            Some(taint) => format!("accepted, taint {taint}"),
            None => "accepted".to_owned(),
        },
        Decision::Unknown => {
            let open = |finding: &&Finding| finding.result == StepResult::Unknown;
            let step = prediction.findings.iter().find(open).map_or("", |finding| finding.step.name());
            format!("unknown: {step}")
        }
    }
}

/// The outcome in words, with its details.
pub fn words(trial: &Trial) -> String {
    let seen = &trial.observed;
    let returned = |errno: Option<i32>| errno.map_or("nothing".to_owned(), |errno| errno_name(errno).into_owned());
    match trial.outcome {
        TrialOutcome::Crash => {
            let (kind, phase, place) = match &seen.crash {
                Some(crash) => {
                    let place = crash.place.as_deref().map(|place| format!(" in {place}")).unwrap_or_default();
                    (crash.kind.name(), crash.phase, place)
                }
                None => ("the guest died silently", last_phase(seen), String::new()),
            };
            format!("{kind} in the phase {}{place}", phase.name())
        }
        TrialOutcome::Hang => {
            let what = seen.crash.as_ref().map_or("no sign of life", |crash| crash.kind.name());
            format!("hang in the phase {}: {what}", last_phase(seen).name())
        }
        TrialOutcome::Refused => format!("refused: {}", returned(seen.errno)),
        TrialOutcome::InitFailed => format!("its init failed: {}", returned(seen.errno)),
        TrialOutcome::InitNeverRan => match &seen.crash {
            Some(crash) => format!("init never ran; then {} in the phase {}", crash.kind.name(), crash.phase.name()),
            None => "init never ran".to_owned(),
        },
        TrialOutcome::Warned => match seen.warnings.first() {
            Some(_) => "loaded, and the kernel warned".to_owned(),
            None => format!("loaded, with the taint {}", taint_letters(unexpected_taint(seen, &trial.prediction))),
        },
        TrialOutcome::NoDifference if trial.role == TrialRole::Control => "loaded and used: clean".to_owned(),
        TrialOutcome::NoDifference => "loaded; no difference seen".to_owned(),
        other => other.name().to_owned(),
    }
}

/// The phase in which the trial ended.
fn last_phase(seen: &Observed) -> Phase {
    match &seen.end {
        End::Stuck(phase) | End::Silent(phase) | End::Ended(phase) => *phase,
        _ => seen.crash.as_ref().map_or(Phase::Load, |crash| crash.phase),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::lab::record::{ProbeResult, UnloadReport, example};
    use crate::predict::Decision;

    fn loaded() -> Observed {
        let probe = vec![ProbeResult { what: "dummy0 counts as sent".to_owned(), how: "3 packets".to_owned() }];
        let unload = Some(UnloadReport { forced: false, errno: Some(0), gone: true });
        let (errno, accepted, init) = (Some(0), true, Init::Returned(0));
        Observed { end: End::Done, errno, accepted, init, probe, unload, ..Observed::default() }
    }

    fn prediction(taint: &str) -> TrialPrediction {
        TrialPrediction { verdict: Decision::Accepted, taint: Some(taint.to_owned()), ..example::trial("1").prediction }
    }

    fn decided(seen: &Observed) -> TrialOutcome {
        decide(seen, &prediction(""), None, true)
    }

    #[test]
    fn each_outcome_follows_from_the_observations() {
        let crash = |kind| {
            let (line, trace) = (String::new(), Vec::new());
            Some(Crash { kind, line, phase: Phase::Unload, place: None, trace })
        };
        for (seen, outcome) in [
            (loaded(), TrialOutcome::NoDifference),
            (Observed::default(), TrialOutcome::NotRun),
            (Observed { end: End::Qemu("x".to_owned()), ..loaded() }, TrialOutcome::QemuError),
            (Observed { end: End::NoBoot("x".to_owned()), ..loaded() }, TrialOutcome::NoBoot),
            (Observed { init: Init::NeverRan, crash: crash(CrashKind::Bug), ..loaded() }, TrialOutcome::InitNeverRan),
            (Observed { crash: crash(CrashKind::Oops), ..loaded() }, TrialOutcome::Crash),
            (Observed { crash: crash(CrashKind::SoftLockup), ..loaded() }, TrialOutcome::Hang),
            (Observed { end: End::Silent(Phase::Load), ..loaded() }, TrialOutcome::Hang),
            (Observed { end: End::Stuck(Phase::Load), errno: None, ..loaded() }, TrialOutcome::Hang),
            (Observed { end: End::Ended(Phase::Load), errno: None, ..loaded() }, TrialOutcome::Crash),
            (Observed { end: End::Broken("x".to_owned()), ..loaded() }, TrialOutcome::RecordBroken),
            (Observed { errno: Some(8), accepted: false, ..loaded() }, TrialOutcome::Refused),
            (Observed { errno: Some(0), accepted: false, ..loaded() }, TrialOutcome::RecordBroken),
            (Observed { errno: None, ..loaded() }, TrialOutcome::RecordBroken),
            (Observed { errno: Some(19), init: Init::Returned(-19), ..loaded() }, TrialOutcome::InitFailed),
            (Observed { warnings: vec!["WARNING: CPU: 0".to_owned()], ..loaded() }, TrialOutcome::Warned),
            (Observed { taint_after: 2, ..loaded() }, TrialOutcome::Warned),
        ] {
            assert_eq!(decided(&seen), outcome, "{seen:?}");
        }
    }

    #[test]
    fn a_missing_init_function_cannot_fail_to_run() {
        let seen = Observed { init: Init::NeverRan, ..loaded() };
        assert_eq!(decide(&seen, &prediction(""), None, false), TrialOutcome::NoDifference);
    }

    #[test]
    fn a_predicted_taint_is_no_warning() {
        let seen = Observed { taint_before: 1, taint_after: 0b10_0011, ..loaded() };
        assert_eq!(unexpected_taint(&seen, &prediction("F")), 0b10_0000);
    }

    #[test]
    fn differences_from_the_control_are_listed() {
        let mut seen = loaded();
        seen.probe[0].how = "0 packets".to_owned();
        seen.unload = Some(UnloadReport { forced: false, errno: Some(16), gone: false });
        assert_eq!(
            differences(&seen, &loaded()),
            [
                "dummy0 counts as sent: 0 packets, the kernel's own: 3 packets",
                "unloading: EBUSY, the kernel's own: gone"
            ]
        );
        assert_eq!(differences(&loaded(), &loaded()), [] as [&str; 0]);
    }

    #[test]
    fn names_and_sentences_of_outcomes_are_distinct() {
        for words in [TrialOutcome::name, TrialOutcome::sentence] {
            assert_eq!(
                TrialOutcome::ALL.map(words).into_iter().collect::<BTreeSet<_>>().len(),
                TrialOutcome::ALL.len()
            );
        }
        assert!(TrialOutcome::ALL.into_iter().all(|outcome| outcome.sentence().ends_with('.')));
    }

    /// A trial with this outcome, these lines in the load phase, and these predicted lines.
    fn trial(outcome: TrialOutcome, load: &[&str], predicted: &[&str]) -> Trial {
        let mut trial = example::trial("1");
        trial.outcome = outcome;
        trial.prediction.dmesg = predicted.iter().map(|text| (*text).to_owned()).collect();
        let line = |text: &&str| LogLine { phase: Phase::Load, text: (*text).to_owned() };
        trial.observed.log = load.iter().map(line).collect();
        trial
    }

    #[test]
    fn the_last_predicted_line_decides_a_refusal() {
        let forced = "m: module_layout: kernel tainted.";
        let refusal = "m: disagrees about version of symbol printk";
        let load = ["m: hello", forced, refusal, "m: Unknown symbol printk (err -22)", "tsc: refined"];
        assert_eq!(decisive_line(&trial(TrialOutcome::Refused, &load, &[forced, refusal])), Some(refusal));
        assert_eq!(
            decisive_line(&trial(TrialOutcome::Refused, &load, &["another"])),
            Some("m: Unknown symbol printk (err -22)")
        );
        assert_eq!(decisive_line(&trial(TrialOutcome::Refused, &["tsc: refined", "more"], &[])), Some("tsc: refined"));
        assert_eq!(decisive_line(&trial(TrialOutcome::Refused, &[], &[forced])), None);
    }

    #[test]
    fn the_last_line_before_a_silence_decides() {
        assert_eq!(decisive_place(&trial(TrialOutcome::Hang, &["one", "two"], &[])), Some(1));
        assert_eq!(decisive_place(&trial(TrialOutcome::Hang, &[], &[])), None);
        assert_eq!(decisive_place(&trial(TrialOutcome::NoDifference, &["one"], &[])), None);
    }
}
