//! The file of trials: JSON Lines, one trial each, only ever appended to. So an interrupted run loses no more than the line
//! that it was writing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::lab::record::{OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, Trial};
use crate::module::file::open_text;

/// The name of the file in a folder.
pub const FILE: &str = "trials.jsonl";

/// The name that the file had before form 2. It is read, and never written to.
pub const OLD_FILE: &str = "cells.jsonl";

/// Trials that were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredTrials {
    /// In the order of their lines.
    pub trials: Vec<Trial>,
    /// Was the last line cut, as an interrupted run leaves it? It is left out.
    pub is_cut: bool,
}

/// The most bytes of a file of trials that are read. A trial has some ten KiB.
pub const MOST_BYTES: u64 = 1 << 30;

/// The files that a path stands for: the path itself, or those in this folder, the older one first. A folder without
/// any stands for [`FILE`] in it.
pub fn files_of(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let files: Vec<PathBuf> =
        [OLD_FILE, FILE].map(|name| path.join(name)).into_iter().filter(|file| file.exists()).collect();
    if files.is_empty() { vec![path.join(FILE)] } else { files }
}

/// Reads the trials of a file, or of the files in a folder.
///
/// # Errors
///
/// Those of [`read_file`].
pub fn read(path: &Path) -> Result<StoredTrials> {
    let mut stored = StoredTrials::default();
    for file in files_of(path) {
        let StoredTrials { trials, is_cut } = read_file(&file)?;
        stored.trials.extend(trials);
        stored.is_cut |= is_cut;
    }
    Ok(stored)
}

/// Reads the trials of a file.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`], [`ErrorKind::Usage`] for a FIFO or a device, [`ErrorKind::TooLarge`] for more than
/// [`MOST_BYTES`], and those of [`parse`].
pub fn read_file(path: &Path) -> Result<StoredTrials> {
    let file = open_text(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let error = Error::new(ErrorKind::NotFound, "no such file");
            error.hint("name a file of recorded trials (trials.jsonl), or its folder").on(path)
        }
        _ => e.hint("name a file"),
    })?;
    let bytes = read_at_most(file, MOST_BYTES).map_err(|e| e.on(path))?;
    parse(&bytes).map_err(|e| e.on(path))
}

fn read_at_most(stream: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
    if bytes.len() as u64 > most {
        let what = format!("more than {most} bytes, which is larger than any file of trials");
        return Err(Error::new(ErrorKind::TooLarge, what).hint("split it, and name the parts"));
    }
    Ok(bytes)
}

/// Reads the bytes of such a file. Empty lines mean nothing.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] for a line that is no trial, [`ErrorKind::Unsupported`] for one of another form; both name the
/// line, counted from 1. A last line without its line feed is no error.
pub fn parse(bytes: &[u8]) -> Result<StoredTrials> {
    let mut stored = StoredTrials::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match trial(line.trim_ascii_end()) {
            Ok(trial) => stored.trials.push(trial),
            Err(LineError::OtherForm(form)) => {
                let what = format!(
                    "line {number}: a record of form {form}; this version knows forms {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}"
                );
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Err(LineError::NoCell(_)) if !line.ends_with(b"\n") => stored.is_cut = true,
            Err(LineError::NoCell(why)) => {
                let what = format!("line {number}: no record of a trial: {why}");
                return Err(Error::new(ErrorKind::Damaged, what));
            }
        }
    }
    Ok(stored)
}

/// The trials without those that a later one of the same id replaces; in the order in which the ids first came.
pub fn latest(trials: &[Trial]) -> Vec<&Trial> {
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(trials.len());
    let mut latest: Vec<&Trial> = Vec::with_capacity(trials.len());
    for trial in trials {
        let place = *places.entry(&trial.id).or_insert(latest.len());
        match latest.get_mut(place) {
            Some(earlier) => *earlier = trial,
            None => latest.push(trial),
        }
    }
    latest
}

enum LineError {
    OtherForm(u32),
    NoCell(String),
}

fn trial(line: &[u8]) -> Result<Trial, LineError> {
    #[derive(Deserialize)]
    struct SchemaHeader {
        schema_version: u32,
    }
    let form = || serde_json::from_slice::<SchemaHeader>(line).ok().map(|form| form.schema_version);
    let is_known = |form: u32| (OLDEST_SCHEMA_VERSION..=SCHEMA_VERSION).contains(&form);
    match serde_json::from_slice::<Trial>(line) {
        // What an older form calls otherwise was read by its alias.
        Ok(trial) if is_known(trial.schema_version) => Ok(Trial { schema_version: SCHEMA_VERSION, ..trial }),
        Ok(trial) => Err(LineError::OtherForm(trial.schema_version)),
        Err(error) => Err(match form().filter(|form| !is_known(*form)) {
            Some(form) => LineError::OtherForm(form),
            // The reader counts each line as its first, which would be said beside the true number.
            None => LineError::NoCell(error.to_string().replace(" at line 1 column ", " at column ")),
        }),
    }
}

/// A file of trials that is written to.
#[derive(Debug)]
pub struct TrialWriter {
    file: File,
    path: PathBuf,
}

impl TrialWriter {
    /// Opens the file, and makes it where there is none. Its lines stay, except for a last one that is cut short.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn open(path: &Path) -> Result<TrialWriter> {
        let io = |e| Error::io("opening", e).on(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("making a folder", e).on(folder))?;
        }
        let mut file = File::options().create(true).read(true).append(true).open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let last = bytes.get(whole..).unwrap_or_default();
        match trial(last) {
            _ if last.is_empty() => {}
            // A last line that lacks only its line feed.
            Ok(_) => file.write_all(b"\n").map_err(io)?,
            Err(_) => file.set_len(whole as u64).map_err(io)?,
        }
        Ok(TrialWriter { file, path: path.to_owned() })
    }

    /// Adds a trial.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub fn add(&mut self, trial: &Trial) -> Result<()> {
        let mut line = serde_json::to_vec(trial).map_err(|e| Error::io("writing", std::io::Error::from(e)))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| Error::io("writing", e).on(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::record::example::trial as a_trial;

    #[test]
    fn a_file_that_never_ends_is_read_to_a_bound() {
        assert_eq!(read_at_most(std::io::repeat(b'\n'), 100).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(read_at_most([b'x'; 100].as_slice(), 100).unwrap().len(), 100);
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: not a regular file; name a file");
    }

    #[test]
    fn a_line_that_is_no_trial_is_named() {
        let error = parse(b"\n{\"schema_version\":1}\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: no record of a trial: missing field `id` at column 20");
    }

    #[test]
    fn the_place_in_a_line_is_one_that_an_editor_shows() {
        let error = parse(b"{\n").unwrap_err();
        assert_eq!(error.what(), "line 1: no record of a trial: EOF while parsing an object at column 1");
    }

    #[test]
    fn a_record_of_another_form_is_told_as_such() {
        let error = parse(b"{\"schema_version\":7,\"soul\":null}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "line 1: a record of form 7; this version knows forms 1 to 2");
    }

    #[test]
    fn what_an_interrupted_run_left_is_added_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/trials.jsonl");
        TrialWriter::open(&path).unwrap().add(&a_trial("1")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Cut in its middle, and cut before its line feed only.
        for (end, is_cut, expected) in [(whole.len() - 9, true, &["2"][..]), (whole.len() - 1, false, &["1", "2"])] {
            std::fs::write(&path, &whole[..end]).unwrap();
            let stored = read(&path).unwrap();
            assert_eq!(stored.is_cut, is_cut);
            TrialWriter::open(&path).unwrap().add(&a_trial("2")).unwrap();
            let ids: Vec<String> =
                read(folder.path().join("new").as_path()).unwrap().trials.into_iter().map(|c| c.id).collect();
            assert_eq!(ids, expected);
        }
    }

    #[test]
    fn both_files_of_a_folder_are_read_and_new_trials_go_to_the_newer_one() {
        let folder = tempfile::tempdir().unwrap();
        let line =
            serde_json::to_string(&a_trial("1")).unwrap().replace("\"schema_version\":2", "\"schema_version\":1");
        std::fs::write(folder.path().join(OLD_FILE), line + "\n").unwrap();
        TrialWriter::open(&folder.path().join(FILE)).unwrap().add(&a_trial("2")).unwrap();
        let stored = read(folder.path()).unwrap();
        assert_eq!(stored, StoredTrials { trials: vec![a_trial("1"), a_trial("2")], is_cut: false });
    }

    #[test]
    fn of_two_trials_with_one_id_the_later_one_counts() {
        let later = Trial { seconds: 2.0, ..a_trial("1") };
        let trials = [a_trial("1"), a_trial("2"), later.clone()];
        assert_eq!(latest(&trials), [&later, &trials[1]]);
    }
}
