//! xtensa (arch/xtensa/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/xtensa/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationSite, RelocationTables, not_known, row,
};
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

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
        21..=34 => UNEXPECTED_FLIX,
        35..=49 => UNEXPECTED_ALT,
        _ => UNEXPECTED,
    };
    not_known(site, ENOEXEC, what.line([&site.module(), &site.kind()]))
}

messages! {
    Some(LoaderStep::Relocations);
    UNEXPECTED_FLIX[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unexpected FLIX relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNEXPECTED_ALT[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unexpected ALT relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNEXPECTED[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unexpected relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
}
