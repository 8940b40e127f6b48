//! Many modules on many kernels: the trials that are left to run, and the file to which each finished trial is
//! appended.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};
use crate::kernel::Lookup;
use crate::lab::conditions::Conditions;
use crate::lab::experiment;
use crate::lab::record::{LoadMode, Trial, TrialOutcome};
use crate::lab::spec::{CONTROL_MODES, specs};
use crate::lab::store::{self, TrialWriter};
use crate::lab::subject::TrialSubject;
use crate::lab::target::TargetKernel;

/// The modules, kernels and load modes of a matrix.
#[derive(Clone, Debug)]
pub struct MatrixRequest {
    /// The modules.
    pub subjects: Vec<TrialSubject>,
    /// The kernels, named as in [`crate::kernel::named`].
    pub kernels: Vec<OsString>,
    /// The load modes of each module.
    pub load_modes: Vec<LoadMode>,
    /// Are the kernels' own modules tried as controls?
    pub has_controls: bool,
    /// The conditions of all trials.
    pub conditions: Conditions,
}

/// The result of a matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MatrixReport {
    /// All trials, kernel by kernel, controls first.
    pub trials: Vec<Trial>,
    /// The number of trials from an earlier run.
    pub reused: usize,
}

/// Receives the progress of a matrix.
pub trait MatrixProgress: Sync {
    /// The trials on this kernel begin.
    fn kernel(&self, name: &OsStr);
    /// A trial is done, or was taken from an earlier run.
    fn trial(&self);
}

impl MatrixRequest {
    /// An upper limit of the number of trials. A kernel without a module of the same name has fewer controls.
    pub fn most_trials(&self) -> usize {
        let controls = if self.has_controls { CONTROL_MODES.len() * self.names().len() } else { 0 };
        self.kernels.len() * (self.subjects.len() * self.load_modes.len() + controls)
    }

    fn names(&self) -> BTreeSet<String> {
        self.subjects.iter().map(|subject| subject.seen.name.clone()).collect()
    }

    /// Runs the trials that are not in `earlier`, and appends each finished one to the file of trials in `folder`.
    /// Earlier trials in which QEMU or the boot failed are run again; all others are judged again by today's rules.
    ///
    /// # Errors
    ///
    /// Those of [`TargetKernel::open`] and [`TrialWriter`].
    pub fn run(
        &self,
        folder: &Path,
        earlier: Vec<Trial>,
        lookup: &Lookup,
        progress: &dyn MatrixProgress,
    ) -> Result<MatrixReport> {
        let is_lab_failure = |trial: &Trial| matches!(trial.outcome, TrialOutcome::QemuError | TrialOutcome::NoBoot);
        let known: HashMap<String, Trial> =
            earlier.into_iter().filter(|trial| !is_lab_failure(trial)).map(|trial| (trial.id.clone(), trial)).collect();
        let names = self.names();
        let reused = AtomicUsize::new(0);
        let mut writer: Option<TrialWriter> = None;
        let mut report = MatrixReport::default();
        for name in &self.kernels {
            progress.kernel(name);
            let target = TargetKernel::open(name, &names, &self.conditions.settings, lookup)?;
            let opened = match writer.take() {
                Some(writer) => writer,
                None => TrialWriter::open(&folder.join(store::FILE))?,
            };
            let file = Mutex::new((opened, None::<Error>));
            let own: Vec<TrialSubject> = match self.has_controls {
                true => names.iter().filter_map(|name| target.own(name)).collect(),
                false => Vec::new(),
            };
            let specs = specs(&own, &self.subjects, &self.load_modes);
            let trials = experiment::run(&target, &specs, &self.conditions, &known, &|trial| {
                let before = known.get(&trial.id);
                reused.fetch_add(usize::from(before.is_some()), Ordering::Relaxed);
                if before != Some(trial) {
                    let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
                    if let Err(error) = file.0.add(trial) {
                        file.1.get_or_insert(error);
                    }
                }
                progress.trial();
            });
            let (opened, error) = file.into_inner().unwrap_or_else(|e| e.into_inner());
            error.map_or(Ok(()), Err)?;
            writer = Some(opened);
            report.trials.extend(trials);
        }
        report.reused = reused.into_inner();
        Ok(report)
    }
}
