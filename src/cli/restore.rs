//! `restore`: puts the original bytes, mode, owner, attributes and times of modules back.

mod from;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;

use crate::change::{self, Restore, RestoreReport, Restores};
use crate::cli::confirmation::confirmed;
use crate::cli::known;
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session, Statuses};
use crate::cli::recover;
use crate::cli::run::MessageArg;
use crate::cli::session::ForeignArg;
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind, Remedy};
use crate::module::summary::MARK;
use crate::selection::{JournalSelector, RecordedSelection, SelectedModule};
use crate::vault::extract;
use crate::vault::index::JournalIndex;
use crate::vault::restore::RestoreStep;
use crate::vault::{Vault, Writer};
use from::print_restored;

#[derive(clap::Args)]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, or folders, in which, 64 folders deep, those count that the journal knows")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// All modules that are patched now, by the journal; if there is none, those with a mark in this machine's module trees
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
    if !args.all && args.modules.selection().is_empty() {
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
    let nowhere = if args.all { None } else { known::nowhere(&vault, &index, &pending)? };
    if !was_interrupted && nowhere.is_none() {
        known::warn_of_doubt(&vault, index.is_empty(), is_torn, session)?;
    }
    known::warn_of_damage(index.damage(), session);
    if writer.is_none() {
        known::warn_of_intents(&vault.damaged_intents()?, session);
    }
    let known = JournalSelector {
        vault: &vault,
        index: &index,
        pending: &pending,
        is_expected: |of_path| of_path.is_patched_in_place(),
    };
    let mut selection = output::waiting("looking for what was patched", || match args.all {
        // A file of an interrupted run is not among them, unless the journal has it.
        true => JournalSelector { pending: &[], ..known }.all(),
        false => known.named(&args.modules.selection_in(session)),
    })?;
    if selection.is_empty() && args.all {
        selection = known::marked(&known, session)?;
        if selection.is_empty() {
            if !args.json {
                known::print_searched("nothing is patched by the journal", session)?;
            }
            return Ok(Status::Done);
        }
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
    let selection = args.modules.selection_in(session);
    let Some(module) = selection.modules.first().filter(|_| selection.is_single()) else {
        let what = "-o takes the original of one module";
        return Err(Error::new(ErrorKind::Usage, what).hint("call restore -o once per module").into());
    };
    let (index, pending) = (vault.index()?, vault.pending()?);
    let extracted = extract::extract(vault, &index, &pending, &change::forgettable_path(&session.place(module)), out)?;
    if args.json {
        session.json(&RestoreReport::of_extracted(&extracted, out))?;
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
                let nowhere = self.nowhere.as_deref().filter(|_| named.real.is_ok());
                let error = known::or_nowhere(change::with_next_step(error, named, self.index)?, nowhere);
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
}

/// What would be done, without writing anything.
fn plan_all(
    selection: &mut RecordedSelection,
    known: &JournalSelector<'_>,
    outcomes: &mut RestoreOutcomes<'_>,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    Restore::plan_each(selection, known, |named, restore| {
        let done = restore.map_err(Failure::from).and_then(|restore| describe(&restore, outcomes.is_json, session));
        outcomes.add(named, done, session)
    })
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
    let mut broken = Ok(());
    let restores = Restores::by(known.index, known.pending);
    let ended = Restores::apply_to(restores, writer, selection, step, |named, done| {
        // The progress line is cleared before others are printed.
        progress.lock().unwrap_or_else(|e| e.into_inner()).take();
        let printed = done.map_err(Failure::from).and_then(|done| {
            let real = named.real_path()?;
            print_restored(real, &done, outcomes.is_json, session)
        });
        let added = outcomes.add(named, printed, session);
        if broken.is_ok() {
            broken = added;
        }
    });
    if let Some((error, left)) = ended {
        session.complain(&error);
        outcomes.statuses.add(Status::of(&error));
        if count > 1 {
            outcomes.statuses.add(Status::of(&error));
            output::remark_left(left, "restored", &error, session);
        }
    }
    broken
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
        return session.json(&RestoreReport::of_plan(restore));
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
