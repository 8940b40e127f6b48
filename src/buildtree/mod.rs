//! A kernel source, headers or build tree: the vermagic of the modules that it builds, and how to match a kernel's.
//!
//! - [`reading`]: what is in the tree. Reads files, and runs git and the compiler; nothing is written.
//! - [`evaluating`]: the vermagic that its modules carry, as the tree is (current) and after the next build (rebuilt).
//! - [`advising`]: what to change to match a kernel, and which commands to type.
//! - [`preprocessor`]: the part of C's preprocessor that evaluates the tree's headers. It uses nothing of this crate except
//!   the error type.
//! - [`file_line`]: a line of a file, for every statement that names its source.
//!
//! - [`proof`]: a module really built with the tree, and the kernel's verdict on it
//! - [`report`]: everything above as one value that can be serialised
//!
//! Within the layer the order is `preprocessor`, `file_line`, `reading`, `evaluating`, `advising`, `proof`, `report`.

pub mod advising;
pub mod evaluating;
pub mod file_line;
pub mod preprocessor;
pub mod proof;
pub mod reading;
pub mod report;

pub use reading::tree::{BuildTree, MakeArguments};
