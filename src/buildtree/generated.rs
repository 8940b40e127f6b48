//! What the last build left in a tree: the files that hold its release, and what modules are built with.

use std::path::PathBuf;

use serde::Serialize;

use crate::buildtree::place::Place;

/// What the last build left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Generated {
    /// Each file that holds a release, as far as they are there.
    pub releases: Vec<ReleaseFile>,
    /// The header whose `UTS_RELEASE` modules carry, of those; `None` where there is none yet.
    pub header: Option<ReleaseFile>,
    /// What `make` makes before modules can be built, there or missing.
    pub parts: Vec<Part>,
}

/// A generated file with a release in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReleaseFile {
    /// The file and the line in it.
    pub place: Place,
    /// The release.
    pub release: String,
    /// Does the preprocessor read it (`UTS_RELEASE`), or only make?
    pub is_header: bool,
}

/// A file that is made before modules are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What it is for, in words.
    pub role: &'static str,
    /// Is it there?
    pub present: bool,
    /// Do modules of this tree need it?
    pub needed: bool,
    /// What makes it.
    pub made_by: MadeBy,
}

/// What makes a missing part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MadeBy {
    /// `make modules_prepare` (in trees before 2.6.12: `make`).
    ModulesPrepare,
    /// Only a full `make`.
    Make,
}
