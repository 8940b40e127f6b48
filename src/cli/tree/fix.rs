//! `tree --fix`: the changes that are mere text, shown as a diff, confirmed, and carried out by the vault's protocol.

use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

use crate::buildtree::advising::edits::{FileEdit, TextEdits};
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::report::TreeReport;
use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::tree::Args;
use crate::cli::{Status, recover};
use crate::digest::{Sha256, sha256};
use crate::edit;
use crate::error::{Error, ErrorKind, Result};
use crate::escape::for_eyes;
use crate::guard::Guard;
use crate::module::container::Container;
use crate::vault::group::Wanted;
use crate::vault::journal::Operation;
use crate::vault::target::{self, Target};

/// How many lines of a diff are shown where somebody is asked: a configuration that is replaced differs in thousands.
const LINES_SHOWN: usize = 60;

/// An edit as a unified diff.
fn diff(edit: &FileEdit) -> String {
    let (before, after) = (String::from_utf8_lossy(&edit.before), String::from_utf8_lossy(&edit.after));
    TextDiff::from_lines(before.as_ref(), after.as_ref()).unified_diff().context_radius(1).to_string()
}

/// The hashes of a file's contents now and after the edit.
fn hashes(edit: &FileEdit) -> (Sha256, Sha256) {
    (sha256(&edit.before), sha256(&edit.after))
}

/// What was done, or would be.
#[derive(Serialize)]
struct Fixed {
    schema_version: u32,
    done: bool,
    digest: Sha256,
    files: Vec<FixedFile>,
    /// How many changes are left that are not mere text.
    left: usize,
}

#[derive(Serialize)]
struct FixedFile {
    path: String,
    before: Sha256,
    after: Sha256,
    /// What becomes of it, as a unified diff.
    diff: String,
}

pub(super) fn run(report: &TreeReport, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let TextEdits { files, remaining: left } = TextEdits::of(&report.fixes)?;
    let real = |edit: FileEdit| Ok(FileEdit { path: target::real_path(&edit.path)?, ..edit });
    let edits: Vec<FileEdit> = files.into_iter().map(real).collect::<Result<_>>()?;
    if edits.is_empty() {
        return nothing(report, left, args, session);
    }
    let vault = session.vault()?;
    let machine = session.machine(&vault);
    let owned = edits.iter().map(|edited| edited.path.clone()).chain(makefiles(report)).find_map(|path| {
        let real = target::real_path(&path).ok()?;
        machine.owner(&real).map(|owner| (path, owner))
    });
    if let Some((path, owner)) = owned {
        let what = format!("refused by the guard {}: {owner} owns it", Guard::InstalledTree.name());
        let hint = "copy the tree and fix the copy; what a package brought is made for its kernel as it is";
        return Err(Error::new(ErrorKind::Guard, what).hint(hint).on(path).into());
    }
    if report.summary.layout.kind == TreeKind::Headers {
        let what = format!("refused by the guard {}: this is a headers package", Guard::InstalledTree.name());
        let hint = "install the package of the kernel's own release";
        return Err(Error::new(ErrorKind::Guard, what).hint(hint).on(&report.summary.layout.object).into());
    }
    for edited in &edits {
        target::must_be_writable(&edited.path)?;
        if let Some(obstacle) = target::obstacles(&edited.path)?.into_iter().next() {
            let what = format!("refused by the guard {}: {obstacle}", Guard::FileKind.name());
            return Err(Error::new(ErrorKind::Guard, what).on(&edited.path).into());
        }
    }
    let digest = digest(&edits);
    if args.json && args.dry_run {
        session.json(&fixed(&edits, digest, false, left))?;
        return Ok(Status::Done);
    }
    if args.dry_run || (args.confirm.is_none() && session.may_ask) {
        show(report, &edits, digest, args.dry_run, session)?;
    }
    if args.dry_run {
        return Ok(Status::Done);
    }
    let word = name_of(&report.summary.layout.object);
    let question = Question { to: "change it so", word: &word, digest, see: "--fix -n" };
    confirm(&question, args.confirm.as_deref(), session).map_err(|e| e.on(&args.tree))?;
    carry_out(report, &edits, digest, left, args, session)
}

/// The name that is typed: the folder's.
fn name_of(folder: &Path) -> String {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    real.file_name().map_or_else(|| "tree".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The files whose owner is the tree's.
fn makefiles(report: &TreeReport) -> Vec<PathBuf> {
    let layout = &report.summary.layout;
    vec![layout.source.value.join("Makefile"), layout.object.join("Makefile")]
}

/// Of exactly these files, before and after.
fn digest(edits: &[FileEdit]) -> Sha256 {
    let mut text = String::from("kmodlab tree fix 1\n");
    for edited in edits {
        let (before, after) = hashes(edited);
        text.push_str(&format!("{} {before} {after}\n", hex::encode(edited.path.as_os_str().as_encoded_bytes())));
    }
    sha256(text.as_bytes())
}

fn fixed(edits: &[FileEdit], digest: Sha256, done: bool, left: usize) -> Fixed {
    let file = |edited: &FileEdit| {
        let (before, after) = hashes(edited);
        FixedFile { path: output::path_text(&edited.path).into_owned(), before, after, diff: diff(edited) }
    };
    Fixed { schema_version: 1, done, digest, files: edits.iter().map(file).collect(), left }
}

/// The changes as a unified diff.
fn show(
    report: &TreeReport,
    edits: &[FileEdit],
    digest: Sha256,
    is_whole: bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let root = target::real_path(&report.summary.layout.object)?;
    for edited in edits {
        let name = output::path(edited.path.strip_prefix(&root).unwrap_or(&edited.path));
        writeln!(session.out, "--- {name}\n+++ {name}")?;
        let text = diff(edited);
        let shown = if is_whole { usize::MAX } else { LINES_SHOWN };
        let all = text.lines().count();
        for line in text.lines().take(shown) {
            let text = for_eyes(line);
            let text = match line.as_bytes().first() {
                Some(b'+') => session.paint(Paint::Good, text),
                Some(b'-') => session.paint(Paint::Bad, text),
                _ => text,
            };
            writeln!(session.out, "{text}")?;
        }
        if all > shown {
            writeln!(session.out, "… and {} more lines, which --fix -n prints", all - shown)?;
        }
    }
    writeln!(session.out, "digest  {}", session.paint(Paint::Strong, digest))?;
    Ok(())
}

/// Nothing of it is mere text.
fn nothing(report: &TreeReport, left: usize, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let status = if report.matches { Status::Done } else { Status::Negative };
    if args.json {
        session.json(&fixed(&[], digest(&[]), false, left))?;
        return Ok(status);
    }
    let why = match (left, &report.impossible) {
        (_, Some(_)) => "this tree can't match; kmodlab tree without --fix says why",
        (0, None) => "nothing to change; nothing was written",
        (_, None) => "nothing that is mere text; kmodlab tree without --fix says what to do",
    };
    writeln!(session.out, "{}: {why}", output::path(&args.tree))?;
    Ok(status)
}

fn carry_out(
    report: &TreeReport,
    edits: &[FileEdit],
    digest: Sha256,
    left: usize,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let vault = session.vault()?;
    let mut writer = recover::writer(&vault, session)?;
    for edited in edits {
        writer.must_be_settled(&edited.path)?;
    }
    let files = edits.iter().map(|edited| Ok((edited.path.clone(), edited)));
    let decide = |edited: &&FileEdit, target: &Target| -> Result<Option<Wanted>> {
        if target.bytes != edited.before {
            let what = "changed since the changes were shown; nothing was written to it";
            return Err(Error::new(ErrorKind::Changed, what).on(&target.path));
        }
        Ok(Some(wanted(report, edited, digest)))
    };
    let mut failed: Vec<Error> = Vec::new();
    let mut done = 0;
    writer.carry_out_all(edits.len(), files, decide, |_, _, result| match result {
        Ok(_) => done += 1,
        Err(error) => failed.push(error),
    })?;
    for error in &failed {
        session.complain(error);
    }
    if args.json {
        session.json(&fixed(edits, digest, failed.is_empty(), left))?;
    } else {
        for edited in edits.iter().filter(|edited| !failed.iter().any(|e| e.path() == Some(&edited.path))) {
            let (before, _) = hashes(edited);
            let changed = session.paint(Paint::Good, "changed");
            writeln!(session.out, "{changed}  {}", output::path(&edited.path))?;
            writeln!(session.out, "  backup  {}", output::path(&vault.objects().path(before)))?;
            writeln!(
                session.out,
                "  undo    kmodlab {}restore {}",
                session.state_option(),
                output::shell_word(&edited.path)
            )?;
        }
        if left > 0 {
            let (left, tree) = (count(left, "change"), output::shell_word(&args.tree));
            let kernel = output::shell_word(Path::new(&report.kernel.name));
            writeln!(
                session.out,
                "{left} left that no text makes: kmodlab tree {tree} --for {kernel} says what to type"
            )?;
        }
    }
    Ok(match (failed.len(), done) {
        (0, _) => Status::Done,
        (_, 0) => failed.first().map_or(Status::Failed, Status::of),
        _ => Status::Partial,
    })
}

fn wanted(report: &TreeReport, edited: &FileEdit, digest: Sha256) -> Wanted {
    let own = report.summary.current.vermagic.as_ref().map(ToString::to_string);
    let after = report.after.as_ref().map(ToString::to_string);
    Wanted {
        operation: Operation::Patch,
        after: Some(edited.after.clone()),
        after_sha256: hashes(edited).1,
        edits: edit::between(&edited.before, &edited.after).unwrap_or_default(),
        metadata_after: None,
        module: name_of(&edited.path),
        vermagic: (own, after),
        plan: Some(digest),
        overrides: Vec::new(),
        note: Some(format!("tree --fix for {}", report.kernel.name)),
        container: Container::None,
    }
}
