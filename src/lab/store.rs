//! The file of cells: JSON Lines, one cell each, only ever appended to. So an interrupted run loses no more than the line
//! that it was writing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::lab::record::{Cell, SCHEMA_VERSION};

/// The name of the file in a folder.
pub const FILE: &str = "cells.jsonl";

/// Cells that were read.
#[derive(Debug, Default)]
pub struct Stored {
    /// In the order of the file; of the same question the last one.
    pub cells: Vec<Cell>,
    /// Was the last line cut, as an interrupted run leaves it? It is left out.
    pub is_cut: bool,
}

/// The file that is meant by a path: itself, or the one in this folder.
pub fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// Reads cells.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`], or [`ErrorKind::Damaged`] with the number of the line that is none.
pub fn read(path: &Path) -> Result<Stored> {
    let path = file_of(path);
    let bytes = std::fs::read(&path).map_err(|e| Error::io("reading", e).on(&path))?;
    let mut stored = Stored { cells: Vec::new(), is_cut: false };
    let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    let count = bytes.split(|byte| *byte == b'\n').count();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        let damaged = |what: String| Error::new(ErrorKind::Damaged, format!("line {}: {what}", number + 1)).on(&path);
        let cell: Cell = match serde_json::from_slice(line) {
            Ok(cell) => cell,
            // Every whole line ends with a newline.
            Err(_) if number + 1 == count => {
                stored.is_cut = true;
                break;
            }
            Err(e) => return Err(damaged(format!("no cell: {e}"))),
        };
        if cell.schema_version != SCHEMA_VERSION {
            return Err(damaged(format!("a cell of form {}, and {SCHEMA_VERSION} is read here", cell.schema_version)));
        }
        match places.get(&cell.id).and_then(|place| stored.cells.get_mut(*place)) {
            Some(known) => *known = cell,
            None => {
                places.insert(cell.id.clone(), stored.cells.len());
                stored.cells.push(cell);
            }
        }
    }
    Ok(stored)
}

/// A file of cells that is written to.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens it; what is there stays. A cut last line is closed, so that the next one is whole.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn open(path: &Path, is_cut: bool) -> Result<Writer> {
        let io = |e| Error::io("opening", e).on(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("making a folder", e).on(folder))?;
        }
        let file = File::options().create(true).read(true).append(true).open(path).map_err(io)?;
        if is_cut {
            let bytes = std::fs::read(path).map_err(io)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            file.set_len(whole as u64).map_err(io)?;
        }
        Ok(Writer { file, path: path.to_owned() })
    }

    /// Adds a cell.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn add(&mut self, cell: &Cell) -> Result<()> {
        let mut line = serde_json::to_vec(cell).map_err(|e| Error::io("writing", std::io::Error::from(e)))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| Error::io("writing", e).on(&self.path))
    }
}
