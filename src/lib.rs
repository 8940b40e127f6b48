//! kmodlab looks into Linux kernel modules, says what a kernel would answer to them, rewrites their version magic for
//! lab use, and puts them back exactly as they were.
//!
//! The rooms, from the ground up; a room imports only from those above it in this list:
//!
//! - [`error`] and [`escape`]: what can go wrong, and text that a terminal does not obey
//! - [`vermagic`]: the grammar of version magic; pure
//! - [`module`]: what a module file says

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod cli;
pub mod edit;
pub mod error;
pub mod escape;
pub mod guard;
pub mod kernel;
pub mod module;
pub mod patch;
pub mod predict;
pub mod vault;
pub mod vermagic;
