//! What a compiler would have reported.

use super::location::Location;

/// What was met on the way that a compiler would have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What it is.
    pub kind: DiagnosticKind,
    /// The line of which it is said.
    pub place: Location,
    /// A header's name, an error's text, or what is wrong. Escape it before showing it.
    pub text: String,
}

/// What a [`Diagnostic`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiagnosticKind {
    /// A header that is in no folder.
    MissingHeader,
    /// An `#error` that would have stopped the compiler.
    Error,
    /// A directive that can't be read; it was passed over.
    BadDirective,
    /// An expression that can't be read; it counts as false.
    BadExpression,
    /// More headers than can be evaluated; some that might matter were not looked into.
    TooMuch,
}
