//! The lab: loads a module in a temporary virtual machine, unchanged, forced and patched, and records what happens.
//!
//! A guest's console says whether its kernel survived:
//!
//! ```
//! use kmodlab::lab::{console, record::CrashKind};
//!
//! let log = "[    1.203456] hello: loading\n[    1.204567] BUG: unable to handle page fault for address: ffffffffc0401234\n";
//! let reading = console::read(log);
//! assert_eq!(reading.crash.unwrap().kind, CrashKind::Oops);
//! assert_eq!(console::read("[    1.203456] hello: loading\n").crash, None);
//! ```

pub mod acceleration;
pub mod agent;
pub mod agreement;
pub mod conditions;
pub mod console;
mod cpio;
pub mod demo;
pub mod distribution;
pub mod experiment;
mod fat;
pub mod guest;
pub mod initramfs;
pub mod launcher;
pub mod machine_type;
pub mod matrix;
pub mod outcome;
pub mod patched;
mod qemu;
pub mod record;
pub mod spec;
pub mod store;
pub mod subject;
pub mod tally;
pub mod target;
mod temporary_folder;
pub mod wire;
