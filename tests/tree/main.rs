//! What `tree` says of a kernel's build tree, and what it changes there.
//!
//! - [`guide`]: the module guide's tree, from the wrong release to the right one and back
//! - [`wrong`]: trees that something is the matter with: the right advice, or one clear line
//!
//! Both make their trees themselves, in temporary folders, with compilers that are scripts of theirs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

mod guide;
mod stage;
mod wrong;
