//! Would a patch help? The same attempt again, on the module as a patch would leave it.

use serde::Serialize;

use crate::predict::record::Record;
use crate::predict::{Decision, LoaderStep, StepResult};

/// What a patch changes: the version magic, and the trailer goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchMode {
    /// It becomes the kernel's.
    Rewrite,
    /// It goes.
    Blank,
}

impl PatchMode {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PatchMode::Rewrite => "rewrite",
            PatchMode::Blank => "blank",
        }
    }
}

/// Would a patch of the version magic help?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchHelps {
    /// It would load, or at least pass this check as far as that is known.
    Yes,
    /// There is nothing to help: it loads, or is refused before or for something that no patch touches.
    No,
    /// The strings differ, but only where this kernel does not look.
    Pointless,
    /// Something else stands in the way, too or alone.
    Insufficient,
}

/// What one way of patching would lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchPrediction {
    /// The way.
    pub mode: PatchMode,
    /// Would it help?
    pub helps: PatchHelps,
    /// The answer to the patched module.
    pub verdict: Decision,
    /// The step that refuses the patched module.
    pub stage: Option<LoaderStep>,
    /// Why it refuses, in words; for what would load, the taints that it leaves.
    pub note: String,
}

/// Judges one way, by the attempt that was asked for and one on the patched module.
pub(super) fn judge(change: PatchMode, asked: &Record, attempt: impl Fn(PatchMode) -> Record) -> PatchPrediction {
    let patched = attempt(change);
    let is_differing = asked.findings.iter().any(|finding| {
        finding.step == LoaderStep::Vermagic
            && finding.module.is_some()
            && (asked.ignores_vermagic || finding.kernel.is_some())
            && finding.module != finding.kernel
    });
    let is_known =
        patched.findings.iter().all(|finding| finding.step != LoaderStep::Vermagic || finding.kernel.is_some());
    let failing = patched.findings.iter().find(|finding| finding.result == StepResult::Fail);
    let stage = patched.refused.map(|(step, _)| step);
    let helps = match (asked.answer(), patched.answer()) {
        (Decision::Accepted, _) if is_differing => PatchHelps::Pointless,
        (Decision::Accepted, _) => PatchHelps::No,
        (Decision::Refused, Decision::Refused) => PatchHelps::Insufficient,
        (Decision::Refused, _) => PatchHelps::Yes,
        (Decision::Unknown, Decision::Refused) => PatchHelps::Insufficient,
        (Decision::Unknown, _) if is_differing && passes_vermagic(asked) => PatchHelps::Pointless,
        (Decision::Unknown, _) if passes_vermagic(asked) => PatchHelps::No,
        (Decision::Unknown, _) => PatchHelps::Yes,
    };
    let note = match (failing, patched.answer()) {
        (Some(finding), _) => finding.note.clone(),
        (None, Decision::Accepted) => match patched.taints.letters() {
            letters if letters.is_empty() => "it would load, and leave no taint".to_owned(),
            letters => format!("it would load, and taint {letters}"),
        },
        (None, _) if change == PatchMode::Rewrite && !is_known && !asked.ignores_vermagic => {
            "what to write is not known: give the string by hand, vermagic:'STRING'".to_owned()
        }
        (None, _) => "past this check, as far as is known".to_owned(),
    };
    PatchPrediction { mode: change, helps, verdict: patched.answer(), stage, note }
}

impl PatchPrediction {
    /// The same, for a file that is no module: there is nothing to patch.
    pub(super) fn of_no_module(self) -> PatchPrediction {
        PatchPrediction { helps: PatchHelps::No, ..self }
    }
}

fn passes_vermagic(asked: &Record) -> bool {
    asked.ignores_vermagic
        || asked
            .findings
            .iter()
            .any(|finding| finding.step == LoaderStep::Vermagic && finding.result == StepResult::Pass)
}
