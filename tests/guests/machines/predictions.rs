//! The program's predictions: `check --alone --json`, once per combination of flags.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::machines::trials::{Subject, Trial};

use crate::support::KMODLAB;

/// The values of `--force`, by the flags of finit_module(2).
const FORCE: [&str; 4] = ["none", "modversions", "vermagic", "both"];

/// A prediction.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Prediction {
    module: String,
    pub(crate) verdict: String,
    pub(crate) errno: Option<i64>,
    pub(crate) dmesg: Vec<String>,
    pub(crate) taint: Option<String>,
    pub(crate) stage: Option<String>,
    findings: Vec<Finding>,
}

#[derive(Clone, Debug, Deserialize)]
struct Finding {
    step: String,
    result: String,
    note: String,
}

impl Prediction {
    /// The unknown points, as text.
    pub(crate) fn open(&self) -> String {
        let open = self.findings.iter().filter(|finding| finding.result == "unknown");
        open.map(|finding| format!("{}: {}", finding.step, finding.note)).collect::<Vec<_>>().join("; ")
    }
}

/// The predictions for trials, by flags and subjects; `None` for a file that the program refuses to judge.
pub(crate) fn all(
    kernel: &OsStr,
    subjects: &[Subject],
    trials: &[Trial],
    folder: &Path,
    cache: &Path,
) -> [Vec<Option<Prediction>>; 4] {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let path = |at: usize| folder.join(format!("{at}.ko"));
    for (at, subject) in subjects.iter().enumerate() {
        std::fs::write(path(at), &subject.bytes).unwrap();
    }
    [0, 1, 2, 3].map(|flags| {
        let mut command = Command::new(KMODLAB);
        command.args(["check", "--alone", "--json", "--force", FORCE[flags as usize], "--kernel"]).arg(kernel);
        let asked = trials.iter().filter(|trial| trial.flags == flags);
        command.args(asked.map(|trial| path(trial.subject))).env("XDG_CACHE_HOME", cache);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let (mut predictions, text) = (vec![None; subjects.len()], String::from_utf8_lossy(&output.stdout));
        for line in text.lines() {
            let prediction: Prediction = serde_json::from_str(line).unwrap();
            let at: usize = Path::new(&prediction.module).file_stem().unwrap().to_str().unwrap().parse().unwrap();
            predictions[at] = Some(prediction);
        }
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!text.is_empty(), "no prediction at all for {}: {complaints}", kernel.display());
        predictions
    })
}
