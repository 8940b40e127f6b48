//! sparc and sparc64 (arch/sparc/kernel/module.c of 5.10, 6.1, 6.12 and 7.2). Not measured.

use crate::predict::arch::table::{
    Arch, PLAIN, Refusal, RelocationEffect, RelocationSite, RelocationTables, not_known, row,
};
use crate::predict::arch::value::Addresses;
use crate::predict::availability::Availability;
use crate::predict::errno::ENOEXEC;
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

const EM_SPARCV9: u16 = 43;
const EM_SPARC: u16 = 2;

const SOMEWHERE: Addresses = Addresses { modules: (0, 1 << 32), kernel: (0, 1 << 63), reach: 1 << 63, apart: 1 << 32 };

pub(super) const SPARC64: Arch = Arch {
    name: "sparc",
    is_measured: false,
    accepts: |header, _| header.machine == EM_SPARCV9,
    tables: RelocationTables::Rela,
    types: &[
        row(3, "32", RelocationEffect::Stored(4)),
        row(6, "DISP32", RelocationEffect::Stored(4)),
        row(7, "WDISP30", RelocationEffect::Stored(4)),
        row(8, "WDISP22", RelocationEffect::Stored(4)),
        row(9, "HI22", RelocationEffect::Stored(4)),
        row(12, "LO10", RelocationEffect::Stored(4)),
        row(23, "UA32", RelocationEffect::Stored(4)),
        row(32, "64", RelocationEffect::Stored(8)),
        row(33, "OLO10", RelocationEffect::Stored(4)),
        row(41, "WDISP19", RelocationEffect::Stored(4)),
        row(54, "UA64", RelocationEffect::Stored(8)),
    ],
    unknown_type,
    addresses: SOMEWHERE,
    ..PLAIN
};

pub(super) const SPARC32: Arch = Arch {
    accepts: |header, _| header.machine == EM_SPARC,
    types: &[
        row(3, "32", RelocationEffect::Stored(4)),
        row(6, "DISP32", RelocationEffect::Stored(4)),
        row(7, "WDISP30", RelocationEffect::Stored(4)),
        row(8, "WDISP22", RelocationEffect::Stored(4)),
        row(9, "HI22", RelocationEffect::Stored(4)),
        row(12, "LO10", RelocationEffect::Stored(4)),
        row(23, "UA32", RelocationEffect::Stored(4)),
    ],
    ..SPARC64
};

/// The number is printed in hexadecimal digits, which 7.2 marks by a prefix and 6.12 does not.
fn unknown_type(site: &RelocationSite<'_>) -> Refusal {
    let kind = format!("{:x}", site.kind() & 0xff);
    let line = match site.rules.since(7, 0) {
        Some(true) => UNKNOWN_TYPE.line([&site.module(), &kind]),
        _ => UNKNOWN_TYPE_OLD.line([&site.module(), &kind]),
    };
    not_known(site, ENOEXEC, line)
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Version((7, 0)),
        "module {module}: Unknown relocation: 0x{type:x}",
        "it has a relocation of type 0x{type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_TYPE_OLD[2] Effect::Refuses(ENOEXEC), Availability::Not(&Availability::Version((7, 0))),
        "module {module}: Unknown relocation: {type:x}",
        "it has a relocation of type 0x{type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
}
