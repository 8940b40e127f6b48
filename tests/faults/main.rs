//! Faults: whatever stops a run, the module has its old or its new contents, and its original can be restored.
//!
//! - [`kill`]: the run is killed at each of its system calls
//! - [`failing`]: each of its system calls fails
//! - [`torn`]: the disk tore the write of the module
//! - [`disk`]: a simulated disk loses any part of what was not flushed to it
//! - [`races`]: other processes write, truncate, rename and replace the module meanwhile; two runs patch it at once
//! - [`full`]: the disk of the backups is full
//! - [`crowd`]: the same for many modules at once
//! - [`import`]: the same for the import of an export
//! - [`repair`]: the same for the repair of a damaged journal
//!
//! These tests run the program itself, on copies of the fixtures, each with its own state folder ([`workshop`]). The ignored
//! tests need strace or root: `cargo test --release --test faults -- --include-ignored --nocapture` runs all tests and prints
//! their counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "in a test, whatever is unexpected ends it"
)]

mod crowd;
mod disk;
mod failing;
mod full;
mod import;
mod kill;
mod played;
mod races;
mod repair;
mod resumed;
mod scene;
mod strace;
mod torn;
mod workshop;
