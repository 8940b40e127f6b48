//! The throwaway virtual machine: a module is loaded in it, as it is, forced and patched, and what happens is recorded.

pub mod console;
pub mod record;
