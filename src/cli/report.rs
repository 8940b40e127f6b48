//! `report`: recorded trials as a page, as JSON, and as JUnit XML.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::Status;
use crate::cli::lab::stored;
use crate::cli::output::{self, Failure, Session};
use crate::error::{Error, ErrorKind, Result};
use crate::lab::store;
use crate::report::{self, TrialSummary};

/// What the page is called where nothing is said.
const PAGE: &str = "report.html";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Files of recorded trials (trials.jsonl), or their folders
    #[arg(required = true, value_name = "TRIALS")]
    trials: Vec<PathBuf>,
    /// Write one self-contained page here; without any FILE it is report.html beside the first TRIALS (- is stdout)
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
    let mut trials = Vec::new();
    let files: Vec<PathBuf> = args.trials.iter().flat_map(|path| store::files_of(path)).collect();
    let to_stdout = check_targets(&args, &files)?;
    let is_nowhere = |file: &&PathBuf| file.metadata().is_ok_and(|meta| !meta.is_file());
    if let (None, None, None, Some(file)) = (&args.html, &args.json, &args.junit, files.iter().find(is_nowhere)) {
        let error = Error::new(ErrorKind::Usage, "no regular file, and a page is not put beside it");
        return Err(error.hint("say where: --html FILE").on(file).into());
    }
    for file in &files {
        trials.extend(stored(file, session)?);
    }
    if trials.is_empty() {
        let error =
            Error::new(ErrorKind::NotFound, "no trials in it").hint("kmodlab try and matrix record them with --out");
        return Err(error.on(args.trials.first().map_or(Path::new(""), PathBuf::as_path)).into());
    }
    let beside = files.first().map(|file| file.with_file_name(PAGE));
    let html = match (&args.html, &args.json, &args.junit) {
        (None, None, None) => beside,
        (html, ..) => html.clone(),
    };
    let mut written = Vec::new();
    let mut put = |what: &'static str, path: Option<PathBuf>, text: &dyn Fn() -> Result<String>| {
        let Some(path) = path else { return Ok::<_, Failure>(()) };
        let text = text()?;
        if path.as_os_str() == "-" {
            session.out.write_all(text.as_bytes())?;
        } else {
            write_whole(&path, text.as_bytes()).map_err(|e| e.on(&path))?;
            written.push((what, path));
        }
        Ok(())
    };
    put("page", html, &|| Ok(report::page(&trials)))?;
    put("JSON", args.json, &|| report::json(&trials).map_err(|e| Error::io("writing JSON", io::Error::from(e))))?;
    put("JUnit", args.junit, &|| Ok(report::junit(&trials)))?;
    // Where stdout has a document, nothing else may stand in it.
    if !to_stdout {
        writeln!(session.out, "{}", TrialSummary::of(&trials))?;
        for (what, path) in written {
            writeln!(session.out, "  {what:<7} {}", output::path(&path))?;
        }
    }
    Ok(Status::Done)
}

/// Looks at where things are to be written, before anything is: each to a place of its own, and none over the records.
/// Does one go to stdout?
fn check_targets(args: &Args, files: &[PathBuf]) -> Result<bool> {
    let targets: Vec<&PathBuf> = [&args.html, &args.json, &args.junit].into_iter().flatten().collect();
    for (number, target) in targets.iter().enumerate() {
        let clash = |what: &str| Err(Error::new(ErrorKind::Usage, what).on(target));
        let place = std::path::absolute(target).ok();
        if targets.iter().skip(number + 1).any(|other| std::path::absolute(other).ok() == place) {
            return clash("named twice; each document needs a file of its own");
        }
        let real = fs::canonicalize(target).ok();
        if real.is_some() && files.iter().any(|file| fs::canonicalize(file).ok() == real) {
            return clash("holds the records that are to be read; name another file");
        }
    }
    Ok(targets.iter().any(|target| target.as_os_str() == "-"))
}

/// Writes a file so that its old content or its new one is there, and never a part: a new file beside it takes its name.
/// What is no regular file (a device, a pipe) is written to as it is, and a link stays a link.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&place) {
        Ok(there) if there.is_dir() => return Err(Error::new(ErrorKind::Usage, "is a folder; name a file in it")),
        Ok(there) if !there.is_file() => {
            let mut there = fs::OpenOptions::new().write(true).open(&place).map_err(|e| Error::io("opening", e))?;
            return there.write_all(bytes).map_err(|e| Error::io("writing", e));
        }
        _ => {}
    }
    let folder = match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // As any new file: the process's umask takes away from it.
    let mut new = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|e| Error::io("creating a file beside it", e))?;
    new.write_all(bytes).map_err(|e| Error::io("writing", e))?;
    new.as_file().sync_all().map_err(|e| Error::io("flushing to disk", e))?;
    new.persist(&place).map_err(|e| Error::io("renaming", e.error))?;
    Ok(())
}
