//! The second part of `demo --vm`: a running kernel, in a virtual machine, confirms the first part.
//!
//! The results depend on the given kernels, so nothing is announced in advance: each conclusion is made from a
//! recorded trial.

use crate::demo::tour::{DONE, NEGATIVE, RECORDS, Tour, TourFailure};
use crate::digest::sha256;
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::lab::demo::{MODULE, VmDemo};
use crate::lab::record::{LoadMode, Trial, TrialOutcome};
use crate::lab::store;
use crate::patch::Signature;

/// Its file in the tour's folder.
const FILE: &str = "dummy.ko";

/// The steps in the virtual machine.
pub(super) fn run(lab: &VmDemo, tour: &mut Tour<'_, '_>) -> Result<(), TourFailure> {
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
    tour.runs(&["report", RECORDS], DONE)
}

/// Patches the kernel's own module so that it is refused, and restores it.
fn round_trip(lab: &VmDemo, vermagic: &str, tour: &mut Tour<'_, '_>) -> Result<(), TourFailure> {
    tour.says(
        "Only the vermagic, on the kernel's own module. The patch makes it look as if it was built for another kernel:",
    )?;
    let (signature, words): (_, &[&str]) = match lab.is_signed() {
        true => (Signature::Strip, &["--signature", "strip"]),
        false => (Signature::Refuse, &[]),
    };
    let (digest, is_abi_refused) = tour.plan(FILE, vermagic, signature)?;
    let overrides: &[&str] = if is_abi_refused { &["--allow-abi-mismatch"] } else { &[] };
    let words = ["patch", FILE, "--vermagic", vermagic].into_iter().chain(words.iter().copied());
    let words: Vec<&str> = words.chain(overrides.iter().copied()).chain(["--confirm", &digest]).collect();
    tour.runs(&words, DONE)?;
    tries_own(lab, tour)?;
    tour.says("And back, byte for byte:")?;
    tour.runs(&["restore", FILE], DONE)?;
    tour.runs(&["verify", FILE], DONE)?;
    tries_own(lab, tour)
}

/// Tries the file in the tour's folder in its current state.
fn tries_own(lab: &VmDemo, tour: &mut Tour<'_, '_>) -> Result<(), TourFailure> {
    tries(tour, &["try", FILE, "--kernel", &lab.kernel, "--load-modes", "original", "--out", RECORDS])?;
    let path = tour.folder().join(FILE);
    let bytes = std::fs::read(&path).map_err(|e| Error::io("reading", e).on(path))?;
    concludes(tour, &sha256(&bytes).to_string(), &[LoadMode::Original])
}

/// Runs `try`. A wrong prediction is shown in its table, and does not end the tour.
fn tries(tour: &mut Tour<'_, '_>, words: &[&str]) -> Result<(), TourFailure> {
    match tour.run(words)? {
        DONE | NEGATIVE => Ok(()),
        _ => {
            let what = "the virtual machine failed; see the lines above";
            Err(Error::new(ErrorKind::Lab, what).hint("kmodlab doctor says what is missing").into())
        }
    }
}

/// Prints a conclusion about a module from its recorded trials.
fn concludes(tour: &mut Tour<'_, '_>, module: &str, load_modes: &[LoadMode]) -> Result<(), TourFailure> {
    let stored = store::read(&tour.folder().join(RECORDS))?;
    let of = |load_mode: &LoadMode| stored.last_of(module, *load_mode);
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
