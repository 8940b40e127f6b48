//! Text files of a build tree: the changes that make its modules match a kernel, as far as an edit of text makes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::buildtree::advising::edits::{FileEdit, TextEdits};
use crate::buildtree::reading::layout::{TreeKind, TreeLayout};
use crate::buildtree::report::TreeReport;
use crate::change::apply;
use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, sha256};
use crate::edit;
use crate::error::Result;
use crate::guard::machine::Machine;
use crate::guard::{self, Guard};
use crate::module::container::Container;
use crate::text::path_text;
use crate::vault::group::PlannedWrite;
use crate::vault::record::{JournalEntry, KernelRecord, Operation, PatchRecord};
use crate::vault::target::{self, Target};
use crate::vault::{Writer, obstacle};

/// Edits of a build tree's text files that are proposed.
#[derive(Debug)]
pub struct TreeFix {
    folder: PathBuf,
    files: Vec<FileEdit>,
    remaining: usize,
    digest: Sha256,
    kernel: String,
    target: Arc<KernelRecord>,
    vermagic: (Option<String>, Option<String>),
}

impl TreeFix {
    /// Plans and reviews the edits. Nothing is written.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Guard`] for a tree that a package owns, a headers package, and a file that can't be written;
    /// [`crate::error::ErrorKind::Unsupported`] for a line that is no plain assignment; [`crate::error::ErrorKind::Malformed`] for a configuration that is
    /// none; [`crate::error::ErrorKind::NotFound`] and [`crate::error::ErrorKind::Io`].
    pub fn review(report: &TreeReport, machine: &Machine) -> Result<TreeFix> {
        let TextEdits { files, remaining } = TextEdits::of(&report.fixes)?;
        let real = |edit: FileEdit| Ok(FileEdit { path: target::real_path(&edit.path)?, ..edit });
        let files: Vec<FileEdit> = files.into_iter().map(real).collect::<Result<_>>()?;
        if !files.is_empty() {
            may_be_edited(&report.summary.layout, &files, machine)?;
        }
        Ok(TreeFix {
            folder: report.summary.layout.object.clone(),
            digest: digest(&files),
            files,
            remaining,
            kernel: report.kernel.name.clone(),
            target: apply::kernel_record_of(&report.kernel.name, release(report), [&report.kernel.source]),
            vermagic: (
                report.summary.current.vermagic.as_ref().map(ToString::to_string),
                report.after.as_ref().map(ToString::to_string),
            ),
        })
    }

    /// The files that are to be edited.
    pub fn files(&self) -> &[FileEdit] {
        &self.files
    }

    /// How many changes are left that no edit of text makes.
    pub fn remaining(&self) -> usize {
        self.remaining
    }
}

/// Refuses files of packages and of headers packages, and files that can't be written.
fn may_be_edited(layout: &TreeLayout, files: &[FileEdit], machine: &Machine) -> Result<()> {
    let makefiles = [layout.source.value.join("Makefile"), layout.object.join("Makefile")];
    let owned = files.iter().map(|file| file.path.clone()).chain(makefiles).find_map(|path| {
        let real = target::real_path(&path).ok()?;
        machine.owner(&real).map(|owner| (path, owner))
    });
    if let Some((path, owner)) = owned {
        let hint = "copy the tree and fix the copy; a package's files are right for its own kernel";
        return Err(guard::refusal(Guard::InstalledTree, format!("{owner} owns it")).hint(hint).on(path));
    }
    if layout.kind == TreeKind::Headers {
        let hint = "install the package of the kernel's own release";
        let refusal = guard::refusal(Guard::InstalledTree, "this is a headers package");
        return Err(refusal.hint(hint).on(&layout.object));
    }
    files.iter().try_for_each(|file| obstacle::must_be_writable(&file.path))
}

impl Sealed for TreeFix {}

impl Confirmable for TreeFix {
    /// The folder's name.
    fn name_to_type(&self) -> String {
        let real = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        name_of(&real)
    }

    fn digest(&self) -> Sha256 {
        self.digest
    }
}

/// The files that were to be edited, and what became of each.
#[derive(Debug)]
pub struct FixedTree {
    /// The files.
    pub files: Vec<FileEdit>,
    /// How many changes are left that no edit of text makes.
    pub remaining: usize,
    /// The digest that was confirmed.
    pub digest: Sha256,
    /// The outcome of each file, in the order of `files`.
    pub outcomes: Vec<Result<Option<JournalEntry>>>,
}

impl TreeFix {
    /// Writes the files that still have the contents that the edits were planned for.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Conflict`] or [`crate::error::ErrorKind::NeedsRecovery`] for a file with an interrupted operation that could not be
    /// settled; the vault's own.
    pub fn apply(confirmed: Confirmed<TreeFix>, writer: &mut Writer<'_>) -> Result<FixedTree> {
        let fix = confirmed.into_change();
        for file in &fix.files {
            writer.must_be_settled(&file.path)?;
        }
        let files = fix.files.iter().map(|file| Ok((file.path.clone(), file)));
        let decide = |file: &&FileEdit, path: &Path| {
            let target = Target::open(path)?;
            match target.bytes == file.before {
                true => Ok(Some((target, write_of(&fix, file)))),
                false => Err(apply::changed().on(path)),
            }
        };
        let mut outcomes = Vec::with_capacity(fix.files.len());
        writer.carry_out_all(fix.files.len(), files, decide, |_, _, outcome| outcomes.push(outcome))?;
        Ok(FixedTree { files: fix.files, remaining: fix.remaining, digest: fix.digest, outcomes })
    }
}

/// Edits of a build tree's text files, planned or made, as they are serialised.
#[derive(Debug, Serialize)]
pub struct TreeFixReport {
    schema_version: u32,
    /// Whether all of them were made.
    done: bool,
    digest: Sha256,
    files: Vec<FixedFile>,
    /// How many changes are left that no edit of text makes.
    left: usize,
}

/// A file of a [`TreeFixReport`].
#[derive(Debug, Serialize)]
struct FixedFile {
    path: String,
    before: Sha256,
    after: Sha256,
    /// The change, as a unified diff.
    diff: String,
}

impl TreeFixReport {
    fn of(files: &[FileEdit], digest: Sha256, done: bool, left: usize, diff: fn(&FileEdit) -> String) -> TreeFixReport {
        let file = |edited: &FileEdit| {
            let (before, after) = (sha256(&edited.before), sha256(&edited.after));
            FixedFile { path: path_text(&edited.path).into_owned(), before, after, diff: diff(edited) }
        };
        TreeFixReport { schema_version: 1, done, digest, files: files.iter().map(file).collect(), left }
    }
}

impl TreeFix {
    /// The report before the edits are made. `diff` makes a unified diff.
    pub fn report(&self, diff: fn(&FileEdit) -> String) -> TreeFixReport {
        TreeFixReport::of(&self.files, self.digest, false, self.remaining, diff)
    }
}

impl FixedTree {
    /// The report after the edits were made. `diff` makes a unified diff.
    pub fn report(&self, diff: fn(&FileEdit) -> String) -> TreeFixReport {
        let is_done = self.outcomes.iter().all(Result::is_ok);
        TreeFixReport::of(&self.files, self.digest, is_done, self.remaining, diff)
    }
}

fn write_of(fix: &TreeFix, file: &FileEdit) -> PlannedWrite {
    PlannedWrite {
        operation: Operation::Patch,
        after: Some(file.after.clone()),
        after_sha256: sha256(&file.after),
        edits: edit::between(&file.before, &file.after).unwrap_or_default(),
        metadata_after: None,
        module: name_of(&file.path),
        vermagic: fix.vermagic.clone(),
        plan: Some(fix.digest),
        overrides: Vec::new(),
        patch: Some(PatchRecord { kernel: Some(fix.target.clone()), ..PatchRecord::default() }),
        note: Some(format!("build tree changed to fit {}", fix.kernel)),
        container: Container::None,
        creates: None,
    }
}

fn release(report: &TreeReport) -> Option<&str> {
    report.kernel.vermagic.release().map(|release| release.text.as_str())
}

fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "tree".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The digest of exactly these files, before and after.
fn digest(files: &[FileEdit]) -> Sha256 {
    let mut text = String::from("kmodlab tree fix 1\n");
    for edited in files {
        let (before, after) = (sha256(&edited.before), sha256(&edited.after));
        text.push_str(&format!("{} {before} {after}\n", hex::encode(edited.path.as_os_str().as_encoded_bytes())));
    }
    sha256(text.as_bytes())
}
