//! parisc (arch/parisc/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/parisc/include/asm/elf.h). Not measured.
//!
//! A relocation against a symbol whose value is 0 is refused: `Unknown symbol`, ENOENT.

use crate::module::elf::Class;
use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationResult, RelocationSite, RelocationTables, not_known, row,
};
use crate::predict::arch::value::Addresses;
use crate::predict::availability::Availability;
use crate::predict::errno::{ENOENT, ENOEXEC};
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

const EM_PARISC: u16 = 15;
const STORED: RelocationEffect = RelocationEffect::Custom(stored);

pub(super) const PARISC32: Arch = Arch {
    name: "parisc",
    is_measured: false,
    accepts: |header, machine| {
        header.machine == EM_PARISC && (header.class_byte == 2) == (machine.class == Class::Elf64)
    },
    tables: RelocationTables::Rela,
    types: &[
        row(1, "DIR32", STORED),
        row(2, "DIR21L", STORED),
        row(6, "DIR14R", STORED),
        row(9, "PCREL32", STORED),
        row(12, "PCREL17F", STORED),
        row(18, "DPREL21L", STORED),
        row(22, "DPREL14R", STORED),
        row(41, "SECREL32", STORED),
        row(49, "SEGREL32", STORED),
        row(65, "PLABEL32", STORED),
        row(74, "PCREL22F", STORED),
    ],
    unknown_type: |site| match stored(site) {
        RelocationResult::Refused(refusal) => refusal,
        _ => not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    },
    addresses: Addresses { modules: (1, 1 << 40), kernel: (1, 1 << 40), reach: 1 << 40, apart: 1 << 40 },
    ..PLAIN
};

pub(super) const PARISC64: Arch = Arch {
    types: &[
        row(9, "PCREL32", STORED),
        row(34, "LTOFF21L", STORED),
        row(38, "LTOFF14R", STORED),
        row(41, "SECREL32", STORED),
        row(49, "SEGREL32", STORED),
        row(64, "FPTR64", STORED),
        row(72, "PCREL64", STORED),
        row(74, "PCREL22F", STORED),
        row(80, "DIR64", STORED),
    ],
    ..PARISC32
};

/// The symbol is checked before the type.
fn stored(site: &RelocationSite<'_>) -> RelocationResult {
    let is_zero = site.value.exact() == Some(site.relocation.addend as u64);
    if !is_zero {
        return RelocationResult::Done;
    }
    let line = UNKNOWN_SYMBOL.line([&site.module(), &site.symbol_name()]);
    RelocationResult::Refused(Refusal::new(ENOENT, line, "a relocation is against a symbol whose value is 0"))
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: Unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_SYMBOL[2] Effect::Refuses(ENOENT), Availability::Always,
        "{module}: Unknown symbol {symbol}",
        "a relocation is against {symbol}, whose value is 0";
}
