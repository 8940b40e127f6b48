//! `demo`: the guided tour of [`crate::demo`].

use crate::cli::lab::LabArgs;
use crate::cli::output::{Failure, Session, waiting};
use crate::cli::status::Status;
use crate::demo::{self, TourFailure, TourOutput};
use crate::lab::demo::VmDemo;

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
    let output =
        TourOutput { out: &mut *session.out, err: &mut *session.err, color: session.color, max_size: session.max_size };
    demo::run(lab.as_ref(), output)?;
    Ok(Status::Done)
}

impl From<TourFailure> for Failure {
    fn from(failure: TourFailure) -> Self {
        match failure {
            TourFailure::Error(error) => Failure::Error(error),
            TourFailure::Output(error) => Failure::Output(error),
        }
    }
}
