//! The plan of a batch in numbers and a few names: of bounded size, however many modules there are and whatever is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::change::proposal::Review;
use crate::escape;
use crate::guard::{Guard, Reason};
use crate::module::container::Container;
use crate::patch::{Plan, Signature};
use crate::predict::{Decision, Verdict};
use crate::text::{self, LONGEST, cut};
use crate::vermagic::Vermagic;

/// How many paths of a group are kept.
pub(super) const NAMED: usize = 5;

/// How many groups are kept apart where files determine them: a hostile folder could make all different.
pub(super) const MOST_GROUPS: usize = 256;

/// A batch in numbers.
#[derive(Clone, Debug, Default)]
pub struct BatchSummary {
    /// How many modules are to be patched.
    pub planned: usize,
    /// The first of them.
    pub named: Vec<PathBuf>,
    /// How many of them are patched alike.
    pub classes: BTreeMap<PatchClass, usize>,
    /// How many of them are in no class, because there were too many.
    pub other_classes: usize,
    /// What the kernel answers before and after, and for how many.
    pub answers: BTreeMap<[ShortVerdict; 2], usize>,
    /// The guards that were overridden, and for how many.
    pub overridden: BTreeMap<Guard, usize>,
    /// Remarks on the request, and for how many modules.
    pub notes: BTreeMap<String, usize>,
    /// How many modules have the wanted contents already.
    pub as_requested: usize,
    /// How many modules guards refuse.
    pub refused: usize,
    /// The modules that each guard refuses. A module that several guards refuse is in several groups.
    pub refusals: BTreeMap<Guard, RefusalGroup>,
    /// How many modules can't be planned for.
    pub failed: usize,
}

/// The modules that one guard refuses.
#[derive(Clone, Debug, Default)]
pub struct RefusalGroup {
    /// The first of them.
    pub paths: Vec<PathBuf>,
    /// How many there are.
    pub count: usize,
    /// The reasons, and for how many modules each.
    pub reasons: BTreeMap<String, usize>,
    /// How many modules have a reason that is not listed, because there were too many.
    pub other_reasons: usize,
}

impl RefusalGroup {
    /// The most frequent reason, and how many modules have another one.
    pub fn main_reason(&self) -> (&str, usize) {
        let most = self.reasons.iter().max_by_key(|(_, count)| **count);
        most.map_or(("", self.count), |(reason, count)| (reason, self.count - count))
    }
}

/// A kernel's answer in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShortVerdict {
    /// The kernel accepts the module.
    Accepted,
    /// The kernel refuses the module at this step, if the step is known.
    Refused(Option<&'static str>),
    /// Nothing that is known refuses the module.
    Unknown,
}

impl ShortVerdict {
    fn of(verdict: &Verdict) -> ShortVerdict {
        match verdict.answer {
            Decision::Accepted => ShortVerdict::Accepted,
            Decision::Refused => ShortVerdict::Refused(verdict.stage.map(|step| step.name())),
            Decision::Unknown => ShortVerdict::Unknown,
        }
    }
}

/// How the version magic changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VermagicChange {
    /// The entry is blanked.
    Blanked,
    /// The string stays.
    Same,
    /// The string becomes this, escaped.
    To(String),
}

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteMode {
    /// Over the old bytes, in the file itself.
    InPlace,
    /// As a whole new file.
    NewFile {
        /// Is `.modinfo` moved to the end?
        moves_modinfo: bool,
    },
    /// As a whole new file that is compressed again.
    Repacked {
        /// Is `.modinfo` moved to the end?
        moves_modinfo: bool,
    },
}

/// The properties that modules which are patched alike share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchClass {
    /// The version magic before, escaped and cut.
    pub vermagic_before: String,
    /// How it changes.
    pub vermagic: VermagicChange,
    /// How the file is written.
    pub write: WriteMode,
    /// What becomes of the signature; `None` where it is not affected.
    pub signature: Option<SignatureChange>,
    /// Are symbol versions hidden (`true`) or rewritten (`false`)? `None` if they stay.
    pub hides_versions: Option<bool>,
    /// Is `.BTF` hidden?
    pub drops_btf: bool,
    /// Is the module marked?
    pub is_marked: bool,
}

/// What becomes of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignatureChange {
    /// It is removed.
    Stripped,
    /// It stays, although it is invalid afterwards.
    KeptInvalid,
    /// A new one is made.
    Renewed,
}

impl PatchClass {
    fn of(plan: &Plan) -> PatchClass {
        let before = plan.vermagic_before.as_bytes();
        let vermagic = match plan.vermagic_after.as_ref().map(Vermagic::as_bytes) {
            None => VermagicChange::Blanked,
            Some(after) if after == before => VermagicChange::Same,
            Some(after) => VermagicChange::To(text::vermagic(after)),
        };
        let has_trailer = plan.module.trailer.is_some();
        PatchClass {
            vermagic_before: match before.get(..LONGEST) {
                Some(start) if before.len() > LONGEST => format!("{}…", escape::bytes_for_eyes(start)),
                _ => text::vermagic(before),
            },
            vermagic,
            write: match plan.container {
                Container::None if plan.is_in_place() => WriteMode::InPlace,
                Container::None => WriteMode::NewFile { moves_modinfo: plan.grows },
                _ => WriteMode::Repacked { moves_modinfo: plan.grows },
            },
            signature: match plan.signature {
                Signature::Strip if has_trailer => Some(SignatureChange::Stripped),
                Signature::Keep if has_trailer => Some(SignatureChange::KeptInvalid),
                Signature::Renew => Some(SignatureChange::Renewed),
                Signature::Strip | Signature::Keep | Signature::Refuse => None,
            },
            hides_versions: plan.versioned.as_ref().map(|versioned| versioned.hidden),
            drops_btf: plan.drop_btf && plan.module.btf.is_some(),
            is_marked: plan.mark.is_some(),
        }
    }
}

/// The facts of one planned module that the summary counts.
pub(super) struct PlanFacts {
    class: PatchClass,
    answers: Option<[ShortVerdict; 2]>,
    notes: Vec<String>,
    overridden: Vec<Guard>,
}

impl PlanFacts {
    pub(super) fn of(review: &Review<'_>) -> PlanFacts {
        let plan = review.proposal().plan();
        PlanFacts {
            class: PatchClass::of(plan),
            answers: review.proposal().verdicts().map(|verdicts| verdicts.each_ref().map(ShortVerdict::of)),
            notes: plan.notes.clone(),
            overridden: review.overridden().collect(),
        }
    }
}

impl BatchSummary {
    /// The guards that refuse, the one that refuses most modules first.
    pub fn refusing(&self) -> Vec<(Guard, &RefusalGroup)> {
        let mut refusing: Vec<_> = self.refusals.iter().map(|(guard, refused)| (*guard, refused)).collect();
        refusing.sort_by_key(|(_, refused)| std::cmp::Reverse(refused.count));
        refusing
    }

    /// How many modules were reviewed.
    pub fn all(&self) -> usize {
        self.planned + self.as_requested + self.refused + self.failed
    }

    pub(super) fn add_planned(&mut self, path: &Path, facts: PlanFacts) {
        self.planned += 1;
        if self.named.len() < NAMED {
            self.named.push(path.to_owned());
        }
        self.count(facts.class);
        if let Some(answers) = facts.answers {
            *self.answers.entry(answers).or_default() += 1;
        }
        for note in facts.notes {
            *self.notes.entry(note).or_default() += 1;
        }
        for guard in facts.overridden {
            *self.overridden.entry(guard).or_default() += 1;
        }
    }

    fn count(&mut self, class: PatchClass) {
        let is_full = self.classes.len() >= MOST_GROUPS;
        match self.classes.get_mut(&class) {
            Some(number) => *number += 1,
            None if is_full => self.other_classes += 1,
            None => *self.classes.entry(class).or_default() += 1,
        }
    }

    pub(super) fn add_refused(&mut self, path: &Path, guards: &[(Guard, Reason)]) {
        self.refused += 1;
        for (guard, reason) in guards {
            let refused = self.refusals.entry(*guard).or_default();
            refused.count += 1;
            if refused.paths.len() < NAMED {
                refused.paths.push(path.to_owned());
            }
            let reason = cut(&reason.to_string());
            let is_full = refused.reasons.len() >= MOST_GROUPS;
            match refused.reasons.get_mut(&reason) {
                Some(count) => *count += 1,
                None if is_full => refused.other_reasons += 1,
                None => *refused.reasons.entry(reason).or_default() += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl PatchClass {
        /// Of modules that are blanked in place.
        pub(crate) fn blanked(vermagic_before: String) -> PatchClass {
            PatchClass {
                vermagic_before,
                vermagic: VermagicChange::Blanked,
                write: WriteMode::InPlace,
                signature: None,
                hides_versions: None,
                drops_btf: false,
                is_marked: false,
            }
        }
    }

    #[test]
    fn the_guard_that_refuses_most_comes_first_with_its_most_frequent_reason() {
        let mut summary = BatchSummary::default();
        let owned = |number: usize| (Guard::InstalledTree, Reason::OwnedBy(format!("package {number}")));
        let btf = || (Guard::Btf, Reason::BtfHidden);
        summary.add_refused(Path::new("/a.ko"), &[owned(1)]);
        summary.add_refused(Path::new("/b.ko"), &[owned(2), btf()]);
        summary.add_refused(Path::new("/c.ko"), &[btf()]);
        summary.add_refused(Path::new("/d.ko"), &[owned(2), btf()]);
        summary.add_refused(Path::new("/e.ko"), &[btf()]);
        let refusing: Vec<_> =
            summary.refusing().into_iter().map(|(guard, it)| (guard, it.count, it.main_reason().1)).collect();
        assert_eq!(refusing, [(Guard::Btf, 4, 0), (Guard::InstalledTree, 3, 1)]);
        assert!(summary.refusing()[1].1.main_reason().0.contains("package 2"));
        assert_eq!(summary.refused, 5);
    }

    #[test]
    fn groups_that_files_determine_are_bounded_and_every_module_is_counted() {
        let mut summary = BatchSummary::default();
        for number in 0..3000 {
            summary.count(PatchClass::blanked(format!("{number:04}")));
            let reason = Reason::OwnedBy(format!("package {number:04}{}", "x".repeat(900)));
            summary.add_refused(Path::new("/a.ko"), &[(Guard::InstalledTree, reason), (Guard::Btf, Reason::BtfHidden)]);
        }
        summary.count(PatchClass::blanked("0007".to_owned()));
        let group = summary.refusals.get(&Guard::InstalledTree).unwrap();
        assert_eq!((summary.classes.len(), group.reasons.len()), (MOST_GROUPS, MOST_GROUPS));
        assert_eq!(summary.classes.values().sum::<usize>() + summary.other_classes, 3001);
        assert_eq!(
            (summary.refused, group.count, summary.refusals.get(&Guard::Btf).unwrap().count),
            (3000, 3000, 3000)
        );
        assert_eq!(group.reasons.values().sum::<usize>() + group.other_reasons, 3000);
        assert!(group.reasons.keys().all(|why| why.len() <= LONGEST + "…".len()));
        assert_eq!(summary.classes.get(&PatchClass::blanked("0007".to_owned())), Some(&2));
        assert!(summary.refusals.values().all(|refused| refused.paths.len() <= NAMED));
    }
}
