//! The kernel's log by phases, with the line that decided the outcome.

use crate::lab::outcome::decisive_place;
use crate::lab::record::{Phase, Trial};

/// The most lines of a phase that are shown; a record has the rest.
const LINES: usize = 40;

/// The same of a phase before the module was loaded, which is much the same in all trials of a kernel.
const LINES_BEFORE: usize = 8;

/// A phase with the lines that are shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogExcerpt<'c> {
    pub(super) phase: Phase,
    /// How many lines it has.
    pub(super) all: usize,
    /// How many lines before the first shown one are left out.
    pub(super) before: usize,
    /// The lines; is it the one that decided?
    pub(super) lines: Vec<(&'c str, bool)>,
    /// How many lines behind the last shown one are left out.
    pub(super) behind: usize,
}

impl LogExcerpt<'_> {
    /// Does it tell only of what came before the module, and decide nothing?
    pub(super) fn is_before_the_load(&self) -> bool {
        self.phase < Phase::Load && !self.lines.iter().any(|(_, decides)| *decides)
    }
}

/// The log of a trial, phase by phase in the order of phases. Of a long phase the lines around the one that decided are
/// kept, or else the last ones.
pub(super) fn parts(trial: &Trial) -> Vec<LogExcerpt<'_>> {
    let decisive = decisive_place(trial);
    let log = || trial.observed.log.iter().enumerate();
    let part = |phase: Phase| {
        let lines: Vec<(&str, bool)> = log()
            .filter(|(_, line)| line.phase == phase)
            .map(|(place, line)| (line.text.as_str(), decisive == Some(place)))
            .collect();
        let all = lines.len();
        let decisive = lines.iter().position(|(_, decides)| *decides);
        let most = if phase < Phase::Load && decisive.is_none() { LINES_BEFORE } else { LINES };
        let last_start = all.saturating_sub(most);
        let before = decisive.map_or(last_start, |place| place.saturating_sub(most / 3).min(last_start));
        let lines: Vec<_> = lines.into_iter().skip(before).take(most).collect();
        let behind = all - before - lines.len();
        LogExcerpt { phase, all, before, lines, behind }
    };
    Phase::ALL.into_iter().map(part).filter(|part| !part.lines.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::{LogLine, TrialOutcome, example};

    /// A refusal with so many lines of boot and load; the 51st of the load was predicted.
    fn refused(boot: usize, load: usize) -> Trial {
        let line = |phase: Phase, number: usize| LogLine { phase, text: format!("{} {number}", phase.name()) };
        let mut trial = example::trial("1");
        trial.outcome = TrialOutcome::Refused;
        trial.prediction.dmesg = vec!["load 50".to_owned()];
        let boot = (0..boot).map(|number| line(Phase::Boot, number));
        trial.observed.log = boot.chain((0..load).map(|number| line(Phase::Load, number))).collect();
        trial
    }

    #[test]
    fn of_a_long_log_the_lines_around_the_decisive_one_are_kept() {
        let trial = refused(100, 200);
        let parts = parts(&trial);
        let [boot, load] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!((boot.all, boot.before, boot.lines.len(), boot.behind), (100, 92, 8, 0));
        assert!(boot.is_before_the_load());
        assert_eq!((load.all, load.before, load.lines.len(), load.behind), (200, 37, 40, 123));
        assert_eq!(load.lines.iter().filter(|(_, decides)| *decides).collect::<Vec<_>>(), [&("load 50", true)]);
    }
}
