//! The throwaway virtual machine: a module is loaded in it, as it is, forced and patched, and what happens is recorded.

pub mod acceleration;
pub mod agent;
pub mod agreement;
pub mod console;
mod cpio;
pub mod distribution;
pub mod experiment;
mod fat;
pub mod guest;
pub mod initramfs;
pub mod launcher;
pub mod machine_type;
pub mod outcome;
mod qemu;
pub mod record;
pub mod store;
pub mod subject;
mod temporary_folder;
pub mod wire;
