//! csky (arch/csky/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/csky/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{Arch, PLAIN, RelocationEffect, RelocationTables, row};

pub(super) const CSKY: Arch = Arch {
    name: "csky",
    is_measured: false,
    // EM_CSKY and EM_CSKY_OLD.
    accepts: |header, _| matches!(header.machine, 252 | 39),
    tables: RelocationTables::Rela,
    types: &[
        row(1, "32", RelocationEffect::Stored(4)),
        row(5, "PC32", RelocationEffect::Stored(4)),
        row(6, "PCRELJSR_IMM11BY2", RelocationEffect::Ignored),
        row(24, "ADDR_HI16", RelocationEffect::Stored(4)),
        row(25, "ADDR_LO16", RelocationEffect::Stored(4)),
        row(40, "PCRELJSR_IMM26BY2", RelocationEffect::Stored(4)),
    ],
    ..PLAIN
};
