//! What `tree` prints: where each token comes from, what differs, what to change, what to type.

use std::path::Path;

use serde::Serialize;

use crate::buildtree::BuildTree;
use crate::buildtree::advising::abi_options::{AbiDifference, AbiEffectKind, Detection};
use crate::buildtree::advising::commands::BuildCommand;
use crate::buildtree::advising::distribution::{Distribution, STRANGER};
use crate::buildtree::advising::fix::{Fix, TreeChange};
use crate::buildtree::evaluating::current::VermagicPredictions;
use crate::buildtree::evaluating::prediction::{TracedToken, VermagicPrediction};
use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::compiler::Compilers;
use crate::buildtree::reading::generated::GeneratedPart;
use crate::buildtree::reading::layout::{TreeKind, TreeLayout};
use crate::buildtree::reading::options::StaleOption;
use crate::cli::output::{self, Failure, Paint, Session, Text, count};
use crate::cli::tree::Study;
use crate::cli::tree::prove::Proof;
use crate::escape::for_eyes;
use crate::kernel::Origin;
use crate::vermagic::Comparison;

/// How many options beyond the version magic are shown to people; JSON has all.
const OPTIONS_SHOWN: usize = 12;

/// How many options that are stale are shown.
const STALE_SHOWN: usize = 6;

struct Page<'p, 's> {
    /// The folders below which files are named.
    roots: [&'p Path; 2],
    session: &'p mut Session<'s>,
}

impl Page<'_, '_> {
    fn heading(&mut self, label: &str, text: &str) -> Result<(), Failure> {
        let label = self.session.paint(Paint::Strong, format_args!("{label:<8}"));
        Ok(writeln!(self.session.out, "{label}{text}")?)
    }

    fn row(&mut self, label: &str, text: &str) -> Result<(), Failure> {
        let label = self.session.paint(Paint::Faint, format_args!("{label:<14}"));
        Ok(writeln!(self.session.out, "  {label} {text}")?)
    }

    /// A place below the folder that was named, or as a whole.
    fn place_in_full(&self, at: &FileLine) -> String {
        let [object, _] = self.roots;
        FileLine::new(at.file.strip_prefix(object).unwrap_or(&at.file), at.line).to_string()
    }

    /// A place, as far as it can be below the tree's two folders.
    fn place(&self, at: &FileLine) -> String {
        let below = self.roots.iter().find_map(|root| at.file.strip_prefix(root).ok());
        FileLine::new(below.unwrap_or(&at.file), at.line).to_string()
    }
}

pub(super) fn print(named: &Path, study: &Study, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut page = Page { roots: [&study.tree.layout.object, &study.tree.layout.source.value], session };
    tree_itself(named, &study.tree, &study.predictions, &mut page)?;
    let wanted = &study.wanted;
    page.heading("kernel", &output::vermagic(wanted.value.as_bytes()))?;
    page.row("read from", &for_eyes(&wanted.source.to_string()))?;
    verdict(study, &mut page)?;
    mends(study, &mut page)?;
    beyond(study, &mut page)?;
    lacking(study, &mut page)?;
    commands(study, &mut page)?;
    let of_kernel = study.kernel.facts.notes.iter().map(ToString::to_string);
    for note in study.tree.notes.iter().chain(&study.predictions.notes).cloned().chain(of_kernel) {
        let label = page.session.paint(Paint::Odd, format_args!("{:<8}", "mind"));
        writeln!(page.session.out, "{label}{}", for_eyes(&note))?;
    }
    Ok(())
}

/// What a tree says where no kernel is known to compare with.
pub(super) fn print_alone(
    named: &Path,
    tree: &BuildTree,
    predictions: &VermagicPredictions,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut page = Page { roots: [&tree.layout.object, &tree.layout.source.value], session };
    tree_itself(named, tree, predictions, &mut page)
}

fn tree_itself(
    named: &Path,
    tree: &BuildTree,
    predictions: &VermagicPredictions,
    page: &mut Page<'_, '_>,
) -> Result<(), Failure> {
    let kind = match tree.layout.kind {
        TreeKind::Source => ("a source tree", ", not configured"),
        TreeKind::InTree => ("a source tree", ", built in place"),
        TreeKind::Output => ("a build folder (O=)", ""),
        TreeKind::Headers => ("a headers package", ""),
    };
    let arch = tree.layout.srcarch.as_ref().map(|arch| format!(", {}", for_eyes(&arch.value))).unwrap_or_default();
    let version = for_eyes(&tree.version.kernelversion());
    page.heading("tree", &format!("{}: {} of {version}{arch}{}", output::path(named), kind.0, kind.1))?;
    if tree.layout.is_split() {
        page.row("source", &output::path(&tree.layout.source.value))?;
    }
    let (now, anew) = (&predictions.current, &predictions.rebuilt);
    outlook("now", now, &now.tokens, page)?;
    if anew.vermagic != now.vermagic || now.vermagic.is_none() {
        // What is the same is not told twice.
        let is_new =
            |token: &&TracedToken| !now.tokens.iter().any(|old| (old.kind, &old.text) == (token.kind, &token.text));
        let tokens: Vec<TracedToken> = anew.tokens.iter().filter(is_new).cloned().collect();
        let unknown = anew.unknown.iter().filter(|why| !now.unknown.contains(why)).cloned().collect();
        let anew = VermagicPrediction { vermagic: anew.vermagic.clone(), unknown, ..VermagicPrediction::default() };
        if anew.vermagic.is_some() || !anew.unknown.is_empty() || !tokens.is_empty() {
            outlook("anew", &anew, &tokens, page)?;
        }
    }
    Ok(())
}

fn outlook(
    label: &str,
    outlook: &VermagicPrediction,
    tokens: &[TracedToken],
    page: &mut Page<'_, '_>,
) -> Result<(), Failure> {
    match &outlook.vermagic {
        Some(vermagic) => page.heading(label, &output::vermagic(vermagic.as_bytes()))?,
        None => {
            let unknown = page.session.paint(Paint::Odd, "not known");
            page.heading(label, &unknown)?;
        }
    }
    for token in tokens {
        let mut sources = token.sources.iter().map(|source| {
            let decided = source.decided.as_ref().map(|at| format!(" at {}", page.place(at))).unwrap_or_default();
            let what = source.what.as_ref().map(|what| format!(" ({}{decided})", for_eyes(what))).unwrap_or_default();
            let text = if source.text == token.text { String::new() } else { format!("{}  ", for_eyes(&source.text)) };
            format!("{text}{}{what}", page.place(&source.place))
        });
        let (first, rest): (Option<String>, Vec<String>) = (sources.next(), sources.collect());
        let text = for_eyes(&token.text);
        page.row(token.kind.name(), &format!("{text:<24} {}", first.unwrap_or_default()))?;
        for line in rest {
            writeln!(page.session.out, "  {:14} {:24} {line}", "", "")?;
        }
    }
    for why in &outlook.unknown {
        page.row("", &for_eyes(why))?;
    }
    Ok(())
}

fn verdict(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let answer = match study.plan.matches {
        true => page.session.paint(Paint::Good, "a module built here carries the kernel's version magic"),
        false => match &study.predictions.current.vermagic {
            Some(_) => page.session.paint(Paint::Bad, "a module built here carries another version magic"),
            None => page.session.paint(Paint::Bad, "no module can be built here yet"),
        },
    };
    page.heading("", &answer)?;
    if study.plan.matches && study.plan.differences.as_ref().is_some_and(|differ| !differ.is_equal()) {
        let text = page.session.paint(Paint::Odd, "but the next make here would give it another (anew):");
        page.heading("", &text)?;
    }
    let differences = study.plan.differences.iter().flat_map(|comparison| comparison.differences());
    for difference in differences {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let (own, theirs) = (side(&difference.module), side(&difference.kernel));
        page.row(difference.kind.name(), &format!("{own}  →  {theirs}"))?;
    }
    Ok(())
}

fn mends(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    if let Some(never) = &study.plan.never {
        let never = for_eyes(never);
        let text = page.session.paint(Paint::Bad, format_args!("this tree can't match: {never}"));
        page.heading("mend", &text)?;
        return package(study, page);
    }
    if only_spaces_differ(study) {
        let text = "the strings differ in their spaces alone: was one lost, or added, when the kernel's was copied?";
        let text = page.session.paint(Paint::Odd, text);
        return page.heading("mend", &text);
    }
    for (index, mend) in study.plan.fixes.iter().enumerate() {
        let label = if index == 0 { "mend" } else { "" };
        let text = change(&mend.change, page);
        page.heading(label, &text)?;
        let why = page.session.paint(Paint::Faint, format_args!("because {}", for_eyes(&mend.why)));
        writeln!(page.session.out, "{:10}{why}", "")?;
    }
    if study.plan.matches {
        return Ok(());
    }
    if study.plan.fixes.is_empty() {
        // Where nothing can be told yet, the outlook says why.
        if study.plan.after.is_none() {
            return Ok(());
        }
        let text = page.session.paint(Paint::Bad, "nothing to change here leads to the kernel's version magic");
        page.heading("mend", &text)?;
        return package(study, page);
    }
    match &study.plan.after {
        Some(after) if *after == study.wanted.value => {
            let text = page.session.paint(Paint::Good, "the kernel's version magic");
            page.heading("then", &text)
        }
        Some(after) => {
            page.heading("then", &output::vermagic(after.as_bytes()))?;
            let text =
                page.session.paint(Paint::Odd, "which is still another: what is left can't be told by this tree");
            writeln!(page.session.out, "{:10}{text}", "")?;
            package(study, page)
        }
        None => {
            let text = page.session.paint(Paint::Odd, "what it would be then can't be told yet");
            page.heading("then", &text)
        }
    }
}

/// Are all tokens the same, and only the spaces between them or at the end are not?
fn only_spaces_differ(study: &Study) -> bool {
    let words = |vermagic: &[u8]| -> Vec<Vec<u8>> {
        vermagic.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let wanted = study.wanted.value.as_bytes();
    study
        .predictions
        .rebuilt
        .vermagic
        .as_ref()
        .is_some_and(|own| own.as_bytes() != wanted && words(own.as_bytes()) == words(wanted))
}

/// One change, in a line. What is in the source of a build folder is named in full: it is the source of others, too.
fn change(change: &TreeChange, page: &Page<'_, '_>) -> String {
    let arrow = |before: &str, after: &str| format!("{}  →  {}", for_eyes(before), for_eyes(after));
    match change {
        TreeChange::Line { place, before, after } => format!("{}  {}", page.place_in_full(place), arrow(before, after)),
        TreeChange::Empty { file, before } => {
            format!("{}  make it empty (it says {})", page.place_in_full(&FileLine::whole(file)), for_eyes(before))
        }
        TreeChange::Config { from, to } => {
            format!(
                "{}  copy the kernel's configuration over it: {}",
                page.place_in_full(&FileLine::whole(to)),
                for_eyes(from)
            )
        }
        TreeChange::Option { option, before, after, place } => {
            format!("{}  {}  {}", page.place_in_full(place), for_eyes(option), arrow(before, after))
        }
        TreeChange::VersionControl { before, place, how } => {
            format!("{}  it adds {}: {how}", page.place_in_full(place), for_eyes(before))
        }
        TreeChange::Compiler { before, after } => {
            let before = before.as_deref().map(for_eyes).unwrap_or_else(|| "none here".to_owned());
            format!("compiler  {before}  →  {}", for_eyes(after))
        }
        TreeChange::Generate { place, before, after } => {
            let after = after.as_deref().map(for_eyes).unwrap_or_else(|| "not known".to_owned());
            match before {
                Some(before) if for_eyes(before) != after => {
                    format!("{}  is stale, make it anew: {}", page.place_in_full(place), arrow(before, &after))
                }
                Some(_) => format!("{}  is stale: make what is generated anew", page.place_in_full(place)),
                None => format!("{}  is to be made: {after}", page.place_in_full(place)),
            }
        }
        TreeChange::Seed { token } => {
            format!("{}: no tree but that of the kernel's own build can match", for_eyes(token))
        }
        TreeChange::Symvers { to } => {
            format!(
                "{}  take the kernel's own, of its headers package, or build the whole kernel",
                page.place_in_full(&FileLine::whole(to))
            )
        }
    }
}

/// Which package has the right headers.
fn package(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let Some(distribution) = &study.distribution else {
        let release = study.wanted.value.release().map_or("", |release| release.text.as_str());
        let is_plain = release.contains('.') && release.chars().all(|c| c.is_ascii_digit() || c == '.');
        return match is_plain {
            true => page
                .row("headers", &format!("the source of {release}, of kernel.org, with that kernel's configuration")),
            false => page.row("headers", STRANGER),
        };
    };
    let name =
        if distribution.certain { distribution.name.to_owned() } else { format!("{}, perhaps", distribution.name) };
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

fn beyond(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    let Some(first) = study.beyond.first() else { return Ok(()) };
    let worst = match first.kind() {
        AbiEffectKind::BeforeInit | AbiEffectKind::StructModule => Paint::Bad,
        AbiEffectKind::Code | AbiEffectKind::SharedStructure => Paint::Odd,
    };
    let all = count(study.beyond.len(), "option");
    let verb = if study.beyond.len() == 1 { "differs" } else { "differ" };
    let text = page
        .session
        .paint(worst, format_args!("{all} {verb} that no version magic shows, and that change what both share"));
    page.heading("beyond", &text)?;
    for beyond in study.beyond.iter().take(OPTIONS_SHOWN) {
        let AbiDifference { option, tree, kernel, effects, caught } = beyond;
        let what = effects.first().map(|effect| effect.what).unwrap_or_default();
        let caught = match caught {
            Detection::ModuleLayout => "; symbol versions catch it",
            Detection::SymbolsThatReachIt => "; symbol versions catch it where a symbol reaches it",
            Detection::Nothing => "; nothing catches it",
        };
        let line = format!("CONFIG_{option}  {} here, {} there: {what}{caught}", for_eyes(tree), for_eyes(kernel));
        writeln!(page.session.out, "  {line}")?;
    }
    if study.beyond.len() > OPTIONS_SHOWN {
        writeln!(page.session.out, "  and {} more (--json has all)", study.beyond.len() - OPTIONS_SHOWN)?;
    }
    Ok(())
}

fn lacking(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    for (index, StaleOption { name, .. }) in study.tree.stale_options.iter().take(STALE_SHOWN).enumerate() {
        let more = study.tree.stale_options.len().saturating_sub(STALE_SHOWN);
        let rest = if index + 1 == STALE_SHOWN && more > 0 { format!(", and {more} more") } else { String::new() };
        let label = if index == 0 { "stale" } else { "" };
        page.heading(label, &format!("CONFIG_{}: .config and what the build reads differ{rest}", for_eyes(name)))?;
    }
    for (index, part) in study.tree.generated.missing().enumerate() {
        let label = if index == 0 { "missing" } else { "" };
        let place = page.place(&FileLine::whole(&part.path));
        page.heading(label, &format!("{place}: {}", part.role))?;
    }
    if let Some(missing) = &study.tree.compilers.missing {
        page.heading("missing", &format!("the compiler: {}", for_eyes(missing)))?;
    }
    match &study.not_exported {
        _ if !study.has_module => {}
        None => {
            let text = "not all that the kernel exports is known, so nothing is said of the module's imports";
            let text = page.session.paint(Paint::Odd, text);
            page.heading("symbols", &text)?;
        }
        Some(names) if names.is_empty() => page.heading("symbols", "the kernel exports all that the module imports")?,
        Some(names) => {
            let names: Vec<String> = names.iter().map(|name| for_eyes(name)).collect();
            let text = page.session.paint(Paint::Bad, format_args!("the kernel does not export {}", names.join(", ")));
            page.heading("symbols", &text)?;
        }
    }
    Ok(())
}

fn commands(study: &Study, page: &mut Page<'_, '_>) -> Result<(), Failure> {
    for (index, BuildCommand { line, why }) in study.commands.iter().enumerate() {
        let label = if index == 0 { "type" } else { "" };
        page.heading(label, line)?;
        let why = page.session.paint(Paint::Faint, format_args!("# {why}"));
        writeln!(page.session.out, "{:10}{why}", "")?;
    }
    Ok(())
}

/// All of it, for programs.
#[derive(Serialize)]
pub(super) struct Document<'d> {
    schema_version: u32,
    tree: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tree_hex: Option<String>,
    layout: &'d TreeLayout,
    version: String,
    now: ShownOutlook<'d>,
    anew: ShownOutlook<'d>,
    kernel: ShownKernel<'d>,
    matches: bool,
    differences: Option<&'d Comparison>,
    mends: &'d [Fix],
    after: Option<Text>,
    never: Option<&'d str>,
    distribution: Option<&'d Distribution>,
    beyond: &'d [AbiDifference],
    stale_options: &'d [StaleOption],
    missing: Vec<&'d GeneratedPart>,
    compilers: &'d Compilers,
    not_exported: Option<&'d [String]>,
    commands: &'d [BuildCommand],
    notes: Vec<&'d String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'d Proof>,
}

#[derive(Serialize)]
struct ShownOutlook<'d> {
    vermagic: Option<Text>,
    tokens: &'d [TracedToken],
    unknown: &'d [String],
}

#[derive(Serialize)]
struct ShownKernel<'d> {
    name: &'d str,
    vermagic: Text,
    source: &'d Origin,
    config: Option<&'d Origin>,
}

impl<'d> Document<'d> {
    pub(super) fn of(named: &'d Path, study: &'d Study, proof: Option<&'d Proof>) -> Document<'d> {
        let outlook = |outlook: &'d VermagicPrediction| ShownOutlook {
            vermagic: outlook.vermagic.as_ref().map(|vermagic| Text::of(vermagic.as_bytes())),
            tokens: &outlook.tokens,
            unknown: &outlook.unknown,
        };
        Document {
            schema_version: 1,
            tree: output::path_text(named).into_owned(),
            tree_hex: output::path_hex(named),
            layout: &study.tree.layout,
            version: study.tree.version.kernelversion(),
            now: outlook(&study.predictions.current),
            anew: outlook(&study.predictions.rebuilt),
            kernel: ShownKernel {
                name: &study.kernel.name,
                vermagic: Text::of(study.wanted.value.as_bytes()),
                source: &study.wanted.source,
                config: study.kernel.facts.config.as_ref().map(|config| &config.source),
            },
            matches: study.plan.matches,
            differences: study.plan.differences.as_ref(),
            mends: &study.plan.fixes,
            after: study.plan.after.as_ref().map(|vermagic| Text::of(vermagic.as_bytes())),
            never: study.plan.never.as_deref(),
            distribution: study.distribution.as_ref(),
            beyond: &study.beyond,
            stale_options: &study.tree.stale_options,
            missing: study.tree.generated.missing().collect(),
            compilers: &study.tree.compilers,
            not_exported: study.not_exported.as_deref(),
            commands: &study.commands,
            notes: study.tree.notes.iter().chain(&study.predictions.notes).collect(),
            proof,
        }
    }
}
