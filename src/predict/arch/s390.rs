//! s390x (arch/s390/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/s390/include/asm/elf.h). Measured on real kernels.

use crate::module::elf::Class;
use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationResult, RelocationSite, RelocationTables, RelocationType,
    ValueBase, does_not_fit, not_known, row,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::rules::Rules;
use crate::predict::verdict::LoaderStep;

/// The machine number, and the number that was used before it was registered (include/uapi/linux/elf-em.h).
const EM_S390: u16 = 22;
const EM_S390_OLD: u16 = 0xa390;

const DOUBLED_16: Range = Range::signed(17).by(2);
const DOUBLED_32: Range = Range::signed(33).by(2);

const fn fits(number: u32, name: &'static str, base: ValueBase, range: Range) -> RelocationType {
    row(number, name, RelocationEffect::Fits(base, range))
}

/// The value goes through the GOT or the PLT, which the loader places after the module.
const fn entry(number: u32, name: &'static str) -> RelocationType {
    row(number, name, RelocationEffect::Entry)
}

/// A branch through the PLT must still go to an even address.
const fn doubled(number: u32, name: &'static str) -> RelocationType {
    row(number, name, RelocationEffect::Custom(even))
}

const fn linked(number: u32, name: &'static str) -> RelocationType {
    row(number, name, RelocationEffect::Refused(shared))
}

pub(super) const S390X: Arch = Arch {
    name: "s390",
    is_measured: true,
    accepts: |header, machine| {
        matches!(header.machine, EM_S390 | EM_S390_OLD) && (header.class_byte == 2) == (machine.class == Class::Elf64)
    },
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        fits(1, "8", ValueBase::Absolute, Range::unsigned(8)),
        fits(2, "12", ValueBase::Absolute, Range::unsigned(12)),
        fits(3, "16", ValueBase::Absolute, Range::unsigned(16)),
        fits(4, "32", ValueBase::Absolute, Range::unsigned(32)),
        fits(5, "PC32", ValueBase::Place, Range::signed(32)),
        entry(6, "GOT12"),
        entry(7, "GOT32"),
        entry(8, "PLT32"),
        linked(9, "COPY"),
        linked(10, "GLOB_DAT"),
        linked(11, "JMP_SLOT"),
        linked(12, "RELATIVE"),
        row(13, "GOTOFF32", RelocationEffect::Unsure("does an offset into the GOT fit?")),
        entry(14, "GOTPC"),
        entry(15, "GOT16"),
        fits(16, "PC16", ValueBase::Place, Range::signed(16)),
        fits(17, "PC16DBL", ValueBase::Place, DOUBLED_16),
        row(18, "PLT16DBL", RelocationEffect::Unsure("does a branch of 16 bits reach the PLT?")),
        fits(19, "PC32DBL", ValueBase::Place, DOUBLED_32),
        doubled(20, "PLT32DBL"),
        entry(21, "GOTPCDBL"),
        row(22, "64", RelocationEffect::Stored(8)),
        row(23, "PC64", RelocationEffect::Stored(8)),
        entry(24, "GOT64"),
        entry(25, "PLT64"),
        doubled(26, "GOTENT"),
        row(27, "GOTOFF16", RelocationEffect::Unsure("does an offset into the GOT fit?")),
        entry(28, "GOTOFF64"),
        entry(29, "GOTPLT12"),
        entry(30, "GOTPLT16"),
        entry(31, "GOTPLT32"),
        entry(32, "GOTPLT64"),
        doubled(33, "GOTPLTENT"),
        entry(34, "PLTOFF16"),
        entry(35, "PLTOFF32"),
        entry(36, "PLTOFF64"),
        fits(57, "20", ValueBase::Absolute, Range::signed(20)),
        entry(58, "GOT20"),
        entry(59, "GOTPLT20"),
    ],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    overflow,
    // Modules lie far above 4 GiB; the kernel at the bottom of memory, or, from 6.10 on, near its modules.
    addresses: Addresses { modules: (1 << 40, 1 << 53), kernel: (0, 1 << 53), reach: 1 << 53, apart: 0x7000_0000 },
    import,
    ..PLAIN
};

fn overflow(site: &RelocationSite<'_>) -> Refusal {
    let line = OUT_OF_RANGE.line([&site.module(), &site.symbol_name(), &site.kind(), &""]);
    does_not_fit(site, ENOEXEC, line)
}

/// The value is counted in half-words. Entries of the GOT and PLT are at even addresses, and so are the kernel's functions.
fn even(site: &RelocationSite<'_>) -> RelocationResult {
    // Only the addend and the place can be odd: the symbol's own value is stored in the entry.
    let rest = i128::from(site.relocation.addend) - i128::from(site.relocation.offset);
    match rest.rem_euclid(2) {
        0 => RelocationResult::Done,
        _ => RelocationResult::Refused(overflow(site)),
    }
}

/// Relocations of modules linked with -shared, which are not supported.
fn shared(site: &RelocationSite<'_>) -> Refusal {
    Refusal::silent(ENOEXEC, format!("a relocation of type {}, which only shared objects have", site.kind()))
}

/// `module_frob_arch_sections` makes this symbol absolute.
fn import<'n>(_: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    (name != b"_GLOBAL_OFFSET_TABLE_").then_some(name)
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OUT_OF_RANGE[4] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: relocation error for symbol {symbol:*} (r_type {type:d}, value 0x{values:*}",
        "the value of a relocation of type {type} does not fit: the module lies too far from what it refers to";
}
