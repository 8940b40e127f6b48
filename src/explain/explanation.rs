//! Explains lines as they come. The memory that this takes does not depend on their number.

use crate::explain::draft::{Event, Said};
use crate::explain::joiner::Joiner;
use crate::explain::report::{ExplainReport, UnknownLine};
use crate::explain::{error_name, kernel_name, known, prefix};

/// How many lines that are not known are kept.
const MOST_UNKNOWN: usize = 100;

/// Lines that are being explained.
#[derive(Default)]
pub struct Explanation {
    /// The number of the last line.
    number: usize,
    /// The number of lines that are not empty.
    lines: usize,
    joiner: Joiner,
    unknown: UnknownLines,
    /// Is a line certainly modinfo's?
    has_modinfo: bool,
    /// Lines that are modinfo's if a later one is, and otherwise unknown.
    undecided: UnknownLines,
}

/// The first lines that are not known, and how many follow.
#[derive(Default)]
struct UnknownLines {
    first: Vec<UnknownLine>,
    more: usize,
}

impl UnknownLines {
    fn add(&mut self, number: usize, text: &str) {
        match self.first.len() < MOST_UNKNOWN {
            true => self.first.push(UnknownLine { number, text: text.to_owned() }),
            false => self.more += 1,
        }
    }
}

/// Explains lines, which may have any prefix.
pub fn explain<'l>(lines: impl IntoIterator<Item = &'l str>) -> ExplainReport {
    let mut explanation = Explanation::default();
    lines.into_iter().for_each(|line| explanation.add(line));
    explanation.report()
}

impl Explanation {
    /// Adds a line, which may have any prefix.
    pub fn add(&mut self, line: &str) {
        self.number += 1;
        let line = prefix::strip(line);
        if line.trim().is_empty() {
            return;
        }
        self.lines += 1;
        if !self.has_modinfo && kernel_name::is_modinfo(line) {
            self.has_modinfo = true;
            let UnknownLines { first, more } = std::mem::take(&mut self.undecided);
            first.iter().for_each(|line| self.add_stripped(line.number, &line.text));
            self.joiner.count_described(more);
        }
        self.add_stripped(self.number, line);
    }

    fn add_stripped(&mut self, number: usize, line: &str) {
        match said(line, self.has_modinfo) {
            Some(said) => self.joiner.add(Event { number, text: line.into(), count: 1, said }),
            None if !self.has_modinfo && kernel_name::is_field(line) => self.undecided.add(number, line),
            None => self.unknown.add(number, line),
        }
    }

    /// The explanation of all lines.
    pub fn report(self) -> ExplainReport {
        let Explanation { lines, joiner, mut unknown, undecided, .. } = self;
        let all = unknown.first.len() + unknown.more + undecided.first.len() + undecided.more;
        unknown.first.extend(undecided.first);
        unknown.first.sort_by_key(|line| line.number);
        unknown.first.truncate(MOST_UNKNOWN);
        let unknown_more = all - unknown.first.len();
        let (stories, stories_more) = joiner.stories();
        ExplainReport::new(lines, stories, stories_more, unknown.first, unknown_more)
    }
}

fn said(line: &str, has_modinfo: bool) -> Option<Said> {
    if let Some(fact) = kernel_name::read(line, has_modinfo) {
        return Some(Said::Named(fact));
    }
    known::recognise(line).map(Said::Known).or_else(|| error_name::of_text(line).map(Said::Error))
}
