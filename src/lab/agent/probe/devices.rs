//! Character devices: can they be opened and read?

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::lab::agent::probe::notes::{ProbeNotes, words};

/// The device nodes of character devices below /dev.
pub(super) fn nodes() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    gather(Path::new("/dev"), &mut found);
    found
}

fn gather(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => gather(&entry.path(), found),
            Ok(kind) if kind.is_char_device() => {
                found.insert(entry.path());
            }
            _ => {}
        }
    }
}

/// Opens the device and reads a few bytes, without blocking.
pub(super) fn use_one(path: &Path, seen: &mut ProbeNotes) {
    let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY).bits() as i32;
    let options = || {
        let mut options = File::options();
        options.read(true).custom_flags(flags);
        options
    };
    // A watchdog, for example, is write-only.
    let opened =
        options().write(true).open(path).or_else(|_| File::options().write(true).custom_flags(flags).open(path));
    let opened = opened.or_else(|_| options().open(path));
    let what = path.display();
    match opened {
        Err(e) => seen.note(format!("{what} is opened"), words(&e)),
        Ok(mut file) => {
            seen.note(format!("{what} is opened"), "ok");
            let mut bytes = [0; 16];
            let read = file.read(&mut bytes).map_or_else(|e| words(&e), |read| format!("{read} bytes"));
            seen.note(format!("{what} is read"), read);
        }
    }
}
