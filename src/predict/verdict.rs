//! The verdict: the decision, the loader's steps, the findings and what a patch would change.

use serde::{Deserialize, Serialize};

use crate::predict::danger::Danger;
use crate::predict::userspace::{errno_name, errno_words};
use crate::text::grouped;

/// The kernel's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The loader accepts the module. Its init function can still fail.
    Accepted,
    /// The loader refuses the module.
    Refused,
    /// A fact that would decide the result is missing.
    Unknown,
}

/// A step of the loader, in the order of 6.5 and later.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderStep {
    /// Can modules be loaded at all?
    Permission,
    /// The compression of the file, and the program that decompresses it.
    Container,
    /// The appended signature.
    Signature,
    /// The ELF checks: the machine, and the required sections.
    Elf,
    /// The kernel's blacklist of names.
    Blacklist,
    /// The CRC of `module_layout`.
    ModuleLayout,
    /// The version magic.
    Vermagic,
    /// Support for livepatch modules.
    Livepatch,
    /// Is a module of this name already loaded?
    Name,
    /// No section may be both writable and executable.
    Sections,
    /// Memory for the module's sections and per-CPU data.
    Memory,
    /// Exports: they need CRCs and flags, and must not be duplicates.
    Exports,
    /// Imports: each symbol must be exported, with the same CRC.
    Symbols,
    /// Relocations, including those of `struct module`.
    Relocations,
    /// The module's BTF.
    Btf,
}

impl LoaderStep {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            LoaderStep::Permission => "permission",
            LoaderStep::Container => "container",
            LoaderStep::Signature => "signature",
            LoaderStep::Elf => "elf",
            LoaderStep::Blacklist => "blacklist",
            LoaderStep::ModuleLayout => "module-layout",
            LoaderStep::Vermagic => "vermagic",
            LoaderStep::Livepatch => "livepatch",
            LoaderStep::Name => "name",
            LoaderStep::Sections => "sections",
            LoaderStep::Memory => "memory",
            LoaderStep::Exports => "exports",
            LoaderStep::Symbols => "symbols",
            LoaderStep::Relocations => "relocations",
            LoaderStep::Btf => "btf",
        }
    }
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// The module passes the step.
    Pass,
    /// The kernel refuses the module at this step.
    Fail,
    /// The kernel does not perform the check.
    Skip,
    /// A fact is missing, so the result is not known.
    Unknown,
}

/// One reason in a verdict: the loader's step, the module's value, the kernel's value.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The loader's step.
    pub step: LoaderStep,
    /// The result of the step.
    pub result: StepResult,
    /// The module's value, escaped for display.
    pub module: Option<String>,
    /// The kernel's value, escaped for display.
    pub kernel: Option<String>,
    /// The source of the kernel's value.
    pub source: Option<String>,
    /// The reason, in words; for an unknown step, which fact would decide it.
    pub note: String,
    /// The number of further findings of this kind, whose notes differ only in a name or a place and which are not listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Finding {
    pub(super) fn new(step: LoaderStep, result: StepResult, note: impl Into<String>) -> Finding {
        Finding { step, result, module: None, kernel: None, source: None, note: note.into(), more: 0 }
    }

    /// The reason, and the number of further findings of this kind.
    pub(crate) fn sentence(&self) -> String {
        match self.more {
            0 => self.note.clone(),
            more => format!("{} (and {} more like this)", self.note, grouped(more as u64)),
        }
    }
}

/// The kernel's decision, with the reasons.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub answer: Decision,
    /// For a refusal, the errno of init_module(2) as a positive number, in the numbering of the kernel's architecture; `None`
    /// unless it is the same whichever step refuses.
    pub errno: Option<i32>,
    /// The same errno in the numbering of asm-generic, from which its name is taken.
    pub generic_errno: Option<i32>,
    /// For a refusal, all errnos that may be returned, in the numbering of the kernel's architecture.
    pub errnos: Vec<i32>,
    /// For a refusal, the undecided steps before [`Verdict::stage`]. One of them may refuse first and print its own lines
    /// instead. Empty if everything is certain.
    pub undecided: Vec<LoaderStep>,
    /// The lines that the loader prints, in order and without timestamps, in a kernel whose taint was clear before and if the
    /// undecided steps pass.
    pub dmesg: Vec<String>,
    /// The number of further lines that the loader prints, which are not listed because there are too many.
    pub dmesg_more: usize,
    /// The loader may print further lines about unknown facts that lead to no refusal.
    pub is_dmesg_open: bool,
    /// The taints that the attempt leaves, as letters in the order of their bits; `None` if they are not known.
    pub taint: Option<String>,
    /// The last step that the loader can reach: it refuses the module unless an earlier step does.
    pub stage: Option<LoaderStep>,
    /// The module is refused because it was modified after it was signed with a key that the kernel has.
    pub is_changed: bool,
    /// The reasons, in the loader's order.
    pub findings: Vec<Finding>,
    /// The modules that must be loaded before this one.
    pub needs: Vec<String>,
    /// Whether a patch of the file would help, for each patch mode.
    pub patched: [PatchPrediction; 2],
    /// The dangers if the module is loaded anyway; worst first.
    pub dangers: Vec<Danger>,
}

impl Verdict {
    /// The errno with its name and the number on the kernel's architecture: "ENOEXEC (8)".
    pub fn errno_words(&self) -> Option<String> {
        let (number, generic) = (self.errno?, self.generic_errno?);
        Some(match number == generic {
            true => errno_words(number),
            false => format!("{} ({number})", errno_name(generic)),
        })
    }

    /// Would a rewritten version magic help?
    pub fn patch_helps(&self) -> PatchHelps {
        let [rewritten, _] = &self.patched;
        rewritten.helps
    }
}

/// How a patch changes the version magic; the trailer is removed as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum PatchMode {
    /// The version magic is replaced by the kernel's.
    Rewrite,
    /// The version magic is removed.
    Blank,
}

impl PatchMode {
    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            PatchMode::Rewrite => "rewrite",
            PatchMode::Blank => "blank",
        }
    }
}

/// Would a patch of the version magic help?
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PatchHelps {
    /// The module would load, or at least pass this check.
    Yes,
    /// The module loads already, or is refused for a reason that no patch changes.
    No,
    /// The version magic strings differ, but only in parts that this kernel does not compare.
    Pointless,
    /// The kernel also refuses the module for another reason.
    Insufficient,
}

/// The prediction for a patched module.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PatchPrediction {
    /// The patch mode.
    pub mode: PatchMode,
    /// Would the patch help?
    pub helps: PatchHelps,
    /// The decision for the patched module.
    pub verdict: Decision,
    /// The step that refuses the patched module.
    pub stage: Option<LoaderStep>,
    /// The reason for the refusal, in words; for a module that would load, the taints that it sets.
    pub note: String,
}

impl PatchPrediction {
    /// The same prediction for a file that is not a module: there is nothing to patch.
    pub(super) fn of_no_module(self) -> PatchPrediction {
        PatchPrediction { helps: PatchHelps::No, ..self }
    }
}
