//! `VERSION`, `PATCHLEVEL`, `SUBLEVEL`, `EXTRAVERSION` of a kernel's top Makefile. Pure.

use serde::Serialize;

use crate::buildtree::place::Place;

/// The version that a Makefile gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version {
    /// `VERSION`.
    pub version: Assigned,
    /// `PATCHLEVEL`.
    pub patchlevel: Assigned,
    /// `SUBLEVEL`.
    pub sublevel: Assigned,
    /// `EXTRAVERSION`, with its hyphen.
    pub extraversion: Assigned,
    /// The lines that end as on Windows; make takes the carriage return into the value.
    pub windows_lines: Vec<usize>,
}

/// A variable's value, and the line that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assigned {
    /// As make has it: without white space around it and without a comment.
    pub value: String,
    /// The assignment that counts: the last one.
    pub place: Place,
}
