//! The conditions under which modules are tried, the same for all trials of a run.

use crate::lab::guest::{GuestSettings, Isolation};
use crate::lab::record::TrialCondition;
use crate::lab::wire::UnloadMode;

/// How far a module is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It is loaded, and that is all.
    Load,
    /// It is loaded, used, and unloaded.
    Use(UnloadMode),
}

/// What is the same for all questions.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How guests are run.
    pub settings: GuestSettings,
    /// How far modules are tried.
    pub depth: Depth,
    /// Is the module loaded without what it needs, as by a bare insmod?
    pub alone: bool,
    /// How many guests run at the same time.
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
