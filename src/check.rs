//! Checks: what kernels answer to module files, as one report per module and kernel, and the tally of all reports.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::sha256;
use crate::error::{Error, Result};
use crate::kernel::{Kernel, KernelName, Lookup};
use crate::module::container::Container;
use crate::module::{self, Module, file, name_of_file};
use crate::parallel;
use crate::predict::danger::Danger;
use crate::predict::{
    self, Candidate, Decision, Finding, Force, LoadOptions, LoaderStep, PatchHelps, PatchPrediction, StepResult,
    Userspace, Verdict,
};
use crate::text;
use crate::vault::index::JournalIndex;
use crate::vault::target;
use crate::vermagic::{Comparison, Vermagic, compare};

/// How many modules are checked at a time: enough to keep all cores busy.
const BATCH: usize = 64;

/// Reads several kernels in parallel.
///
/// # Errors
///
/// The first error in the order of the names; those of [`Kernel::read`].
pub fn read_kernels(names: &[KernelName], lookup: &Lookup) -> Result<Vec<Kernel>> {
    let kernels = parallel::map(names.iter().collect(), |name| Kernel::read(name, lookup));
    kernels.into_iter().collect()
}

/// What modules are checked against.
pub struct CheckRequest<'r> {
    /// The kernels.
    pub kernels: &'r [Kernel],
    /// How the modules are loaded.
    pub load: LoadOptions,
    /// The most bytes that a compressed module may have when it is decompressed.
    pub max_size: u64,
    /// The journal, which knows patched modules by their paths and contents.
    pub journal: Option<&'r JournalIndex>,
}

/// A module that was checked against all kernels of a request.
pub struct ModuleCheck {
    /// Its file.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// Its version magic, if it has one.
    pub vermagic: Option<Vermagic>,
    /// The error of the module reader, if the file contradicts itself.
    pub broken: Option<Error>,
    /// The bytes after its signature, as a sentence, if there are any: they hide the signature.
    pub after_signature: Option<String>,
    /// The verdicts, in the order of the kernels.
    pub verdicts: Vec<Verdict>,
}

impl CheckRequest<'_> {
    /// Checks the next modules in parallel; the checks have the order of the files. Nothing is left if there is none.
    ///
    /// # Errors
    ///
    /// Each check has its own: that of the file, those of opening a module, and the error of the module reader if no kernel's
    /// answer to the broken file is known.
    pub fn check_batch(&self, files: &mut impl Iterator<Item = Result<PathBuf>>) -> Vec<Result<ModuleCheck>> {
        let batch: Vec<Result<PathBuf>> = files.take(BATCH).collect();
        parallel::map(batch, |path| self.check(path?))
    }

    fn check(&self, path: PathBuf) -> Result<ModuleCheck> {
        let is_patched = self.journal.is_some_and(|journal| is_patched(&path, journal));
        let load = LoadOptions { is_patched, ..self.load };
        let mut check = self.predict(path, &load)?;
        if is_patched {
            check.verdicts.iter_mut().for_each(add_patched);
        }
        Ok(check)
    }

    /// Every kernel refuses a file that is not a module. A file that contradicts itself is checked if the facts of all kernels
    /// show how they answer to it; else the contradiction is the error.
    fn predict(&self, path: PathBuf, load: &LoadOptions) -> Result<ModuleCheck> {
        module::with_packed(&path, self.max_size, |bytes, packing| {
            let read = Module::read(bytes);
            let is_predictable =
                predict::is_of_no_module(bytes) || self.kernels.iter().all(|kernel| kernel.facts.machine.is_some());
            let (module, broken) = match read {
                Ok(module) => (Some(module), None),
                Err(error) if is_predictable => (None, Some(error)),
                Err(error) => return Err(error.on(&path)),
            };
            let candidate = Candidate { bytes, module: module.as_ref(), packing };
            let verdicts = self.kernels.iter().map(|kernel| predict::predict(&candidate, kernel, load)).collect();
            let name = module.as_ref().map_or_else(|| name_of_file(&path), |module| module.name_or_stem(&path));
            let container = packing.map_or(Container::None, |packing| packing.container);
            let after_signature = module.as_ref().and_then(|module| module.after_signature(container, &path));
            let vermagic = module.as_ref().and_then(Module::vermagic);
            Ok(ModuleCheck { path: path.clone(), name, vermagic, broken, after_signature, verdicts })
        })?
    }
}

/// Was the file written by a patch, according to the journal: at this path, or as a copy?
fn is_patched(path: &Path, journal: &JournalIndex) -> bool {
    let at_its_path = || journal.is_patched(&target::real_path(path).ok()?).ok();
    let is_copy = || {
        let size = path.metadata().ok()?.len();
        let contents = journal.sizes().contains(&size).then(|| file::read(path).ok()).flatten()?;
        journal.knows_content(sha256(contents.bytes())).ok()
    };
    at_its_path().unwrap_or(false) || is_copy().unwrap_or(false)
}

/// Adds the warning to a verdict that does not have it from the module's own mark.
fn add_patched(verdict: &mut Verdict) {
    if !verdict.dangers.iter().any(|danger| matches!(danger, Danger::Patched { .. })) {
        verdict.dangers.push(Danger::patched("the journal has the patch"));
    }
}

/// What a patch of the version magic achieves.
#[derive(Clone, Copy, Debug)]
pub enum PatchAdvice<'v> {
    /// Nothing: the file was changed after it was signed, and stays so.
    FileChanged,
    /// Nothing: the kernel does not compare what differs.
    Pointless,
    /// Nothing: the kernel refuses the module for another reason.
    NoHelp,
    /// The file contradicts itself, so it cannot be patched.
    BrokenFile,
    /// There is no vermagic entry to change.
    NoEntry,
    /// No patch is needed; `certain` if the kernel accepts the module as it is.
    NotNeeded {
        /// The kernel accepts the module.
        certain: bool,
    },
    /// The kernel refuses the patched module at a later step.
    Insufficient(&'v PatchPrediction),
    /// It helps: the predictions for a rewritten entry, and for a blanked one.
    Helps {
        /// With a rewritten entry.
        rewrite: &'v PatchPrediction,
        /// With a blanked entry.
        blank: &'v PatchPrediction,
    },
}

/// A build tree that can be made to match a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchingTree<'k> {
    /// The tree in which the kernel was built, if it is known: that of the running kernel.
    pub tree: Option<PathBuf>,
    /// The kernel.
    pub kernel: &'k KernelName,
}

impl ModuleCheck {
    /// What a patch of the version magic achieves, by this verdict.
    pub fn patch_advice<'v>(&self, verdict: &'v Verdict) -> PatchAdvice<'v> {
        let [rewrite, blank] = &verdict.patched;
        if verdict.is_changed {
            return PatchAdvice::FileChanged;
        }
        match (rewrite.helps, verdict.answer) {
            (PatchHelps::Pointless, _) => PatchAdvice::Pointless,
            (PatchHelps::No, Decision::Refused) => PatchAdvice::NoHelp,
            (_, Decision::Unknown | Decision::Accepted) if self.broken.is_some() => PatchAdvice::BrokenFile,
            (PatchHelps::No, _) if self.vermagic.is_none() => PatchAdvice::NoEntry,
            (PatchHelps::No, answer) => PatchAdvice::NotNeeded { certain: answer != Decision::Unknown },
            (PatchHelps::Insufficient, _) => PatchAdvice::Insufficient(rewrite),
            (PatchHelps::Yes, _) => PatchAdvice::Helps { rewrite, blank },
        }
    }

    /// The version magics of module and kernel, compared, if both are known.
    pub fn comparison(&self, kernel: &Kernel) -> Option<Comparison> {
        Some(compare(self.vermagic.as_ref()?, kernel.vermagic()?))
    }
}

/// The build tree to change if the module was built for another kernel; `None` if the version magic is not the reason. The
/// running kernel's tree is at a known place (`make modules_install` makes the link).
pub fn matching_tree<'k>(kernel: &'k Kernel, verdict: &Verdict) -> Option<MatchingTree<'k>> {
    // A tree can only be made to match a version magic that is known.
    kernel.vermagic()?;
    let is_foreign = verdict.dangers.iter().any(Danger::is_foreign);
    if !is_foreign && verdict.stage != Some(LoaderStep::Vermagic) {
        return None;
    }
    let running = (kernel.name == KernelName::Running).then(|| kernel.release()).flatten();
    let tree = running.map(|release| PathBuf::from(format!("/lib/modules/{release}/build")));
    Some(MatchingTree { tree, kernel: &kernel.name })
}

/// The image together with its configuration, if only the image was named, a step is not decided, and the configuration of
/// its release is next to the image.
pub fn with_configuration(kernel: &Kernel, verdict: &Verdict) -> Option<KernelName> {
    let is_anything_open = verdict.findings.iter().any(|finding| finding.result == StepResult::Unknown);
    if kernel.facts.config.is_some() || !is_anything_open {
        return None;
    }
    let [image] = kernel.name.paths() else { return None };
    let release = kernel.facts.release.as_ref().map(|release| release.value.as_str())?;
    let config = image.with_file_name(format!("config-{}", release.replace('/', "_")));
    (image.is_file() && config.is_file()).then(|| KernelName::Paths(vec![image.clone(), config]))
}

/// How many modules were checked, and with which results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckTally {
    /// Modules that were checked or failed.
    pub done: usize,
    /// Modules that could not be checked.
    pub failed: usize,
    /// Verdicts that are a refusal, over all modules and kernels.
    pub refused: usize,
}

impl CheckTally {
    /// Counts a module.
    pub fn add(&mut self, check: &Result<ModuleCheck>) {
        self.done += 1;
        match check {
            Ok(check) => {
                self.refused += check.verdicts.iter().filter(|verdict| verdict.answer == Decision::Refused).count();
            }
            Err(_) => self.failed += 1,
        }
    }
}

/// The answer of one kernel to one module, for programs.
#[derive(Serialize)]
pub struct CheckReport<'c> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, if they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kernel: &'c KernelName,
    force: Force,
    verdict: Decision,
    errno: Option<i32>,
    errno_name: Option<Cow<'static, str>>,
    /// All errno values that the call may return, if it is not certainly one, or if steps before the refusal are not decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errnos: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    undecided: Vec<&'static str>,
    dmesg: &'c [String],
    /// The number of further lines, if there are too many to list.
    #[serde(skip_serializing_if = "Option::is_none")]
    dmesg_more: Option<usize>,
    /// Further lines are possible.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dmesg_open: bool,
    taint: Option<&'c str>,
    stage: Option<&'static str>,
    findings: &'c [Finding],
    needs: &'c [String],
    dangers: &'c [Danger],
    patch_helps: PatchHelps,
    /// The command that shows how to make a build tree match, if the version magic is the reason.
    right_way: Option<String>,
    patched: &'c [PatchPrediction],
    userspace: Userspace,
    /// What is wrong with the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<&'c str>,
}

impl<'c> CheckReport<'c> {
    /// The report on a module and the kernel that this verdict is of. `command` words the command for a build tree.
    pub fn of(
        check: &'c ModuleCheck,
        kernel: &'c Kernel,
        verdict: &'c Verdict,
        force: Force,
        command: impl FnOnce(&MatchingTree<'_>) -> String,
    ) -> CheckReport<'c> {
        CheckReport {
            schema_version: 1,
            module: text::path_text(&check.path).into_owned(),
            path_hex: text::path_hex(&check.path),
            kernel: &kernel.name,
            force,
            verdict: verdict.answer,
            errno: verdict.errno,
            errno_name: verdict.generic_errno.map(predict::errno_name),
            errnos: if verdict.undecided.is_empty() && verdict.errnos.len() == 1 {
                Vec::new()
            } else {
                verdict.errnos.clone()
            },
            undecided: verdict.undecided.iter().map(|step| step.name()).collect(),
            dmesg: &verdict.dmesg,
            dmesg_more: Some(verdict.dmesg_more).filter(|more| *more > 0),
            dmesg_open: verdict.is_dmesg_open,
            taint: verdict.taint.as_deref(),
            stage: verdict.stage.map(LoaderStep::name),
            findings: &verdict.findings,
            needs: &verdict.needs,
            dangers: &verdict.dangers,
            patch_helps: verdict.patch_helps(),
            right_way: matching_tree(kernel, verdict).as_ref().map(command),
            patched: &verdict.patched,
            userspace: Userspace::of(verdict.generic_errno),
            broken: check.broken.as_ref().map(Error::what),
        }
    }
}
