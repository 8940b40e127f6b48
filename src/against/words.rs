//! A comparison in words, for people.

use crate::against::relation::{OriginalComparison, RelationToOriginal};
use crate::comparison::parts::{SectionChange, SectionDifference};
use crate::text::{count, grouped};

/// How many sections and values of each module are named.
const MOST: usize = 4;

impl OriginalComparison {
    /// How the file differs from its original, a line each. Not escaped.
    pub fn in_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match self.containers {
            Some([original, found]) => lines.push(format!("compression: {} → {}", original.name(), found.name())),
            None if self.relation == RelationToOriginal::Recompressed => {
                lines.push("compression: by another program or with other settings".to_owned());
            }
            None => {}
        }
        for difference in &self.differences {
            let name = difference.aspect.name();
            if !(difference.a.is_empty() && difference.b.is_empty()) {
                lines.push(format!("{name}: {} → {}", values(&difference.a), values(&difference.b)));
            } else if !difference.notes.is_empty() {
                lines.push(format!("{name}: {}", difference.notes.join("; ")));
            }
        }
        lines.extend(self.sections.iter().take(MOST).map(in_words));
        let more = self.differing_sections.saturating_sub(MOST);
        if more > 0 {
            lines.push(format!("and {}", count(more, "other section")));
        }
        lines.extend(self.reason.clone());
        lines
    }
}

/// The first values.
fn values(values: &[String]) -> String {
    if values.is_empty() {
        return "–".to_owned();
    }
    let shown = values.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    match values.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn in_words(section: &SectionDifference) -> String {
    let SectionDifference { section: name, how, size, found_size, differing, spans } = section;
    match how {
        SectionChange::Missing => format!("{name}: missing"),
        SectionChange::Extra => format!("{name}: not in the original"),
        SectionChange::Header => format!("{name}: its header differs"),
        SectionChange::Bytes if size != found_size => {
            format!("{name}: {} instead of {}", count(*found_size as usize, "byte"), grouped(*size))
        }
        SectionChange::Bytes => {
            let at = spans.first().map(|span| format!(", the first at 0x{:x}", span.offset)).unwrap_or_default();
            format!("{name}: {} of {} differ{at}", grouped(*differing as u64), count(*size as usize, "byte"))
        }
    }
}
