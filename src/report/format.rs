//! The formats of a report.

use crate::error::{Error, Result};
use crate::lab::record::Trial;
use crate::lab::store::latest;
use crate::report::document::json;
use crate::report::junit::junit;
use crate::report::page::page;

/// A format of a report. If several records have the same id, the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// One self-contained HTML page: a heat map, a legend, and an article per trial.
    Html,
    /// One JSON document: `schema_version`, `summary`, and `trials` as recorded.
    Json,
    /// JUnit XML: a testsuite per kernel, a testcase per trial. A trial that is not as predicted is a failure, and one that
    /// cannot be compared is skipped.
    Junit,
}

impl ReportFormat {
    /// Its name, for lists of written files.
    pub fn name(self) -> &'static str {
        match self {
            ReportFormat::Html => "page",
            ReportFormat::Json => "JSON",
            ReportFormat::Junit => "JUnit",
        }
    }

    /// The trials in this format.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] for a number that JSON cannot represent; recorded trials have none.
    pub fn text(self, trials: &[Trial]) -> Result<String> {
        let trials = latest(trials);
        match self {
            ReportFormat::Html => Ok(page(&trials)),
            ReportFormat::Json => json(&trials).map_err(|e| Error::io("writing JSON", std::io::Error::from(e))),
            ReportFormat::Junit => Ok(junit(&trials)),
        }
    }
}
