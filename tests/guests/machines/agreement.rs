//! Compares what happened with the prediction: verdict, errno, the loader's first line, and the taint.
//!
//! A prediction assumes a kernel without taints. A guest runs many trials, and its kernel prints some lines only once per boot:
//! such a line must come in the first trial in which it is predicted, and is not expected in later ones.

use kmodlab::lab::agreement::{is_loader_line, is_same_line};
use kmodlab::predict::{taint_bits, taint_letters};

use crate::bystanders::is_of_bystanders;
use crate::machines::guest::ONCE;
use crate::machines::predictions::Prediction;
use crate::machines::report::Seen;

/// The result of comparing a trial with its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Agreement {
    Agree,
    Unknown,
    Disagree,
}

/// Taints that a module's own code may set, in addition to those that the loader sets.
const OF_ITS_OWN: &str = "DWL";

/// Taints of a single module, by /sys/module/NAME/taint (`taint_flags`, kernel/panic.c of 6.12).
const OF_A_MODULE: &str = "PFCOEKXTN";

/// Taints F, P, O and N, after which some lines are not printed again (kernel/module/main.c of 6.12).
const FORCED: u64 = 1 << 1;
const PROPRIETARY: u64 = 1;
const OUT_OF_TREE: u64 = 1 << 12;
const UNSIGNED: u64 = 1 << 13;
const TEST: u64 = 1 << 18;

/// Compares a trial with its prediction; if they differ, the text says why.
pub(crate) fn compare(seen: &Seen, prediction: Option<&Prediction>) -> (Agreement, String) {
    let disagree = |why: String| (Agreement::Disagree, why);
    let Some(prediction) = prediction else {
        return disagree("the file was not judged at all".to_owned());
    };
    if prediction.verdict == "unknown" {
        return (Agreement::Unknown, prediction.open());
    }
    let is_accepted = seen.accepted.is_some();
    if seen.has_no_answer() {
        return disagree("the kernel died over the file before it answered".to_owned());
    }
    match (prediction.verdict.as_str(), is_accepted) {
        ("accepted", false) => {
            return disagree(format!("accepted was predicted, and it was refused with {:?}", seen.errno));
        }
        ("refused", true) => return disagree("refused was predicted, and it was accepted".to_owned()),
        ("refused", false) if prediction.errno != seen.errno => {
            return disagree(format!("errno {:?} was predicted, and it was {:?}", prediction.errno, seen.errno));
        }
        _ => {}
    }
    let (before, after) = seen.taint.unwrap_or_default();
    let (ours, theirs) = (expected(prediction, seen, before), lines(seen));
    let same = match (theirs.first(), ours.first()) {
        (Some(theirs), Some(ours)) => is_same_line(theirs, ours),
        (None, None) => true,
        _ => false,
    };
    if !same {
        return disagree(format!(
            "{:?} was predicted as the first line, and it was {:?}",
            ours.first(),
            theirs.first()
        ));
    }
    if seen.status != Some(0) && seen.status != Some(256) {
        // The module's own code or its unloading ended the guest, so the taint is not known.
        return (Agreement::Agree, String::new());
    }
    let predicted = prediction.taint.as_deref().unwrap_or_default();
    let mine = |letters: &str| sorted(letters, |letter| !OF_ITS_OWN.contains(letter));
    let missing = taint_bits(predicted) & !after;
    let surplus = mine(&taint_letters(after & !before & !taint_bits(predicted)));
    if missing != 0 || !surplus.is_empty() {
        let (before, after) = (taint_letters(before), taint_letters(after));
        return disagree(format!(
            "taint {predicted:?} was predicted, and it was {before:?} before and {after:?} after"
        ));
    }
    if let Some(theirs) = &seen.module_taint {
        let of_a_module = |letters: &str| sorted(letters, |letter| OF_A_MODULE.contains(letter));
        if of_a_module(predicted) != of_a_module(theirs) {
            return disagree(format!("taint {predicted:?} was predicted, and that of the module was {theirs:?}"));
        }
    }
    (Agreement::Agree, String::new())
}

fn sorted(letters: &str, keep: impl Fn(char) -> bool) -> String {
    let mut letters: Vec<char> = letters.chars().filter(|letter| keep(*letter)).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

/// The predicted lines, without those that were already printed since the boot.
fn expected<'a>(prediction: &'a Prediction, seen: &Seen, before: u64) -> Vec<&'a str> {
    let is_due = |line: &&str| {
        let is_past = |taint: u64| before & taint != 0;
        let is_over = match line {
            line if line.ends_with(": kernel tainted.") => is_past(FORCED),
            line if line.ends_with(" taints kernel.") && line.contains(": module license ") => is_past(PROPRIETARY),
            line if line.contains(": loading out-of-tree module taints kernel.") => is_past(OUT_OF_TREE),
            line if line.contains(": loading test module taints kernel.") => is_past(TEST),
            line if line.contains(": module verification failed: ") => is_past(UNSIGNED),
            line => ONCE.iter().any(|once| {
                let has = |lines: &[String]| lines.iter().any(|line| line.contains(once));
                line.contains(once) && has(&seen.earlier) && !has(&seen.log)
            }),
        };
        !is_over
    };
    prediction.dmesg.iter().map(String::as_str).filter(is_due).collect()
}

/// The loader's lines. If the module was refused, its own code did not run, so all lines are the kernel's.
pub(crate) fn lines(seen: &Seen) -> Vec<&str> {
    let lines = seen.log.iter().map(String::as_str);
    match &seen.accepted {
        Some(_) => lines.filter(|line| is_loader_line(line)).collect(),
        None => lines.filter(|line| !is_of_others(line)).collect(),
    }
}

/// A line that other parts of the kernel may print at any time, or one that follows any taint (kernel/panic.c).
fn is_of_others(line: &str) -> bool {
    line.starts_with("Disabling lock debugging due to kernel taint") || is_of_bystanders(line)
}
