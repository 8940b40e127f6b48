//! csky (arch/csky/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/csky/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{Arch, Effect, PLAIN, Tables, row};

pub(super) const CSKY: Arch = Arch {
    name: "csky",
    is_measured: false,
    // EM_CSKY and EM_CSKY_OLD.
    accepts: |header, _| matches!(header.machine, 252 | 39),
    tables: Tables::Rela,
    types: &[
        row(1, "32", Effect::Stored(4)),
        row(5, "PC32", Effect::Stored(4)),
        row(6, "PCRELJSR_IMM11BY2", Effect::Ignored),
        row(24, "ADDR_HI16", Effect::Stored(4)),
        row(25, "ADDR_LO16", Effect::Stored(4)),
        row(40, "PCRELJSR_IMM26BY2", Effect::Stored(4)),
    ],
    ..PLAIN
};
