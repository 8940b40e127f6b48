//! Relocations (`apply_relocations`, kernel/module/main.c 6.12; kernel/module.c before 5.18): each must be of a type that the
//! architecture's loader knows, and its value must fit ([`crate::predict::arch`]).
//!
//! On x86-64 the bytes at each relocated place must also be zero (`__write_relocate_add`, arch/x86/kernel/module.c, 4.15 on).
//! This check stops most modules whose `struct module` differs from the kernel's: by then the kernel has written its own fields
//! into the structure, so the place for the module's init and exit functions may already be nonzero.

use crate::module::elf::Class;
use crate::predict::arch::value::{SymbolLocation, ValueBounds};
use crate::predict::arch::{
    self, Arch, Refusal, RelocationEffect, RelocationEntry, RelocationResult, RelocationSite, RelocationTable,
    RelocationTables, ValueBase,
};
use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::{
    LoadInfo, SHF_EXECINSTR, SHF_WRITE, SHT_REL, SHT_RELA, SectionHeader, SymbolEntry, number,
};
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rule;
use crate::predict::structure;
use crate::predict::verdict::{Finding, LoaderStep, StepResult};

const EM_X86_64: u16 = 62;

/// Special section indexes (include/uapi/linux/elf.h; SHN_LIVEPATCH is the kernel's own).
const SHN_UNDEF: u16 = 0;
const SHN_LIVEPATCH: u16 = 0xff20;
const SHN_ABS: u16 = 0xfff1;

/// A livepatch's relocations, which klp_apply_section_relocs applies.
const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;

/// Sections of the same kind are placed together, closer than this to each other.
const GAPS: i128 = 1 << 20;

/// Checks all relocations.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let machine = attempt.machine(loaded);
    let is_table = |section: &SectionHeader| matches!(section.kind, SHT_REL | SHT_RELA);
    if !loaded.sections.iter().skip(1).any(is_table) {
        return Ok(());
    }
    let Some(arch) = arch::of(machine) else {
        let note = format!("does the loader apply its relocations? (relocations of {machine} are not checked here)");
        record.unknown(LoaderStep::Relocations, note);
        return Ok(());
    };
    if !arch.is_measured {
        record.skip(
            LoaderStep::Relocations,
            format!("relocations as in the source of arch/{}: not measured on such a kernel", arch.name),
        );
    }
    let module = InModule {
        symbols: loaded.symbols_with_none().collect(),
        is_64: machine.class == Class::Elf64,
        allocated: loaded.allocated(),
    };
    for (at, section) in loaded.sections.iter().enumerate().skip(1).filter(|(_, section)| is_table(section)) {
        let Some(target) = loaded.sections.get(section.info as usize) else { continue };
        if !loaded.stays(section.info as usize) || section.flags & SHF_RELA_LIVEPATCH != 0 {
            continue;
        }
        let has_addends = section.kind == SHT_RELA;
        if matches!((arch.tables, has_addends), (RelocationTables::Rel, true) | (RelocationTables::Rela, false)) {
            record.say(UNSUPPORTED_TABLE.line([&loaded.own_name]));
            let kind = if has_addends { "with addends" } else { "without addends" };
            let note = format!("a table of relocations {kind}, which kernels for {} do not apply", arch.name);
            return record.fail(LoaderStep::Relocations, errno::ENOEXEC, note, None);
        }
        let mut all: Vec<RelocationEntry> = relocations(loaded, section, machine, has_addends).collect();
        if let Some(order) = arch.order {
            order(target, &mut all);
        }
        let table = RelocationTable::new(all);
        let walk = RelocationWalk { attempt, loaded, arch, module: &module, at, section, target, table: &table };
        walk.all(record)?;
    }
    Ok(())
}

/// The line of the first relocation that is refused regardless of the symbols; used for a module that is refused earlier.
pub(super) fn line(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>) -> Option<String> {
    let mut record = AttemptRecord::default();
    match check(attempt, loaded, &mut record) {
        Err(_) => record.dmesg.pop(),
        Ok(()) => None,
    }
}

/// The relocations of a section, as they are in the file.
pub(super) fn relocations<'l>(
    loaded: &'l LoadInfo<'_>,
    section: &SectionHeader,
    machine: crate::kernel::Machine,
    has_addends: bool,
) -> impl Iterator<Item = RelocationEntry> + 'l {
    let endian = loaded.header.endian;
    let word = loaded.header.class.word();
    let size = if has_addends { 3 * word } else { 2 * word };
    loaded.bytes(section).chunks_exact(size).map(move |entry| {
        let info = number(entry, endian, word, word);
        let (kind, symbol) = arch::decode(machine, info);
        let addend = match (has_addends, word) {
            (false, _) => 0,
            (true, 4) => i64::from(number(entry, endian, 8, 4) as u32 as i32),
            (true, _) => number(entry, endian, 16, 8) as i64,
        };
        RelocationEntry { offset: number(entry, endian, 0, word), info, kind, symbol, addend }
    })
}

/// Data that is the same for all relocations.
struct InModule<'l> {
    symbols: Vec<SymbolEntry<'l>>,
    is_64: bool,
    /// The memory that its sections take, in bytes.
    allocated: u64,
}

/// The state while one section of relocations is checked.
struct RelocationWalk<'w> {
    attempt: &'w Attempt<'w>,
    loaded: &'w LoadInfo<'w>,
    arch: &'static Arch,
    module: &'w InModule<'w>,
    /// The number of the section.
    at: usize,
    section: &'w SectionHeader,
    target: &'w SectionHeader,
    table: &'w RelocationTable,
}

impl RelocationWalk<'_> {
    fn all(&self, record: &mut AttemptRecord) -> Flow {
        let is_structure = self.section.info as usize == self.loaded.this_module;
        let mut known: Option<(u32, Option<RelocationEffect>)> = None;
        for (index, relocation) in self.table.all.iter().enumerate() {
            let effect = match known {
                Some((kind, effect)) if kind == relocation.kind => effect,
                _ => match self.arch.effect(relocation.kind, self.attempt.rules) {
                    Ok(effect) => effect,
                    Err(row) => {
                        let what = match row.since.open_option(self.attempt.rules) {
                            Some(option) => format!("CONFIG_{option} in its configuration"),
                            None => "its image".to_owned(),
                        };
                        let note = format!(
                            "does this version know relocations of type {} ({}, R_…_{})? ({what})",
                            row.number, self.arch.name, row.name
                        );
                        once(record, "unknown type", note);
                        continue;
                    }
                },
            };
            known = Some((relocation.kind, effect));
            let Some(symbol) = self.module.symbols.get(relocation.symbol).copied() else {
                once(
                    record,
                    "no symbol",
                    "a relocation is against a symbol that does not exist, and the kernel may crash".to_owned(),
                );
                continue;
            };
            let site = self.site(index, *relocation, symbol, self.whereabouts(&symbol, record));
            self.bounds(&site, effect, is_structure, record)?;
            let applied = match record.undecided.contains(symbol.name) && symbol.section == SHN_UNDEF {
                false => self.apply(&site, effect),
                true => self.either(&site, effect),
            };
            let is_new = self.attempt.rules.has(Rule::RelocationInvalid) != Some(false);
            let size = bytes_of(effect);
            match applied {
                // Newer loaders check the value before the place.
                RelocationResult::Refused(refusal) if is_new || effect.is_none() => return refuse(refusal, record),
                RelocationResult::Refused(refusal) => {
                    self.zeros(&site, size, record)?;
                    return refuse(refusal, record);
                }
                RelocationResult::Unsure(note) => once(record, "unsure", note),
                RelocationResult::Done => {}
            }
            self.zeros(&site, size, record)?;
            if is_structure && size > 0 {
                match structure::pointer(self.attempt, self.loaded, relocation.offset, record) {
                    structure::OverwrittenMember::Fine => {}
                    structure::OverwrittenMember::Written => match self.wants_zeros() {
                        Some(false) => {}
                        _ => return self.nonzero(&site, record),
                    },
                    structure::OverwrittenMember::Used(member) => {
                        let note = format!(
                            "a pointer of its struct module goes to 0x{:x}, where this kernel has {member}: the \
                             loader uses it, and may crash",
                            relocation.offset
                        );
                        once(record, "used member", note);
                    }
                }
            }
        }
        Ok(())
    }

    fn site<'s>(
        &'s self,
        index: usize,
        relocation: RelocationEntry,
        symbol: SymbolEntry<'s>,
        at: SymbolLocation,
    ) -> RelocationSite<'s> {
        let bits = if self.module.is_64 { 64 } else { 32 };
        let value = ValueBounds::of(
            at,
            i128::from(relocation.addend),
            i128::from(relocation.offset),
            bits,
            &self.arch.addresses,
        );
        RelocationSite {
            rules: self.attempt.rules,
            loaded: self.loaded,
            section: self.at,
            index,
            relocation,
            table: self.table,
            target: self.target,
            symbol,
            whereabouts: at,
            value,
            is_of_the_kernel: self.is_of_the_kernel(&symbol),
        }
    }

    /// Does the kernel itself export the symbol?
    fn is_of_the_kernel(&self, symbol: &SymbolEntry<'_>) -> Option<bool> {
        if symbol.section != SHN_UNDEF {
            return Some(false);
        }
        let name = std::str::from_utf8(symbol.name).ok()?;
        let exports = &self.attempt.kernel.facts.exports.as_ref()?.value;
        match exports.symbols.contains_key(name) {
            true => Some(true),
            false => exports.complete.then_some(false),
        }
    }

    /// Where a symbol is located.
    fn whereabouts(&self, symbol: &SymbolEntry<'_>, record: &AttemptRecord) -> SymbolLocation {
        let signed = |value: u64| match self.module.is_64 {
            true => i128::from(value as i64),
            false => i128::from(value as u32 as i32),
        };
        match symbol.section {
            SHN_UNDEF if symbol.name.is_empty() => SymbolLocation::Number(signed(symbol.value)),
            SHN_UNDEF if (self.arch.import)(self.attempt.rules, symbol.name).is_none() => SymbolLocation::Promised,
            SHN_UNDEF if record.unresolved.contains(symbol.name) => SymbolLocation::Number(0),
            SHN_UNDEF => SymbolLocation::Imported,
            SHN_ABS => SymbolLocation::Number(signed(symbol.value)),
            SHN_LIVEPATCH => SymbolLocation::Promised,
            index => {
                let index = usize::from(index);
                let Some(section) = self.loaded.sections.get(index) else { return SymbolLocation::Anywhere };
                if self.loaded.name_of(section) == b".data..percpu" {
                    return SymbolLocation::Promised;
                }
                match (self.loaded.stays(index), index == self.section.info as usize) {
                    (false, _) => SymbolLocation::Anywhere,
                    (true, true) => SymbolLocation::Here(i128::from(symbol.value)),
                    (true, false) => SymbolLocation::Near(i128::from(symbol.value), self.apart(section)),
                }
            }
        }
    }

    /// The maximum distance between another section and the one that is filled in.
    fn apart(&self, other: &SectionHeader) -> i128 {
        let is_init = |section: &SectionHeader| self.loaded.name_of(section).starts_with(b".init");
        let kind = |section: &SectionHeader| section.flags & (SHF_WRITE | SHF_EXECINSTR);
        let widest = self.arch.addresses.apart;
        match is_init(self.target) == is_init(other) && kind(self.target) == kind(other) {
            true => widest.min(i128::from(self.module.allocated) + GAPS),
            false => widest,
        }
    }

    /// The result of one relocation in the loader.
    fn apply(&self, site: &RelocationSite<'_>, effect: Option<RelocationEffect>) -> RelocationResult {
        let decided = |fits: Option<bool>| match fits {
            Some(true) => RelocationResult::Done,
            Some(false) => RelocationResult::Refused((self.arch.overflow)(site)),
            None => RelocationResult::Unsure(format!("does the value of a relocation of type {} fit?", site.kind())),
        };
        match effect {
            None => RelocationResult::Refused((self.arch.unknown_type)(site)),
            Some(RelocationEffect::Ignored | RelocationEffect::Stored(_) | RelocationEffect::Entry) => {
                RelocationResult::Done
            }
            Some(RelocationEffect::Fits(ValueBase::Absolute, range)) => decided(site.value.sum_fits(range)),
            Some(RelocationEffect::Fits(ValueBase::Place, range)) => decided(site.value.distance_fits(range)),
            Some(RelocationEffect::Fits(ValueBase::Page, range)) => decided(site.value.page_fits(range)),
            Some(RelocationEffect::Refused(refusal)) => RelocationResult::Refused(refusal(site)),
            Some(RelocationEffect::Custom(function)) => function(site),
            Some(RelocationEffect::Unsure(note)) => RelocationResult::Unsure(note.to_owned()),
        }
    }

    /// The result if it is not known whether a weak symbol is exported, provided that it is the same in both cases.
    fn either(&self, site: &RelocationSite<'_>, effect: Option<RelocationEffect>) -> RelocationResult {
        let nobody = self.site(site.index, site.relocation, site.symbol, SymbolLocation::Number(0));
        match (self.apply(site, effect), self.apply(&nobody, effect)) {
            (RelocationResult::Done, RelocationResult::Done) => RelocationResult::Done,
            (RelocationResult::Refused(refusal), RelocationResult::Refused(_)) if effect.is_none() => {
                RelocationResult::Refused(refusal)
            }
            _ => RelocationResult::Unsure(format!(
                "does the kernel or a module export {}, which is weak?",
                site.symbol_name()
            )),
        }
    }

    /// Checks whether a place lies outside its section. Only arm checks that; the consequences on other machines are not
    /// decided here.
    fn bounds(
        &self,
        site: &RelocationSite<'_>,
        effect: Option<RelocationEffect>,
        is_structure: bool,
        record: &mut AttemptRecord,
    ) -> Flow {
        if let Some(look) = self.arch.out_of_bounds {
            return look(site).map_or(Ok(()), |refusal| refuse(refusal, record));
        }
        let end = site.relocation.offset.checked_add(bytes_of(effect));
        if !is_structure && end.is_none_or(|end| end > self.target.size) {
            let section = String::from_utf8_lossy(self.loaded.name_of(self.target)).into_owned();
            let note = format!(
                "a relocation at 0x{:x} is outside {section}; the kernel does not check that, and may crash over it",
                site.relocation.offset
            );
            once(record, "outside", note);
        }
        Ok(())
    }

    /// Must the bytes at each place be zero?
    fn wants_zeros(&self) -> Option<bool> {
        match self.loaded.header.machine {
            EM_X86_64 => self.attempt.rules.has(Rule::RelocationTargets),
            _ => Some(false),
        }
    }

    /// Checks that the bytes at the place are zero.
    fn zeros(&self, site: &RelocationSite<'_>, size: u64, record: &mut AttemptRecord) -> Flow {
        if self.wants_zeros() == Some(false) {
            return Ok(());
        }
        let range = usize::try_from(site.relocation.offset).ok().zip(usize::try_from(size).ok());
        let bytes = self.loaded.bytes(self.target);
        let there = range.and_then(|(start, size)| bytes.get(start..start.checked_add(size)?)).unwrap_or_default();
        match (there.iter().any(|byte| *byte != 0), self.wants_zeros()) {
            (false, _) => Ok(()),
            (true, Some(_)) => self.nonzero(site, record),
            (true, None) => {
                let note = format!(
                    "there are already nonzero bytes at 0x{:x} in {}, where an address is to be filled in; does \
                     this version check that? (its image)",
                    site.relocation.offset,
                    String::from_utf8_lossy(self.loaded.name_of(self.target))
                );
                once(record, "nonzero", note);
                Ok(())
            }
        }
    }

    /// Records a place that is not zero.
    fn nonzero(&self, site: &RelocationSite<'_>, record: &mut AttemptRecord) -> Flow {
        let rules = self.attempt.rules;
        let kind = site.kind();
        // The addresses that follow cannot be known in advance.
        let place = match rules.has(Rule::RelocationPlace) {
            Some(true) => format!("sec {}, idx {}, type {kind}", site.section, site.index),
            Some(false) => format!("type {kind}"),
            None => String::new(),
        };
        let is_skipping = rules.has(Rule::RelocationInvalid) == Some(false);
        record.say(if is_skipping { SKIPPING } else { INVALID_TARGET }.line([&place]));
        let section = String::from_utf8_lossy(self.loaded.name_of(self.target)).into_owned();
        let offset = site.relocation.offset;
        let note = format!(
            "there are already nonzero bytes at 0x{offset:x} in {section}, where an address is to be filled in"
        );
        record.fail(LoaderStep::Relocations, errno::ENOEXEC, note, None)
    }
}

/// The number of bytes that are filled in.
fn bytes_of(effect: Option<RelocationEffect>) -> u64 {
    match effect {
        Some(RelocationEffect::Stored(bytes)) => bytes,
        None | Some(RelocationEffect::Ignored | RelocationEffect::Refused(_)) => 0,
        Some(_) => 4,
    }
}

fn refuse(refusal: Refusal, record: &mut AttemptRecord) -> Flow {
    if let Some(line) = refusal.line {
        record.say(line);
    }
    record.fail(LoaderStep::Relocations, refusal.errno, refusal.note, None)
}

/// Asks for a fact once, even if several relocations depend on it; of the questions of one kind, the first few.
fn once(record: &mut AttemptRecord, kind: &'static str, note: String) {
    record.one_of_kind(kind, Finding::new(LoaderStep::Relocations, StepResult::Unknown, note));
}

messages! {
    Some(LoaderStep::Relocations);
    UNSUPPORTED_TABLE[1] Effect::Refuses(errno::ENOEXEC), Availability::Always,
        "module {module}: REL relocation unsupported",
        "its relocations have another form (with or without addends) than kernels of this machine apply";
    SKIPPING[1] Effect::Refuses(errno::ENOEXEC), Availability::All(&[
            Availability::Rule(Rule::RelocationTargets), Availability::Not(&Availability::Rule(Rule::RelocationInvalid))
        ]),
        "module: x86/modules: Skipping invalid relocation target, existing value is nonzero for {place:*}",
        "there are nonzero bytes where an address is to be filled in: its struct module has another layout than the kernel's, or it was linked twice";
    INVALID_TARGET[1] Effect::Refuses(errno::ENOEXEC), Availability::Rule(Rule::RelocationInvalid),
        "module: x86/modules: Invalid relocation target, existing value is nonzero for {place:*}",
        "there are nonzero bytes where an address is to be filled in: its struct module has another layout than the kernel's, or it was linked twice";
}
