//! The first part of the demonstration: the main job, on built-in modules.

use crate::demo::tour::{DONE, NEGATIVE, Tour, TourFailure};
use crate::patch::Signature;

/// A module for Linux 2.6, as in the original problem, and a recent one, both made for this project.
const POET: &[u8] = include_bytes!("../../fixtures/modules/poet_atkm.ko");
const HELLO: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

/// The vermagic that the kernel of the original problem requires.
const WANTED: &str = "2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3";

/// The steps that need only files.
pub(super) fn run(tour: &mut Tour<'_, '_>) -> Result<(), TourFailure> {
    tour.keep("poet_atkm.ko", POET)?;
    tour.keep("hello-4.ko", HELLO)?;

    tour.says("A module carries the version magic of the kernel that it was built for.")?;
    tour.runs(&["show", "-F", "vermagic", "poet_atkm.ko"], DONE)?;
    tour.says("A module contains more than that. Here is a recent one:")?;
    tour.runs(&["show", "hello-4.ko"], DONE)?;

    tour.says("A kernel with another version magic refuses it. Here is what it would print, and which tokens differ:")?;
    let kernel = format!("vermagic:{WANTED}");
    tour.runs(&["check", "poet_atkm.ko", "--kernel", &kernel], NEGATIVE)?;

    tour.says("A patch is planned first: every byte, every guard, and a digest of exactly this plan:")?;
    tour.keep_copy("poet_atkm.ko", "as-it-was.ko")?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "-n"], DONE)?;
    tour.says("Nothing is written without a confirmation: the typed name, or, as here, the digest of the plan:")?;
    let (digest, _) = tour.plan("poet_atkm.ko", WANTED, Signature::Refuse)?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "--confirm", &digest], DONE)?;

    tour.says("The module's state now, and what changed: only the bytes of the plan:")?;
    tour.runs(&["verify", "poet_atkm.ko"], DONE)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], NEGATIVE)?;

    tour.says("A restore puts everything back: every byte, mode, owner, attribute and time:")?;
    tour.runs(&["restore", "poet_atkm.ko"], DONE)?;
    tour.runs(&["verify", "poet_atkm.ko"], DONE)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], DONE)?;
    tour.says("The journal has recorded all of it:")?;
    tour.runs(&["log"], DONE)
}
