//! x86 (arch/x86/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/x86/include/asm/elf.h). Measured on real kernels.
//!
//! On x86-64 the bytes at a place must be zero before it is filled in: [`crate::predict::relocations`] checks that.

use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationTables, ValueBase, not_known, row, since,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

/// Modules and the kernel share the uppermost 2 GiB (arch/x86/include/asm/pgtable_64_types.h).
const UPPERMOST: (i128, i128) = (-(1 << 31), -1);

pub(super) const X86_64: Arch = Arch {
    name: "x86",
    is_measured: true,
    accepts: |header, _| header.machine == 62,
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(1, "64", RelocationEffect::Stored(8)),
        row(2, "PC32", RelocationEffect::Stored(4)),
        // 4.16; 3.16.x and 4.x of stable took it over later.
        since(4, "PLT32", Availability::Between((3, 15), (4, 16)), RelocationEffect::Stored(4)),
        row(10, "32", RelocationEffect::Fits(ValueBase::Absolute, Range::unsigned(32))),
        row(11, "32S", RelocationEffect::Fits(ValueBase::Absolute, Range::signed(32))),
        since(24, "PC64", Availability::Between((4, 18), (4, 20)), RelocationEffect::Stored(8)),
    ],
    unknown_type: |site| {
        // Before 3.5 it named no file.
        let line = match site.rules.since(3, 5) {
            Some(false) => UNKNOWN_TYPE_OLD.line([&site.module(), &site.kind()]),
            _ => UNKNOWN_TYPE.line([&site.module(), &site.kind()]),
        };
        not_known(site, ENOEXEC, line)
    },
    overflow: |site| {
        let value = site.value.exact().map_or(String::new(), |value| format!("{value:x}"));
        let line = OVERFLOW.line([&site.kind(), &value]);
        let note = format!("the value of a relocation of type {} does not fit", site.kind());
        Refusal { errno: ENOEXEC, line: Some(line), note }
    },
    addresses: Addresses { modules: UPPERMOST, kernel: UPPERMOST, reach: 1 << 31, apart: 1 << 31 },
    ..PLAIN
};

pub(super) const I386: Arch = Arch {
    name: "x86",
    is_measured: true,
    accepts: |header, _| matches!(header.machine, 3 | 6),
    tables: RelocationTables::Rel,
    types: &[
        row(1, "32", RelocationEffect::Stored(4)),
        row(2, "PC32", RelocationEffect::Stored(4)),
        // 5.12, and the stable kernels of 2021.
        since(4, "PLT32", Availability::Between((4, 3), (5, 12)), RelocationEffect::Stored(4)),
    ],
    unknown_type: |site| {
        let line = UNKNOWN_TYPE_32.line([&site.module(), &site.kind()]);
        not_known(site, ENOEXEC, line)
    },
    addresses: Addresses { modules: UPPERMOST, kernel: UPPERMOST, reach: 1 << 31, apart: 1 << 31 },
    ..PLAIN
};

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Version((3, 5)),
        "module: {module}: Unknown rela relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_TYPE_OLD[2] Effect::Refuses(ENOEXEC), Availability::Not(&Availability::Version((3, 5))),
        "module {module}: Unknown rela relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OVERFLOW[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module: overflow in relocation type {type:d} val {value:*}",
        "a value does not fit into 32 bits: the module was likely not compiled with -mcmodel=kernel";
    UNKNOWN_TYPE_32[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module: {module}: Unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
}
