//! Tests that boot kernels in virtual machines.
//!
//! - [`vm`]: the lab's promises, on x86-64
//! - [`machines`]: predictions compared with the answers of kernels of eight architectures
//!
//! All of them are ignored by a plain `cargo test`, because they need QEMU and the kernels that `tests/real/fetch` keeps below
//! `target/real`; `tests/run` runs them. A test fails if a tool or a kernel is missing.
//!
//! ```text
//! cargo test --test guests vm:: -- --ignored --nocapture
//! cargo test --test guests machines:: -- --ignored --nocapture --test-threads 2
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what it counted"
)]

mod bystanders;
mod machines;
mod vm;

#[path = "../support/mod.rs"]
mod support;
