//! `vault forget`: a path is let go of, at which a patched module was and will not be again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::recover;
use crate::cli::status::Status;
use crate::digest::sha256;
use crate::vault::Vault;
use crate::vault::forget::{self, ForgetPlan};
use crate::vault::history::History;
use crate::vault::target;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Paths at which a patched module was, there or not
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Say what would be let go of, and the digest; change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Let go of exactly what this digest stands for, which -n printed
    #[arg(long, value_name = "DIGEST")]
    confirm: Option<String>,
}

/// Lets go of all paths that are named, or of none.
pub(super) fn run(vault: &Vault, args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut writer = match args.dry_run || !vault.is_there() {
        true => None,
        false => Some(recover::writer(vault, session)?),
    };
    let journal = vault.journal()?;
    let history = History::of(&journal.entries);
    // The folder may be gone too: then the path is taken as it is written.
    let real = |path: &PathBuf| {
        target::real_path(path).unwrap_or_else(|_| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
    };
    let mut plans: BTreeMap<PathBuf, ForgetPlan> = BTreeMap::new();
    for path in args.paths.iter().map(real) {
        if let Some(writer) = &writer {
            writer.must_be_settled(&path)?;
        }
        let plan = forget::plan(&history, &path)?;
        plans.insert(path, plan);
    }
    let digests: String = plans.values().map(|plan| format!("{}\n", plan.digest)).collect();
    let digest = sha256(format!("forget\n{digests}").as_bytes());
    let paths = count(plans.len(), "path");
    if args.dry_run || (session.may_ask && args.confirm.is_none()) {
        for (path, plan) in &plans {
            writeln!(session.out, "{}", output::path(path))?;
            for change in &plan.changes {
                writeln!(session.out, "  patched   {}", change.after)?;
                writeln!(session.out, "  original  {}", change.before)?;
            }
        }
        writeln!(session.out, "{paths} would be let go of: nothing is expected there, and no backup is kept for it")?;
        writeln!(session.out, "  digest  {}", session.paint(Paint::Strong, digest))?;
    }
    let Some(locked) = writer.as_mut().filter(|_| !args.dry_run) else { return Ok(Status::Done) };
    let word = plans.len().to_string();
    let to = if plans.len() == 1 { "let go of this path" } else { "let go of these paths" };
    let question = Question { to, word: &word, digest, see: "vault forget -n" };
    confirm(&question, args.confirm.as_deref(), session)?;
    locked.forget(&plans.into_values().collect::<Vec<_>>())?;
    writeln!(session.out, "{} {paths}", session.paint(Paint::Good, "forgot"))?;
    Ok(Status::Done)
}
