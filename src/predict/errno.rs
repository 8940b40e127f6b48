//! Errno values, as Linux numbers them on all architectures except alpha, mips, parisc and sparc (asm-generic/errno.h).

/// Operation not permitted.
pub const EPERM: i32 = 1;
/// A symbol that neither the kernel nor a module exports.
pub const ENOENT: i32 = 2;
/// The error of most refusals.
pub const ENOEXEC: i32 = 8;
/// No memory for a module of this size.
pub const ENOMEM: i32 = 12;
/// A security module refuses it.
pub const EACCES: i32 = 13;
/// A module of this name is loaded.
pub const EEXIST: i32 = 17;
/// A symbol that exists, with another CRC.
pub const EINVAL: i32 = 22;
/// A system call that the kernel was built without.
pub const ENOSYS: i32 = 38;
/// Cryptography that the kernel lacks.
pub const ENOPKG: i32 = 65;
/// A signature that can't be read.
pub const EBADMSG: i32 = 74;
/// Something that the kernel was not built for.
pub const EOPNOTSUPP: i32 = 95;
/// No such key (kernels up to 4.20 that require signatures).
pub const ENOKEY: i32 = 126;
/// A signature that does not match, or none where one is required.
pub const EKEYREJECTED: i32 = 129;
