//! The lab: loads a module in a temporary virtual machine, unchanged, forced and patched, and records what happens.

pub mod acceleration;
pub mod agent;
pub mod agreement;
pub mod conditions;
pub mod console;
mod cpio;
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
