//! The demonstration: a guided tour with built-in modules in a temporary folder, which runs this program's commands.

mod files;
mod tour;
mod vm;

use crate::error::Error;
use crate::lab::demo::VmDemo;
use tour::Tour;
pub(crate) use tour::{TourFailure, TourOutput};

/// Goes through the demonstration in a temporary folder; with a kernel, also in a virtual machine that boots it.
///
/// # Errors
///
/// That of a command which ends in another way than expected, of a file that cannot be written, or of the output.
pub(crate) fn run(lab: Option<&VmDemo>, output: TourOutput<'_>) -> Result<(), TourFailure> {
    let folder = tempfile::Builder::new().prefix("kmodlab-demo-").tempdir();
    let folder = folder.map_err(|e| Error::io("making a temporary folder", e))?;
    let mut tour = Tour::new(output, folder.path());
    files::run(&mut tour)?;
    match lab {
        None => tour.says(
            "Nothing was loaded, and the temporary folder is deleted. SAFETY.md explains why forcing a module is unsafe.",
        ),
        Some(lab) => {
            vm::run(lab, &mut tour)?;
            tour.says("Nothing was loaded on this machine. The guests have ended, and the temporary folder is deleted. SAFETY.md explains why forcing a module is unsafe.")
        }
    }
}
