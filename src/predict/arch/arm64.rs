//! arm64 (arch/arm64/kernel/module.c and module-plts.c of 5.10, 6.1, 6.12 and 7.2; arch/arm64/include/asm/elf.h). Measured on
//! real kernels.

use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationEntry, RelocationResult, RelocationSite,
    RelocationTables, RelocationType, RequiredSections, ValueBase, does_not_fit, not_known, row,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::ENOEXEC;
use crate::predict::load_info::{SHF_EXECINSTR, SectionHeader};
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

/// Every kernel has PLTs from 6.5 on; before 6.5, the option decides.
const BEFORE_6_5: Availability = Availability::Not(&Availability::Version((6, 5)));
const PLTS: Availability = Availability::Option("ARM64_MODULE_PLTS");
const FTRACE: Availability = Availability::Option("DYNAMIC_FTRACE");

/// `module_init_ftrace_plt` came with 5.5 ("arm64: module/ftrace: intialize PLT at load time"), and with a backport to 5.4 in
/// February 2022; earlier kernels loaded a module without the section.
const FTRACE_PLT: Availability = Availability::Between((5, 3), (5, 5));

/// A trampoline for init functions came with 6.18, and with backports to stable kernels from 6.6 on in September 2025. The
/// image contains the name of its section.
const INIT_FTRACE_PLT: Availability =
    Availability::Image(".init.text.ftrace_trampoline", &Availability::Between((6, 5), (6, 18)));

const SIGNED_33: Range = Range::signed(33);
/// The range of a branch with a field of 26 bits, which counts words.
const BRANCH: Range = Range::signed(28);

const fn fits(number: u32, name: &'static str, base: ValueBase, range: Range) -> RelocationType {
    row(number, name, RelocationEffect::Fits(base, range))
}

pub(super) const ARM64: Arch = Arch {
    name: "arm64",
    is_measured: true,
    accepts: |header, _| header.machine == 183,
    tables: RelocationTables::Rela,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(256, "NONE", RelocationEffect::Ignored),
        row(257, "ABS64", RelocationEffect::Stored(8)),
        fits(258, "ABS32", ValueBase::Absolute, Range::unsigned(32)),
        fits(259, "ABS16", ValueBase::Absolute, Range::unsigned(16)),
        row(260, "PREL64", RelocationEffect::Stored(8)),
        fits(261, "PREL32", ValueBase::Place, Range::signed(32)),
        fits(262, "PREL16", ValueBase::Place, Range::signed(16)),
        fits(263, "MOVW_UABS_G0", ValueBase::Absolute, Range::unsigned(16)),
        row(264, "MOVW_UABS_G0_NC", RelocationEffect::Stored(4)),
        fits(265, "MOVW_UABS_G1", ValueBase::Absolute, Range::unsigned(32)),
        row(266, "MOVW_UABS_G1_NC", RelocationEffect::Stored(4)),
        fits(267, "MOVW_UABS_G2", ValueBase::Absolute, Range::unsigned(48)),
        row(268, "MOVW_UABS_G2_NC", RelocationEffect::Stored(4)),
        row(269, "MOVW_UABS_G3", RelocationEffect::Stored(4)),
        fits(270, "MOVW_SABS_G0", ValueBase::Absolute, Range::signed(17)),
        fits(271, "MOVW_SABS_G1", ValueBase::Absolute, SIGNED_33),
        fits(272, "MOVW_SABS_G2", ValueBase::Absolute, Range::signed(49)),
        fits(273, "LD_PREL_LO19", ValueBase::Place, Range::signed(21)),
        fits(274, "ADR_PREL_LO21", ValueBase::Place, Range::signed(21)),
        fits(275, "ADR_PREL_PG_HI21", ValueBase::Page, SIGNED_33),
        row(276, "ADR_PREL_PG_HI21_NC", RelocationEffect::Stored(4)),
        row(277, "ADD_ABS_LO12_NC", RelocationEffect::Stored(4)),
        row(278, "LDST8_ABS_LO12_NC", RelocationEffect::Stored(4)),
        fits(279, "TSTBR14", ValueBase::Place, Range::signed(16)),
        fits(280, "CONDBR19", ValueBase::Place, Range::signed(21)),
        row(282, "JUMP26", RelocationEffect::Custom(branch)),
        row(283, "CALL26", RelocationEffect::Custom(branch)),
        row(284, "LDST16_ABS_LO12_NC", RelocationEffect::Stored(4)),
        row(285, "LDST32_ABS_LO12_NC", RelocationEffect::Stored(4)),
        row(286, "LDST64_ABS_LO12_NC", RelocationEffect::Stored(4)),
        fits(287, "MOVW_PREL_G0", ValueBase::Place, Range::signed(17)),
        row(288, "MOVW_PREL_G0_NC", RelocationEffect::Stored(4)),
        fits(289, "MOVW_PREL_G1", ValueBase::Place, SIGNED_33),
        row(290, "MOVW_PREL_G1_NC", RelocationEffect::Stored(4)),
        fits(291, "MOVW_PREL_G2", ValueBase::Place, Range::signed(49)),
        row(292, "MOVW_PREL_G2_NC", RelocationEffect::Stored(4)),
        row(293, "MOVW_PREL_G3", RelocationEffect::Stored(4)),
        row(299, "LDST128_ABS_LO12_NC", RelocationEffect::Stored(4)),
    ],
    unknown_type: |site| {
        let line = match has_prefix(site) {
            true => UNKNOWN_TYPE.line([&site.module(), &site.kind()]),
            false => UNKNOWN_TYPE_OLD.line([&site.module(), &site.kind()]),
        };
        not_known(site, ENOEXEC, line)
    },
    overflow,
    sections: &[
        RequiredSections {
            since: Availability::Version((6, 5)),
            names: &[".plt", ".init.plt"],
            line: Some(|name| NO_PLT.line([&name])),
        },
        RequiredSections {
            since: Availability::All(&[BEFORE_6_5, PLTS]),
            names: &[".plt", ".init.plt"],
            line: Some(|name| NO_PLT.line([&name])),
        },
    ],
    last_sections: &[
        RequiredSections {
            since: Availability::All(&[FTRACE_PLT, BEFORE_6_5, PLTS, FTRACE]),
            names: &[".text.ftrace_trampoline"],
            line: None,
        },
        RequiredSections {
            since: Availability::All(&[Availability::Version((6, 5)), FTRACE]),
            names: &[".text.ftrace_trampoline"],
            line: None,
        },
        RequiredSections {
            since: Availability::All(&[Availability::Version((6, 5)), FTRACE, INIT_FTRACE_PLT]),
            names: &[".init.text.ftrace_trampoline"],
            line: None,
        },
    ],
    // Addresses have 39 to 52 bits; the kernel and its modules are at the upper end, and never more than 2 GiB apart.
    addresses: Addresses {
        modules: (-(1 << 52), -(1 << 36)),
        kernel: (-(1 << 52), -(1 << 36)),
        reach: 0x7000_0000,
        apart: 0x7000_0000,
    },
    order: Some(branches_first),
    ..PLAIN
};

/// `pr_fmt`, defined since the rework of the module area (6.5).
fn has_prefix(site: &RelocationSite<'_>) -> bool {
    site.rules.since(6, 5) == Some(true)
}

fn overflow(site: &RelocationSite<'_>) -> Refusal {
    let value = site.value.exact().map_or(String::new(), |value| format!("{value:x}"));
    let line = match has_prefix(site) {
        true => OVERFLOW.line([&site.module(), &site.kind(), &value]),
        false => OVERFLOW_OLD.line([&site.module(), &site.kind(), &value]),
    };
    does_not_fit(site, ENOEXEC, line)
}

/// The loader counts an entry of the PLT for each branch from a section with code to a symbol of another section
/// (`count_plts`). If an entry was not counted, it prints a long warning and refuses.
fn branch(site: &RelocationSite<'_>) -> RelocationResult {
    let is_counted = site.target.flags & SHF_EXECINSTR != 0 && !site.is_here();
    match site.value.distance_fits(BRANCH) {
        Some(true) => RelocationResult::Done,
        _ if is_counted => RelocationResult::Done,
        _ => {
            RelocationResult::Unsure("does a branch reach, for which the loader makes no entry in its PLT?".to_owned())
        }
    }
}

/// `partition_branch_plt_relas`: branches to other sections come first, by type, symbol and addend. The order of the other
/// relocations changes only by swaps, which no line shows unless two relocations are refused.
fn branches_first(target: &SectionHeader, all: &mut [RelocationEntry]) {
    if target.flags & SHF_EXECINSTR != 0 {
        all.sort_by_key(|relocation| match relocation.kind {
            282 | 283 => (false, relocation.kind, relocation.symbol, relocation.addend),
            _ => (true, 0, 0, 0),
        });
    }
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Version((6, 5)),
        "Modules: module {module}: unsupported RELA relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    UNKNOWN_TYPE_OLD[2] Effect::Refuses(ENOEXEC), Availability::Not(&Availability::Version((6, 5))),
        "module {module}: unsupported RELA relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OVERFLOW[3] Effect::Refuses(ENOEXEC), Availability::Version((6, 5)),
        "Modules: module {module}: overflow in relocation type {type:d} val {value:*}",
        "the value of a relocation of type {type} does not fit: the module lies too far from what it refers to";
    OVERFLOW_OLD[3] Effect::Refuses(ENOEXEC), Availability::Not(&Availability::Version((6, 5))),
        "module {module}: overflow in relocation type {type:d} val {value:*}",
        "the value of a relocation of type {type} does not fit: the module lies too far from what it refers to";
    NO_PLT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module PLT section(s) missing",
        "it lacks the sections for jumps (.plt), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
}
