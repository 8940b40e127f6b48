//! A tree's options, each with its line: `.config`, `include/config/auto.conf`, and the headers of older trees. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::buildtree::place::Place;

/// The options of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// The file.
    pub file: PathBuf,
    /// Each option that it speaks of, without `CONFIG_`.
    pub settings: BTreeMap<String, Setting>,
}

/// What a file says of one option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// `y`, `m`, a number as it stands, a string without its quotation marks; `None` is "not set".
    pub value: Option<String>,
    /// Its line.
    pub line: usize,
}

/// An option in which `.config` and what the build reads differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stale {
    /// Its name, without `CONFIG_`.
    pub name: String,
    /// What `.config` has, and where; `None` where it does not speak of it.
    pub config: Option<(Option<String>, Place)>,
    /// What the build reads; likewise.
    pub auto: Option<(Option<String>, Place)>,
}
