//! `restore`: modules get their original bytes, mode, owner, attributes and times back.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::known::{self, Named, Selecting, Selection};
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Progress, Session, Statuses};
use crate::cli::{Status, recover};
use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Remedy};
use crate::module::file;
use crate::vault::Writer;
use crate::vault::history::Trail;
use crate::vault::index::Index;
use crate::vault::journal::{Entry, How};
use crate::vault::recovery::{self, Recovered};
use crate::vault::restore::{self, RestorePlan, Step};
use crate::vault::target::{self, Target};

#[derive(clap::Args)]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, or folders, in which, 64 folders deep, those count that the journal knows")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// All modules that are patched now, by the journal
    #[arg(long, conflicts_with = "Modules")]
    all: bool,
    /// Put the original back even over changes that somebody else made; those are backed up too
    #[arg(long)]
    discard_changes: bool,
    /// Say what would be done; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Discard exactly the changes of this digest, which -n printed; once for each module that somebody else changed
    #[arg(long, value_name = "DIGEST", requires = "discard_changes")]
    confirm: Vec<String>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if !args.all && args.modules.is_empty() {
        let what = "which modules? name files or folders, or --all for all that are patched";
        return Err(Error::new(ErrorKind::Usage, what).into());
    }
    let vault = session.vault()?;
    // Without a state folder nothing was patched, and none is made to find that out.
    let mut writer = match args.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer(&vault, session)?),
    };
    let index = vault.index()?;
    let pending = vault.pending()?;
    let (is_torn, was_interrupted) = match &writer {
        Some(writer) => (writer.was_torn(), !writer.recovered().is_empty()),
        None => (index.is_torn(), !pending.is_empty()),
    };
    if !was_interrupted {
        known::tell_doubt(&vault, index.is_empty(), is_torn, session)?;
    }
    let known = Selecting { vault: &vault, index: &index, pending: &pending, is_expected: is_patched_in_place };
    let mut selection = output::waiting("looking for what was patched", || match args.all {
        // What an interrupted run left is none of those, unless the journal has it.
        true => Selecting { pending: &[], ..known }.all(),
        false => known.named(&args.modules),
    })?;
    if selection.is_empty() && args.all {
        writeln!(session.out, "nothing is patched")?;
        return Ok(Status::Done);
    }
    let mut told = Told { index: &index, statuses: Statuses::default(), failed: None };
    match &mut writer {
        None => foresee_all(&mut selection, &known, &mut told, session)?,
        Some(writer) if args.discard_changes => {
            for named in selection.iter()? {
                let named = named?;
                let done = named.path().and_then(|path| one(path, &args, writer, session));
                told.hear(&named, done, session)?;
            }
        }
        Some(writer) => all(&mut selection, &known, writer, &mut told, session)?,
    }
    if let Some(failed) = told.failed {
        return Err(failed);
    }
    selection.tell_others(session)?;
    Ok(told.statuses.of_all())
}

/// What was told of each module, and whether stdout failed.
struct Told<'i> {
    index: &'i Index,
    statuses: Statuses,
    failed: Option<Failure>,
}

impl Told<'_> {
    fn hear(&mut self, named: &Named, done: Result<(), Failure>, session: &mut Session<'_>) -> Result<(), Error> {
        match done {
            Ok(()) => self.statuses.add(Status::Done),
            Err(Failure::Error(error)) => {
                let error = match &named.real {
                    Ok(path) if error.kind() == ErrorKind::NotFound && self.is_gone(path)? => {
                        error.remedy(Remedy::Forget)
                    }
                    _ => error,
                };
                let error = error.on(&named.path);
                session.complain(&error);
                self.statuses.add(Status::of(&error));
            }
            // The work goes on: what was begun is not left half done because nobody reads about it.
            Err(output) => {
                self.failed.get_or_insert(output);
            }
        }
        Ok(())
    }

    /// Is a module that was patched there not there any more?
    fn is_gone(&self, path: &Path) -> Result<bool, Error> {
        let is_there = !matches!(path.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound);
        Ok(!is_there && self.index.knows_place(path)?)
    }
}

/// Is the file patched now? What `patch -o` made is no module that was patched: it has no original of its own.
fn is_patched_in_place(trail: &Trail<'_>) -> bool {
    trail.root().is_some_and(|root| root.how != How::Create)
}

/// What would be done, without writing anything.
fn foresee_all(
    selection: &mut Selection,
    known: &Selecting<'_>,
    told: &mut Told<'_>,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let look = |path: &Path| -> Result<RestorePlan, Error> {
        target::must_be_writable(path)?;
        let current = sha256(file::read(path)?.bytes());
        let plan = restore::plan_by(known.index, known.pending, path, current)?;
        // A restore whose backup can't be had is none.
        plan.backup(&known.vault.objects())?;
        Ok(plan)
    };
    let mut modules = selection.iter()?;
    loop {
        let some: Vec<Named> = modules.by_ref().take(known::STEP).collect::<Result<_, _>>()?;
        if some.is_empty() {
            return Ok(());
        }
        let looked: Vec<_> =
            some.par_iter().map(|named| Some(named.real.as_ref().ok()?).map(|path| look(path))).collect();
        for (named, plan) in some.iter().zip(looked) {
            let done = named.path().and_then(|path| match plan {
                Some(plan) => describe(path, &plan?, session),
                None => Ok(()),
            });
            told.hear(named, done, session)?;
        }
    }
}

/// Puts all back, in groups.
fn all(
    selection: &mut Selection,
    known: &Selecting<'_>,
    writer: &mut Writer<'_>,
    told: &mut Told<'_>,
    session: &mut Session<'_>,
) -> Result<(), Error> {
    let count = selection.len_of_real();
    let unsettled: Vec<Recovered> = writer.recovered().iter().filter(|it| !it.is_settled()).cloned().collect();
    let looks: Mutex<BTreeMap<usize, Vec<String>>> = Mutex::default();
    let progress = Mutex::new(Some(Progress::new("module", count)));
    let objects = known.vault.objects();
    let decide = |(at, _): &(usize, PathBuf), target: &Target| {
        if let Some(progress) = &*progress.lock().unwrap_or_else(|e| e.into_inner()) {
            progress.step();
        }
        recovery::must_be_settled(&unsettled, &target.path)?;
        let plan = restore::plan_by(known.index, known.pending, &target.path, target.sha256())?;
        let wanted = restore::wanted(target, &plan, &objects, false)?;
        let others = plan.looks_put_back(target);
        if wanted.is_some() && !others.is_empty() {
            looks.lock().unwrap_or_else(|e| e.into_inner()).insert(*at, others);
        }
        Ok(wanted)
    };
    // What could not even be looked for is told where it was named.
    let failed: RefCell<BTreeMap<usize, Named>> = RefCell::default();
    let tell_up_to = |end: usize, told: &mut Told<'_>, session: &mut Session<'_>| -> Result<(), Error> {
        while let Some((_, named)) = failed.borrow_mut().extract_if(..end, |_, _| true).next() {
            if let Err(error) = named.path() {
                told.hear(&named, Err(error), session)?;
            }
        }
        Ok(())
    };
    let files = selection.iter()?.enumerate().filter_map(|(at, named)| match named {
        Ok(Named { path, real: Ok(real) }) => Some(Ok((real, (at, path)))),
        Ok(named) => {
            failed.borrow_mut().insert(at, named);
            None
        }
        Err(error) => Some(Err(error)),
    });
    let (mut reached, mut broken) = (0, Ok(()));
    let done = writer.carry_out_all(count, files, decide, |real, (at, path), done| {
        // Its line goes before others are printed.
        progress.lock().unwrap_or_else(|e| e.into_inner()).take();
        reached += 1;
        let named = Named { path, real: Ok(real.to_owned()) };
        let looks = looks.lock().unwrap_or_else(|e| e.into_inner()).remove(&at).unwrap_or_default();
        let printed = done.map_err(Failure::from).and_then(|entry| restored(&named, entry.as_ref(), &looks, session));
        let heard = tell_up_to(at, told, session).and_then(|()| told.hear(&named, printed, session));
        if broken.is_ok() {
            broken = heard;
        }
    });
    if let Err(error) = done {
        session.complain(&error);
        told.statuses.add(Status::of(&error));
        if count > 1 {
            told.statuses.add(Status::of(&error));
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
    tell_up_to(usize::MAX, told, session)
}

/// What was done to a module. The journal's line has all but what else was put back.
fn restored(named: &Named, entry: Option<&Entry>, looks: &[String], session: &mut Session<'_>) -> Result<(), Failure> {
    let path = named.path()?;
    match entry.and_then(|entry| entry.change.as_ref()) {
        None => writeln!(session.out, "{}: is the original already; nothing was written", output::path(path))?,
        Some(change) => print_restored(path, change.after, looks, session)?,
    }
    Ok(())
}

fn print_restored(path: &Path, now: Sha256, looks: &[String], session: &mut Session<'_>) -> Result<(), Failure> {
    let done = session.paint(Paint::Good, "restored");
    writeln!(session.out, "{done}  {}", output::path(path))?;
    writeln!(session.out, "  now     {now}")?;
    for look in looks {
        let look = crate::escape::for_eyes(look);
        writeln!(session.out, "  put back too: {look} (the journal keeps what was there)")?;
    }
    Ok(())
}

/// Puts one back over what somebody else wrote, if there is such, after a confirmation of its own.
fn one(path: &Path, args: &Args, writer: &mut Writer<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let target = Target::open(path)?;
    let plan = writer.plan_restore(path, target.sha256())?;
    if plan.step == Step::Conflict {
        describe(path, &plan, session)?;
        let question = Question {
            to: "discard these changes",
            word: &plan.module,
            digest: plan.digest,
            see: "restore -n --discard-changes",
        };
        // Of several digests, that of this module; if none is, any of them is one that does not fit.
        let given = args
            .confirm
            .iter()
            .find(|given| given.to_ascii_lowercase().parse() == Ok(plan.digest))
            .or(args.confirm.first());
        confirm(&question, given.map(String::as_str), session)?;
    }
    let looks = plan.looks_put_back(&target);
    match writer.restore(&target, &plan, true)? {
        None => writeln!(session.out, "{}: is the original already; nothing was written", output::path(path))?,
        Some(_) => {
            print_restored(path, plan.original, &looks, session)?;
            if plan.step == Step::Conflict {
                let backup = writer.vault().objects().path(plan.current);
                writeln!(session.out, "  backup of what was discarded  {}", output::path(&backup))?;
            }
        }
    }
    Ok(())
}

fn describe(path: &Path, plan: &RestorePlan, session: &mut Session<'_>) -> Result<(), Failure> {
    let what = match plan.step {
        Step::PutBack => session.paint(Paint::Good, "would be restored"),
        Step::Nothing => "is the original already".to_owned(),
        Step::Conflict => session.paint(Paint::Bad, "was changed by somebody else"),
    };
    writeln!(session.out, "{}: {what}", output::path(path))?;
    writeln!(session.out, "  now       {}", plan.current)?;
    writeln!(session.out, "  original  {}", plan.original)?;
    if plan.step == Step::Conflict {
        writeln!(session.out, "  digest    {}", session.paint(Paint::Strong, &plan.digest))?;
    }
    Ok(())
}
