//! Builds a module with a tree, to check the prediction. This runs the tree's own makefiles.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::buildtree::reading::external::{ProgramFailure, ProgramOutput, ask};
use crate::buildtree::reading::tree::BuildTree;
use crate::error::{Error, ErrorKind, Remedy, Result};

/// The module's name.
pub const MODULE: &str = "proof";

/// Its source: GPL-2.0, of this project.
const SOURCE: &str = include_str!("test_build/proof.c");
const MAKEFILE: &str = include_str!("test_build/Makefile");

/// The time limit for the build: one file, and modpost with all symbols of a kernel.
const LIMIT: Duration = Duration::from_secs(300);

/// Builds the module in a folder outside of the tree, as the tree's documents describe it: `make -C TREE M=FOLDER modules`
/// (Documentation/kbuild/modules; before 2.6.7 `SUBDIRS=`).
///
/// # Errors
///
/// [`ErrorKind::Io`] if the folder cannot be written, [`ErrorKind::NotFound`] if make is not installed,
/// [`ErrorKind::Unsupported`] if the build produces no module, with make's message.
pub fn build(tree: &BuildTree, folder: &Path) -> Result<PathBuf> {
    for (name, text) in [("proof.c", SOURCE), ("Makefile", MAKEFILE)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Error::io("writing", e).on(path))?;
    }
    let mut make = Command::new("make");
    make.arg("-C").arg(&tree.layout.object);
    let module_folder = if tree.version.numbers() < (2, 6, 7) { "SUBDIRS" } else { "M" };
    make.arg(format!("{module_folder}={}", folder.display()));
    // Without it, and without symbol versions, modpost of 5.0 and later reports each import as an error.
    if !tree.layout.object.join("Module.symvers").exists() {
        make.arg("KBUILD_MODPOST_WARN=1");
    }
    make.arg("modules").env("LC_ALL", "C").env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let no = |what: String| Error::new(ErrorKind::Unsupported, what).on(&tree.layout.object);
    let ProgramOutput { ok, stdout, stderr } = ask(&mut make, LIMIT).map_err(|silent| match silent {
        ProgramFailure::Missing => {
            Error::new(ErrorKind::NotFound, "make is not installed").hint("install make and the compiler")
        }
        ProgramFailure::Failed(why) => no(format!("building a module: {why}")),
    })?;
    let module = folder.join(format!("{MODULE}.ko"));
    if ok && module.is_file() {
        return Ok(module);
    }
    let complaint = stderr.lines().chain(stdout.lines()).find(|line| says_why(line));
    let last = complaint.or_else(|| stderr.lines().last()).unwrap_or("the build produced no module");
    let error = no(format!("no module can be built here: {}", last.trim()));
    Err(error.remedy(Remedy::ReportTree))
}

/// Does a line of make's output contain the cause, and not only that the build failed?
fn says_why(line: &str) -> bool {
    (line.contains("rror: ") || line.contains("ERROR: ") || line.contains("***") || line.contains("not found"))
        && !line.contains("Error 1")
        && !line.contains("Error 2")
}
