//! `localversion*` files: which of them count, in which order, and what they append.

use serde::Serialize;

use crate::buildtree::place::Place;

/// What a `localversion*` file appends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalVersion {
    /// The file.
    pub place: Place,
    /// What it appends: its text without white space. Empty for a file that holds nothing.
    pub text: String,
}
