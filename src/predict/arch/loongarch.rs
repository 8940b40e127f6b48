//! loongarch (arch/loongarch/kernel/module.c and module-sections.c of 6.1, 6.12 and 7.2). Not measured.

use crate::module::elf::Class;
use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationResult, RelocationSite, RelocationTables,
    RequiredSections, not_known, row, since,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::{EINVAL, ENOEXEC};
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

const EM_LOONGARCH: u16 = 258;
/// Types that 6.12 supports and 6.1 does not, and those that 7.2 supports and 6.12 does not.
const LATER: Availability = Availability::Between((6, 1), (6, 12));
const LATEST: Availability = Availability::Between((6, 12), (7, 2));
/// Relocations of old assemblers, which operate on a stack of numbers.
const STACK: RelocationEffect = RelocationEffect::Unsure("what comes of relocations that use a stack?");

pub(super) const LOONGARCH: Arch = Arch {
    name: "loongarch",
    is_measured: false,
    accepts: |header, machine| {
        header.machine == EM_LOONGARCH && (header.class_byte == 2) == (machine.class == Class::Elf64)
    },
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(1, "32", RelocationEffect::Stored(4)),
        row(2, "64", RelocationEffect::Stored(8)),
        row(20, "MARK_LA", RelocationEffect::Ignored),
        row(21, "MARK_PCREL", RelocationEffect::Ignored),
        row(22, "SOP_PUSH_PCREL", STACK),
        row(23, "SOP_PUSH_ABSOLUTE", STACK),
        row(24, "SOP_PUSH_DUP", STACK),
        row(29, "SOP_PUSH_PLT_PCREL", STACK),
        row(32, "SOP_SUB", STACK),
        row(33, "SOP_SL", STACK),
        row(34, "SOP_SR", STACK),
        row(35, "SOP_ADD", STACK),
        row(36, "SOP_AND", STACK),
        row(37, "SOP_IF_ELSE", STACK),
        row(38, "SOP_POP_32_S_10_5", STACK),
        row(39, "SOP_POP_32_U_10_12", STACK),
        row(40, "SOP_POP_32_S_10_12", STACK),
        row(41, "SOP_POP_32_S_10_16", STACK),
        row(42, "SOP_POP_32_S_10_16_S2", STACK),
        row(43, "SOP_POP_32_S_5_20", STACK),
        row(44, "SOP_POP_32_S_0_5_10_16_S2", STACK),
        row(45, "SOP_POP_32_S_0_10_10_16_S2", STACK),
        row(46, "SOP_POP_32_U", STACK),
        row(50, "ADD32", RelocationEffect::Stored(4)),
        row(51, "ADD64", RelocationEffect::Stored(8)),
        row(55, "SUB32", RelocationEffect::Stored(4)),
        row(56, "SUB64", RelocationEffect::Stored(8)),
        row(66, "B26", RelocationEffect::Custom(branch)),
        row(71, "PCALA_HI20", RelocationEffect::Stored(4)),
        row(72, "PCALA_LO12", RelocationEffect::Stored(4)),
        row(73, "PCALA64_LO20", RelocationEffect::Stored(4)),
        row(74, "PCALA64_HI12", RelocationEffect::Stored(4)),
        row(75, "GOT_PC_HI20", RelocationEffect::Entry),
        row(76, "GOT_PC_LO12", RelocationEffect::Entry),
        since(99, "32_PCREL", LATER, RelocationEffect::Stored(4)),
        since(109, "64_PCREL", LATER, RelocationEffect::Stored(8)),
        since(128, "PCADD_HI20", LATEST, RelocationEffect::Stored(4)),
        since(129, "PCADD_LO12", LATEST, RelocationEffect::Unsure("has the lower half of an address its upper half?")),
        since(130, "GOT_PCADD_HI20", LATEST, RelocationEffect::Entry),
        since(
            131,
            "GOT_PCADD_LO12",
            LATEST,
            RelocationEffect::Unsure("has the lower half of an address its upper half?"),
        ),
    ],
    unknown_type,
    sections: &[
        RequiredSections { since: Availability::Always, names: &[".got"], line: Some(|name| NO_GOT.line([&name])) },
        RequiredSections { since: Availability::Always, names: &[".plt"], line: Some(|name| NO_PLT.line([&name])) },
        RequiredSections {
            since: Availability::Always,
            names: &[".plt.idx"],
            line: Some(|name| NO_PLT_INDEX.line([&name])),
        },
    ],
    addresses: Addresses {
        modules: (-(1 << 60), -(1 << 36)),
        kernel: (-(1 << 63), -(1 << 36)),
        reach: 1 << 62,
        apart: 0x7fff_0000,
    },
    ..PLAIN
};

/// Types within the table that have no handler have a line of their own; the end of the table moved with the psABI.
fn unknown_type(site: &RelocationSite<'_>) -> Refusal {
    let last = if site.rules.since(7, 2) == Some(true) { 139 } else { 109 };
    let line = match site.kind() {
        kind if kind <= last => UNSUPPORTED_TYPE.line([&site.module(), &kind]),
        kind => UNKNOWN_TYPE.line([&site.module(), &kind]),
    };
    not_known(site, EINVAL, line)
}

/// If the target is out of range, the PLT is used; its address must be a multiple of four.
fn branch(site: &RelocationSite<'_>) -> RelocationResult {
    match site.value.distance_fits(Range::any().by(4)) {
        Some(false) => {
            let line = ODD_JUMP.line([&site.module(), &""]);
            RelocationResult::Refused(Refusal::new(
                ENOEXEC,
                line,
                "a branch goes to an address that is no multiple of four",
            ))
        }
        _ => RelocationResult::Done,
    }
}

messages! {
    Some(LoaderStep::Relocations);
    UNSUPPORTED_TYPE[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Unsupport relocation type {type:d}, please add its support.",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_TYPE[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Unknown relocation type {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    ODD_JUMP[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module {module}: jump offset = 0x{values:*}",
        "a branch goes to an address that is no multiple of four, or too far away";
    NO_GOT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module GOT section(s) missing",
        "it lacks the section for addresses (.got), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
    NO_PLT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module PLT section(s) missing",
        "it lacks the section for jumps (.plt), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
    NO_PLT_INDEX[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module PLT.IDX section(s) missing",
        "it lacks the section .plt.idx, which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
}
