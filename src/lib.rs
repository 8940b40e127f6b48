//! kmodlab looks into Linux kernel modules, says what a kernel would answer to them, rewrites their version magic for
//! lab use, and puts them back exactly as they were.
//!
//! The rooms, from the ground up; a room imports only from those before it in this list:
//!
//! - [`escape`], [`text`], [`error`]: text that a terminal does not obey; quantities, paths and bytes in words and JSON; what
//!   can go wrong
//! - [`digest`]: SHA-256
//! - [`edit`]: bytes that become others; pure
//! - [`vermagic`]: the grammar of version magic; pure
//! - [`btf`]: the types of kernels and modules; pure
//! - [`parallel`]: work on many items on all cores
//! - [`module`]: what a module file says
//! - [`walk`]: the directory walk
//! - [`kernel`]: the facts of a kernel
//! - [`buildtree`]: a kernel source, headers or build tree
//! - [`predict`]: what a kernel will answer; pure
//! - [`vault`]: backups, journal, the write protocol, recovery, restore
//! - [`patch`]: the plan, and its application
//! - [`guard`]: the safety checks before a write
//! - [`lab`]: the throwaway virtual machine
//! - [`report`]: what people look at afterwards: a page, JSON, JUnit XML; pure
//! - [`cli`]: the program's commands
//!
//! To look into a module:
//!
//! ```
//! use kmodlab::module::{self, container::DEFAULT_MAX_SIZE};
//!
//! let (stored, module) = module::open("fixtures/modules/hello-4.ko.zst".as_ref(), DEFAULT_MAX_SIZE)?;
//! assert_eq!(stored.container.name(), "zstd");
//! let vermagic = module.vermagic().expect("every module has one");
//! assert_eq!(vermagic.as_bytes(), b"6.1.0-47-amd64 SMP preempt mod_unload modversions ");
//! # Ok::<(), kmodlab::error::Error>(())
//! ```

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

pub mod btf;
pub mod buildtree;
pub mod cli;
pub mod digest;
pub mod edit;
pub mod error;
pub mod escape;
pub mod guard;
pub mod kernel;
pub mod lab;
pub mod module;
pub mod parallel;
pub mod patch;
pub mod predict;
pub mod report;
pub mod text;
pub mod vault;
pub mod vermagic;
pub mod walk;
