//! The table of a scan: one block per tree, with modules grouped by traits, and paths of those that differ from most.

use std::io;

use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::escape::{bytes_for_eyes, for_eyes};
use crate::scan::{GroupedModules, JournalState, Oddity, SampledModules, Tally, TreeTally};

/// How many groups by one trait are shown.
const SHOWN: usize = 12;

/// Prints all trees, and the sum if there are several.
pub(super) fn print(tally: &Tally, session: &mut Session<'_>) -> Result<(), Failure> {
    let (mut trees, mut modules, mut unreadable) = (0, 0, 0);
    for (name, tree) in tally.trees() {
        if trees > 0 {
            writeln!(session.out)?;
        }
        let name = name.map_or("files".to_owned(), output::path);
        let name = session.paint(Paint::Strong, name);
        writeln!(session.out, "{name}: {}", count(tree.count, "module"))?;
        print_tree(tree, session)?;
        (trees, modules, unreadable) = (trees + 1, modules + tree.count, unreadable + tree.unreadable.count);
    }
    if tally.has_more {
        writeln!(session.out, "\nthere are more trees; their modules are counted with those of the last one")?;
    }
    if trees > 1 {
        let unreadable = match unreadable {
            0 => String::new(),
            number => format!(", {} of them can't be read", grouped(number as u64)),
        };
        writeln!(session.out, "\n{} in {}{unreadable}", count(modules, "module"), count(trees, "tree"))?;
    }
    Ok(())
}

fn print_tree(tree: &TreeTally, session: &mut Session<'_>) -> Result<(), Failure> {
    let vermagic =
        |key: Option<&[u8]>| key.map_or("none: a kernel takes them only when forced".to_owned(), output::vermagic);
    let machine = |key: Option<&[u8]>| key.map(bytes_for_eyes).unwrap_or_default();
    let signer = |key: Option<&[u8]>| match key {
        None => "none".to_owned(),
        Some(b"") => "by an unnamed signer".to_owned(),
        Some(name) => format!("by {}", bytes_for_eyes(name)),
    };
    // Modules without a vermagic are odd, however many there are; unsigned ones are not, if none is signed.
    groups("vermagic", &tree.vermagics, vermagic, |key| key.is_none(), session)?;
    groups("class", &tree.machines, machine, |_| false, session)?;
    groups("signature", &tree.signers, signer, |_| false, session)?;
    let mut label = "patched";
    let by_journal = tree.journal.iter().map(|(state, sample)| (journal_words(*state), sample));
    for (how, sample) in [("by their own mark", &tree.marked)].into_iter().chain(by_journal) {
        if sample.count > 0 {
            line(label, sample.count, &session.paint(Paint::Odd, how), session)?;
            few(sample, session)?;
            label = "";
        }
    }
    let mut label = "odd";
    for (oddity, sample) in &tree.oddities {
        line(label, sample.count, &session.paint(Paint::Odd, oddity_words(*oddity)), session)?;
        few(sample, session)?;
        label = "";
    }
    if tree.unreadable.count > 0 {
        line("unreadable", tree.unreadable.count, &session.paint(Paint::Bad, "not counted above"), session)?;
        few(&tree.unreadable, session)?;
    }
    Ok(())
}

/// The groups by one trait, with paths for all but the largest group.
fn groups(
    label: &str,
    groups: &GroupedModules,
    words: impl Fn(Option<&[u8]>) -> String,
    is_odd: impl Fn(Option<&[u8]>) -> bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let sorted = groups.sorted();
    let largest = sorted.first().map_or(0, |(_, sample)| sample.count);
    let is_unique = sorted.iter().filter(|(_, sample)| sample.count == largest).count() == 1;
    let mut label = label;
    for (key, sample) in sorted.iter().take(SHOWN) {
        let is_most = is_unique && sample.count == largest;
        let is_named = !is_most || is_odd(*key);
        let paint = if is_named { Paint::Odd } else { Paint::Good };
        line(label, sample.count, &session.paint(paint, words(*key)), session)?;
        if is_named {
            few(sample, session)?;
        }
        label = "";
    }
    let hidden = sorted.iter().skip(SHOWN).map(|(_, sample)| sample.count).sum::<usize>() + groups.others.count;
    if hidden > 0 {
        line("", hidden, "in smaller groups (--json lists all)", session)?;
    }
    Ok(())
}

fn line(label: &str, number: usize, text: &str, session: &mut Session<'_>) -> io::Result<()> {
    let label = session.paint(Paint::Faint, format_args!("{label:<10}"));
    writeln!(session.out, "  {label} {:>9}  {text}", grouped(number as u64))
}

/// The paths of the first modules.
fn few(sample: &SampledModules, session: &mut Session<'_>) -> io::Result<()> {
    for path in &sample.first {
        writeln!(session.out, "{:24}  {}", "", for_eyes(path))?;
    }
    match sample.count - sample.first.len() {
        0 => Ok(()),
        more => writeln!(session.out, "{:24}  and {} more (--json lists all)", "", grouped(more as u64)),
    }
}

fn journal_words(state: JournalState) -> &'static str {
    match state {
        JournalState::Patched => "by the journal",
        JournalState::Changed => "by the journal, but changed since",
        JournalState::Original => "by the journal, but the original again",
    }
}

fn oddity_words(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::SeveralVermagics => "several vermagic entries: the kernel takes the first",
        Oddity::ModinfoNotAllocated => ".modinfo is not marked SHF_ALLOC: kernels up to 6.3 do not see it",
        Oddity::VersionsNotAllocated => "__versions is not marked SHF_ALLOC: no kernel sees the symbol versions",
        Oddity::UnclaimedBytes => "bytes after the ELF image that belong to nothing",
    }
}
