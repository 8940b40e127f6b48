//! arc (arch/arc/kernel/module.c of 5.10, 6.1, 6.12 and 7.2; arch/arc/kernel/process.c). Not measured.
//!
//! Modules are built with long calls, so they contain only three relocation types.

use crate::predict::arch::table::{Arch, PLAIN, RelocationEffect, RelocationTables, not_known, row};
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

pub(super) const ARC: Arch = Arch {
    name: "arc",
    is_measured: false,
    // The machine number must be the kernel's own instruction set: ARCompact or ARCv2.
    accepts: |header, machine| header.machine == machine.number,
    tables: RelocationTables::Rela,
    types: &[
        row(0x04, "32", RelocationEffect::Stored(4)),
        row(0x1b, "32_ME", RelocationEffect::Stored(4)),
        row(0x31, "32_PCREL", RelocationEffect::Stored(4)),
    ],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    ..PLAIN
};

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
}
