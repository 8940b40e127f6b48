//! What was scanned, for eyes: a block a tree, grouped by what matters, with the odd ones out named.

use std::io;

use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::cli::scan::tally::{Groups, Sample, Tally, Tree};
use crate::escape::{bytes_for_eyes, for_eyes};

/// How many groups of one kind are shown.
const SHOWN: usize = 12;

/// Prints all trees, and the sum of several.
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

fn print_tree(tree: &Tree, session: &mut Session<'_>) -> Result<(), Failure> {
    let vermagic =
        |key: Option<&[u8]>| key.map_or("none: a kernel takes them only when forced".to_owned(), output::vermagic);
    let machine = |key: Option<&[u8]>| key.map(bytes_for_eyes).unwrap_or_default();
    let signer = |key: Option<&[u8]>| match key {
        None => "none".to_owned(),
        Some(b"") => "by an unnamed signer".to_owned(),
        Some(name) => format!("by {}", bytes_for_eyes(name)),
    };
    // What has no version magic is odd, however many they are; where nobody signs, nobody is odd.
    groups("vermagic", &tree.vermagics, vermagic, |key| key.is_none(), session)?;
    groups("class", &tree.machines, machine, |_| false, session)?;
    groups("signature", &tree.signers, signer, |_| false, session)?;
    let mut label = "patched";
    let recorded = tree.recorded.iter().map(|(recorded, sample)| (recorded.words(), sample));
    for (how, sample) in [("by their own mark", &tree.marked)].into_iter().chain(recorded) {
        if sample.count > 0 {
            line(label, sample.count, &session.paint(Paint::Odd, how), session)?;
            few(sample, session)?;
            label = "";
        }
    }
    let mut label = "odd";
    for (odd, sample) in &tree.odd {
        line(label, sample.count, &session.paint(Paint::Odd, odd.words()), session)?;
        few(sample, session)?;
        label = "";
    }
    if tree.unreadable.count > 0 {
        line("unreadable", tree.unreadable.count, &session.paint(Paint::Bad, "not counted above"), session)?;
        few(&tree.unreadable, session)?;
    }
    Ok(())
}

/// The groups by one trait. Of those that are not the largest, paths are named.
fn groups(
    label: &str,
    groups: &Groups,
    words: impl Fn(Option<&[u8]>) -> String,
    is_odd: impl Fn(Option<&[u8]>) -> bool,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let sorted = groups.sorted();
    let largest = sorted.first().map_or(0, |(_, sample)| sample.count);
    let is_alone = sorted.iter().filter(|(_, sample)| sample.count == largest).count() == 1;
    let mut label = label;
    for (key, sample) in sorted.iter().take(SHOWN) {
        let is_most = is_alone && sample.count == largest;
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

/// The paths that are kept of some.
fn few(sample: &Sample, session: &mut Session<'_>) -> io::Result<()> {
    for path in &sample.first {
        writeln!(session.out, "{:24}  {}", "", for_eyes(path))?;
    }
    match sample.count - sample.first.len() {
        0 => Ok(()),
        more => writeln!(session.out, "{:24}  and {} more (--json lists all)", "", grouped(more as u64)),
    }
}
