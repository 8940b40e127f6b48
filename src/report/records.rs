//! Lines of `cells.jsonl` become cells.

use std::collections::HashMap;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::lab::record::{Cell, SCHEMA_VERSION};

/// What a file of records held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    /// The cells, in the order of their lines.
    pub cells: Vec<Cell>,
    /// Was the last line cut short, so that it is left out? An interrupted run leaves such a line.
    pub is_cut: bool,
}

/// Reads the bytes of a `cells.jsonl`. Empty lines mean nothing.
///
/// # Errors
///
/// [`ErrorKind::Malformed`] for a line that is no cell, [`ErrorKind::Unsupported`] for one of another form; both name
/// the line, counted from 1. A last line without its line feed is no error.
pub fn read(bytes: &[u8]) -> Result<Records> {
    let mut records = Records::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match cell(line.trim_ascii_end()) {
            Ok(cell) => records.cells.push(cell),
            Err(Damage::OtherForm(form)) => {
                let what = format!("line {number}: a record of form {form}; this version knows form {SCHEMA_VERSION}");
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Err(Damage::NoCell(_)) if !line.ends_with(b"\n") => records.is_cut = true,
            Err(Damage::NoCell(why)) => {
                let what = format!("line {number}: no record of a cell: {why}");
                return Err(Error::new(ErrorKind::Malformed, what));
            }
        }
    }
    Ok(records)
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

enum Damage {
    OtherForm(u32),
    NoCell(String),
}

fn cell(line: &[u8]) -> Result<Cell, Damage> {
    #[derive(Deserialize)]
    struct Form {
        schema_version: u32,
    }
    let form = || serde_json::from_slice::<Form>(line).ok().map(|form| form.schema_version);
    match serde_json::from_slice::<Cell>(line) {
        Ok(cell) if cell.schema_version == SCHEMA_VERSION => Ok(cell),
        Ok(cell) => Err(Damage::OtherForm(cell.schema_version)),
        Err(error) => Err(match form().filter(|form| *form != SCHEMA_VERSION) {
            Some(form) => Damage::OtherForm(form),
            None => Damage::NoCell(without_line(&error.to_string())),
        }),
    }
}

/// The reader's words; it counts each line as its first, which would be said beside the true number.
fn without_line(words: &str) -> String {
    words.replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_cell_is_named() {
        let error = read(b"\n{\"schema_version\":1}\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: no record of a cell: missing field `id` at column 20");
    }

    #[test]
    fn a_cut_last_line_is_left_out() {
        let records = read(b"{\"schema_version\":1,\"id").unwrap();
        assert!(records.is_cut && records.cells.is_empty());
    }

    #[test]
    fn the_place_in_a_line_is_one_that_an_editor_shows() {
        let error = read(b"{\n").unwrap_err();
        assert_eq!(error.what(), "line 1: no record of a cell: EOF while parsing an object at column 1");
    }

    #[test]
    fn a_record_of_another_form_is_told_as_such() {
        let error = read(b"{\"schema_version\":7,\"soul\":null}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "line 1: a record of form 7; this version knows form 1");
    }
}
