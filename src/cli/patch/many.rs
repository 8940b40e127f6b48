//! Many modules by one plan: one look at all of them, one confirmation, one group commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Progress, Session, count, grouped};
use crate::cli::patch::Args;
use crate::cli::patch::proposal::{Proposal, objection, overridden, refusal};
use crate::cli::patch::shown::{self, Applied, Shown};
use crate::cli::{Status, recover};
use crate::edit::{self, Edit};
use crate::error::{Error, ErrorKind, Result};
use crate::guard::machine::Machine;
use crate::kernel::Kernel;
use crate::module::container::Container;
use crate::patch::apply::{self, Record};
use crate::patch::{Plan, Request, Signature};
use crate::predict::{Answer, Verdict};
use crate::vault::Vault;
use crate::vault::group;
use crate::vault::recovery::Recovered;
use crate::vault::target::{self, Stamp, Target};

/// How many modules are looked at before what is to be told of them is told: enough to keep all cores at work.
const BATCH: usize = 256;

/// How many of many are named.
const NAMED: usize = 5;

/// How many errors are told one by one.
const TOLD: usize = 20;

/// How many plans are kept from the look to the write, where they are small; any further ones are made again, so that a
/// plan of very many modules takes little memory.
const KEPT: usize = 8192;

/// The most bytes that the edits of a plan that is kept may have.
const SMALL: usize = 4096;

/// A module that is to be patched: as much of its plan as names it.
struct Item {
    digest: [u8; 32],
    overrides: Arc<[String]>,
    /// What its plan comes to, where that is kept.
    kept: Option<Box<Kept>>,
}

/// A plan in place: its edits hold as long as the file is the one that they were made for.
struct Kept {
    name: String,
    /// What the file looked like when its plan was made, if it was at rest then.
    stamp: Option<Stamp>,
    before: String,
    after: String,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
}

impl Kept {
    fn of(proposal: &Proposal<'_>) -> Option<Kept> {
        let plan = &proposal.plan;
        let size: usize = plan.edits.iter().map(|edit| edit.old.len()).sum();
        (plan.is_in_place() && size <= SMALL).then(|| Kept {
            name: proposal.name.clone(),
            stamp: proposal.stamp,
            before: plan.before.clone(),
            after: plan.after.clone(),
            edits: plan.edits.clone(),
            vermagic: apply::vermagic(plan),
        })
    }

    /// What the target is to become; `None` if it is not the file that the plan was made for.
    fn wanted(&self, item: &Item, target: &Target) -> Result<Option<group::Wanted>> {
        if let Some(stamp) = self.stamp {
            target.trust(stamp, &self.before);
        }
        if target.sha256() != self.before {
            return Ok(None);
        }
        let record =
            Record { module: self.name.clone(), digest: hex::encode(item.digest), overrides: item.overrides.to_vec() };
        let after = edit::apply(&target.bytes, &self.edits)?;
        Ok(Some(apply::in_place(after, self.after.clone(), self.edits.clone(), self.vermagic.clone(), record)))
    }
}

/// What the plan of one module comes to.
enum Look {
    Wanted(Box<Wanted>),
    AsWished,
    /// A guard refuses it: which, and the error.
    Refused(&'static str, Error),
    Failed(Error),
}

struct Wanted {
    item: Item,
    group: Group,
    answers: Option<[String; 2]>,
    /// What is odd about the wish.
    notes: Vec<String>,
    /// The plan as JSON, where that is printed.
    json: Option<String>,
}

/// What modules have in common that are shown in one line.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    before: String,
    after: Option<String>,
    how: &'static str,
    /// What becomes of the rest.
    rest: Vec<&'static str>,
}

/// The plan of all.
#[derive(Default)]
struct Whole {
    paths: Vec<PathBuf>,
    items: Vec<Item>,
    groups: BTreeMap<Group, usize>,
    answers: BTreeMap<[String; 2], usize>,
    overridden: BTreeMap<String, usize>,
    /// What is odd about the wish, and for how many.
    notes: BTreeMap<String, usize>,
    as_wished: usize,
    /// What guards refuse, by guard and reason.
    refused: BTreeMap<(&'static str, String), Refused>,
    failed: usize,
    /// All modules that were looked at.
    all: usize,
}

/// What one guard refuses.
struct Refused {
    first: Error,
    paths: Vec<PathBuf>,
    count: usize,
}

pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    if args.output.is_some() {
        return Err(Error::new(ErrorKind::Usage, "-o takes one module, not several or a folder").into());
    }
    let (request, kernel) = args.wanted.request(session)?;
    let vault = session.vault()?.compressing(args.vault_compress);
    let mut unsettled = Vec::new();
    if !args.dry_run && vault.folder().exists() {
        unsettled = recover::first(&vault, session)?.1;
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
    let whole = look.at_all(session)?;
    let digest = whole.digest();
    whole.tell_refusals(session);
    if args.dry_run {
        match args.json {
            true => session.json(&WholeShown::of(&whole, &digest))?,
            false => whole.print(&request, kernel.as_ref(), &digest, session)?,
        }
        // What guards say is in the plan; what can't be planned for is an error all the same.
        return Ok(if whole.failed > 0 { whole.status(0) } else { Status::Done });
    }
    if whole.items.is_empty() {
        if !args.json {
            writeln!(session.out, "nothing to patch: {}", whole.left_alone())?;
        }
        return Ok(whole.status(0));
    }
    let given = args.confirm.as_deref();
    if given.is_none() && session.may_ask {
        whole.print(&request, kernel.as_ref(), &digest, session)?;
    }
    let number = whole.items.len().to_string();
    let to = format!("patch {}", count(whole.items.len(), "module"));
    confirm(&Question { to: &to, word: &number, digest: &digest, see: "-n" }, given, session)?;
    carry_out(&whole, &request, &vault, args, session)
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
    fn at_all(&self, session: &mut Session<'_>) -> Result<Whole, Failure> {
        let mut whole = Whole::default();
        let paths = self.paths(session, &mut whole)?;
        let progress = Progress::new("module", paths.len());
        for batch in paths.chunks(BATCH) {
            let looks: Vec<Look> = batch.par_iter().map(|path| self.at(path)).collect();
            for (path, look) in batch.iter().zip(looks) {
                whole.add(path, look, self.is_json, session)?;
                progress.step();
            }
        }
        Ok(whole)
    }

    /// The real paths of all modules that are named, each once.
    fn paths(&self, session: &mut Session<'_>, whole: &mut Whole) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = Vec::new();
        for path in self.args.modules.files()? {
            match path.and_then(|path| target::real_path(&path)) {
                Ok(path) => paths.push(path),
                Err(error) => {
                    whole.all += 1;
                    whole.fail(&error, self.is_json, session)?;
                }
            }
        }
        paths.sort_unstable();
        paths.dedup();
        Ok(paths)
    }

    fn at(&self, path: &Path) -> Look {
        let look = || -> Result<Look> {
            recover::must_be_settled(self.unsettled, path)?;
            let proposal = Proposal::make(path, None, self.request, self.kernel)?;
            if proposal.plan.edits.is_empty() {
                return Ok(Look::AsWished);
            }
            let answers = proposal.ask(self.machine, self.args.overrides.overrides(), false)?;
            if let Some(objection) = objection(&answers) {
                return Ok(Look::Refused(objection.guard.name(), refusal(objection).on(path)));
            }
            let json = self.is_json.then(|| serde_json::to_string(&Shown::of(&proposal, &answers)).unwrap_or_default());
            let mut digest = [0; 32];
            let _ = hex::decode_to_slice(&proposal.digest, &mut digest);
            Ok(Look::Wanted(Box::new(Wanted {
                group: Group::of(&proposal.plan),
                notes: proposal.plan.notes.clone(),
                answers: proposal.verdicts.as_ref().map(|verdicts| verdicts.each_ref().map(in_short)),
                json,
                item: Item { kept: Kept::of(&proposal).map(Box::new), digest, overrides: overridden(&answers).into() },
            })))
        };
        match look() {
            Ok(look) => look,
            Err(error) if error.kind() == ErrorKind::Guard => Look::Refused("file-kind", error.on(path)),
            Err(error) => Look::Failed(error.on(path)),
        }
    }
}

/// A verdict in two or three words.
fn in_short(verdict: &Verdict) -> String {
    match (verdict.answer, verdict.stage) {
        (Answer::Accepted, _) => "accepted".to_owned(),
        (Answer::Refused, Some(step)) => format!("refused at {}", step.name()),
        (Answer::Refused, None) => "refused".to_owned(),
        (Answer::Unknown, _) => "not refused by what is known".to_owned(),
    }
}

impl Group {
    fn of(plan: &Plan) -> Group {
        let how = match (plan.container, plan.grows) {
            (Container::None, _) if plan.is_in_place() => "in place",
            (Container::None, true) => ".modinfo grows, a whole new file",
            (Container::None, false) => "a whole new file",
            (_, true) => ".modinfo grows, packed anew",
            (_, false) => "packed anew",
        };
        let after = plan.vermagic_after.as_ref().map(|after| output::vermagic(after.as_bytes()));
        let is_hidden = plan.versioned.as_ref().map(|versioned| versioned.hidden);
        let rest = [
            (plan.signature == Signature::Strip && plan.module.trailer.is_some(), "signature stripped"),
            (plan.signature == Signature::Keep && plan.module.trailer.is_some(), "signature kept, which fits no more"),
            (plan.signature == Signature::Renew, "signed anew"),
            (is_hidden == Some(true), "symbol versions hidden"),
            (is_hidden == Some(false), "symbol versions rewritten"),
            (plan.drop_btf && plan.module.btf.is_some(), ".BTF dropped"),
            (plan.mark.is_some(), "marked"),
        ];
        let rest = rest.into_iter().filter_map(|(is_so, what)| is_so.then_some(what)).collect();
        Group { before: output::vermagic(plan.vermagic_before.as_bytes()), after, how, rest }
    }
}

impl Whole {
    fn add(&mut self, path: &Path, look: Look, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
        self.all += 1;
        match look {
            Look::AsWished => self.as_wished += 1,
            Look::Failed(error) => self.fail(&error, is_json, session)?,
            Look::Refused(guard, error) => {
                if is_json {
                    session.json(&Trouble::of(path, Some(guard), &error))?;
                }
                let why = (guard, error.what().to_owned());
                let refused =
                    self.refused.entry(why).or_insert_with(|| Refused { first: error, paths: vec![], count: 0 });
                refused.count += 1;
                if refused.paths.len() < NAMED {
                    refused.paths.push(path.to_owned());
                }
            }
            Look::Wanted(wanted) => {
                let Wanted { item, group, answers, notes, json } = *wanted;
                if let Some(json) = json {
                    writeln!(session.out, "{}", crate::escape::json_for_eyes(&json))?;
                }
                *self.groups.entry(group).or_default() += 1;
                if let Some(answers) = answers {
                    *self.answers.entry(answers).or_default() += 1;
                }
                for note in notes {
                    *self.notes.entry(note).or_default() += 1;
                }
                for guard in item.overrides.iter() {
                    *self.overridden.entry(guard.clone()).or_default() += 1;
                }
                self.paths.push(path.to_owned());
                let is_kept = self.items.len() < KEPT;
                let overrides = self.shared(&item.overrides);
                self.items.push(Item { kept: item.kept.filter(|_| is_kept), overrides, ..item });
            }
        }
        Ok(())
    }

    /// The same list, as another module has it: most have one and the same.
    fn shared(&self, overrides: &Arc<[String]>) -> Arc<[String]> {
        match self.items.last() {
            Some(last) if last.overrides == *overrides => last.overrides.clone(),
            _ => overrides.clone(),
        }
    }

    fn fail(&mut self, error: &Error, is_json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
        self.failed += 1;
        if is_json {
            session.json(&Trouble::of(error.path().unwrap_or(Path::new("")), None, error))?;
        }
        tell(self.failed, error, session);
        Ok(())
    }

    /// What a confirmation of all names: a SHA-256 over the digests of each plan, in order.
    fn digest(&self) -> String {
        let mut sum = Sha256::new();
        sum.update(b"kmodlab patch many 1\n");
        self.items.iter().for_each(|item| sum.update(item.digest));
        hex::encode(sum.finalize())
    }

    fn refused(&self) -> usize {
        self.refused.values().map(|refused| refused.count).sum()
    }

    /// One line for each guard that refuses some, and each reason; beyond some, a count.
    fn tell_refusals(&self, session: &mut Session<'_>) {
        for ((guard, why), refused) in self.refused.iter().take(TOLD) {
            let names = some_of(&refused.paths, refused.count);
            let why = why.trim_start_matches(&format!("refused by the guard {guard}: "));
            let hint = refused.first.next_step().map(|hint| format!("; {hint}")).unwrap_or_default();
            let what = count(refused.count, "module");
            let why = crate::escape::for_eyes(why);
            session.remark(format_args!("{what} refused by the guard {guard} ({names}): {why}{hint}"));
        }
        let others: usize = self.refused.values().skip(TOLD).map(|refused| refused.count).sum();
        if others > 0 {
            session.remark(format_args!("and {} more refused by guards for other reasons", digits(others)));
        }
        if self.failed > TOLD {
            session.remark(format_args!("and {} more that can't be patched", digits(self.failed - TOLD)));
        }
    }

    /// What is not in the plan, in words.
    fn left_alone(&self) -> String {
        let parts = [
            (self.as_wished, "already as wished"),
            (self.refused(), "refused by a guard"),
            (self.failed, "can't be patched"),
        ];
        let parts =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", digits(*count)));
        parts.collect::<Vec<_>>().join(", ")
    }

    fn print(
        &self,
        request: &Request,
        kernel: Option<&Kernel>,
        digest: &str,
        session: &mut Session<'_>,
    ) -> Result<(), Failure> {
        let modules = session.paint(Paint::Strong, count(self.items.len(), "module"));
        writeln!(session.out, "plan for {modules}")?;
        if !self.paths.is_empty() {
            writeln!(session.out, "  modules     {}", some_of(&self.paths, self.paths.len()))?;
        }
        for (group, number) in &self.groups {
            let old = session.paint(Paint::Bad, &group.before);
            writeln!(session.out, "  {:>7}  {old}", digits(*number))?;
            let new = match &group.after {
                Some(after) if *after == group.before => "stays".to_owned(),
                Some(after) => format!("becomes {}", session.paint(Paint::Good, after)),
                None => "becomes nothing".to_owned(),
            };
            let rest: String = group.rest.iter().map(|what| format!("; {what}")).collect();
            writeln!(session.out, "           {new}; {}{rest}", group.how)?;
        }
        if !self.items.is_empty() {
            shown::print_words(request, session)?;
        }
        for (note, number) in &self.notes {
            let note = session.paint(Paint::Odd, crate::escape::for_eyes(note));
            writeln!(session.out, "  note        {note} ({})", count(*number, "module"))?;
        }
        if !self.left_alone().is_empty() {
            writeln!(session.out, "  left alone  {}", self.left_alone())?;
        }
        if kernel.is_some() {
            for ([before, after], number) in &self.answers {
                writeln!(session.out, "  kernel says {}: {before}, then {after}", digits(*number))?;
            }
        }
        for (guard, number) in &self.overridden {
            let guard = session.paint(Paint::Odd, format_args!("{guard} overridden"));
            writeln!(session.out, "  guard       {guard} for {}", count(*number, "module"))?;
        }
        if !self.items.is_empty() {
            writeln!(session.out, "  digest      {}", session.paint(Paint::Strong, digest))?;
        }
        Ok(())
    }

    /// How it ended, with so many that could not be written.
    fn status(&self, unwritten: usize) -> Status {
        let done = self.items.len() - unwritten + self.as_wished;
        match (done, self.failed + unwritten, self.refused()) {
            (_, 0, 0) => Status::Done,
            (0, 0, _) => Status::Guarded,
            (0, _, 0) if self.all == 1 => Status::Failed,
            _ => Status::Partial,
        }
    }
}

/// The first of some paths, and how many more there are.
fn some_of(paths: &[PathBuf], all: usize) -> String {
    let names: Vec<String> = paths.iter().take(NAMED).map(|path| output::path(path)).collect();
    let more = all.saturating_sub(names.len());
    match more {
        0 => names.join(", "),
        more => format!("{} and {} more", names.join(", "), digits(more)),
    }
}

fn digits(number: usize) -> String {
    grouped(number as u64)
}

/// Tells of one error, unless many were told of already.
fn tell(number: usize, error: &Error, session: &mut Session<'_>) {
    if number <= TOLD {
        session.complain(error);
    }
}

fn carry_out(
    whole: &Whole,
    request: &Request,
    vault: &Vault,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let (mut locked, outcomes) = recover::first(vault, session)?;
    let unsettled: Vec<&Recovered> = outcomes.iter().filter(|outcome| !outcome.is_settled()).collect();
    let files = whole.paths.iter().zip(&whole.items).map(|(path, item)| Ok((path.clone(), item)));
    let decide = |item: &&Item, target: &Target| {
        recover::must_be_settled(unsettled.iter().copied(), &target.path)?;
        if let Some(wanted) = item.kept.as_ref().and_then(|kept| kept.wanted(item, target).transpose()) {
            return wanted.map(Some);
        }
        // The plan that is applied is made of the bytes that are there now, and must be the one that was confirmed.
        let plan = Plan::make_of_known(&target.bytes, target.sha256().to_owned(), request)?;
        let digest = plan.digest(&target.path);
        if digest != hex::encode(item.digest) {
            let what = "changed since the plan was confirmed; nothing was written";
            return Err(Error::new(ErrorKind::Changed, what));
        }
        let module = plan.module.name_or_stem(&target.path);
        Ok(Some(apply::wanted(plan, Record { module, digest, overrides: item.overrides.to_vec() })))
    };
    let progress = Progress::new("module", whole.paths.len());
    let (mut written, mut unwritten, mut reached, mut lines) = (0, 0, 0, None);
    let mut printed: Result<(), Failure> = Ok(());
    let done = locked.carry_out_all(whole.paths.len(), files, decide, |path, _, done| {
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
        let left = whole.paths.len() - reached;
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
    if unwritten > TOLD && reached == whole.paths.len() {
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

/// A module that is not in the plan, as JSON.
#[derive(Serialize)]
struct Trouble<'t> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    /// The guard that refuses it; none for any other error.
    guard: Option<&'static str>,
    error: &'t str,
}

impl<'t> Trouble<'t> {
    fn of(path: &Path, guard: Option<&'static str>, error: &'t Error) -> Trouble<'t> {
        Trouble {
            schema_version: 1,
            module: output::path_text(path).into_owned(),
            path_hex: output::path_hex(path),
            guard,
            error: error.what(),
        }
    }
}

/// The plan of all as JSON: the last line, behind a line for each module.
#[derive(Serialize)]
struct WholeShown<'w> {
    schema_version: u32,
    /// What `--confirm` names.
    digest: &'w str,
    modules: usize,
    as_wished: usize,
    refused: usize,
    failed: usize,
}

impl<'w> WholeShown<'w> {
    fn of(whole: &Whole, digest: &'w str) -> WholeShown<'w> {
        WholeShown {
            schema_version: 1,
            digest,
            modules: whole.items.len(),
            as_wished: whole.as_wished,
            refused: whole.refused(),
            failed: whole.failed,
        }
    }
}
