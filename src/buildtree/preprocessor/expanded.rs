//! What a macro expands to, and what it would expand to under other conditions.

use super::condition::Condition;
use super::location::Location;

/// One part of a macro's expansion.
#[derive(Clone, Debug)]
pub struct ExpandedPart {
    /// The bytes of a string literal, or another token.
    pub text: Spelled,
    /// The line that contains it.
    pub place: Location,
    /// The conditions around that line, the outermost first.
    pub conditions: Vec<Condition>,
}

/// A string literal or another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// The contents of a string literal.
    Text(Vec<u8>),
    /// Any other token, as written: a name that is not a macro, a number.
    Token(String),
}

/// A macro's expansion.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// Its parts, in order.
    pub parts: Vec<ExpandedPart>,
    /// The macros that were expanded for it, including itself, each once.
    pub reached: Vec<String>,
    /// Undefined names that `#` turned into text.
    pub quoted: Vec<String>,
}

/// A definition that was skipped because its conditions do not hold.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// The line of the definition.
    pub place: Location,
    /// The conditions that would have to hold, the outermost first.
    pub conditions: Vec<Condition>,
    /// Its expansion.
    pub parts: Vec<ExpandedPart>,
}
