//! A module's exports: they need CRCs or flags, and no symbol may be exported twice.
//!
//! `check_module_license_and_versions` and `verify_export_symbols` (kernel/module.c 5.10), `check_export_symbol_versions` and
//! `verify_exported_symbols` (kernel/module/main.c 6.12), `check_export_symbol_sections` (7.2). Duplicates are checked after
//! all relocations are applied.

use crate::kernel::{Machine, OwnImports, SymbolOwner};
use crate::predict::arch::RelocationEntry;
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::load_info::machine_of;
use crate::predict::load_info::{LoadInfo, SHT_REL, SHT_RELA, SectionHeader, number, string};
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::taints::force;
use crate::predict::verdict::LoaderStep;
use crate::predict::{errno, relocations};

/// The tables of exports, and the tables of their CRCs.
const TABLES: [(&str, &str); 2] = [("__ksymtab", "__kcrctab"), ("__ksymtab_gpl", "__kcrctab_gpl")];

/// The tables that kernels with a table of flags ignore, with a log line.
const OBSOLETE: [&str; 2] = ["__ksymtab_gpl", "__kcrctab_gpl"];

/// Size of a relative reference (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS, include/linux/export.h).
const DISTANCE: usize = 4;

/// Checks the tables that accompany the exports: CRCs and flags.
pub(super) fn companions(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let has = |name: &str| loaded.find(name).is_some_and(|section| section.size > 0);
    let flags = attempt.rules.has(Rule::ExportFlags);
    if flags == Some(true) {
        for obsolete in OBSOLETE {
            if loaded.find(obsolete).is_some() {
                record.say(OBSOLETE_SECTION.line([&loaded.own_name, &obsolete]));
            }
        }
        if has("__ksymtab") && loaded.find("__kflagstab").is_none() {
            record.say(NO_FLAGS.line([&loaded.own_name]));
            let note =
                "it exports symbols, but has no table of their flags (__kflagstab), which kernels require from 7.1 on";
            return record.fail(LoaderStep::Exports, errno::ENOEXEC, note, None);
        }
    }
    if attempt.rules.has(Rule::Modversions) != Some(true) {
        return Ok(());
    }
    let tables = TABLES.iter().take(if flags == Some(true) { 1 } else { 2 });
    let is_bare = tables.clone().any(|(table, crcs)| has(table) && loaded.find(crcs).is_none());
    if !is_bare {
        return Ok(());
    }
    match force(attempt, &loaded.own_name, "no versions for exported symbols", record) {
        Some(true) => {
            record.skip(LoaderStep::Exports, "it exports symbols without CRCs: it passes, and taints F");
            Ok(())
        }
        Some(false) => {
            let note = "it exports symbols without CRCs, and this kernel cannot be forced";
            record.fail(LoaderStep::Exports, errno::ENOEXEC, note, None)
        }
        None => {
            let note = "it exports symbols without CRCs; can the kernel be forced? (CONFIG_MODULE_FORCE_LOAD)";
            record.unknown(LoaderStep::Exports, note);
            Ok(())
        }
    }
}

/// Checks that neither the kernel nor another module exports the same symbol.
pub(super) fn duplicates(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let names = exported(attempt, loaded);
    if let Some(first) = names.first()
        && record.is_unsigned
        && attempt.rules.surely(Rule::SigProtect)
    {
        let note = format!(
            "this kernel protects the exports of its own modules (CONFIG_MODULE_SIG_PROTECT; not measured): is \
             {first} one \
             of them? Then it prints \"exports protected symbol\" and returns EACCES (13) (the list that it was built with, \
             android/abi_gki_protected_exports_*)"
        );
        record.unknown(LoaderStep::Exports, note);
    }
    if !has_relocated_names(attempt, loaded) {
        // The loader reads a name at offset 0 or at address 0 (kernel_symbol_name, kernel/module/internal.h).
        let note = "its table of exports has no relocations, so it names nothing: what does the loader find there?";
        record.unknown(LoaderStep::Exports, note);
        return Ok(());
    }
    if names.is_empty() {
        return Ok(());
    }
    let facts = &attempt.kernel.facts;
    let is_complete = facts.exports.as_ref().is_some_and(|exports| exports.value.complete);
    let mut source = facts.exports.as_ref().map(|exports| &exports.source);
    let has_other_witnesses = facts.imports.is_some() && !attempt.own.is_some_and(OwnImports::is_only_witness);
    let mut unknown = Vec::new();
    for name in &names {
        let known = facts.symbol(name, attempt.own);
        match known.as_ref().map(|known| (known.owner, known.source)) {
            Some((SymbolOwner::Image, source)) => {
                record.say(DUPLICATE.line([&loaded.own_name, name, &"kernel"]));
                let note = format!("it exports {name}, which the kernel exports itself");
                return record.fail(LoaderStep::Exports, errno::ENOEXEC, note, Some(source));
            }
            Some((SymbolOwner::Module(owner), tree)) => {
                let is_loaded = facts.policy.iter().any(|policy| policy.value.loaded.contains(&owner.name))
                    || record.needs.contains(&owner.name);
                if owner.name != loaded.name && is_loaded {
                    record.say(DUPLICATE.line([&loaded.own_name, name, &owner.name]));
                    let note = format!("it exports {name}, which {} exports", owner.name);
                    return record.fail(LoaderStep::Exports, errno::ENOEXEC, note, Some(tree));
                }
                // The image does not export the symbols of a module from the kernel's build; but a module is not evidence about
                // itself.
                let is_itself = owner.name == loaded.name && !has_other_witnesses;
                match is_complete || !(owner.is_added || is_itself) {
                    true => {
                        source.get_or_insert(tree);
                    }
                    false => unknown.push(name),
                }
            }
            Some((SymbolOwner::ImageOrModule, _)) | None if is_complete => {}
            Some((SymbolOwner::ImageOrModule, _)) | None => unknown.push(name),
        }
    }
    match unknown.as_slice() {
        [] => {
            let note = format!("{} of its own, which the kernel does not have", counted(names.len(), "export"));
            record.pass(LoaderStep::Exports, note, source);
        }
        [one] => record.unknown(LoaderStep::Exports, format!("does the kernel export {one} itself? (its image)")),
        [one, more @ ..] => {
            let note = format!("does the kernel export {one} or {} more itself? (its image)", more.len());
            record.unknown(LoaderStep::Exports, note);
        }
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The sections of the export tables that this kernel reads.
fn tables(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> Vec<usize> {
    let one_table = attempt.rules.has(Rule::ExportFlags) == Some(true);
    let names = TABLES.iter().take(if one_table { 1 } else { 2 });
    let sections = || loaded.sections.iter().enumerate().skip(1);
    let index =
        |name: &str| sections().find(|(_, section)| section.is_alloc() && loaded.name_of(section) == name.as_bytes());
    names.filter_map(|(table, _)| Some(index(table)?.0)).collect()
}

/// Do relocations fill in the names in each table, as in a module that was built normally?
fn has_relocated_names(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> bool {
    let is_relocated = |table: usize| {
        let mut all = loaded.sections.iter();
        all.any(|section| matches!(section.kind, SHT_REL | SHT_RELA) && section.info as usize == table)
    };
    let is_empty = |table: usize| loaded.sections.get(table).is_none_or(|section| section.size == 0);
    tables(attempt, loaded).into_iter().all(|table| is_empty(table) || is_relocated(table))
}

/// The names that the loader considers exported, in the order of the tables.
fn exported(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> Vec<String> {
    let machine =
        attempt.kernel.facts.machine.as_ref().map_or_else(|| machine_of(loaded.file), |machine| machine.value);
    tables(attempt, loaded).into_iter().flat_map(|table| names_in(loaded, table, machine)).collect()
}

fn names_in(loaded: &LoadInfo<'_>, index: usize, machine: Machine) -> Vec<String> {
    let mut names = by_relocation(loaded, index, machine);
    if names.is_empty() {
        names = by_symbol(loaded, index);
    }
    names
}

/// The strings to which the entries point. An entry has the value, the name, and, from 5.4 on, the namespace
/// (include/linux/export.h, `struct kernel_symbol`): 32-bit relative references, or pointers. With REL the addend is in the
/// table.
fn by_relocation(loaded: &LoadInfo<'_>, table: usize, machine: Machine) -> Vec<String> {
    let is_for_it =
        |section: &&SectionHeader| matches!(section.kind, SHT_REL | SHT_RELA) && section.info as usize == table;
    let (Some(section), Some(entries)) = (loaded.sections.iter().find(is_for_it), loaded.sections.get(table)) else {
        return Vec::new();
    };
    let has_addends = section.kind == SHT_RELA;
    let all: Vec<RelocationEntry> = relocations::relocations(loaded, section, machine, has_addends).collect();
    let word = loaded.header.class.word();
    let member = if all.iter().any(|one| one.offset % word as u64 != 0) { DISTANCE } else { word };
    let size = match by_symbol(loaded, table).len() as u64 {
        0 => 3 * member as u64,
        count => entries.size / count,
    };
    let (symbols, content) = (loaded.symbols_with_none().collect::<Vec<_>>(), loaded.bytes(entries));
    let name_of = |one: &RelocationEntry| {
        let symbol = symbols.get(one.symbol)?;
        let strings = loaded.sections.get(usize::from(symbol.section))?;
        let addend = match has_addends {
            true => one.addend as u64,
            false => number(content, loaded.header.endian, usize::try_from(one.offset).ok()?, member),
        };
        let name = string(loaded.bytes(strings), symbol.value.wrapping_add(addend));
        (!name.is_empty()).then(|| (one.offset, String::from_utf8_lossy(name).into_owned()))
    };
    let is_name = |one: &&RelocationEntry| size > 0 && one.offset % size == member as u64;
    let mut found: Vec<(u64, String)> = all.iter().filter(is_name).filter_map(name_of).collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

/// The symbols that modpost defines for the entries.
fn by_symbol(loaded: &LoadInfo<'_>, table: usize) -> Vec<String> {
    let mut found: Vec<(u64, String)> = loaded
        .symbols()
        .filter(|symbol| usize::from(symbol.section) == table)
        .filter_map(|symbol| Some((symbol.value, symbol.name.strip_prefix(b"__ksymtab_")?)))
        .map(|(value, name)| (value, String::from_utf8_lossy(name).into_owned()))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

messages! {
    Some(LoaderStep::Exports);
    OBSOLETE_SECTION[2] Effect::Warns, Availability::Rule(Rule::ExportFlags),
        "{module}: ignoring obsolete section {section}",
        "the module was built for a kernel before 7.1, and this kernel does not read {section}";
    NO_FLAGS[1] Effect::Refuses(errno::ENOEXEC), Availability::Rule(Rule::ExportFlags),
        "{module}: no flags for exported symbols",
        "it exports symbols, but has no table of their flags (__kflagstab), which kernels require from 7.1 on";
    DUPLICATE[3] Effect::Refuses(errno::ENOEXEC), Availability::Always,
        "{module}: exports duplicate symbol {symbol} (owned by {owner})",
        "it exports {symbol}, which is already exported by: {owner}";
}
