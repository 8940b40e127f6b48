//! Promise: `explain` recognises every line that `predict` can print, and lines that it never prints, and places each at its
//! step; it never guesses.
//!
//! - here: each message of the rule table, with values
//! - `predicted`: the lines that predictions print
//! - `reports`: lines of public reports
//! - `unrelated`: lines of logs that are about no module's loading
//! - `stories`: lines that belong together

mod predicted;
mod reports;
mod stories;
mod unrelated;

use kmodlab::explain::{ExplainReport, Outcome, Story, explain};
use kmodlab::predict::message::Effect;
use kmodlab::predict::messages::{RuleMessage, all};
use kmodlab::predict::{Decision, LoaderStep, Verdict};

/// The only story of some lines, all of which are known.
#[track_caller]
fn story(lines: &[&str]) -> Story {
    let ExplainReport { stories, unknown, .. } = explain(lines.iter().copied());
    assert!(unknown.is_empty(), "not known: {unknown:#?}");
    let [story] = stories.as_slice() else { panic!("{} stories of {lines:#?}: {stories:#?}", stories.len()) };
    story.clone()
}

/// A value that a kernel prints at a place of this name and kind.
fn value(name: &str, kind: &str) -> String {
    match (name, kind) {
        ("module", _) => "foo_bar",
        ("symbol", _) => "usb_register_driver",
        ("owner", _) => "cfg80211",
        ("ours", _) => "6.1.0-47-amd64 SMP preempt mod_unload modversions ",
        ("theirs", _) => "6.12.0-amd64 SMP preempt mod_unload modversions ",
        ("error", _) => "-22",
        ("license", _) => "Proprietary",
        (_, "d") => "57",
        (_, "x") => "ffffffffc148a694",
        ("section", _) => ".text",
        (_, "*") => "some text of 3 words",
        _ => "word",
    }
    .to_owned()
}

/// A text with values at its places.
fn with_values(text: &str) -> String {
    let mut parts = text.split('{');
    let mut line = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once('}').unwrap();
        let (name, kind) = place.split_once(':').unwrap_or((place, ""));
        line.push_str(&value(name, kind));
        line.push_str(rest);
    }
    line
}

#[test]
fn each_message_of_the_rules_is_recognised_and_placed_at_its_step() {
    let messages = all();
    let mut placed = 0;
    for RuleMessage { message, architecture } in &messages {
        let line = with_values(message.text);
        let story = story(&[&line]);
        let is_same_text = |other: &&RuleMessage| with_values(other.message.text) == line;
        let of_text: Vec<&RuleMessage> = messages.iter().filter(is_same_text).collect();
        // parisc has a line about relocations that all other machines print about symbols.
        let step = of_text[0].message.step;
        assert_eq!(story.step, step, "{line}: {story:#?}");
        assert!(!story.reason.is_empty() && !story.reason.contains(['{', '}']), "{line}: {}", story.reason);
        if let Effect::Refuses(errno) = message.effect {
            assert_eq!(story.outcome, Outcome::Refused, "{line}");
            let is_specific = line.contains("(err -22)");
            assert!(is_specific || of_text.len() > 1 || story.errno == Some(errno), "{line}: {story:#?}");
        }
        let is_for_all = of_text.iter().any(|one| one.architecture.is_empty());
        assert_eq!(story.architectures.contains(architecture), !is_for_all && !architecture.is_empty(), "{line}");
        placed += 1;
    }
    println!("{placed} of {} messages of the rules are recognised and placed at their step", messages.len());
    assert!(placed == messages.len() && placed > 120);
}

#[test]
fn versions_are_those_of_the_rule_table() {
    for (line, versions) in [
        ("foo: no flags for exported symbols", Some("7.1 and later")),
        ("Module len 4096 truncated", Some("before 5.10, perhaps up to 5.10.262")),
        ("module: x86/modules: Invalid relocation target, existing value is nonzero for type 1", Some("6.5 and later")),
        ("foo: disagrees about version of symbol module_layout", None),
        ("Modules: module foo: unsupported RELA relocation: 311", Some("6.5 and later")),
        ("module foo: unsupported RELA relocation: 311", Some("before 6.5")),
        ("Loading of unsigned module is rejected", Some("5.4 and later")),
    ] {
        assert_eq!(story(&[line]).printed_by.as_deref(), versions, "{line}");
    }
}

/// Every line of a prediction is known, and the story of a refusal that prints something is at the step that refuses.
#[track_caller]
pub(crate) fn assert_explained(verdict: &Verdict) {
    let report = explain(verdict.dmesg.iter().map(String::as_str));
    assert!(report.unknown.is_empty(), "not known: {:#?}", report.unknown);
    let Some(stage) = verdict.stage.filter(|_| verdict.answer == Decision::Refused) else { return };
    let refusing = report.stories.iter().filter(|story| story.outcome == Outcome::Refused);
    let steps: Vec<LoaderStep> = refusing.filter_map(|story| story.step).collect();
    assert!(steps.iter().all(|step| *step == stage), "{steps:?}, and predict says {stage:?}: {verdict:#?}");
}
