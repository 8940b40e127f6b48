//! What people look at afterwards: trials as one HTML page, as JSON and as JUnit XML. Pure: records in, text out.
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
pub mod files;
mod format;
mod grid;
mod junit;
mod log;
mod order;
mod page;
mod summary;
mod text;
pub mod words;

pub use crate::text::{count, grouped};
pub use format::ReportFormat;
pub use summary::TrialSummary;

use crate::lab::record::Trial;
use crate::lab::store::latest;

/// All trials as one self-contained page: a heat map, a legend, and an article for each trial.
///
/// Of several records with one id the last one counts, here and in [`json`] and [`junit`].
pub fn page(trials: &[Trial]) -> String {
    page::page(&latest(trials))
}

/// All trials as one JSON document: `schema_version`, `summary`, and `trials` as they were recorded.
///
/// # Errors
///
/// None with records that were read: a number that JSON can't hold is the only thing that could be wrong with one.
pub fn json(trials: &[Trial]) -> Result<String, serde_json::Error> {
    document::json(&latest(trials))
}

/// All trials as JUnit XML: a testsuite a kernel, a testcase a trial. What is not as predicted is a failure, what can't be
/// compared is skipped.
pub fn junit(trials: &[Trial]) -> String {
    junit::junit(&latest(trials))
}
