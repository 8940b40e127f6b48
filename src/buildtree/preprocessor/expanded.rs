//! What a macro expands to, and what it would expand to under other conditions.

use super::condition::Condition;
use super::location::Location;

/// One part of what a macro became.
#[derive(Clone, Debug)]
pub struct ExpandedPart {
    /// A string literal's bytes, or a token that is none.
    pub text: Spelled,
    /// Where it was written.
    pub place: Location,
    /// The conditions under which it stands there, the outermost first.
    pub conditions: Vec<Condition>,
}

/// A string literal, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelled {
    /// What a string literal says.
    Text(Vec<u8>),
    /// Any other token as it is written: a name that is no macro, a number.
    Token(String),
}

/// What a macro became.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// Its parts, in their order.
    pub parts: Vec<ExpandedPart>,
    /// The macros that were expanded for it, itself among them, each once.
    pub reached: Vec<String>,
    /// Names that `#` made texts of, though nothing defines them.
    pub quoted: Vec<String>,
}

/// A definition that was passed over, since its conditions do not hold.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// Where it is defined.
    pub place: Location,
    /// The conditions that would have to hold, the outermost first.
    pub conditions: Vec<Condition>,
    /// What it would become.
    pub parts: Vec<ExpandedPart>,
}
