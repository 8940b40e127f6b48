//! A file that exists only in memory, for readers that take a path.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};

use rustix::fs::MemfdFlags;

/// The path of a file with these bytes. The next call replaces them.
pub(crate) fn of(bytes: &[u8]) -> PathBuf {
    static FILE: LazyLock<Mutex<File>> = LazyLock::new(|| {
        Mutex::new(rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("memory is to be had").into())
    });
    let mut file = FILE.lock().expect("a panic before this one ended the process");
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(bytes)).expect("memory is writable");
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}
