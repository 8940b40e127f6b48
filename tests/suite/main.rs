//! Every test that needs neither a virtual machine nor fault injection: one module per promise.
//!
//! ```text
//! cargo test --test suite                            all of them, except those that need kernels, root or other programs
//! cargo test --test suite predict::                  one module
//! cargo test --test suite -- --include-ignored       all of them: tests/run installs and fetches what they need
//! ```
//!
//! The tests of this program run as threads of one process. A test that changes the process (its umask) or measures the
//! process (its memory) runs in a process of its own: [`support::in_own_process`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it counted"
)]

mod api;
mod architecture;
mod buildtree;
mod cli;
mod evidence;
mod explain;
mod export;
mod fixtures;
mod guards;
mod hostile;
mod lab;
mod outside;
mod package;
mod patch;
mod predict;
mod readme;
mod reads;
mod real;
mod recorded;
mod report;
mod scan;
mod show;
mod sign;
mod state;
mod tree;
mod vermagic;

#[path = "../../fixtures/make/mod.rs"]
#[allow(dead_code, reason = "the program in fixtures/make.rs uses the other functions")]
mod make;
#[path = "../support/mod.rs"]
mod support;
