//! What an architecture's table is made of: the loader's properties, relocation types, required sections.

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::kernel::Machine;
use crate::predict::arch::value::{Addresses, Range, SymbolLocation, ValueBounds};
use crate::predict::errno::ENOEXEC;
use crate::predict::load_info::{ElfHeader, LoadInfo, SectionHeader, SymbolEntry};
use crate::predict::rules::Rules;

/// The loader of one architecture.
pub(crate) struct Arch {
    /// The folder in the kernel's source: arch/NAME.
    pub(crate) name: &'static str,
    /// Measured on real kernels; otherwise only its source was read.
    pub(crate) is_measured: bool,
    /// Accepts a file header of this machine (`elf_check_arch`).
    pub(crate) accepts: fn(&ElfHeader, Machine) -> bool,
    /// The relocation sections that it applies.
    pub(crate) tables: RelocationTables,
    /// The relocation types that it knows.
    pub(crate) types: &'static [RelocationType],
    /// What it says to any other.
    pub(crate) unknown_type: fn(&RelocationSite<'_>) -> Refusal,
    /// What it says to a value that does not fit.
    pub(crate) overflow: fn(&RelocationSite<'_>) -> Refusal,
    /// The sections that it asks for before it lays a module out (`module_frob_arch_sections`).
    pub(crate) sections: &'static [RequiredSections],
    /// The sections that it asks for last (`module_finalize`).
    pub(crate) last_sections: &'static [RequiredSections],
    /// Where modules and the kernel lie.
    pub(crate) addresses: Addresses,
    /// In which order it applies the relocations of a section: `None` for that of the file.
    pub(crate) order: Option<fn(&SectionHeader, &mut [RelocationEntry])>,
    /// The symbol that an undefined symbol refers to; `None` for one that it defines itself.
    pub(crate) import: for<'n> fn(&Rules<'_>, &'n [u8]) -> Option<&'n [u8]>,
    /// The symbol that an entry of the symbol versions is for.
    pub(crate) versioned: fn(&[u8]) -> &[u8],
    /// How it refuses a place that lies outside its section, where it looks at all.
    pub(crate) out_of_bounds: Option<fn(&RelocationSite<'_>) -> Option<Refusal>>,
}

/// What most architectures do: a table states only where it differs. The addresses are those of a 32-bit kernel in the upper
/// half of its address space.
pub(super) const PLAIN: Arch = Arch {
    name: "",
    is_measured: false,
    accepts: |header, machine| header.machine == machine.number,
    tables: RelocationTables::Rela,
    types: &[],
    unknown_type: |site| {
        not_known(site, ENOEXEC, format!("module {}: Unknown relocation: {}", site.module(), site.kind()))
    },
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
    /// Since when the loader knows it.
    pub(crate) since: Availability,
    pub(crate) effect: RelocationEffect,
}

/// Which kernels have a behaviour.
#[derive(Clone, Copy)]
pub(crate) enum Availability {
    /// All that were read.
    Always,
    /// Not the first, certainly the second: between them no source was read.
    Between((u32, u32), (u32, u32)),
    /// From this version on.
    Version((u32, u32)),
    /// Those with an option.
    Option(&'static str),
    /// Kernels with an option, which also have a message in their image that others lack.
    Told(&'static str, &'static str),
    /// Kernels whose image contains this text; where the image is not known, the other condition decides.
    Image(&'static str, &'static Availability),
    /// Those for which all of these hold.
    All(&'static [Availability]),
    /// Those for which this does not hold.
    Not(&'static Availability),
}

impl Availability {
    /// Does this kernel have it?
    pub(crate) fn holds(self, rules: &Rules<'_>) -> Option<bool> {
        match self {
            Availability::Always => Some(true),
            Availability::Version((major, minor)) => rules.since(major, minor),
            Availability::Between(without, with) => match rules.major_minor()? {
                ours if ours >= with => Some(true),
                ours if ours <= without => Some(false),
                _ => None,
            },
            Availability::Option(option) => rules.option(option),
            Availability::Told(option, message) => rules.option(option).or_else(|| rules.prints(message)),
            Availability::Image(text, otherwise) => rules.prints(text).or_else(|| otherwise.holds(rules)),
            Availability::All(all) => {
                let mut holds = all.iter().map(|one| one.holds(rules));
                match holds.clone().any(|one| one == Some(false)) {
                    true => Some(false),
                    false => holds.all(|one| one == Some(true)).then_some(true),
                }
            }
            Availability::Not(other) => other.holds(rules).map(|holds| !holds),
        }
    }

    /// The option that would decide it, if that is what is not known.
    pub(crate) fn open_option(self, rules: &Rules<'_>) -> Option<&'static str> {
        match self {
            Availability::Option(option) | Availability::Told(option, _) => Some(option),
            Availability::Image(_, otherwise) => otherwise.open_option(rules),
            Availability::All(all) => all.iter().find(|one| one.holds(rules).is_none())?.open_option(rules),
            Availability::Not(other) => other.open_option(rules),
            Availability::Always | Availability::Between(..) | Availability::Version(_) => None,
        }
    }
}

/// What a relocation does, as far as it decides whether the loader refuses it.
#[derive(Clone, Copy)]
pub(crate) enum RelocationEffect {
    /// Nothing.
    Ignored,
    /// So many bytes are filled in, whatever the value is.
    Stored(u64),
    /// The value must be in a range.
    Fits(ValueBase, Range),
    /// It uses an entry that the loader makes in any case (GOT, PLT).
    Entry,
    /// Never applied: refused with this errno and line.
    Refused(fn(&RelocationSite<'_>) -> Refusal),
    /// Decided by the architecture's own function.
    OwnImports(fn(&RelocationSite<'_>) -> RelocationResult),
    /// Not checked here.
    Unsure(&'static str),
}

/// From where a value counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueBase {
    /// S + A.
    Absolute,
    /// S + A − P.
    Place,
    /// Page(S + A) − Page(P), pages of 4 KiB.
    Page,
}

/// How one relocation ends.
pub(crate) enum RelocationResult {
    /// Applied.
    Done,
    /// The loader refuses the module.
    Refused(Refusal),
    /// It depends on a fact that is not known.
    Unsure(String),
}

/// A refusal: the errno, the line if there is one, and why.
pub(crate) struct Refusal {
    pub(crate) errno: i32,
    pub(crate) line: Option<String>,
    pub(crate) note: String,
}

impl Refusal {
    pub(crate) fn new(errno: i32, line: impl Into<String>, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: Some(line.into()), note: note.into() }
    }

    pub(crate) fn silent(errno: i32, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: None, note: note.into() }
    }
}

/// A section that a module must have.
pub(crate) struct RequiredSections {
    /// One of the kernels that ask for it.
    pub(crate) since: Availability,
    /// All these must be there.
    pub(crate) names: &'static [&'static str],
    /// The line, after the module's name; `None` for a silent refusal.
    pub(crate) line: Option<&'static str>,
}

/// A relocation as it is in the file.
#[derive(Clone, Copy)]
pub(crate) struct RelocationEntry {
    pub(crate) offset: u64,
    /// `r_info` whole, by which some loaders sort.
    pub(crate) info: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: usize,
    /// The addend; for REL the bytes at the place are not read, and this is 0.
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

    /// Where the last of this type is, and the last that is of neither. The types are always the same for one table.
    pub(crate) fn last(&self, kind: u32, other: u32) -> (Option<usize>, Option<usize>) {
        *self.lasts.get_or_init(|| {
            let last = self.all.iter().rposition(|one| one.kind == kind);
            (last, self.all.iter().rposition(|one| one.kind != other))
        })
    }
}

/// One relocation while it is applied.
pub(crate) struct RelocationSite<'s> {
    pub(crate) rules: &'s Rules<'s>,
    pub(crate) loaded: &'s LoadInfo<'s>,
    /// The section that contains it, and its number there.
    pub(crate) section: usize,
    pub(crate) index: usize,
    pub(crate) relocation: RelocationEntry,
    /// All of that section.
    pub(crate) table: &'s RelocationTable,
    /// The section that it is for.
    pub(crate) target: &'s SectionHeader,
    pub(crate) symbol: SymbolEntry<'s>,
    pub(crate) whereabouts: SymbolLocation,
    pub(crate) value: ValueBounds,
    /// The kernel itself exports the symbol, or a module does; `None` where that is not known.
    pub(crate) is_of_the_kernel: Option<bool>,
}

impl RelocationSite<'_> {
    /// The module's name, as most lines begin.
    pub(crate) fn module(&self) -> &str {
        &self.loaded.own_name
    }

    /// The relocation's type.
    pub(crate) fn kind(&self) -> u32 {
        self.relocation.kind
    }

    /// The symbol's name, for lines.
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

    /// The instruction or word at the place, as far as it is in the file.
    pub(crate) fn word_at(&self, offset: u64) -> Option<u32> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.loaded.bytes(self.target).get(start..start.checked_add(4)?)?;
        Some(self.loaded.header.endian.number(bytes) as u32)
    }
}

impl Arch {
    /// What the loader does to a relocation of this type: `None` if it does not know it, `Err` if that is not known.
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

    /// The sections that the architecture asks for by name, and this module has not: what it is sure of, and what not.
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
                    let line = line.map(|line| line.replace("NAME", &loaded.own_name));
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

/// The sections that a module lacks.
#[derive(Default)]
pub(super) struct MissingSections {
    /// The loader refuses it.
    pub(super) refusal: Option<Refusal>,
    /// It may refuse it: questions.
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

/// For architectures whose loader checks no value.
fn never(site: &RelocationSite<'_>) -> Refusal {
    Refusal::silent(ENOEXEC, format!("the value of a relocation of type {} does not fit", site.kind()))
}

pub(super) fn does_not_fit(site: &RelocationSite<'_>, errno: i32, line: String) -> Refusal {
    Refusal::new(errno, line, format!("the value of a relocation of type {} does not fit", site.kind()))
}

pub(super) fn not_known(site: &RelocationSite<'_>, errno: i32, line: String) -> Refusal {
    Refusal::new(errno, line, format!("a relocation of type {}, which the loader does not know", site.kind()))
}
