//! The release that a tree's modules carry now, and the one that a build would make anew. Pure.

use serde::Serialize;

use crate::buildtree::place::Place;

/// A tree's two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Releases {
    /// The one that a module built now carries, and the line that says so; `None` where nothing was built yet.
    pub now: Option<Piece>,
    /// The pieces of the one that would be made anew, in their order.
    pub pieces: Vec<Piece>,
    /// Those as one; `None` where one of them can't be told.
    pub anew: Option<String>,
    /// What can't be told, in words.
    pub unknown: Option<String>,
}

/// A piece of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// The text, with the dot or hyphen that belongs to it.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub from: PieceFrom,
}

/// What a piece of a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PieceFrom {
    /// `VERSION` of the Makefile.
    Version,
    /// `PATCHLEVEL`.
    Patchlevel,
    /// `SUBLEVEL`.
    Sublevel,
    /// `EXTRAVERSION`.
    Extraversion,
    /// A `localversion*` file.
    LocalversionFile,
    /// `CONFIG_LOCALVERSION`.
    ConfigLocalversion,
    /// `LOCALVERSION` of the environment.
    Environment,
    /// Version control.
    Scm,
    /// A generated file, as a whole.
    Generated,
}
