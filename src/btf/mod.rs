//! BTF: the types of a kernel or a module, which the build stores in the section `.BTF`. Pure.
//!
//! [`Btf::parse`] reads a kernel's BTF, [`Btf::parse_split`] a module's, whose types and strings continue those of its kernel.
//! Types are read in place, without copying. [`members`] lists the members of structures, [`validity`] checks a module's BTF as
//! a kernel does, [`relocation`] does so for a module with a base of its own.
//!
//! Source: include/uapi/linux/btf.h, 5.10 to 7.2. In 7.2 the kind of a type has seven bits and `vlen` has 24; before that they
//! had five and 16 bits, and the bits between them were zero, so one reader handles both.

pub(crate) mod log;
pub mod members;
pub mod relocation;
mod types;
pub mod validity;

pub use log::Rejection;
pub use types::Btf;
