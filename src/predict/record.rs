//! The record of an attempt at loading: findings, log lines, taints, and the step at which it ended.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::kernel::Origin;
use crate::predict::errno;
use crate::predict::rules::{Rule, Rules};
use crate::predict::taint::Taints;
use crate::predict::verdict::{Decision, Finding, LoaderStep, StepResult};
use crate::template::Line;

/// The result of a step: the loader continues, or refuses the module with a step and an errno.
pub(super) type Flow = Result<(), (LoaderStep, i32)>;

/// The number of findings of one kind that are listed; further ones are counted.
const LISTED: usize = 5;

/// The most log lines that are listed, and the most bytes in them; further lines are counted. Of the real modules, the largest
/// cause two thousand lines on a kernel with other CRCs.
const MOST_LINES: usize = 10_000;
const MOST_LINE_BYTES: usize = 1 << 20;

/// The longest line in bytes: a record of the kernel's log holds 1024 (PRINTKRB_RECORD_MAX, kernel/printk/internal.h).
const LONGEST_LINE: usize = 1024;

/// The findings of one kind.
#[derive(Clone, Default)]
struct SimilarFindings {
    /// The hashes of their different notes.
    notes: HashSet<u64>,
    /// The index of the last one that is listed.
    last: usize,
}

/// The record of one attempt.
#[derive(Clone, Default)]
pub(super) struct AttemptRecord {
    pub(super) findings: Vec<Finding>,
    pub(super) dmesg: Vec<String>,
    /// The number of log lines that are not listed.
    pub(super) dmesg_more: usize,
    dmesg_bytes: usize,
    similar: HashMap<&'static str, SimilarFindings>,
    hasher: RandomState,
    pub(super) taints: Taints,
    pub(super) needs: Vec<String>,
    /// The step that refused the module, and its errno.
    pub(super) refused: Option<(LoaderStep, i32)>,
    /// Other errnos that the refusing step may return, if it is not known which.
    pub(super) otherwise: Vec<i32>,
    /// The kernel may crash on the file and return nothing.
    pub(super) may_crash: bool,
    /// The kernel may print further lines, because a passed step is not known completely.
    pub(super) lines_are_open: bool,
    /// The module was modified after it was signed with a key that the kernel has.
    pub(super) is_changed: bool,
    /// It is not known whether an attempt to force left a taint.
    pub(super) taints_are_open: bool,
    /// The signature is undecided, and these are the errnos that the system call may return for it.
    pub(super) signature_errnos: Option<Vec<i32>>,
    /// The kernel treats the module as one without a valid signature.
    pub(super) is_unsigned: bool,
    /// The version magic strings of the module and the kernel differ, as far as both are known or the kernel ignores them.
    pub(super) vermagics_differ: bool,
    /// The version magic step was reached, but the kernel's string is not known.
    pub(super) is_vermagic_unknown: bool,
    /// The line about a missing extended symbol version was printed; the kernel prints it once per boot.
    pub(super) said_no_extended_version: bool,
    /// The kernel does not compare the version magic of any module.
    pub(super) ignores_vermagic: bool,
    /// The module is proprietary, so it cannot use GPL-only symbols.
    pub(super) is_proprietary: bool,
    /// Weak symbols that are not exported; their value is 0.
    pub(super) unresolved: HashSet<Vec<u8>>,
    /// Weak symbols that may or may not be exported.
    pub(super) undecided: HashSet<Vec<u8>>,
}

impl AttemptRecord {
    /// The decision that follows from the record.
    pub(super) fn answer(&self) -> Decision {
        let is_unknown = self.findings.iter().any(|finding| finding.result == StepResult::Unknown);
        match (self.refused, is_unknown) {
            _ if self.may_crash => Decision::Unknown,
            (Some(_), _) => Decision::Refused,
            (None, true) => Decision::Unknown,
            (None, false) => Decision::Accepted,
        }
    }

    /// The undecided steps before a refusal, in the loader's order: one of them may refuse first, with another errno and other
    /// lines.
    pub(super) fn undecided(&self) -> Vec<LoaderStep> {
        let mut steps = Vec::new();
        if self.refused.is_some() {
            for finding in self.findings.iter().filter(|finding| finding.result == StepResult::Unknown) {
                if !steps.contains(&finding.step) {
                    steps.push(finding.step);
                }
            }
        }
        steps
    }

    /// All errnos that the system call may return, if the module is refused.
    pub(super) fn errnos(&self, rules: &Rules<'_>) -> Vec<i32> {
        let Some((step, errno)) = self.refused else { return Vec::new() };
        let of_step = |step: LoaderStep| match (step, &self.signature_errnos) {
            (LoaderStep::Signature, Some(errnos)) => errnos.as_slice(),
            _ => errnos_of(step, rules),
        };
        let before = self.undecided().into_iter().filter(|undecided| *undecided != step);
        let all = before.flat_map(of_step).copied().chain(self.otherwise.iter().copied()).chain([errno]);
        let mut errnos = Vec::new();
        for errno in all {
            if !errnos.contains(&errno) {
                errnos.push(errno);
            }
        }
        errnos
    }

    /// Records a line that the loader prints.
    pub(super) fn say(&mut self, line: Line) {
        let mut line = line.into_text();
        line.truncate(line.floor_char_boundary(LONGEST_LINE));
        self.dmesg_bytes += line.len();
        if self.dmesg.len() < MOST_LINES && self.dmesg_bytes <= MOST_LINE_BYTES {
            self.dmesg.push(line);
        } else {
            self.dmesg_more += 1;
            self.lines_are_open = true;
        }
    }

    /// Records a passed step.
    pub(super) fn pass(&mut self, step: LoaderStep, note: impl Into<String>, source: Option<&Origin>) {
        let source = source.map(Origin::to_string);
        self.findings.push(Finding { source, ..Finding::new(step, StepResult::Pass, note) });
    }

    /// Records a step that the kernel does not check.
    pub(super) fn skip(&mut self, step: LoaderStep, note: impl Into<String>) {
        self.findings.push(Finding::new(step, StepResult::Skip, note));
    }

    /// Records a step for which a fact is missing; `note` asks for it.
    pub(super) fn unknown(&mut self, step: LoaderStep, note: impl Into<String>) {
        self.findings.push(Finding::new(step, StepResult::Unknown, note));
    }

    /// Records a passed step for a reason that holds for several parts of the module; it is noted once.
    pub(super) fn pass_once(&mut self, step: LoaderStep, note: impl Into<String>) {
        let finding = Finding::new(step, StepResult::Pass, note);
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Records a missing fact on which several parts of the module depend; it is asked for once.
    pub(super) fn unknown_once(&mut self, step: LoaderStep, note: impl Into<String>) {
        let finding = Finding::new(step, StepResult::Unknown, note);
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Records a finding of a kind of which a module may have any number, with notes that differ in a name or a place. Equal
    /// ones are recorded once; the first few are listed, and the others are counted.
    pub(super) fn one_of_kind(&mut self, kind: &'static str, finding: Finding) {
        let similar = self.similar.entry(kind).or_default();
        if !similar.notes.insert(self.hasher.hash_one(&finding.note)) {
            return;
        }
        if similar.notes.len() <= LISTED {
            similar.last = self.findings.len();
            self.findings.push(finding);
        } else if let Some(last) = self.findings.get_mut(similar.last) {
            last.more += 1;
        }
    }

    /// Records that the kernel refuses the module at a step.
    pub(super) fn fail(
        &mut self,
        step: LoaderStep,
        errno: i32,
        note: impl Into<String>,
        source: Option<&Origin>,
    ) -> Flow {
        let source = source.map(Origin::to_string);
        self.findings.push(Finding { source, ..Finding::new(step, StepResult::Fail, note) });
        Err((step, errno))
    }
}

/// The errnos that the system call may return for a module that a step refuses, with the numbers of asm-generic.
fn errnos_of(step: LoaderStep, rules: &Rules<'_>) -> &'static [i32] {
    match step {
        LoaderStep::Permission => &[errno::EPERM, errno::ENOSYS],
        LoaderStep::Blacklist => &[errno::EPERM],
        LoaderStep::Container => &[errno::EINVAL, errno::ENOEXEC, errno::EACCES, errno::EOPNOTSUPP],
        // If the signature is undecided, its possible errnos for this module are in `signature_errnos`.
        LoaderStep::Signature => &[errno::EKEYREJECTED],
        // Only some kernels withhold symbols from modules that they cannot verify.
        LoaderStep::Exports if rules.surely(Rule::SigProtect) => &[errno::ENOEXEC, errno::EACCES],
        LoaderStep::Symbols if rules.surely(Rule::SigProtect) => &[errno::ENOENT, errno::EINVAL, errno::EACCES],
        LoaderStep::Elf
        | LoaderStep::ModuleLayout
        | LoaderStep::Vermagic
        | LoaderStep::Livepatch
        | LoaderStep::Sections
        | LoaderStep::Exports => &[errno::ENOEXEC],
        LoaderStep::Memory => &[errno::ENOMEM],
        LoaderStep::Name => &[errno::EEXIST, errno::EINVAL],
        LoaderStep::Symbols => &[errno::ENOENT, errno::EINVAL],
        LoaderStep::Relocations => &[errno::ENOEXEC, errno::EINVAL, errno::ENOENT],
        LoaderStep::Btf => &[errno::EINVAL],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn finding(note: String) -> Finding {
        Finding::new(LoaderStep::Relocations, StepResult::Unknown, note)
    }

    #[test]
    fn of_many_findings_of_a_kind_the_first_are_listed_and_the_others_counted() {
        let mut record = AttemptRecord::default();
        for place in 0..1000 {
            // Equal ones count once.
            record.one_of_kind("place", finding(format!("what is at {place}?")));
            record.one_of_kind("place", finding(format!("what is at {place}?")));
            record.one_of_kind("other", finding("another question".to_owned()));
        }
        let sentences: Vec<String> = record.findings.iter().map(Finding::sentence).collect();
        assert_eq!(
            sentences,
            [
                "what is at 0?",
                "another question",
                "what is at 1?",
                "what is at 2?",
                "what is at 3?",
                "what is at 4? (and 995 more like this)",
            ]
        );
    }

    fn line(text: &str) -> Line {
        Template::<1>::new("{text:*}").line([&text])
    }

    #[test]
    fn log_lines_end_after_their_most() {
        let mut record = AttemptRecord::default();
        (0..MOST_LINES).for_each(|_| record.say(line("line")));
        assert!((record.dmesg_more, record.lines_are_open) == (0, false));
        record.say(line("line"));
        assert!((record.dmesg.len(), record.dmesg_more, record.lines_are_open) == (MOST_LINES, 1, true));
        // A log has no longer lines, and a character is not cut in the middle.
        let mut record = AttemptRecord::default();
        (0..MOST_LINES).for_each(|_| record.say(line(&"ä€".repeat(1000))));
        assert_eq!(record.dmesg[0].len(), 1022);
        assert!(record.dmesg.iter().map(String::len).sum::<usize>() <= MOST_LINE_BYTES);
        assert_eq!(record.dmesg.len() + record.dmesg_more, MOST_LINES);
    }
}
