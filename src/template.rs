//! Lines of kernels and programs as templates with named places: the text with which a line is written is the text by which
//! it is recognised.
//!
//! A place is `{name}` for a word, `{name:d}` for a decimal number, `{name:x}` for a hexadecimal one, and `{name:*}` for any
//! text, also none. A word has neither spaces nor colons; it may be empty, because a damaged module has empty names.

use std::fmt;

/// What the loader prints instead of a module's name if it found none (`setup_load_info`, kernel/module/main.c).
pub const NO_NAME: &str = "(missing .modinfo section or name field)";

/// A template with a number of places.
#[derive(Clone, Copy, Debug)]
pub struct Template<const PLACES: usize>(&'static str);

impl<const PLACES: usize> Template<PLACES> {
    /// A template; its number of places is checked by the compiler.
    pub const fn new(text: &'static str) -> Template<PLACES> {
        let (mut rest, mut places) = (text.as_bytes(), 0);
        while let [first, others @ ..] = rest {
            if *first == b'{' {
                places += 1;
            }
            rest = others;
        }
        assert!(places == PLACES, "the number of places is another");
        Template(text)
    }

    /// The line with these values, in the order of the places.
    pub fn line(&self, values: [&dyn fmt::Display; PLACES]) -> Line {
        let mut line = String::new();
        let mut values = values.into_iter();
        for part in parts(self.0) {
            match part {
                Part::Literal(text) => line.push_str(text),
                Part::Place { .. } => line.extend(values.next().map(ToString::to_string)),
            }
        }
        Line(line)
    }

    /// The text, with its places.
    pub const fn text(&self) -> &'static str {
        self.0
    }
}

/// A line that was written with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(String);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Line {
    /// Its text.
    pub fn into_text(self) -> String {
        self.0
    }
}

impl<T: AsRef<str>> PartialEq<T> for Line {
    fn eq(&self, other: &T) -> bool {
        self.0 == other.as_ref()
    }
}

/// The kind of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaceKind {
    Word,
    Decimal,
    Hexadecimal,
    Any,
}

impl PlaceKind {
    fn holds(self, text: &str) -> bool {
        match self {
            PlaceKind::Any => true,
            PlaceKind::Word if text == NO_NAME => true,
            PlaceKind::Word => !text.chars().any(|c| c.is_whitespace() || c == ':'),
            PlaceKind::Decimal => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            PlaceKind::Hexadecimal => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        }
    }

    /// The length of the longest value that a text can begin with.
    fn longest(self, text: &str) -> usize {
        let end = |is_end: fn(char) -> bool| text.find(is_end).unwrap_or(text.len());
        match self {
            PlaceKind::Any => text.len(),
            PlaceKind::Word if text.starts_with(NO_NAME) => NO_NAME.len(),
            PlaceKind::Word => end(|c| c.is_whitespace() || c == ':'),
            PlaceKind::Decimal => end(|c| c != '-' && !c.is_ascii_digit()),
            PlaceKind::Hexadecimal => end(|c| !c.is_ascii_hexdigit()),
        }
    }
}

/// A part of a template.
#[derive(Clone, Copy, Debug)]
enum Part {
    Literal(&'static str),
    Place { name: &'static str, kind: PlaceKind },
}

fn parts(text: &'static str) -> impl Iterator<Item = Part> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if let Some((place, after)) = rest.strip_prefix('{').and_then(|place| place.split_once('}')) {
            rest = after;
            let (name, kind) = place.split_once(':').unwrap_or((place, ""));
            let kind = match kind {
                "d" => PlaceKind::Decimal,
                "x" => PlaceKind::Hexadecimal,
                "*" => PlaceKind::Any,
                _ => PlaceKind::Word,
            };
            return Some(Part::Place { name, kind });
        }
        let (literal, after) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        rest = after;
        (!literal.is_empty()).then_some(Part::Literal(literal))
    })
}

/// The values of a line's places, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// The value of a place.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Fills the places of another text with these values; a place without a value stays empty.
    pub fn fill(&self, text: &'static str) -> String {
        let value = |part| match part {
            Part::Literal(literal) => literal,
            Part::Place { name, .. } => self.get(name).unwrap_or_default(),
        };
        parts(text).map(value).collect()
    }
}

/// A template as lines are compared with it.
#[derive(Clone, Debug)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// The pattern of a template's text.
    pub fn of(text: &'static str) -> Pattern {
        Pattern { parts: parts(text).collect() }
    }

    /// The longest literal part: a line without it does not fit.
    pub fn anchor(&self) -> &'static str {
        self.literals().max_by_key(|literal| literal.len()).unwrap_or_default()
    }

    /// The number of bytes that a line must have exactly as they are: the larger, the more specific.
    pub fn weight(&self) -> usize {
        self.literals().map(str::len).sum()
    }

    fn literals(&self) -> impl Iterator<Item = &'static str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(*literal),
            Part::Place { .. } => None,
        })
    }

    /// The values of a line that fits from its beginning to its end.
    pub fn read(&self, line: &str) -> Option<Values> {
        let mut values = Vec::new();
        (read(&self.parts, line, &mut values) == Fit::Yes).then(|| {
            values.reverse();
            Values(values)
        })
    }
}

/// Does a text consist of some parts?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// No, and no end of this text does either.
    Never,
}

/// Does the text consist of these parts? Appends the values of the places, the last one first.
///
/// A place for any text takes as little as possible, and parts after it that fit at several places are taken at the first: a later
/// place for any text can hold whatever is skipped. So nothing is tried twice, as in a match with wildcards.
fn read(parts: &[Part], text: &str, values: &mut Vec<(&'static str, String)>) -> Fit {
    let (name, kind, rest) = match parts {
        [] if text.is_empty() => return Fit::Yes,
        [] => return Fit::No,
        [Part::Literal(literal), rest @ ..] => {
            return text.strip_prefix(literal).map_or(Fit::No, |text| read(rest, text, values));
        }
        [Part::Place { name, kind }] => {
            let holds = kind.holds(text);
            values.extend(holds.then(|| (*name, text.to_owned())));
            return if holds { Fit::Yes } else { Fit::No };
        }
        [Part::Place { name, kind }, rest @ ..] => (*name, *kind, rest),
    };
    let next = match rest {
        [Part::Literal(literal), ..] => *literal,
        _ => "",
    };
    let most = kind.longest(text);
    // What follows is searched for only where it can begin.
    let near = text.get(..text.floor_char_boundary(most.saturating_add(next.len()))).unwrap_or(text);
    for (at, _) in near.match_indices(next).take_while(|(at, _)| *at <= most) {
        let (value, after) = text.split_at(at);
        if !kind.holds(value) {
            continue;
        }
        match read(rest, after, values) {
            Fit::No => {}
            fit => {
                values.extend((fit == Fit::Yes).then(|| (name, value.to_owned())));
                return fit;
            }
        }
    }
    if kind == PlaceKind::Any { Fit::Never } else { Fit::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELOCATION: Template<3> = Template::new("{module}: relocation {type:d} at {place:x}");

    #[test]
    fn a_line_is_read_with_the_template_that_wrote_it() {
        let line = RELOCATION.line([&"foo", &57, &"ff08"]);
        assert_eq!(line, "foo: relocation 57 at ff08");
        let values = Pattern::of(RELOCATION.text()).read(&line.to_string()).unwrap();
        assert_eq!(
            ["module", "type", "place", "none"].map(|name| values.get(name)),
            [Some("foo"), Some("57"), Some("ff08"), None]
        );
        assert_eq!(values.fill("type {type} in {module}{none}"), "type 57 in foo");
    }

    #[test]
    fn a_place_holds_only_what_its_kind_allows() {
        let pattern = Pattern::of(RELOCATION.text());
        for other in [
            "two words: relocation 57 at ff08",
            "foo: relocation many at ff08",
            "foo: relocation 57 at nowhere",
            "foo: relocation 57 at ff08.",
            "kernel: foo: relocation 57 at ff08",
        ] {
            assert_eq!(pattern.read(other), None, "{other}");
        }
        for line in [format!("{NO_NAME}: relocation -1 at 0"), ": relocation 57 at ff08".to_owned()] {
            assert!(pattern.read(&line).is_some(), "{line}");
        }
    }

    #[test]
    fn a_long_line_is_read_without_going_back() {
        let pattern = Pattern::of("{a:*} x {b:*} x {c:*} x {d:*} {word} #{end:*}!");
        // Each of the four places could end at each of 10,000 words.
        assert_eq!(pattern.read(&" x é".repeat(10_000)), None);
        assert!(pattern.read(&format!("{} #!", " x é".repeat(10_000))).is_some());
    }

    #[test]
    fn text_may_contain_what_follows_it() {
        let pattern = Pattern::of("{ours:*}' should be '{theirs:*}'");
        let values = pattern.read("a' should be 'b' should be 'c'").unwrap();
        assert_eq!((values.get("ours"), values.get("theirs")), (Some("a"), Some("b' should be 'c")));
        assert_eq!(pattern.anchor(), "' should be '");
        assert_eq!(pattern.weight(), 14);
    }
}
