//! Wildcard patterns, in time that is at most the product of both lengths, and without recursion: patterns come from files.

/// What a `[` in a pattern means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bracket {
    /// It begins a class of bytes, as in modules.alias (fnmatch(3)): `[0-9a-f]`.
    Class,
    /// Itself, as in ssh_config(5).
    Literal,
}

/// A part of a pattern.
enum Element<'p> {
    /// `*`: any bytes, or none.
    Any,
    /// `?`: one byte.
    One,
    /// One of these bytes.
    Class(&'p [u8]),
    /// This byte.
    Byte(u8),
}

impl Element<'_> {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Element::Any => false,
            Element::One => true,
            Element::Class(class) => in_class(class, byte),
            Element::Byte(own) => *own == byte,
        }
    }
}

/// Does the pattern, with `*`, `?` and possibly `[…]`, match the whole text? A class without an end matches nothing.
pub(crate) fn matches(pattern: &[u8], text: &[u8], bracket: Bracket) -> bool {
    let Some(elements) = elements(pattern, bracket, text.len()) else { return false };
    let (mut element, mut at) = (0, 0);
    // The last `*`, and the end of what it stands for now. An earlier one never has to stand for more.
    let mut any: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at) {
        match elements.get(element) {
            Some(Element::Any) => {
                any = Some((element, at));
                element += 1;
            }
            Some(one) if one.fits(*byte) => (element, at) = (element + 1, at + 1),
            _ => {
                let Some((star, end)) = any else { return false };
                any = Some((star, end + 1));
                (element, at) = (star + 1, end + 1);
            }
        }
    }
    elements.get(element..).unwrap_or_default().iter().all(|rest| matches!(rest, Element::Any))
}

/// The elements of a pattern; `None` if it cannot match a text of this length.
fn elements(pattern: &[u8], bracket: Bracket, most: usize) -> Option<Vec<Element<'_>>> {
    let (mut elements, mut needed, mut rest) = (Vec::new(), 0, pattern);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let element = match first {
            // Several are one.
            b'*' if matches!(elements.last(), Some(Element::Any)) => continue,
            b'*' => Element::Any,
            b'?' => Element::One,
            b'[' if bracket == Bracket::Class => {
                let end = behind.iter().position(|byte| *byte == b']')?;
                rest = behind.get(end + 1..)?;
                Element::Class(behind.get(..end)?)
            }
            byte => Element::Byte(*byte),
        };
        needed += usize::from(!matches!(element, Element::Any));
        if needed > most {
            return None;
        }
        elements.push(element);
    }
    Some(elements)
}

fn in_class(mut class: &[u8], byte: u8) -> bool {
    loop {
        class = match class {
            [from, b'-', to, ..] if (*from..=*to).contains(&byte) => return true,
            [_, b'-', _, rest @ ..] => rest,
            [one, ..] if *one == byte => return true,
            [_, rest @ ..] => rest,
            [] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alias(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), Bracket::Class)
    }

    #[test]
    fn aliases_are_shell_patterns() {
        assert!(alias("pci:v00008086d*sv*", "pci:v00008086d00001234sv1"));
        assert!(alias("usb:v[0-9a]?", "usb:va7"));
        assert!(!alias("usb:v[0-9]", "usb:vx"));
        assert!(!alias("fs_ext4", "fs_ext3"));
        assert!(alias("*", "") && alias("", "") && !alias("?", "") && !alias("[", "["));
        assert!(alias("a[b-]c", "a-c") && !alias("a[]c", "ac"));
    }

    #[test]
    fn a_bracket_may_be_itself() {
        assert!(matches(b"[a]*", b"[a]b", Bracket::Literal));
    }

    #[test]
    fn many_stars_take_no_more_than_the_product_of_the_lengths() {
        // Tried one by one, the ends of 40 stars in 4,000 bytes would take longer than anybody waits.
        assert!(!alias(&"*a".repeat(40), &"b".repeat(4_000)));
        assert!(!alias(&format!("{}b", "*a".repeat(40)), &"a".repeat(4_000)));
        assert!(alias(&"*".repeat(1_000_000), "a"));
        assert!(!alias(&"?".repeat(1_000_000), "a"));
    }

    /// The definition, which takes exponential time.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, _) => text.is_empty(),
            (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            (Some((byte, rest)), Some((first, text))) => (*byte == b'?' || byte == first) && slow(rest, text),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(alias(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
