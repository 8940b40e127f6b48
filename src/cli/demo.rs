//! `demo`: a guided tour with built-in modules in a temporary folder, which runs this program's commands.

use crate::cli::demo_vm;
use crate::cli::lab::LabArgs;
use crate::cli::output::{Failure, Session, waiting};
use crate::cli::status::Status;
use crate::cli::tour::Tour;
use crate::error::Error;
use crate::lab::demo::VmDemo;
use crate::patch::Signature;

/// A module for Linux 2.6, as in the original problem, and a recent one, both made for this project.
const POET: &[u8] = include_bytes!("../../fixtures/modules/poet_atkm.ko");
const HELLO: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

/// The vermagic that the kernel of the original problem requires.
const WANTED: &str = "2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Continue in a throwaway virtual machine that boots this kernel: an image (vmlinuz) with its folder of modules, or a
    /// package
    #[arg(long, value_name = "K")]
    vm: Option<String>,
    /// Kernels whose dummy.ko is tried on it, unchanged and forced
    #[arg(long, num_args = 1.., value_name = "K", requires = "vm")]
    built_for: Vec<String>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    // If the second half cannot run, the error appears before the first begins.
    let lab = match args.vm {
        None => None,
        Some(kernel) => {
            let (lookup, settings) = (session.lookup(), LabArgs::default().conditions(&session.lookup())?.settings);
            Some(waiting("reading the kernels", || VmDemo::open(kernel, args.built_for, &settings, &lookup))?)
        }
    };
    let folder = tempfile::Builder::new().prefix("kmodlab-demo-").tempdir();
    let folder = folder.map_err(|e| Error::io("making a temporary folder", e))?;
    let mut tour = Tour::new(session, folder.path());
    on_files(&mut tour)?;
    match &lab {
        None => tour.says(
            "Nothing was loaded, and the temporary folder is deleted. SAFETY.md explains why forcing a module is unsafe.",
        )?,
        Some(lab) => {
            demo_vm::run(lab, &mut tour)?;
            tour.says("Nothing was loaded on this machine. The guests have ended, and the temporary folder is deleted. SAFETY.md explains why forcing a module is unsafe.")?;
        }
    }
    Ok(Status::Done)
}

/// The steps that need only files.
fn on_files(tour: &mut Tour<'_, '_>) -> Result<(), Failure> {
    tour.keep("poet_atkm.ko", POET)?;
    tour.keep("hello-4.ko", HELLO)?;

    tour.says("A module carries the version magic of the kernel that it was built for.")?;
    tour.runs(&["show", "-F", "vermagic", "poet_atkm.ko"], Status::Done)?;
    tour.says("A module contains more than that. Here is a recent one:")?;
    tour.runs(&["show", "hello-4.ko"], Status::Done)?;

    tour.says("A kernel with another version magic refuses it. Here is what it would print, and which tokens differ:")?;
    let kernel = format!("vermagic:{WANTED}");
    tour.runs(&["check", "poet_atkm.ko", "--kernel", &kernel], Status::Negative)?;

    tour.says("A patch is planned first: every byte, every guard, and a digest of exactly this plan:")?;
    tour.keep_copy("poet_atkm.ko", "as-it-was.ko")?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "-n"], Status::Done)?;
    tour.says("Nothing is written without a confirmation: the typed name, or, as here, the digest of the plan:")?;
    let (digest, _) = tour.plan("poet_atkm.ko", WANTED, Signature::Refuse)?;
    tour.runs(&["patch", "poet_atkm.ko", "--vermagic", WANTED, "--confirm", &digest], Status::Done)?;

    tour.says("The module's state now, and what changed: only the bytes of the plan:")?;
    tour.runs(&["verify", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], Status::Negative)?;

    tour.says("A restore puts everything back: every byte, mode, owner, attribute and time:")?;
    tour.runs(&["restore", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["verify", "poet_atkm.ko"], Status::Done)?;
    tour.runs(&["diff", "as-it-was.ko", "poet_atkm.ko"], Status::Done)?;
    tour.says("The journal has recorded all of it:")?;
    tour.runs(&["log"], Status::Done)
}
