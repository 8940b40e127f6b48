//! The kernel's log by phase, with the line that decided the outcome.

use crate::lab::outcome::decisive_place;
use crate::lab::record::{Phase, Trial};

/// The most lines that are shown of a phase; the record has all.
const LINES: usize = 40;

/// The same for a phase before the load, which hardly differs between the trials on a kernel.
const LINES_BEFORE: usize = 8;

/// A phase and its shown lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogExcerpt<'c> {
    pub(super) phase: Phase,
    /// The number of all its lines.
    pub(super) all: usize,
    /// The number of lines left out before the first shown one.
    pub(super) before: usize,
    /// The shown lines; did the line decide the outcome?
    pub(super) lines: Vec<(&'c str, bool)>,
    /// The number of lines left out after the last shown one.
    pub(super) behind: usize,
}

impl LogExcerpt<'_> {
    /// Is it a phase before the load, and without the decisive line?
    pub(super) fn is_before_the_load(&self) -> bool {
        self.phase < Phase::Load && !self.lines.iter().any(|(_, decides)| *decides)
    }
}

/// The log of a trial, in the order of phases. Of a long phase the lines around the decisive one are shown, or else
/// the last ones.
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

    /// A refusal with so many lines in the boot and load phases; line 51 of the load phase was predicted.
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
    fn lines_around_the_decisive_one_are_shown() {
        let trial = refused(100, 200);
        let parts = parts(&trial);
        let [boot, load] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!((boot.all, boot.before, boot.lines.len(), boot.behind), (100, 92, 8, 0));
        assert!(boot.is_before_the_load());
        assert_eq!((load.all, load.before, load.lines.len(), load.behind), (200, 37, 40, 123));
        assert_eq!(load.lines.iter().filter(|(_, decides)| *decides).collect::<Vec<_>>(), [&("load 50", true)]);
    }
}
