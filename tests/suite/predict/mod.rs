//! Promise: `predict` predicts what the loader of that kernel version does, rule by rule.
//!
//! The kernels here are made of facts, so that each rule is tested separately; `tests/suite/real` tests the same rules against
//! real kernels. The module is `hello-4.ko`: for x86-64, not signed, not from the tree, two imports.

mod android;
mod arch;
mod bare;
mod containers;
mod forced;
mod hostile;
mod kernels;
mod memory;
mod no_module;
mod patched;
mod proprietary;
mod refusals;
mod signed;
mod special;
mod structure;
mod types;
mod versions;

use std::path::Path;

use kmodlab::kernel::Kernel;
use kmodlab::module::Module;
use kmodlab::predict::{Candidate, Decision, Force, LoadOptions, LoaderStep, StepResult, Verdict, predict};

/// The bytes of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
}

/// `hello-4.ko`, with some of its bytes replaced by others of the same length.
fn hello(changes: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut bytes = fixture("modules/hello-4.ko");
    for (old, new) in changes {
        assert_eq!(old.len(), new.len());
        let at = bytes.windows(old.len()).position(|window| window == *old).expect("the bytes to be replaced");
        bytes[at..at + new.len()].copy_from_slice(new);
    }
    bytes
}

/// The verdict for a plain insmod.
fn insmod(bytes: &[u8], kernel: &Kernel, force: Force) -> Verdict {
    judge(bytes, kernel, LoadOptions { force, alone: true, ..LoadOptions::default() })
}

/// The verdict for a plain insmod of a damaged module, whose names, and so its lines, can have any characters.
fn insmod_damaged(bytes: &[u8], kernel: &Kernel, force: Force) -> Verdict {
    predicted(bytes, kernel, LoadOptions { force, alone: true, ..LoadOptions::default() })
}

fn judge(bytes: &[u8], kernel: &Kernel, load: LoadOptions) -> Verdict {
    let verdict = predicted(bytes, kernel, load);
    // Each line that is predicted here must be one that `explain` knows.
    crate::explain::assert_explained(&verdict);
    verdict
}

fn predicted(bytes: &[u8], kernel: &Kernel, load: LoadOptions) -> Verdict {
    let module = Module::read(bytes).ok();
    predict(&Candidate { bytes, module: module.as_ref(), packing: None }, kernel, &load)
}

/// The module is refused at this step with this errno, and these are the lines.
#[track_caller]
fn assert_refused(verdict: &Verdict, step: LoaderStep, errno: i32, lines: &[&str]) {
    assert_eq!(
        (verdict.answer, verdict.stage, verdict.errno),
        (Decision::Refused, Some(step), Some(errno)),
        "{verdict:#?}"
    );
    assert_eq!(verdict.dmesg, lines);
}

/// The module is accepted and leaves these taints, and these are the lines.
#[track_caller]
fn assert_accepted(verdict: &Verdict, taint: &str, lines: &[&str]) {
    assert_eq!((verdict.answer, verdict.taint.as_deref()), (Decision::Accepted, Some(taint)), "{verdict:#?}");
    assert_eq!(verdict.dmesg, lines);
}

/// The answer is unknown, and each of these texts is part of an open question.
#[track_caller]
fn assert_unknown(verdict: &Verdict, words: &[&str]) {
    assert_eq!((verdict.answer, verdict.errno, &verdict.taint), (Decision::Unknown, None, &None), "{verdict:#?}");
    let unknown: Vec<&str> =
        verdict.findings.iter().filter(|f| f.result == StepResult::Unknown).map(|f| f.note.as_str()).collect();
    for word in words {
        assert!(unknown.iter().any(|note| note.contains(word)), "{word} is not in {unknown:#?}");
    }
}
