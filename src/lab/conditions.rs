//! The conditions that all trials of a run share.

use crate::lab::guest::{GuestSettings, Isolation};
use crate::lab::record::TrialCondition;
use crate::lab::wire::UnloadMode;

/// How far a trial goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The module is loaded, and neither used nor unloaded.
    Load,
    /// The module is loaded, used, and unloaded.
    Use(UnloadMode),
}

/// The conditions of a run.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How guests are run.
    pub settings: GuestSettings,
    /// How far each trial goes.
    pub depth: Depth,
    /// Is the module loaded without the modules that it needs, as by a bare insmod?
    pub alone: bool,
    /// The number of guests that run at the same time.
    pub jobs: usize,
}

impl Conditions {
    /// The conditions that differ from the defaults.
    pub(super) fn recorded(&self) -> Vec<TrialCondition> {
        let GuestSettings { command_line, probe, isolation, .. } = &self.settings;
        let when = |is_so: bool, condition: TrialCondition| is_so.then_some(condition);
        [
            when(!command_line.is_empty(), TrialCondition::KernelArguments(command_line.clone())),
            when(!probe.is_empty(), TrialCondition::Probe(probe.join(" "))),
            when(self.depth == Depth::Load, TrialCondition::LoadOnly),
            when(self.depth == Depth::Use(UnloadMode::Forced), TrialCondition::ForcedUnload),
            when(self.alone, TrialCondition::NoDependencies),
            when(*isolation == Isolation::Boot, TrialCondition::OwnBoot),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
