//! The verdict: the decision, the loader's steps, the findings and what a patch would change.

use serde::{Deserialize, Serialize};

use crate::predict::danger::Danger;
use crate::predict::userspace::{errno_name, errno_words};

/// The kernel's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The loader accepts it. Its init function can still fail.
    Accepted,
    /// The loader refuses it.
    Refused,
    /// A fact that would decide it is missing.
    Unknown,
}

/// A step of the loader, in the order of 6.5 and later.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoaderStep {
    /// Whether modules can be loaded at all.
    Permission,
    /// How the file is compressed, and who unpacks it.
    Container,
    /// The appended signature.
    Signature,
    /// The ELF checks: the machine, and the sections that a module has.
    Elf,
    /// The kernel's blacklist of names.
    Blacklist,
    /// The CRC of `module_layout`.
    ModuleLayout,
    /// The version magic.
    Vermagic,
    /// Livepatches.
    Livepatch,
    /// Whether a module of this name is loaded.
    Name,
    /// No section both writable and executable.
    Sections,
    /// Memory for its sections, and for its per-CPU data.
    Memory,
    /// Exports: their CRCs and flags, and no duplicates.
    Exports,
    /// Imports: each symbol is exported, with the same CRC.
    Symbols,
    /// Relocations, also of `struct module`.
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

/// How a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepResult {
    /// The module passes it.
    Pass,
    /// The kernel refuses the module here.
    Fail,
    /// The kernel does not check.
    Skip,
    /// A fact is missing.
    Unknown,
}

/// One reason in a verdict: the loader's step, what the module has, what the kernel has.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which step.
    pub step: LoaderStep,
    /// How it ends.
    pub result: StepResult,
    /// The module's value, escaped for display.
    pub module: Option<String>,
    /// The kernel's value, escaped for display.
    pub kernel: Option<String>,
    /// The source of the kernel's value.
    pub source: Option<String>,
    /// The reason, in words; for an unknown step, which fact would decide it.
    pub note: String,
}

impl Finding {
    pub(super) fn new(step: LoaderStep, result: StepResult, note: impl Into<String>) -> Finding {
        Finding { step, result, module: None, kernel: None, source: None, note: note.into() }
    }
}

/// The kernel's answer, with its reasons.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer.
    pub answer: Decision,
    /// What init_module(2) returns, as a positive number and as the kernel's architecture numbers it; for a refusal, if it is
    /// the same whichever step refuses.
    pub errno: Option<i32>,
    /// The same as asm-generic numbers it, by which it has its name.
    pub generic_errno: Option<i32>,
    /// All that it may return, for a refusal, as the kernel's architecture numbers it.
    pub errnos: Vec<i32>,
    /// The steps before [`Verdict::stage`] that are not decided, for a refusal. One of them may refuse first; then the lines
    /// are its own. Empty where all is certain.
    pub undecided: Vec<LoaderStep>,
    /// The lines that the loader prints, in order, without timestamps, in a kernel whose taint was clear before; if the
    /// steps that are not decided pass.
    pub dmesg: Vec<String>,
    /// The loader may print further lines, about what is not known and refuses nothing.
    pub is_dmesg_open: bool,
    /// The taints that the attempt leaves, as letters in the order of their bits; `None` where that is not known.
    pub taint: Option<String>,
    /// The step that refuses at the latest.
    pub stage: Option<LoaderStep>,
    /// It is refused because it was changed after it was signed with a key that the kernel has.
    pub is_changed: bool,
    /// The reasons, in the loader's order.
    pub findings: Vec<Finding>,
    /// The modules that must be loaded before it.
    pub needs: Vec<String>,
    /// Whether a patch of the file would help, for each way to change the version magic.
    pub patched: [PatchPrediction; 2],
    /// Dangers if it is loaded anyway; worst first.
    pub dangers: Vec<Danger>,
}

impl Verdict {
    /// The errno with its name and the kernel's own number: "ENOEXEC (8)".
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

/// What a patch changes: the version magic, and the trailer goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum PatchMode {
    /// It is replaced by the kernel's.
    Rewrite,
    /// It is removed.
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
    /// It would load, or at least pass this check.
    Yes,
    /// It loads already, or is refused for a reason that no patch changes.
    No,
    /// The strings differ, but only where this kernel does not compare them.
    Pointless,
    /// Something else also makes the kernel refuse it.
    Insufficient,
}

/// The prediction for a patched module.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
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

impl PatchPrediction {
    /// The same, for a file that is no module: there is nothing to patch.
    pub(super) fn of_no_module(self) -> PatchPrediction {
        PatchPrediction { helps: PatchHelps::No, ..self }
    }
}
