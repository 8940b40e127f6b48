//! Natural order of names: numbers in them are compared as numbers, so that 6.1 comes before 6.12.

use std::cmp::Ordering;

/// A name in natural order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NaturalOrder<'n>(pub(super) &'n str);

impl Ord for NaturalOrder<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut ours, mut theirs) = (self.0, other.0);
        loop {
            let (our_digits, their_digits) = (digits(ours), digits(theirs));
            if !our_digits.is_empty() && !their_digits.is_empty() {
                match value(our_digits).cmp(&value(their_digits)) {
                    Ordering::Equal => {
                        ours = ours.get(our_digits.len()..).unwrap_or_default();
                        theirs = theirs.get(their_digits.len()..).unwrap_or_default();
                        continue;
                    }
                    unequal => return unequal,
                }
            }
            let (mut our_chars, mut their_chars) = (ours.chars(), theirs.chars());
            match (our_chars.next(), their_chars.next()) {
                // The same number may be written in two ways.
                (None, None) => return self.0.cmp(other.0),
                (ours, theirs) if ours != theirs => return ours.cmp(&theirs),
                _ => (ours, theirs) = (our_chars.as_str(), their_chars.as_str()),
            }
        }
    }
}

impl PartialOrd for NaturalOrder<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The digits at the beginning of a text.
fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// A key with the order of the digits' value, however large that is.
fn value(digits: &str) -> (usize, &str) {
    let bare = digits.trim_start_matches('0');
    (bare.len(), bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_come_in_the_order_of_their_numbers() {
        let mut names = ["6.12.1", "6.1.0-56", "5.10.0", "6.1.0-7", "x", "", "6.01.0-7", "99999999999999999999999"];
        names.sort_by_key(|name| NaturalOrder(name));
        assert_eq!(names, ["", "5.10.0", "6.01.0-7", "6.1.0-7", "6.1.0-56", "6.12.1", "99999999999999999999999", "x"]);
    }
}
