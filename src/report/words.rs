//! What the outcomes and the other parts of a record are called, for people who see them for the first time.

use crate::lab::record::{Agreement, End, Init, Outcome, Phase, Way};
use crate::predict::{self, Answer};

/// All outcomes, in the order in which they are decided.
pub const OUTCOMES: [Outcome; 12] = [
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

/// What an outcome is called.
pub fn name(outcome: Outcome) -> &'static str {
    match outcome {
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

/// What an outcome means, in one sentence.
pub fn sentence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::EngineError => "The virtual machine did not start, or broke: nothing was learnt about the module.",
        Outcome::NoBoot => "The kernel did not come up, so the module was never tried.",
        Outcome::InitNeverRan => {
            "The kernel took the module and reported success, but never called its init function: it looks for the \
             function at another place than the module has it."
        }
        Outcome::Crash => {
            "The kernel ran into a fault of its own (panic, oops or BUG); on a real machine, unsaved work is lost and \
             data may be damaged."
        }
        Outcome::Hang => "The machine, or the call that loads the module, stood still and did not answer in time.",
        Outcome::Refused => "The loader turned the module away before any of its code ran: the safe end.",
        Outcome::InitFailed => "The loader took the module, and the module's own init function gave up with an error.",
        Outcome::Misbehaves => {
            "It is loaded and nobody complains, but it does not do what the kernel's own module does: wrong, and silent."
        }
        Outcome::Warned => "It is loaded, and the kernel warned about itself or has a taint that nobody expected.",
        Outcome::NoDifference => {
            "It is loaded, and nothing that was looked at differs from the kernel's own module; that is no proof that it \
             is safe."
        }
        Outcome::RecordBroken => "What the guest told contradicts itself, so it counts for nothing.",
        Outcome::NotRun => "It was not tried, because there was nothing to load: the file can't be patched like that.",
    }
}

/// The sign that stands for an outcome in the heat map, so that none is told by its colour alone.
pub fn sign(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::EngineError => "E",
        Outcome::NoBoot => "B",
        Outcome::InitNeverRan => "N",
        Outcome::Crash => "C",
        Outcome::Hang => "H",
        Outcome::Refused => "R",
        Outcome::InitFailed => "I",
        Outcome::Misbehaves => "M",
        Outcome::Warned => "W",
        Outcome::NoDifference => "=",
        Outcome::RecordBroken => "!",
        Outcome::NotRun => "–",
    }
}

/// The class of an outcome in the page's style sheet.
pub(super) fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::EngineError => "engine-error",
        Outcome::NoBoot => "no-boot",
        Outcome::InitNeverRan => "init-never-ran",
        Outcome::Crash => "crash",
        Outcome::Hang => "hang",
        Outcome::Refused => "refused",
        Outcome::InitFailed => "init-failed",
        Outcome::Misbehaves => "misbehaves",
        Outcome::Warned => "warned",
        Outcome::NoDifference => "no-difference",
        Outcome::RecordBroken => "record-broken",
        Outcome::NotRun => "not-run",
    }
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
pub fn way(way: Way) -> &'static str {
    match way {
        Way::Original => "as it is",
        Way::ForcedVermagic => "forced past the version magic",
        Way::ForcedModversions => "forced past the symbol versions",
        Way::Forced => "forced past both",
        Way::Patched => "patched",
    }
}

/// What was predicted, in words.
pub(super) fn answer(answer: Answer) -> &'static str {
    match answer {
        Answer::Accepted => "the loader takes it",
        Answer::Refused => "the loader refuses it",
        Answer::Unknown => "unknown",
    }
}

/// How a cell ended, in words.
pub(super) fn end(end: &End) -> String {
    match end {
        End::Done => "ran to its end".to_owned(),
        End::NotRun => "was not started".to_owned(),
        End::Engine(why) => format!("broke, or did not start: {why}"),
        End::NoBoot(why) => format!("did not come up: {why}"),
        End::Stuck(phase) => format!("went on, but {} did not end in its time", phase_of(*phase)),
        End::Silent(phase) => format!("stood still in {}", phase_of(*phase)),
        End::Ended(phase) => format!("ended in {}", phase_of(*phase)),
        End::Broken(why) => format!("sent no record of this cell: {why}"),
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

/// An errno with its name (asm-generic/errno-base.h, errno.h), where it is one that modules and their loader return.
pub(super) fn errno(number: i32) -> String {
    let name = match number {
        0 => return "0".to_owned(),
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        19 => "ENODEV",
        28 => "ENOSPC",
        34 => "ERANGE",
        38 => "ENOSYS",
        61 => "ENODATA",
        95 => "EOPNOTSUPP",
        110 => "ETIMEDOUT",
        number => match predict::errno_name(number) {
            known if known.starts_with('E') => known,
            _ => return number.to_string(),
        },
    };
    format!("{name} ({number})")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_outcome_has_words_and_a_sign_of_its_own() {
        for words in [name, sign, class, sentence] {
            assert_eq!(OUTCOMES.into_iter().map(words).collect::<BTreeSet<_>>().len(), OUTCOMES.len());
        }
        assert!(OUTCOMES.into_iter().all(|outcome| sentence(outcome).ends_with('.')));
    }

    #[test]
    fn an_errno_is_named_where_it_is_known() {
        assert_eq!([errno(8), errno(19), errno(0), errno(4095)], ["ENOEXEC (8)", "ENODEV (19)", "0", "4095"]);
        assert_eq!(init(Init::Returned(-19)), "returned \u{2212}ENODEV (19)");
        assert_eq!(init(Init::Returned(i32::MIN)), "returned \u{2212}2147483647");
    }
}
