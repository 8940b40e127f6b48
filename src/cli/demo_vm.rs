//! The second part of `demo --vm`: a running kernel, in a virtual machine, confirms the first part.
//!
//! The results depend on the given kernels, so nothing is announced in advance: each conclusion is made from a
//! recorded trial.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use crate::cli::lab::LabArgs;
use crate::cli::output::{Failure, waiting};
use crate::cli::status::Status;
use crate::cli::tour::{RECORDS, Tour};
use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::escape::for_eyes;
use crate::kernel::Lookup;
use crate::lab::patched::refused_vermagic;
use crate::lab::record::{LoadMode, Trial, TrialOutcome, TrialRole};
use crate::lab::store;
use crate::lab::subject::{TrialSubject, subjects};
use crate::lab::target::TargetKernel;
use crate::patch::Signature;

/// The tour's module: it creates a network device that counts and discards packets, so it is easy to see whether it
/// works. Every distribution has it.
const MODULE: &str = "dummy";

/// Its file in the tour's folder.
const FILE: &str = "dummy.ko";

/// The inputs of the tour, read before it begins.
pub(super) struct VmDemo {
    /// The kernel to boot, as it was named.
    kernel: String,
    target: TargetKernel,
    /// Its own module.
    own: TrialSubject,
    /// Modules of other kernels: the kernel's name, and its module.
    others: Vec<(String, TrialSubject)>,
}

impl VmDemo {
    /// Reads the kernels, and checks that a virtual machine is available.
    ///
    /// # Errors
    ///
    /// Those of [`TargetKernel::open`] and [`subjects`]; [`ErrorKind::NotFound`] for a kernel that has no module `dummy`.
    pub(super) fn open(kernel: String, built_for: Vec<String>, lookup: &Lookup) -> Result<VmDemo> {
        let settings = LabArgs::default().conditions(lookup)?.settings;
        waiting("reading the kernels", || {
            let names = BTreeSet::from([MODULE.to_owned()]);
            let target = TargetKernel::open(OsStr::new(&kernel), &names, &settings, lookup)?;
            let missing = || Error::new(ErrorKind::NotFound, format!("no module {MODULE} there")).on(&kernel);
            let own = target.own(MODULE).ok_or_else(missing)?;
            let mut others = Vec::new();
            for name in built_for {
                let found = subjects(&[OsString::from(MODULE)], &[OsString::from(&name)], lookup)?;
                others.extend(found.into_iter().map(|subject| (name.clone(), subject)));
            }
            Ok(VmDemo { kernel, target, own, others })
        })
    }

    /// A vermagic that fits in place of the own module's, and that the kernel refuses: that of another of the kernels, or
    /// the module's own without the word SMP.
    fn foreign_vermagic(&self) -> Option<String> {
        let others: Vec<String> = self.others.iter().filter_map(|(_, other)| other.seen.vermagic.clone()).collect();
        refused_vermagic(&self.own, &self.target.kernel, &others)
    }
}

/// The steps in the virtual machine.
pub(super) fn run(lab: &VmDemo, tour: &mut Tour<'_, '_>) -> Result<(), Failure> {
    tour.keep(FILE, &lab.own.bytes)?;
    tour.says(
        "Up to here no kernel was asked. Now one is, in a virtual machine that is thrown away: first its own dummy.ko, \
         which makes a network device.",
    )?;
    tries_own(lab, tour)?;
    for (name, subject) in &lab.others {
        let origin = subject.seen.origin.as_deref().unwrap_or(name);
        tour.says(&format!("The same module, built for {}, unchanged and forced:", for_eyes(origin)))?;
        let load_modes = "original,forced";
        tries(
            tour,
            &[
                "try",
                MODULE,
                "--built-for",
                name,
                "--kernel",
                &lab.kernel,
                "--load-modes",
                load_modes,
                "--out",
                RECORDS,
            ],
        )?;
        concludes(tour, &subject.seen.sha256, &[LoadMode::Original, LoadMode::Forced])?;
    }
    if let Some(vermagic) = lab.foreign_vermagic() {
        round_trip(lab, &vermagic, tour)?;
    }
    tour.says("All trials as a page (it is removed with the tour's folder; try --out keeps yours):")?;
    tour.runs(&["report", RECORDS], Status::Done)
}

/// Patches the kernel's own module so that it is refused, and restores it.
fn round_trip(lab: &VmDemo, vermagic: &str, tour: &mut Tour<'_, '_>) -> Result<(), Failure> {
    tour.says(
        "Only the vermagic, on the kernel's own module. The patch makes it look as if it was built for another kernel:",
    )?;
    let is_signed = lab.own.module.as_ref().is_some_and(|module| module.trailer.is_some());
    let (signature, words): (_, &[&str]) = match is_signed {
        true => (Signature::Strip, &["--signature", "strip"]),
        false => (Signature::Refuse, &[]),
    };
    let (digest, is_abi_refused) = tour.plan(FILE, vermagic, signature)?;
    let overrides: &[&str] = if is_abi_refused { &["--allow-abi-mismatch"] } else { &[] };
    let words = ["patch", FILE, "--vermagic", vermagic].into_iter().chain(words.iter().copied());
    let words: Vec<&str> = words.chain(overrides.iter().copied()).chain(["--confirm", &digest]).collect();
    tour.runs(&words, Status::Done)?;
    tries_own(lab, tour)?;
    tour.says("And back, byte for byte:")?;
    tour.runs(&["restore", FILE], Status::Done)?;
    tour.runs(&["verify", FILE], Status::Done)?;
    tries_own(lab, tour)
}

/// Tries the file in the tour's folder in its current state.
fn tries_own(lab: &VmDemo, tour: &mut Tour<'_, '_>) -> Result<(), Failure> {
    tries(tour, &["try", FILE, "--kernel", &lab.kernel, "--load-modes", "original", "--out", RECORDS])?;
    let path = tour.folder().join(FILE);
    let bytes = std::fs::read(&path).map_err(|e| Error::io("reading", e).on(path))?;
    concludes(tour, &sha256(&bytes).to_string(), &[LoadMode::Original])
}

/// Runs `try`. A wrong prediction is shown in its table, and does not end the tour.
fn tries(tour: &mut Tour<'_, '_>, words: &[&str]) -> Result<(), Failure> {
    match tour.run(words)? {
        Status::Done | Status::Negative => Ok(()),
        _ => {
            let what = "the virtual machine failed; see the lines above";
            Err(Error::new(ErrorKind::Lab, what).hint("kmodlab doctor says what is missing").into())
        }
    }
}

/// Prints a conclusion about a module from its recorded trials.
fn concludes(tour: &mut Tour<'_, '_>, module: &str, load_modes: &[LoadMode]) -> Result<(), Failure> {
    let trials = store::read(&tour.folder().join(RECORDS))?.trials;
    let of = |load_mode: &LoadMode| {
        trials.iter().rev().find(|trial| {
            trial.role == TrialRole::Asked && trial.module.sha256 == module && trial.load_mode == *load_mode
        })
    };
    let said: Vec<String> = load_modes.iter().filter_map(of).map(conclusion).collect();
    tour.concludes(&format!("So: {}.", said.join("; ")))
}

/// The result of a trial in a few words.
fn conclusion(trial: &Trial) -> String {
    let load_mode = if trial.load_mode == LoadMode::Forced { "forced" } else { "unchanged" };
    let what = match trial.outcome {
        TrialOutcome::Refused if trial.load_mode == LoadMode::Forced => "still refused".to_owned(),
        TrialOutcome::Crash => "dead".to_owned(),
        TrialOutcome::Hang => "hangs".to_owned(),
        TrialOutcome::Misbehaves => "loaded and silently broken".to_owned(),
        TrialOutcome::InitNeverRan => "listed as loaded, but its init never ran".to_owned(),
        TrialOutcome::InitFailed => "loaded, but its own init failed".to_owned(),
        TrialOutcome::Warned => "loaded, and the kernel warns".to_owned(),
        TrialOutcome::NoDifference if trial.load_mode == LoadMode::Forced => {
            "loaded, and no difference was found, which proves nothing".to_owned()
        }
        TrialOutcome::NoDifference => "loaded, and it works".to_owned(),
        other => other.name().to_owned(),
    };
    format!("{load_mode}, {what}")
}
