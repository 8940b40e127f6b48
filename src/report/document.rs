//! Trials as one JSON document.

use serde::Serialize;

use crate::escape::json_for_eyes;
use crate::lab::record::{SCHEMA_VERSION, Trial};
use crate::report::summary::TrialSummary;

#[derive(Serialize)]
struct ReportDocument<'c> {
    schema_version: u32,
    summary: TrialSummary,
    trials: &'c [&'c Trial],
}

pub(super) fn json(trials: &[&Trial]) -> Result<String, serde_json::Error> {
    let document = ReportDocument { schema_version: SCHEMA_VERSION, summary: TrialSummary::of_latest(trials), trials };
    let mut text = json_for_eyes(&serde_json::to_string(&document)?).into_owned();
    text.push('\n');
    Ok(text)
}
