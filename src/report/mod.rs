//! What people look at afterwards: cells as one HTML page, as JSON and as JUnit XML. Pure: records in, text out.
//!
//! [`page`] needs nothing but a browser: one file, no script, nothing from elsewhere. What a guest, a module or a kernel
//! said stands in it as text and never as markup, with characters that reorder or hide text made visible.
//!
//! ```
//! let page = kmodlab::report::page(&[]);
//! assert!(page.starts_with("<!DOCTYPE html>"));
//! assert!(!page.contains("<script"));
//! ```

mod article;
mod bytes;
mod control;
mod document;
mod grid;
mod junit;
mod log;
mod order;
mod page;
mod summary;
mod text;
pub mod words;

pub use crate::text::{count, grouped};
pub use summary::Summary;

use crate::lab::record::Cell;
use crate::lab::store::latest;

/// All cells as one self-contained page: a heat map, a legend, and an article for each cell.
///
/// Of several records with one id the last one counts, here and in [`json`] and [`junit`].
pub fn page(cells: &[Cell]) -> String {
    page::page(&latest(cells))
}

/// All cells as one JSON document: `schema_version`, `summary`, and `cells` as they were recorded.
///
/// # Errors
///
/// None with records that were read: a number that JSON can't hold is the only thing that could be wrong with one.
pub fn json(cells: &[Cell]) -> Result<String, serde_json::Error> {
    document::json(&latest(cells))
}

/// All cells as JUnit XML: a testsuite a kernel, a testcase a cell. What is not as predicted is a failure, what can't be
/// compared is skipped.
pub fn junit(cells: &[Cell]) -> String {
    junit::junit(&latest(cells))
}
