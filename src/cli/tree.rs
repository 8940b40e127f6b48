//! `tree`: the vermagic of the modules that a build tree produces, and how to match a kernel's.

mod arguments;
mod fix;
mod prove;
mod shown;

use std::ffi::OsStr;
use std::path::Path;

use crate::buildtree::advising::commands::BuildCommand;
use crate::buildtree::evaluating::current::VermagicPredictions;
use crate::buildtree::report::{TreeReport, TreeSummary};
use crate::buildtree::{BuildTree, MakeArguments};
use crate::cli::output::{self, Failure, Session, waiting};
use crate::cli::status::Status;
use crate::error::Result;
use crate::kernel;
use crate::module;

pub(super) use arguments::Args;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let named_kernel = args.kernel.clone().unwrap_or_else(|| "running".into());
    let name = named_kernel.to_string_lossy().into_owned();
    let tree = waiting("reading the tree", || BuildTree::read(&args.tree, &MakeArguments::from_environment()))?;
    let predictions = VermagicPredictions::of(&tree)?;
    let kernel = match waiting(&format!("reading {name}"), || kernel::named(&named_kernel, &lookup)) {
        Ok(kernel) => kernel,
        // The kernel was not named, so the tree is shown without it.
        Err(error) if args.kernel.is_none() && !(args.json || args.fix || args.prove) => {
            shown::print_summary(&TreeSummary::of(&args.tree, &tree, &predictions), session)?;
            return Err(error.hint("name the kernel that the modules must match: --for K").into());
        }
        Err(error) => return Err(error.into()),
    };
    let module = args.module.as_deref().map(|path| module::open(path, lookup.max_size)).transpose()?;
    let module = module.as_ref().map(|(_, module)| module);
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    let mut report = TreeReport::of(&args.tree, &tree, &predictions, &kernel, module, &machine)?;
    if args.fix {
        return fix::run(&report, &args, session);
    }
    report.commands.splice(0..0, own_command(&report, &args.tree, &named_kernel));
    let mut folder = None;
    if args.prove {
        let (proof, kept) = prove::run(&tree, &kernel, &report, &args, session)?;
        report.proof = Some(proof);
        folder = Some(kept);
    }
    match args.json {
        true => session.json(&report)?,
        false => {
            shown::print(&report, session)?;
            if let Some(proof) = &report.proof {
                prove::print(proof, session)?;
            }
        }
    }
    let is_good = report.matches && report.proof.as_ref().is_none_or(|proof| proof.is_good());
    let status = if is_good { Status::Done } else { Status::Negative };
    let result = match (args.vm, &report.proof) {
        (true, Some(proof)) => {
            let tried = prove::try_it(proof, &named_kernel, args.json, session)?;
            Ok(if tried == Status::Done { status } else { tried })
        }
        _ => Ok(status),
    };
    drop(folder);
    result
}

/// This program's own command, before the others, if it has edits to make.
fn own_command(report: &TreeReport, tree: &Path, kernel: &OsStr) -> Option<BuildCommand> {
    if report.impossible.is_some() || !report.fixes.iter().any(|fix| fix.change.is_edit()) {
        return None;
    }
    let tree = std::path::absolute(tree).unwrap_or_else(|_| tree.to_owned());
    let (tree, kernel) = (output::shell_word(&tree), output::shell_word(Path::new(kernel)));
    let line = format!("kmodlab tree {tree} --for {kernel} --fix");
    Some(BuildCommand { line, why: "makes the changes that are edits of text files; kmodlab restore undoes them" })
}
