//! kmodlab looks into Linux kernel modules, says what a kernel would answer to them, rewrites their version magic for
//! lab use, and puts them back exactly as they were.
//!
//! The layers, from the ground up; a layer imports only from those before it in this list:
//!
//! - `escape`, `text`, `error`: text that a terminal does not obey; quantities, paths and bytes in words and JSON; what
//!   can go wrong
//! - `digest`: SHA-256
//! - `edit`: bytes that become others; pure
//! - `vermagic`: the grammar of version magic; pure
//! - `btf`: the types of kernels and modules; pure
//! - `parallel`: work on many items on all cores
//! - `spill`: collections for more items than memory should hold
//! - `private_folder`: a folder that only its own user may write
//! - `module`: what a module file says
//! - `walk`: the directory walk
//! - `kernel`: the facts of a kernel
//! - `comparison`: two modules compared; pure
//! - `predict`: what a kernel will answer; pure
//! - `buildtree`: a kernel source, headers or build tree
//! - `vault`: backups, journal, the write protocol, recovery, restore
//! - `selection`: which module files a request is about
//! - `scan`: a summary of very many modules
//! - `patch`: the plan, and its application
//! - `guard`: the safety checks before a write
//! - `change`: changes of files: proposed, reviewed, confirmed, applied
//! - `lab`: the throwaway virtual machine
//! - `doctor`: what this machine can do
//! - `report`: what people look at afterwards: a page, JSON, JUnit XML; pure
//! - `cli`: the program's commands
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
// Every type in the public interface has a name there.
#![cfg_attr(not(feature = "internals"), warn(unnameable_types))]
// Items that only tests use, or only some features, are dead without them.
#![cfg_attr(not(all(feature = "program", feature = "internals")), allow(dead_code, unused_imports, unreachable_pub))]

#[cfg(feature = "internals")]
pub mod btf;
#[cfg(not(feature = "internals"))]
mod btf;
#[cfg(all(feature = "tree", feature = "internals"))]
pub mod buildtree;
#[cfg(all(feature = "tree", not(feature = "internals")))]
mod buildtree;
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod change;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod change;
#[cfg(all(feature = "program", feature = "internals"))]
pub mod check;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod check;
#[cfg(all(feature = "program", feature = "internals"))]
pub mod cli;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod cli;
#[cfg(all(feature = "program", feature = "internals"))]
pub mod comparison;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod comparison;
#[cfg(feature = "internals")]
pub mod digest;
#[cfg(not(feature = "internals"))]
mod digest;
#[cfg(all(feature = "program", feature = "internals"))]
pub mod doctor;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod doctor;
mod door;
#[cfg(feature = "internals")]
pub mod edit;
#[cfg(not(feature = "internals"))]
mod edit;
#[cfg(feature = "internals")]
pub mod error;
#[cfg(not(feature = "internals"))]
mod error;
#[cfg(feature = "internals")]
pub mod escape;
#[cfg(not(feature = "internals"))]
mod escape;
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod guard;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod guard;
#[cfg(feature = "internals")]
pub mod kernel;
#[cfg(not(feature = "internals"))]
mod kernel;
#[cfg(all(feature = "lab", feature = "internals"))]
pub mod lab;
#[cfg(all(feature = "lab", not(feature = "internals")))]
mod lab;
#[cfg(feature = "internals")]
pub mod module;
#[cfg(not(feature = "internals"))]
mod module;
#[cfg(feature = "internals")]
pub mod parallel;
#[cfg(not(feature = "internals"))]
mod parallel;
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod patch;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod patch;
#[cfg(feature = "internals")]
pub mod predict;
#[cfg(not(feature = "internals"))]
mod predict;
mod predict_file;
mod private_folder;
#[cfg(all(feature = "report", feature = "internals"))]
pub mod report;
#[cfg(all(feature = "report", not(feature = "internals")))]
mod report;
#[cfg(all(feature = "program", feature = "internals"))]
pub mod scan;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod scan;
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod selection;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod selection;
#[cfg(feature = "patch")]
mod spill;
#[cfg(feature = "internals")]
pub mod text;
#[cfg(not(feature = "internals"))]
mod text;
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod vault;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod vault;
#[cfg(feature = "internals")]
pub mod vermagic;
#[cfg(not(feature = "internals"))]
mod vermagic;
#[cfg(feature = "internals")]
pub mod walk;
#[cfg(not(feature = "internals"))]
mod walk;

/// The program: runs the command that this process was started with. Not part of the library; `src/main.rs` calls it.
#[cfg(feature = "program")]
#[doc(hidden)]
pub use cli::program;

#[cfg(feature = "patch")]
pub use change::{
    Applied, Confirmable, Confirmation, Confirmed, Proposal, Refused, Restore, Restored, Review, Reviewed, Unconfirmed,
};
pub use digest::{ParseSha256Error, Sha256};
#[cfg(feature = "patch")]
pub use edit::Edit;
pub use error::{Error, ErrorKind, Remedy, Result};
#[cfg(feature = "patch")]
pub use guard::machine::Machine;
#[cfg(feature = "patch")]
pub use guard::{Guard, GuardAnswer, LiftedBy, Override, Overrides, Reason, Ruling};
pub use kernel::{Kernel, KernelName, Lookup, NoVermagic, Origin};
pub use module::Module;
pub use module::container::Container;
#[cfg(feature = "patch")]
pub use patch::{Mark, Mode, Modversions, Plan, Request, Signature, Versioned, Wish};
pub use predict::danger::Danger;
pub use predict::{
    Candidate, Decision, Finding, Force, LoadOptions, Loader, LoaderStep, PatchHelps, PatchMode, PatchPrediction,
    StepResult, Verdict, predict,
};
pub use predict_file::predict_file;
#[cfg(feature = "patch")]
pub use vault::obstacle::Obstacle;
#[cfg(feature = "patch")]
pub use vault::record::JournalEntry;
#[cfg(feature = "patch")]
pub use vault::{Vault, Writer};
pub use vermagic::{Token, TokenKind, Vermagic};
