//! What a kernel will answer to a module: the loader's rules, applied to facts. Pure: facts in, a verdict out.
//!
//! Decided here so far are the machine, the version magic, and of the symbol versions the one of `module_layout`. All
//! other steps are told as *unknown*, with what would decide them.

mod symbol_versions;
mod vermagic;

use serde::Serialize;

use crate::kernel::{Kernel, Machine};
use crate::module::Module;

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
    /// The ELF header: is it of this kernel's machine?
    Elf,
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
            Step::Elf => "elf",
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
    /// Something else stands in the way, too or alone.
    Insufficient,
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
    let mut findings = Vec::new();
    findings.extend(machine(module, kernel));
    if module.trailer.is_some() {
        findings.push(unknown(
            Step::Signature,
            "does this kernel know the key, and does it insist? (its image and config)",
        ));
    }
    findings.extend(symbol_versions::check(module, kernel));
    findings.push(vermagic);
    if !module.imports.is_empty() {
        findings
            .push(unknown(Step::Symbols, "does it export all that the module imports? (its image and module tree)"));
    }
    // The first step that fails is the one that the kernel answers with.
    let stage = findings.iter().find(|f| f.result == Outcome::Fail).map(|f| f.step);
    let dmesg = match stage {
        Some(Step::Elf) => machine_line(module, kernel),
        Some(Step::SymbolVersions) => vec![symbol_versions::line(name)],
        Some(Step::Vermagic) => vermagic::line(module, name, kernel),
        _ => Vec::new(),
    };
    let only_vermagic = matches!(stage, None | Some(Step::Vermagic));
    Verdict {
        answer: if stage.is_some() { Answer::Refused } else { Answer::Unknown },
        errno: stage.map(|_| ENOEXEC),
        dmesg,
        stage,
        findings,
        patch_helps: if only_vermagic { patch_helps } else { PatchHelps::Insufficient },
    }
}

/// The machine of module and kernel (`elf_check_arch`, in `elf_validity_check` of kernel/module/main.c, 6.x). Said only
/// where they differ.
fn machine(module: &Module, kernel: &Kernel) -> Option<Finding> {
    let theirs = kernel.facts.machine.as_ref()?;
    let ours = Machine::of(module);
    (ours != theirs.value).then(|| Finding {
        step: Step::Elf,
        result: Outcome::Fail,
        module: Some(ours.to_string()),
        kernel: Some(theirs.value.to_string()),
        source: Some(theirs.source.clone()),
        note: format!("built for {ours}, the kernel runs on {}", theirs.value),
    })
}

/// The line about a foreign machine, which kernels print from 5.16 on; some before print another, most none.
fn machine_line(module: &Module, kernel: &Kernel) -> Vec<String> {
    let base = kernel.vermagic.value.release_parts().map(|release| release.base).unwrap_or_default();
    let mut numbers = base.split('.').map_while(|n| n.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let same_class = kernel.facts.machine.as_ref().is_some_and(|m| m.value.class == module.class);
    match version >= (5, 16) && same_class {
        true => vec![format!("Invalid architecture in ELF header: {}", module.machine)],
        false => Vec::new(),
    }
}

fn unknown(step: Step, note: &str) -> Finding {
    Finding { step, result: Outcome::Unknown, module: None, kernel: None, source: None, note: note.to_owned() }
}
