//! What the outcome of a cell is called, what the name means, and which line decided it. Pure.

use crate::lab::agreement::{is_loader_line, is_same_line};
use crate::lab::record::{Cell, Crash, CrashKind, End, Init, Line, Observed, Outcome, Phase, Prediction, Role};
use crate::predict::{errno_name, taint_bits, taint_letters};

impl Outcome {
    /// All of them, in the order of tables.
    pub const ALL: [Outcome; 12] = [
        Outcome::EngineError,
        Outcome::NoBoot,
        Outcome::InitNeverRan,
        Outcome::Crash,
        Outcome::Hang,
        Outcome::Refused,
        Outcome::InitFailed,
        Outcome::Misbehaves,
        Outcome::Warned,
        Outcome::NoDifference,
        Outcome::RecordBroken,
        Outcome::NotRun,
    ];

    /// Its name, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::EngineError => "engine error",
            Outcome::NoBoot => "no boot",
            Outcome::InitNeverRan => "init never ran",
            Outcome::Crash => "crash",
            Outcome::Hang => "hang",
            Outcome::Refused => "refused",
            Outcome::InitFailed => "init failed",
            Outcome::Misbehaves => "misbehaves",
            Outcome::Warned => "warned",
            Outcome::NoDifference => "no difference",
            Outcome::RecordBroken => "record broken",
            Outcome::NotRun => "not run",
        }
    }

    /// What it means, in one sentence for people who see it for the first time.
    pub fn sentence(self) -> &'static str {
        match self {
            Outcome::EngineError => "The virtual machine did not start, or broke: nothing was learnt about the module.",
            Outcome::NoBoot => "The kernel did not come up, so the module was never tried.",
            Outcome::InitNeverRan => {
                "The kernel took the module and reported success, but looked for its init function at another place \
                 than the module has it, and called nothing: it is there, does nothing, and nobody says so."
            }
            Outcome::Crash => {
                "The kernel ran into a fault of its own (panic, oops or BUG): on a real machine, unsaved work is lost \
                 and data may be damaged."
            }
            Outcome::Hang => {
                "The machine, or the call that loads the module, stood still and did not come back in time: on a real \
                 machine only a reset would help."
            }
            Outcome::Refused => "The loader turned the module away before any of its code ran: no harm was done.",
            Outcome::InitFailed => {
                "The loader took the module, and the module's own init function gave up with an error, so that it was \
                 unloaded again."
            }
            Outcome::Misbehaves => {
                "It was loaded and nobody complained, but it does not do what the kernel's own module does: wrong, and \
                 silent."
            }
            Outcome::Warned => "It was loaded, and the kernel warned about itself or has a taint that nobody expected.",
            Outcome::NoDifference => {
                "It was loaded, and nothing that was looked at differs from the kernel's own module; that is no proof \
                 that it is safe."
            }
            Outcome::RecordBroken => "What the guest told does not fit together, so nothing of it is believed.",
            Outcome::NotRun => "It was not tried, because there was nothing to load.",
        }
    }
}

/// Decides. `control` is the kernel's own module, loaded in the same way as far as
/// force goes; a control has none. `has_init` says that the module has an init function.
pub fn decide(seen: &Observed, prediction: &Prediction, control: Option<&Cell>, has_init: bool) -> Outcome {
    match &seen.end {
        End::NotRun => return Outcome::NotRun,
        End::Engine(_) => return Outcome::EngineError,
        End::NoBoot(_) => return Outcome::NoBoot,
        _ => {}
    }
    // Before the crash that it may lead to later, when the module is unloaded.
    if has_init && seen.errno == Some(0) && seen.accepted && seen.init == Init::NeverRan {
        return Outcome::InitNeverRan;
    }
    match &seen.crash {
        Some(crash) if is_hang(crash) => return Outcome::Hang,
        Some(_) => return Outcome::Crash,
        None => {}
    }
    match &seen.end {
        End::Stuck(_) | End::Silent(_) => return Outcome::Hang,
        // It is gone without a word: only a kernel that died does that.
        End::Ended(_) => return Outcome::Crash,
        End::Broken(_) => return Outcome::RecordBroken,
        _ => {}
    }
    match (seen.accepted, seen.errno) {
        (_, None) => return Outcome::RecordBroken,
        (false, Some(0)) => return Outcome::RecordBroken,
        (false, Some(_)) => return Outcome::Refused,
        (true, Some(0)) => {}
        (true, Some(_)) => return Outcome::InitFailed,
    }
    if control.is_some_and(|control| !differences(seen, &control.observed).is_empty()) {
        return Outcome::Misbehaves;
    }
    let quiet = control.map_or(&[][..], |control| &control.observed.warnings);
    let new_warnings = seen.warnings.iter().any(|warning| !quiet.contains(warning));
    if new_warnings || unexpected_taint(seen, prediction) != 0 {
        return Outcome::Warned;
    }
    Outcome::NoDifference
}

/// Is it a kind of standing still?
fn is_hang(crash: &Crash) -> bool {
    matches!(crash.kind, CrashKind::HungTask | CrashKind::RcuStall | CrashKind::SoftLockup | CrashKind::HardLockup)
}

/// What the control did otherwise, each in a sentence. A control that did not get as far as being used shows nothing.
pub fn differences(seen: &Observed, control: &Observed) -> Vec<String> {
    if control.end != End::Done || control.errno != Some(0) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for theirs in &control.witness {
        let ours = seen.witness.iter().find(|ours| ours.what == theirs.what);
        let how = ours.map_or("not seen", |ours| ours.how.as_str());
        if how != theirs.how {
            found.push(format!("{}: {how}, the kernel's own: {}", theirs.what, theirs.how));
        }
    }
    let is_known = |what: &String| control.witness.iter().any(|theirs| theirs.what == *what);
    found.extend(
        seen.witness
            .iter()
            .filter(|ours| !is_known(&ours.what))
            .map(|ours| format!("{}: {}, the kernel's own: not seen", ours.what, ours.how)),
    );
    let unloaded = |seen: &Observed| {
        seen.unload.map(|unload| match unload.errno {
            Some(0) if unload.gone => "gone".to_owned(),
            Some(0) => "said to be gone, and there still".to_owned(),
            Some(errno) => errno_name(errno).into_owned(),
            None => "never came back".to_owned(),
        })
    };
    if let (Some(ours), Some(theirs)) = (unloaded(seen), unloaded(control))
        && ours != theirs
    {
        found.push(format!("unloading: {ours}, the kernel's own: {theirs}"));
    }
    found
}

/// The taint bits that are there, were not before, and were not predicted; none where nothing was predicted.
pub fn unexpected_taint(seen: &Observed, prediction: &Prediction) -> u64 {
    let Some(letters) = &prediction.taint else { return 0 };
    seen.taint_after & !seen.taint_before & !taint_bits(letters)
}

/// Which line of the log decided the outcome, where one did; its place in [`Observed::log`].
///
/// For a refusal it is the last of the loader's predicted lines that is there, since those before it only lead up to it;
/// or else the loader's last one; or else the first one of the load. For distress it is the line that says so, for a
/// silence the last one before it, for a warning its first line.
pub fn decisive_place(cell: &Cell) -> Option<usize> {
    let seen = &cell.observed;
    let first = |fits: &dyn Fn(&Line) -> bool| seen.log.iter().position(fits);
    let last = |fits: &dyn Fn(&Line) -> bool| seen.log.iter().rposition(fits);
    let loads = |line: &Line| line.phase == Phase::Load;
    match cell.outcome {
        Outcome::Refused => {
            let is_predicted = |line: &Line| cell.prediction.dmesg.iter().any(|ours| is_same_line(&line.text, ours));
            last(&|line| loads(line) && is_predicted(line))
                .or_else(|| last(&|line| loads(line) && is_loader_line(&line.text)))
                .or_else(|| first(&loads))
        }
        Outcome::Crash | Outcome::Hang => match &seen.crash {
            Some(crash) => first(&|line| line.phase == crash.phase && line.text == crash.line)
                .or_else(|| first(&|line| line.text == crash.line)),
            None => seen.log.len().checked_sub(1),
        },
        Outcome::Warned => {
            let warning = seen.warnings.first()?;
            first(&|line| line.text == *warning)
        }
        _ => None,
    }
}

/// What decided the outcome, in one line: the one at [`decisive_place`], or what stands for it where the log has none.
pub fn decisive_line(cell: &Cell) -> Option<&str> {
    let seen = &cell.observed;
    match (cell.outcome, &seen.end) {
        (Outcome::EngineError | Outcome::NoBoot | Outcome::RecordBroken, end) => match end {
            End::Engine(why) | End::NoBoot(why) | End::Broken(why) => return Some(why),
            _ => {}
        },
        // The line may have come over the console alone.
        (Outcome::Crash | Outcome::Hang, _) if seen.crash.is_some() => {
            return seen.crash.as_ref().map(|crash| crash.line.as_str());
        }
        (Outcome::Warned, _) => return seen.warnings.first().map(String::as_str),
        _ => {}
    }
    decisive_place(cell).and_then(|place| seen.log.get(place)).map(|line| line.text.as_str())
}

/// What the cell came to, in words: the outcome, with what is special about it.
pub fn words(cell: &Cell) -> String {
    let seen = &cell.observed;
    let returned = |errno: Option<i32>| errno.map_or("nothing".to_owned(), |errno| errno_name(errno).into_owned());
    match cell.outcome {
        Outcome::Crash => {
            let (kind, phase, place) = match &seen.crash {
                Some(crash) => {
                    let place = crash.place.as_deref().map(|place| format!(" in {place}")).unwrap_or_default();
                    (crash.kind.name(), crash.phase, place)
                }
                None => ("the guest died without a word", last_phase(seen), String::new()),
            };
            format!("{kind} in the phase {}{place}", phase.name())
        }
        Outcome::Hang => {
            let what = seen.crash.as_ref().map_or("no sign of life", |crash| crash.kind.name());
            format!("hang in the phase {}: {what}", last_phase(seen).name())
        }
        Outcome::Refused => format!("refused: {}", returned(seen.errno)),
        Outcome::InitFailed => format!("its init failed: {}", returned(seen.errno)),
        Outcome::InitNeverRan => match &seen.crash {
            Some(crash) => format!("init never ran; then {} in the phase {}", crash.kind.name(), crash.phase.name()),
            None => "init never ran".to_owned(),
        },
        Outcome::Warned => match seen.warnings.first() {
            Some(_) => "loaded, and the kernel warned".to_owned(),
            None => format!("loaded, with the taint {}", taint_letters(unexpected_taint(seen, &cell.prediction))),
        },
        Outcome::NoDifference if cell.role == Role::Control => "loaded and used: clean".to_owned(),
        Outcome::NoDifference => "loaded; no difference seen".to_owned(),
        other => other.name().to_owned(),
    }
}

/// The phase in which it ended.
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
    use crate::lab::record::{Seen, Unload, example};
    use crate::predict::Decision;

    fn loaded() -> Observed {
        let witness = vec![Seen { what: "dummy0 counts as sent".to_owned(), how: "3 packets".to_owned() }];
        let unload = Some(Unload { forced: false, errno: Some(0), gone: true });
        let (errno, accepted, init) = (Some(0), true, Init::Returned(0));
        Observed { end: End::Done, errno, accepted, init, witness, unload, ..Observed::default() }
    }

    fn prediction(taint: &str) -> Prediction {
        Prediction { verdict: Decision::Accepted, taint: Some(taint.to_owned()), ..example::cell("1").prediction }
    }

    fn decided(seen: &Observed) -> Outcome {
        decide(seen, &prediction(""), None, true)
    }

    #[test]
    fn each_outcome_is_told_by_what_was_seen() {
        let crash = |kind| {
            let (line, trace) = (String::new(), Vec::new());
            Some(Crash { kind, line, phase: Phase::Unload, place: None, trace })
        };
        for (seen, outcome) in [
            (loaded(), Outcome::NoDifference),
            (Observed::default(), Outcome::NotRun),
            (Observed { end: End::Engine("x".to_owned()), ..loaded() }, Outcome::EngineError),
            (Observed { end: End::NoBoot("x".to_owned()), ..loaded() }, Outcome::NoBoot),
            (Observed { init: Init::NeverRan, crash: crash(CrashKind::Bug), ..loaded() }, Outcome::InitNeverRan),
            (Observed { crash: crash(CrashKind::Oops), ..loaded() }, Outcome::Crash),
            (Observed { crash: crash(CrashKind::SoftLockup), ..loaded() }, Outcome::Hang),
            (Observed { end: End::Silent(Phase::Load), ..loaded() }, Outcome::Hang),
            (Observed { end: End::Stuck(Phase::Load), errno: None, ..loaded() }, Outcome::Hang),
            (Observed { end: End::Ended(Phase::Load), errno: None, ..loaded() }, Outcome::Crash),
            (Observed { end: End::Broken("x".to_owned()), ..loaded() }, Outcome::RecordBroken),
            (Observed { errno: Some(8), accepted: false, ..loaded() }, Outcome::Refused),
            (Observed { errno: Some(0), accepted: false, ..loaded() }, Outcome::RecordBroken),
            (Observed { errno: None, ..loaded() }, Outcome::RecordBroken),
            (Observed { errno: Some(19), init: Init::Returned(-19), ..loaded() }, Outcome::InitFailed),
            (Observed { warnings: vec!["WARNING: CPU: 0".to_owned()], ..loaded() }, Outcome::Warned),
            (Observed { taint_after: 2, ..loaded() }, Outcome::Warned),
        ] {
            assert_eq!(decided(&seen), outcome, "{seen:?}");
        }
    }

    #[test]
    fn a_module_without_an_init_function_has_none_to_run() {
        let seen = Observed { init: Init::NeverRan, ..loaded() };
        assert_eq!(decide(&seen, &prediction(""), None, false), Outcome::NoDifference);
    }

    #[test]
    fn a_taint_that_was_predicted_is_no_warning() {
        let seen = Observed { taint_before: 1, taint_after: 0b10_0011, ..loaded() };
        assert_eq!(unexpected_taint(&seen, &prediction("F")), 0b10_0000);
    }

    #[test]
    fn what_the_kernels_own_module_does_otherwise_is_said() {
        let mut seen = loaded();
        seen.witness[0].how = "0 packets".to_owned();
        seen.unload = Some(Unload { forced: false, errno: Some(16), gone: false });
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
    fn each_outcome_has_a_name_and_a_sentence_of_its_own() {
        for words in [Outcome::name, Outcome::sentence] {
            assert_eq!(Outcome::ALL.map(words).into_iter().collect::<BTreeSet<_>>().len(), Outcome::ALL.len());
        }
        assert!(Outcome::ALL.into_iter().all(|outcome| outcome.sentence().ends_with('.')));
    }

    /// A cell with such an outcome, these lines of the load, and such predicted ones.
    fn cell(outcome: Outcome, load: &[&str], predicted: &[&str]) -> Cell {
        let mut cell = example::cell("1");
        cell.outcome = outcome;
        cell.prediction.dmesg = predicted.iter().map(|text| (*text).to_owned()).collect();
        let line = |text: &&str| Line { phase: Phase::Load, text: (*text).to_owned() };
        cell.observed.log = load.iter().map(line).collect();
        cell
    }

    #[test]
    fn a_refusal_is_decided_by_the_last_line_that_was_predicted() {
        let forced = "m: module_layout: kernel tainted.";
        let refusal = "m: disagrees about version of symbol printk";
        let load = ["m: hello", forced, refusal, "m: Unknown symbol printk (err -22)", "tsc: refined"];
        assert_eq!(decisive_line(&cell(Outcome::Refused, &load, &[forced, refusal])), Some(refusal));
        assert_eq!(
            decisive_line(&cell(Outcome::Refused, &load, &["another"])),
            Some("m: Unknown symbol printk (err -22)")
        );
        assert_eq!(decisive_line(&cell(Outcome::Refused, &["tsc: refined", "more"], &[])), Some("tsc: refined"));
        assert_eq!(decisive_line(&cell(Outcome::Refused, &[], &[forced])), None);
    }

    #[test]
    fn before_a_silence_the_last_line_counts() {
        assert_eq!(decisive_place(&cell(Outcome::Hang, &["one", "two"], &[])), Some(1));
        assert_eq!(decisive_place(&cell(Outcome::Hang, &[], &[])), None);
        assert_eq!(decisive_place(&cell(Outcome::NoDifference, &["one"], &[])), None);
    }
}
