//! The kernel's log, read from /dev/kmsg (Documentation/ABI/testing/dev-kmsg).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::lab::record::Phase;
use crate::lab::wire::PHASE_MARK;

/// The most lines that are sent per phase: its first and its last ones, half of the limit each.
const MOST_LINES: usize = 400;

pub(super) struct KernelLog {
    file: File,
}

impl KernelLog {
    pub(super) fn open() -> Result<KernelLog, String> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg");
        Ok(KernelLog { file: file.map_err(|e| format!("/dev/kmsg: {e}"))? })
    }

    /// The lines since the last call.
    pub(super) fn read(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(read) if read > 0 => lines.extend(lines_of(record.get(..read).unwrap_or_default())),
                // Records were overwritten before they were read; the next read continues with the oldest one left.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                _ => break,
            }
            if lines.len() > 2 * MOST_LINES {
                lines.drain(MOST_LINES..lines.len() - MOST_LINES / 2);
            }
        }
        lines.retain(|line| !line.starts_with(PHASE_MARK));
        if let Some(surplus) = lines.len().checked_sub(MOST_LINES).filter(|surplus| *surplus > 0) {
            let half = MOST_LINES / 2;
            lines.splice(half..half + surplus, [format!("[kmodlab: {surplus} lines left out]")]);
        }
        lines
    }

    /// Marks the beginning of a phase in the log, and so on the console.
    pub(super) fn mark(phase: Phase) {
        // Priority 6 is informational.
        let _ = std::fs::write("/dev/kmsg", format!("<6>{PHASE_MARK}{}", phase.name()));
    }
}

/// The lines of a record, `priority,sequence,time,flags;text\n KEY=value\n`. Unprintable bytes of the text are escaped as
/// \xNN. A message may have several lines.
fn lines_of(record: &[u8]) -> Vec<String> {
    let Some(at) = record.iter().position(|byte| *byte == b';') else { return Vec::new() };
    let text = record.get(at + 1..).unwrap_or_default();
    let text = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let digits = (*first == b'\\').then(|| behind.strip_prefix(b"x")?.get(..2)).flatten();
        match digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).split('\n').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_its_lines() {
        let record = b"6,339,5140900,-;one\\x09tab\\x0atwo \\ \\xzz\n SUBSYSTEM=acpi\n";
        assert_eq!(lines_of(record), ["one\ttab", "two \\ \\xzz"]);
        assert_eq!(lines_of(b"no record"), [] as [&str; 0]);
        assert_eq!(lines_of(b"6,1,2,-;\\x4"), ["\\x4"]);
    }
}
