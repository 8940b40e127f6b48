//! powerpc (arch/powerpc/kernel/module_64.c, module_32.c and module.c of 6.1, 6.12 and 7.2; arch/powerpc/include/asm/elf.h).
//! ppc64le was measured on real kernels; big-endian and 32-bit kernels were not.

use std::cmp::Reverse;

use crate::module::elf::Endian;
use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationEntry, RelocationResult, RelocationSite,
    RelocationTables, RequiredSections, ValueBase, does_not_fit, not_known, row, since,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::{ENOENT, ENOEXEC};
use crate::predict::load_info::SectionHeader;
use crate::predict::message::{Effect, messages};
use crate::predict::rules::Rules;
use crate::predict::verdict::LoaderStep;
use crate::template::Line;

const SHN_UNDEF: u16 = 0;
const SHN_LIVEPATCH: u16 = 0xff20;
const NOP: u32 = 0x6000_0000;
/// `ld r2,24(r1)`: the instruction after a call that already restores r2.
const LD_TOC: u32 = 0xe841_0018;

/// Kernels that are built only for POWER10 and later can address their own data relative to the instruction, and have a GOT
/// instead of a TOC (CONFIG_PPC_KERNEL_PCREL; absent in 6.1, read in 6.12 and not measured).
const PCREL: Availability = Availability::All(&[
    Availability::Version((6, 2)),
    Availability::OptionOrMessage("PPC_KERNEL_PCREL", "%s: doesn't contain .mygot."),
]);
const TOC: Availability = Availability::Not(&PCREL);

pub(super) const PPC64: Arch = Arch {
    name: "powerpc",
    is_measured: true,
    accepts: |header, _| header.machine == 21,
    tables: RelocationTables::Rela,
    types: &[
        row(1, "ADDR32", RelocationEffect::Stored(4)),
        row(10, "REL24", RelocationEffect::Custom(call)),
        row(26, "REL32", RelocationEffect::Fits(ValueBase::Place, Range::signed(32))),
        row(38, "ADDR64", RelocationEffect::Stored(8)),
        row(44, "REL64", RelocationEffect::Stored(8)),
        since(47, "TOC16", TOC, RelocationEffect::Custom(toc)),
        since(48, "TOC16_LO", TOC, RelocationEffect::Stored(2)),
        since(50, "TOC16_HA", TOC, RelocationEffect::Stored(2)),
        since(51, "TOC", TOC, RelocationEffect::Stored(8)),
        since(63, "TOC16_DS", TOC, RelocationEffect::Custom(toc)),
        since(64, "TOC16_LO_DS", TOC, RelocationEffect::Custom(toc)),
        since(109, "TOCSAVE", TOC, RelocationEffect::Ignored),
        since(116, "REL24_NOTOC", PCREL, RelocationEffect::Custom(call)),
        row(118, "ENTRY", RelocationEffect::Ignored),
        since(132, "PCREL34", PCREL, RelocationEffect::Custom(far)),
        since(133, "GOT_PCREL34", PCREL, RelocationEffect::Entry),
        row(250, "REL16_LO", RelocationEffect::Stored(2)),
        row(252, "REL16_HA", RelocationEffect::Stored(2)),
    ],
    unknown_type: |site| {
        let line = UNKNOWN_TYPE.line([&site.module(), &site.kind()]);
        not_known(site, ENOEXEC, line)
    },
    overflow: |site| {
        let bits = if site.kind() == 26 { 32 } else { 24 };
        does_not_fit(site, ENOEXEC, out_of_range(site, bits))
    },
    sections: &[
        RequiredSections { since: Availability::Always, names: &[".stubs"], line: Some(|name| NO_STUBS.line([&name])) },
        RequiredSections { since: PCREL, names: &[".mygot"], line: Some(|name| NO_GOT.line([&name])) },
    ],
    // The kernel lies at 0xc000…, modules far above it, at 0xc008… or 0xd000….
    addresses: Addresses {
        modules: (-(1 << 62), -(1 << 61)),
        kernel: (-(1 << 62), -(1 << 61)),
        reach: 1 << 62,
        // Init sections are placed among the others, and no module is as large as 31 MiB.
        apart: 0x1f0_0000,
    },
    order: Some(backwards),
    import,
    versioned: without_dot,
    ..PLAIN
};

/// 32-bit powerpc. Not measured.
pub(super) const PPC32: Arch = Arch {
    name: "powerpc",
    is_measured: false,
    accepts: |header, _| header.machine == 20,
    tables: RelocationTables::Rela,
    types: &[
        row(1, "ADDR32", RelocationEffect::Stored(4)),
        row(4, "ADDR16_LO", RelocationEffect::Stored(2)),
        row(5, "ADDR16_HI", RelocationEffect::Stored(2)),
        row(6, "ADDR16_HA", RelocationEffect::Stored(2)),
        row(10, "REL24", RelocationEffect::Entry),
        row(26, "REL32", RelocationEffect::Stored(4)),
    ],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE_32.line([&site.module(), &site.kind()])),
    sections: &[RequiredSections {
        since: Availability::Always,
        names: &[".plt", ".init.plt"],
        line: Some(|_| NO_PLT.line([])),
    }],
    addresses: Addresses { modules: (-(1 << 31), -1), kernel: (-(1 << 31), -1), reach: 1 << 31, apart: 1 << 31 },
    ..PLAIN
};

/// The ABI in a module's e_flags must be the kernel's (`module_elf_check_arch`, 6.12; absent in 6.1): version 2 on
/// little-endian kernels. Big-endian kernels may have either version.
pub(crate) fn has_another_abi(flags: u32, endian: Endian) -> bool {
    endian == Endian::Little && flags & 3 != 2
}

/// `dedotify`: drops one leading dot of an undefined name, and the loader gives `.TOC.` a value. Kernels without a TOC do
/// neither.
fn import<'n>(rules: &Rules<'_>, name: &'n [u8]) -> Option<&'n [u8]> {
    if PCREL.holds(rules) == Some(true) {
        return Some(name);
    }
    match name.strip_prefix(b".") {
        Some(b"TOC.") => None,
        Some(rest) => Some(rest),
        None => Some(name),
    }
}

/// `dedotify_versions`.
fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_prefix(b".").unwrap_or(name)
}

/// `get_stubs_size` sorts each table by r_info and addend, largest first, and leaves it sorted.
fn backwards(_: &SectionHeader, all: &mut [RelocationEntry]) {
    all.sort_by_key(|relocation| Reverse((relocation.info, relocation.addend)));
}

/// The line about a value of this many bits; its end is known if the distance is.
fn out_of_range(site: &RelocationSite<'_>, bits: u32) -> Line {
    let span = site.value.distance;
    match span.min == span.max {
        true => OUT_OF_RANGE.line([&site.module(), &bits, &span.min]),
        false => OUT_OF_RANGE_CUT.line([&site.module(), &bits]),
    }
}

/// Calls to other modules and to the kernel use a stub, and the instruction after them must restore r2.
fn call(site: &RelocationSite<'_>) -> RelocationResult {
    let reach = Range::from(-(1 << 25), 1 << 25).by(4);
    if !matches!(site.symbol.section, SHN_UNDEF | SHN_LIVEPATCH) {
        return match site.value.distance_fits(reach) {
            Some(true) => RelocationResult::Done,
            Some(false) => {
                let line = out_of_range(site, 24);
                RelocationResult::Refused(does_not_fit(site, ENOEXEC, line))
            }
            None => RelocationResult::Unsure("does a call within the module reach?".to_owned()),
        };
    }
    let name = without_dot(site.symbol.name);
    let is_tracer = matches!(name, b"_mcount" | b"ftrace_caller" | b"ftrace_regs_caller");
    if is_tracer {
        return match site.value.exact() {
            // A stub cannot reach this address from the kernel's own TOC.
            Some(0) => {
                let line = NO_STUB_REACHES.line([&site.module(), &""]);
                RelocationResult::Refused(Refusal::new(ENOENT, line, "no stub reaches the function that traces"))
            }
            _ => RelocationResult::Done,
        };
    }
    let offset = site.relocation.offset;
    let (Some(branch), Some(next)) = (site.word_at(offset), site.word_at(offset.wrapping_add(4))) else {
        return RelocationResult::Unsure("is there a nop after a call that ends its section?".to_owned());
    };
    // Only a branch that returns needs r2 restored (`instr_is_relative_link_branch`).
    let is_link = branch & 0xfc00_0003 == 0x4800_0001 || branch & 0xfc00_0003 == 0x4000_0001;
    // A kernel without a TOC does not restore it either.
    let has_toc = TOC.holds(site.rules);
    if has_toc == Some(false) || !is_link || next == NOP || next == LD_TOC && site.rules.since(6, 12) == Some(true) {
        return RelocationResult::Done;
    }
    if has_toc.is_none() {
        return RelocationResult::Unsure(
            "does the kernel restore r2 after a call? (CONFIG_PPC_KERNEL_PCREL in its configuration)".to_owned(),
        );
    }
    let line = NO_NOP.line([&site.module(), &format_args!("{next:08x}"), &""]);
    RelocationResult::Refused(Refusal::new(ENOEXEC, line, "a call is not followed by the nop that the loader replaces"))
}

/// A value of 34 bits relative to the instruction. If a symbol in the per-CPU section, which was moved, is out of range, the
/// GOT is used.
fn far(site: &RelocationSite<'_>) -> RelocationResult {
    let is_per_cpu =
        site.loaded.sections.get(usize::from(site.symbol.section)).is_some_and(|section| {
            site.symbol.section != SHN_UNDEF && site.loaded.name_of(section) == b".data..percpu"
        });
    match site.value.distance_fits(Range::signed(34)) {
        Some(true) => RelocationResult::Done,
        _ if is_per_cpu => RelocationResult::Done,
        Some(false) => {
            let line = out_of_range(site, 34);
            RelocationResult::Refused(does_not_fit(site, ENOEXEC, line))
        }
        None => RelocationResult::Unsure("does the value of a relocation of type 132 fit?".to_owned()),
    }
}

/// The value is relative to the TOC, whose place in the module the loader chooses.
fn toc(site: &RelocationSite<'_>) -> RelocationResult {
    let is_multiple = site.kind() == 47 || site.value.sum_fits(Range::any().by(4)) != Some(false);
    let is_far = site.value.exact().is_some() && site.kind() != 64;
    if is_multiple && !is_far {
        return RelocationResult::Done;
    }
    let name = match site.kind() {
        47 => "TOC16",
        63 => "TOC16_DS",
        _ => "TOC16_LO_DS",
    };
    let line = BAD_TOC.line([&site.module(), &name, &""]);
    RelocationResult::Refused(does_not_fit(site, ENOEXEC, line))
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: Unknown ADD relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_TYPE_32[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_32: {module}: unknown ADD relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OUT_OF_RANGE_CUT[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: REL{bits:d} ",
        "a branch or a reference does not reach its target";
    OUT_OF_RANGE[3] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: REL{bits:d} {distance:d} out of range!",
        "a branch or a reference does not reach its target";
    NO_STUB_REACHES[2] Effect::Refuses(ENOENT), Availability::Always,
        "module_64: {module}: Address of {values:*}",
        "no stub reaches the function that traces calls";
    NO_NOP[3] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: Expected nop after call, got {instruction:x} at {place:*}",
        "a call is not followed by the nop that the loader replaces: it was compiled with -fPIC or for another ABI";
    BAD_TOC[3] Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: bad {type} relocation (0x{values:*}",
        "a value is too far from the TOC, or odd";
    NO_STUBS[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: doesn't contain .stubs.",
        "it lacks the section for calls (.stubs): it was not linked by kbuild";
    NO_GOT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "module_64: {module}: doesn't contain .mygot.",
        "it lacks the section .mygot: it was built for a kernel without CONFIG_PPC_KERNEL_PCREL";
    NO_PLT[0] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "module_32: Module doesn't contain .plt or .init.plt sections.",
        "it lacks the sections for jumps (.plt): it was not linked by kbuild";
}
