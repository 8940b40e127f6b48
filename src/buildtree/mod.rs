//! A kernel source, headers or build tree: which version magic its modules carry, and where each part of it stands.
//!
//! - [`layout`]: which folder holds what, and what kind of tree it is
//! - [`makefile`], [`options`], [`localversion`], [`scm`]: what a release is made of
//! - [`generated`]: what the last build left of it, and of what modules need
//! - [`release`]: the release that modules carry now, and the one that a build would make anew
//! - [`compiler`]: the one that is recorded, beside the one that is here
//! - [`place`]: a line of a file

pub mod compiler;
pub mod generated;
pub mod layout;
pub mod localversion;
pub mod makefile;
pub mod options;
pub mod place;
mod program;
pub mod release;
pub mod scm;

use serde::Serialize;

/// What a tree says of itself. Made by [`BuildTree::read`].
#[derive(Clone, Debug, Serialize)]
pub struct BuildTree {
    /// Which folder holds what, and what kind of tree it is.
    pub layout: layout::Layout,
    /// `VERSION` to `EXTRAVERSION` of the source's Makefile.
    pub version: makefile::Version,
    /// `.config` of the object folder; `None` where the tree is not configured, or a package leaves it out.
    pub config: Option<options::Options>,
    /// What the build reads: `include/config/auto.conf`, or the header of an older tree.
    pub auto: Option<options::Options>,
    /// In which options the two above differ: then the next `make` makes the second anew.
    pub stale_options: Vec<options::Stale>,
    /// `localversion*` files, in the order in which they are appended.
    pub localversions: Vec<localversion::LocalVersion>,
    /// What the tree's own `scripts/setlocalversion` would append.
    pub scm: scm::Scm,
    /// What the last build left: release files, and what modules are built with.
    pub generated: generated::Generated,
    /// The release that modules carry now, and the one that a build would make anew.
    pub release: release::Releases,
    /// The compiler that the configuration records, beside the one that would be used.
    pub compilers: compiler::Compilers,
    /// What is odd about it, one line each, for eyes.
    pub notes: Vec<String>,
}
