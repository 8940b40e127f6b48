//! `patch`: a module's version magic, and what else a kernel looks at, is rewritten: in place, as a whole new file, or
//! into another file.

mod item;
mod many;
mod proposal;
mod request;
mod shown;
mod whole;

use std::path::{Path, PathBuf};

use crate::cli::confirmation::{Question, confirm};
use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Session};
use crate::cli::{Status, recover};
use crate::error::{Error, ErrorKind, Result};
use crate::patch::apply::{self, Record};
use crate::patch::{Plan, Request};
use crate::vault::Vault;
use crate::vault::history::History;
use crate::vault::target::{self, Target};
use proposal::{Proposal, objection, overridden, refusal};
use request::{OverrideArgs, Wanted};
use shown::{Applied, Shown};

#[derive(clap::Args)]
#[command(mut_group("Modules", |group| group.required(true)))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    #[command(flatten)]
    wanted: Wanted,
    /// Write a new file, which must not exist, and leave the module alone
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Print the plan, the guards and the digest; write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Apply exactly the plan of this digest, which -n printed
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
    /// Keep the backups compressed (zstd)
    #[arg(long)]
    vault_compress: bool,
    #[command(flatten)]
    overrides: OverrideArgs,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    match args.modules.one() {
        Some(module) => one(module, &args, session),
        None => many::run(&args, session),
    }
}

/// One module: all of its plan is shown.
fn one(module: &Path, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (request, kernel) = args.wanted.request(session)?;
    let vault = session.vault()?.compressing(args.vault_compress);
    let path = target::real_path(module)?;
    let out = args.output.as_deref().map(target::real_path).transpose()?;
    if let Some(out) = out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
        return Err(apply::exists_already(out).into());
    }
    if !args.dry_run && vault.folder().exists() {
        recover::writer(&vault, session)?.must_be_settled(&path)?;
    } else if vault.pending()?.iter().any(|intent| intent.change.path == path) {
        session.remark("an interrupted run left this module: kmodlab recover comes first, and may change the plan");
    }

    let proposal = Proposal::make(&path, out.as_deref(), &request, kernel.as_ref())?;
    let given = args.confirm.as_deref();
    let is_confirmed = given.is_some_and(|digest| digest.to_ascii_lowercase().parse() == Ok(proposal.digest));
    let answers = proposal.ask(&session.machine(&vault), args.overrides.overrides(), is_confirmed)?;
    if args.dry_run {
        match args.json {
            true => session.json(&Shown::of(&proposal, &answers))?,
            false => shown::print(&proposal, &answers, session)?,
        }
        return Ok(Status::Done);
    }
    if proposal.plan.edits.is_empty() && proposal.out.is_none() {
        match args.json {
            true => session.json(&Applied::of(&proposal, None))?,
            false => writeln!(session.out, "{}: already as wished; nothing was written", output::path(&proposal.path))?,
        }
        return Ok(Status::Done);
    }
    if is_news(&vault, &proposal)? {
        session.remark(format_args!(
            "{}: not as the last patch left it: what is there now will count as its original",
            output::path(&proposal.path)
        ));
    }
    if let Some(objection) = objection(&answers) {
        return Err(refusal(objection).on(&proposal.path).into());
    }
    if given.is_none() && session.may_ask {
        shown::print(&proposal, &answers, session)?;
    }
    let question = Question { to: "patch it", word: &proposal.name, digest: proposal.digest, see: "-n" };
    confirm(&question, given, session).map_err(|e| e.on(module))?;
    carry_out(&proposal, overridden(&answers), &request, &vault, args, session)
}

/// Is the file other than its last patch left it, and other than its original?
fn is_news(vault: &Vault, proposal: &Proposal<'_>) -> Result<bool> {
    let entries = vault.index()?.about(&proposal.path, &[proposal.plan.before])?;
    let history = History::of(&entries);
    let is_patched = history.at(&proposal.path).is_some_and(|trail| trail.root().is_some());
    Ok(is_patched && proposal.out.is_none() && history.origins(&proposal.path, proposal.plan.before).is_empty())
}

fn carry_out(
    proposal: &Proposal<'_>,
    overrides: Vec<String>,
    request: &Request,
    vault: &Vault,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let mut writer = recover::writer(vault, session)?;
    writer.must_be_settled(&proposal.path)?;
    let target = match proposal.out {
        Some(_) => Target::open_for_reading(&proposal.path)?,
        None => Target::open(&proposal.path)?,
    };
    // The plan that is applied is made of the bytes that are there now, and must be the one that was confirmed.
    let plan = Plan::make(&target.bytes, request).map_err(|e| e.on(&target.path))?;
    if plan.digest(proposal.written()) != proposal.digest {
        let error = Error::new(ErrorKind::Changed, "changed since the plan was confirmed; nothing was written");
        return Err(error.on(&target.path).into());
    }
    let record = Record { module: proposal.name.clone(), digest: proposal.digest, overrides };
    let entry = apply::apply(&mut writer, &target, &plan, record, proposal.out.as_deref())?;
    let written = proposal.written();
    if args.json {
        session.json(&Applied::of(proposal, Some(entry.seq)))?;
        return Ok(Status::Done);
    }
    let done = session.paint(Paint::Good, "patched");
    writeln!(session.out, "{done}  {}", output::path(written))?;
    writeln!(session.out, "  before  {}", plan.before)?;
    writeln!(session.out, "  after   {}", plan.after)?;
    writeln!(session.out, "  backup  {}", output::path(&vault.objects().path(plan.before)))?;
    writeln!(session.out, "  undo    kmodlab {}restore {}", session.state_option(), output::shell_word(written))?;
    Ok(Status::Done)
}
