//! The log of the running kernel, from /dev/kmsg (Documentation/ABI/testing/dev-kmsg), and its version line.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use crate::error::{Error, Result};

/// Reads the lines of the log, after the kernel's version line.
///
/// # Errors
///
/// Those of opening /dev/kmsg: most systems allow it only to root. Those of `each`, which end it.
pub(super) fn log(each: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    each(std::fs::read_to_string("/proc/version").unwrap_or_default().trim_end())?;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg");
    let mut file = file.map_err(|e| {
        Error::io("reading the kernel's log", e)
            .on("/dev/kmsg")
            .hint("run it as root, or pipe what dmesg prints into it")
    })?;
    let mut record = [0; 8192];
    loop {
        match file.read(&mut record) {
            Ok(read) if read > 0 => {
                // `priority,sequence,time,flags;text`, then lines of properties.
                let record = String::from_utf8_lossy(record.get(..read).unwrap_or_default());
                let line = record.split_once(';').map_or("", |(_, text)| text);
                each(line.lines().next().unwrap_or_default())?;
            }
            // Records were overwritten before they were read; the next read continues with the oldest one left.
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            _ => return Ok(()),
        }
    }
}
