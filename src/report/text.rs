//! Numbers for eyes; and a stranger's text for a page: one line, nothing hidden in it, and of bounded length. Markup
//! escapes the rest.

use crate::escape::for_eyes;

/// The most characters of a line; a record has the rest.
const LINE: usize = 1_000;

/// The most characters of a name.
const NAME: usize = 120;

/// A line of a log, a reason.
pub(super) fn line(text: &str) -> String {
    cut(text, LINE)
}

/// A name: of a module, a kernel, a function.
pub(super) fn name(text: &str) -> String {
    match cut(text, NAME) {
        empty if empty.is_empty() => "(no name)".to_owned(),
        name => name,
    }
}

/// A version magic: a space at its end counts, so it is made visible.
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

/// A number with its thousands apart: "2,400".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// "1 cell", "2,400 cells".
pub fn count(amount: usize, what: &str) -> String {
    let s = if amount == 1 { "" } else { "s" };
    format!("{} {what}{s}", grouped(amount as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_without_an_end_is_cut() {
        let long = "ä".repeat(LINE + 1);
        assert_eq!(line(&long).chars().count(), LINE + 1);
        assert!(line(&long).ends_with('…'));
        assert_eq!(line("a\u{202e}\n\x1b"), "a\\u{202e}\\n\\x1b");
    }

    #[test]
    fn an_empty_name_is_still_something_to_click_on() {
        assert_eq!(name(""), "(no name)");
    }

    #[test]
    fn a_number_has_its_thousands_apart() {
        assert_eq!([999, 2_400, 1_000_000].map(grouped), ["999", "2,400", "1,000,000"]);
    }
}
