//! `restore --from K`: puts originals from a kernel's own modules back.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::against::{ComparedModule, RelationToOriginal};
use crate::change::{Confirmable, FilePlan, OriginalSource, RestoreFrom, RestoreReport, Restored};
use crate::cli::confirmation::confirmed;
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session, Statuses, count};
use crate::cli::status::Status;
use crate::cli::{against, recover};
use crate::digest::Sha256;
use crate::vault::Vault;
use crate::vault::record::WriteMethod;

/// How many modules are shown before the question.
const SHOWN: usize = 20;

/// What a restore from a kernel is about.
pub(super) struct RestoreFromArguments<'a> {
    pub(super) vault: &'a Vault,
    pub(super) kernel: &'a OsStr,
    pub(super) modules: &'a Modules,
    pub(super) dry_run: bool,
    pub(super) confirm: Option<&'a str>,
    pub(super) json: bool,
}

pub(super) fn run(args: &RestoreFromArguments<'_>, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (kernel, lookup) = (session.kernel_name(args.kernel), session.lookup());
    let vault = args.vault;
    if !args.dry_run && vault.is_there() {
        recover::writer(vault, session)?;
    }
    let mut statuses = Statuses::default();
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in args.modules.selection_in(session).real_files()? {
        match path {
            Ok(path) => paths.push(path),
            Err(error) => {
                session.complain(&error);
                statuses.add(Status::of(&error));
            }
        }
    }
    // The vault's folder is on a disk. The folder for temporary files may be in memory.
    let keep_in = (!args.dry_run).then_some(vault.folder());
    let source = OriginalSource { kernel: &kernel, lookup: &lookup, keep_in };
    let progress = Progress::new("module", paths.len());
    let plan = RestoreFrom::plan(&source, paths, || progress.step())?;
    drop(progress);
    let (digest, planned) = (plan.digest(), plan.planned());
    let may_be_asked = args.confirm.is_none() && session.may_ask;
    let shown = if args.dry_run { usize::MAX } else { SHOWN };
    let mut left = shown;
    for file in plan.files() {
        let is_shown = file.write.is_some() && (args.dry_run || may_be_asked && left > 0);
        left -= usize::from(is_shown);
        show(file, is_shown, digest, args, &mut statuses, session)?;
    }
    if planned > shown && may_be_asked {
        writeln!(session.out, "and {} more", count(planned - shown, "module"))?;
    }
    if args.dry_run || may_be_asked {
        if planned > 0 && !args.json {
            writeln!(session.out, "digest  {}", session.paint(Paint::Strong, digest))?;
        }
        if args.dry_run {
            return Ok(statuses.of_all());
        }
    }
    if planned == 0 {
        return Ok(statuses.of_all());
    }
    let to = if planned == 1 { "restore it".to_owned() } else { format!("restore {}", count(planned, "module")) };
    let confirmed = confirmed(plan, &to, "restore --from -n", args.confirm, session)?;
    let mut writer = recover::writer(vault, session)?;
    let progress = Progress::new("module", planned);
    let (mut reached, mut printed) = (0, Ok(()));
    let ended = RestoreFrom::apply(confirmed, &mut writer, |path, done| {
        progress.step();
        reached += 1;
        match done {
            Ok(entry) => {
                statuses.add(Status::Done);
                if printed.is_ok() {
                    let done = Restored { entry, metadata: Vec::new() };
                    printed = print_restored(path, &done, args.json, session);
                }
            }
            Err(error) => {
                let error = error.on(path);
                session.complain(&error);
                statuses.add(Status::of(&error));
            }
        }
    });
    drop(progress);
    if let Err(error) = ended {
        session.complain(&error);
        statuses.add(Status::of(&error));
        if planned > 1 {
            output::remark_left(planned - reached, "restored", &error, session);
        }
    }
    printed?;
    Ok(statuses.of_all())
}

/// Prints the plan of one file: what differs, and why it is not restored.
fn show(
    file: &FilePlan,
    is_shown: bool,
    digest: Sha256,
    args: &RestoreFromArguments<'_>,
    statuses: &mut Statuses,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let ComparedModule { path, original, comparison, .. } = &file.module;
    let relation = comparison.relation;
    if let Some(error) = &file.refused {
        session.complain(error);
        statuses.add(Status::of(error));
        if !args.json {
            against::print_differences(comparison, session)?;
        }
    } else if relation == RelationToOriginal::Original {
        statuses.add(Status::Done);
        match args.json {
            true => session.json(&RestoreReport::of_plan_from(file, digest))?,
            false => writeln!(session.out, "{}: is the original already; nothing was written", output::path(path))?,
        }
    } else if args.dry_run {
        statuses.add(Status::Done);
    }
    match (is_shown, args.json, file.write) {
        (true, true, _) => session.json(&RestoreReport::of_plan_from(file, digest))?,
        (true, false, Some([before, after])) => {
            let would = session.paint(Paint::Good, "would be restored");
            writeln!(session.out, "{}: {}, {would}", output::path(path), relation.name())?;
            against::print_differences(comparison, session)?;
            let original = original.as_deref().map(crate::escape::for_eyes).unwrap_or_default();
            writeln!(session.out, "  now       {before}\n  original  {after}  {original}")?;
            let ending = |path: &str| path.rsplit_once('.').map(|(_, ending)| ending.to_owned());
            if ending(&original) != ending(&path.to_string_lossy()) {
                writeln!(session.out, "  the original is compressed differently; the file keeps its name")?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Prints what became of a module.
pub(super) fn print_restored(
    path: &Path,
    done: &Restored,
    is_json: bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    if is_json {
        return session.json(&RestoreReport::of_done(path, done));
    }
    let Some(change) = done.entry.as_ref().and_then(|entry| entry.change.as_ref()) else {
        writeln!(session.out, "{}: is the original already; nothing was written", output::path(path))?;
        return Ok(());
    };
    let restored = session.paint(Paint::Good, "restored");
    let was_gone = if change.how == WriteMethod::Create { "  (it was gone)" } else { "" };
    writeln!(session.out, "{restored}  {}{was_gone}", output::path(path))?;
    writeln!(session.out, "  now     {}", change.after)?;
    let note = done.entry.as_ref().and_then(|entry| entry.note.as_deref());
    if let Some(note) = note.filter(|_| change.overrides.is_empty()) {
        writeln!(session.out, "  note    {}", crate::escape::for_eyes(note))?;
    }
    for metadata in &done.metadata {
        let metadata = crate::escape::for_eyes(metadata);
        writeln!(session.out, "  also restored: {metadata} (the journal has the previous value)")?;
    }
    Ok(())
}
