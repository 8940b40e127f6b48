//! A kernel source, headers or build tree: what a module built there would carry, and how to mend it.

pub mod beyond;
pub mod commands;
pub mod distribution;
mod structures;
