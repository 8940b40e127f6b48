//! `kernel`: prints the facts of a kernel, each with its source.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use crate::cli::output::{self, Failure, Paint, Session, count, grouped, waiting};
use crate::cli::status::Status;
use crate::escape::for_eyes;
use crate::kernel::report::{self, ExportsCount, ImportsCount, KernelReport, ListedSymbol, SymbolReport};
use crate::kernel::{self, Certificate, Exports, Fact, Facts, Imports, Kernel, ModuleTree, Origin, Policy};
use crate::module::this_module::ModuleLayout;
use crate::vermagic::Vermagic;

#[derive(clap::Args)]
pub(super) struct Args {
    /// The kernel: running, vermagic:STRING, an image (vmlinuz), a folder (/lib/modules/RELEASE), a package (.deb
    /// and others, or A+B), or a module of that kernel
    #[arg(value_name = "K")]
    kernel: OsString,
    /// All exported symbols: CRC, name, owner, licence and namespace, as in Module.symvers; ? is not known
    #[arg(long)]
    symbols: bool,
    /// All exported symbols as a Module.symvers that a build of modules can use; an error if anything in it is not known
    #[arg(long, conflicts_with_all = ["symbols", "json"])]
    symvers: bool,
    /// One JSON document; with --symbols one JSON object a symbol, in a line each
    #[arg(long)]
    json: bool,
}

/// The options that decide how modules are loaded.
const OPTIONS: [&str; 14] = [
    "MODULES",
    "MODVERSIONS",
    "EXTENDED_MODVERSIONS",
    "MODULE_UNLOAD",
    "MODULE_FORCE_LOAD",
    "MODULE_FORCE_UNLOAD",
    "MODULE_SIG",
    "MODULE_SIG_FORCE",
    "STRICT_MODULE_RWX",
    "MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS",
    "MODULE_ALLOW_BTF_MISMATCH",
    "TRIM_UNUSED_KSYMS",
    "LIVEPATCH",
    "RANDSTRUCT",
];

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let lookup = session.lookup();
    let name = args.kernel.to_string_lossy().into_owned();
    let kernel = waiting(&format!("reading {name}"), || kernel::named(&args.kernel, &lookup))?;
    if args.symvers {
        session.out.write_all(report::symvers_text(&kernel)?.as_bytes())?;
        return Ok(Status::Done);
    }
    match (args.symbols, args.json) {
        (true, json) => list_symbols(&kernel.facts, json, session)?,
        (false, true) => session.json(&KernelReport::of(&kernel))?,
        (false, false) => print(&kernel, session)?,
    }
    Ok(Status::Done)
}

/// The sources, numbered in the order of their first use, so that a long path is printed once.
#[derive(Default)]
struct Sources(Vec<Origin>);

impl Sources {
    fn number(&mut self, source: &Origin) -> usize {
        let known = self.0.iter().position(|known| known == source);
        known.unwrap_or_else(|| {
            self.0.push(source.clone());
            self.0.len() - 1
        }) + 1
    }
}

fn print(kernel: &Kernel, session: &mut Session<'_>) -> Result<(), Failure> {
    let facts = &kernel.facts;
    let mut sources = Sources::default();
    writeln!(session.out, "{}", session.paint(Paint::Strong, for_eyes(&kernel.name.to_string())))?;
    fact("release", facts.release.as_ref(), |release| vec![for_eyes(release)], &mut sources, session)?;
    fact("version", facts.banner.as_ref(), |line| vec![for_eyes(line.trim_end())], &mut sources, session)?;
    match &kernel.vermagic {
        Some(_) => fact("vermagic", kernel.vermagic.as_ref(), vermagic_lines, &mut sources, session)?,
        None => {
            let label = session.paint(Paint::Faint, format_args!("{:<14}", "vermagic"));
            let why = for_eyes(&kernel.why_no_vermagic().to_string());
            writeln!(session.out, "  {label} {}: {why}", session.paint(Paint::Odd, "not known"))?;
        }
    }
    match &facts.architecture {
        Some(known) if facts.machine.is_none() => {
            fact("machine", Some(known), |known| vec![known.to_string()], &mut sources, session)?;
        }
        _ => fact("machine", facts.machine.as_ref(), |machine| vec![machine.to_string()], &mut sources, session)?,
    }
    fact("struct module", facts.fingerprint.as_ref(), fingerprint_lines, &mut sources, session)?;
    fact("exports", facts.exports.as_ref(), exports_lines, &mut sources, session)?;
    // If all exports of the image are known, imports add nothing.
    if facts.imports.is_some() && !facts.exports.as_ref().is_some_and(|exports| exports.value.complete) {
        let imports = |imports: &Imports| vec![imports_line(imports)];
        fact("imports", facts.imports.as_ref(), imports, &mut sources, session)?;
    }
    fact("modules", facts.tree.as_ref(), tree_lines, &mut sources, session)?;
    fact("config", facts.config.as_ref(), config_lines, &mut sources, session)?;
    let messages = |messages: &BTreeSet<String>| vec![count(messages.len(), "message") + " of the loader's"];
    fact("messages", facts.messages.as_ref(), messages, &mut sources, session)?;
    let folders = |folders: &BTreeSet<String>| vec![count(folders.len(), "name") + " that no module can take"];
    fact("/sys/module", facts.folders.as_ref(), folders, &mut sources, session)?;
    let subjects = |keys: &Vec<Certificate>| match keys.is_empty() {
        true => vec!["none is built in".to_owned()],
        false => keys.iter().map(|key| for_eyes(&key.subject)).collect(),
    };
    fact("keys", facts.keys.as_ref(), subjects, &mut sources, session)?;
    let bytes = |btf: &std::sync::Arc<[u8]>| vec![count(btf.len(), "byte")];
    fact("BTF", facts.btf.as_ref(), bytes, &mut sources, session)?;
    fact("policy", facts.policy.as_ref(), policy_lines, &mut sources, session)?;
    for (index, source) in sources.0.iter().enumerate() {
        let label = if index == 0 { "sources" } else { "" };
        let label = session.paint(Paint::Faint, format_args!("{label:<14}"));
        writeln!(session.out, "  {label} [{}] {}", index + 1, for_eyes(&source.to_string()))?;
    }
    for (index, note) in facts.notes.iter().enumerate() {
        let label = session.paint(Paint::Odd, format_args!("{:<14}", if index == 0 { "mind" } else { "" }));
        writeln!(session.out, "  {label} {}", for_eyes(&note.to_string()))?;
    }
    Ok(())
}

/// One fact: its lines, with the number of its source after the first.
fn fact<T>(
    label: &str,
    fact: Option<&Fact<T>>,
    lines: impl FnOnce(&T) -> Vec<String>,
    sources: &mut Sources,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let label = session.paint(Paint::Faint, format_args!("{label:<14}"));
    let Some(Fact { value, source }) = fact else {
        let unknown = session.paint(Paint::Odd, "not known");
        writeln!(session.out, "  {label} {unknown}")?;
        return Ok(());
    };
    let number = session.paint(Paint::Faint, format_args!("[{}]", sources.number(source)));
    let mut lines = lines(value).into_iter();
    writeln!(session.out, "  {label} {}  {number}", lines.next().unwrap_or_default())?;
    for line in lines {
        writeln!(session.out, "  {:14} {line}", "")?;
    }
    Ok(())
}

fn vermagic_lines(vermagic: &Vermagic) -> Vec<String> {
    let tokens = vermagic.tokens().iter().map(|token| {
        let text = for_eyes(&token.text);
        if token.kind.name() == token.text { text } else { format!("{} {text}", token.kind.name()) }
    });
    let tokens = tokens.collect::<Vec<_>>().join(" · ");
    vec![output::vermagic(vermagic.as_bytes()), tokens]
}

fn fingerprint_lines(fingerprint: &ModuleLayout) -> Vec<String> {
    let place = |what: &str, at: Option<u64>| at.map(|at| format!(", {what} at {at:#x}")).unwrap_or_default();
    let ModuleLayout { size, init, exit } = fingerprint;
    vec![format!("{size:#x} bytes{}{}", place("init", *init), place("exit", *exit))]
}

fn exports_lines(exports: &Exports) -> Vec<String> {
    let counts = ExportsCount::of(exports);
    let known = |number: Option<usize>, what: &str| match number {
        Some(number) => format!("{} {what}", grouped(number as u64)),
        None => format!("{what}: not known"),
    };
    let first = match exports.complete {
        true => count(counts.symbols, "symbol"),
        false => format!("{} known, not all that there are", count(counts.symbols, "symbol")),
    };
    let crcs = match counts.crcs {
        0 => "no CRCs".to_owned(),
        all if all == counts.symbols => "all with a CRC".to_owned(),
        some => format!("{} with a CRC", grouped(some as u64)),
    };
    let namespaces = counts.namespaces.map_or("namespaces: not known".to_owned(), |number| count(number, "namespace"));
    vec![format!("{first}, {crcs}"), format!("{}, {namespaces}", known(counts.gpl_only, "GPL-only"))]
}

/// The imports of modules, and how many of them the image certainly exports.
fn imports_line(imports: &Imports) -> String {
    let ImportsCount { symbols, of_image, .. } = ImportsCount::of(imports);
    let whose = match of_image {
        0 => "not known whose".to_owned(),
        all if all == symbols => "all the image's".to_owned(),
        some => format!("{} surely the image's", grouped(some as u64)),
    };
    format!("{}, {whose}", count(symbols, "symbol"))
}

fn tree_lines(tree: &ModuleTree) -> Vec<String> {
    let exports = tree.modules.iter().map(|module| module.exports.len()).sum();
    let mut line = format!("{}, exporting {}", count(tree.modules.len(), "module"), count(exports, "symbol"));
    if !tree.has_files() && !tree.modules.is_empty() {
        line.push_str("; their files are not there");
    }
    let built_in = match tree.built_in.len() {
        0 => "built in: not known".to_owned(),
        number => format!("{} built in", grouped(number as u64)),
    };
    let whole = match tree.missing.as_ref().map(BTreeSet::len) {
        None => "whether these are all: not known".to_owned(),
        Some(0) => "these are all".to_owned(),
        Some(number) => format!("{} that its list names are missing", grouped(number as u64)),
    };
    vec![line, format!("{built_in}; {whole}")]
}

fn config_lines(config: &BTreeMap<String, String>) -> Vec<String> {
    let (set, not): (Vec<&str>, Vec<&str>) = OPTIONS.into_iter().partition(|option| config.contains_key(*option));
    let set = set.into_iter().filter_map(|option| Some(format!("{option}={}", for_eyes(config.get(option)?))));
    let set: Vec<String> = set.collect();
    let mut lines = vec![count(config.len(), "option")];
    lines.extend(set.chunks(4).map(|some| some.join(" ")));
    lines.extend(not.chunks(4).enumerate().map(|(index, some)| {
        let start = if index == 0 { "not set: " } else { "         " };
        format!("{start}{}", some.join(" "))
    }));
    lines
}

fn policy_lines(policy: &Policy) -> Vec<String> {
    let state = |what: &str, on: Option<bool>| match on {
        Some(true) => format!("{what}: yes"),
        Some(false) => format!("{what}: no"),
        None => format!("{what}: not known"),
    };
    let blacklist = match policy.blacklist.is_empty() {
        true => "nothing blacklisted".to_owned(),
        false => format!("blacklisted: {}", for_eyes(&policy.blacklist.join(" "))),
    };
    vec![
        [
            state("signatures enforced", policy.sig_enforce),
            state("locked down", policy.locked_down),
            state("modules disabled", policy.modules_disabled),
        ]
        .join(", "),
        format!("{blacklist}, {} in /sys/module", count(policy.loaded.len(), "module")),
    ]
}

/// All symbols that image and modules export, by name.
fn list_symbols(facts: &Facts, json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    for symbol in report::symbols(facts) {
        if json {
            session.json(&SymbolReport::of(&symbol))?;
            continue;
        }
        let ListedSymbol { name, owner, export } = symbol;
        let crc = export.crc.map_or("?".to_owned(), |crc| format!("{crc:#010x}"));
        let licence = match export.gpl_only {
            Some(true) => "EXPORT_SYMBOL_GPL",
            Some(false) => "EXPORT_SYMBOL",
            None => "?",
        };
        let namespace = export.namespace.as_deref().map_or("?".to_owned(), for_eyes);
        writeln!(session.out, "{crc}\t{}\t{}\t{licence}\t{namespace}", for_eyes(name), for_eyes(owner))?;
    }
    Ok(())
}
