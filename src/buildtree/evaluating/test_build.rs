//! A module really built in a tree, to hold the prediction against. It runs the tree's own makefiles.

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

/// The longest that a build may take: one file, and modpost over all symbols of a kernel.
const LIMIT: Duration = Duration::from_secs(300);

/// Builds the module in a folder, out of the tree, as its own documents say: `make -C TREE M=FOLDER modules`
/// (Documentation/kbuild/modules; before 2.6.7 `SUBDIRS=`).
///
/// # Errors
///
/// [`ErrorKind::Io`] if the folder can't be written, [`ErrorKind::NotFound`] if there is no make,
/// [`ErrorKind::Unsupported`] where the build ends without a module, with what make said of it.
pub fn build(tree: &BuildTree, folder: &Path) -> Result<PathBuf> {
    for (name, text) in [("proof.c", SOURCE), ("Makefile", MAKEFILE)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|e| Error::io("writing", e).on(path))?;
    }
    let mut make = Command::new("make");
    make.arg("-C").arg(&tree.layout.object);
    let module_folder = if tree.version.numbers() < (2, 6, 7) { "SUBDIRS" } else { "M" };
    make.arg(format!("{module_folder}={}", folder.display()));
    // Without it, and without symbol versions, modpost of 5.0 and later takes each import for an error.
    if !tree.layout.object.join("Module.symvers").exists() {
        make.arg("KBUILD_MODPOST_WARN=1");
    }
    make.arg("modules").env("LC_ALL", "C").env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    let no = |what: String| Error::new(ErrorKind::Unsupported, what).on(&tree.layout.object);
    let ProgramOutput { ok, stdout, stderr } = ask(&mut make, LIMIT).map_err(|silent| match silent {
        ProgramFailure::Missing => {
            Error::new(ErrorKind::NotFound, "no make here to build with").hint("install make and the compiler")
        }
        ProgramFailure::Failed(why) => no(format!("building in it: {why}")),
    })?;
    let module = folder.join(format!("{MODULE}.ko"));
    if ok && module.is_file() {
        return Ok(module);
    }
    let complaint = stderr.lines().chain(stdout.lines()).find(|line| says_why(line));
    let last = complaint.or_else(|| stderr.lines().last()).unwrap_or("no module came of it");
    let error = no(format!("a module can't be built in it: {}", last.trim()));
    Err(error.remedy(Remedy::ReportTree))
}

/// Does a line of make's say what is wrong, and not only that something is?
fn says_why(line: &str) -> bool {
    (line.contains("rror: ") || line.contains("ERROR: ") || line.contains("***") || line.contains("not found"))
        && !line.contains("Error 1")
        && !line.contains("Error 2")
}
