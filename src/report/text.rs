//! Untrusted text for the page: one line without hidden characters, of limited length. Maud escapes the markup.

use crate::escape::for_eyes;
pub(super) use crate::text::{count, grouped};

/// The most characters of a line; the record has the rest.
const LINE: usize = 1_000;

/// The most characters of a name.
const NAME: usize = 120;

/// A log line or a reason.
pub(super) fn line(text: &str) -> String {
    cut(text, LINE)
}

/// The name of a module, a kernel, or a function.
pub(super) fn name(text: &str) -> String {
    match cut(text, NAME) {
        empty if empty.is_empty() => "(no name)".to_owned(),
        name => name,
    }
}

/// A vermagic. A trailing space is significant, so it is made visible.
pub(super) fn vermagic(text: &str) -> String {
    match line(text) {
        text if text.is_empty() => "empty".to_owned(),
        text => match text.strip_suffix(' ') {
            Some(rest) => format!("{rest}\u{2420}"),
            None => text,
        },
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}\u{2026}", for_eyes(text.get(..end).unwrap_or_default())),
        None => for_eyes(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_truncated() {
        let long = "ä".repeat(LINE + 1);
        assert_eq!(line(&long).chars().count(), LINE + 1);
        assert!(line(&long).ends_with('…'));
        assert_eq!(line("a\u{202e}\n\x1b"), "a\\u{202e}\\n\\x1b");
    }

    #[test]
    fn an_empty_name_can_be_clicked() {
        assert_eq!(name(""), "(no name)");
    }
}
