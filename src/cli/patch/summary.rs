//! The plan of a batch, for people.

use std::path::PathBuf;

use crate::change::{
    BatchSummary, ListedRefusal, PatchClass, ShortVerdict, SignatureChange, VermagicChange, WriteMode,
};
use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::cli::patch::shown;
use crate::cli::status::Status;
use crate::cli::words;
use crate::digest::Sha256;
use crate::error::Error;
use crate::escape;
use crate::patch::Request;
use crate::spill::Spool;

/// How many errors are reported one by one.
pub(super) const REPORTED: usize = 20;

/// One line per guard, the one that refuses most modules first, with its most frequent reason.
pub(super) fn report_refusals(summary: &BatchSummary, session: &mut Session<'_>) {
    for (guard, refused) in summary.refusing() {
        let names = some_of(&refused.paths, refused.count);
        let hint = words::after_refusal(guard).map(|hint| format!("; {hint}")).unwrap_or_default();
        let (why, others) = refused.main_reason();
        let others = match others {
            0 => String::new(),
            1 => " (1 for another reason)".to_owned(),
            others => format!(" ({} for other reasons)", digits(others)),
        };
        let (what, guard, why) = (count(refused.count, "module"), guard.name(), escape::for_eyes(why));
        session.remark(format_args!("{what} refused by the guard {guard} ({names}): {why}{others}{hint}"));
    }
    if summary.failed > REPORTED {
        session.remark(format_args!("and {} more that can't be patched", digits(summary.failed - REPORTED)));
    }
}

/// How many modules are not in the plan, and why.
pub(super) fn left_out(summary: &BatchSummary) -> String {
    let parts = [
        (summary.as_requested, "already as requested"),
        (summary.refused, "refused by a guard"),
        (summary.failed, "can't be patched"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{} {what}", digits(*count)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Prints the plan.
///
/// # Errors
///
/// If stdout can't be written.
pub(super) fn print(
    summary: &BatchSummary,
    request: &Request,
    has_kernel: bool,
    digest: Sha256,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let modules = session.paint(Paint::Strong, count(summary.planned, "module"));
    writeln!(session.out, "plan for {modules}")?;
    if summary.planned > 0 {
        writeln!(session.out, "  modules     {}", some_of(&summary.named, summary.planned))?;
    }
    for (class, number) in &summary.classes {
        let old = session.paint(Paint::Bad, &class.vermagic_before);
        writeln!(session.out, "  {:>7}  {old}", digits(*number))?;
        let new = match &class.vermagic {
            VermagicChange::Same => "stays".to_owned(),
            VermagicChange::To(after) => format!("becomes {}", session.paint(Paint::Good, after)),
            VermagicChange::Blanked => "becomes nothing".to_owned(),
        };
        writeln!(session.out, "           {new}; {}", class_words(class))?;
    }
    if summary.other_classes > 0 {
        let (others, listed) = (digits(summary.other_classes), summary.classes.len());
        writeln!(session.out, "  {others:>7}  of other kinds; only {listed} kinds are listed")?;
    }
    if summary.planned > 0 {
        shown::print_words(request, session)?;
    }
    for (note, number) in &summary.notes {
        let note = session.paint(Paint::Odd, escape::for_eyes(note));
        writeln!(session.out, "  note        {note} ({})", count(*number, "module"))?;
    }
    if !left_out(summary).is_empty() {
        writeln!(session.out, "  left out    {}", left_out(summary))?;
    }
    if has_kernel {
        for ([before, after], number) in &summary.answers {
            let (before, after) = (short(*before), short(*after));
            writeln!(session.out, "  kernel says {}: {before}, then {after}", digits(*number))?;
        }
    }
    for (guard, number) in &summary.overridden {
        let guard = session.paint(Paint::Odd, format_args!("{} overridden", guard.name()));
        writeln!(session.out, "  guard       {guard} for {}", count(*number, "module"))?;
    }
    if summary.planned > 0 {
        writeln!(session.out, "  digest      {}", session.paint(Paint::Strong, digest))?;
    }
    Ok(())
}

/// What a class of modules has in common, except for the version magic.
fn class_words(class: &PatchClass) -> String {
    let write = match class.write {
        WriteMode::InPlace => "in place",
        WriteMode::NewFile { moves_modinfo: true } => ".modinfo grows, a new file",
        WriteMode::NewFile { moves_modinfo: false } => "a new file",
        WriteMode::Repacked { moves_modinfo: true } => ".modinfo grows, compressed again",
        WriteMode::Repacked { moves_modinfo: false } => "compressed again",
    };
    let signature = class.signature.map(|change| match change {
        SignatureChange::Stripped => "signature stripped",
        SignatureChange::KeptInvalid => "signature kept (now invalid)",
        SignatureChange::Renewed => "signed again",
    });
    let versions = class.hides_versions.map(|is_hidden| match is_hidden {
        true => "symbol versions hidden",
        false => "symbol versions rewritten",
    });
    let others = [signature, versions, class.drops_btf.then_some(".BTF dropped"), class.is_marked.then_some("marked")];
    let parts: Vec<&str> = std::iter::once(write).chain(others.into_iter().flatten()).collect();
    parts.join("; ")
}

fn short(verdict: ShortVerdict) -> String {
    match verdict {
        ShortVerdict::Accepted => "accepted".to_owned(),
        ShortVerdict::Refused(Some(step)) => format!("refused at {step}"),
        ShortVerdict::Refused(None) => "refused".to_owned(),
        ShortVerdict::Unknown => "not refused by what is known".to_owned(),
    }
}

/// The exit status, with this many modules that could not be written.
pub(super) fn status(summary: &BatchSummary, unwritten: usize) -> Status {
    let done = summary.planned - unwritten + summary.as_requested;
    match (done, summary.failed + unwritten, summary.refused) {
        (_, 0, 0) => Status::Done,
        (0, 0, _) => Status::Guarded,
        (0, _, 0) if summary.all() == 1 => Status::Failed,
        _ => Status::Partial,
    }
}

/// The first of some paths, and how many more there are.
fn some_of(paths: &[PathBuf], all: usize) -> String {
    let names: Vec<String> = paths.iter().map(|path| output::path(path)).collect();
    match all.saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {} more", names.join(", "), digits(more)),
    }
}

/// A number with groups of digits.
pub(super) fn digits(number: usize) -> String {
    grouped(number as u64)
}

/// Prints the modules that each guard refuses, in the order of [`report_refusals`].
pub(super) fn list(
    summary: &BatchSummary,
    refusals: &mut Spool<ListedRefusal>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    for (guard, refused) in summary.refusing() {
        let name = session.paint(Paint::Strong, guard.name());
        writeln!(session.out, "{name} refuses {}", count(refused.count, "module"))?;
        for refusal in refusals.iter()? {
            let refusal = refusal?;
            if refusal.guard == guard.name() {
                writeln!(session.out, "  {}: {}", refusal.module, refusal.why)?;
            }
        }
    }
    Ok(())
}

/// The error of a module that can't be patched, as one line for several.
pub(super) fn report(number: usize, error: &Error, session: &mut Session<'_>) {
    if number <= REPORTED {
        session.complain(error);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::change::RefusalGroup;
    use crate::digest::sha256;
    use crate::guard::Guard;
    use crate::patch::{NewVermagic, Signature};

    #[test]
    fn kinds_and_reasons_beyond_the_limits_are_counted() {
        let reasons = (0..256).map(|number| (format!("it belongs to {number:04}"), if number == 9 { 2 } else { 1 }));
        let group =
            RefusalGroup { paths: vec!["/a.ko".into()], count: 3001, reasons: reasons.collect(), other_reasons: 2744 };
        let few = RefusalGroup { paths: vec!["/b.ko".into()], count: 1, ..RefusalGroup::default() };
        let summary = BatchSummary {
            planned: 3001,
            classes: (0..256).map(|n| (PatchClass::blanked(format!("{n:04}")), if n == 7 { 2 } else { 1 })).collect(),
            other_classes: 2744,
            refused: 3001,
            refusals: BTreeMap::from([(Guard::FileKind, few), (Guard::InstalledTree, group)]),
            ..BatchSummary::default()
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut session = Session::unattended(&mut out, &mut err);
        let request = Request::new(NewVermagic::Blank, Signature::Refuse);
        report_refusals(&summary, &mut session);
        print(&summary, &request, false, sha256(b""), &mut session).unwrap();
        let [out, err] = [out, err].map(|text| String::from_utf8(text).unwrap());
        assert!(out.contains("\n        2  0007\n"), "{out}");
        assert!(out.contains("\n    2,744  of other kinds; only 256 kinds are listed\n"), "{out}");
        let lines: Vec<&str> = err.lines().collect();
        let most = "kmodlab: 3,001 modules refused by the guard installed-tree (/a.ko and 3,000 more): it belongs to 0009 \
                    (2,999 for other reasons); ";
        assert!(lines[0].starts_with(most), "{err}");
        assert!(lines[1].starts_with("kmodlab: 1 module refused by the guard file-kind (/b.ko)"), "{err}");
    }
}
