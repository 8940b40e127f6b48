//! `tree --fix`: the changes that are mere text, shown as a diff, confirmed, and carried out by the vault's protocol.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

use crate::buildtree::advising::fix::TreeChange;
use crate::buildtree::reading::layout::TreeKind;
use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::tree::{Args, Study};
use crate::cli::{Status, recover};
use crate::digest::{Sha256, sha256};
use crate::edit;
use crate::error::{Error, ErrorKind, Result};
use crate::escape::for_eyes;
use crate::guard::Guard;
use crate::kernel::{config, packed};
use crate::module::container::Container;
use crate::module::file;
use crate::vault::group::Wanted;
use crate::vault::journal::Operation;
use crate::vault::target::{self, Target};

/// How many lines of a diff are shown where somebody is asked: a configuration that is replaced differs in thousands.
const LINES_SHOWN: usize = 60;

/// A file that is to become another.
struct Edited {
    path: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Makes a file's bytes out of those that it has.
type Make<'m> = dyn Fn(&[u8]) -> Result<Vec<u8>> + 'm;

impl Edited {
    fn diff(&self) -> String {
        let (before, after) = (String::from_utf8_lossy(&self.before), String::from_utf8_lossy(&self.after));
        TextDiff::from_lines(before.as_ref(), after.as_ref()).unified_diff().context_radius(1).to_string()
    }

    fn sha256(&self) -> (Sha256, Sha256) {
        (sha256(&self.before), sha256(&self.after))
    }
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

pub(super) fn run(study: &Study, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (edits, left) = edits(study)?;
    if edits.is_empty() {
        return nothing(study, left, args, session);
    }
    let vault = session.vault()?;
    let machine = session.machine(&vault);
    let owned = edits.iter().map(|edited| edited.path.clone()).chain(makefiles(study)).find_map(|path| {
        let real = target::real_path(&path).ok()?;
        machine.owner(&real).map(|owner| (path, owner))
    });
    if let Some((path, owner)) = owned {
        let what = format!("refused by the guard {}: {owner} owns it", Guard::InstalledTree.name());
        let hint = "copy the tree and fix the copy; what a package brought is made for its kernel as it is";
        return Err(Error::new(ErrorKind::Guard, what).hint(hint).on(path).into());
    }
    if study.tree.layout.kind == TreeKind::Headers {
        let what = format!("refused by the guard {}: this is a headers package", Guard::InstalledTree.name());
        let hint = "install the package of the kernel's own release";
        return Err(Error::new(ErrorKind::Guard, what).hint(hint).on(&study.tree.layout.object).into());
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
        show(study, &edits, digest, args.dry_run, session)?;
    }
    if args.dry_run {
        return Ok(Status::Done);
    }
    let word = name_of(&study.tree.layout.object);
    let question = Question { to: "change it so", word: &word, digest, see: "--fix -n" };
    confirm(&question, args.confirm.as_deref(), session).map_err(|e| e.on(&args.tree))?;
    carry_out(study, &edits, digest, left, args, session)
}

/// The name that is typed: the folder's.
fn name_of(folder: &Path) -> String {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    real.file_name().map_or_else(|| "tree".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The files whose owner is the tree's.
fn makefiles(study: &Study) -> Vec<PathBuf> {
    let layout = &study.tree.layout;
    vec![layout.source.value.join("Makefile"), layout.object.join("Makefile")]
}

/// The files that mere text mends, and how many changes are left.
fn edits(study: &Study) -> Result<(Vec<Edited>, usize)> {
    let mut files: BTreeMap<PathBuf, Edited> = BTreeMap::new();
    let mut left = 0;
    for mend in &study.plan.fixes {
        let (path, make): (&Path, Box<Make<'_>>) = match &mend.change {
            TreeChange::Line { place, before, after } => {
                (&place.file, Box::new(move |bytes| with_line(bytes, place.line, before, after)))
            }
            TreeChange::Empty { file, .. } => (file, Box::new(|_| Ok(Vec::new()))),
            TreeChange::Config { from, to } if is_text(from) && to.is_file() => {
                (to, Box::new(move |_| configuration(Path::new(from))))
            }
            _ => {
                left += 1;
                continue;
            }
        };
        let edited = match files.entry(path.to_owned()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let before = file::read(path)?.bytes().to_vec();
                let path = target::real_path(path)?;
                entry.insert(Edited { path, after: before.clone(), before })
            }
        };
        edited.after = make(&edited.after).map_err(|e| e.on(path))?;
    }
    Ok((files.into_values().filter(|edited| edited.before != edited.after).collect(), left))
}

/// Is this source of a configuration a file that is copied as it is, or unpacked? Else it is in a package or an image.
fn is_text(from: &str) -> bool {
    Path::new(from).is_file()
}

/// The text of a configuration: `/boot/config-REL`, `/proc/config.gz`.
fn configuration(from: &Path) -> Result<Vec<u8>> {
    // What lies in /proc has no size, so it is read, not mapped.
    let bytes = std::fs::read(from).map_err(|e| Error::io("reading the kernel's configuration", e).on(from))?;
    let text = packed::unpack(&bytes, u64::MAX).map_err(|e| e.on(from))?.into_owned();
    match config::looks_like(&String::from_utf8_lossy(&text)) {
        true => Ok(text),
        false => Err(Error::new(ErrorKind::Malformed, "no text of options").hint("copy it by hand").on(from)),
    }
}

/// A text with one line put in the place of another, which it must be; line 0 is added at the end. A line that the last
/// change has moved is looked for by its name. How it assigns (`=`, `:=`), a comment behind it, and the ends of lines stay.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for a line that says more than one plain assignment: `override`, `?=`, one that goes on.
fn with_line(bytes: &[u8], line: usize, before: &str, after: &str) -> Result<Vec<u8>> {
    let (variable, value) = after.split_once('=').unwrap_or((after, ""));
    let (variable, is_option) = (variable.trim_end(), after.starts_with("CONFIG_"));
    let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let names_it = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        text.strip_prefix(variable).is_some_and(|rest| rest.trim_start().starts_with(['=', ':', '?', '+']))
            || text == format!("# {variable} is not set")
    };
    let at = line.checked_sub(1).filter(|at| lines.get(*at).is_some_and(|line| names_it(line)));
    let at = at.or_else(|| lines.iter().rposition(|line| names_it(line)));
    let mut owned = after.as_bytes().to_vec();
    match at.and_then(|at| lines.get_mut(at)) {
        Some(old) => {
            let end = old.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
            let (text, rest) = old.split_at(end);
            if !is_option {
                owned = assigned(&String::from_utf8_lossy(text), value.trim())?.into_bytes();
            }
            owned.extend_from_slice(rest);
            *old = &owned;
        }
        // What is there in another form, an override or a condition, would go on counting.
        None if line > 0 && !is_option => return Err(no_plain_line(before)),
        None => {
            if bytes.last().is_some_and(|last| *last != b'\n') {
                lines.push(b"\n");
            }
            owned.push(b'\n');
            lines.push(&owned);
        }
    }
    Ok(lines.concat())
}

/// An assignment of a makefile with another value: `EXTRAVERSION = -x # comment`.
fn assigned(line: &str, value: &str) -> Result<String> {
    let (left, right) = line.split_once('=').unwrap_or((line, ""));
    if left.ends_with(['?', '+', '!']) || line.trim_end().ends_with('\\') {
        return Err(no_plain_line(line));
    }
    let comment =
        right.find('#').and_then(|at| right.get(at..)).map(|comment| format!(" {comment}")).unwrap_or_default();
    let value = if value.is_empty() { String::new() } else { format!(" {value}") };
    Ok(format!("{left}={value}{comment}"))
}

fn no_plain_line(line: &str) -> Error {
    let what = format!("no plain assignment: {}", for_eyes(line.trim()));
    Error::new(ErrorKind::Unsupported, what).hint("change this line by hand; nothing was written")
}

/// Of exactly these files, before and after.
fn digest(edits: &[Edited]) -> Sha256 {
    let mut text = String::from("kmodlab tree fix 1\n");
    for edited in edits {
        let (before, after) = edited.sha256();
        text.push_str(&format!("{} {before} {after}\n", hex::encode(edited.path.as_os_str().as_encoded_bytes())));
    }
    sha256(text.as_bytes())
}

fn fixed(edits: &[Edited], digest: Sha256, done: bool, left: usize) -> Fixed {
    let file = |edited: &Edited| {
        let (before, after) = edited.sha256();
        FixedFile { path: output::path_text(&edited.path).into_owned(), before, after, diff: edited.diff() }
    };
    Fixed { schema_version: 1, done, digest, files: edits.iter().map(file).collect(), left }
}

/// The changes as a unified diff.
fn show(
    study: &Study,
    edits: &[Edited],
    digest: Sha256,
    is_whole: bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let root = target::real_path(&study.tree.layout.object)?;
    for edited in edits {
        let name = output::path(edited.path.strip_prefix(&root).unwrap_or(&edited.path));
        writeln!(session.out, "--- {name}\n+++ {name}")?;
        let text = edited.diff();
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
fn nothing(study: &Study, left: usize, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let status = if study.plan.matches { Status::Done } else { Status::Negative };
    if args.json {
        session.json(&fixed(&[], digest(&[]), false, left))?;
        return Ok(status);
    }
    let why = match (left, &study.plan.never) {
        (_, Some(_)) => "this tree can't match; kmodlab tree without --fix says why",
        (0, None) => "nothing to change; nothing was written",
        (_, None) => "nothing that is mere text; kmodlab tree without --fix says what to do",
    };
    writeln!(session.out, "{}: {why}", output::path(&args.tree))?;
    Ok(status)
}

fn carry_out(
    study: &Study,
    edits: &[Edited],
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
    let decide = |edited: &&Edited, target: &Target| -> Result<Option<Wanted>> {
        if target.bytes != edited.before {
            let what = "changed since the changes were shown; nothing was written to it";
            return Err(Error::new(ErrorKind::Changed, what).on(&target.path));
        }
        Ok(Some(wanted(study, edited, digest)))
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
            let (before, _) = edited.sha256();
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
            let kernel = output::shell_word(Path::new(&study.kernel.name));
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

fn wanted(study: &Study, edited: &Edited, digest: Sha256) -> Wanted {
    let own = study.predictions.current.vermagic.as_ref().map(ToString::to_string);
    let after = study.plan.after.as_ref().map(ToString::to_string);
    Wanted {
        operation: Operation::Patch,
        after: Some(edited.after.clone()),
        after_sha256: edited.sha256().1,
        edits: edit::between(&edited.before, &edited.after).unwrap_or_default(),
        metadata_after: None,
        module: name_of(&edited.path),
        vermagic: (own, after),
        plan: Some(digest),
        overrides: Vec::new(),
        note: Some(format!("tree --fix for {}", study.kernel.name)),
        container: Container::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, at: usize, before: &str, after: &str) -> String {
        String::from_utf8(with_line(text.as_bytes(), at, before, after).unwrap()).unwrap()
    }

    #[test]
    fn a_configuration_is_unpacked_and_nothing_else_is_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.gz");
        let text = b"# Linux\nCONFIG_X86=y\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packed, text).unwrap();
        std::fs::write(&path, packed.finish().unwrap()).unwrap();
        assert_eq!(configuration(&path).unwrap(), text);
        std::fs::write(&path, text).unwrap();
        assert_eq!(configuration(&path).unwrap(), text);
        std::fs::write(&path, "a shopping list").unwrap();
        assert_eq!(configuration(&path).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_line_is_replaced_and_all_else_stays() {
        let makefile = "VERSION = 2\r\nEXTRAVERSION = -1.358custom\r\nNAME = x";
        let mended = line(makefile, 2, "EXTRAVERSION = -1.358custom", "EXTRAVERSION = -1.358");
        assert_eq!(mended, "VERSION = 2\r\nEXTRAVERSION = -1.358\r\nNAME = x");
    }

    #[test]
    fn how_a_line_assigns_and_its_comment_stay_and_what_is_more_than_that_is_refused() {
        let (before, after) = ("EXTRAVERSION = -x", "EXTRAVERSION = -y");
        assert_eq!(line("EXTRAVERSION := -x # mine\n", 1, before, after), "EXTRAVERSION := -y # mine\n");
        for text in ["EXTRAVERSION ?= -x\n", "EXTRAVERSION = -x \\\n  custom\n", "override EXTRAVERSION = -x\n"] {
            assert!(with_line(text.as_bytes(), 1, before, after).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_line_that_moved_is_found_by_its_name_and_a_missing_one_is_added() {
        let config = "# CONFIG_LOCALVERSION is not set\nCONFIG_X=y";
        let (before, after) = ("CONFIG_LOCALVERSION=\"\"", "CONFIG_LOCALVERSION=\"-a\"");
        assert_eq!(line(config, 9, before, after), "CONFIG_LOCALVERSION=\"-a\"\nCONFIG_X=y");
        assert_eq!(line("CONFIG_X=y", 0, before, after), "CONFIG_X=y\nCONFIG_LOCALVERSION=\"-a\"\n");
        assert_eq!(
            line("CONFIG_LOCALVERSION_AUTO=y\n", 1, before, after),
            "CONFIG_LOCALVERSION_AUTO=y\nCONFIG_LOCALVERSION=\"-a\"\n"
        );
    }
}
