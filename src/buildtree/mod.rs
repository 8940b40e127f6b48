//! A kernel source, headers or build tree: what version magic its modules carry, and how to mend it.

pub mod header;
mod place;
pub mod preprocessor;

pub use place::Place;
