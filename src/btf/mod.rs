//! BTF: the types of a kernel or a module, as its build left them in the section `.BTF`. Pure.
//!
//! [`Btf::parse`] reads a kernel's, [`Btf::parse_split`] a module's, whose types and strings continue those of
//! its kernel. Nothing is copied: types are read in place. [`members`] lists the members of structures, [`validity`] checks
//! a module's BTF as a kernel does, [`relocation`] does so for a module with a base of its own.
//!
//! Source: include/uapi/linux/btf.h, 5.10 to 7.2. In 7.2 the kind of a type has seven bits and its number of parts 24;
//! before that five and 16, and the bits between were zero, so that one reading serves both.

mod log;
pub mod members;
pub mod relocation;
mod types;
pub mod validity;

pub use log::Rejection;
pub use types::Btf;
