//! xtensa (arch/xtensa/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/xtensa/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{Arch, Effect, PLAIN, Refusal, Site, Tables, not_known, row};
use crate::predict::errno::ENOEXEC;

pub(super) const XTENSA: Arch = Arch {
    name: "xtensa",
    is_measured: false,
    // EM_XTENSA and EM_XTENSA_OLD.
    accepts: |header, _| matches!(header.machine, 94 | 0xabc7),
    tables: Tables::Rela,
    types: &[
        row(0, "NONE", Effect::Ignored),
        row(1, "32", Effect::Stored(4)),
        row(6, "PLT", Effect::Stored(4)),
        row(11, "ASM_EXPAND", Effect::Ignored),
        row(17, "DIFF8", Effect::Ignored),
        row(18, "DIFF16", Effect::Ignored),
        row(19, "DIFF32", Effect::Ignored),
        // A call or a load of a literal must reach; modules are built with long calls.
        row(20, "SLOT0_OP", Effect::Stored(3)),
    ],
    unknown_type,
    ..PLAIN
};

/// SLOT1_OP to SLOT14_OP, SLOT0_ALT to SLOT14_ALT, and the rest.
fn unknown_type(site: &Site<'_>) -> Refusal {
    let what = match site.kind() {
        21..=34 => "unexpected FLIX relocation",
        35..=49 => "unexpected ALT relocation",
        _ => "unexpected relocation",
    };
    not_known(site, ENOEXEC, format!("{}: {what}: {}", site.module(), site.kind()))
}
