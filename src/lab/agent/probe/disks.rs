//! Block devices: their size, and whether they return the data that was written.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use crate::lab::agent::probe::notes::{ProbeNotes, outcome, read_little, words};

/// The number of bytes written and read: a page.
const BYTES: usize = 4096;

pub(super) fn use_one(name: &str, seen: &mut ProbeNotes) {
    let sectors = read_little(format!("/sys/block/{name}/size").as_ref());
    seen.note(format!("{name} has"), format!("{sectors} sectors"));
    if sectors == "0" {
        return;
    }
    let path = format!("/dev/{name}");
    let pattern: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
    seen.note(format!("{name} is written"), outcome(write(&path, &pattern)));
    // The data may still be in the page cache; after dropping that, it is read from the device.
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
    let read = read(&path);
    let how = match &read {
        Ok(bytes) if *bytes == pattern => "what was written".to_owned(),
        Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => "zeros".to_owned(),
        Ok(_) => "something else".to_owned(),
        Err(e) => words(e),
    };
    seen.note(format!("{name} gives back"), how);
}

fn write(path: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = vec![0; BYTES];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}
