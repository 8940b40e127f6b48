//! csky (arch/csky/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/csky/include/asm/elf.h). Not measured.

use super::{Addresses, Arch, Effect, Tables, as_written, never, not_known, row, same_name};
use crate::predict::errno::ENOEXEC;

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
