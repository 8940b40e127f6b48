//! Trials to be run: a module, a load mode, and the controls.

use crate::lab::record::{LoadMode, Trial, TrialRole};
use crate::lab::subject::TrialSubject;

/// A trial to be run.
#[derive(Clone, Copy, Debug)]
pub struct TrialSpec<'q> {
    /// A control, or a trial of a module in question?
    pub role: TrialRole,
    /// The module.
    pub subject: &'q TrialSubject,
    /// How it is loaded.
    pub load_mode: LoadMode,
}

/// The load modes of the controls.
pub const CONTROL_MODES: [LoadMode; 2] = [LoadMode::Original, LoadMode::Forced];

/// All trials of these modules in these load modes, after their controls: the kernel's own modules, unchanged and
/// forced.
pub fn specs<'q>(own: &'q [TrialSubject], subjects: &'q [TrialSubject], load_modes: &[LoadMode]) -> Vec<TrialSpec<'q>> {
    let of = |role, subjects: &'q [TrialSubject], load_modes: &[LoadMode]| -> Vec<TrialSpec<'q>> {
        let modes =
            |subject| load_modes.iter().map(move |load_mode| TrialSpec { role, subject, load_mode: *load_mode });
        subjects.iter().flat_map(modes).collect()
    };
    let mut specs = of(TrialRole::Control, own, &CONTROL_MODES);
    specs.extend(of(TrialRole::Asked, subjects, load_modes));
    specs
}

/// The control of a trial: the trial of the kernel's own module of the same name, forced if the trial is.
pub fn control_of<'c>(controls: &'c [Trial], name: &str, load_mode: LoadMode) -> Option<&'c Trial> {
    let load_mode = match load_mode {
        LoadMode::Original | LoadMode::Patched => LoadMode::Original,
        _ => LoadMode::Forced,
    };
    controls
        .iter()
        .find(|trial| trial.role == TrialRole::Control && trial.module.name == name && trial.load_mode == load_mode)
}
