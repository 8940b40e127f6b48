//! `kernel`: what is known of a kernel, each fact with where it was read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::output::{self, Failure, Paint, Session, Text, count, grouped, waiting};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind};
use crate::escape::for_eyes;
use crate::kernel::{
    self, Architecture, Certificate, Export, Exports, Fact, Facts, Imports, Kernel, KernelName, ModuleTree, Note,
    Origin, Policy, StructMember, SymbolOwner,
};
use crate::module::elf::{Class, Endian};
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
        write_symvers(&kernel, session)?;
        return Ok(Status::Done);
    }
    match (args.symbols, args.json) {
        (true, json) => list_symbols(&kernel.facts, json, session)?,
        (false, true) => session.json(&Shown::of(&kernel))?,
        (false, false) => print(&kernel, session)?,
    }
    Ok(Status::Done)
}

/// The sources, numbered in the order in which they are used, so that a long path is printed once.
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
    // Who knows all exports of the image needs no conclusions.
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

/// One fact: its lines, and behind the first the number of its source.
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
    let told = ExportsCount::of(exports);
    let known = |number: Option<usize>, what: &str| match number {
        Some(number) => format!("{} {what}", grouped(number as u64)),
        None => format!("{what}: not known"),
    };
    let first = match exports.complete {
        true => count(told.symbols, "symbol"),
        false => format!("{} known, not all that there are", count(told.symbols, "symbol")),
    };
    let crcs = match told.crcs {
        0 => "no CRCs".to_owned(),
        all if all == told.symbols => "all with a CRC".to_owned(),
        some => format!("{} with a CRC", grouped(some as u64)),
    };
    let namespaces = told.namespaces.map_or("namespaces: not known".to_owned(), |number| count(number, "namespace"));
    vec![format!("{first}, {crcs}"), format!("{}, {namespaces}", known(told.gpl_only, "GPL-only"))]
}

/// What modules import, and of how much of that it is known that the image exports it.
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
    let told = |what: &str, on: Option<bool>| match on {
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
            told("signatures enforced", policy.sig_enforce),
            told("locked down", policy.locked_down),
            told("modules disabled", policy.modules_disabled),
        ]
        .join(", "),
        format!("{blacklist}, {} in /sys/module", count(policy.loaded.len(), "module")),
    ]
}

/// All symbols that image and modules export, by name.
fn list_symbols(facts: &Facts, json: bool, session: &mut Session<'_>) -> Result<(), Failure> {
    let of_image = facts.exports.iter().flat_map(|exports| &exports.value.symbols);
    let of_modules = facts.tree.iter().flat_map(|tree| &tree.value.modules);
    let of_modules =
        of_modules.flat_map(|module| module.exports.iter().map(|(name, export)| (name, module.name.as_str(), export)));
    let imported = facts.imports.iter().flat_map(|imports| imports.value.names()).filter_map(|name| {
        let is_listed = facts.exports.as_ref().is_some_and(|exports| exports.value.symbols.contains_key(name))
            || facts.tree.as_ref().is_some_and(|tree| tree.value.exporter(name).is_some());
        let known = facts.symbol(name, None).filter(|_| !is_listed)?;
        let owner = if known.owner == SymbolOwner::Image { "vmlinux" } else { "?" };
        Some((name, owner, Export { crc: known.crc, gpl_only: known.gpl_only, namespace: known.namespace }))
    });
    let imported: Vec<(&str, &str, Export)> = imported.collect();
    let imported = imported.iter().map(|(name, owner, export)| (*name, *owner, export));
    let all = of_image.map(|(name, export)| (name.as_str(), "vmlinux", export));
    let all = all.chain(of_modules.map(|(name, owner, export)| (name.as_str(), owner, export))).chain(imported);
    let mut all: Vec<(&str, &str, &Export)> = all.collect();
    all.sort_by_key(|(name, owner, _)| (*name, *owner));
    for (name, owner, export) in all {
        if json {
            session.json(&ShownSymbol::of(name, owner, export))?;
            continue;
        }
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

/// The exports of image and modules, by name, as modpost writes them: CRC, name, owner, kind and namespace with tabs between
/// them (`write_dump`, scripts/mod/modpost.c, 6.12). An owner is `vmlinux`, or a module's path in the build tree, without
/// its ending. Without symbol versions each CRC is 0.
fn write_symvers(kernel: &Kernel, session: &mut Session<'_>) -> Result<(), Failure> {
    let unknown = |what: String| Error::new(ErrorKind::NotFound, what).on(kernel.name.to_string());
    let exports = kernel.facts.exports.as_ref().filter(|exports| exports.value.complete);
    let Some(Fact { value: exports, .. }) = exports else {
        return Err(unknown("the exports of its image are not all known".to_owned())
            .hint("add the image: K+IMAGE")
            .into());
    };
    let of_image = exports.symbols.iter().map(|(name, export)| (name, "vmlinux".to_owned(), export));
    let of_modules = kernel.facts.tree.iter().flat_map(|tree| &tree.value.modules).flat_map(|module| {
        let owner = owner(&module.file);
        module.exports.iter().map(move |(name, export)| (name, owner.clone(), export))
    });
    let mut all: Vec<(&String, String, &Export)> = of_image.chain(of_modules).collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let has_crcs = all.iter().any(|(_, _, export)| export.crc.is_some());
    // All or nothing: a file that lacks a line would be taken for a whole one.
    let mut lines = String::new();
    for (name, owner, export) in all {
        let (Some(gpl_only), Some(namespace)) = (export.gpl_only, &export.namespace) else {
            return Err(unknown(format!("licence or namespace of {} is not known", for_eyes(name))).into());
        };
        let crc = match export.crc {
            None if has_crcs => return Err(unknown(format!("the CRC of {} is not known", for_eyes(name))).into()),
            crc => crc.unwrap_or_default(),
        };
        let kind = if gpl_only { "EXPORT_SYMBOL_GPL" } else { "EXPORT_SYMBOL" };
        let _ =
            writeln!(lines, "{crc:#010x}\t{}\t{}\t{kind}\t{}", for_eyes(name), for_eyes(&owner), for_eyes(namespace));
    }
    session.out.write_all(lines.as_bytes())?;
    Ok(())
}

/// A module's path in the tree that it was built in: `kernel/` stands for that tree (modules_install).
fn owner(file: &Path) -> String {
    let path = file.strip_prefix("kernel").unwrap_or(file).to_string_lossy().into_owned();
    path.rsplit_once(".ko").map(|(path, _)| path.to_owned()).unwrap_or(path)
}

#[derive(Serialize)]
struct ShownSymbol<'k> {
    name: &'k str,
    owner: &'k str,
    crc: Option<String>,
    gpl_only: Option<bool>,
    namespace: Option<&'k str>,
}

impl<'k> ShownSymbol<'k> {
    fn of(name: &'k str, owner: &'k str, export: &'k Export) -> ShownSymbol<'k> {
        ShownSymbol {
            name,
            owner,
            crc: export.crc.map(|crc| format!("{crc:#010x}")),
            gpl_only: export.gpl_only,
            namespace: export.namespace.as_deref(),
        }
    }
}

/// A kernel as JSON.
#[derive(Serialize)]
struct Shown<'k> {
    schema_version: u32,
    kernel: &'k KernelName,
    release: Option<&'k Fact<String>>,
    banner: Option<&'k Fact<String>>,
    /// `null` where it is not known.
    vermagic: Option<ShownVermagic<'k>>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_vermagic: Option<String>,
    machine: Option<Fact<ShownMachine>>,
    fingerprint: Option<&'k Fact<ModuleLayout>>,
    layout: Option<&'k Fact<Vec<StructMember>>>,
    exports: Option<Fact<ExportsCount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imports: Option<Fact<ImportsCount>>,
    tree: Option<Fact<TreeCount>>,
    config: Option<&'k Fact<BTreeMap<String, String>>>,
    folders: Option<&'k Fact<BTreeSet<String>>>,
    messages: Option<&'k Fact<BTreeSet<String>>>,
    keys: Option<Fact<Vec<ShownKey>>>,
    btf: Option<Fact<ShownBtf>>,
    policy: Option<&'k Fact<Policy>>,
    /// What was there but tells nothing, and why.
    notes: &'k [Note],
}

#[derive(Serialize)]
struct ShownVermagic<'k> {
    #[serde(flatten)]
    text: Text,
    tokens: Vec<ShownToken>,
    source: &'k Origin,
}

#[derive(Serialize)]
struct ShownToken {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct ShownMachine {
    /// `null` where it is not known.
    class: Option<&'static str>,
    endian: Option<&'static str>,
    machine: String,
}

#[derive(Serialize)]
struct ExportsCount {
    symbols: usize,
    complete: bool,
    crcs: usize,
    gpl_only: Option<usize>,
    namespaces: Option<usize>,
}

#[derive(Serialize)]
struct ImportsCount {
    symbols: usize,
    /// How many of them are known to be the image's.
    of_image: usize,
    crcs: usize,
}

impl ImportsCount {
    fn of(imports: &Imports) -> ImportsCount {
        let known = || imports.names().filter_map(|name| imports.get(name, None));
        ImportsCount {
            symbols: imports.len(),
            of_image: known().filter(|import| import.is_of_image).count(),
            crcs: known().filter(|import| import.crc.is_some()).count(),
        }
    }
}

#[derive(Serialize)]
struct TreeCount {
    modules: usize,
    exports: usize,
    /// `null` where they are not known.
    built_in: Option<usize>,
    /// Are these all modules that the kernel has? `null` where that is not known.
    complete: Option<bool>,
}

#[derive(Serialize)]
struct ShownKey {
    subject: String,
    serial: String,
    key_id: Option<String>,
}

#[derive(Serialize)]
struct ShownBtf {
    bytes: usize,
}

/// A fact with its value in another form.
fn shown<T, U>(fact: &Option<Fact<T>>, form: impl FnOnce(&T) -> U) -> Option<Fact<U>> {
    fact.as_ref().map(|Fact { value, source }| Fact { value: form(value), source: source.clone() })
}

impl<'k> Shown<'k> {
    fn of(kernel: &'k Kernel) -> Shown<'k> {
        let facts = &kernel.facts;
        Shown {
            schema_version: 1,
            kernel: &kernel.name,
            release: facts.release.as_ref(),
            banner: facts.banner.as_ref(),
            vermagic: kernel.vermagic.as_ref().map(ShownVermagic::of),
            no_vermagic: kernel.vermagic.is_none().then(|| kernel.why_no_vermagic().to_string()),
            machine: shown(&facts.machine, |machine| ShownMachine::of(&Architecture::from(*machine)))
                .or_else(|| shown(&facts.architecture, ShownMachine::of)),
            fingerprint: facts.fingerprint.as_ref(),
            layout: facts.layout.as_ref(),
            exports: shown(&facts.exports, ExportsCount::of),
            imports: shown(&facts.imports, ImportsCount::of),
            tree: shown(&facts.tree, TreeCount::of),
            config: facts.config.as_ref(),
            folders: facts.folders.as_ref(),
            messages: facts.messages.as_ref(),
            keys: shown(&facts.keys, |keys| keys.iter().map(ShownKey::of).collect()),
            btf: shown(&facts.btf, |btf| ShownBtf { bytes: btf.len() }),
            policy: facts.policy.as_ref(),
            notes: &facts.notes,
        }
    }
}

impl<'k> ShownVermagic<'k> {
    fn of(Fact { value, source }: &'k Fact<Vermagic>) -> ShownVermagic<'k> {
        let token = |token: &crate::vermagic::Token| ShownToken { kind: token.kind.name(), text: token.text.clone() };
        let tokens = value.tokens().iter().map(token).collect();
        ShownVermagic { text: Text::of(value.as_bytes()), tokens, source }
    }
}

impl ShownMachine {
    fn of(machine: &Architecture) -> ShownMachine {
        ShownMachine {
            class: machine.class.map(Class::name),
            endian: machine.endian.map(Endian::name),
            machine: machine.name(),
        }
    }
}

impl ExportsCount {
    /// What is not known of any symbol is not known; part of it counts as what is known.
    fn of(exports: &Exports) -> ExportsCount {
        let all = || exports.symbols.values();
        let namespaces: BTreeSet<&str> = all().filter_map(|export| export.namespace.as_deref()).collect();
        let knows_licence = all().any(|export| export.gpl_only.is_some());
        ExportsCount {
            symbols: exports.symbols.len(),
            complete: exports.complete,
            crcs: all().filter(|export| export.crc.is_some()).count(),
            gpl_only: knows_licence.then(|| all().filter(|export| export.gpl_only == Some(true)).count()),
            namespaces: (!namespaces.is_empty()).then(|| namespaces.iter().filter(|name| !name.is_empty()).count()),
        }
    }
}

impl TreeCount {
    fn of(tree: &ModuleTree) -> TreeCount {
        TreeCount {
            modules: tree.modules.len(),
            exports: tree.modules.iter().map(|module| module.exports.len()).sum(),
            built_in: tree.knows_built_in().then_some(tree.built_in.len()),
            complete: tree.missing.as_ref().map(|_| tree.is_complete()),
        }
    }
}

impl ShownKey {
    fn of(key: &Certificate) -> ShownKey {
        ShownKey {
            subject: key.subject.clone(),
            serial: hex::encode(&key.serial),
            key_id: key.key_id.as_ref().map(hex::encode),
        }
    }
}
