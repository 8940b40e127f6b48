//! Trials as JUnit XML, for build servers.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::escape::for_eyes;
use crate::lab::record::{Agreement, Trial, TrialRole};
use crate::report::grid::columns;

pub(super) fn junit(trials: &[&Trial]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"kmodlab\" {}>", counts(trials));
    let mut suites: HashMap<&str, Vec<&Trial>> = HashMap::new();
    for trial in trials {
        suites.entry(&trial.kernel.name).or_default().push(trial);
    }
    for kernel in columns(trials.iter().copied()) {
        let trials = suites.remove(kernel.name).unwrap_or_default();
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", quoted(&kernel.label), counts(&trials));
        let names = names(&trials);
        for (trial, name) in trials.iter().zip(names) {
            testcase(&mut out, trial, &name);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn testcase(out: &mut String, trial: &Trial, name: &str) {
    let (class, name) = (quoted(&trial.module.name), quoted(name));
    let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{:.3}\"", seconds(trial));
    let outcome = trial.outcome.name();
    let (element, text) = match trial.agreement {
        Agreement::Agree => {
            out.push_str("/>\n");
            return;
        }
        Agreement::Disagree => ("failure", outcome),
        Agreement::Unknown => ("skipped", outcome),
    };
    let why = quoted(&format!("{text}: {}", trial.disagreement));
    let _ = writeln!(out, ">\n      <{element} message=\"{why}\"/>\n    </testcase>");
}

/// The names of a suite's cases: the load mode, with more details for names that would be equal, since readers take
/// equal names for one case.
fn names(trials: &[&Trial]) -> Vec<String> {
    let short = |trial: &Trial| match trial.role {
        TrialRole::Asked => trial.load_mode.name().to_owned(),
        TrialRole::Control => format!("{}, control", trial.load_mode.name()),
    };
    let long = |trial: &Trial| match &trial.module.origin {
        Some(origin) => format!("{}, of {origin}", short(trial)),
        None => format!("{}, {}", short(trial), trial.module.path),
    };
    let mut known: HashMap<(&str, String), usize> = HashMap::new();
    for trial in trials {
        for name in [short(trial), long(trial)] {
            *known.entry((&trial.module.name, name)).or_default() += 1;
        }
    }
    let is_alone = |trial: &Trial, name: &String| known.get(&(trial.module.name.as_str(), name.clone())) == Some(&1);
    let name = |trial: &&Trial| match (short(trial), long(trial)) {
        (short, _) if is_alone(trial, &short) => short,
        (_, long) if is_alone(trial, &long) => long,
        (_, long) => format!("{long}, {}", trial.id),
    };
    trials.iter().map(name).collect()
}

fn counts(trials: &[&Trial]) -> String {
    let with = |agreement| trials.iter().filter(|trial| trial.agreement == agreement).count();
    let time: f64 = trials.iter().map(|trial| seconds(trial)).sum();
    let (all, failures, skipped) = (trials.len(), with(Agreement::Disagree), with(Agreement::Unknown));
    format!("tests=\"{all}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\"")
}

/// The duration of a trial; a record may contain any number.
fn seconds(trial: &Trial) -> f64 {
    if trial.seconds.is_finite() { trial.seconds.clamp(0.0, 1e9) } else { 0.0 }
}

/// A text as the value of an attribute: escaped, and without the characters that XML 1.0 cannot represent (section
/// 2.2).
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in for_eyes(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_outside_xml_are_replaced() {
        assert_eq!(quoted("<a b=\"1\">&'\0\u{1b}\u{ffff}"), "&lt;a b=&quot;1&quot;&gt;&amp;&apos;\\x00\\x1b\u{fffd}");
    }
}
