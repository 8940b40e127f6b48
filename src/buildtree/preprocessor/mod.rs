//! The part of C's preprocessor (C11 6.10) that is needed to expand a macro of a tree's headers, and to name the lines and
//! conditions that each part of the result comes from. Pure: files are read through [`HeaderSource`].
//!
//! Only directives are read; the lines between them are skipped. Where a compiler would report an error, there is a
//! [`Diagnostic`]: a missing header, an `#error`, an expression that cannot be read (which counts as false).
//! Headers that would take too long, or never end, are an error of the kind [`ErrorKind::TooLarge`].
//!
//! The module could be a crate of its own: except for [`crate::error`] it uses nothing of this one.
//!
//! [`ErrorKind::TooLarge`]: crate::error::ErrorKind::TooLarge

mod condition;
mod diagnostic;
mod expanded;
mod expansion;
mod expression;
mod headers;
mod limits;
mod literal;
mod location;
mod processor;
#[cfg(test)]
mod tests;
mod token;

pub use condition::{Condition, Need};
pub use diagnostic::{Diagnostic, DiagnosticKind};
pub use expanded::{Alternative, ExpandedPart, Expansion, Spelled};
pub use headers::{HeaderFile, HeaderSource, IncludeFolder};
pub use limits::PreprocessorLimits;
pub use location::Location;
pub use processor::Preprocessor;
