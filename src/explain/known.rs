//! Recognises a line: the table of all lines that are known, and the most specific one that a line is.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::explain::oops::{self, OopsLine};
use crate::explain::program::{self, ProgramLine};
use crate::explain::{loader, relocation, signature};
use crate::predict::message::Message;
use crate::predict::messages;
use crate::template::{Pattern, Values};

/// What a known line is.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownLine {
    /// The module loader prints it.
    Loader(Message),
    /// A program that loads modules prints it.
    Program(ProgramLine),
    /// It is part of an oops.
    Oops(OopsLine),
}

/// A line that was recognised.
#[derive(Clone, Debug)]
pub(super) struct Recognised {
    pub(super) line: KnownLine,
    pub(super) values: Values,
    /// The architectures that print exactly this, as directories in the kernel's source; empty if all do.
    pub(super) architectures: Vec<&'static str>,
}

/// A row of the table.
struct Row {
    pattern: Pattern,
    /// How specific the pattern is.
    weight: usize,
    line: KnownLine,
    architecture: &'static str,
}

/// The table, the most specific rows first, and a search for the longest literal part of each row.
struct Table {
    rows: Vec<Row>,
    search: Option<AhoCorasick>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let row = |text, line, architecture| {
        let pattern = Pattern::of(text);
        Row { weight: pattern.weight(), pattern, line, architecture }
    };
    let of_loader = |message: Message, architecture| row(message.text, KnownLine::Loader(message), architecture);
    let of_rules = messages::all().into_iter().map(|known| of_loader(known.message, known.architecture));
    let others = [loader::MESSAGES, signature::MESSAGES].into_iter().flatten().map(|message| of_loader(*message, ""));
    let of_machines = relocation::MESSAGES
        .iter()
        .flat_map(|(architecture, messages)| messages.iter().map(|message| of_loader(*message, architecture)));
    let programs = program::LINES.iter().map(|line| row(line.text, KnownLine::Program(*line), ""));
    let oopses = oops::LINES.iter().map(|line| row(line.text, KnownLine::Oops(*line), ""));
    let mut rows: Vec<Row> = of_rules.chain(others).chain(of_machines).chain(programs).chain(oopses).collect();
    // A stable sort: of equal ones the first is meant.
    rows.sort_by_key(|row| std::cmp::Reverse(row.weight));
    let anchors = rows.iter().map(|row| row.pattern.anchor());
    // Without a search every row is tried.
    let search = AhoCorasick::builder().match_kind(MatchKind::Standard).build(anchors).ok();
    Table { rows, search }
});

/// The fewest literal bytes of a line that is also recognised after words that are no known prefix.
const SPECIFIC: usize = 12;

/// Recognises a line without its prefix. Of several rows the most specific one is meant: that with the most literal text.
pub(super) fn recognise(line: &str) -> Option<Recognised> {
    let mut rows = candidates(line).into_iter();
    let (best, values) = rows.find_map(|row| Some((row, read(&row.pattern, line)?)))?;
    let equal = rows.take_while(|row| row.weight == best.weight).filter(|row| read(&row.pattern, line).is_some());
    let mut architectures: Vec<&'static str> = std::iter::once(best).chain(equal).map(|row| row.architecture).collect();
    architectures.dedup();
    if architectures.contains(&"") {
        architectures.clear();
    }
    Some(Recognised { line: best.line, values, architectures })
}

/// The rows whose longest literal part is in the line, the most specific ones first.
fn candidates(line: &str) -> Vec<&'static Row> {
    let Some(search) = &TABLE.search else { return TABLE.rows.iter().collect() };
    let mut found: Vec<usize> = search.find_overlapping_iter(line).map(|hit| hit.pattern().as_usize()).collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().filter_map(|at| TABLE.rows.get(at)).collect()
}

/// The values of a line that fits from its beginning, or after words that some log put before it.
fn read(pattern: &Pattern, line: &str) -> Option<Values> {
    let of = |text: &str| {
        let trimmed = text.trim_end();
        pattern.read(text).or_else(|| (trimmed.len() < text.len()).then(|| pattern.read(trimmed))?)
    };
    let whole = of(line);
    if whole.is_some() || pattern.weight() < SPECIFIC {
        return whole;
    }
    let starts = line.match_indices([' ', ']', ')']).map(|(at, _)| at + 1);
    starts.take(MOST_WORDS).find_map(|start| of(line.get(start..)?.trim_start_matches(' ')))
}

/// The most words before a line.
const MOST_WORDS: usize = 24;
