//! What the outcome of a cell is called, and what the name means. Pure.

use crate::lab::record::{Cell, Crash, CrashKind, End, Init, Observed, Outcome, Phase, Prediction, Role};
use crate::predict::errno_name;

impl Outcome {
    /// All of them, in the order in which they are decided.
    pub const ALL: [Outcome; 12] = [
        Outcome::NotRun,
        Outcome::EngineError,
        Outcome::NoBoot,
        Outcome::InitNeverRan,
        Outcome::Crash,
        Outcome::Hang,
        Outcome::RecordBroken,
        Outcome::Refused,
        Outcome::InitFailed,
        Outcome::Misbehaves,
        Outcome::Warned,
        Outcome::NoDifference,
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

    /// What it means, in one sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Outcome::EngineError => "The virtual machine itself did not work, so nothing is known of the module.",
            Outcome::NoBoot => "The kernel did not come up to our first process, so the module was never tried.",
            Outcome::InitNeverRan => {
                "The kernel took the module and lists it as loaded, but looked for its init function at another place \
                 and called nothing: it does nothing, and says so nowhere."
            }
            Outcome::Crash => "The kernel crashed over it: on a real machine this can cost data, or the machine.",
            Outcome::Hang => "It stood still and did not come back: on a real machine only a reset would help.",
            Outcome::Refused => "The kernel's loader refused it before any of its code ran: no harm was done.",
            Outcome::InitFailed => {
                "The loader took it and called its init function, and that returned an error of its own, so it was \
                 unloaded again."
            }
            Outcome::Misbehaves => {
                "It is loaded and the log is quiet, but it does not do what the kernel's own module does: silent damage."
            }
            Outcome::Warned => {
                "It is loaded and seems to work, but the kernel warned of it, or is tainted unexpectedly."
            }
            Outcome::NoDifference => {
                "It was loaded, and no difference to the kernel's own module was seen, which is no proof that it is safe."
            }
            Outcome::RecordBroken => "What the guest told does not fit together, so nothing of it is believed.",
            Outcome::NotRun => "It was not tried: there is nothing to load.",
        }
    }
}

/// Decides, in the order of [`Outcome::ALL`]. `control` is the kernel's own module, loaded in the same way as far as
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
            Some(errno) => errno_name(errno).to_owned(),
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
    let expected = TAINTS.iter().enumerate().filter(|(_, (letter, _))| letters.contains(*letter));
    let expected: u64 = expected.map(|(bit, _)| 1 << bit).sum();
    seen.taint_after & !seen.taint_before & !expected
}

/// The taints by their bits: letter and meaning (Documentation/admin-guide/tainted-kernels.rst, 6.12).
pub const TAINTS: [(char, &str); 20] = [
    ('P', "a proprietary module was loaded"),
    ('F', "a module was force loaded"),
    ('S', "the kernel runs on a system out of specification"),
    ('R', "a module was force unloaded"),
    ('M', "the processor reported a machine check"),
    ('B', "a bad memory page was found"),
    ('U', "a user asked for the taint"),
    ('D', "the kernel died recently: an oops or a BUG"),
    ('A', "an ACPI table was overridden"),
    ('W', "the kernel warned about itself"),
    ('C', "a module of the staging area was loaded"),
    ('I', "a bug of the firmware was worked around"),
    ('O', "a module from outside the kernel's tree was loaded"),
    ('E', "an unsigned module was loaded"),
    ('L', "a soft lockup happened"),
    ('K', "the kernel was live patched"),
    ('X', "something the distribution defines"),
    ('T', "the kernel was built with randomised structures"),
    ('N', "a test ran in the kernel"),
    ('J', "a mutating debug operation of fwctl was used"),
];

/// The letters of taint bits, in their order.
pub fn taint_letters(taint: u64) -> String {
    TAINTS.iter().enumerate().filter(|(bit, _)| taint >> bit & 1 == 1).map(|(_, (letter, _))| letter).collect()
}

/// What happened, in one line for people: the line that decided it, where there is one.
pub fn decisive_line(cell: &Cell) -> Option<String> {
    let seen = &cell.observed;
    let load = || seen.log.iter().filter(|line| line.phase == Phase::Load);
    match cell.outcome {
        Outcome::Crash | Outcome::Hang => {
            let crash = seen.crash.as_ref()?;
            Some(crash.line.clone())
        }
        Outcome::Refused => {
            let predicted = load().filter(|line| cell.prediction.dmesg.contains(&line.text)).last();
            predicted.or_else(|| load().next()).map(|line| line.text.clone())
        }
        Outcome::Warned => seen.warnings.first().cloned(),
        Outcome::EngineError | Outcome::NoBoot | Outcome::RecordBroken => match &seen.end {
            End::Engine(why) | End::NoBoot(why) | End::Broken(why) => Some(why.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What the cell came to, in words: the outcome, with what is special about it.
pub fn words(cell: &Cell) -> String {
    let seen = &cell.observed;
    let returned = |errno: Option<i32>| errno.map_or("nothing".to_owned(), |errno| errno_name(errno).to_owned());
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
    use super::*;
    use crate::lab::record::{Seen, Unload};
    use crate::predict::Answer;

    fn loaded() -> Observed {
        let witness = vec![Seen { what: "dummy0 counts as sent".to_owned(), how: "3 packets".to_owned() }];
        let unload = Some(Unload { forced: false, errno: Some(0), gone: true });
        let (errno, accepted, init) = (Some(0), true, Init::Returned(0));
        Observed { end: End::Done, errno, accepted, init, witness, unload, ..Observed::default() }
    }

    fn prediction(taint: &str) -> Prediction {
        Prediction {
            verdict: Answer::Accepted,
            errno: None,
            dmesg: Vec::new(),
            taint: Some(taint.to_owned()),
            stage: None,
            findings: Vec::new(),
            needs: Vec::new(),
            dangers: Vec::new(),
        }
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
        assert_eq!(taint_letters(0b11), "PF");
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
}
