//! What the loader does differently on each architecture (arch/*/kernel/module*.c, arch/*/include/asm/elf.h).
//!
//! One file per architecture, and each is mostly a table, so that it can be compared with the kernel's source: which ELF
//! headers it accepts, which sections a module must have, which relocations it knows and what it checks of their values,
//! and which errno and line it gives otherwise. [`crate::predict::relocations`] walks a module's relocations along these
//! tables; [`value`] bounds the addresses that nobody can know in advance.

mod arc;
mod arm;
mod arm64;
mod csky;
mod hexagon;
mod loongarch;
mod mips;
mod parisc;
mod powerpc;
mod riscv;
mod s390;
mod sh;
mod sparc;
pub(super) mod value;
mod x86;
mod xtensa;

use std::cell::OnceCell;
use std::collections::HashSet;

use crate::kernel::Machine;
use crate::module::elf::{Class, Endian};
use crate::predict::errno::ENOEXEC;
use crate::predict::loaded::{Header, Loaded, Section, Symbol};
use crate::predict::record::{Flow, Record};
use crate::predict::rules::Rules;
use crate::predict::{Attempt, LoaderStep};
pub(super) use powerpc::has_another_abi;
use value::{Range, Value, Whereabouts};

/// The loader of one architecture.
pub(super) struct Arch {
    /// The folder in the kernel's source: arch/NAME.
    pub(super) name: &'static str,
    /// Its loader was asked, on real kernels; otherwise its source was read, and no more.
    pub(super) is_measured: bool,
    /// Accepts a file header of this machine (`elf_check_arch`).
    pub(super) accepts: fn(&Header, Machine) -> bool,
    /// The relocation sections that it applies.
    pub(super) tables: Tables,
    /// The relocation types that it knows.
    pub(super) types: &'static [Type],
    /// What it says to any other.
    pub(super) unknown_type: fn(&Site<'_>) -> Refusal,
    /// What it says to a value that does not fit.
    pub(super) overflow: fn(&Site<'_>) -> Refusal,
    /// The sections that it asks for before it lays a module out (`module_frob_arch_sections`).
    pub(super) sections: &'static [Wanted],
    /// The sections that it asks for last (`module_finalize`).
    pub(super) last_sections: &'static [Wanted],
    /// Where modules and the kernel lie.
    pub(super) addresses: Addresses,
    /// In which order it applies the relocations of a section: `None` for that of the file.
    pub(super) order: Option<fn(&Section, &mut [Relocation])>,
    /// The symbol that an undefined symbol stands for; `None` for one that it defines itself.
    pub(super) import: for<'n> fn(&Rules<'_>, &'n [u8]) -> Option<&'n [u8]>,
    /// The symbol that an entry of the symbol versions is for.
    pub(super) versioned: fn(&[u8]) -> &[u8],
    /// How it refuses a place that lies outside its section, where it looks at all.
    pub(super) out_of_bounds: Option<fn(&Site<'_>) -> Option<Refusal>>,
}

/// What most architectures do: a table states only where it differs. The addresses are those of a 32-bit kernel in the upper
/// half of its address space.
const PLAIN: Arch = Arch {
    name: "",
    is_measured: false,
    accepts: |header, machine| header.machine == machine.number,
    tables: Tables::Rela,
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
pub(super) enum Tables {
    Rel,
    Rela,
    Both,
}

/// Where modules and the kernel lie, as signed numbers of the machine's word.
pub(super) struct Addresses {
    /// Where a module may be.
    pub(super) modules: (i128, i128),
    /// Where an exported symbol may be.
    pub(super) kernel: (i128, i128),
    /// The most that a module and what it imports are apart.
    pub(super) reach: i128,
    /// The most that two sections of a module are apart; with the addend, that reaches as far as the architecture promises.
    pub(super) apart: i128,
}

/// A relocation type.
pub(super) struct Type {
    pub(super) number: u32,
    /// Its name in the psABI, without R_ and the machine.
    pub(super) name: &'static str,
    /// Since when the loader knows it.
    pub(super) since: Since,
    pub(super) effect: Effect,
}

/// Which kernels have a behaviour.
#[derive(Clone, Copy)]
pub(super) enum Since {
    /// All that were read.
    Always,
    /// Not the first, certainly the second: between them no source was read.
    Between((u32, u32), (u32, u32)),
    /// From this version on.
    Version((u32, u32)),
    /// Those with an option.
    Option(&'static str),
    /// Those with an option, and a message that only they have in their image.
    Told(&'static str, &'static str),
    /// Those whose image has this text, or has it not; where the image is not known, as the other says.
    Image(&'static str, &'static Since),
    /// Those for which all of these hold.
    All(&'static [Since]),
    /// Those for which this does not hold.
    Not(&'static Since),
}

impl Since {
    /// Does this kernel have it?
    pub(super) fn holds(self, rules: &Rules<'_>) -> Option<bool> {
        match self {
            Since::Always => Some(true),
            Since::Version((major, minor)) => rules.since(major, minor),
            Since::Between(without, with) => match rules.major_minor()? {
                ours if ours >= with => Some(true),
                ours if ours <= without => Some(false),
                _ => None,
            },
            Since::Option(option) => rules.option(option),
            Since::Told(option, message) => rules.option(option).or_else(|| rules.prints(message)),
            Since::Image(text, otherwise) => rules.prints(text).or_else(|| otherwise.holds(rules)),
            Since::All(all) => {
                let mut holds = all.iter().map(|one| one.holds(rules));
                match holds.clone().any(|one| one == Some(false)) {
                    true => Some(false),
                    false => holds.all(|one| one == Some(true)).then_some(true),
                }
            }
            Since::Not(other) => other.holds(rules).map(|holds| !holds),
        }
    }

    /// The option that would decide it, if that is what is not known.
    pub(in crate::predict) fn open_option(self, rules: &Rules<'_>) -> Option<&'static str> {
        match self {
            Since::Option(option) | Since::Told(option, _) => Some(option),
            Since::Image(_, otherwise) => otherwise.open_option(rules),
            Since::All(all) => all.iter().find(|one| one.holds(rules).is_none())?.open_option(rules),
            Since::Not(other) => other.open_option(rules),
            Since::Always | Since::Between(..) | Since::Version(_) => None,
        }
    }
}

/// What a relocation does, as far as it decides whether the loader refuses it.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Nothing.
    Ignored,
    /// So many bytes are filled in, whatever the value is.
    Stored(u64),
    /// The value must be in a range.
    Fits(Base, Range),
    /// It goes by way of an entry that the loader makes in any case (GOT, PLT).
    Entry,
    /// Never applied: refused with this errno and line.
    Refused(fn(&Site<'_>) -> Refusal),
    /// Told by the architecture's own function.
    Own(fn(&Site<'_>) -> Applied),
    /// Not followed here.
    Unsure(&'static str),
}

/// From where a value counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// S + A.
    Absolute,
    /// S + A − P.
    Place,
    /// Page(S + A) − Page(P), pages of 4 KiB.
    Page,
}

/// How one relocation ends.
pub(super) enum Applied {
    /// Applied.
    Done,
    /// The loader refuses the module.
    Refused(Refusal),
    /// It depends on what is not known.
    Unsure(String),
}

/// A refusal: the errno, the line if there is one, and why.
pub(super) struct Refusal {
    pub(super) errno: i32,
    pub(super) line: Option<String>,
    pub(super) note: String,
}

impl Refusal {
    pub(super) fn new(errno: i32, line: impl Into<String>, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: Some(line.into()), note: note.into() }
    }

    pub(super) fn silent(errno: i32, note: impl Into<String>) -> Refusal {
        Refusal { errno, line: None, note: note.into() }
    }
}

/// A section that a module must have.
pub(super) struct Wanted {
    /// One of the kernels that ask for it.
    pub(super) since: Since,
    /// All these must be there.
    pub(super) names: &'static [&'static str],
    /// The line, behind the module's name; `None` for a silent refusal.
    pub(super) line: Option<&'static str>,
}

/// A relocation as it is in the file.
#[derive(Clone, Copy)]
pub(super) struct Relocation {
    pub(super) offset: u64,
    /// `r_info` whole, by which some loaders sort.
    pub(super) info: u64,
    pub(super) kind: u32,
    pub(super) symbol: usize,
    /// The addend; for REL what stands at the place is not looked at, and this is 0.
    pub(super) addend: i64,
}

/// The relocations of one section, in the order in which they are applied.
pub(super) struct Table {
    pub(super) all: Vec<Relocation>,
    uppers: OnceCell<HashSet<u64>>,
    lasts: OnceCell<(Option<usize>, Option<usize>)>,
}

impl Table {
    pub(super) fn new(all: Vec<Relocation>) -> Table {
        Table { all, uppers: OnceCell::new(), lasts: OnceCell::new() }
    }

    /// Is there a relocation of one of these types at this offset? The types are always the same for one table.
    pub(super) fn has_at(&self, offset: u64, kinds: &[u32]) -> bool {
        let found = || self.all.iter().filter(|one| kinds.contains(&one.kind)).map(|one| one.offset).collect();
        self.uppers.get_or_init(found).contains(&offset)
    }

    /// Where the last of this type is, and the last that is of neither. The types are always the same for one table.
    pub(super) fn last(&self, kind: u32, other: u32) -> (Option<usize>, Option<usize>) {
        *self.lasts.get_or_init(|| {
            let last = self.all.iter().rposition(|one| one.kind == kind);
            (last, self.all.iter().rposition(|one| one.kind != other))
        })
    }
}

/// One relocation while it is applied.
pub(super) struct Site<'s> {
    pub(super) rules: &'s Rules<'s>,
    pub(super) loaded: &'s Loaded<'s>,
    /// The section that contains it, and its number there.
    pub(super) section: usize,
    pub(super) index: usize,
    pub(super) relocation: Relocation,
    /// All of that section.
    pub(super) table: &'s Table,
    /// The section that it is for.
    pub(super) target: &'s Section,
    pub(super) symbol: Symbol<'s>,
    pub(super) whereabouts: Whereabouts,
    pub(super) value: Value,
    /// The kernel itself exports the symbol, or a module does; `None` where that is not known.
    pub(super) is_of_the_kernel: Option<bool>,
}

impl Site<'_> {
    /// The module's name, as most lines begin.
    pub(super) fn module(&self) -> &str {
        &self.loaded.own_name
    }

    /// The relocation's type.
    pub(super) fn kind(&self) -> u32 {
        self.relocation.kind
    }

    /// The symbol's name, for lines.
    pub(super) fn symbol_name(&self) -> String {
        String::from_utf8_lossy(self.symbol.name).into_owned()
    }

    /// Is the symbol in the section that is filled in?
    pub(super) fn is_here(&self) -> bool {
        matches!(self.whereabouts, Whereabouts::Here(_))
    }

    /// Is the symbol in the module?
    pub(super) fn is_in_module(&self) -> bool {
        matches!(self.whereabouts, Whereabouts::Here(_) | Whereabouts::Near(..))
    }

    /// The instruction or word at the place, as far as it is in the file.
    pub(super) fn word_at(&self, offset: u64) -> Option<u32> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.loaded.bytes(self.target).get(start..start.checked_add(4)?)?;
        Some(self.loaded.header.endian.number(bytes) as u32)
    }
}

/// The loader of a machine; `None` for one whose source was not read.
pub(super) fn of(machine: Machine) -> Option<&'static Arch> {
    Some(match (machine.number, machine.class) {
        (62, _) => &x86::X86_64,
        (3 | 6, _) => &x86::I386,
        (183, _) => &arm64::ARM64,
        (40, _) => &arm::ARM,
        (243, Class::Elf64) => &riscv::RISCV64,
        (22 | 0xa390, Class::Elf64) => &s390::S390X,
        (21, _) => &powerpc::PPC64,
        (20, _) => &powerpc::PPC32,
        (8, Class::Elf32) => &mips::MIPS32,
        (8, Class::Elf64) => &mips::MIPS64,
        (258, _) => &loongarch::LOONGARCH,
        (43, _) => &sparc::SPARC64,
        (2 | 18, _) => &sparc::SPARC32,
        (15, Class::Elf32) => &parisc::PARISC32,
        (15, Class::Elf64) => &parisc::PARISC64,
        (42, _) => &sh::SH,
        (93 | 195, _) => &arc::ARC,
        (94 | 0xabc7, _) => &xtensa::XTENSA,
        (164, _) => &hexagon::HEXAGON,
        (252 | 39, _) => &csky::CSKY,
        _ => return None,
    })
}

impl Arch {
    /// What the loader does to a relocation of this type: `None` if it does not know it, `Err` if that is not known.
    pub(super) fn effect(&self, kind: u32, rules: &Rules<'_>) -> Result<Option<Effect>, &'static Type> {
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
    fn missing(&self, wanted: &[Wanted], rules: &Rules<'_>, loaded: &Loaded<'_>) -> Missing {
        let mut missing = Missing::default();
        for Wanted { since, names, line } in wanted {
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
                        format!("it has no section {name}; does the kernel ask for it? (CONFIG_{option} in its configuration)")
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
struct Missing {
    /// The loader refuses it.
    refusal: Option<Refusal>,
    /// It may refuse it: questions.
    unsure: Vec<String>,
}

/// The sections that an architecture asks for before the module is laid out (`module_frob_arch_sections`). A module that
/// was not built by kbuild often lacks them, and has the next fault waiting behind: `next` tells it.
pub(super) fn sections(
    attempt: &Attempt<'_>,
    loaded: &Loaded<'_>,
    record: &mut Record,
    next: impl FnOnce() -> Option<String>,
) -> Flow {
    let Some(arch) = of(attempt.machine(loaded)) else { return Ok(()) };
    let Some(refusal) = arch.missing(arch.sections, attempt.rules, loaded).refusal else { return Ok(()) };
    if let Some(line) = refusal.line {
        record.say(line);
    }
    let behind = next().map(|line| format!("; behind that it has \"{line}\"")).unwrap_or_default();
    record.fail(LoaderStep::Sections, refusal.errno, format!("{}{behind}", refusal.note), None)
}

/// What an architecture asks for when all relocations are applied (`module_finalize`), and the sections of which it was
/// not sure before.
pub(super) fn finalize(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) -> Flow {
    let Some(arch) = of(attempt.machine(loaded)) else { return Ok(()) };
    let last = arch.missing(arch.last_sections, attempt.rules, loaded);
    for note in arch.missing(arch.sections, attempt.rules, loaded).unsure.into_iter().chain(last.unsure) {
        record.unknown(LoaderStep::Sections, note);
    }
    let Some(refusal) = last.refusal else { return Ok(()) };
    if let Some(line) = refusal.line {
        record.say(line);
    }
    record.fail(LoaderStep::Sections, refusal.errno, refusal.note, None)
}

/// The symbol that an undefined symbol is looked up as; `None` for one that the architecture defines itself.
pub(super) fn import<'n>(machine: Machine, rules: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    of(machine).map_or(Some(name), |arch| (arch.import)(rules, name))
}

/// The symbol that an entry of the symbol versions counts for.
pub(super) fn versioned(machine: Machine, name: &[u8]) -> &[u8] {
    of(machine).map_or(name, |arch| (arch.versioned)(name))
}

/// Does a kernel of this machine accept this file header (`elf_check_arch`)?
pub(super) fn accepts(header: &Header, machine: Machine) -> bool {
    of(machine).map_or(header.machine == machine.number, |arch| (arch.accepts)(header, machine))
}

/// The type and the symbol in `r_info`.
pub(super) fn decode(machine: Machine, info: u64) -> (u32, usize) {
    match (machine.number, machine.class) {
        // A word for the symbol and a byte each for up to three types, of which the loader looks at the first.
        (8, Class::Elf64) if machine.endian == Endian::Little => ((info >> 56) as u32, (info & 0xffff_ffff) as usize),
        (8, Class::Elf64) => ((info & 0xff) as u32, (info >> 32) as usize),
        // The upper bits of the type are a number of its own (`R_SPARC_OLO10`).
        (2 | 18 | 43, Class::Elf64) => ((info & 0xff) as u32, (info >> 32) as usize),
        (_, Class::Elf64) => ((info & 0xffff_ffff) as u32, (info >> 32) as usize),
        (_, Class::Elf32) => ((info & 0xff) as u32, (info >> 8) as usize),
    }
}

const fn row(number: u32, name: &'static str, effect: Effect) -> Type {
    Type { number, name, since: Since::Always, effect }
}

const fn since(number: u32, name: &'static str, since: Since, effect: Effect) -> Type {
    Type { number, name, since, effect }
}

fn same_name<'n>(_: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    Some(name)
}

fn as_written(name: &[u8]) -> &[u8] {
    name
}

/// For architectures whose loader checks no value.
fn never(site: &Site<'_>) -> Refusal {
    Refusal::silent(ENOEXEC, format!("the value of a relocation of type {} does not fit", site.kind()))
}

fn does_not_fit(site: &Site<'_>, errno: i32, line: String) -> Refusal {
    Refusal::new(errno, line, format!("the value of a relocation of type {} does not fit", site.kind()))
}

fn not_known(site: &Site<'_>, errno: i32, line: String) -> Refusal {
    Refusal::new(errno, line, format!("a relocation of type {}, which the loader does not know", site.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&Arch; 20] = [
        &x86::X86_64,
        &x86::I386,
        &arm64::ARM64,
        &arm::ARM,
        &riscv::RISCV64,
        &s390::S390X,
        &powerpc::PPC64,
        &powerpc::PPC32,
        &mips::MIPS32,
        &mips::MIPS64,
        &loongarch::LOONGARCH,
        &sparc::SPARC64,
        &sparc::SPARC32,
        &parisc::PARISC32,
        &parisc::PARISC64,
        &sh::SH,
        &arc::ARC,
        &xtensa::XTENSA,
        &hexagon::HEXAGON,
        &csky::CSKY,
    ];

    #[test]
    fn each_table_is_in_the_order_of_its_numbers() {
        for arch in ALL {
            for pair in arch.types.windows(2) {
                let [one, next] = pair else { continue };
                assert!(one.number <= next.number, "{}: {} before {}", arch.name, one.name, next.name);
            }
        }
    }

    #[test]
    fn a_type_stands_twice_only_if_its_versions_differ() {
        for arch in ALL {
            for pair in arch.types.windows(2) {
                let [one, next] = pair else { continue };
                let both_always = matches!((one.since, next.since), (Since::Always, Since::Always));
                assert!(one.number != next.number || !both_always, "{}: {} twice", arch.name, one.name);
            }
        }
    }
}
