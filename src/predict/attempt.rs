//! One attempt at loading: what each step has to go by.

use crate::kernel::{Kernel, Machine, OwnImports};
use crate::predict::load_info::{LoadInfo, machine_of};
use crate::predict::options::{Candidate, LoadOptions};
use crate::predict::rules::Rules;
use crate::predict::verdict::PatchMode;

/// What the steps look at.
pub(super) struct Attempt<'a> {
    pub(super) subject: &'a Candidate<'a>,
    pub(super) kernel: &'a Kernel,
    /// What the module says of the kernel itself, where the facts hold it.
    pub(super) own: Option<&'a OwnImports>,
    pub(super) rules: &'a Rules<'a>,
    pub(super) load: &'a LoadOptions,
    /// What a patch would have changed before.
    pub(super) change: Option<PatchMode>,
}

impl Attempt<'_> {
    /// The kernel's machine; the module's own where that is not known.
    pub(super) fn machine(&self, loaded: &LoadInfo<'_>) -> Machine {
        let known = self.kernel.facts.machine.as_ref();
        known.map_or_else(|| machine_of(loaded.file), |machine| machine.value)
    }
}
