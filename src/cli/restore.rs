//! `restore`: puts the original bytes, mode, owner, attributes and times of modules back.

mod from;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;
use serde::Serialize;

use crate::change::{self, Restore, Restored, Restores};
use crate::cli::confirmation::confirmed;
use crate::cli::known;
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session, Statuses};
use crate::cli::recover;
use crate::cli::run::MessageArg;
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Remedy};
use crate::module::summary::MARK;
use crate::parallel;
use crate::selection::{JournalSelector, RecordedSelection, STEP, SelectedModule};
use crate::vault::extract::{self, ExtractedOriginal};
use crate::vault::history::FileHistory;
use crate::vault::index::JournalIndex;
use crate::vault::record::WriteMethod;
use crate::vault::restore::RestoreStep;
use crate::vault::{Vault, Writer};

#[derive(clap::Args)]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, or folders, in which, 64 folders deep, those count that the journal knows")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// All modules that are patched now, by the journal
    #[arg(long, conflicts_with = "Modules")]
    all: bool,
    /// Put the original back even over changes that somebody else made; they are backed up too
    #[arg(long)]
    discard_changes: bool,
    /// Take the originals from this kernel instead of the vault: a package (.deb and others, or A+B), a folder
    /// (/lib/modules/RELEASE, an unpacked package), or another copy of a module. Each module is compared first; only the
    /// same module is replaced, after a confirmation
    #[arg(long, value_name = "K", conflicts_with_all = ["all", "discard_changes"])]
    from: Option<OsString>,
    /// Print what would be done; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Confirm exactly the plan of this digest, which -n printed: of --from, or of --discard-changes, once per module that
    /// somebody else changed
    #[arg(long, value_name = "DIGEST")]
    confirm: Vec<String>,
    #[command(flatten)]
    message: MessageArg,
    /// Write the original of one module into a new file instead; the module and the state folder are only read, and nothing is
    /// recorded
    #[arg(short, long, value_name = "OUT", conflicts_with_all = ["all", "discard_changes", "from", "dry_run", "files_from"])]
    output: Option<PathBuf>,
    #[command(flatten)]
    foreign: ForeignArg,
    /// One JSON object per line and module
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if !args.all && args.modules.is_empty() {
        let what = "which modules? name files or folders, or --all for all that are patched";
        return Err(Error::new(ErrorKind::Usage, what).into());
    }
    if let Some(out) = &args.output {
        return extract(&session.vault_to_read(&args.foreign)?, &args, out, session);
    }
    if args.foreign.is_given() {
        let what = "--foreign-state is for restore -o, which only reads the state folder";
        return Err(Error::new(ErrorKind::Usage, what).into());
    }
    let vault = session.vault_with(&args.message)?;
    if let Some(kernel) = &args.from {
        return from::run(
            &from::RestoreFromArguments {
                vault: &vault,
                kernel,
                modules: &args.modules,
                dry_run: args.dry_run,
                confirm: args.confirm.first().map(String::as_str),
                json: args.json,
            },
            session,
        );
    }
    if !args.confirm.is_empty() && !args.discard_changes {
        let what = "a digest confirms a restore that discards changes, or one from a kernel";
        return Err(Error::new(ErrorKind::Usage, what).hint("add --discard-changes or --from K").into());
    }
    // Without a state folder nothing was patched, and none is made to find that out.
    let mut writer = match args.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer(&vault, session).map_err(if_read_only)?),
    };
    let index = vault.index()?;
    let pending = vault.pending()?;
    let (is_torn, was_interrupted) = match &writer {
        Some(writer) => (writer.was_torn(), !writer.recovered().is_empty()),
        None => (index.is_torn(), !pending.is_empty()),
    };
    // The errors of the modules say it, if there are any.
    let nowhere = if args.all { None } else { known::nowhere(&vault, &index, &pending, session)? };
    if !was_interrupted && nowhere.is_none() {
        known::warn_of_doubt(&vault, index.is_empty(), is_torn, session)?;
    }
    known::warn_of_damage(index.damage(), session);
    if writer.is_none() {
        known::warn_of_intents(&vault.damaged_intents()?, session);
    }
    let known = JournalSelector { vault: &vault, index: &index, pending: &pending, is_expected: is_patched_in_place };
    let mut selection = output::waiting("looking for what was patched", || match args.all {
        // A file of an interrupted run is not among them, unless the journal has it.
        true => JournalSelector { pending: &[], ..known }.all(),
        false => known.named(&args.modules.selection()),
    })?;
    if selection.is_empty() && args.all {
        if !args.json {
            writeln!(session.out, "nothing is patched")?;
        }
        return Ok(Status::Done);
    }
    let mut outcomes =
        RestoreOutcomes { index: &index, nowhere, is_json: args.json, statuses: Statuses::default(), failed: None };
    match &mut writer {
        None => plan_all(&mut selection, &known, &mut outcomes, session)?,
        Some(writer) if args.discard_changes => {
            for named in selection.iter()? {
                let named = named?;
                let done = named.real_path().map_err(Failure::from).and_then(|path| one(path, &args, writer, session));
                outcomes.add(&named, done, session)?;
            }
        }
        Some(writer) => all(&mut selection, &known, writer, &mut outcomes, session)?,
    }
    if let Some(failed) = outcomes.failed {
        return Err(failed);
    }
    if !args.json {
        known::print_unknown(&selection, session)?;
    }
    Ok(outcomes.statuses.of_all())
}

/// The error of a state folder that can't be written, with what needs no write.
fn if_read_only(error: Error) -> Error {
    match [Errno::ROFS, Errno::ACCESS, Errno::PERM].into_iter().any(|errno| error.is_errno(errno)) {
        true => error.remedy(Remedy::Extract),
        false => error,
    }
}

/// Writes the original of one module into a new file.
fn extract(vault: &Vault, args: &Args, out: &Path, session: &mut Session<'_>) -> Result<Status, Failure> {
    let Some(module) = args.modules.first().filter(|_| args.modules.is_single()) else {
        let what = "-o takes the original of one module";
        return Err(Error::new(ErrorKind::Usage, what).hint("call restore -o once per module").into());
    };
    let (index, pending) = (vault.index()?, vault.pending()?);
    let extracted = extract::extract(vault, &index, &pending, &change::forgettable_path(module), out)?;
    if args.json {
        session.json(&RestoreShown::of_extracted(&extracted, out))?;
        return Ok(Status::Done);
    }
    writeln!(session.out, "{}  {}", session.paint(Paint::Good, "extracted"), output::path(out))?;
    writeln!(session.out, "  the original of  {}", output::path(&extracted.path))?;
    writeln!(session.out, "  SHA-256          {}", extracted.original)?;
    Ok(Status::Done)
}

/// The outcomes so far, and whether stdout failed.
struct RestoreOutcomes<'i> {
    index: &'i JournalIndex,
    /// Why nothing is known of any module, if that is so.
    nowhere: Option<String>,
    is_json: bool,
    statuses: Statuses,
    failed: Option<Failure>,
}

impl RestoreOutcomes<'_> {
    fn add(
        &mut self,
        named: &SelectedModule,
        done: Result<(), Failure>,
        session: &mut Session<'_>,
    ) -> Result<(), Error> {
        match done {
            Ok(()) => self.statuses.add(Status::Done),
            Err(Failure::Error(error)) => {
                let error = match &named.real {
                    Ok(path)
                        if error.kind() == ErrorKind::NotFound
                            && error.suggested().is_none()
                            && self.is_gone(path)? =>
                    {
                        error.remedy(Remedy::Forget)
                    }
                    Err(_) if error.kind() == ErrorKind::NotFound => self.with_folder(&named.path, error)?,
                    _ => known::or_nowhere(error, self.nowhere.as_deref()),
                };
                let error = error.on(&named.path);
                session.complain(&error);
                self.statuses.add(Status::of(&error));
            }
            // The restore continues: it is not left half done because nobody reads its output.
            Err(output) => {
                self.failed.get_or_insert(output);
            }
        }
        Ok(())
    }

    /// The error of a path whose folder does not exist. If the journal knows the path, the folder has to be created first.
    fn with_folder(&self, path: &Path, error: Error) -> Result<Error, Error> {
        let Ok(path) = std::path::absolute(path) else { return Ok(error) };
        match path.parent().filter(|folder| !folder.exists()) {
            Some(folder) if self.index.knows_place(&path)? => Ok(error.remedy(Remedy::MakeFolder(folder.to_owned()))),
            _ => Ok(error),
        }
    }

    /// Is a module that was patched there not there any more?
    fn is_gone(&self, path: &Path) -> Result<bool, Error> {
        let is_there = !matches!(path.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound);
        Ok(!is_there && self.index.knows_place(path)?)
    }
}

/// Is the file patched now? What `patch -o` made is no module that was patched: it has no original of its own.
fn is_patched_in_place(of_path: &FileHistory<'_>) -> bool {
    of_path.root().is_some_and(|root| root.how != WriteMethod::Create)
}

/// What would be done, without writing anything.
fn plan_all(
    selection: &mut RecordedSelection,
    known: &JournalSelector<'_>,
    outcomes: &mut RestoreOutcomes<'_>,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let plan = |path: &Path| -> Result<Restore, Error> {
        let restore = Restore::plan_by(known.vault, known.index, known.pending, path)?;
        restore.must_have_backup(known.vault)?;
        Ok(restore)
    };
    let mut modules = selection.iter()?;
    loop {
        let some: Vec<SelectedModule> = modules.by_ref().take(STEP).collect::<Result<_, _>>()?;
        if some.is_empty() {
            return Ok(());
        }
        let planned =
            parallel::map(some.iter().collect(), |named: &SelectedModule| Some(plan(named.real.as_ref().ok()?)));
        for (named, restore) in some.iter().zip(planned) {
            let done = named.real_path().map_err(Failure::from).and_then(|_| match restore {
                Some(restore) => describe(&restore?, outcomes.is_json, session),
                None => Ok(()),
            });
            outcomes.add(named, done, session)?;
        }
    }
}

/// Puts all originals back, in groups.
fn all(
    selection: &mut RecordedSelection,
    known: &JournalSelector<'_>,
    writer: &mut Writer<'_>,
    outcomes: &mut RestoreOutcomes<'_>,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let count = selection.len_of_real();
    let progress = Mutex::new(Some(Progress::new("module", count)));
    let step = || {
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
    };
    // A module that could not even be looked for is reported where it was named.
    let failed: RefCell<BTreeMap<usize, SelectedModule>> = RefCell::default();
    let report_unread_until =
        |end: usize, outcomes: &mut RestoreOutcomes<'_>, session: &mut Session<'_>| -> Result<(), Error> {
            while let Some((_, named)) = failed.borrow_mut().extract_if(..end, |_, _| true).next() {
                if let Err(error) = named.real_path() {
                    outcomes.add(&named, Err(error.into()), session)?;
                }
            }
            Ok(())
        };
    let files = selection.iter()?.enumerate().filter_map(|(at, named)| match named {
        Ok(SelectedModule { path, real: Ok(real) }) => Some(Ok((real, (at, path)))),
        Ok(named) => {
            failed.borrow_mut().insert(at, named);
            None
        }
        Err(error) => Some(Err(error)),
    });
    let (mut reached, mut broken) = (0, Ok(()));
    let done = Restores::apply(
        Restores::by(known.index, known.pending),
        writer,
        count,
        files,
        step,
        |real, (at, path), done| {
            // The progress line is cleared before others are printed.
            progress.lock().unwrap_or_else(|e| e.into_inner()).take();
            reached += 1;
            let named = SelectedModule { path, real: Ok(real.to_owned()) };
            let printed =
                done.map_err(Failure::from).and_then(|done| print_restored(real, &done, outcomes.is_json, session));
            let added =
                report_unread_until(at, outcomes, session).and_then(|()| outcomes.add(&named, printed, session));
            if broken.is_ok() {
                broken = added;
            }
        },
    );
    if let Err(error) = done {
        session.complain(&error);
        outcomes.statuses.add(Status::of(&error));
        if count > 1 {
            outcomes.statuses.add(Status::of(&error));
            let left = output::count(count - reached, "module");
            match error.kind() {
                ErrorKind::NeedsRecovery => {
                    session.remark(format_args!("{left} may be restored or not, or were not reached"))
                }
                _ => session.remark(format_args!("{left} not restored, and as before")),
            }
        }
    }
    broken?;
    report_unread_until(usize::MAX, outcomes, session)
}

/// Prints what became of a module.
fn print_restored(path: &Path, done: &Restored, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    if is_json {
        return session.json(&RestoreShown::of_done(path, done));
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

/// Restores one module. Changes that somebody else made are discarded after a confirmation of exactly that.
fn one(path: &Path, args: &Args, writer: &mut Writer<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let restore = Restore::plan(writer.vault(), path)?;
    let discards = restore.discards_changes();
    let confirmed = if discards {
        // Of several digests, the one of this module; if none is, any of them is a digest of something else.
        let digest = restore.details().digest;
        let fits = |given: &&String| given.to_ascii_lowercase().parse() == Ok(digest);
        let given = args.confirm.iter().find(fits).or(args.confirm.first());
        if !args.json {
            describe(&restore, false, session)?;
        }
        let see = "restore -n --discard-changes";
        confirmed(restore, "discard these changes", see, given.map(String::as_str), session)?
    } else {
        restore.without_discarding()?
    };
    let done = confirmed.apply(writer)?;
    print_restored(path, &done, args.json, session)?;
    if let (true, false, Some(change)) = (discards, args.json, done.entry.and_then(|entry| entry.change)) {
        let backup = writer.vault().objects().path(change.before);
        writeln!(session.out, "  backup of the discarded contents  {}", output::path(&backup))?;
    }
    Ok(())
}

/// Prints what a restore would do.
fn describe(restore: &Restore, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    if is_json {
        return session.json(&RestoreShown::of_plan(restore));
    }
    let plan = restore.details();
    let what = match plan.step {
        RestoreStep::PutBack => session.paint(Paint::Good, "would be restored"),
        RestoreStep::Nothing => "is the original already".to_owned(),
        RestoreStep::Conflict => session.paint(Paint::Bad, "was changed by somebody else"),
        RestoreStep::Recreate => session.paint(Paint::Good, "is gone; would be created again"),
    };
    writeln!(session.out, "{}: {what}", output::path(restore.path()))?;
    if let Some(current) = plan.current {
        writeln!(session.out, "  now       {current}")?;
    }
    writeln!(session.out, "  original  {}", plan.original)?;
    if let Some(mark) = &plan.mark {
        writeln!(session.out, "  known by  its mark, {MARK}={}; the journal does not know it", mark.text())?;
    }
    if plan.step == RestoreStep::Conflict {
        writeln!(session.out, "  digest    {}", session.paint(Paint::Strong, plan.digest))?;
    }
    Ok(())
}

/// A restore, planned or done, as JSON.
#[derive(Serialize)]
struct RestoreShown<'r> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    /// restored, original (it was already), planned, conflict (somebody else changed it), or extracted (into another file)
    result: &'static str,
    /// SHA-256 of the file before and after; none where it was the original already; `before` is none where the file was gone
    before: Option<Sha256>,
    after: Option<Sha256>,
    /// The digest that confirms that the changes are discarded
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256>,
    /// The number of the journal's line; none if nothing was written.
    journal: Option<u64>,
    /// Mode, owner and attributes that were restored too, because somebody else had changed them
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also_restored: &'r [String],
    /// The new file that the original was written into
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_hex: Option<String>,
}

impl<'r> RestoreShown<'r> {
    fn of_done(path: &Path, done: &'r Restored) -> RestoreShown<'r> {
        let change = done.entry.as_ref().and_then(|entry| entry.change.as_ref());
        RestoreShown {
            schema_version: 1,
            module: output::path_text(path).into_owned(),
            path_hex: output::path_hex(path),
            result: if change.is_some() { "restored" } else { "original" },
            before: change.filter(|change| change.how != WriteMethod::Create).map(|change| change.before),
            after: change.map(|change| change.after),
            digest: None,
            journal: done.entry.as_ref().map(|entry| entry.seq),
            also_restored: &done.metadata,
            output: None,
            output_hex: None,
        }
    }

    fn of_extracted(extracted: &ExtractedOriginal, out: &'r Path) -> RestoreShown<'r> {
        RestoreShown {
            schema_version: 1,
            module: output::path_text(&extracted.path).into_owned(),
            path_hex: output::path_hex(&extracted.path),
            result: "extracted",
            before: None,
            after: Some(extracted.original),
            digest: None,
            journal: None,
            also_restored: &[],
            output: Some(output::path_text(out)),
            output_hex: output::path_hex(out),
        }
    }

    fn of_plan(restore: &'r Restore) -> RestoreShown<'r> {
        let plan = restore.details();
        let result = match plan.step {
            RestoreStep::PutBack | RestoreStep::Recreate => "planned",
            RestoreStep::Nothing => "original",
            RestoreStep::Conflict => "conflict",
        };
        RestoreShown {
            schema_version: 1,
            module: output::path_text(restore.path()).into_owned(),
            path_hex: output::path_hex(restore.path()),
            result,
            before: plan.current,
            after: Some(plan.original),
            digest: restore.discards_changes().then_some(plan.digest),
            journal: None,
            also_restored: &[],
            output: None,
            output_hex: None,
        }
    }
}
