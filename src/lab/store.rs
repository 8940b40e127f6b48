//! The file of cells: JSON Lines, one cell each, only ever appended to. So an interrupted run loses no more than the line
//! that it was writing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::lab::record::{Cell, SCHEMA_VERSION};
use crate::module::file::open_text;

/// The name of the file in a folder.
pub const FILE: &str = "cells.jsonl";

/// Cells that were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored {
    /// In the order of their lines.
    pub cells: Vec<Cell>,
    /// Was the last line cut, as an interrupted run leaves it? It is left out.
    pub is_cut: bool,
}

/// The most bytes of a file of cells that are read. A cell has some ten KiB.
pub const MOST_BYTES: u64 = 1 << 30;

/// The file that is meant by a path: itself, or the one in this folder.
pub fn file_of(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE) } else { path.to_owned() }
}

/// Reads the cells of a file, or of the one in a folder.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`], [`ErrorKind::Usage`] for a FIFO or a device, [`ErrorKind::TooLarge`] for more than
/// [`MOST_BYTES`], and those of [`parse`].
pub fn read(path: &Path) -> Result<Stored> {
    let path = file_of(path);
    let file = open_text(&path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let error = Error::new(ErrorKind::NotFound, "no such file");
            error.hint("name what try or matrix recorded: a cells.jsonl, or its folder").on(&path)
        }
        _ => e.hint("name a file"),
    })?;
    let bytes = read_at_most(file, MOST_BYTES).map_err(|e| e.on(&path))?;
    parse(&bytes).map_err(|e| e.on(&path))
}

fn read_at_most(stream: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
    if bytes.len() as u64 > most {
        let what = format!("more than {most} bytes, which is more than try and matrix record");
        return Err(Error::new(ErrorKind::TooLarge, what).hint("split it, and name the parts"));
    }
    Ok(bytes)
}

/// Reads the bytes of such a file. Empty lines mean nothing.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] for a line that is no cell, [`ErrorKind::Unsupported`] for one of another form; both name the
/// line, counted from 1. A last line without its line feed is no error.
pub fn parse(bytes: &[u8]) -> Result<Stored> {
    let mut stored = Stored::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match cell(line.trim_ascii_end()) {
            Ok(cell) => stored.cells.push(cell),
            Err(Fault::OtherForm(form)) => {
                let what = format!("line {number}: a record of form {form}; this version knows form {SCHEMA_VERSION}");
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Err(Fault::NoCell(_)) if !line.ends_with(b"\n") => stored.is_cut = true,
            Err(Fault::NoCell(why)) => {
                let what = format!("line {number}: no record of a cell: {why}");
                return Err(Error::new(ErrorKind::Damaged, what));
            }
        }
    }
    Ok(stored)
}

/// The cells without those that a later one of the same id replaces; in the order in which the ids first came.
pub fn latest(cells: &[Cell]) -> Vec<&Cell> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(cells.len());
    let mut latest: Vec<&Cell> = Vec::with_capacity(cells.len());
    for cell in cells {
        let place = *places.entry(&cell.id).or_insert(latest.len());
        match latest.get_mut(place) {
            Some(earlier) => *earlier = cell,
            None => latest.push(cell),
        }
    }
    latest
}

enum Fault {
    OtherForm(u32),
    NoCell(String),
}

fn cell(line: &[u8]) -> Result<Cell, Fault> {
    #[derive(Deserialize)]
    struct Form {
        schema_version: u32,
    }
    let form = || serde_json::from_slice::<Form>(line).ok().map(|form| form.schema_version);
    match serde_json::from_slice::<Cell>(line) {
        Ok(cell) if cell.schema_version == SCHEMA_VERSION => Ok(cell),
        Ok(cell) => Err(Fault::OtherForm(cell.schema_version)),
        Err(error) => Err(match form().filter(|form| *form != SCHEMA_VERSION) {
            Some(form) => Fault::OtherForm(form),
            // The reader counts each line as its first, which would be said beside the true number.
            None => Fault::NoCell(error.to_string().replace(" at line 1 column ", " at column ")),
        }),
    }
}

/// A file of cells that is written to.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
}

impl Writer {
    /// Opens it; what is there stays, but for a cut last line, as [`Stored::is_cut`] says that there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn open(path: &Path, is_cut: bool) -> Result<Writer> {
        let io = |e| Error::io("opening", e).on(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("making a folder", e).on(folder))?;
        }
        let mut file = File::options().create(true).read(true).append(true).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        if is_cut {
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            file.set_len(whole as u64).map_err(io)?;
        } else if bytes.last().is_some_and(|byte| *byte != b'\n') {
            // A last line that lacks nothing but its line feed.
            file.write_all(b"\n").map_err(io)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::example::cell as a_cell;

    #[test]
    fn a_file_that_never_ends_is_read_to_a_bound() {
        assert_eq!(read_at_most(std::io::repeat(b'\n'), 100).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(read_at_most([b'x'; 100].as_slice(), 100).unwrap().len(), 100);
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: not a regular file; name a file");
    }

    #[test]
    fn a_line_that_is_no_cell_is_named() {
        let error = parse(b"\n{\"schema_version\":1}\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: no record of a cell: missing field `id` at column 20");
    }

    #[test]
    fn the_place_in_a_line_is_one_that_an_editor_shows() {
        let error = parse(b"{\n").unwrap_err();
        assert_eq!(error.what(), "line 1: no record of a cell: EOF while parsing an object at column 1");
    }

    #[test]
    fn a_record_of_another_form_is_told_as_such() {
        let error = parse(b"{\"schema_version\":7,\"soul\":null}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "line 1: a record of form 7; this version knows form 1");
    }

    #[test]
    fn what_an_interrupted_run_left_is_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/cells.jsonl");
        Writer::open(&path, false).unwrap().add(&a_cell("1")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Cut in its middle, and cut before its line feed only.
        for (end, is_cut, expected) in [(whole.len() - 9, true, &["2"][..]), (whole.len() - 1, false, &["1", "2"])] {
            std::fs::write(&path, &whole[..end]).unwrap();
            let stored = read(&path).unwrap();
            assert_eq!(stored.is_cut, is_cut);
            Writer::open(&path, stored.is_cut).unwrap().add(&a_cell("2")).unwrap();
            let ids: Vec<String> =
                read(folder.path().join("new").as_path()).unwrap().cells.into_iter().map(|c| c.id).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn of_two_cells_with_one_id_the_later_one_counts() {
        let later = Cell { seconds: 2.0, ..a_cell("1") };
        let cells = [a_cell("1"), a_cell("2"), later.clone()];
        assert_eq!(latest(&cells), [&later, &cells[1]]);
    }
}
