//! Errno values, as Linux numbers them on all architectures except alpha, mips, parisc and sparc (asm-generic/errno.h).

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// Neither the kernel nor a module exports the symbol.
pub const ENOENT: i32 = 2;
/// The errno of most refusals.
pub const ENOEXEC: i32 = 8;
/// There is no memory for a module of this size.
pub const ENOMEM: i32 = 12;
/// A security module refuses the module.
pub const EACCES: i32 = 13;
/// A module of this name is already loaded.
pub const EEXIST: i32 = 17;
/// The symbol exists, but has another CRC.
pub const EINVAL: i32 = 22;
/// The kernel was built without this system call.
pub const ENOSYS: i32 = 38;
/// The kernel lacks a cryptographic algorithm.
pub const ENOPKG: i32 = 65;
/// A signature cannot be parsed.
pub const EBADMSG: i32 = 74;
/// The kernel was built without the required support.
pub const EOPNOTSUPP: i32 = 95;
/// No such key (kernels up to 4.20 that require signatures).
pub const ENOKEY: i32 = 126;
/// The signature does not match, or is missing where one is required.
pub const EKEYREJECTED: i32 = 129;
