//! Promise: the predictions are the answers of real kernels, in each load mode, and `matrix` resumes an interrupted run.
//!
//! The program, as a user runs it, tries modules of five kernels on all five: six of each, with `KMODLAB_MATRIX=half` twelve, with
//! `all` twenty-four. The trials and their report are kept in `target/report/matrix`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Instant;

use kmodlab::lab::record::{Agreement, LoadMode, Trial, TrialOutcome, TrialRole};
use kmodlab::lab::store;

use crate::vm::kernels::{KERNELS, chosen, deb, modules, there, wanted};
use crate::vm::tally::{Tally, called};
use crate::vm::{alone, emptied, fetched};

/// How many trials are run again after an interruption.
const LOST: usize = 10;

#[test]
#[ignore = "needs QEMU and fetched kernels: tests/run runs it"]
fn real_kernels_answer_to_real_modules_as_predicted() {
    let _alone = alone();
    let kernels = chosen();
    let lab = Lab { out: emptied("target/report/matrix"), kernels };
    let first = lab.matrix();
    let trials = lab.trials();
    let asked = lab.kernels.len() * there().len() * modules().len() * LoadMode::ALL.len();
    let controls = lab.kernels.len() * modules().len() * 2;
    assert_eq!(trials.len(), asked + controls);
    let is_whole = lab.kernels.len() == KERNELS.len() && modules().len() == wanted().len();
    assert!(!is_whole || trials.len() >= 800, "{} trials", trials.len());
    lab.report(trials.len());
    assert_controls(&trials);
    Tally::of(&trials).judge("real modules");
    assert!(first.status.success(), "{}", first.status);

    lab.is_not_run_again(&first);
    lab.is_taken_up_where_it_was_left();
}

/// One run of `matrix`, and its output folder.
struct Lab {
    out: PathBuf,
    kernels: Vec<&'static str>,
}

impl Lab {
    fn kmodlab(&self, arguments: &[OsString]) -> Output {
        fetched::kmodlab().args(arguments).stderr(Stdio::inherit()).output().unwrap()
    }

    fn matrix(&self) -> Output {
        let begun = Instant::now();
        let mut arguments: Vec<OsString> = ["matrix", "--modules"].map(Into::into).into();
        arguments.extend([modules().join(",").into(), "--built-for".into()]);
        arguments.extend(there().into_iter().map(deb));
        arguments.push("--kernels".into());
        arguments.extend(self.kernels.iter().map(|name| deb(name)));
        arguments.extend(["--accel", "tcg", "--out"].map(Into::into));
        arguments.push(self.out.clone().into());
        let output = self.kmodlab(&arguments);
        println!("{}", String::from_utf8_lossy(&output.stdout));
        println!("kmodlab matrix: {:?}", begun.elapsed());
        output
    }

    fn file(&self) -> PathBuf {
        self.out.join(store::FILE)
    }

    fn trials(&self) -> Vec<Trial> {
        let stored = store::read(&self.file()).unwrap();
        assert!(!stored.is_cut);
        assert_eq!(store::latest(&stored.trials).len(), stored.trials.len(), "two trials of one question");
        stored.trials
    }

    /// The page is for people; the other reports, for programs, contain all trials.
    fn report(&self, trials: usize) {
        let file = |name: &str| self.out.join(name);
        let (html, json, junit) = (file("report.html"), file("report.json"), file("report.xml"));
        let mut arguments: Vec<OsString> = vec!["report".into(), self.out.clone().into()];
        for (option, file) in [("--html", &html), ("--json", &json), ("--junit", &junit)] {
            arguments.extend([option.into(), file.into()]);
        }
        let output = self.kmodlab(&arguments);
        println!("{}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{}", output.status);
        let text = |file: &Path| std::fs::read_to_string(file).unwrap();
        assert!(text(&html).ends_with("</html>\n") || text(&html).ends_with("</html>"));
        let value: serde_json::Value = serde_json::from_str(&text(&json)).unwrap();
        assert_eq!(value["trials"].as_array().unwrap().len(), trials);
        assert!(text(&junit).contains(&format!("<testsuites name=\"kmodlab\" tests=\"{trials}\" ")));
    }

    /// Run again, it prints the same, and writes not a single byte.
    fn is_not_run_again(&self, first: &Output) {
        let before = std::fs::read(self.file()).unwrap();
        let again = self.matrix();
        assert_eq!(again.status, first.status);
        assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&first.stdout));
        assert!(std::fs::read(self.file()).unwrap() == before, "trials were run again");
    }

    /// A run was interrupted while it wrote a line, ten trials before its end: exactly those trials are run again, with the
    /// same results.
    fn is_taken_up_where_it_was_left(&self) {
        let before = self.trials();
        let text = std::fs::read_to_string(self.file()).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let (kept, lost) = lines.split_at(lines.len() - LOST);
        let (kept, half) = (kept.concat(), &lost[0][..lost[0].len() / 2]);
        std::fs::write(self.file(), format!("{kept}{half}")).unwrap();

        let again = self.matrix();
        assert!(again.status.success(), "{}", again.status);
        let now = std::fs::read_to_string(self.file()).unwrap();
        let added = now.strip_prefix(&kept).expect("what was whole stays");
        assert_eq!(added.lines().count(), LOST);
        let came_out = |trials: &[Trial]| -> BTreeMap<String, (TrialOutcome, Agreement)> {
            trials.iter().map(|trial| (trial.id.clone(), (trial.outcome, trial.agreement))).collect()
        };
        assert_eq!(came_out(&self.trials()), came_out(&before));
    }
}

/// A kernel's own module, unforced and forced, works on that kernel.
fn assert_controls(trials: &[Trial]) {
    let is_odd = |trial: &&Trial| trial.role == TrialRole::Control && trial.outcome != TrialOutcome::NoDifference;
    let odd: Vec<String> = trials.iter().filter(is_odd).map(called).collect();
    assert!(odd.is_empty(), "{} controls are not as they should be:\n{}", odd.len(), odd.join("\n"));
}
