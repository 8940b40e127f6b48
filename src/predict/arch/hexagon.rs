//! hexagon (arch/hexagon/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/hexagon/include/asm/elf.h). Not measured.

use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationSite, RelocationTables, ValueBase, does_not_fit, not_known, row,
};
use crate::predict::arch::value::Range;
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

pub(super) const HEXAGON: Arch = Arch {
    name: "hexagon",
    is_measured: false,
    accepts: |header, _| header.machine == 164,
    tables: RelocationTables::Rela,
    types: &[
        row(1, "B22_PCREL", RelocationEffect::Fits(ValueBase::Place, Range::signed(24))),
        row(4, "LO16", RelocationEffect::Stored(4)),
        row(5, "HI16", RelocationEffect::Stored(4)),
        row(6, "32", RelocationEffect::Stored(4)),
        row(31, "32_PCREL", RelocationEffect::Stored(4)),
        row(36, "PLT_B22_PCREL", RelocationEffect::Refused(position_independent)),
        row(37, "GOTOFF_LO16", RelocationEffect::Refused(position_independent)),
        row(38, "GOTOFF_HI16", RelocationEffect::Refused(position_independent)),
    ],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    overflow: |site| does_not_fit(site, ENOEXEC, OUT_OF_RANGE.line([&site.module(), &""])),
    ..PLAIN
};

fn position_independent(site: &RelocationSite<'_>) -> Refusal {
    let line = POSITION_INDEPENDENT.line([&site.module()]);
    Refusal::new(ENOEXEC, line, "it was compiled as position-independent code, which this loader does not take")
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OUT_OF_RANGE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: R_HEXAGON_B22_PCREL reloc out of range: {values:*}",
        "a branch does not reach its target";
    POSITION_INDEPENDENT[1] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: GOT/PLT relocations unsupported",
        "it was compiled as position-independent code";
}
