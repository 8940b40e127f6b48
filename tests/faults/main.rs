//! Faults: whatever stops a run, the module is as before or as after, and its original can be had.
//!
//! - [`kill`]: the run is killed at each of its system calls
//! - [`failing`]: each of its system calls fails
//! - [`torn`]: the disk tore the write of the module
//! - [`disk`]: a simulated disk loses any of what was not flushed to it
//! - [`races`]: others write, cut, rename and replace the module meanwhile; two runs want it at once
//! - [`full`]: the disk of the backups is full
//! - [`crowd`]: the same for many modules at once
//!
//! The program itself runs here, on copies of the fixtures, with a state folder of its own ([`workshop`]). What is
//! ignored needs strace, or root: `cargo test --release --test faults -- --include-ignored --nocapture` runs it all and
//! prints what it counted.

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
mod kill;
mod races;
mod scene;
mod strace;
mod torn;
mod workshop;
