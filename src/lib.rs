//! kmodlab inspects Linux kernel modules, predicts what a kernel's loader answers to them, rewrites their version magic for
//! lab use, and restores them byte for byte.
//!
//! # Read a module, ask a kernel
//!
//! [`Module`] is what a module file says. [`Kernel`] is what is known about a kernel, each fact with its [`Origin`]; a
//! [`KernelName`] names it: `running`, an image, a module tree, a package, one of its modules, or `vermagic:STRING`.
//! [`predict_file`] gives the [`Verdict`]: the [`Decision`], errno, log lines, taint, and a [`Finding`] per loader step.
//!
//! ```
//! use kmodlab::{Decision, Kernel, LoadOptions, LoaderStep, Lookup, Module, predict_file};
//!
//! let file = "fixtures/modules/hello-4.ko.zst".as_ref();
//! let module = Module::open(file)?;
//! assert_eq!(module.vermagic().unwrap().as_bytes(), b"6.1.0-47-amd64 SMP preempt mod_unload modversions ");
//!
//! let kernel = Kernel::read(&"fixtures/packages/linux-image-6.1.0-1-kmodlab_6.1.0+1-1_amd64.deb".into(), &Lookup::default())?;
//! let verdict = predict_file(file, &kernel, &LoadOptions::default())?;
//! assert_eq!((verdict.answer, verdict.stage), (Decision::Refused, Some(LoaderStep::ModuleLayout)));
//! # Ok::<(), kmodlab::Error>(())
//! ```
//!
//! # Patch and restore
//!
//! There is one way to write a file. A [`Proposal`] (module, [`Request`], kernel, [`Machine`]) has a [`Plan`]; the guards
//! review it; a person confirms it; and a [`Writer`], which exists only with the lock on the state folder and after recovery,
//! applies it. A refused or unconfirmed proposal has no method that writes. Forcing a module into a kernel is unsafe: read
//! SAFETY.md first.
//!
//! ```
//! # #[cfg(feature = "patch")] {
//! use kmodlab::{Confirmable, Machine, Overrides, Proposal, Request, Restore, Signature, Vault, NewVermagic};
//! # let folder = tempfile::tempdir().unwrap();
//! # let module = folder.path().canonicalize().unwrap().join("hello-4.ko");
//! # std::fs::copy("fixtures/modules/hello-4.ko", &module).unwrap();
//! # let state = folder.path().join("state");
//!
//! let vault = Vault::at(state);
//! let machine = Machine::here(Some(&vault));
//! let request = Request::new(NewVermagic::Rewrite(b"6.1.0-99-amd64 SMP preempt mod_unload modversions ".to_vec()), Signature::Refuse);
//! let proposal = Proposal::make(&module, None, &request, None, &machine)?;
//! let reviewed = proposal.review(Overrides::none()).map_err(|refused| kmodlab::Error::from(&*refused))?;
//! let confirmed = reviewed.confirm_name("hello_4")?;
//!
//! let mut writer = vault.writer()?;
//! confirmed.apply(&mut writer)?;
//! Restore::plan(&vault, &module)?.without_discarding()?.apply(&mut writer)?;
//! # assert_eq!(std::fs::read(&module).unwrap(), std::fs::read("fixtures/modules/hello-4.ko").unwrap());
//! # }
//! # Ok::<(), kmodlab::Error>(())
//! ```
//!
//! # Features
//!
//! Without default features, the crate reads modules and kernels and predicts verdicts. `patch` adds plans, guards and the
//! vault; `packages` reads kernels in packages; `sign` verifies and makes signatures; `cache` and `parallel` make large sources
//! faster; `tree`, `lab`, `report` and `program` are parts of the program, which is the default.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]
// Every type in the public interface has a name there.
#![cfg_attr(not(feature = "internals"), warn(unnameable_types))]
// Items that only tests use, or only some features, are dead without them.
#![cfg_attr(not(all(feature = "program", feature = "internals")), allow(dead_code, unused_imports, unreachable_pub))]

#[cfg(all(feature = "patch", feature = "internals"))]
pub mod against;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod against;
#[cfg(feature = "internals")]
pub mod btf;
#[cfg(not(feature = "internals"))]
mod btf;
#[cfg(feature = "internals")]
pub mod budget;
#[cfg(not(feature = "internals"))]
mod budget;
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
#[cfg(all(feature = "patch", feature = "internals"))]
pub mod comparison;
#[cfg(all(feature = "patch", not(feature = "internals")))]
mod comparison;
#[cfg(feature = "program")]
mod demo;
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
#[cfg(all(feature = "program", feature = "internals"))]
pub mod explain;
#[cfg(all(feature = "program", not(feature = "internals")))]
mod explain;
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
#[cfg(feature = "program")]
mod progress;
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
pub mod template;
#[cfg(not(feature = "internals"))]
mod template;
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
mod wildcard;

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
pub use patch::{Mark, Mode, Modversions, NewVermagic, Plan, Request, Signature, Versioned};
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
pub use vault::recovered::Recovered;
#[cfg(feature = "patch")]
pub use vault::{Vault, Writer};
pub use vermagic::{Token, TokenKind, Vermagic};
