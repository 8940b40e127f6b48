//! `report`: recorded trials as a page, as JSON, and as JUnit XML; the journal as a page.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::cli::lab::stored;
use crate::cli::log;
use crate::cli::output::{self, Failure, Session};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind, Result};
use crate::lab::store;
use crate::report::files::{self, ReportTarget, check_targets};
use crate::report::journal::JournalPage;
use crate::report::{ReportFormat, TrialSummary};
use crate::vault::log::{LogQuery, LogSubject};

/// The default name of the journal's page.
const JOURNAL_PAGE: &str = "journal.html";

/// The most operations on one page, the newest.
const MOST_OPERATIONS: usize = 5_000;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Files of recorded trials (trials.jsonl), or folders with such a file
    #[arg(required_unless_present = "journal", value_name = "TRIALS")]
    trials: Vec<PathBuf>,
    /// Make a page of the journal instead: of all of it, or of what `log` accepts, such as a folder
    #[arg(long, value_name = "WHAT", num_args = 0..=1, conflicts_with_all = ["trials", "json", "junit"])]
    pub(super) journal: Option<Option<PathBuf>>,
    /// With --journal: from this time on, as for log
    #[arg(long, value_name = "TIME", requires = "journal", conflicts_with = "trials")]
    since: Option<String>,
    /// With --journal: up to this time
    #[arg(long, value_name = "TIME", requires = "journal", conflicts_with = "trials")]
    until: Option<String>,
    /// Write one self-contained HTML page here (- is stdout) [default if no FILE is given: report.html next to the first TRIALS; with --journal, journal.html]
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write one JSON document here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write JUnit XML here
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if let Some(what) = &args.journal {
        return journal(what.as_deref(), &args, session);
    }
    let files: Vec<PathBuf> = args.trials.iter().flat_map(|path| store::files_of(path)).collect();
    let mut targets: Vec<ReportTarget> =
        [(ReportFormat::Html, &args.html), (ReportFormat::Json, &args.json), (ReportFormat::Junit, &args.junit)]
            .into_iter()
            .filter_map(|(format, path)| Some(ReportTarget { format, path: path.clone()? }))
            .collect();
    check_targets(&targets, &files)?;
    if targets.is_empty() {
        let next_to = ReportTarget::next_to(&files);
        targets.push(next_to.map_err(|e| e.hint("name a file for the page: --html FILE"))?);
    }
    let mut trials = Vec::new();
    for file in &files {
        trials.extend(stored(file, session)?);
    }
    if trials.is_empty() {
        let error = Error::new(ErrorKind::NotFound, "no trials in it");
        let error = error.hint("kmodlab try and kmodlab matrix record trials with --out");
        return Err(error.on(args.trials.first().map_or(Path::new(""), PathBuf::as_path)).into());
    }
    let mut written = Vec::new();
    for target in &targets {
        let text = target.format.text(&trials)?;
        if is_stdout(target) {
            session.out.write_all(text.as_bytes())?;
        } else {
            files::write(&target.path, text.as_bytes())?;
            written.push(target);
        }
    }
    // If stdout has a document, nothing else is printed there.
    if !targets.iter().any(is_stdout) {
        writeln!(session.out, "{}", TrialSummary::of(&trials))?;
        for ReportTarget { format, path } in written {
            writeln!(session.out, "  {:<7} {}", format.name(), output::path(path))?;
        }
    }
    Ok(Status::Done)
}

/// Makes the page of the journal.
fn journal(what: Option<&Path>, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    let zone = TimeZone::system();
    let time = |text: &Option<String>| text.as_deref().map(|text| log::utc(text, &zone)).transpose();
    let (since, until) = (time(&args.since)?, time(&args.until)?);
    let query = LogQuery {
        subject: what.map(|what| LogSubject::named(what, session.root.as_ref())),
        since: since.clone(),
        until: until.clone(),
        most: Some(MOST_OPERATIONS),
    };
    let audit = output::waiting("comparing the files with the journal", || vault.audit(&query))?;
    let about = what.map(output::path);
    let page = JournalPage { audit: &audit, about, since, until, zone }.html();
    let path = args.html.clone().unwrap_or_else(|| JOURNAL_PAGE.into());
    if path.as_os_str() == "-" {
        session.out.write_all(page.as_bytes())?;
        return Ok(Status::Done);
    }
    files::write(&path, page.as_bytes())?;
    let operations = output::count(audit.entries.len(), "operation");
    writeln!(session.out, "{operations} of the journal")?;
    writeln!(session.out, "  {:<7} {}", ReportFormat::Html.name(), output::path(&path))?;
    Ok(Status::Done)
}

fn is_stdout(target: &ReportTarget) -> bool {
    target.path.as_os_str() == "-"
}
