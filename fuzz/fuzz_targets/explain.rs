//! Arbitrary bytes as lines of a log. Each line is in a story, unknown, or counted, and what is kept is limited.

use kmodlab::escape::for_eyes;
use kmodlab::explain::{ExplainReport, explain};

/// The most stories, the most lines that differ in a story, and the most unknown lines that are kept: `src/explain`. Of each kind of
/// lines a story keeps the first, so that it may have a few more.
const MOST_STORIES: usize = 1_000;
const MOST_LINES: usize = 1_000 + 32;
const MOST_UNKNOWN: usize = 100;

/// The longest line in bytes.
const LONGEST_LINE: usize = 4096;

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let report = explain(text.lines());
    let json = json(&report);
    assert_eq!(self::json(&explain(text.lines())), json);
    is_bounded(&report);
    is_complete(&report, text.lines().count());
    for story in &report.stories {
        let texts = story.lines.iter().flat_map(|line| [&line.text, &line.meaning]);
        let names = story.module.iter().chain(&story.kernel).chain([&story.reason]);
        let facts = story.facts.iter().map(|fact| &fact.value);
        assert!(texts.chain(names).chain(facts).all(|text| !for_eyes(text).contains(char::is_control)));
        assert!(!story.reason.is_empty());
    }
    assert!(report.unknown.iter().all(|line| !for_eyes(&line.text).contains(char::is_control)));
}

fn json(report: &ExplainReport) -> String {
    serde_json::to_string(report).expect("a report can be serialised")
}

fn is_bounded(report: &ExplainReport) {
    assert!(report.stories.len() <= MOST_STORIES && report.unknown.len() <= MOST_UNKNOWN);
    for story in &report.stories {
        assert!(!story.lines.is_empty() && story.lines.len() <= 2 * MOST_LINES);
        assert!(story.lines.iter().all(|line| line.text.len() <= LONGEST_LINE && !line.text.is_empty()));
    }
}

/// Line numbers are in order and within the input, and no line is missing.
fn is_complete(report: &ExplainReport, lines: usize) {
    assert!(report.lines <= lines);
    let in_order = |numbers: Vec<usize>| {
        assert!(numbers.iter().all(|number| (1..=lines).contains(number)));
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    };
    in_order(report.unknown.iter().map(|line| line.number).collect());
    let firsts = report.stories.iter().filter_map(|story| story.lines.first());
    in_order(firsts.map(|line| line.number).collect());
    let mut counted = report.stories_more + report.unknown.len() + report.unknown_more;
    for story in &report.stories {
        in_order(story.lines.iter().map(|line| line.number).collect());
        counted += story.lines_more + story.lines.iter().map(|line| line.count).sum::<usize>();
    }
    assert_eq!(counted, report.lines);
}
