//! Lines of public reports of bugs, one by one, each with the module, the step and the outcome that are right.

use std::collections::BTreeSet;

use kmodlab::explain::{ExplainReport, explain};

const REPORTS: &str = include_str!("reports.txt");

#[test]
fn lines_of_public_reports_are_explained() {
    let (mut right, mut silent, mut wrong, mut systems) = (0, Vec::new(), Vec::new(), BTreeSet::new());
    let rows: Vec<&str> = REPORTS.lines().filter(|row| !row.starts_with('#')).collect();
    for row in &rows {
        let mut columns = row.splitn(4, '\t');
        let mut column = || columns.next().unwrap();
        let (source, module, expected, line) = (column(), column(), column(), column());
        systems.insert(source.split(',').next().unwrap());
        let ExplainReport { stories, .. } = explain([line]);
        match stories.as_slice() {
            [] => silent.push(line),
            [story] => {
                let outcome = serde_json::to_value(story.outcome).unwrap();
                let step = story.step.map_or("", |step| step.name());
                let found = format!("{step}/{}", outcome.as_str().unwrap());
                let name = story.module.as_deref().unwrap_or("-");
                match (name, found.as_str()) == (module, expected) {
                    true => right += 1,
                    false => wrong.push(format!("{name} {found}, not {module} {expected}: {line}")),
                }
            }
            several => wrong.push(format!("{} stories: {line}", several.len())),
        }
    }
    println!("{right} of {} lines of reports from {} systems are explained", rows.len(), systems.len());
    assert!(wrong.is_empty(), "explained wrongly:\n{}", wrong.join("\n"));
    assert!(silent.len() * 100 <= rows.len() * 3, "not explained:\n{}", silent.join("\n"));
    assert!(rows.len() >= 150 && systems.len() >= 12, "{} lines of {} systems", rows.len(), systems.len());
}
