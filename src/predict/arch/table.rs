//! The elements of an architecture's table: the loader's properties, relocation types, required sections.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::kernel::Machine;
use crate::predict::arch::value::{Addresses, Range, SymbolLocation, ValueBounds};
pub(crate) use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::load_info::{ElfHeader, LoadInfo, SectionHeader, SymbolEntry};
use crate::predict::message::{Effect, messages};
use crate::predict::rules::Rules;
use crate::predict::verdict::LoaderStep;
use crate::template::Line;

/// The loader of one architecture.
pub(crate) struct Arch {
    /// The directory in the kernel's source: arch/NAME.
    pub(crate) name: &'static str,
    /// It was measured on real kernels; otherwise only its source was read.
    pub(crate) is_measured: bool,
    /// Does it accept a file header of this machine (`elf_check_arch`)?
    pub(crate) accepts: fn(&ElfHeader, Machine) -> bool,
    /// The relocation sections that it applies.
    pub(crate) tables: RelocationTables,
    /// The relocation types that it supports.
    pub(crate) types: &'static [RelocationType],
    /// The refusal of any other relocation type.
    pub(crate) unknown_type: fn(&RelocationSite<'_>) -> Refusal,
    /// The refusal of a value that does not fit.
    pub(crate) overflow: fn(&RelocationSite<'_>) -> Refusal,
    /// The sections that it requires before it lays a module out (`module_frob_arch_sections`).
    pub(crate) sections: &'static [RequiredSections],
    /// The sections that it requires at the end (`module_finalize`).
    pub(crate) last_sections: &'static [RequiredSections],
    /// Where modules and the kernel lie.
    pub(crate) addresses: Addresses,
    /// The order in which it applies the relocations of a section: `None` for the order of the file.
    pub(crate) order: Option<fn(&SectionHeader, &mut [RelocationEntry])>,
    /// The symbol to which an undefined symbol refers; `None` for a symbol that the architecture defines itself.
    pub(crate) import: for<'n> fn(&Rules<'_>, &'n [u8]) -> Option<&'n [u8]>,
    /// The symbol to which an entry of the symbol versions applies.
    pub(crate) versioned: fn(&[u8]) -> &[u8],
    /// The refusal of a place that lies outside its section, if it checks places at all.
    pub(crate) out_of_bounds: Option<fn(&RelocationSite<'_>) -> Option<Refusal>>,
}

/// The behaviour of most architectures: a table states only the differences. The addresses are those of a 32-bit kernel in the
/// upper half of its address space.
pub(super) const PLAIN: Arch = Arch {
    name: "",
    is_measured: false,
    accepts: |header, machine| header.machine == machine.number,
    tables: RelocationTables::Rela,
    types: &[],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    overflow: never,
    sections: &[],
    last_sections: &[],
    addresses: Addresses { modules: (-(1 << 31), -1), kernel: (-(1 << 31), -1), reach: 1 << 31, apart: 1 << 31 },
    order: None,
    import: same_name,
    versioned: as_written,
    out_of_bounds: None,
};

/// Relocation sections (CONFIG_MODULES_USE_ELF_REL and _RELA).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelocationTables {
    Rel,
    Rela,
    Both,
}

/// A relocation type.
pub(crate) struct RelocationType {
    pub(crate) number: u32,
    /// Its name in the psABI, without R_ and the machine.
    pub(crate) name: &'static str,
    /// The kernels that support it.
    pub(crate) since: Availability,
    pub(crate) effect: RelocationEffect,
}

/// The effect of a relocation, as far as it decides whether the loader refuses it.
#[derive(Clone, Copy)]
pub(crate) enum RelocationEffect {
    /// The relocation has no effect.
    Ignored,
    /// This many bytes are filled in, whatever the value is.
    Stored(u64),
    /// The value must be in a range.
    Fits(ValueBase, Range),
    /// The value uses an entry that the loader always creates (GOT, PLT).
    Entry,
    /// The relocation is never applied, but refused with this errno and line.
    Refused(fn(&RelocationSite<'_>) -> Refusal),
    /// The architecture's own function decides.
    Custom(fn(&RelocationSite<'_>) -> RelocationResult),
    /// The effect is not checked here.
    Unsure(&'static str),
}

/// The base from which a value is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueBase {
    /// S + A.
    Absolute,
    /// S + A − P.
    Place,
    /// Page(S + A) − Page(P), pages of 4 KiB.
    Page,
}

/// The result of one relocation.
pub(crate) enum RelocationResult {
    /// The relocation is applied.
    Done,
    /// The loader refuses the module.
    Refused(Refusal),
    /// The result depends on a fact that is not known.
    Unsure(String),
}

/// A refusal: the errno, the line if there is one, and the reason.
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    pub(crate) line: Option<Line>,
    pub(crate) note: String,
}

impl Refusal {
    pub(crate) fn new(errno: i32, line: Line, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: Some(line), note: note.into() }
    }

    pub(crate) fn silent(errno: i32, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: None, note: note.into() }
    }
}

/// A section that a module must have.
pub(crate) struct RequiredSections {
    /// The kernels that require it.
    pub(crate) since: Availability,
    /// All of these sections must exist.
    pub(crate) names: &'static [&'static str],
    /// The line about a module of this name; `None` for a silent refusal.
    pub(crate) line: Option<fn(&str) -> Line>,
}

/// A relocation as it is in the file.
#[derive(Clone, Copy)]
pub(crate) struct RelocationEntry {
    pub(crate) offset: u64,
    /// The complete `r_info`, by which some loaders sort.
    pub(crate) info: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: usize,
    /// The addend; for REL it is 0 here, because the bytes at the place are not read.
    pub(crate) addend: i64,
}

/// The relocations of one section, in the order in which they are applied.
pub(crate) struct RelocationTable {
    pub(crate) all: Vec<RelocationEntry>,
    uppers: OnceCell<HashSet<u64>>,
    lasts: OnceCell<(Option<usize>, Option<usize>)>,
}

impl RelocationTable {
    pub(crate) fn new(all: Vec<RelocationEntry>) -> RelocationTable {
        RelocationTable { all, uppers: OnceCell::new(), lasts: OnceCell::new() }
    }

    /// Is there a relocation of one of these types at this offset? The types are always the same for one table.
    pub(crate) fn has_at(&self, offset: u64, kinds: &[u32]) -> bool {
        let found = || self.all.iter().filter(|one| kinds.contains(&one.kind)).map(|one| one.offset).collect();
        self.uppers.get_or_init(found).contains(&offset)
    }

    /// The index of the last relocation of type `kind`, and of the last one that is not of type `other`. The types are always
    /// the same for one table.
    pub(crate) fn last(&self, kind: u32, other: u32) -> (Option<usize>, Option<usize>) {
        *self.lasts.get_or_init(|| {
            let last = self.all.iter().rposition(|one| one.kind == kind);
            (last, self.all.iter().rposition(|one| one.kind != other))
        })
    }
}

/// One relocation while it is being applied.
pub(crate) struct RelocationSite<'s> {
    pub(crate) rules: &'s Rules<'s>,
    pub(crate) loaded: &'s LoadInfo<'s>,
    /// The section that contains the relocation, and the relocation's index in it.
    pub(crate) section: usize,
    pub(crate) index: usize,
    pub(crate) relocation: RelocationEntry,
    /// All relocations of that section.
    pub(crate) table: &'s RelocationTable,
    /// The section to which the relocation applies.
    pub(crate) target: &'s SectionHeader,
    pub(crate) symbol: SymbolEntry<'s>,
    pub(crate) whereabouts: SymbolLocation,
    pub(crate) value: ValueBounds,
    /// The kernel itself exports the symbol, rather than a module; `None` if that is not known.
    pub(crate) is_of_the_kernel: Option<bool>,
}

impl RelocationSite<'_> {
    /// The module's name, with which most lines begin.
    pub(crate) fn module(&self) -> &str {
        &self.loaded.own_name
    }

    /// The relocation's type.
    pub(crate) fn kind(&self) -> u32 {
        self.relocation.kind
    }

    /// The symbol's name, as lines print it.
    pub(crate) fn symbol_name(&self) -> String {
        String::from_utf8_lossy(self.symbol.name).into_owned()
    }

    /// Is the symbol in the section that is filled in?
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.whereabouts, SymbolLocation::Here(_))
    }

    /// Is the symbol in the module?
    pub(crate) fn is_in_module(&self) -> bool {
        matches!(self.whereabouts, SymbolLocation::Here(_) | SymbolLocation::Near(..))
    }

    /// The instruction or word at an offset, if the file contains it.
    pub(crate) fn word_at(&self, offset: u64) -> Option<u32> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.loaded.bytes(self.target).get(start..start.checked_add(4)?)?;
        Some(self.loaded.header.endian.number(bytes) as u32)
    }
}

impl Arch {
    /// The effect of a relocation type: `Ok(None)` if the loader does not support it, `Err` if it is not known whether it does.
    pub(crate) fn effect(
        &self,
        kind: u32,
        rules: &Rules<'_>,
    ) -> Result<Option<RelocationEffect>, &'static RelocationType> {
        let mut unsure = None;
        for row in self.types.iter().filter(|row| row.number == kind) {
            match row.since.holds(rules) {
                Some(true) => return Ok(Some(row.effect)),
                Some(false) => {}
                None => unsure = Some(row),
            }
        }
        unsure.map_or(Ok(None), Err)
    }

    /// The sections that the architecture requires and this module lacks: those that are certain, and those that are not.
    pub(super) fn missing(
        &self,
        wanted: &[RequiredSections],
        rules: &Rules<'_>,
        loaded: &LoadInfo<'_>,
    ) -> MissingSections {
        let mut missing = MissingSections::default();
        for RequiredSections { since, names, line } in wanted {
            let Some(name) = names.iter().find(|name| loaded.find_any(name).is_none()) else { continue };
            match since.holds(rules) {
                Some(false) => {}
                Some(true) => {
                    let note = format!("it has no section {name}, which kernels for {} ask for", self.name);
                    let line = line.map(|line| line(&loaded.own_name));
                    missing.refusal = Some(Refusal { errno: ENOEXEC, line, note });
                    return missing;
                }
                None => missing.unsure.push(match since.open_option(rules) {
                    Some(option) => {
                        format!(
                            "it has no section {name}; does the kernel ask for it? (CONFIG_{option} in its \
                        configuration)"
                        )
                    }
                    None => format!("it has no section {name}; does this version ask for it? (its image)"),
                }),
            }
        }
        missing
    }
}

/// The required sections that a module lacks.
#[derive(Default)]
pub(super) struct MissingSections {
    /// The refusal, if the loader certainly refuses the module.
    pub(super) refusal: Option<Refusal>,
    /// Questions that decide whether the loader refuses the module.
    pub(super) unsure: Vec<String>,
}

pub(super) const fn row(number: u32, name: &'static str, effect: RelocationEffect) -> RelocationType {
    RelocationType { number, name, since: Availability::Always, effect }
}

pub(super) const fn since(
    number: u32,
    name: &'static str,
    since: Availability,
    effect: RelocationEffect,
) -> RelocationType {
    RelocationType { number, name, since, effect }
}

fn same_name<'n>(_: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    Some(name)
}

fn as_written(name: &[u8]) -> &[u8] {
    name
}

/// For architectures whose loader does not check values.
fn never(site: &RelocationSite<'_>) -> Refusal {
    Refusal::silent(ENOEXEC, format!("the value of a relocation of type {} does not fit", site.kind()))
}

pub(super) fn does_not_fit(site: &RelocationSite<'_>, errno: i32, line: Line) -> Refusal {
    Refusal::new(errno, line, format!("the value of a relocation of type {} does not fit", site.kind()))
}

pub(super) fn not_known(site: &RelocationSite<'_>, errno: i32, line: Line) -> Refusal {
    Refusal::new(errno, line, format!("a relocation of type {}, which the loader does not know", site.kind()))
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: Unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
}
