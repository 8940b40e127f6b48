//! What a kernel will answer to a module: the loader's rules, applied to facts. Pure: facts in, a verdict out.
//!
//! Decided here so far is one step of the loader's, the version magic. All others are told as *unknown*, with what would
//! decide them.

mod vermagic;

use serde::Serialize;

use crate::kernel::Kernel;
use crate::module::Module;
use crate::module::versions::Kind;
use crate::vermagic::TokenKind;

/// ENOEXEC: what most refusals of the loader come back as.
pub const ENOEXEC: i32 = 8;

/// What the kernel will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It loads.
    Accepted,
    /// It does not.
    Refused,
    /// A fact is missing that would decide it.
    Unknown,
}

/// A step of the loader's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The appended signature.
    Signature,
    /// The CRCs of `module_layout` and of the imported symbols.
    SymbolVersions,
    /// The version magic.
    Vermagic,
    /// Each imported symbol is exported by somebody.
    Symbols,
}

impl Step {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Step::Signature => "signature",
            Step::SymbolVersions => "symbol-versions",
            Step::Vermagic => "vermagic",
            Step::Symbols => "symbols",
        }
    }
}

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The module passes it.
    Pass,
    /// The kernel refuses the module here.
    Fail,
    /// A fact is missing.
    Unknown,
}

/// One reason in a verdict: the loader's step, what the module has, what the kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which step.
    pub step: Step,
    /// How it ends.
    pub result: Outcome,
    /// What the module has, for eyes.
    pub module: Option<String>,
    /// What the kernel has, for eyes.
    pub kernel: Option<String>,
    /// Where the kernel's side was read.
    pub source: Option<String>,
    /// Why, in words; for an unknown step, what would decide it.
    pub note: String,
}

/// Would a patch of the version magic help?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchHelps {
    /// It would take the module past the version magic check, as far as that is known.
    Yes,
    /// There is nothing to help: the check is passed.
    No,
    /// The strings differ, but only where this kernel does not look.
    Pointless,
}

/// The kernel's answer, with its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Answer,
    /// What init_module(2) returns, as a positive number; for a refusal.
    pub errno: Option<i32>,
    /// The lines that the loader prints, in order, without timestamps.
    pub dmesg: Vec<String>,
    /// The step that refuses.
    pub stage: Option<Step>,
    /// The reasons, in the loader's order.
    pub findings: Vec<Finding>,
    /// Would a patch of the version magic help?
    pub patch_helps: PatchHelps,
}

/// The verdict for a module, known to the kernel as `name`, on a kernel.
pub fn predict(module: &Module, name: &str, kernel: &Kernel) -> Verdict {
    let (vermagic, patch_helps) = vermagic::check(module, kernel);
    let refused = vermagic.result == Outcome::Fail;
    let dmesg = if refused { vermagic::line(module, name, kernel) } else { Vec::new() };
    let mut findings = vec![];
    if module.trailer.is_some() {
        findings.push(unknown(
            Step::Signature,
            "does this kernel know the key, and does it insist? (its image and config)",
        ));
    }
    if module.versions.kind() != Kind::None && kernel.vermagic.value.has(TokenKind::Modversions) {
        // This step comes first: a CRC of module_layout that differs is refused with the same errno and another line.
        let note = "do the CRCs agree? (its image, or its Module.symvers); if that of module_layout does not, the kernel logs so, \
                    and nothing of the version magic";
        findings.push(unknown(Step::SymbolVersions, note));
    }
    findings.push(vermagic);
    if !module.imports.is_empty() {
        findings
            .push(unknown(Step::Symbols, "does it export all that the module imports? (its image and module tree)"));
    }
    Verdict {
        answer: if refused { Answer::Refused } else { Answer::Unknown },
        errno: refused.then_some(ENOEXEC),
        dmesg,
        stage: refused.then_some(Step::Vermagic),
        findings,
        patch_helps,
    }
}

fn unknown(step: Step, note: &str) -> Finding {
    Finding { step, result: Outcome::Unknown, module: None, kernel: None, source: None, note: note.to_owned() }
}
