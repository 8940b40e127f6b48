//! The fixtures are what their generator makes, and `SHA256SUMS` names them all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::make;

/// How to proceed if one of these tests fails because of an intended change.
const HINT: &str = "see `cargo run --example fixtures`";

#[test]
fn the_generator_makes_exactly_the_committed_files() -> Result<()> {
    let files = make::generate()?;
    assert_eq!(make::differing(&files), Vec::<PathBuf>::new(), "not as generated, {HINT}");
    assert_eq!(make::strays(&files)?, Vec::<PathBuf>::new(), "not generated, {HINT}");
    Ok(())
}

#[test]
fn the_sums_are_those_of_the_committed_files() -> Result<()> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in make::FOLDERS {
        for entry in fs::read_dir(make::root().join(folder))? {
            paths.push(Path::new(folder).join(entry?.file_name()));
        }
    }
    paths.sort();
    let mut sums = String::new();
    for path in &paths {
        sums += &make::sum_line(path, &fs::read(make::root().join(path))?);
    }
    assert_eq!(fs::read_to_string(make::root().join(make::SUMS))?, sums, "{HINT}");
    Ok(())
}
