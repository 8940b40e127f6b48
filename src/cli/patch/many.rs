//! Many modules by one plan: one look at all of them, one confirmation, one group commit.

use std::path::{Path, PathBuf};

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{Failure, Paint, Progress, Session, count};
use crate::cli::patch::Args;
use crate::cli::patch::item::Item;
use crate::cli::patch::proposal::{Proposal, objection, overridden, refusal};
use crate::cli::patch::shown::{Applied, Shown};
use crate::cli::patch::whole::{Group, Look, TOLD, Wanted, Whole, digits, in_short, tell};
use crate::cli::{Status, recover};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::machine::Machine;
use crate::kernel::Kernel;
use crate::parallel;
use crate::patch::Request;
use crate::spill::Spool;
use crate::vault::Vault;
use crate::vault::recovery::{self, Recovered};
use crate::vault::target::Target;

/// How many modules are looked at before what is to be told of them is told: enough to keep all cores at work.
const BATCH: usize = 256;

pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if args.output.is_some() {
        return Err(Error::new(ErrorKind::Usage, "-o takes one module, not several or a folder").into());
    }
    let (request, kernel) = args.wanted.request(session)?;
    let vault = session.vault()?.compressing(args.vault_compress);
    let mut unsettled = Vec::new();
    if !args.dry_run && vault.folder().exists() {
        unsettled = recover::writer(&vault, session)?.recovered().to_vec();
    } else if !vault.pending()?.is_empty() {
        session.remark("an interrupted run left something: kmodlab recover comes first, and may change the plan");
    }
    let look = Looking {
        request: &request,
        kernel: kernel.as_ref(),
        machine: &session.machine(&vault),
        args,
        unsettled: &unsettled,
        is_json: args.json && args.dry_run,
    };
    // The vault's folder is on a disk, which the folder for temporary files may not be.
    let mut items = Spool::new(Some(vault.folder()));
    let whole = look.at_all((!args.dry_run).then_some(&mut items), session)?;
    let digest = whole.digest();
    whole.tell_refusals(session);
    if args.dry_run {
        match args.json {
            true => session.json(&whole.shown(digest))?,
            false => whole.print(&request, kernel.as_ref(), digest, session)?,
        }
        // What guards say is in the plan; what can't be planned for is an error all the same.
        return Ok(if whole.failed() > 0 { whole.status(0) } else { Status::Done });
    }
    if whole.wanted() == 0 {
        if !args.json {
            writeln!(session.out, "nothing to patch: {}", whole.left_alone())?;
        }
        return Ok(whole.status(0));
    }
    let given = args.confirm.as_deref();
    if given.is_none() && session.may_ask {
        whole.print(&request, kernel.as_ref(), digest, session)?;
    }
    let number = whole.wanted().to_string();
    let to = format!("patch {}", count(whole.wanted(), "module"));
    confirm(&Question { to: &to, word: &number, digest, see: "-n" }, given, session)?;
    carry_out(&whole, &mut items, &request, &vault, args, session)
}

/// What every module is looked at with.
struct Looking<'l> {
    request: &'l Request,
    kernel: Option<&'l Kernel>,
    machine: &'l Machine,
    args: &'l Args,
    unsettled: &'l [Recovered],
    is_json: bool,
}

impl Looking<'_> {
    /// Looks at all that is named. What is to be written is put by in `items`, where there is to be a write.
    fn at_all(&self, mut items: Option<&mut Spool<Item>>, session: &mut Session<'_>) -> Result<Whole, Failure> {
        let mut whole = Whole::default();
        let mut paths = self.args.modules.real_files()?;
        let progress = Progress::of("module", || self.args.modules.count());
        loop {
            let batch: Vec<Result<PathBuf>> = paths.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(whole);
            }
            let looks: Vec<(PathBuf, Look)> =
                parallel::map_files(batch, |path| path.as_deref().unwrap_or(Path::new("")), |path| self.at(path));
            for (path, look) in looks {
                let item = whole.add(&path, look, self.is_json, session)?;
                if let (Some(items), Some(item)) = (&mut items, item) {
                    items.push(&item)?;
                }
                progress.step();
            }
        }
    }

    /// Looks at one, if it has a real path.
    fn at(&self, path: Result<PathBuf>) -> (PathBuf, Look) {
        match path {
            Ok(path) => {
                let look = match self.look(&path) {
                    Ok(look) => look,
                    Err(error) if error.kind() == ErrorKind::Guard => Look::Refused("file-kind", error.on(&path)),
                    Err(error) => Look::Failed(error.on(&path)),
                };
                (path, look)
            }
            Err(error) => (error.path().map(Path::to_owned).unwrap_or_default(), Look::Failed(error)),
        }
    }

    fn look(&self, path: &Path) -> Result<Look> {
        recovery::must_be_settled(self.unsettled, path)?;
        let proposal = Proposal::make(path, None, self.request, self.kernel)?;
        if proposal.plan.edits.is_empty() {
            return Ok(Look::AsWished);
        }
        let answers = proposal.ask(self.machine, self.args.overrides.overrides(), false)?;
        if let Some(objection) = objection(&answers) {
            return Ok(Look::Refused(objection.guard.name(), refusal(objection).on(path)));
        }
        let json = self.is_json.then(|| serde_json::to_string(&Shown::of(&proposal, &answers)).unwrap_or_default());
        Ok(Look::Wanted(Box::new(Wanted {
            group: Group::of(&proposal.plan),
            notes: proposal.plan.notes.clone(),
            answers: proposal.verdicts.as_ref().map(|verdicts| verdicts.each_ref().map(in_short)),
            json,
            item: Item::of(&proposal, overridden(&answers)),
        })))
    }
}

fn carry_out(
    whole: &Whole,
    items: &mut Spool<Item>,
    request: &Request,
    vault: &Vault,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let mut writer = recover::writer(vault, session)?;
    let unsettled: Vec<Recovered> = writer.recovered().iter().filter(|it| !it.is_settled()).cloned().collect();
    let files = items.iter()?.map(|item| item.map(|item| (item.path().to_owned(), item)));
    let decide = |item: &Item, target: &Target| {
        recovery::must_be_settled(&unsettled, &target.path)?;
        item.wanted(target, request).map(Some)
    };
    let progress = Progress::new("module", whole.wanted());
    let (mut written, mut unwritten, mut reached, mut lines) = (0, 0, 0, None);
    let mut printed: Result<(), Failure> = Ok(());
    let done = writer.carry_out_all(whole.wanted(), files, decide, |path, _, done| {
        progress.step();
        reached += 1;
        match done {
            Ok(Some(entry)) => {
                written += 1;
                let (first, _) = lines.unwrap_or((entry.seq, entry.seq));
                lines = Some((first, entry.seq));
                if let (true, Ok(()), Some(change)) = (args.json, &printed, &entry.change) {
                    printed = session.json(&Applied::of_change(change, Some(entry.seq)));
                }
            }
            Ok(None) => {}
            Err(error) => {
                unwritten += 1;
                tell(unwritten, &error.on(path), session);
            }
        }
    });
    drop(progress);
    if let Err(error) = done {
        session.complain(&error);
        let left = whole.wanted() - reached;
        unwritten += left;
        let left = count(left, "module");
        match error.kind() {
            ErrorKind::NeedsRecovery => {
                session.remark(format_args!("{left} may be patched or not, or were not reached"))
            }
            _ => session.remark(format_args!("{left} not patched, and as before")),
        }
    }
    if printed.is_err() {
        session.remark(format_args!("{} patched all the same; kmodlab log shows them", count(written, "module")));
    }
    printed?;
    if unwritten > TOLD && reached == whole.wanted() {
        session.remark(format_args!("and {} more that were not patched", digits(unwritten - TOLD)));
    }
    if !args.json {
        let patched = session.paint(Paint::Good, "patched");
        writeln!(session.out, "{patched}  {}", count(written, "module"))?;
        if let Some((first, last)) = lines {
            let lines = if first == last { format!("line {first}") } else { format!("lines {first} to {last}") };
            writeln!(session.out, "  journal  {lines}")?;
            let words = args.modules.words().join(" ");
            writeln!(session.out, "  undo     kmodlab {}restore {words}", session.state_option())?;
        }
        if unwritten > 0 {
            writeln!(session.out, "  not patched  {}", count(unwritten, "module"))?;
        }
        if !whole.left_alone().is_empty() {
            writeln!(session.out, "  left alone  {}", whole.left_alone())?;
        }
    }
    Ok(whole.status(unwritten))
}
