//! The files that a report is written to.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::report::format::ReportFormat;

/// A document of a report, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportTarget {
    /// The format.
    pub format: ReportFormat,
    /// The file.
    pub path: PathBuf,
}

/// The default name of the page.
const PAGE: &str = "report.html";

impl ReportTarget {
    /// The page next to the first file of trials.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if one of the files is not a regular file.
    pub fn next_to(files: &[PathBuf]) -> Result<ReportTarget> {
        if let Some(file) = files.iter().find(|file| file.metadata().is_ok_and(|meta| !meta.is_file())) {
            let what = "not a regular file, so the page has no place next to it";
            return Err(Error::new(ErrorKind::Usage, what).on(file));
        }
        let path = files.first().map(|file| file.with_file_name(PAGE)).unwrap_or_default();
        Ok(ReportTarget { format: ReportFormat::Html, path })
    }
}

/// Checks the targets before anything is written: no two of them are the same file, and none is one of the files of trials
/// (`sources`).
///
/// # Errors
///
/// [`ErrorKind::Usage`].
pub fn check_targets(targets: &[ReportTarget], sources: &[PathBuf]) -> Result<()> {
    for (number, ReportTarget { path, .. }) in targets.iter().enumerate() {
        let clash = |what: &str| Err(Error::new(ErrorKind::Usage, what).on(path));
        let absolute = std::path::absolute(path).ok();
        if targets.iter().skip(number + 1).any(|other| std::path::absolute(&other.path).ok() == absolute) {
            return clash("named twice; each document needs a file of its own");
        }
        let real = fs::canonicalize(path).ok();
        if real.is_some() && sources.iter().any(|source| fs::canonicalize(source).ok() == real) {
            return clash("contains the trials to be read; name another file");
        }
    }
    Ok(())
}

/// Writes a file so that it has its old or its new contents, and never a part: a new file next to it takes its name. A device
/// or a pipe is written to directly, and a link stays a link.
///
/// # Errors
///
/// [`ErrorKind::Usage`] for a directory; [`ErrorKind::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_whole(path, bytes).map_err(|e| e.on(path))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&real) {
        Ok(meta) if meta.is_dir() => return Err(Error::new(ErrorKind::Usage, "is a folder; name a file in it")),
        Ok(meta) if !meta.is_file() => {
            let mut file = fs::OpenOptions::new().write(true).open(&real).map_err(|e| Error::io("opening", e))?;
            return file.write_all(bytes).map_err(|e| Error::io("writing", e));
        }
        _ => {}
    }
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The mode of any new file, which the umask restricts.
    let mut new = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|e| Error::io("creating a file next to it", e))?;
    new.write_all(bytes).map_err(|e| Error::io("writing", e))?;
    new.as_file().sync_all().map_err(|e| Error::io("flushing to disk", e))?;
    new.persist(&real).map_err(|e| Error::io("renaming", e.error))?;
    Ok(())
}
