//! What a compiler would have reported.

use super::location::Location;

/// A message that a compiler would have printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its kind.
    pub kind: DiagnosticKind,
    /// The line that it is about.
    pub place: Location,
    /// A header's name, an error's text, or what is wrong. Escape it before showing it.
    pub text: String,
}

/// What a [`Diagnostic`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiagnosticKind {
    /// A header that no folder contains.
    MissingHeader,
    /// An `#error` that would have stopped the compiler.
    Error,
    /// A directive that cannot be read; it was skipped.
    BadDirective,
    /// An expression that cannot be read; it counts as false.
    BadExpression,
    /// More headers than can be evaluated; some relevant ones may not have been read.
    TooMuch,
}
