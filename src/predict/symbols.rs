//! Imports: each undefined symbol must be exported by the kernel or a module, have the right CRC, and be available to the
//! module.
//!
//! `simplify_symbols`, `resolve_symbol`, `inherit_taint` and `verify_namespace_is_imported` (kernel/module/main.c 6.12;
//! kernel/module.c before 5.18). The errno is that of the last symbol that fails; each failing symbol has its own lines.

use std::collections::HashSet;

use crate::kernel::{KnownSymbol, Origin, SymbolOwner, TreeModule};
use crate::predict::arch;
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::LoadInfo;
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::symbol_versions::{Compared, Versions, line};
use crate::predict::verdict::LoaderStep;
use crate::template::Line;
use crate::text::grouped;

/// Special section indexes (include/uapi/linux/elf.h; SHN_LIVEPATCH is the kernel's own).
const SHN_UNDEF: u16 = 0;
const SHN_LIVEPATCH: u16 = 0xff20;
const SHN_ABS: u16 = 0xfff1;
const SHN_COMMON: u16 = 0xfff2;

/// The maximum number of symbols that a note names.
const NAMED: usize = 4;

/// The exporter of a symbol.
enum Exporter<'k> {
    /// The kernel image.
    Kernel(KnownSymbol<'k>),
    /// A module that is loaded or assumed to be loaded.
    Module(KnownSymbol<'k>, &'k TreeModule),
    /// The image or a module; it is not known which. The modules that the subject needs are assumed to be loaded.
    ImageOrModule(KnownSymbol<'k>),
    /// A module that is not loaded.
    NotLoaded(&'k str),
    /// Neither the kernel nor a loaded module exports it.
    NotExported,
    /// The facts do not show it.
    Unknown,
}

/// The first few of any number of names, and their number.
#[derive(Default)]
struct SymbolNames {
    first: Vec<String>,
    count: usize,
}

impl SymbolNames {
    fn push(&mut self, name: String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(name);
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The results that the step collects.
#[derive(Default)]
struct SymbolTally {
    resolved: usize,
    differing: SymbolNames,
    missing: SymbolNames,
    /// Modules that export missing symbols and are not loaded.
    not_loaded: Vec<String>,
    /// The image's exports are known completely.
    image_is_known: bool,
    other: SymbolNames,
    unknown: SymbolNames,
    /// Symbols that are exported, but not known by what: the image or a module.
    unknown_owner: SymbolNames,
    /// Symbols whose namespaces are not known.
    unknown_namespace: SymbolNames,
    /// Symbols for which the module has no CRC, and it is not known whether the kernel requires one.
    missing_crc: SymbolNames,
    /// Symbols in nonexistent sections, which the kernel does not check.
    invalid_section: SymbolNames,
    crc_unknown: usize,
    /// Imports that a kernel with CONFIG_MODULE_SIG_PROTECT may withhold from an unsigned module.
    protected: usize,
    source: Option<Origin>,
    /// The module has used a GPL-only symbol so far; `None` if that is not known for one of its symbols.
    uses_gpl_only: Option<bool>,
    /// The errno of the last symbol that fails.
    errno: Option<i32>,
    /// It is not known whether later symbols fail, and with which errno.
    is_open: bool,
}

impl SymbolTally {
    /// The number of open questions.
    fn open(&self) -> usize {
        let lists =
            [&self.unknown, &self.unknown_owner, &self.unknown_namespace, &self.missing_crc, &self.invalid_section];
        lists.iter().map(|list| list.count).sum::<usize>() + self.crc_unknown
    }
}

/// Checks all imports.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    module_namespaces(attempt, loaded, record)?;
    let versions = Versions::of(attempt, loaded);
    let imports: HashSet<&[u8]> = loaded.modinfo_all("import_ns").collect();
    let image = attempt.kernel.facts.exports.as_ref();
    let image_is_known = image.is_some_and(|exports| exports.value.complete);
    let mut tally = SymbolTally { image_is_known, uses_gpl_only: Some(false), ..SymbolTally::default() };
    let protects = record.is_unsigned && attempt.rules.surely(Rule::SigProtect);
    let machine = attempt.machine(loaded);
    for symbol in loaded.symbols() {
        let is_undefined = symbol.section == SHN_UNDEF;
        // A symbol that the architecture defines itself is not an import.
        let Some(name) =
            (if is_undefined { arch::import(machine, attempt.rules, symbol.name) } else { Some(symbol.name) })
        else {
            continue;
        };
        let name = String::from_utf8_lossy(name);
        let (open, errno_before) = (tally.open(), tally.errno.take());
        match symbol.section {
            SHN_UNDEF => {
                tally.protected += usize::from(protects);
                let failed =
                    undefined(attempt, loaded, (&versions, &imports), (&name, symbol.is_weak), record, &mut tally);
                if let Some(errno) = failed {
                    record.say(unknown_symbol(attempt, &loaded.own_name, &name, errno));
                    tally.errno = Some(errno);
                }
            }
            SHN_ABS | SHN_LIVEPATCH => {}
            SHN_COMMON if symbol.name.starts_with(b"__gnu_lto") => {}
            SHN_COMMON => {
                record.say(COMMON.line([&loaded.own_name]));
                tally.other.push(format!("{name} is a common symbol"));
                tally.errno = Some(errno::ENOEXEC);
            }
            index if index >= loaded.header.shnum => match attempt.rules.has(Rule::SymbolSectionIndex) {
                Some(true) => {
                    let most = loaded.header.shnum.saturating_sub(1);
                    record.say(SECTION_INDEX.line([&loaded.own_name, &name, &index, &most]));
                    tally.other.push(format!("{name} is in section {index}, which is not there"));
                    tally.errno = Some(errno::ENOEXEC);
                }
                _ => tally.invalid_section.push(format!("{name} in section {index}")),
            },
            _ => {}
        }
        tally.is_open = (tally.is_open || tally.open() > open) && tally.errno.is_none();
        tally.errno = tally.errno.or(errno_before);
    }
    if let Some(tree) = &attempt.kernel.facts.tree {
        record.needs = tree.value.in_load_order(&record.needs);
    }
    conclude(tally, record)
}

/// Checks one undefined symbol, and returns the errno if it fails.
fn undefined(
    attempt: &Attempt<'_>,
    loaded: &LoadInfo<'_>,
    (versions, imports): (&Versions<'_>, &HashSet<&[u8]>),
    (name, is_weak): (&str, bool),
    record: &mut AttemptRecord,
    tally: &mut SymbolTally,
) -> Option<i32> {
    // Assemblers emit this symbol, but no code needs it (ignore_undef_symbol).
    let ignores_got = match matches!(loaded.header.machine, 3 | 62) && name == "_GLOBAL_OFFSET_TABLE_" {
        true => attempt.rules.has(Rule::IgnoresGot),
        false => Some(false),
    };
    if ignores_got.is_none() {
        tally.unknown.push(format!("{name}, or does the loader ignore it, as stable kernels since 2021 do"));
        return None;
    }
    let is_ignored = ignores_got == Some(true);
    let mut proprietary = None;
    let known = match exporter(attempt, name, record) {
        Exporter::Kernel(known) => known,
        Exporter::Module(known, owner) => {
            if !record.needs.contains(&owner.name) {
                record.needs.push(owner.name.clone());
            }
            match attempt.kernel.facts.tree.as_ref().and_then(|tree| tree.value.is_proprietary(owner)) {
                Some(true) => proprietary = Some(owner.name.as_str()),
                None if !record.is_proprietary && attempt.rules.has(Rule::InheritsTaint) != Some(false) => {
                    record.taints_are_open = true;
                    tally.unknown.push(format!("{name} to it, of {}, whose licence is not known", owner.name));
                }
                _ => {}
            }
            known
        }
        Exporter::ImageOrModule(_) if is_weak || is_ignored => return None,
        Exporter::ImageOrModule(known) => {
            tally.unknown_owner.push(name.to_owned());
            known
        }
        Exporter::Unknown if is_weak || is_ignored => {
            record.undecided.insert(name.as_bytes().to_vec());
            return None;
        }
        Exporter::Unknown => {
            tally.unknown.push(name.to_owned());
            return None;
        }
        Exporter::NotLoaded(_) | Exporter::NotExported if is_weak || is_ignored => {
            record.unresolved.insert(name.as_bytes().to_vec());
            return None;
        }
        Exporter::NotLoaded(owner) => {
            if !tally.not_loaded.iter().any(|known| known == owner) {
                tally.not_loaded.push(owner.to_owned());
            }
            return Some(errno::ENOENT);
        }
        Exporter::NotExported => {
            tally.missing.push(name.to_owned());
            return Some(errno::ENOENT);
        }
    };
    tally.source.get_or_insert_with(|| known.source.clone());
    if record.is_proprietary {
        match known.gpl_only {
            Some(true) if is_weak => {
                record.unresolved.insert(name.as_bytes().to_vec());
                return None;
            }
            Some(true) => {
                tally.other.push(format!("{name} is for GPL-compatible modules only"));
                return Some(errno::ENOENT);
            }
            Some(false) => {}
            None => tally.unknown.push(format!("{name} (for GPL-compatible modules only?)")),
        }
    }
    tally.uses_gpl_only = match (tally.uses_gpl_only, known.gpl_only) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (before, Some(false)) => before,
        (_, None) => None,
    };
    if let Some(owner) = proprietary
        && !inherit(attempt, loaded, (name, owner), record, tally)
    {
        if is_weak {
            record.unresolved.insert(name.as_bytes().to_vec());
            return None;
        }
        return Some(errno::ENOENT);
    }
    if attempt.rules.has(Rule::Modversions) != Some(false) {
        let compared = versions.compare(attempt, loaded, (name, known.crc), record);
        if let Some(line) = line(compared, &loaded.own_name, name) {
            record.say(line);
        }
        match compared {
            Compared::Equal | Compared::Skipped | Compared::Forced => {}
            Compared::Differs { .. } => {
                tally.differing.push(name.to_owned());
                return Some(errno::EINVAL);
            }
            Compared::Missing => {
                tally.other.push(format!("it has no CRC of {name}"));
                return Some(errno::EINVAL);
            }
            Compared::CannotForce => {
                tally.other.push(format!("it has no CRC of {name}, and this kernel cannot be forced"));
                return Some(errno::EINVAL);
            }
            Compared::UnknownCrc => tally.crc_unknown += 1,
            // This is noted only once, at module_layout.
            Compared::UnknownForce => {}
            Compared::UnknownBuilder => tally.missing_crc.push(name.to_owned()),
        }
    }
    let errno = namespace(attempt, loaded, (name, &known), imports, record, tally);
    if errno.is_none() {
        tally.resolved += 1;
    }
    errno
}

/// `inherit_taint` (kernel/module/main.c, 6.12): a module that uses a symbol of a proprietary module becomes proprietary. If it
/// has used GPL-only symbols before, it cannot use that symbol. Returns whether it can.
fn inherit(
    attempt: &Attempt<'_>,
    loaded: &LoadInfo<'_>,
    (name, owner): (&str, &str),
    record: &mut AttemptRecord,
    tally: &mut SymbolTally,
) -> bool {
    let inherits = attempt.rules.has(Rule::InheritsTaint);
    if inherits == Some(false) {
        return true;
    }
    // The needed module has already tainted the kernel.
    record.taints.set('P');
    if inherits.is_none() {
        tally.unknown.push(format!("{name}, of the proprietary module {owner}, to a module of another licence"));
        return true;
    }
    let is_symbol_named = match attempt.rules.has(Rule::InheritedSymbol) {
        Some(false) => false,
        is_named => {
            if is_named.is_none() {
                record.unknown(
                    LoaderStep::Symbols,
                    "which line does it print about a proprietary module? (the kernel's image)",
                );
            }
            true
        }
    };
    let module = &loaded.own_name;
    match tally.uses_gpl_only {
        Some(true) => {
            record.say(match is_symbol_named {
                true => GPL_AND_PROPRIETARY.line([module, &name, &owner]),
                false => GPL_AND_PROPRIETARY_OLD.line([module, &owner]),
            });
            tally.other.push(format!("it uses GPL-only symbols, and {name} of the proprietary module {owner}"));
            return false;
        }
        None if !record.is_proprietary => {
            tally
                .unknown
                .push(format!("{name}, of the proprietary module {owner}, to a module that may use GPL-only symbols"));
        }
        _ => {}
    }
    if !record.is_proprietary {
        record.is_proprietary = true;
        record.say(match is_symbol_named {
            true => INHERITS.line([module, &name, &owner]),
            false => INHERITS_OLD.line([module, &owner]),
        });
    }
    true
}

fn exporter<'k>(attempt: &Attempt<'k>, name: &str, record: &AttemptRecord) -> Exporter<'k> {
    let facts = &attempt.kernel.facts;
    let image = facts.exports.as_ref().is_some_and(|exports| exports.value.complete);
    let Some(known) = facts.symbol(name, attempt.own) else {
        // The linker defines this name, so nothing exports it.
        if name == "_GLOBAL_OFFSET_TABLE_" {
            return Exporter::NotExported;
        }
        let has_all_modules = attempt.load.alone || facts.tree.as_ref().is_some_and(|tree| tree.value.is_complete());
        return if image && has_all_modules { Exporter::NotExported } else { Exporter::Unknown };
    };
    match known.owner {
        SymbolOwner::Image => Exporter::Kernel(known),
        SymbolOwner::Module(module) => {
            let is_there = facts.policy.iter().any(|policy| policy.value.loaded.contains(&module.name));
            if is_there || !attempt.load.alone || record.needs.contains(&module.name) {
                return Exporter::Module(known, module);
            }
            // A module of the kernel's own build exports it, so the image does not.
            match image || !module.is_added {
                true => Exporter::NotLoaded(&module.name),
                false => Exporter::Unknown,
            }
        }
        // The image does not export it, and no module is loaded.
        SymbolOwner::ImageOrModule if image && attempt.load.alone => Exporter::NotExported,
        SymbolOwner::ImageOrModule if attempt.load.alone => Exporter::Unknown,
        SymbolOwner::ImageOrModule => Exporter::ImageOrModule(known),
    }
}

/// Checks that the module imports the namespace of a symbol.
fn namespace(
    attempt: &Attempt<'_>,
    loaded: &LoadInfo<'_>,
    (name, known): (&str, &KnownSymbol<'_>),
    imports: &HashSet<&[u8]>,
    record: &mut AttemptRecord,
    tally: &mut SymbolTally,
) -> Option<i32> {
    if attempt.rules.has(Rule::Namespaces) == Some(false) {
        return None;
    }
    let Some(namespace) = known.namespace.as_deref() else {
        // A module that uses the symbol has imported its namespace, if there is one.
        let imports_all = |theirs: &&[String]| theirs.iter().all(|theirs| imports.contains(theirs.as_bytes()));
        if !known.users.iter().any(imports_all) {
            tally.unknown_namespace.push(name.to_owned());
        }
        return None;
    };
    if namespace.is_empty() || imports.contains(namespace.as_bytes()) {
        return None;
    }
    match attempt.rules.has(Rule::ModuleNamespaces) {
        Some(true) if is_for_module(namespace, &loaded.own_name) => return None,
        None if is_for_module(namespace, &loaded.own_name) => {
            tally.unknown.push(format!("{name} (does the kernel know namespaces for named modules? its image)"));
            return None;
        }
        _ => {}
    }
    record.say(NAMESPACE.line([&loaded.own_name, &name, &namespace]));
    match attempt.rules.has(Rule::NamespacesOptional) {
        Some(true) => None,
        // Distributions leave the option off; if it is on, the line is the same.
        Some(false) => {
            tally.other.push(format!("{name} is in the namespace {namespace}, which it does not import"));
            Some(errno::EINVAL)
        }
        None => {
            tally.unknown.push(format!("{name} (CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS)"));
            None
        }
    }
}

/// Is this a namespace for named modules, and does it name this module (`verify_module_namespace`, 6.16)?
fn is_for_module(namespace: &str, module: &str) -> bool {
    let Some(patterns) = namespace.strip_prefix("module:") else { return false };
    let plain = |name: &str| name.replace('-', "_");
    patterns.split(',').any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => plain(module).starts_with(&plain(start)),
        None => plain(module) == plain(pattern),
    })
}

/// Namespaces for named modules cannot be imported (`setup_modinfo`, 6.16).
fn module_namespaces(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let is_known = attempt.rules.has(Rule::ModuleNamespaces);
    if is_known == Some(false) {
        return Ok(());
    }
    let Some(found) = loaded.modinfo_all("import_ns").find(|namespace| namespace.starts_with(b"module:")) else {
        return Ok(());
    };
    let found = String::from_utf8_lossy(found).into_owned();
    if is_known.is_none() {
        let note = format!("it imports {found}: does the kernel refuse namespaces for named modules? (its image)");
        record.unknown(LoaderStep::Symbols, note);
        return Ok(());
    }
    record.say(MODULE_NAMESPACE.line([&loaded.own_name, &found]));
    record.fail(LoaderStep::Symbols, errno::EPERM, format!("it imports {found}, which is for named modules"), None)
}

/// The line about a symbol that was not found or not accepted.
fn unknown_symbol(attempt: &Attempt<'_>, module: &str, symbol: &str, errno: i32) -> Line {
    let errno = match (attempt.rules.since_patch((2, 6, 35)), attempt.rules.has(Rule::UnknownSymbolError)) {
        (Some(false), _) => return UNKNOWN_WITHOUT_ERROR.line([&module, &symbol]),
        // Up to 4.14 a symbol without an exporter does not have an errno of its own.
        (_, Some(false)) if errno == self::errno::ENOENT => 0,
        _ => errno.wrapping_neg(),
    };
    UNKNOWN.line([&module, &symbol, &errno])
}

/// Records the finding.
fn conclude(tally: SymbolTally, record: &mut AttemptRecord) -> Flow {
    let source = tally.source.as_ref();
    let mut reasons = Vec::new();
    if !tally.missing.is_empty() {
        reasons.push(format!("neither the kernel nor a module exports {}", named(&tally.missing)));
    }
    if !tally.not_loaded.is_empty() {
        reasons.push(format!("it needs modules that are not loaded: {}", tally.not_loaded.join(" ")));
    }
    if !tally.differing.is_empty() {
        let count = tally.resolved + tally.differing.count;
        reasons.push(format!("{} of {count} CRCs differ: {}", tally.differing.count, named(&tally.differing)));
    }
    if !tally.other.is_empty() {
        reasons.push(named(&tally.other));
    }
    open_questions(&tally, record);
    if let Some(errno) = tally.errno {
        if tally.is_open {
            record.otherwise.extend([errno::ENOENT, errno::EINVAL]);
        }
        return record.fail(LoaderStep::Symbols, errno, reasons.join("; "), source);
    }
    if tally.open() == 0 && tally.protected == 0 && tally.resolved > 0 {
        let note = match record.needs.as_slice() {
            [] => format!("all {} are exported", tally.resolved),
            needs => format!("all {} are exported; needs: {}", tally.resolved, needs.join(" ")),
        };
        record.pass(LoaderStep::Symbols, note, source);
    }
    Ok(())
}

/// Records the open questions, each with the fact that would answer it.
fn open_questions(tally: &SymbolTally, record: &mut AttemptRecord) {
    if tally.protected > 0 {
        let note = format!(
            "this kernel hides symbols from modules that it cannot verify (CONFIG_MODULE_SIG_PROTECT; not \
             measured): are all \
             {} imports on its list? Each one that is not causes an \"Unknown symbol … (err -13)\", and an empty list allows all (see the list that it was built with, android/abi_gki_aarch64)",
            tally.protected
        );
        record.unknown(LoaderStep::Symbols, note);
    }
    if !tally.invalid_section.is_empty() {
        record.otherwise.push(errno::ENOEXEC);
        let note = format!(
            "{}: the symbol's section does not exist, and this kernel does not check that",
            named(&tally.invalid_section)
        );
        record.unknown(LoaderStep::Symbols, note);
    }
    if !tally.missing_crc.is_empty() {
        let note = format!(
            "it has no CRC of {}; who built the kernel? (its version line: Debian's kernels refuse that, upstream's \
             warn)",
            named(&tally.missing_crc)
        );
        record.unknown(LoaderStep::Symbols, note);
    }
    if !tally.unknown.is_empty() {
        let what = match tally.image_is_known {
            true => "its complete module tree; for a bare insmod, ask about loading without other modules",
            false => "its image for the kernel's own symbols, its module tree for the others",
        };
        let note = format!("does the kernel or a module export {}? ({what})", named(&tally.unknown));
        record.unknown(LoaderStep::Symbols, note);
    }
    if !tally.unknown_owner.is_empty() {
        let note = format!(
            "is {} exported by the kernel, or by a module that it then needs? (its image, or its complete module tree)",
            named(&tally.unknown_owner)
        );
        record.unknown(LoaderStep::Symbols, note);
    }
    if !tally.unknown_namespace.is_empty() {
        let note = format!(
            "is {} in a namespace that the module does not import? (its image, or its Module.symvers)",
            named(&tally.unknown_namespace)
        );
        record.unknown(LoaderStep::Symbols, note);
    }
    if tally.crc_unknown > 0 && tally.unknown.is_empty() {
        let note = format!("do the CRCs of {} symbols agree? (its image, or its Module.symvers)", tally.crc_unknown);
        record.unknown(LoaderStep::Symbols, note);
    }
}

/// The first few names, and the number of the others.
fn named(names: &SymbolNames) -> String {
    let mut text = names.first.join(", ");
    if let Some(more) = names.count.checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!(" and {} more", grouped(more as u64)));
    }
    text
}

messages! {
    Some(LoaderStep::Symbols);
    /// Up to 2.6.34.
    UNKNOWN_WITHOUT_ERROR[2] Effect::Refuses(errno::ENOENT), Availability::Always,
        "{module}: Unknown symbol {symbol}",
        "no loaded module and not the kernel itself gives it {symbol}";
    UNKNOWN[3] Effect::Refuses(errno::ENOENT), Availability::Always,
        "{module}: Unknown symbol {symbol} (err {error:d})",
        "the kernel does not give it {symbol}";
    COMMON[1] Effect::Refuses(errno::ENOEXEC), Availability::Always,
        "{module}: please compile with -fno-common",
        "it has a common symbol, which the loader does not place";
    SECTION_INDEX[4] Effect::Refuses(errno::ENOEXEC), Availability::Rule(Rule::SymbolSectionIndex),
        "{module}: Symbol {symbol} has an invalid section index {index:d} (max {most:d})",
        "its symbol {symbol} is in section {index}, and there are {most}";
    GPL_AND_PROPRIETARY[3] Effect::Precedes, Availability::Rule(Rule::InheritedSymbol),
        "{module}: module using GPL-only symbols uses symbols {symbol} from proprietary module {owner}.",
        "it uses GPL-only symbols and {symbol} of the proprietary module {owner}; the kernel gives it only one kind";
    GPL_AND_PROPRIETARY_OLD[2] Effect::Precedes, Availability::Not(&Availability::Rule(Rule::InheritedSymbol)),
        "{module}: module using GPL-only symbols uses symbols from proprietary module {owner}.",
        "it uses GPL-only symbols and symbols of the proprietary module {owner}; the kernel gives it only one kind";
    INHERITS[3] Effect::Taints('P'), Availability::Rule(Rule::InheritedSymbol),
        "{module}: module uses symbols {symbol} from proprietary module {owner}, inheriting taint.",
        "it uses {symbol} of the proprietary module {owner}, and counts as proprietary itself";
    INHERITS_OLD[2] Effect::Taints('P'), Availability::Not(&Availability::Rule(Rule::InheritedSymbol)),
        "{module}: module uses symbols from proprietary module {owner}, inheriting taint.",
        "it uses symbols of the proprietary module {owner}, and counts as proprietary itself";
    NAMESPACE[3] Effect::Precedes, Availability::Rule(Rule::Namespaces),
        "{module}: module uses symbol ({symbol}) from namespace {namespace:*}, but does not import it.",
        "{symbol} is in the namespace {namespace}, which the module does not import (MODULE_IMPORT_NS)";
    MODULE_NAMESPACE[2] Effect::Refuses(errno::EPERM), Availability::Rule(Rule::ModuleNamespaces),
        "{module}: module tries to import module namespace: {namespace:*}",
        "it imports {namespace}, which is reserved for named modules";
}
