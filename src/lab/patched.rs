//! The patch of the load mode `patched`, made in memory; no file is written.

use std::path::Path;

use crate::error::Result;
use crate::guard::machine::Machine;
use crate::guard::{self, Guard, Overrides};
use crate::kernel::Kernel;
use crate::lab::record::{GuardReport, RecordedEdit, RecordedPatch};
use crate::lab::subject::TrialSubject;
use crate::module::Module;
use crate::patch::{Mark, NewVermagic, Plan, Request, Signature};
use crate::predict::{self, Candidate, Decision, Force, LoadOptions, LoaderStep};

/// The most bytes of an edit that are recorded.
const EDIT_KEPT: usize = 256;

/// The patch that fits the module to the kernel: its vermagic, without the signature, which would be invalid, and
/// without BTF if the kernel would refuse that. It has no mark, so that nothing differs except what the loader checks.
pub(super) fn plan(subject: &TrialSubject, kernel: &Kernel, load: &LoadOptions) -> Result<Plan> {
    let new_vermagic = NewVermagic::Rewrite(kernel.known_vermagic()?.value.as_bytes().to_vec());
    let request = Request { mark: Mark::Never, ..Request::new(new_vermagic, Signature::Strip) };
    let plan = Plan::make(&subject.bytes, &request)?;
    let module = Module::read(&plan.bytes_after)?;
    let after = Candidate { bytes: &plan.bytes_after, module: Some(&module), packing: None };
    if predict::predict(&after, kernel, load).stage == Some(LoaderStep::Btf) {
        return Plan::make(&subject.bytes, &Request { drop_btf: true, ..request });
    }
    Ok(plan)
}

/// What the plan changes, and the answers of the guards about module and kernel. The other guards are about files on
/// this machine, and no file is written.
pub(super) fn recorded(plan: &Plan, subject: &TrialSubject, kernel: &Kernel) -> RecordedPatch {
    let kept = |bytes: &[u8]| bytes.get(..EDIT_KEPT).unwrap_or(bytes).to_vec();
    let edits = plan.edits.iter().map(|edit| RecordedEdit {
        offset: edit.offset,
        old: kept(&edit.old),
        new: kept(&edit.new),
        old_len: edit.old.len() as u64,
        new_len: edit.new.len() as u64,
    });
    let guards = subject.module.as_ref().map(|module| {
        let write = guard::PlannedWrite {
            path: Path::new(&subject.seen.path),
            is_new: true,
            module,
            name: &subject.seen.name,
            plan,
            kernel: Some(kernel),
            obstacles: &[],
            is_confirmed: true,
        };
        guard::ask(&write, &Machine::here(None), Overrides::all())
    });
    let of_module = [Guard::Signed, Guard::AbiTokens, Guard::StructModule, Guard::Crc, Guard::Btf];
    let guards = guards.unwrap_or_default().into_iter().filter(|answer| of_module.contains(&answer.guard));
    let guards = guards.map(|answer| GuardReport {
        guard: answer.guard.name().to_owned(),
        result: answer.ruling.name().to_owned(),
        why: answer.reason.to_string(),
    });
    RecordedPatch { edits: edits.collect(), sha256: plan.after.to_string(), guards: guards.collect(), impossible: None }
}

/// A vermagic that fits in place of the own module's, and that the kernel refuses: the first such candidate, or the
/// module's own without the word SMP.
pub fn refused_vermagic(own: &TrialSubject, kernel: &Kernel, candidates: &[String]) -> Option<String> {
    let vermagic = own.seen.vermagic.as_deref()?;
    let without_smp = vermagic.contains(" SMP ").then(|| vermagic.replacen(" SMP ", " ", 1));
    candidates.iter().cloned().chain(without_smp).find(|vermagic| is_refused(own, kernel, vermagic))
}

fn is_refused(own: &TrialSubject, kernel: &Kernel, vermagic: &str) -> bool {
    let new_vermagic = NewVermagic::Rewrite(vermagic.as_bytes().to_vec());
    let request = Request { mark: Mark::Never, ..Request::new(new_vermagic, Signature::Strip) };
    let Some(plan) = Plan::make(&own.bytes, &request).ok().filter(|plan| !plan.grows) else { return false };
    let module = Module::read(&plan.bytes_after).ok();
    let candidate = Candidate { bytes: &plan.bytes_after, module: module.as_ref(), packing: None };
    let load = LoadOptions { force: Force::None, alone: false, ..LoadOptions::default() };
    predict::predict(&candidate, kernel, &load).answer == Decision::Refused
}
