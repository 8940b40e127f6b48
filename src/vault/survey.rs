//! Reading a damaged journal: every line that is whole by itself, from the journal and from its copy, in the order of their numbers.
//!
//! A line is whole if its hash is that of its text. Which lines are missing follows from the numbers; whether lines belong to the same
//! journal follows from the hashes that they repeat.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde::Deserialize;

use crate::digest::{Sha256, sha256};
use crate::error::Result;
use crate::vault::damage::{self, DamageKind, JournalDamage};
use crate::vault::journal::{is_start, read_line, split_hash};
use crate::vault::record::{JournalEntry, LONGEST_LINE, SCHEMA_VERSION};

/// The largest number of a line that is believed.
const MOST_LINES: u64 = 1 << 53;

/// A whole line of a damaged journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SurveyedLine {
    /// Its number.
    seq: u64,
    /// The hash of the line before it.
    prev: Sha256,
    /// Its hash.
    pub(super) hash: Sha256,
    /// Its offset in its file, in bytes.
    pub(super) at: u64,
    /// Whether this version of the program can read it.
    is_supported: bool,
}

/// What is in one file of a damaged journal.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The whole lines, in the order of the file.
    lines: Vec<SurveyedLine>,
    /// How many lines that are not whole come after the whole line of a number.
    broken: BTreeMap<u64, u64>,
    /// Whether the file ends with the start of a line.
    pub(super) is_torn: bool,
}

/// The parts of a line that its place in the journal depends on.
#[derive(Deserialize)]
struct LineNumber {
    schema_version: u32,
    seq: u64,
    prev: Sha256,
}

impl Survey {
    /// Reads a text from an offset on, where the line after number `after` should begin.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`].
    pub(super) fn of(text: &mut impl BufRead, from: u64, after: u64) -> Result<Survey> {
        let mut survey = Survey::default();
        let (mut line, mut at, mut last) = (Vec::new(), from, after);
        loop {
            let read = read_line(text, &mut line)?;
            // This program never writes a line that is longer: what follows is not looked at.
            if read == 0 || read > LONGEST_LINE {
                if read > 0 {
                    survey.add_broken(last);
                }
                return Ok(survey);
            }
            match SurveyedLine::of(line.strip_suffix(b"\n").unwrap_or(&line), at) {
                Some(found) => {
                    last = found.seq;
                    survey.lines.push(found);
                }
                None if !line.ends_with(b"\n") && is_start(&line) => survey.is_torn = true,
                None => survey.add_broken(last),
            }
            at += read;
        }
    }

    fn add_broken(&mut self, after: u64) {
        *self.broken.entry(after).or_default() += 1;
    }

    /// Whether a line that is not whole comes after one of these lines.
    fn is_broken_after(&self, first: u64, last: u64) -> bool {
        self.broken.range(first..=last).next().is_some()
    }
}

impl SurveyedLine {
    fn of(body: &[u8], at: u64) -> Option<SurveyedLine> {
        let (signed, hash) = split_hash(body)?;
        if sha256(signed) != hash {
            return None;
        }
        let LineNumber { schema_version, seq, prev } = serde_json::from_slice(body).ok()?;
        // A larger number would leave none for the next lines.
        if seq == 0 || seq > MOST_LINES {
            return None;
        }
        let is_supported = schema_version == SCHEMA_VERSION && serde_json::from_slice::<JournalEntry>(body).is_ok();
        Some(SurveyedLine { seq, prev, hash, at, is_supported })
    }
}

/// The lines that a damaged journal still has, after those that were read already.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// The lines, in the order of their numbers, each with whether it is one of the copy.
    pub(super) lines: Vec<(SurveyedLine, bool)>,
    /// The number of the last line, whether it is left or not.
    pub(super) count: u64,
    /// The hash of the last line that is left.
    pub(super) last_hash: Option<Sha256>,
    /// What is wrong.
    pub(super) damage: Vec<JournalDamage>,
}

/// Puts the lines of a journal and of its copy together. `count` lines were read already, the last one with this hash.
pub(super) fn together(count: u64, last_hash: Option<Sha256>, journal: &Survey, copy: &Survey) -> Remains {
    let mut by_number: BTreeMap<u64, Vec<(SurveyedLine, bool)>> = BTreeMap::new();
    let here = journal.lines.iter().map(|line| (*line, false));
    for (line, is_copy) in here.chain(copy.lines.iter().map(|line| (*line, true))) {
        let same = by_number.entry(line.seq).or_default();
        if line.seq > count && !same.iter().any(|(known, _)| known.hash == line.hash) {
            same.push((line, is_copy));
        }
    }
    by_number.retain(|_, lines| !lines.is_empty());
    let mut remains = Remains { count, last_hash, ..Remains::default() };
    let mut found =
        |first, last, kind, is_lossless| remains.damage.push(JournalDamage { first, last, kind, is_lossless });
    let (mut expected, mut before) = (count + 1, last_hash);
    let prevs: BTreeMap<u64, Vec<Sha256>> =
        by_number.iter().map(|(seq, lines)| (*seq, lines.iter().map(|(line, _)| line.prev).collect())).collect();
    for (seq, lines) in &by_number {
        let kind = |first: u64| match journal.is_broken_after(first - 1, *seq - 1) {
            true => DamageKind::Changed,
            false => DamageKind::Missing,
        };
        if *seq > expected {
            found(expected, *seq - 1, kind(expected), false);
            before = None;
        }
        // A line that can be read; that continues the chain; that is continued; of the journal itself.
        let is_next = |line: &SurveyedLine| before.is_none_or(|before| line.prev == before);
        let is_continued = |line: &SurveyedLine| {
            seq.checked_add(1).and_then(|next| prevs.get(&next)).is_some_and(|prevs| prevs.contains(&line.hash))
        };
        let best =
            lines.iter().max_by_key(|(line, is_copy)| (line.is_supported, is_next(line), is_continued(line), !is_copy));
        let Some((line, is_copy)) = best else { continue };
        let is_own_there = lines.iter().any(|(_, is_copy)| !is_copy);
        if *is_copy {
            found(*seq, *seq, if is_own_there { DamageKind::Replaced } else { kind(*seq) }, true);
        }
        if !is_next(line) {
            found(*seq, *seq, DamageKind::Replaced, false);
        }
        if !line.is_supported {
            found(*seq, *seq, DamageKind::Unsupported, false);
        }
        before = Some(line.hash);
        expected = seq.saturating_add(1);
        remains.lines.push((*line, *is_copy));
    }
    let mut last = count;
    for line in &journal.lines {
        if line.seq <= last {
            found(line.seq, line.seq, DamageKind::Misplaced, true);
        }
        last = last.max(line.seq);
    }
    // Broken lines for which no number is left between their neighbours.
    let own: BTreeSet<u64> = journal.lines.iter().map(|line| line.seq).collect();
    for (before, lines) in &journal.broken {
        let next = own.range(before + 1..).next().copied();
        let more = lines.saturating_sub(next.unwrap_or(expected).saturating_sub(before + 1));
        match next {
            _ if more == 0 => {}
            Some(next) => found(next, next, DamageKind::Inserted, true),
            // After all lines that are known: they may have been lines of the journal.
            None => {
                found(expected, expected + more - 1, DamageKind::Changed, false);
                expected += more;
            }
        }
    }
    remains.count = expected - 1;
    remains.last_hash = remains.lines.last().map(|(line, _)| line.hash).or(last_hash);
    remains.lines.retain(|(line, _)| line.is_supported);
    remains.damage = damage::joined(remains.damage);
    remains
}
