//! `patch`: a module's version magic is rewritten or blanked, in place or in a new file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use crate::cli::confirmation::{Question, confirm};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::{Status, hexview, recover};
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::{self, Answer, Overrides, Say, Subject};
use crate::kernel::{self, Kernel, Machine};
use crate::module::Module;
use crate::module::container::Container;
use crate::patch::apply::{self, Record};
use crate::patch::{Mode, Plan, Request, Signature, Wish};
use crate::predict::{self, Load, Outcome, Verdict};
use crate::vault::Vault;
use crate::vault::history::History;
use crate::vault::target::{self, Target};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The module file
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// The kernel whose version magic it is to have: running, vermagic:STRING, an image (vmlinuz), a folder, a package
    /// (.deb, or A+B), or a module of that kernel
    #[arg(long, value_name = "K", conflicts_with = "vermagic")]
    to: Option<OsString>,
    /// The version magic that it is to have
    #[arg(long, value_name = "STRING")]
    vermagic: Option<OsString>,
    /// rewrite puts another string there (no force needed, no taint F); blank puts NULs there (what --force-vermagic does)
    #[arg(long, value_enum, default_value = "rewrite")]
    mode: ModeArg,
    /// What becomes of a signature, which a patch breaks
    #[arg(long, value_enum, default_value = "refuse")]
    signature: SignatureArg,
    /// Hide the module's type information (.BTF) from the kernel, which refuses one that is not for it
    #[arg(long)]
    drop_btf: bool,
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
    /// Override the guard installed-tree
    #[arg(long)]
    allow_installed: bool,
    /// Override the guard ima
    #[arg(long)]
    accept_ima_break: bool,
    /// Override the guard abi-tokens
    #[arg(long)]
    allow_abi_mismatch: bool,
    /// Override the guard struct-module
    #[arg(long)]
    allow_layout_mismatch: bool,
    /// Override the guard crc
    #[arg(long)]
    allow_crc_mismatch: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArg {
    Rewrite,
    Blank,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SignatureArg {
    /// Do not patch a signed module
    Refuse,
    /// Take the trailer off: kernels treat the module as unsigned
    Strip,
    /// Leave it: a kernel that knows the key refuses the module
    Keep,
}

impl Args {
    /// What the plan is asked for, and the kernel that it is to fit, where one is named.
    fn request(&self, session: &Session<'_>) -> Result<(Request, Option<Kernel>)> {
        let (wish, kernel) = self.wish(session)?;
        Ok((Request { wish, signature: self.signature(), drop_btf: self.drop_btf }, kernel))
    }

    fn wish(&self, session: &Session<'_>) -> Result<(Wish, Option<Kernel>)> {
        let usage = |what: &str| Err(Error::new(ErrorKind::Usage, what));
        match (self.mode, &self.to, &self.vermagic) {
            (ModeArg::Blank, None, None) => Ok((Wish::Blank, None)),
            (ModeArg::Blank, _, Some(_)) => usage("--mode blank takes no version magic: leave out --vermagic"),
            (ModeArg::Blank, Some(kernel), None) => {
                let kernel = output::waiting("reading the kernel", || kernel::named(kernel, &session.lookup()))?;
                Ok((Wish::Blank, Some(kernel)))
            }
            (ModeArg::Rewrite, Some(kernel), _) => {
                let kernel = output::waiting("reading the kernel", || kernel::named(kernel, &session.lookup()))?;
                Ok((Wish::Rewrite(kernel.vermagic.value.as_bytes().to_vec()), Some(kernel)))
            }
            (ModeArg::Rewrite, None, Some(string)) => Ok((Wish::Rewrite(string.as_bytes().to_vec()), None)),
            (ModeArg::Rewrite, None, None) => {
                usage("what to? --vermagic STRING or --to KERNEL says it, or --mode blank")
            }
        }
    }

    fn signature(&self) -> Signature {
        match self.signature {
            SignatureArg::Refuse => Signature::Refuse,
            SignatureArg::Strip => Signature::Strip,
            SignatureArg::Keep => Signature::Keep,
        }
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            installed: self.allow_installed,
            ima_break: self.accept_ima_break,
            abi_mismatch: self.allow_abi_mismatch,
            layout_mismatch: self.allow_layout_mismatch,
            crc_mismatch: self.allow_crc_mismatch,
        }
    }
}

/// A plan, with all that belongs to it: what is shown, confirmed and applied.
struct Proposal {
    /// The real path of the module.
    path: PathBuf,
    /// The real path of the new file, if one is wanted.
    out: Option<PathBuf>,
    name: String,
    module: Module,
    plan: Plan,
    digest: String,
    /// The kernel that it is to fit, if one was named.
    kernel: Option<Kernel>,
    /// What that kernel answers to the module before and after.
    verdicts: Option<[Verdict; 2]>,
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let (request, kernel) = args.request(session)?;
    let vault = session.vault()?;
    let path = target::real_path(&args.module)?;
    let out = args.output.as_deref().map(target::real_path).transpose()?;
    if let Some(out) = out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
        return Err(apply::exists_already(out).into());
    }
    if !args.dry_run && vault.folder().exists() {
        let (_locked, outcomes) = recover::first(&vault, session)?;
        recover::must_be_settled(&outcomes, &path)?;
    } else if vault.pending()?.iter().any(|intent| intent.change.path == path) {
        session.remark("an interrupted run left this module: kmodlab recover comes first, and may change the plan");
    }

    let proposal = propose(&path, out.as_deref(), &request, kernel)?;
    let given = args.confirm.as_deref();
    let answers =
        ask(&proposal, &args, &vault, session, given.is_some_and(|d| d.eq_ignore_ascii_case(&proposal.digest)))?;
    if args.dry_run {
        match args.json {
            true => session.json(&Shown::of(&proposal, &answers))?,
            false => print(&proposal, &answers, session)?,
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
    refuse(&answers, &proposal.path)?;
    if given.is_none() && session.may_ask {
        print(&proposal, &answers, session)?;
    }
    let question = Question { to: "patch it", word: &proposal.name, digest: &proposal.digest, see: "-n" };
    confirm(&question, given, session).map_err(|e| e.on(&args.module))?;
    carry_out(&proposal, &answers, &request, &vault, &args, session)
}

/// Is the file other than its last patch left it, and other than its original?
fn is_news(vault: &Vault, proposal: &Proposal) -> Result<bool> {
    let journal = vault.journal()?;
    let history = History::of(&journal.entries);
    let is_patched = history.at(&proposal.path).is_some_and(|trail| trail.root().is_some());
    Ok(is_patched && proposal.out.is_none() && history.origins(&proposal.path, &proposal.plan.before).is_empty())
}

/// Makes the plan of the file as it is now.
fn propose(path: &Path, out: Option<&Path>, request: &Request, kernel: Option<Kernel>) -> Result<Proposal> {
    // The guard file-kind has the better words for what can't be read as a file, so it speaks first.
    let obstacles = if out.is_none() { target::obstacles(path)? } else { Vec::new() };
    if let Some(obstacle) =
        obstacles.into_iter().find(|o| o.contains("not a regular file") || o.contains("symbolic link"))
    {
        return Err(Error::new(ErrorKind::Guard, format!("refused by the guard file-kind: {obstacle}")).on(path));
    }
    let target = Target::open_for_reading(path)?;
    let container = Container::of(&target.bytes);
    if container != Container::None {
        let what = format!("compressed ({}): only an uncompressed module is patched", container.name());
        return Err(Error::new(ErrorKind::Unsupported, what)
            .hint(format!("unpack a copy with {}", container.unpacker()))
            .on(path));
    }
    let module = Module::read(&target.bytes).map_err(|e| e.on(path))?;
    let machine = kernel.as_ref().and_then(|kernel| kernel.facts.machine.as_ref());
    if let Some(machine) = machine.filter(|machine| machine.value != Machine::of(&module)) {
        let what = format!("built for {}, that kernel is for {}", Machine::of(&module), machine.value);
        return Err(Error::new(ErrorKind::DoesNotFit, what).hint("no patch makes it fit").on(path));
    }
    let plan = Plan::make(&target.bytes, request).map_err(|e| e.on(path))?;
    let digest = plan.digest(out.unwrap_or(path));
    let after = Module::read(&plan.bytes_after).map_err(|e| e.on(path))?;
    let verdicts = kernel.as_ref().map(|kernel| {
        [(target.bytes.as_slice(), &module), (plan.bytes_after.as_slice(), &after)].map(|(bytes, module)| {
            predict::predict(&predict::Subject { bytes, module: Some(module) }, kernel, &Load::default())
        })
    });
    Ok(Proposal {
        path: path.to_owned(),
        out: out.map(Path::to_owned),
        name: module.name_or_stem(path),
        module,
        plan,
        digest,
        kernel,
        verdicts,
    })
}

fn ask(
    proposal: &Proposal,
    args: &Args,
    vault: &Vault,
    session: &Session<'_>,
    is_confirmed: bool,
) -> Result<Vec<Answer>> {
    let subject = Subject {
        path: proposal.out.as_deref().unwrap_or(&proposal.path),
        is_new: proposal.out.is_some(),
        module: &proposal.module,
        name: &proposal.name,
        plan: &proposal.plan,
        kernel: proposal.kernel.as_ref(),
        is_confirmed,
    };
    guard::ask(&subject, &session.machine(vault), args.overrides())
}

/// The first guard that refuses; the confirmation comes later, by itself.
fn refuse(answers: &[Answer], path: &Path) -> Result<()> {
    let objection = answers.iter().find(|a| a.say == Say::Refuse && a.guard != guard::Guard::Confirmed);
    let Some(objection) = objection else { return Ok(()) };
    let what = format!("refused by the guard {}: {}", objection.guard.name(), objection.why);
    let error = Error::new(ErrorKind::Guard, what).on(path);
    Err(match objection.guard.overridden_by() {
        Some("kmodlab enrol") => error.hint("only on a lab machine (kmodlab enrol); or patch a copy: -o OUT"),
        // This guard's own words name its options.
        Some(_) if objection.guard == guard::Guard::Signed => error,
        Some(option) => error.hint(format!("{option} overrides it")),
        None => error,
    })
}

fn carry_out(
    proposal: &Proposal,
    answers: &[Answer],
    request: &Request,
    vault: &Vault,
    args: &Args,
    session: &mut Session<'_>,
) -> Result<Status, Failure> {
    let (mut locked, outcomes) = recover::first(vault, session)?;
    recover::must_be_settled(&outcomes, &proposal.path)?;
    let target = match proposal.out {
        Some(_) => Target::open_for_reading(&proposal.path)?,
        None => Target::open(&proposal.path)?,
    };
    // The plan that is applied is made of the bytes that are there now, and must be the one that was confirmed.
    let plan = Plan::make(&target.bytes, request).map_err(|e| e.on(&target.path))?;
    if plan.digest(proposal.out.as_deref().unwrap_or(&proposal.path)) != proposal.digest {
        let error = Error::new(ErrorKind::Changed, "changed since the plan was confirmed; nothing was written");
        return Err(error.on(&target.path).into());
    }
    let overridden = answers.iter().filter(|a| a.say == Say::Overridden);
    let record = Record {
        module: proposal.name.clone(),
        digest: proposal.digest.clone(),
        overrides: overridden.map(|a| a.guard.name().to_owned()).collect(),
    };
    let entry = apply::apply(&mut locked, &target, &plan, record, proposal.out.as_deref())?;
    let written = proposal.out.as_deref().unwrap_or(&proposal.path);
    if args.json {
        session.json(&Applied::of(proposal, Some(entry.seq)))?;
        return Ok(Status::Done);
    }
    let done = session.paint(Paint::Good, "patched");
    writeln!(session.out, "{done}  {}", output::path(written))?;
    writeln!(session.out, "  before  {}", plan.before)?;
    writeln!(session.out, "  after   {}", plan.after)?;
    writeln!(session.out, "  backup  {}", output::path(&vault.objects().path(&plan.before)))?;
    writeln!(session.out, "  undo    kmodlab {}restore {}", state_option(session), output::shell_word(written))?;
    Ok(Status::Done)
}

/// The option that leads to the same journal, if one was given.
fn state_option(session: &Session<'_>) -> String {
    match &session.state_dir {
        Some(folder) if std::env::var_os("KMODLAB_STATE_DIR").is_none() => {
            format!("--state-dir {} ", output::shell_word(folder))
        }
        _ => String::new(),
    }
}

fn print(proposal: &Proposal, answers: &[Answer], session: &mut Session<'_>) -> Result<(), Failure> {
    let plan = &proposal.plan;
    let name = session.paint(Paint::Strong, crate::escape::for_eyes(&proposal.name));
    writeln!(session.out, "plan for {name}  {}", output::path(&proposal.path))?;
    if let Some(out) = &proposal.out {
        writeln!(session.out, "  into        {}, a new file", output::path(out))?;
    }
    let old = session.paint(Paint::Bad, output::vermagic(plan.vermagic_before.as_bytes()));
    writeln!(session.out, "  vermagic    {old}")?;
    match &plan.vermagic_after {
        Some(after) => {
            let new = session.paint(Paint::Good, output::vermagic(after.as_bytes()));
            writeln!(session.out, "  becomes     {new}")?;
            writeln!(
                session.out,
                "  mode        rewrite: a kernel of this version magic takes it for its own and sets no taint F: the audit mark is gone"
            )?;
        }
        None => {
            writeln!(session.out, "  becomes     nothing: the entry is filled with NULs")?;
            writeln!(
                session.out,
                "  mode        blank: what --force-vermagic does; needs CONFIG_MODULE_FORCE_LOAD, sets taint F"
            )?;
        }
    }
    if let Some(trailer) = &proposal.module.trailer {
        let (word, then) = match plan.signature {
            Signature::Refuse => ("refuse", "a signed module is not patched"),
            Signature::Strip => {
                ("strip", "kernels treat it as unsigned: taint E, or refused where signatures are enforced")
            }
            Signature::Keep => ("keep", "a kernel that knows the key refuses it, EKEYREJECTED, with no log line"),
        };
        writeln!(session.out, "  signature   {word}: {then} (trailer of {})", count(trailer.len, "byte"))?;
    }
    if let Some(size) = proposal.module.btf.filter(|_| plan.drop_btf) {
        writeln!(
            session.out,
            "  .BTF        dropped: {} stay where they are, under a name that no kernel looks for",
            count(usize::try_from(size).unwrap_or(usize::MAX), "byte")
        )?;
    }
    for note in &plan.notes {
        writeln!(session.out, "  note        {}", session.paint(Paint::Odd, crate::escape::for_eyes(note)))?;
    }
    print_verdicts(proposal, session)?;
    if plan.edits.is_empty() {
        writeln!(session.out, "  edits       none: it is already as wished")?;
    }
    for edit in &plan.edits {
        print_edit(edit, session)?;
    }
    writeln!(session.out, "  guards")?;
    for answer in answers {
        let say = match answer.say {
            Say::Pass => session.paint(Paint::Good, "pass      "),
            Say::Refuse => session.paint(Paint::Bad, "refuse    "),
            Say::Overridden => session.paint(Paint::Odd, "overridden"),
        };
        writeln!(session.out, "    {:<15} {say} {}", answer.guard.name(), crate::escape::for_eyes(&answer.why))?;
    }
    writeln!(session.out, "  digest      {}", session.paint(Paint::Strong, &proposal.digest))?;
    Ok(())
}

/// What the kernel answers before and after, each in one line.
fn print_verdicts(proposal: &Proposal, session: &mut Session<'_>) -> Result<(), Failure> {
    let Some(verdicts) = &proposal.verdicts else { return Ok(()) };
    for (when, verdict) in ["kernel says", "then"].into_iter().zip(verdicts) {
        let (paint, answer) = match verdict.answer {
            predict::Answer::Refused => (Paint::Bad, "refused"),
            predict::Answer::Accepted => (Paint::Good, "accepted"),
            predict::Answer::Unknown => (Paint::Odd, "not refused by what is known"),
        };
        let answer = session.paint(paint, answer);
        let decisive = verdict.findings.iter().find(|f| f.result == Outcome::Fail);
        let unknown = verdict.findings.iter().filter(|f| f.result == Outcome::Unknown);
        let why = match (decisive, &verdict.taint) {
            (Some(finding), _) => format!(" at {}: {}", finding.step.name(), crate::escape::for_eyes(&finding.note)),
            (None, None) => format!(" ({} unknown: kmodlab check lists them)", count(unknown.count(), "step")),
            (None, Some(letters)) if letters.is_empty() => ", no taint".to_owned(),
            (None, Some(letters)) => format!(", taint {letters}"),
        };
        writeln!(session.out, "  {when:<11} {answer}{why}")?;
    }
    Ok(())
}

fn print_edit(edit: &Edit, session: &mut Session<'_>) -> Result<(), Failure> {
    const ROWS: usize = 8;
    let size = count(edit.old.len(), "byte");
    let what = if edit.keeps_length() { format!("{size} rewritten") } else { format!("{size} cut off the end") };
    writeln!(session.out, "  edit        at byte {}: {what}", edit.offset)?;
    hexview::print_sides(session, "    ", edit.offset, (&edit.old, &edit.new), ROWS)
}

/// A plan as JSON.
#[derive(Serialize)]
struct Shown<'p> {
    schema_version: u32,
    module: String,
    digest: &'p str,
    mode: Mode,
    signature: Signature,
    drop_btf: bool,
    before: &'p str,
    after: &'p str,
    edits: &'p [Edit],
    /// What the kernel answers before and after, if one was named.
    verdicts: Option<[ShownVerdict<'p>; 2]>,
    guards: Vec<ShownGuard<'p>>,
    notes: &'p [String],
}

#[derive(Serialize)]
struct ShownVerdict<'p> {
    verdict: predict::Answer,
    errno: Option<i32>,
    dmesg: &'p [String],
    taint: Option<&'p str>,
    stage: Option<&'static str>,
    findings: &'p [predict::Finding],
}

impl<'p> ShownVerdict<'p> {
    fn of(verdict: &'p Verdict) -> ShownVerdict<'p> {
        ShownVerdict {
            verdict: verdict.answer,
            errno: verdict.errno,
            dmesg: &verdict.dmesg,
            taint: verdict.taint.as_deref(),
            stage: verdict.stage.map(predict::Step::name),
            findings: &verdict.findings,
        }
    }
}

#[derive(Serialize)]
struct ShownGuard<'p> {
    name: &'static str,
    result: Say,
    #[serde(rename = "override")]
    overridden_by: Option<&'static str>,
    why: &'p str,
}

impl<'p> Shown<'p> {
    fn of(proposal: &'p Proposal, answers: &'p [Answer]) -> Shown<'p> {
        let guards = answers.iter().map(|a| ShownGuard {
            name: a.guard.name(),
            result: a.say,
            overridden_by: a.guard.overridden_by(),
            why: &a.why,
        });
        Shown {
            schema_version: 1,
            module: proposal.path.to_string_lossy().into_owned(),
            digest: &proposal.digest,
            mode: proposal.plan.mode,
            signature: proposal.plan.signature,
            drop_btf: proposal.plan.drop_btf,
            before: &proposal.plan.before,
            after: &proposal.plan.after,
            edits: &proposal.plan.edits,
            verdicts: proposal.verdicts.as_ref().map(|verdicts| verdicts.each_ref().map(ShownVerdict::of)),
            guards: guards.collect(),
            notes: &proposal.plan.notes,
        }
    }
}

/// An applied plan as JSON.
#[derive(Serialize)]
struct Applied<'p> {
    schema_version: u32,
    module: String,
    digest: &'p str,
    before: &'p str,
    after: &'p str,
    /// The number of the journal's line; none if nothing had to be written.
    journal: Option<u64>,
}

impl<'p> Applied<'p> {
    fn of(proposal: &'p Proposal, journal: Option<u64>) -> Applied<'p> {
        Applied {
            schema_version: 1,
            module: proposal.out.as_deref().unwrap_or(&proposal.path).to_string_lossy().into_owned(),
            digest: &proposal.digest,
            before: &proposal.plan.before,
            after: &proposal.plan.after,
            journal,
        }
    }
}
