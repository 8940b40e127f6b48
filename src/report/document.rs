//! The cells as one JSON document.

use serde::Serialize;

use crate::escape::json_for_eyes;
use crate::lab::record::{Cell, SCHEMA_VERSION};
use crate::report::summary::Summary;

#[derive(Serialize)]
struct Document<'c> {
    schema_version: u32,
    summary: Summary,
    cells: &'c [&'c Cell],
}

pub(super) fn json(cells: &[&Cell]) -> Result<String, serde_json::Error> {
    let document = Document { schema_version: SCHEMA_VERSION, summary: Summary::of_latest(cells), cells };
    let mut text = json_for_eyes(&serde_json::to_string(&document)?);
    text.push('\n');
    Ok(text)
}
