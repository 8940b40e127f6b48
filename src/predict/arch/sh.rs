//! sh (arch/sh/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/sh/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{Arch, PLAIN, RelocationEffect, RelocationTables, row};

pub(super) const SH: Arch = Arch {
    name: "sh",
    is_measured: false,
    accepts: |header, _| header.machine == 42,
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(1, "DIR32", RelocationEffect::Stored(4)),
        row(2, "REL32", RelocationEffect::Stored(4)),
        row(246, "IMM_LOW16", RelocationEffect::Stored(4)),
        row(247, "IMM_LOW16_PCREL", RelocationEffect::Stored(4)),
        row(248, "IMM_MEDLOW16", RelocationEffect::Stored(4)),
        row(249, "IMM_MEDLOW16_PCREL", RelocationEffect::Stored(4)),
    ],
    ..PLAIN
};
