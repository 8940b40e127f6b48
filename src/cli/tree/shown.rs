//! What `tree` prints: where each token comes from, what differs, what to change, what to type.

use std::path::Path;

use crate::buildtree::advising::abi_options::{AbiDifference, AbiEffectKind, Detection};
use crate::buildtree::advising::commands::BuildCommand;
use crate::buildtree::advising::distribution::NO_DISTRIBUTION;
use crate::buildtree::advising::fix::TreeChange;
use crate::buildtree::evaluating::prediction::VermagicPrediction;
use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::options::StaleOption;
use crate::buildtree::report::{ImportCheck, TreeReport, TreeSummary};
use crate::cli::output::{self, Failure, Paint, Session, count};
use crate::escape::for_eyes;

/// How many ABI options are printed; JSON has all.
const OPTIONS_SHOWN: usize = 12;

/// How many stale options are printed.
const STALE_SHOWN: usize = 6;

struct Page<'p, 's> {
    /// The folders below which files are named.
    roots: [&'p Path; 2],
    session: &'p mut Session<'s>,
}

impl<'p, 's> Page<'p, 's> {
    fn of(summary: &'p TreeSummary, session: &'p mut Session<'s>) -> Page<'p, 's> {
        Page { roots: [&summary.layout.object, &summary.layout.source.value], session }
    }

    fn heading(&mut self, label: &str, text: &str) -> Result<(), Failure> {
        let label = self.session.paint(Paint::Strong, format_args!("{label:<8}"));
        Ok(writeln!(self.session.out, "{label}{text}")?)
    }

    fn row(&mut self, label: &str, text: &str) -> Result<(), Failure> {
        let label = self.session.paint(Paint::Faint, format_args!("{label:<14}"));
        Ok(writeln!(self.session.out, "  {label} {text}")?)
    }

    /// A line, relative to the object folder if it is in it. A file of a separate source is named in full, because other
    /// build folders use it too.
    fn line_in_full(&self, at: &FileLine) -> String {
        let [object, _] = self.roots;
        FileLine::new(at.file.strip_prefix(object).unwrap_or(&at.file), at.line).to_string()
    }

    /// A line, relative to the object folder or the source if it is in one of them.
    fn line(&self, at: &FileLine) -> String {
        let below = self.roots.iter().find_map(|root| at.file.strip_prefix(root).ok());
        FileLine::new(below.unwrap_or(&at.file), at.line).to_string()
    }
}

pub(super) fn print(report: &TreeReport, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut page = Page::of(&report.summary, session);
    tree_itself(&report.summary, &mut page)?;
    page.heading("kernel", &output::vermagic(report.kernel.vermagic.as_bytes()))?;
    page.row("read from", &for_eyes(&report.kernel.source.to_string()))?;
    verdict(report, &mut page)?;
    fixes(report, &mut page)?;
    abi_options(report, &mut page)?;
    missing(report, &mut page)?;
    commands(report, &mut page)?;
    for note in report.notes.iter().chain(&report.kernel.notes) {
        let label = page.session.paint(Paint::Odd, format_args!("{:<8}", "note"));
        writeln!(page.session.out, "{label}{}", for_eyes(note))?;
    }
    Ok(())
}

/// The tree without a kernel to compare it with.
pub(super) fn print_summary(summary: &TreeSummary, session: &mut Session<'_>) -> Result<(), Failure> {
    tree_itself(summary, &mut Page::of(summary, session))
}

fn tree_itself(summary: &TreeSummary, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let layout = &summary.layout;
    let kind = match layout.kind {
        TreeKind::Source => ("a source tree", ", not configured"),
        TreeKind::InTree => ("a source tree", ", built in place"),
        TreeKind::Output => ("a build folder (O=)", ""),
        TreeKind::Headers => ("a headers package", ""),
    };
    let arch = layout.srcarch.as_ref().map(|arch| format!(", {}", for_eyes(&arch.value))).unwrap_or_default();
    let version = for_eyes(&summary.version);
    page.heading("tree", &format!("{}: {} of {version}{arch}{}", output::path(&summary.tree), kind.0, kind.1))?;
    if layout.is_split() {
        page.row("source", &output::path(&layout.source.value))?;
    }
    prediction("current", &summary.current, page)?;
    summary.news_of_rebuilt().map_or(Ok(()), |rebuilt| prediction("rebuilt", &rebuilt, page))
}

fn prediction(label: &str, prediction: &VermagicPrediction, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    match &prediction.vermagic {
        Some(vermagic) => page.heading(label, &output::vermagic(vermagic.as_bytes()))?,
        None => {
            let unknown = page.session.paint(Paint::Odd, "not known");
            page.heading(label, &unknown)?;
        }
    }
    for token in &prediction.tokens {
        let mut sources = token.sources.iter().map(|source| {
            let decided = source.decided.as_ref().map(|at| format!(" at {}", page.line(at))).unwrap_or_default();
            let what = source.what.as_ref().map(|what| format!(" ({}{decided})", for_eyes(what))).unwrap_or_default();
            let text = if source.text == token.text { String::new() } else { format!("{}  ", for_eyes(&source.text)) };
            format!("{text}{}{what}", page.line(&source.place))
        });
        let (first, rest): (Option<String>, Vec<String>) = (sources.next(), sources.collect());
        let text = for_eyes(&token.text);
        page.row(token.kind.name(), &format!("{text:<24} {}", first.unwrap_or_default()))?;
        for line in rest {
            writeln!(page.session.out, "  {:14} {:24} {line}", "", "")?;
        }
    }
    for why in &prediction.unknown {
        page.row("", &for_eyes(why))?;
    }
    Ok(())
}

fn verdict(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let answer = match report.matches {
        true => page.session.paint(Paint::Good, "a module built here has the kernel's vermagic"),
        false => match &report.summary.current.vermagic {
            Some(_) => page.session.paint(Paint::Bad, "a module built here has another vermagic"),
            None => page.session.paint(Paint::Bad, "no module can be built here yet"),
        },
    };
    page.heading("", &answer)?;
    if report.matches && report.differences.as_ref().is_some_and(|differ| !differ.is_equal()) {
        let text = page.session.paint(Paint::Odd, "but the next make here would change it (rebuilt):");
        page.heading("", &text)?;
    }
    let differences = report.differences.iter().flat_map(|comparison| comparison.differences());
    for difference in differences {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let (own, theirs) = (side(&difference.module), side(&difference.kernel));
        page.row(difference.kind.name(), &format!("{own}  →  {theirs}"))?;
    }
    Ok(())
}

fn fixes(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    if let Some(why) = &report.impossible {
        let why = for_eyes(&why.to_string());
        let text = page.session.paint(Paint::Bad, format_args!("this tree can't match: {why}"));
        page.heading("fix", &text)?;
        return package(report, page);
    }
    if report.differs_in_spaces() {
        let text = "the strings differ only in their spaces: was one lost or added when the kernel's was copied?";
        let text = page.session.paint(Paint::Odd, text);
        return page.heading("fix", &text);
    }
    for (index, fix) in report.fixes.iter().enumerate() {
        let label = if index == 0 { "fix" } else { "" };
        let text = change(&fix.change, page);
        page.heading(label, &text)?;
        let why = page.session.paint(Paint::Faint, format_args!("because {}", for_eyes(&fix.why.to_string())));
        writeln!(page.session.out, "{:10}{why}", "")?;
    }
    if report.matches {
        return Ok(());
    }
    if report.fixes.is_empty() {
        // If nothing is known yet, the prediction says why.
        if report.after.is_none() {
            return Ok(());
        }
        let text = page.session.paint(Paint::Bad, "no change here gives the kernel's vermagic");
        page.heading("fix", &text)?;
        return package(report, page);
    }
    match &report.after {
        Some(after) if *after == report.kernel.vermagic => {
            let text = page.session.paint(Paint::Good, "the kernel's vermagic");
            page.heading("then", &text)
        }
        Some(after) => {
            page.heading("then", &output::vermagic(after.as_bytes()))?;
            let text = page.session.paint(Paint::Odd, "which still differs; this tree does not show why");
            writeln!(page.session.out, "{:10}{text}", "")?;
            package(report, page)
        }
        None => {
            let text = page.session.paint(Paint::Odd, "the vermagic after these changes is not known yet");
            page.heading("then", &text)
        }
    }
}

/// One change, in a line.
fn change(change: &TreeChange, page: &Page<'_, '_>) -> String {
    let arrow = |before: &str, after: &str| format!("{}  →  {}", for_eyes(before), for_eyes(after));
    match change {
        TreeChange::Line { place, before, after } => format!("{}  {}", page.line_in_full(place), arrow(before, after)),
        TreeChange::Empty { file, before } => {
            let file = page.line_in_full(&FileLine::whole(file));
            format!("{file}  empty this file (it contains {})", for_eyes(before))
        }
        TreeChange::Config { from, to } => {
            let to = page.line_in_full(&FileLine::whole(to));
            format!("{to}  replace it with the kernel's configuration: {}", for_eyes(from))
        }
        TreeChange::Option { option, before, after, place } => {
            format!("{}  {}  {}", page.line_in_full(place), for_eyes(option), arrow(before, after))
        }
        TreeChange::VersionControl { before, place, how } => {
            format!("{}  it appends {}: {how}", page.line_in_full(place), for_eyes(before))
        }
        TreeChange::Compiler { before, after } => {
            let before = before.as_deref().map(for_eyes).unwrap_or_else(|| "none installed".to_owned());
            format!("compiler  {before}  →  {}", for_eyes(after))
        }
        TreeChange::Generate { place, before, after } => {
            let place = page.line_in_full(place);
            let after = after.as_deref().map(for_eyes).unwrap_or_else(|| "not known".to_owned());
            match before {
                Some(before) if for_eyes(before) != after => {
                    format!("{place}  is stale, regenerate it: {}", arrow(before, &after))
                }
                Some(_) => format!("{place}  is stale: regenerate the generated files"),
                None => format!("{place}  is missing, generate it: {after}"),
            }
        }
        TreeChange::Seed { token } => format!("{}: only the tree of the kernel's own build can match", for_eyes(token)),
        TreeChange::Symvers { to } => {
            let to = page.line_in_full(&FileLine::whole(to));
            format!("{to}  copy the kernel's own from its headers package, or build the whole kernel")
        }
    }
}

/// Which package has the right headers.
fn package(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let Some(distribution) = &report.distribution else {
        let release = report.kernel.vermagic.release().map_or("", |release| release.text.as_str());
        let is_plain = release.contains('.') && release.chars().all(|c| c.is_ascii_digit() || c == '.');
        return match is_plain {
            true => page
                .row("headers", &format!("the source of {release} from kernel.org, with the kernel's configuration")),
            false => page.row("headers", NO_DISTRIBUTION),
        };
    };
    let name =
        if distribution.certain { distribution.name.to_owned() } else { format!("probably {}", distribution.name) };
    let packages = distribution.headers.join(" or ");
    let packages = if packages.is_empty() { "no package".to_owned() } else { packages };
    page.row("headers", &format!("{packages} ({name})"))?;
    if let Some(install) = &distribution.install {
        page.row("install", install)?;
    }
    if let Some(note) = &distribution.note {
        page.row("", note)?;
    }
    Ok(())
}

fn abi_options(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let Some(first) = report.abi_options.first() else { return Ok(()) };
    let worst = match first.kind() {
        AbiEffectKind::BeforeInit | AbiEffectKind::StructModule => Paint::Bad,
        AbiEffectKind::Code | AbiEffectKind::SharedStructure => Paint::Odd,
    };
    let all = report.abi_options.len();
    let verb = if all == 1 { "differs and changes" } else { "differ and change" };
    let text = format_args!("{} {verb} the binary interface, but not the vermagic", count(all, "option"));
    let text = page.session.paint(worst, text);
    page.heading("abi", &text)?;
    for difference in report.abi_options.iter().take(OPTIONS_SHOWN) {
        let AbiDifference { option, tree, kernel, effects, caught } = difference;
        let what = effects.first().map(|effect| effect.what).unwrap_or_default();
        let caught = match caught {
            Detection::ModuleLayout => "symbol versions detect it",
            Detection::SymbolsThatReachIt => "symbol versions detect it if a symbol uses it",
            Detection::Nothing => "nothing detects it",
        };
        let (tree, kernel) = (for_eyes(tree), for_eyes(kernel));
        writeln!(page.session.out, "  CONFIG_{option}  tree {tree}, kernel {kernel}: {what}; {caught}")?;
    }
    if all > OPTIONS_SHOWN {
        writeln!(page.session.out, "  and {} more (--json has all)", all - OPTIONS_SHOWN)?;
    }
    Ok(())
}

fn missing(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    for (index, StaleOption { name, .. }) in report.stale_options.iter().take(STALE_SHOWN).enumerate() {
        let more = report.stale_options.len().saturating_sub(STALE_SHOWN);
        let rest = if index + 1 == STALE_SHOWN && more > 0 { format!(", and {more} more") } else { String::new() };
        let label = if index == 0 { "stale" } else { "" };
        let name = for_eyes(name);
        page.heading(label, &format!("CONFIG_{name}: .config and the generated configuration differ{rest}"))?;
    }
    for (index, part) in report.missing.iter().enumerate() {
        let label = if index == 0 { "missing" } else { "" };
        let file = page.line(&FileLine::whole(&part.path));
        page.heading(label, &format!("{file}: {}", part.role))?;
    }
    if let Some(missing) = &report.compilers.missing {
        page.heading("missing", &format!("the compiler: {}", for_eyes(missing)))?;
    }
    match &report.imports {
        ImportCheck::NotAsked => {}
        ImportCheck::Unknown => {
            let text = "the kernel's exports are not all known, so the module's imports were not checked";
            let text = page.session.paint(Paint::Odd, text);
            page.heading("symbols", &text)?;
        }
        ImportCheck::NotExported(names) if names.is_empty() => {
            page.heading("symbols", "the kernel exports all symbols that the module imports")?;
        }
        ImportCheck::NotExported(names) => {
            let names: Vec<String> = names.iter().map(|name| for_eyes(name)).collect();
            let text = page.session.paint(Paint::Bad, format_args!("the kernel does not export {}", names.join(", ")));
            page.heading("symbols", &text)?;
        }
    }
    Ok(())
}

fn commands(report: &TreeReport, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    for (index, BuildCommand { line, why }) in report.commands.iter().enumerate() {
        let label = if index == 0 { "type" } else { "" };
        page.heading(label, line)?;
        let why = page.session.paint(Paint::Faint, format_args!("# {why}"));
        writeln!(page.session.out, "{:10}{why}", "")?;
    }
    Ok(())
}
