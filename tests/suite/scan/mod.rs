//! Promise: `scan` shows for each of very many modules what `show` shows, quickly, in order, and with bounded memory.

pub(crate) mod full_reader;
mod many;
pub(crate) mod summaries;

use std::path::{Path, PathBuf};

/// The files in a folder of fixtures, sorted.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}
