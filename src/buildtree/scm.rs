//! What a tree's own `scripts/setlocalversion` would append for its version control.

use serde::Serialize;

use crate::buildtree::place::Place;

/// What is appended for version control, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scm {
    /// What is appended: `+`, `-00003-g0123456789ab-dirty`, or nothing. `None` where it can't be told.
    pub suffix: Option<String>,
    /// What decides it: the script, `.scmversion`, the repository.
    pub place: Place,
    /// Why, in words; for `None` what is missing.
    pub why: String,
}
