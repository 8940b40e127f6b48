//! A plan, for people.

use crate::change::{Proposal, Review};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::cli::words;
use crate::edit::Edit;
use crate::guard::{Reason, Ruling};
use crate::module::container::Container;
use crate::patch::{Mode, Modversions, NewVermagic, Request, Signature};
use crate::predict::{self, LoaderStep, StepResult};

/// How many names of a list are shown.
const NAMES: usize = 5;

/// Prints the plan, the guards' answers and the digest. `given` is the digest that confirms it, where one was given.
pub(super) fn print(review: &Review<'_>, given: Option<&str>, session: &mut Session<'_>) -> Result<(), Failure> {
    let proposal = review.proposal();
    let plan = proposal.plan();
    let name = session.paint(Paint::Strong, crate::escape::for_eyes(proposal.name()));
    writeln!(session.out, "plan for {name}  {}", output::path(proposal.path()))?;
    if let Some(out) = proposal.out() {
        writeln!(session.out, "  into        {}, a new file", output::path(out))?;
    }
    let old = session.paint(Paint::Bad, output::vermagic(plan.vermagic_before.as_bytes()));
    writeln!(session.out, "  vermagic    {old}")?;
    print_mode(proposal, session)?;
    print_signature(proposal, session)?;
    print_rest(proposal, session)?;
    for note in &plan.notes {
        writeln!(session.out, "  note        {}", session.paint(Paint::Odd, crate::escape::for_eyes(note)))?;
    }
    print_verdicts(proposal, session)?;
    if plan.edits.is_empty() {
        writeln!(session.out, "  edits       none: already as requested")?;
    }
    for edit in &plan.edits {
        print_edit(edit, session)?;
    }
    writeln!(session.out, "  guards")?;
    for answer in review.answers_with(given) {
        let say = match answer.ruling {
            // Nobody refused: the question comes after the plan. Another digest is refused, and says so.
            Ruling::Refuse if answer.reason == Reason::NotConfirmed && given.is_none() => {
                session.paint(Paint::Odd, "asked next")
            }
            Ruling::Pass => session.paint(Paint::Good, "pass      "),
            Ruling::Refuse => session.paint(Paint::Bad, "refuse    "),
            Ruling::Overridden => session.paint(Paint::Odd, "overridden"),
        };
        writeln!(
            session.out,
            "    {:<15} {say} {}",
            answer.guard.name(),
            crate::escape::for_eyes(&words::why(&answer))
        )?;
    }
    writeln!(session.out, "  digest      {}", session.paint(Paint::Strong, proposal.digest()))?;
    Ok(())
}

fn print_mode(proposal: &Proposal<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let plan = proposal.plan();
    match (plan.mode, &plan.vermagic_after) {
        (Mode::Rewrite, Some(after)) => {
            let new = session.paint(Paint::Good, output::vermagic(after.as_bytes()));
            writeln!(session.out, "  becomes     {new}")?;
        }
        (Mode::Keep, _) => {}
        (Mode::Blank, _) | (Mode::Rewrite, None) => {
            writeln!(session.out, "  becomes     nothing: the entry is filled with NULs")?;
        }
    }
    writeln!(session.out, "  mode        {}", mode_words(plan.mode))?;
    Ok(())
}

/// What a request means for a load of the module, whichever module it is.
pub(super) fn print_words(request: &Request, session: &mut Session<'_>) -> Result<(), Failure> {
    let mode = match request.new_vermagic {
        NewVermagic::Rewrite(_) => Mode::Rewrite,
        NewVermagic::Blank => Mode::Blank,
        NewVermagic::Keep => Mode::Keep,
    };
    writeln!(session.out, "  mode        {}", mode_words(mode))?;
    if request.signature != Signature::Refuse {
        let (word, then) = signature_words(request.signature);
        writeln!(session.out, "  signature   {word}: {then}")?;
    }
    match request.modversions {
        Modversions::Keep => {}
        Modversions::Blank => writeln!(session.out, "  versions    {HIDDEN}")?,
        Modversions::Rewrite(_) => writeln!(
            session.out,
            "  versions    rewrite: the kernel treats interfaces as equal that differ, and sets no taint"
        )?,
    }
    Ok(())
}

fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Rewrite => {
            "rewrite: a kernel with this vermagic accepts the module as its own; taint F is not set, so nothing records \
             that it was forced"
        }
        Mode::Keep => "keep: the version magic stays",
        Mode::Blank => "blank: as --force-vermagic does; needs CONFIG_MODULE_FORCE_LOAD, sets taint F",
    }
}

fn signature_words(signature: Signature) -> (&'static str, &'static str) {
    match signature {
        Signature::Renew => ("renew", "a kernel that trusts the new key accepts it, any other treats it as unsigned"),
        Signature::Refuse => ("refuse", "a signed module is not patched"),
        Signature::Strip => {
            ("strip", "kernels treat it as unsigned: taint E, or refused where signatures are enforced")
        }
        Signature::Keep => ("keep", "a kernel that knows the key rejects it, EKEYREJECTED, with no log line"),
    }
}

const HIDDEN: &str =
    "blank: hidden from the kernel, as by --force-modversion; needs CONFIG_MODULE_FORCE_LOAD, sets taint F";

fn print_signature(proposal: &Proposal<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let old = proposal.plan().module.trailer.as_ref().map(|trailer| count(trailer.len, "byte"));
    if old.is_none() && proposal.plan().signature != Signature::Renew {
        return Ok(());
    }
    let (word, then) = signature_words(proposal.plan().signature);
    let old = old.map(|len| format!(" (trailer of {len})")).unwrap_or_default();
    writeln!(session.out, "  signature   {word}: {then}{old}")?;
    Ok(())
}

/// Symbol versions, type information, the mark, and how the file changes.
fn print_rest(proposal: &Proposal<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    let plan = proposal.plan();
    match &plan.versioned {
        Some(versioned) if versioned.hidden => writeln!(session.out, "  versions    {HIDDEN}")?,
        Some(versioned) => {
            let (rewritten, unknown) = (count(versioned.rewritten, "CRC"), versioned.unknown.len());
            let equal = versioned.equal;
            write!(session.out, "  versions    rewrite: {rewritten} become the kernel's, {equal} match already")?;
            match unknown {
                0 => writeln!(session.out)?,
                _ => {
                    let names: Vec<&str> = versioned.unknown.iter().take(NAMES).map(String::as_str).collect();
                    let names = crate::escape::for_eyes(&names.join(", "));
                    let more = if unknown > NAMES { format!(" and {} more", unknown - NAMES) } else { String::new() };
                    writeln!(session.out, ", {unknown} are not known there and stay: {names}{more}")?;
                }
            }
        }
        None => {}
    }
    if let Some(size) = proposal.plan().module.btf.filter(|_| plan.drop_btf) {
        writeln!(
            session.out,
            "  .BTF        dropped: its {} stay in the file, under a name that no kernel looks for",
            count(usize::try_from(size).unwrap_or(usize::MAX), "byte")
        )?;
    }
    if let Some(mark) = &plan.mark {
        writeln!(session.out, "  mark        {mark}: records in the module that it was patched")?;
    }
    if plan.grows {
        writeln!(
            session.out,
            "  grows       .modinfo moves to the end of the file, and its section header points there"
        )?;
    }
    if plan.container != Container::None {
        writeln!(
            session.out,
            "  container   {}: decompressed, changed and compressed again; the edits are those of the contents",
            plan.container.name()
        )?;
    }
    if !plan.is_in_place() && proposal.out().is_none() && !plan.edits.is_empty() {
        writeln!(session.out, "  file        a new file replaces it, with its mode, owner and attributes")?;
    }
    Ok(())
}

/// The kernel's answers before and after, each in one line.
fn print_verdicts(proposal: &Proposal<'_>, session: &mut Session<'_>) -> Result<(), Failure> {
    const VERSIONS_HINT: &str = " (--modversions rewrite writes the kernel's CRCs)";
    let Some(verdicts) = proposal.verdicts() else { return Ok(()) };
    for (when, verdict) in ["kernel says", "then"].into_iter().zip(verdicts) {
        let (paint, answer) = match verdict.answer {
            predict::Decision::Refused => (Paint::Bad, "refused"),
            predict::Decision::Accepted => (Paint::Good, "accepted"),
            predict::Decision::Unknown => (Paint::Odd, "not refused by what is known"),
        };
        let answer = session.paint(paint, answer);
        let decisive = verdict.findings.iter().find(|f| f.result == StepResult::Fail);
        let unknown = verdict.findings.iter().filter(|f| f.result == StepResult::Unknown);
        let why = match (decisive, &verdict.taint) {
            (Some(finding), _) => {
                let hint = match finding.step {
                    LoaderStep::Btf => " (--drop-btf hides it)",
                    LoaderStep::ModuleLayout | LoaderStep::Symbols if proposal.plan().versioned.is_none() => {
                        VERSIONS_HINT
                    }
                    _ => "",
                };
                format!(" at {}: {}{hint}", finding.step.name(), crate::escape::for_eyes(&finding.note))
            }
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
    let what = match (edit.old.len(), edit.new.len()) {
        (old, new) if old == new => format!("{size} rewritten"),
        (_, 0) => format!("{size} cut off the end"),
        (0, new) => format!("{} added at the end", count(new, "byte")),
        (_, new) => format!("{size} at the end become {}", count(new, "byte")),
    };
    writeln!(session.out, "  edit        at byte {}: {what}", edit.offset)?;
    output::print_sides(session, "    ", edit.offset, (&edit.old, &edit.new), ROWS)
}
