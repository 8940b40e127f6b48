//! mips (arch/mips/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/mips/include/asm/elf.h). Measured on real kernels (6.1,
//! little-endian).
//!
//! A relocation of an unknown type fails with EINVAL. The numbers of some errnos are specific to mips
//! ([`crate::predict::errno`]).

use crate::kernel::Machine;
use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationResult, RelocationSite, RelocationTables, RelocationType,
    does_not_fit, not_known, row,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::availability::Availability;
use crate::predict::errno::{EINVAL, ENOEXEC};
use crate::predict::load_info::ElfHeader;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

const EM_MIPS: u16 = 8;
/// e_flags (arch/mips/include/uapi/asm/elf.h is arch/mips/include/asm/elf.h).
const EF_MIPS_ABI2: u32 = 0x20;
const EF_MIPS_FP64: u32 = 0x200;
const EF_MIPS_ABI: u32 = 0xf000;
const EF_MIPS_ABI_O32: u32 = 0x1000;

const HI16: u32 = 5;
const LO16: u32 = 6;

const TYPES_32: &[RelocationType] = &[
    row(0, "NONE", RelocationEffect::Ignored),
    row(2, "32", RelocationEffect::Stored(4)),
    row(4, "26", RelocationEffect::Custom(jump)),
    row(5, "HI16", RelocationEffect::Custom(upper_half)),
    row(6, "LO16", RelocationEffect::Custom(lower_half)),
    row(10, "PC16", RelocationEffect::Custom(branch)),
    // These types are valid only in tables with addends; the loader warns about others.
    row(18, "64", RelocationEffect::Refused(without_addend)),
    row(28, "HIGHER", RelocationEffect::Refused(without_addend)),
    row(29, "HIGHEST", RelocationEffect::Refused(without_addend)),
    row(60, "PC21_S2", RelocationEffect::Custom(branch)),
    row(61, "PC26_S2", RelocationEffect::Custom(branch)),
];

const TYPES_64: &[RelocationType] = &[
    row(0, "NONE", RelocationEffect::Ignored),
    row(2, "32", RelocationEffect::Stored(4)),
    row(4, "26", RelocationEffect::Custom(jump)),
    row(5, "HI16", RelocationEffect::Stored(4)),
    row(6, "LO16", RelocationEffect::Stored(4)),
    row(10, "PC16", RelocationEffect::Custom(branch)),
    row(18, "64", RelocationEffect::Stored(8)),
    row(28, "HIGHER", RelocationEffect::Stored(4)),
    row(29, "HIGHEST", RelocationEffect::Stored(4)),
    row(60, "PC21_S2", RelocationEffect::Custom(branch)),
    row(61, "PC26_S2", RelocationEffect::Custom(branch)),
];

pub(super) const MIPS32: Arch = Arch {
    name: "mips",
    is_measured: true,
    accepts: accepts_32,
    tables: RelocationTables::Rel,
    types: TYPES_32,
    unknown_type,
    overflow,
    // Modules lie in mapped memory, the kernel in the half GiB of unmapped memory.
    addresses: Addresses {
        modules: (-0x4000_0000, -0x100_0000),
        kernel: (-0x8000_0000, -0x6000_0000),
        reach: 0x7fff_ffff,
        apart: 0x3fff_ffff,
    },
    ..PLAIN
};

pub(super) const MIPS64: Arch = Arch {
    accepts: |header, _| header.machine == EM_MIPS && header.class_byte == 2,
    tables: RelocationTables::Both,
    types: TYPES_64,
    ..MIPS32
};

/// `elf32_check_arch`: the kernel's class and ABI are required, and a floating-point ABI that the kernel supports.
fn accepts_32(header: &ElfHeader, _: Machine) -> bool {
    let abi = header.flags & EF_MIPS_ABI;
    header.machine == EM_MIPS
        && header.class_byte == 1
        && header.flags & (EF_MIPS_ABI2 | EF_MIPS_FP64) == 0
        && matches!(abi, 0 | EF_MIPS_ABI_O32)
}

fn unknown_type(site: &RelocationSite<'_>) -> Refusal {
    not_known(site, EINVAL, UNKNOWN_TYPE.line([&site.module(), &site.kind()]))
}

fn overflow(site: &RelocationSite<'_>) -> Refusal {
    does_not_fit(site, ENOEXEC, OVERFLOW.line([&site.module()]))
}

fn dangerous(site: &RelocationSite<'_>, name: &str) -> RelocationResult {
    let line = DANGEROUS.line([&site.module(), &name]);
    RelocationResult::Refused(does_not_fit(site, ENOEXEC, line))
}

/// A jump stays within its 256 MiB region: the kernel's own functions never lie in it, those of the module usually do.
fn jump(site: &RelocationSite<'_>) -> RelocationResult {
    if site.value.sum_fits(Range::any().by(4)) == Some(false) {
        return dangerous(site, "26");
    }
    match site.value.exact() {
        Some(_) => RelocationResult::Refused(overflow(site)),
        None if site.is_in_module() => RelocationResult::Done,
        None => match site.is_of_the_kernel {
            Some(true) => RelocationResult::Refused(overflow(site)),
            _ => RelocationResult::Unsure("is a jump's target in the same 256 MiB?".to_owned()),
        },
    }
}

/// The value is relative to the place, and counted in words.
fn branch(site: &RelocationSite<'_>) -> RelocationResult {
    let (bits, name) = match site.kind() {
        60 => (21, "PC21"),
        61 => (26, "PC26"),
        _ => (16, "PC16"),
    };
    if site.value.sum_fits(Range::any().by(4)) == Some(false) {
        return dangerous(site, name);
    }
    match site.value.distance_fits(Range::signed(bits + 2)) {
        Some(true) => RelocationResult::Done,
        Some(false) => RelocationResult::Refused(overflow(site)),
        None => RelocationResult::Unsure("does a branch reach?".to_owned()),
    }
}

fn without_addend(site: &RelocationSite<'_>) -> Refusal {
    Refusal::silent(EINVAL, format!("a relocation of type {} in a table without addends", site.kind()))
}

/// An upper half waits for the lower half after it; if there is none before the end of its table, it is refused silently.
fn upper_half(site: &RelocationSite<'_>) -> RelocationResult {
    let (last_lower, last_other) = site.table.last(LO16, HI16);
    let is_before = |last: Option<usize>| last.is_some_and(|last| site.index < last);
    match (is_before(last_lower), is_before(last_other)) {
        (true, _) => RelocationResult::Done,
        // A refusal of a later relocation would come first.
        (false, true) => {
            RelocationResult::Unsure("is an upper half of an address without its lower half refused first?".to_owned())
        }
        (false, false) => {
            let note = "the upper half of an address has no lower half";
            RelocationResult::Refused(Refusal::silent(ENOEXEC, note))
        }
    }
}

/// All waiting upper halves must refer to the same address; otherwise `dangerous R_MIPS_LO16 relocation`, ENOEXEC.
fn lower_half(site: &RelocationSite<'_>) -> RelocationResult {
    let before = site.table.all.get(..site.index).unwrap_or_default();
    let waiting = before.iter().rev().take_while(|other| other.kind != LO16).filter(|other| other.kind == HI16);
    let ours = site.relocation.symbol;
    match waiting.map(|other| other.symbol).find(|symbol| *symbol != ours) {
        None => RelocationResult::Done,
        // Two symbols may have the same value.
        Some(_) => RelocationResult::Unsure("are the two halves of an address of the same symbol?".to_owned()),
    }
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Unknown relocation type {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OVERFLOW[1] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: relocation overflow",
        "a jump does not reach its target: the module was compiled without -mlong-calls";
    DANGEROUS[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: dangerous R_MIPS_{type} relocation",
        "the two halves of an address do not fit each other, or a jump goes to an odd address";
}
