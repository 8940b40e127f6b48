//! Reports of trials as an HTML page, as JSON and as JUnit XML, and of the journal as an HTML page. Pure, except for `files`.
//!
//! The page needs only a browser: one file, no script, nothing loaded from elsewhere. Text from a guest, a module or a
//! kernel is text there and never markup; characters that reorder or hide text are made visible.
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
mod head;
pub(crate) mod journal;
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

/// All trials as one self-contained page: a heat map, a legend, and an article per trial.
///
/// If several records have the same id, the last one counts, here and in [`json`] and [`junit`].
pub fn page(trials: &[Trial]) -> String {
    page::page(&latest(trials))
}

/// All trials as one JSON document: `schema_version`, `summary`, and `trials` as recorded.
///
/// # Errors
///
/// For a number that JSON cannot represent; recorded trials have none.
pub fn json(trials: &[Trial]) -> Result<String, serde_json::Error> {
    document::json(&latest(trials))
}

/// All trials as JUnit XML: a testsuite per kernel, a testcase per trial. A trial that is not as predicted is a
/// failure, and one that cannot be compared is skipped.
pub fn junit(trials: &[Trial]) -> String {
    junit::junit(&latest(trials))
}
