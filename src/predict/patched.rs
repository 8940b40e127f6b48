//! Would a patch help? Repeats the attempt with the module as a patch would leave it.

use crate::predict::record::AttemptRecord;
use crate::predict::verdict::{Decision, LoaderStep, PatchHelps, PatchMode, PatchPrediction, StepResult};

/// Judges one patch mode, from the requested attempt and one on the patched module.
pub(super) fn judge(
    change: PatchMode,
    asked: &AttemptRecord,
    attempt: impl Fn(PatchMode) -> AttemptRecord,
) -> PatchPrediction {
    let patched = attempt(change);
    let is_differing = asked.vermagics_differ;
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
            letters if letters.is_empty() => "it would load without a taint".to_owned(),
            letters => format!("it would load, and taint {letters}"),
        },
        (None, _) if change == PatchMode::Rewrite && patched.is_vermagic_unknown && !asked.ignores_vermagic => {
            "the string to write is not known: give it by hand, vermagic:'STRING'".to_owned()
        }
        (None, _) => "would pass this check; no other failure known".to_owned(),
    };
    PatchPrediction { mode: change, helps, verdict: patched.answer(), stage, note }
}

fn passes_vermagic(asked: &AttemptRecord) -> bool {
    asked.ignores_vermagic
        || asked
            .findings
            .iter()
            .any(|finding| finding.step == LoaderStep::Vermagic && finding.result == StepResult::Pass)
}
