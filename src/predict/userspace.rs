//! What the programs that load modules say to an errno.

use serde::Serialize;

use crate::predict::errno::*;

/// The words of kmod's insmod and of busybox's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Userspace {
    /// `insmod` of kmod (tools/insmod.c, kmod 30; strerror(3) for what it has no words for).
    pub kmod: Option<&'static str>,
    /// `insmod` of busybox (modutils/modutils.c, `moderror`).
    pub busybox: Option<&'static str>,
}

impl Userspace {
    /// The words for an errno.
    pub fn of(errno: Option<i32>) -> Userspace {
        let (kmod, busybox) = match errno {
            Some(EPERM) => ("Operation not permitted", "Operation not permitted"),
            Some(ENOENT) => ("Unknown symbol in module", "unknown symbol in module, or unknown parameter"),
            Some(ENOEXEC) => ("Invalid module format", "invalid module format"),
            Some(EEXIST) => ("File exists", "File exists"),
            Some(EINVAL) => ("Invalid parameters", "Invalid argument"),
            Some(ENOPKG) => ("Package not installed", "Package not installed"),
            Some(EBADMSG) => ("Bad message", "Bad message"),
            Some(ENOKEY) => ("Required key not available", "Required key not available"),
            Some(EKEYREJECTED) => ("Key was rejected by service", "Key was rejected by service"),
            _ => return Userspace::default(),
        };
        Userspace { kmod: Some(kmod), busybox: Some(busybox) }
    }
}

/// The name of an errno that the loader gives.
pub fn errno_name(errno: i32) -> &'static str {
    match errno {
        EPERM => "EPERM",
        ENOENT => "ENOENT",
        ENOEXEC => "ENOEXEC",
        EEXIST => "EEXIST",
        EINVAL => "EINVAL",
        ENOPKG => "ENOPKG",
        EBADMSG => "EBADMSG",
        ENOKEY => "ENOKEY",
        EKEYREJECTED => "EKEYREJECTED",
        _ => "an error",
    }
}
