//! The throwaway virtual machine: a module is loaded in it, as it is, forced and patched, and what happens is recorded.

pub mod acceleration;
pub mod agent;
pub mod agreement;
pub mod board;
pub mod console;
mod cpio;
pub mod distribution;
mod engine;
pub mod experiment;
mod fat;
mod folder;
pub mod guest;
pub mod initramfs;
pub mod launcher;
pub mod outcome;
pub mod record;
pub mod specimen;
pub mod store;
pub mod wire;
