//! `patch`: rewrites a module's version magic and the other parts that a kernel checks, in place, as a whole new file, or
//! into another file.

mod arguments;
mod many;
mod request;
mod shown;
mod summary;

use std::path::Path;

use crate::change::{Applied, PatchReport, PlanReport, Proposal, Review};
use crate::cli::confirmation::confirmed;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::status::Status;
use crate::cli::{recover, words};
use crate::error::Result;
use crate::vault::target;
pub(super) use arguments::Args;

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    match args.modules.selection().one() {
        Some(module) => one(module, &args, session),
        None => many::run(&args, session),
    }
}

/// One module: its whole plan is shown.
fn one(module: &Path, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (request, kernel) = args.wanted.request(session)?;
    let vault = session.vault_with(&args.change.message)?.compressing(args.vault_compress);
    let path = target::real_path(module)?;
    let out = args.output.as_deref().map(target::real_path).transpose()?;
    if !args.change.dry_run && vault.folder().exists() {
        recover::writer_of_new(&vault, session)?.must_be_settled(&path)?;
    } else if vault.has_intents()? {
        session.remark("an interrupted run left something: kmodlab recover comes first, and may change the plan");
    }

    let machine = session.machine(&vault);
    let proposal = Proposal::make(&path, out.as_deref(), &request, kernel.as_ref(), &machine)?;
    let given = args.change.confirm.as_deref();
    let reviewed = proposal.review(args.overrides.overrides());
    let review: &Review<'_> = match &reviewed {
        Ok(reviewed) => reviewed.review(),
        Err(refused) => refused.review(),
    };
    if args.change.dry_run {
        match args.change.json {
            true => session.json(&PlanReport::of(review, given, words::GUARDS))?,
            false => shown::print(review, given, session)?,
        }
        return Ok(Status::Done);
    }
    let proposal = review.proposal();
    if proposal.writes_nothing() {
        match args.change.json {
            true => session.json(&PatchReport::of_unchanged(proposal))?,
            false => writeln!(session.out, "{}: already as requested; nothing was written", output::path(&path))?,
        }
        return Ok(Status::Done);
    }
    if proposal.replaces_the_original(&vault)? {
        session.remark(format_args!(
            "{}: modified since the last patch; the current contents become the new original",
            output::path(&path)
        ));
    }
    if let Some(mark) = proposal.unknown_mark(&vault)? {
        session.remark(format_args!(
            "{}: it is patched already by its mark {}, and this journal does not know that patch; kmodlab verify looks for its original",
            output::path(&path),
            crate::escape::for_eyes(&mark)
        ));
    }
    let reviewed = match reviewed {
        Ok(reviewed) => reviewed,
        Err(refused) => return Err(words::refusal(refused.guard(), refused.reason()).on(&path).into()),
    };
    if given.is_none() && session.may_ask {
        shown::print(reviewed.review(), None, session)?;
    }
    let written = reviewed.review().proposal().written().to_owned();
    let confirmed = confirmed(reviewed, "patch it", "-n", given, session).map_err(|e| e.on(module))?;
    let mut writer = recover::writer_of_new(&vault, session)?;
    let Applied::Written(entry) = confirmed.apply(&mut writer)? else { return Ok(Status::Done) };
    let Some(change) = &entry.change else { return Ok(Status::Done) };
    if args.change.json {
        session.json(&PatchReport::of(change, entry.seq))?;
        return Ok(Status::Done);
    }
    let done = session.paint(Paint::Good, "patched");
    writeln!(session.out, "{done}  {}", output::path(&written))?;
    writeln!(session.out, "  before  {}", change.before)?;
    writeln!(session.out, "  after   {}", change.after)?;
    writeln!(session.out, "  backup  {}", output::path(&vault.objects().path(change.before)))?;
    writeln!(session.out, "  undo    kmodlab {}restore {}", session.state_option(), output::shell_word(&written))?;
    Ok(Status::Done)
}
