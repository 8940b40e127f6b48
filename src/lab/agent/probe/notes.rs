//! The results of a probe, and how operations are described in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::lab::record::ProbeResult;
use crate::predict::errno_name;

/// The most objects of a kind that are used: some modules create dozens of devices.
pub(super) const MOST: usize = 4;

/// The folder for the probe's files. The rest of the guest's root file system holds what the initramfs brought,
/// including /tmp.
pub(crate) const SCRATCH: &str = "/kmodlab";

/// The results, in the order of the checks.
#[derive(Default)]
pub(super) struct ProbeNotes(pub(super) Vec<ProbeResult>);

impl ProbeNotes {
    pub(super) fn note(&mut self, what: impl Into<String>, how: impl Into<String>) {
        self.0.push(ProbeResult { what: what.into(), how: how.into() });
    }

    /// Notes a list, unless it is empty.
    pub(super) fn list(&mut self, what: &str, items: &[impl AsRef<str>]) {
        if !items.is_empty() {
            let shown: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
            self.note(format!("new {what}"), shown.join(" "));
        }
    }
}

pub(super) fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The first line of a file, or the reason why it cannot be read.
pub(super) fn read_little(path: &Path) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(120).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).lines().next().unwrap_or("empty").to_owned(),
        Err(e) => words(&e),
    }
}

/// The kernel's name for an errno.
pub(super) fn errno(number: i32) -> String {
    errno_name(number).into_owned()
}

/// The result of an operation.
pub(super) fn outcome<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|e| words(&e), |_| "ok".to_owned())
}

pub(super) fn words(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.kind().to_string(), errno)
}
