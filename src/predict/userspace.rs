//! The messages of the programs that load modules, by errno.

use std::borrow::Cow;

use serde::Serialize;

use crate::predict::errno::*;

/// The messages of kmod's and busybox's insmod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Userspace {
    /// `insmod` of kmod (tools/insmod.c, kmod 30; strerror(3) for an errno without a message of its own).
    pub kmod: Option<&'static str>,
    /// `insmod` of busybox (modutils/modutils.c, `moderror`).
    pub busybox: Option<&'static str>,
}

impl Userspace {
    /// The messages for an errno.
    pub fn of(errno: Option<i32>) -> Userspace {
        let (kmod, busybox) = match errno {
            Some(EPERM) => ("Operation not permitted", "Operation not permitted"),
            Some(ENOENT) => ("Unknown symbol in module", "unknown symbol in module, or unknown parameter"),
            Some(ENOEXEC) => ("Invalid module format", "invalid module format"),
            Some(ENOMEM) => ("Cannot allocate memory", "Cannot allocate memory"),
            Some(EACCES) => ("Permission denied", "Permission denied"),
            Some(EEXIST) => ("File exists", "File exists"),
            Some(EINVAL) => ("Invalid parameters", "Invalid argument"),
            Some(ENOSYS) => ("Function not implemented", "Function not implemented"),
            Some(ENOPKG) => ("Package not installed", "Package not installed"),
            Some(EBADMSG) => ("Bad message", "Bad message"),
            Some(EOPNOTSUPP) => ("Operation not supported", "Operation not supported"),
            Some(ENOKEY) => ("Required key not available", "Required key not available"),
            Some(EKEYREJECTED) => ("Key was rejected by service", "Key was rejected by service"),
            _ => return Userspace::default(),
        };
        Userspace { kmod: Some(kmod), busybox: Some(busybox) }
    }
}

/// The name of an errno: "ENOEXEC"; "errno 4095" if no name is known here.
pub fn errno_name(errno: i32) -> Cow<'static, str> {
    known(errno).map_or_else(|| format!("errno {errno}").into(), Cow::Borrowed)
}

/// An errno with its name: "ENOEXEC (8)", "errno 4095".
pub fn errno_words(errno: i32) -> String {
    known(errno).map_or_else(|| format!("errno {errno}"), |name| format!("{name} ({errno})"))
}

/// The names (include/uapi/asm-generic/errno-base.h and errno.h) of the errnos that the loader returns, and of those that
/// modules' init functions and their callers often return.
fn known(errno: i32) -> Option<&'static str> {
    Some(match errno {
        EPERM => "EPERM",
        ENOENT => "ENOENT",
        ENOEXEC => "ENOEXEC",
        ENOMEM => "ENOMEM",
        EACCES => "EACCES",
        EEXIST => "EEXIST",
        EINVAL => "EINVAL",
        ENOSYS => "ENOSYS",
        ENOPKG => "ENOPKG",
        EBADMSG => "EBADMSG",
        EOPNOTSUPP => "EOPNOTSUPP",
        ENOKEY => "ENOKEY",
        EKEYREJECTED => "EKEYREJECTED",
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        9 => "EBADF",
        11 => "EAGAIN",
        14 => "EFAULT",
        15 => "ENOTBLK",
        16 => "EBUSY",
        18 => "EXDEV",
        19 => "ENODEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        25 => "ENOTTY",
        27 => "EFBIG",
        28 => "ENOSPC",
        29 => "ESPIPE",
        30 => "EROFS",
        32 => "EPIPE",
        34 => "ERANGE",
        35 => "EDEADLK",
        61 => "ENODATA",
        71 => "EPROTO",
        77 => "EBADFD",
        97 => "EAFNOSUPPORT",
        98 => "EADDRINUSE",
        99 => "EADDRNOTAVAIL",
        100 => "ENETDOWN",
        101 => "ENETUNREACH",
        105 => "ENOBUFS",
        107 => "ENOTCONN",
        110 => "ETIMEDOUT",
        113 => "EHOSTUNREACH",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_is_named_where_it_is_known() {
        assert_eq!([8, 3, 4095].map(errno_name), ["ENOEXEC", "ESRCH", "errno 4095"]);
        assert_eq!([8, 4095, i32::MIN].map(errno_words), ["ENOEXEC (8)", "errno 4095", "errno -2147483648"]);
    }
}
