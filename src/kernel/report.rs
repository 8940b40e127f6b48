//! A report on a kernel for programs: each fact with its source, large ones as counts. And its symbols as lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::escape::for_eyes;
use crate::kernel::architecture::Architecture;
use crate::kernel::facts::{Certificate, Fact, Facts, Policy, StructMember, SymbolOwner};
use crate::kernel::imports::Imports;
use crate::kernel::model::Kernel;
use crate::kernel::name::KernelName;
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::tree::{Export, Exports, ModuleTree};
use crate::module::elf::{Class, Endian};
use crate::module::this_module::ModuleLayout;
use crate::text::JsonText;
use crate::vermagic::{Token, Vermagic};

/// A symbol that the image or a module exports.
#[derive(Clone, Debug)]
pub struct ListedSymbol<'k> {
    /// Its name.
    pub name: &'k str,
    /// `vmlinux` for the image, the name of a module, or `?` if it is not known.
    pub owner: &'k str,
    /// What is known of it.
    pub export: Export,
}

/// All symbols that image and modules export, by name, with those that are known only because modules import them.
pub fn symbols(facts: &Facts) -> Vec<ListedSymbol<'_>> {
    let of_image = facts.exports.iter().flat_map(|exports| &exports.value.symbols);
    let of_image =
        of_image.map(|(name, export)| ListedSymbol { name: name.as_str(), owner: "vmlinux", export: export.clone() });
    let of_modules = facts.tree.iter().flat_map(|tree| &tree.value.modules).flat_map(|module| {
        let exports = module.exports.iter();
        exports.map(|(name, export)| ListedSymbol { name, owner: &module.name, export: export.clone() })
    });
    let imported = facts.imports.iter().flat_map(|imports| imports.value.names()).filter_map(|name| {
        let is_listed = facts.exports.as_ref().is_some_and(|exports| exports.value.symbols.contains_key(name))
            || facts.tree.as_ref().is_some_and(|tree| tree.value.exporter(name).is_some());
        let known = facts.symbol(name, None).filter(|_| !is_listed)?;
        let owner = if known.owner == SymbolOwner::Image { "vmlinux" } else { "?" };
        let export = Export { crc: known.crc, gpl_only: known.gpl_only, namespace: known.namespace };
        Some(ListedSymbol { name, owner, export })
    });
    let mut all: Vec<ListedSymbol<'_>> = of_image.chain(of_modules).chain(imported).collect();
    all.sort_by_key(|symbol| (symbol.name, symbol.owner));
    all
}

/// The exports of image and modules as modpost writes them: one line per symbol, by name, with CRC, name, owner, kind and
/// namespace between tabs (`write_dump`, scripts/mod/modpost.c, 6.12). An owner is `vmlinux`, or a module's path in the build
/// tree without its ending. Without symbol versions each CRC is 0.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if anything in it is not known: a file that lacks a line would be taken for a complete one.
pub fn symvers_text(kernel: &Kernel) -> Result<String> {
    let unknown = |what: String| Error::new(ErrorKind::NotFound, what).on(kernel.name.to_string());
    let exports = kernel.facts.exports.as_ref().filter(|exports| exports.value.complete);
    let Some(Fact { value: exports, .. }) = exports else {
        let hint = "add the image of the same kernel, separated by +";
        return Err(unknown("the exports of its image are not all known".to_owned()).hint(hint));
    };
    let of_image = exports.symbols.iter().map(|(name, export)| (name, "vmlinux".to_owned(), export));
    let of_modules = kernel.facts.tree.iter().flat_map(|tree| &tree.value.modules).flat_map(|module| {
        let owner = owner(&module.file);
        module.exports.iter().map(move |(name, export)| (name, owner.clone(), export))
    });
    let mut all: Vec<(&String, String, &Export)> = of_image.chain(of_modules).collect();
    all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let has_crcs = all.iter().any(|(_, _, export)| export.crc.is_some());
    let mut lines = String::new();
    for (name, owner, export) in all {
        let (Some(gpl_only), Some(namespace)) = (export.gpl_only, &export.namespace) else {
            return Err(unknown(format!("licence or namespace of {} is not known", for_eyes(name))));
        };
        let crc = match export.crc {
            None if has_crcs => return Err(unknown(format!("the CRC of {} is not known", for_eyes(name)))),
            crc => crc.unwrap_or_default(),
        };
        let kind = if gpl_only { "EXPORT_SYMBOL_GPL" } else { "EXPORT_SYMBOL" };
        let _ =
            writeln!(lines, "{crc:#010x}\t{}\t{}\t{kind}\t{}", for_eyes(name), for_eyes(&owner), for_eyes(namespace));
    }
    Ok(lines)
}

/// A module's path in the tree that it was built in: `kernel/` stands for that tree (modules_install).
fn owner(file: &Path) -> String {
    let path = file.strip_prefix("kernel").unwrap_or(file).to_string_lossy().into_owned();
    path.rsplit_once(".ko").map(|(path, _)| path.to_owned()).unwrap_or(path)
}

/// A symbol for programs.
#[derive(Serialize)]
pub struct SymbolReport<'k> {
    name: &'k str,
    owner: &'k str,
    crc: Option<String>,
    gpl_only: Option<bool>,
    namespace: Option<&'k str>,
}

impl<'k> SymbolReport<'k> {
    /// The report on a symbol.
    pub fn of(symbol: &'k ListedSymbol<'_>) -> SymbolReport<'k> {
        SymbolReport {
            name: symbol.name,
            owner: symbol.owner,
            crc: symbol.export.crc.map(|crc| format!("{crc:#010x}")),
            gpl_only: symbol.export.gpl_only,
            namespace: symbol.export.namespace.as_deref(),
        }
    }
}

/// A kernel for programs.
#[derive(Serialize)]
pub struct KernelReport<'k> {
    schema_version: u32,
    kernel: &'k KernelName,
    release: Option<&'k Fact<String>>,
    banner: Option<&'k Fact<String>>,
    /// `null` where it is not known.
    vermagic: Option<VermagicFact<'k>>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_vermagic: Option<String>,
    machine: Option<Fact<MachineNames>>,
    fingerprint: Option<&'k Fact<ModuleLayout>>,
    layout: Option<&'k Fact<Vec<StructMember>>>,
    exports: Option<Fact<ExportsCount>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    imports: Option<Fact<ImportsCount>>,
    tree: Option<Fact<TreeCount>>,
    config: Option<&'k Fact<BTreeMap<String, String>>>,
    folders: Option<&'k Fact<BTreeSet<String>>>,
    messages: Option<&'k Fact<BTreeSet<String>>>,
    keys: Option<Fact<Vec<KeyNames>>>,
    btf: Option<Fact<BtfSize>>,
    policy: Option<&'k Fact<Policy>>,
    /// Sources that yield no fact, and contradictions.
    notes: &'k [Note],
}

#[derive(Serialize)]
struct VermagicFact<'k> {
    #[serde(flatten)]
    text: JsonText,
    tokens: Vec<TokenText>,
    source: &'k Origin,
}

#[derive(Serialize)]
struct TokenText {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct MachineNames {
    /// `null` where it is not known.
    class: Option<&'static str>,
    endian: Option<&'static str>,
    machine: String,
}

/// The exports of an image, counted.
#[derive(Serialize)]
pub struct ExportsCount {
    /// All symbols.
    pub symbols: usize,
    /// Are they all that the image exports?
    pub complete: bool,
    /// Symbols with a known CRC.
    pub crcs: usize,
    /// Symbols for GPL-compatible modules only; `null` if that is not known of any.
    pub gpl_only: Option<usize>,
    /// Namespaces; `null` if none is known.
    pub namespaces: Option<usize>,
}

/// The imports of modules, counted.
#[derive(Serialize)]
pub struct ImportsCount {
    /// All symbols.
    pub symbols: usize,
    /// How many of them are known to be the image's.
    pub of_image: usize,
    /// Symbols with a known CRC.
    pub crcs: usize,
}

impl ImportsCount {
    /// Counts them.
    pub fn of(imports: &Imports) -> ImportsCount {
        let known = || imports.names().filter_map(|name| imports.get(name, None));
        ImportsCount {
            symbols: imports.len(),
            of_image: known().filter(|import| import.is_of_image).count(),
            crcs: known().filter(|import| import.crc.is_some()).count(),
        }
    }
}

/// A module tree, counted.
#[derive(Serialize)]
pub struct TreeCount {
    /// All modules.
    pub modules: usize,
    /// Symbols that they export.
    pub exports: usize,
    /// `null` where they are not known.
    pub built_in: Option<usize>,
    /// Are these all modules that the kernel has? `null` where that is not known.
    pub complete: Option<bool>,
}

#[derive(Serialize)]
struct KeyNames {
    subject: String,
    serial: String,
    key_id: Option<String>,
}

#[derive(Serialize)]
struct BtfSize {
    bytes: usize,
}

/// A fact with its value in another form.
fn map_fact<T, U>(fact: &Option<Fact<T>>, form: impl FnOnce(&T) -> U) -> Option<Fact<U>> {
    fact.as_ref().map(|Fact { value, source }| Fact { value: form(value), source: source.clone() })
}

impl<'k> KernelReport<'k> {
    /// The report on a kernel.
    pub fn of(kernel: &'k Kernel) -> KernelReport<'k> {
        let facts = &kernel.facts;
        KernelReport {
            schema_version: 1,
            kernel: &kernel.name,
            release: facts.release.as_ref(),
            banner: facts.banner.as_ref(),
            vermagic: kernel.vermagic.as_ref().map(VermagicFact::of),
            no_vermagic: kernel.vermagic.is_none().then(|| kernel.why_no_vermagic().to_string()),
            machine: map_fact(&facts.machine, |machine| MachineNames::of(&Architecture::from(*machine)))
                .or_else(|| map_fact(&facts.architecture, MachineNames::of)),
            fingerprint: facts.fingerprint.as_ref(),
            layout: facts.layout.as_ref(),
            exports: map_fact(&facts.exports, ExportsCount::of),
            imports: map_fact(&facts.imports, ImportsCount::of),
            tree: map_fact(&facts.tree, TreeCount::of),
            config: facts.config.as_ref(),
            folders: facts.folders.as_ref(),
            messages: facts.messages.as_ref(),
            keys: map_fact(&facts.keys, |keys| keys.iter().map(KeyNames::of).collect()),
            btf: map_fact(&facts.btf, |btf| BtfSize { bytes: btf.len() }),
            policy: facts.policy.as_ref(),
            notes: &facts.notes,
        }
    }
}

impl<'k> VermagicFact<'k> {
    fn of(Fact { value, source }: &'k Fact<Vermagic>) -> VermagicFact<'k> {
        let token = |token: &Token| TokenText { kind: token.kind.name(), text: token.text.clone() };
        let tokens = value.tokens().iter().map(token).collect();
        VermagicFact { text: JsonText::of(value.as_bytes()), tokens, source }
    }
}

impl MachineNames {
    fn of(machine: &Architecture) -> MachineNames {
        MachineNames {
            class: machine.class.map(Class::name),
            endian: machine.endian.map(Endian::name),
            machine: machine.name(),
        }
    }
}

impl ExportsCount {
    /// What is not known of any symbol is not known; part of it counts as what is known.
    pub fn of(exports: &Exports) -> ExportsCount {
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
    /// Counts them.
    pub fn of(tree: &ModuleTree) -> TreeCount {
        TreeCount {
            modules: tree.modules.len(),
            exports: tree.modules.iter().map(|module| module.exports.len()).sum(),
            built_in: tree.knows_built_in().then_some(tree.built_in.len()),
            complete: tree.missing.as_ref().map(|_| tree.is_complete()),
        }
    }
}

impl KeyNames {
    fn of(key: &Certificate) -> KeyNames {
        KeyNames {
            subject: key.subject.clone(),
            serial: hex::encode(&key.serial),
            key_id: key.key_id.as_ref().map(hex::encode),
        }
    }
}
