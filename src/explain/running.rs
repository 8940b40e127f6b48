//! The log of the running kernel, from /dev/kmsg (Documentation/ABI/testing/dev-kmsg), and its version line.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::{Error, Result};

/// The most bytes that are kept of the log; the kernel's own buffer is smaller.
const MOST: usize = 32 << 20;

/// The lines of the log, after the kernel's version line.
///
/// # Errors
///
/// Those of opening /dev/kmsg: most systems allow it only to root.
pub fn log() -> Result<String> {
    let mut text = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg");
    let mut file = file.map_err(|e| {
        Error::io("reading the kernel's log", e)
            .on("/dev/kmsg")
            .hint("run it as root, or pipe what dmesg prints into it")
    })?;
    let mut record = [0; 8192];
    while text.len() < MOST {
        match file.read(&mut record) {
            Ok(read) if read > 0 => {
                // `priority,sequence,time,flags;text`, then lines of properties.
                let record = String::from_utf8_lossy(record.get(..read).unwrap_or_default());
                let line = record.split_once(';').map_or("", |(_, text)| text);
                text.push_str(line.lines().next().unwrap_or_default());
                text.push('\n');
            }
            // Records were overwritten before they were read; the next read continues with the oldest one left.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    Ok(text)
}
