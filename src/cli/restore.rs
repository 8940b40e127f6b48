//! `restore`: modules get their original bytes, mode, owner, attributes and times back.

use std::path::{Path, PathBuf};

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Session, batch_status};
use crate::cli::{Status, recover};
use crate::module::{file, sha256};
use crate::vault::history::History;
use crate::vault::journal::How;
use crate::vault::recovery::Recovered;
use crate::vault::restore::{self, RestorePlan, Step, conflict};
use crate::vault::target::{self, Target};
use crate::vault::{Locked, Vault};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Module files
    #[arg(value_name = "MODULE", required_unless_present = "all")]
    modules: Vec<PathBuf>,
    /// All modules that are patched now, by the journal
    #[arg(long, conflicts_with = "modules")]
    all: bool,
    /// Put the original back even over changes that somebody else made; those are backed up too
    #[arg(long)]
    discard_changes: bool,
    /// Say what would be done; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Discard exactly the changes of this digest, which -n printed
    #[arg(long, value_name = "DIGEST", requires = "discard_changes")]
    confirm: Option<String>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let vault = session.vault()?;
    let mut writer = match args.dry_run {
        true => None,
        false => Some(recover::first(&vault, session)?),
    };
    let journal = vault.journal()?;
    let files = match args.all {
        true => patched_in_place(&History::of(&journal.entries)),
        false => args.modules.clone(),
    };
    if files.is_empty() {
        writeln!(session.out, "nothing is patched")?;
        return Ok(Status::Done);
    }
    let mut statuses = Vec::new();
    for path in &files {
        let done = match &mut writer {
            None => foresee(path, &vault, session),
            Some((locked, outcomes)) => one(path, &args, locked, outcomes, session),
        };
        let status = match done {
            Ok(()) => Status::Done,
            Err(Failure::Error(error)) => {
                let error = error.on(path);
                session.complain(&error);
                Status::of(&error)
            }
            Err(output) => return Err(output),
        };
        statuses.push(status);
    }
    Ok(batch_status(&statuses))
}

/// The files that are patched now. What `patch -o` made is no module that was patched: it has no original of its own.
fn patched_in_place(history: &History<'_>) -> Vec<PathBuf> {
    let files = history.patched_files().filter(|(_, trail)| trail.root().is_some_and(|root| root.how != How::Create));
    files.map(|(path, _)| path.to_owned()).collect()
}

/// What would be done to a file, without writing anything.
fn foresee(path: &Path, vault: &Vault, session: &mut Session<'_>) -> Result<(), Failure> {
    let path = target::real_path(path)?;
    let current = sha256(file::read(&path)?.bytes());
    let journal = vault.journal()?;
    let plan = restore::plan(&History::of(&journal.entries), &vault.pending()?, &path, &current)?;
    // A restore whose backup can't be had is none.
    vault.objects().get(&plan.original)?;
    describe(&path, &plan, session)
}

fn one(
    path: &Path,
    args: &Args,
    locked: &mut Locked<'_>,
    outcomes: &[Recovered],
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let path = target::real_path(path)?;
    if !args.discard_changes {
        recover::must_be_settled(outcomes, &path)?;
    }
    let target = Target::open(&path)?;
    let plan = locked.plan_restore(&path, &sha256(&target.bytes))?;
    if plan.step == Step::Conflict {
        if !args.discard_changes {
            return Err(conflict(&path).into());
        }
        describe(&path, &plan, session)?;
        let question = Question {
            to: "discard these changes",
            word: &plan.module,
            digest: &plan.digest,
            see: "restore -n --discard-changes",
        };
        confirm(&question, args.confirm.as_deref(), session)?;
    }
    let looks = plan.looks_put_back(&target);
    match locked.restore(&target, &plan, args.discard_changes)? {
        None => writeln!(session.out, "{}: is the original already; nothing was written", output::path(&path))?,
        Some(_) => {
            let done = session.paint(Paint::Good, "restored");
            writeln!(session.out, "{done}  {}", output::path(&path))?;
            writeln!(session.out, "  now     {}", plan.original)?;
            for look in looks {
                let look = crate::escape::for_eyes(&look);
                writeln!(session.out, "  put back too: {look} (the journal keeps what was there)")?;
            }
            if plan.step == Step::Conflict {
                writeln!(
                    session.out,
                    "  backup of what was discarded  {}",
                    output::path(&locked.vault().objects().path(&plan.current))
                )?;
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
