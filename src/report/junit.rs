//! The cells as JUnit XML, which build servers read.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::escape::for_eyes;
use crate::lab::record::{Agreement, Cell, Role};
use crate::report::grid::columns;

pub(super) fn junit(cells: &[&Cell]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"kmodlab\" {}>", counts(cells));
    let mut suites: HashMap<&str, Vec<&Cell>> = HashMap::new();
    for cell in cells {
        suites.entry(&cell.kernel.name).or_default().push(cell);
    }
    for kernel in columns(cells.iter().copied()) {
        let cells = suites.remove(kernel.name).unwrap_or_default();
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", quoted(&kernel.label), counts(&cells));
        let names = names(&cells);
        for (cell, name) in cells.iter().zip(names) {
            testcase(&mut out, cell, &name);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn testcase(out: &mut String, cell: &Cell, name: &str) {
    let (class, name) = (quoted(&cell.module.name), quoted(name));
    let _ = write!(out, "    <testcase classname=\"{class}\" name=\"{name}\" time=\"{:.3}\"", seconds(cell));
    let outcome = cell.outcome.name();
    let (element, text) = match cell.agreement {
        Agreement::Agree => {
            out.push_str("/>\n");
            return;
        }
        Agreement::Disagree => ("failure", outcome),
        Agreement::Unknown => ("skipped", outcome),
    };
    let why = quoted(&format!("{text}: {}", cell.disagreement));
    let _ = writeln!(out, ">\n      <{element} message=\"{why}\"/>\n    </testcase>");
}

/// The names of a suite's cases: the way; with more where two would be called the same, since readers take those for one.
fn names(cells: &[&Cell]) -> Vec<String> {
    let short = |cell: &Cell| match cell.role {
        Role::Asked => cell.way.name().to_owned(),
        Role::Control => format!("{}, control", cell.way.name()),
    };
    let long = |cell: &Cell| match &cell.module.origin {
        Some(origin) => format!("{}, of {origin}", short(cell)),
        None => format!("{}, {}", short(cell), cell.module.path),
    };
    let mut known: HashMap<(&str, String), usize> = HashMap::new();
    for cell in cells {
        for name in [short(cell), long(cell)] {
            *known.entry((&cell.module.name, name)).or_default() += 1;
        }
    }
    let is_alone = |cell: &Cell, name: &String| known.get(&(cell.module.name.as_str(), name.clone())) == Some(&1);
    let name = |cell: &&Cell| match (short(cell), long(cell)) {
        (short, _) if is_alone(cell, &short) => short,
        (_, long) if is_alone(cell, &long) => long,
        (_, long) => format!("{long}, {}", cell.id),
    };
    cells.iter().map(name).collect()
}

fn counts(cells: &[&Cell]) -> String {
    let with = |agreement| cells.iter().filter(|cell| cell.agreement == agreement).count();
    let time: f64 = cells.iter().map(|cell| seconds(cell)).sum();
    let (all, failures, skipped) = (cells.len(), with(Agreement::Disagree), with(Agreement::Unknown));
    format!("tests=\"{all}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" time=\"{time:.3}\"")
}

/// The time of a cell; a record's number is anyone's.
fn seconds(cell: &Cell) -> f64 {
    if cell.seconds.is_finite() { cell.seconds.clamp(0.0, 1e9) } else { 0.0 }
}

/// A text for an attribute's value: escaped as XML wants it, and without what XML 1.0 has no way to write (section 2.2).
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
    fn what_xml_has_no_way_to_write_is_told_otherwise() {
        assert_eq!(quoted("<a b=\"1\">&'\0\u{1b}\u{ffff}"), "&lt;a b=&quot;1&quot;&gt;&amp;&apos;\\x00\\x1b\u{fffd}");
    }
}
