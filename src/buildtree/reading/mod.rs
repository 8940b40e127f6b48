//! What is in a tree, each value with the line of the file that it comes from.
//!
//! - [`tree`]: all of it, as one value
//! - [`layout`]: which folder holds what, and what kind of tree it is; [`architecture`]: for which architecture
//! - [`makefile`], [`options`], [`localversion`], [`scm`]: the sources of the release
//! - [`generated`]: the files that the last build left
//! - [`compiler`]: the recorded compiler and the installed one
//! - `files`: reads text files up to a limit; `external`: runs other programs with a time limit

pub(super) mod architecture;
pub mod compiler;
pub(super) mod external;
pub(super) mod files;
pub mod generated;
pub mod layout;
pub mod localversion;
pub mod located;
pub mod makefile;
pub mod options;
pub mod scm;
pub mod tree;
