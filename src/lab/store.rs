//! The file of trials: JSON Lines with one trial per line. Lines are only appended, so an interrupted run loses at
//! most the line that it was writing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::lab::record::{LoadMode, OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, Trial, TrialRole};
use crate::module::file::open_text;

/// The name of the file in a folder.
pub const FILE: &str = "trials.jsonl";

/// The name of the file before schema version 2. It is read, but not written.
pub const OLD_FILE: &str = "cells.jsonl";

/// Trials read from a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredTrials {
    /// The trials, in the order of their lines.
    pub trials: Vec<Trial>,
    /// Is the last line cut short by an interrupted run? It is left out.
    pub is_cut: bool,
}

impl StoredTrials {
    /// The last trial of a module, by its SHA-256, in a load mode, controls excluded.
    pub fn last_of(&self, module: &str, load_mode: LoadMode) -> Option<&Trial> {
        self.trials.iter().rev().find(|trial| {
            trial.role == TrialRole::Asked && trial.module.sha256 == module && trial.load_mode == load_mode
        })
    }
}

/// The most bytes that are read from a file of trials. One trial has about ten KiB.
pub const MOST_BYTES: u64 = 1 << 30;

/// The files that a path stands for: the path itself, or the files of trials in this folder, the older name first. For
/// a folder without any it is [`FILE`] in the folder.
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
/// [`ErrorKind::NotFound`], [`ErrorKind::Io`], [`ErrorKind::Usage`] for a FIFO or a device, [`ErrorKind::TooLarge`]
/// for more than [`MOST_BYTES`], and those of [`parse`].
pub fn read_file(path: &Path) -> Result<StoredTrials> {
    let file = open_text(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => {
            let error = Error::new(ErrorKind::NotFound, "no such file");
            error.hint("name a file of recorded trials (trials.jsonl), or its folder").on(path)
        }
        _ => e.hint("name a file"),
    })?;
    // A pipe has no size.
    let size = file.metadata().map_err(|e| Error::io("looking at the file", e).on(path))?.len();
    let bytes = if size > MOST_BYTES { Err(too_large(MOST_BYTES)) } else { read_at_most(file, MOST_BYTES) };
    let bytes = bytes.map_err(|e| e.on(path))?;
    parse(&bytes).map_err(|e| e.on(path))
}

fn read_at_most(stream: impl Read, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e))?;
    if bytes.len() as u64 > most { Err(too_large(most)) } else { Ok(bytes) }
}

fn too_large(most: u64) -> Error {
    let what = format!("more than {most} bytes, which is larger than any file of trials");
    Error::new(ErrorKind::TooLarge, what).hint("split it, and name the parts")
}

/// Reads the bytes of a file of trials. Empty lines are ignored.
///
/// # Errors
///
/// [`ErrorKind::Damaged`] for a line that is not a trial, [`ErrorKind::Unsupported`] for one of an unknown schema
/// version; both name the line, counted from 1. A last line without a line feed is no error.
pub fn parse(bytes: &[u8]) -> Result<StoredTrials> {
    let mut stored = StoredTrials::default();
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match trial(line.trim_ascii_end()) {
            Ok(trial) => stored.trials.push(trial),
            Err(LineError::UnknownVersion(form)) => {
                let what = format!(
                    "line {number}: unknown schema_version {form}; known are {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}"
                );
                return Err(Error::new(ErrorKind::Unsupported, what));
            }
            Err(LineError::NotATrial(_)) if !line.ends_with(b"\n") => stored.is_cut = true,
            Err(LineError::NotATrial(why)) => {
                let what = format!("line {number}: not a trial: {why}");
                return Err(Error::new(ErrorKind::Damaged, what));
            }
        }
    }
    Ok(stored)
}

/// The trials without those that a later one with the same identifier replaces, in the order in which the identifiers
/// first occur.
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
    UnknownVersion(u32),
    NotATrial(String),
}

fn trial(line: &[u8]) -> Result<Trial, LineError> {
    #[derive(Deserialize)]
    struct SchemaHeader {
        schema_version: u32,
    }
    let form = || serde_json::from_slice::<SchemaHeader>(line).ok().map(|form| form.schema_version);
    let is_known = |form: u32| (OLDEST_SCHEMA_VERSION..=SCHEMA_VERSION).contains(&form);
    match serde_json::from_slice::<Trial>(line) {
        // Names of older versions were read by their aliases.
        Ok(trial) if is_known(trial.schema_version) => Ok(Trial { schema_version: SCHEMA_VERSION, ..trial }),
        Ok(trial) => Err(LineError::UnknownVersion(trial.schema_version)),
        Err(error) => Err(match form().filter(|form| !is_known(*form)) {
            Some(form) => LineError::UnknownVersion(form),
            // The JSON reader counts every line as its first, which would contradict the true number.
            None => LineError::NotATrial(error.to_string().replace(" at line 1 column ", " at column ")),
        }),
    }
}

/// A file to which trials are appended.
#[derive(Debug)]
pub struct TrialWriter {
    file: File,
    path: PathBuf,
}

impl TrialWriter {
    /// Opens the file, or creates it. Its lines stay, except for a last one that is cut short.
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
            // The last line lacks only its line feed.
            Ok(_) => file.write_all(b"\n").map_err(io)?,
            Err(_) => file.set_len(whole as u64).map_err(io)?,
        }
        Ok(TrialWriter { file, path: path.to_owned() })
    }

    /// Appends a trial.
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
    fn an_endless_file_is_read_up_to_a_limit() {
        assert_eq!(read_at_most(std::io::repeat(b'\n'), 100).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(read_at_most([b'x'; 100].as_slice(), 100).unwrap().len(), 100);
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero: not a regular file; name a file");
    }

    #[test]
    fn an_invalid_line_is_reported_by_number() {
        let error = parse(b"\n{\"schema_version\":1}\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: not a trial: missing field `id` at column 20");
    }

    #[test]
    fn columns_are_those_of_an_editor() {
        let error = parse(b"{\n").unwrap_err();
        assert_eq!(error.what(), "line 1: not a trial: EOF while parsing an object at column 1");
    }

    #[test]
    fn an_unknown_schema_version_is_reported() {
        let error = parse(b"{\"schema_version\":7,\"soul\":null}").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "line 1: unknown schema_version 7; known are 1 to 2");
    }

    #[test]
    fn a_file_of_an_interrupted_run_is_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/trials.jsonl");
        TrialWriter::open(&path).unwrap().add(&a_trial("1")).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Cut in its middle, and cut before its line feed.
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
    fn both_file_names_of_a_folder_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let line =
            serde_json::to_string(&a_trial("1")).unwrap().replace("\"schema_version\":2", "\"schema_version\":1");
        std::fs::write(folder.path().join(OLD_FILE), line + "\n").unwrap();
        TrialWriter::open(&folder.path().join(FILE)).unwrap().add(&a_trial("2")).unwrap();
        let stored = read(folder.path()).unwrap();
        assert_eq!(stored, StoredTrials { trials: vec![a_trial("1"), a_trial("2")], is_cut: false });
    }

    #[test]
    fn the_later_of_two_trials_with_one_id_counts() {
        let later = Trial { seconds: 2.0, ..a_trial("1") };
        let trials = [a_trial("1"), a_trial("2"), later.clone()];
        assert_eq!(latest(&trials), [&later, &trials[1]]);
    }
}
