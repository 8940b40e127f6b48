//! Forms of releases, and templates that their parts are filled into. Pure.
//!
//! | in a form | matches |
//! |---|---|
//! | `{base}` | the release's version, as given |
//! | `{n}`, `{n4}`, `{n6}`, `{n7}` | a whole number; of at most 4, of 6, of at least 7 digits |
//! | `{ns}` | whole numbers with dots between them |
//! | `{any}`, `{some}` | any text; any text except the empty one |
//! | `{nodash}`, `{nodash1}` | the same without `-` |
//! | `{word}` | a letter and any text |
//! | `{LIST}` | one of the words of a list |
//! | `{name:...}` | one of the above, kept under a name |
//! | `(name:FORM)` | a part of the form, kept under a name |
//! | `[FORM]` | the part, or nothing |
//!
//! A template contains `{name}`, and `[...]` for a part that is left out if a name in it has no value.

/// What a form has matched: names and texts.
pub(super) type Captures = Vec<(String, String)>;

/// Matches a whole text with a form.
pub(super) fn captures(
    form: &str,
    text: &str,
    base: &str,
    words: fn(&str) -> &'static [&'static str],
) -> Option<Captures> {
    let mut matcher = Matcher { text, base, words, open: Vec::new(), captures: Vec::new() };
    matcher.matches(form, 0).then_some(matcher.captures)
}

/// Ends a named part in a form that is being matched.
const END: char = '\u{1}';

struct Matcher<'t> {
    text: &'t str,
    base: &'t str,
    words: fn(&str) -> &'static [&'static str],
    /// The named parts that have begun: their names and starts.
    open: Vec<(String, usize)>,
    captures: Captures,
}

impl Matcher<'_> {
    /// Does the form match the text from an offset to its end?
    fn matches(&mut self, form: &str, at: usize) -> bool {
        let Some(rest) = self.text.get(at..) else { return false };
        let Some(first) = form.chars().next() else { return rest.is_empty() };
        match first {
            '[' => {
                let Some((inner, after)) = bracketed(form, '[', ']') else { return false };
                self.matches(after, at) || self.matches(&format!("{inner}{after}"), at)
            }
            '(' => {
                let Some((inner, after)) = bracketed(form, '(', ')') else { return false };
                let Some((name, part)) = inner.split_once(':') else { return false };
                self.open.push((name.to_owned(), at));
                let is_match = self.matches(&format!("{part}{END}{after}"), at);
                if !is_match {
                    self.open.pop();
                }
                is_match
            }
            END => {
                let Some((name, start)) = self.open.pop() else { return false };
                let part = self.text.get(start..at).unwrap_or_default().to_owned();
                self.captures.push((name.clone(), part));
                let is_match = self.matches(form.get(1..).unwrap_or_default(), at);
                if !is_match {
                    self.captures.pop();
                    self.open.push((name, start));
                }
                is_match
            }
            '{' => {
                let Some((inner, after)) = bracketed(form, '{', '}') else { return false };
                let (name, class) = match inner.split_once(':') {
                    Some((name, class)) => (Some(name), class),
                    None => (None, inner),
                };
                for length in self.lengths(class, rest) {
                    if let (Some(name), Some(part)) = (name, rest.get(..length)) {
                        self.captures.push((name.to_owned(), part.to_owned()));
                    }
                    if self.matches(after, at + length) {
                        return true;
                    }
                    if name.is_some() {
                        self.captures.pop();
                    }
                }
                false
            }
            literal => {
                rest.starts_with(literal) && {
                    let length = literal.len_utf8();
                    self.matches(form.get(length..).unwrap_or_default(), at + length)
                }
            }
        }
    }

    /// The lengths that a class may have at the start of a text, in the order in which they are tried.
    fn lengths(&self, class: &str, rest: &str) -> Vec<usize> {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let without_dash = rest.bytes().take_while(|byte| *byte != b'-').count();
        let number = |fits: bool| if fits { vec![digits] } else { Vec::new() };
        match class {
            "base" if rest.starts_with(self.base) => vec![self.base.len()],
            "base" => Vec::new(),
            "n" => number(digits > 0),
            "n4" => number((1..=4).contains(&digits)),
            "n6" => number(digits == 6),
            "n7" => number(digits >= 7),
            "ns" => numbers(rest),
            "any" => (0..=rest.len()).collect(),
            "some" => (1..=rest.len()).collect(),
            "nodash" => (0..=without_dash).collect(),
            "nodash1" => (1..=without_dash).collect(),
            "word" if rest.starts_with(|c: char| c.is_ascii_alphabetic()) => (1..=rest.len()).collect(),
            "word" => Vec::new(),
            list => {
                // A word that ends in a digit is not the beginning of a longer number.
                let is_whole = |word: &&&str| {
                    let next = rest.as_bytes().get(word.len());
                    !(word.ends_with(|c: char| c.is_ascii_digit()) && next.is_some_and(u8::is_ascii_digit))
                };
                let fits = (self.words)(list).iter().filter(|word| rest.starts_with(**word)).filter(is_whole);
                fits.map(|word| word.len()).collect()
            }
        }
    }
}

/// The lengths of whole numbers with dots between them, the longest first.
fn numbers(text: &str) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut at = 0;
    for part in text.split('.') {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            break;
        }
        lengths.push(at + digits);
        if digits < part.len() {
            break;
        }
        at += digits + 1;
    }
    lengths.reverse();
    lengths
}

/// The text in the bracket that a form begins with, and the text after it.
fn bracketed(form: &str, open: char, close: char) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in form.char_indices() {
        match c {
            c if c == open => depth += 1,
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some((form.get(1..at)?, form.get(at + 1..)?));
                }
            }
            _ => {}
        }
    }
    None
}

/// A template with the values of its names; a name without a value is empty, and an optional part with one is left out.
pub(super) fn filled(template: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['[', '{']) {
        text.push_str(rest.get(..at).unwrap_or_default());
        rest = rest.get(at..).unwrap_or_default();
        if let Some((part, after)) = bracketed(rest, '[', ']').filter(|_| rest.starts_with('[')) {
            if names(part).all(|name| value(name).is_some()) {
                text.push_str(&filled(part, value));
            }
            rest = after;
        } else if let Some((name, after)) = bracketed(rest, '{', '}') {
            text.push_str(&value(name).unwrap_or_default());
            rest = after;
        } else {
            break;
        }
    }
    text + rest
}

/// The names in a template.
fn names(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| part.split_once('}').map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &str) -> &'static [&'static str] {
        if list == "BOARDS" { &["v7", "v7l"] } else { &[] }
    }

    fn named(form: &str, text: &str) -> Option<Vec<String>> {
        captures(form, text, "6.1", words).map(|found| found.into_iter().map(|(_, text)| text).collect())
    }

    #[test]
    fn classes_match_whole_numbers_and_words() {
        assert_eq!(named("{base}-{a:n}-x", "6.1-12-x").unwrap(), ["12"]);
        assert_eq!(named("{base}-{n}2-x", "6.1-12-x"), None);
        assert_eq!(named("{base}-{a:ns}.3", "6.1-1.2.3").unwrap(), ["1.2"]);
        assert_eq!(named("{base}-{a:BOARDS}", "6.1-v7l").unwrap(), ["v7l"]);
        assert_eq!(named("{base}-{a:BOARDS}{nodash}", "6.1-v71"), None);
        assert_eq!((named("{n4}", "12345"), named("{n7}x", "1234567x").is_some()), (None, true));
        assert_eq!((named("{word}", "7a"), named("{word}", "a7").is_some()), (None, true));
    }

    #[test]
    fn parts_can_be_named_and_left_out() {
        assert_eq!(named("(a:{base}-{n})[-(b:r{n})]", "6.1-4").unwrap(), ["6.1-4"]);
        assert_eq!(named("(a:{base}-{n})[-(b:r{n})]", "6.1-4-r5").unwrap(), ["6.1-4", "r5"]);
        assert_eq!(named("{base}[[.]{a:BOARDS}]", "6.1.v7").unwrap(), ["v7"]);
    }

    #[test]
    fn templates_leave_out_parts_without_values() {
        let value = |name: &str| (name == "a").then(|| "A".to_owned());
        assert_eq!(filled("k[-{a}][-{b}]-{a}.", &value), "k-A-A.");
    }
}
