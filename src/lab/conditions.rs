//! The conditions that all trials of a run share.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
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

/// The words of a probe's command line, with the absolute path of its program, which is the same in the guest.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if there is no such program; [`ErrorKind::Usage`] if its path is not UTF-8.
pub fn probe(command: &str) -> Result<Vec<String>> {
    let mut probe: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if let Some(program) = probe.first_mut() {
        let path = Path::new(program).canonicalize().map_err(|e| Error::io("finding the probe", e).on(&*program))?;
        *program = path
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::new(ErrorKind::Usage, "the probe's path must be UTF-8 text").on(&path))?;
    }
    Ok(probe)
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
