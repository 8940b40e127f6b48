//! xtensa (arch/xtensa/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/xtensa/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationSite, RelocationTables, not_known, row,
};
use crate::predict::errno::ENOEXEC;

pub(super) const XTENSA: Arch = Arch {
    name: "xtensa",
    is_measured: false,
    // EM_XTENSA and EM_XTENSA_OLD.
    accepts: |header, _| matches!(header.machine, 94 | 0xabc7),
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(1, "32", RelocationEffect::Stored(4)),
        row(6, "PLT", RelocationEffect::Stored(4)),
        row(11, "ASM_EXPAND", RelocationEffect::Ignored),
        row(17, "DIFF8", RelocationEffect::Ignored),
        row(18, "DIFF16", RelocationEffect::Ignored),
        row(19, "DIFF32", RelocationEffect::Ignored),
        // A call or a load of a literal must reach; modules are built with long calls.
        row(20, "SLOT0_OP", RelocationEffect::Stored(3)),
    ],
    unknown_type,
    ..PLAIN
};

/// SLOT1_OP to SLOT14_OP, SLOT0_ALT to SLOT14_ALT, and the rest.
fn unknown_type(site: &RelocationSite<'_>) -> Refusal {
    let what = match site.kind() {
        21..=34 => "unexpected FLIX relocation",
        35..=49 => "unexpected ALT relocation",
        _ => "unexpected relocation",
    };
    not_known(site, ENOEXEC, format!("{}: {what}: {}", site.module(), site.kind()))
}
