//! One attempt at loading a module: the input of each step.

use crate::kernel::{Kernel, Machine, OwnImports};
use crate::predict::load_info::{LoadInfo, machine_of};
use crate::predict::options::{Candidate, LoadOptions};
use crate::predict::rules::Rules;
use crate::predict::verdict::PatchMode;

/// The input of the steps.
pub(super) struct Attempt<'a> {
    pub(super) subject: &'a Candidate<'a>,
    pub(super) kernel: &'a Kernel,
    /// The module's own imports, if it is one of the modules from which the facts were taken.
    pub(super) own: Option<&'a OwnImports>,
    pub(super) rules: &'a Rules<'a>,
    pub(super) load: &'a LoadOptions,
    /// The patch that is assumed to have been applied before the attempt.
    pub(super) change: Option<PatchMode>,
}

impl Attempt<'_> {
    /// The kernel's machine, or the module's own if the kernel's is not known.
    pub(super) fn machine(&self, loaded: &LoadInfo<'_>) -> Machine {
        let known = self.kernel.facts.machine.as_ref();
        known.map_or_else(|| machine_of(loaded.file), |machine| machine.value)
    }
}
