//! What is wrong with a damaged journal. Pure.

use serde::Serialize;

/// Lines of the journal that are not there as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalDamage {
    /// The number of the first of these lines, from 1.
    pub first: u64,
    /// The number of the last of them.
    pub last: u64,
    /// What happened to them.
    pub kind: DamageKind,
    /// Whether nothing was lost by it: the journal's copy has the lines, or they are there, in another place.
    pub is_lossless: bool,
}

/// What happened to lines of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// Their text does not match their hash, or is no line of a journal.
    Changed,
    /// They are not there.
    Missing,
    /// Their file is there and can't be read.
    Unreadable,
    /// They do not continue the chain of hashes: they, or the lines before them, were replaced.
    Replaced,
    /// They are in another place, or there twice.
    Misplaced,
    /// Text that is no line of a journal is before them.
    Inserted,
    /// Another version of this program wrote them, in a form that this one can't read.
    Unsupported,
}

impl DamageKind {
    /// Whether the lines are not in the journal any more, so that only its copy can have them.
    pub(crate) fn takes_lines(self) -> bool {
        matches!(self, DamageKind::Changed | DamageKind::Missing | DamageKind::Unreadable | DamageKind::Replaced)
    }

    /// What happened, in the words of a sentence that begins with "line 7" or "lines 7 to 9".
    pub fn text(self, is_one: bool) -> &'static str {
        match (self, is_one) {
            (DamageKind::Changed, true) => "was changed",
            (DamageKind::Changed, false) => "were changed",
            (DamageKind::Missing, true) => "is missing",
            (DamageKind::Missing, false) => "are missing",
            (DamageKind::Unreadable, _) => "can't be read",
            (DamageKind::Replaced, true) => "does not follow the line before it: one of them was replaced",
            (DamageKind::Replaced, false) => "do not follow the lines before them: some of them were replaced",
            (DamageKind::Misplaced, true) => "is not in its place, or is there twice",
            (DamageKind::Misplaced, false) => "are not in their places, or are there twice",
            (DamageKind::Inserted, true) => "comes after text that is no line of a journal",
            (DamageKind::Inserted, false) => "come after text that is no line of a journal",
            (DamageKind::Unsupported, true) => "is of another version of this program",
            (DamageKind::Unsupported, false) => "are of another version of this program",
        }
    }
}

impl std::fmt::Display for JournalDamage {
    /// "line 7 was changed"; "lines 7 to 9 are missing".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.first == self.last {
            true => write!(f, "line {} {}", self.first, self.kind.text(true)),
            false => write!(f, "lines {} to {} {}", self.first, self.last, self.kind.text(false)),
        }
    }
}

/// Joins damage of the same kind to lines that follow each other; sorted by line.
pub(super) fn joined(mut all: Vec<JournalDamage>) -> Vec<JournalDamage> {
    all.sort_by_key(|damage| (damage.first, damage.kind));
    let mut joined: Vec<JournalDamage> = Vec::new();
    for damage in all {
        match joined.last_mut() {
            Some(last)
                if (last.kind, last.is_lossless) == (damage.kind, damage.is_lossless)
                    && last.last.checked_add(1) == Some(damage.first) =>
            {
                last.last = damage.last;
            }
            _ => joined.push(damage),
        }
    }
    joined
}
