//! `tree --prove`: builds a module with the tree, and compares it with the prediction and with the kernel.

use std::ffi::OsStr;

use crate::buildtree::BuildTree;
use crate::buildtree::proof::Proof;
use crate::buildtree::report::TreeReport;
use crate::cli::output::{self, Failure, Paint, Session, waiting};
use crate::cli::status::Status;
use crate::cli::tree::arguments::Args;
use crate::cli::r#try;
use crate::error::Error;
use crate::escape::for_eyes;
use crate::kernel::Kernel;
use crate::predict::Decision;

/// Builds the module in a temporary folder, which exists as long as the returned value.
pub(super) fn run(
    tree: &BuildTree,
    kernel: &Kernel,
    report: &TreeReport,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<(Proof, tempfile::TempDir), Failure> {
    let folder = tempfile::Builder::new().prefix("kmodlab-proof-").tempdir();
    let folder = folder.map_err(|e| Error::io("making a temporary folder", e))?;
    let what = format!("building a module with {}", output::path(&args.tree));
    let current = &report.summary.current;
    let proof = waiting(&what, || Proof::build(tree, current, kernel, folder.path(), session.max_size))?;
    Ok((proof, folder))
}

pub(super) fn print(proof: &Proof, session: &mut Session<'_>) -> Result<(), Failure> {
    let label = session.paint(Paint::Strong, format_args!("{:<8}", "proof"));
    let as_predicted = match proof.as_predicted {
        true => session.paint(Paint::Good, "as predicted"),
        false => session.paint(Paint::Bad, "not as predicted"),
    };
    writeln!(session.out, "{label}{}: a module built here, {as_predicted}", output::vermagic(&proof.vermagic))?;
    let verdict = match proof.verdict {
        Decision::Refused => session.paint(Paint::Bad, "the kernel will refuse it"),
        Decision::Unknown => session.paint(Paint::Odd, "whether the kernel will accept it is not known"),
        Decision::Accepted => session.paint(Paint::Good, "the kernel will accept it"),
    };
    let taint = proof.taint.as_ref().filter(|taint| !taint.is_empty());
    let taint = taint.map(|taint| format!(", tainted {taint}")).unwrap_or_default();
    writeln!(session.out, "        {verdict}{taint}")?;
    for line in &proof.dmesg {
        writeln!(session.out, "        {}", for_eyes(line))?;
    }
    Ok(())
}

/// Loads the module in a virtual machine, as `kmodlab try` does.
pub(super) fn try_it(proof: &Proof, kernel: &OsStr, json: bool, session: &mut Session<'_>) -> Result<Status, Failure> {
    if !json {
        writeln!(session.out)?;
    }
    r#try::run(r#try::Args::original(&proof.module, kernel, json), session)
}
