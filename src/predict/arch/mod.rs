//! The differences between the loaders of the architectures (arch/*/kernel/module*.c, arch/*/include/asm/elf.h).
//!
//! There is one file per architecture. Each is mostly a table, so that it can be compared with the kernel's source: the ELF
//! headers that the loader accepts, the sections that a module must have, the relocations that it supports and its checks of
//! their values, and the errno and line of each refusal. [`crate::predict::relocations`] walks through a module's relocations
//! with these tables; [`value`] bounds the addresses, which are not known in advance.

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
mod table;
pub(super) mod value;
mod x86;
mod xtensa;

use crate::kernel::Machine;
use crate::module::elf::{Class, Endian};
use crate::predict::attempt::Attempt;
use crate::predict::load_info::{ElfHeader, LoadInfo};
use crate::predict::message::Message;
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::rules::Rules;
use crate::predict::verdict::LoaderStep;
pub(super) use powerpc::has_another_abi;
pub(super) use table::*;

/// The loader of a machine; `None` for a machine whose source was not read.
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

/// The lines of each architecture's loader.
pub(crate) const MESSAGES: [(&str, &[Message]); 14] = [
    ("csky, sh", table::MESSAGES),
    ("x86", x86::MESSAGES),
    ("arm64", arm64::MESSAGES),
    ("arm", arm::MESSAGES),
    ("riscv", riscv::MESSAGES),
    ("s390", s390::MESSAGES),
    ("powerpc", powerpc::MESSAGES),
    ("mips", mips::MESSAGES),
    ("loongarch", loongarch::MESSAGES),
    ("sparc", sparc::MESSAGES),
    ("parisc", parisc::MESSAGES),
    ("arc", arc::MESSAGES),
    ("xtensa", xtensa::MESSAGES),
    ("hexagon", hexagon::MESSAGES),
];

/// Checks the sections that an architecture requires before the module is laid out (`module_frob_arch_sections`). A module that
/// was not built by kbuild often lacks them, and then also has another fault, which `next` finds.
pub(super) fn sections(
    attempt: &Attempt<'_>,
    loaded: &LoadInfo<'_>,
    record: &mut AttemptRecord,
    next: impl FnOnce() -> Option<String>,
) -> Flow {
    let Some(arch) = of(attempt.machine(loaded)) else { return Ok(()) };
    let Some(refusal) = arch.missing(arch.sections, attempt.rules, loaded).refusal else { return Ok(()) };
    if let Some(line) = refusal.line {
        record.say(line);
    }
    let behind = next().map(|line| format!("; it then also has \"{line}\"")).unwrap_or_default();
    record.fail(LoaderStep::Sections, refusal.errno, format!("{}{behind}", refusal.note), None)
}

/// Checks the sections that an architecture requires after all relocations are applied (`module_finalize`), and the sections
/// that were undecided before.
pub(super) fn finalize(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
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

/// The symbol that is looked up for an undefined symbol; `None` for a symbol that the architecture defines itself.
pub(super) fn import<'n>(machine: Machine, rules: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    of(machine).map_or(Some(name), |arch| (arch.import)(rules, name))
}

/// The symbol to which an entry of the symbol versions applies.
pub(super) fn versioned(machine: Machine, name: &[u8]) -> &[u8] {
    of(machine).map_or(name, |arch| (arch.versioned)(name))
}

/// Does a kernel of this machine accept this file header (`elf_check_arch`)?
pub(super) fn accepts(header: &ElfHeader, machine: Machine) -> bool {
    of(machine).map_or(header.machine == machine.number, |arch| (arch.accepts)(header, machine))
}

/// Splits `r_info` into the type and the symbol.
pub(super) fn decode(machine: Machine, info: u64) -> (u32, usize) {
    match (machine.number, machine.class) {
        // A word for the symbol and one byte each for up to three types, of which the loader uses only the first.
        (8, Class::Elf64) if machine.endian == Endian::Little => ((info >> 56) as u32, (info & 0xffff_ffff) as usize),
        (8, Class::Elf64) => ((info & 0xff) as u32, (info >> 32) as usize),
        // The upper bits of the type are a separate number (`R_SPARC_OLO10`).
        (2 | 18 | 43, Class::Elf64) => ((info & 0xff) as u32, (info >> 32) as usize),
        (_, Class::Elf64) => ((info & 0xffff_ffff) as u32, (info >> 32) as usize),
        (_, Class::Elf32) => ((info & 0xff) as u32, (info >> 8) as usize),
    }
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
    fn a_type_is_listed_twice_only_if_its_versions_differ() {
        for arch in ALL {
            for pair in arch.types.windows(2) {
                let [one, next] = pair else { continue };
                let both_always = matches!((one.since, next.since), (Availability::Always, Availability::Always));
                assert!(one.number != next.number || !both_always, "{}: {} twice", arch.name, one.name);
            }
        }
    }
}
