//! riscv64 (arch/riscv/kernel/module.c and module-sections.c of 5.10, 6.1, 6.12 and 7.2; arch/riscv/include/asm/elf.h).
//! Measured on real kernels.
//!
//! Relocations fail with EINVAL. The results of additions and subtractions are not checked.

use crate::module::elf::Class;
use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationResult, RelocationSite, RelocationTables,
    RequiredSections, does_not_fit, not_known, row, since,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::{EINVAL, ENOEXEC};
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;

const EM_RISCV: u16 = 243;

const GOT_HI20: u32 = 20;
const PCREL_HI20: u32 = 23;

/// The range of `auipc` and a second instruction (`riscv_insn_valid_32bit_offset`).
const REACH: Range = Range::from(-(1 << 31) - (1 << 11), (1 << 31) - (1 << 11));

/// Types that 6.12 supports and 6.1 does not.
const LATER: Availability = Availability::Between((6, 1), (6, 12));

pub(super) const RISCV64: Arch = Arch {
    name: "riscv",
    is_measured: true,
    accepts: |header, machine| {
        header.machine == EM_RISCV && (header.class_byte == 2) == (machine.class == Class::Elf64)
    },
    tables: RelocationTables::Rela,
    types: &[
        row(1, "32", RelocationEffect::Custom(word)),
        row(2, "64", RelocationEffect::Stored(8)),
        since(3, "RELATIVE", LATER, RelocationEffect::Refused(dynamic)),
        since(4, "COPY", LATER, RelocationEffect::Refused(dynamic)),
        since(5, "JUMP_SLOT", LATER, RelocationEffect::Refused(dynamic)),
        since(6, "TLS_DTPMOD32", LATER, RelocationEffect::Refused(dynamic)),
        since(7, "TLS_DTPMOD64", LATER, RelocationEffect::Refused(dynamic)),
        since(8, "TLS_DTPREL32", LATER, RelocationEffect::Refused(dynamic)),
        since(9, "TLS_DTPREL64", LATER, RelocationEffect::Refused(dynamic)),
        since(10, "TLS_TPREL32", LATER, RelocationEffect::Refused(dynamic)),
        since(11, "TLS_TPREL64", LATER, RelocationEffect::Refused(dynamic)),
        row(16, "BRANCH", RelocationEffect::Stored(4)),
        row(17, "JAL", RelocationEffect::Stored(4)),
        row(18, "CALL", RelocationEffect::Custom(reached)),
        row(19, "CALL_PLT", RelocationEffect::Custom(with_entry)),
        row(20, "GOT_HI20", RelocationEffect::Custom(entry)),
        since(21, "TLS_GOT_HI20", LATER, RelocationEffect::Refused(thread_local)),
        since(22, "TLS_GD_HI20", LATER, RelocationEffect::Refused(thread_local)),
        row(23, "PCREL_HI20", RelocationEffect::Custom(reached)),
        row(24, "PCREL_LO12_I", RelocationEffect::Custom(lower_half)),
        row(25, "PCREL_LO12_S", RelocationEffect::Custom(lower_half)),
        row(26, "HI20", RelocationEffect::Custom(upper_half)),
        row(27, "LO12_I", RelocationEffect::Stored(4)),
        row(28, "LO12_S", RelocationEffect::Stored(4)),
        since(29, "TPREL_HI20", LATER, RelocationEffect::Refused(thread_local)),
        since(30, "TPREL_LO12_I", LATER, RelocationEffect::Refused(thread_local)),
        since(31, "TPREL_LO12_S", LATER, RelocationEffect::Refused(thread_local)),
        since(32, "TPREL_ADD", LATER, RelocationEffect::Refused(thread_local)),
        since(33, "ADD8", LATER, RelocationEffect::Stored(1)),
        since(34, "ADD16", LATER, RelocationEffect::Stored(2)),
        row(35, "ADD32", RelocationEffect::Stored(4)),
        row(36, "ADD64", RelocationEffect::Stored(8)),
        since(37, "SUB8", LATER, RelocationEffect::Stored(1)),
        since(38, "SUB16", LATER, RelocationEffect::Stored(2)),
        row(39, "SUB32", RelocationEffect::Stored(4)),
        row(40, "SUB64", RelocationEffect::Stored(8)),
        row(43, "ALIGN", RelocationEffect::Refused(align)),
        row(44, "RVC_BRANCH", RelocationEffect::Stored(2)),
        row(45, "RVC_JUMP", RelocationEffect::Stored(2)),
        row(51, "RELAX", RelocationEffect::Ignored),
        since(52, "SUB6", LATER, RelocationEffect::Stored(1)),
        since(53, "SET6", LATER, RelocationEffect::Stored(1)),
        since(54, "SET8", LATER, RelocationEffect::Stored(1)),
        since(55, "SET16", LATER, RelocationEffect::Stored(2)),
        since(56, "SET32", LATER, RelocationEffect::Stored(4)),
        since(57, "32_PCREL", LATER, RelocationEffect::Stored(4)),
        since(58, "IRELATIVE", LATER, RelocationEffect::Refused(dynamic)),
        since(59, "PLT32", LATER, RelocationEffect::Custom(with_entry)),
        since(60, "SET_ULEB128", LATER, RelocationEffect::Stored(1)),
        since(61, "SUB_ULEB128", LATER, RelocationEffect::Stored(1)),
    ],
    unknown_type: |site| not_known(site, EINVAL, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    overflow,
    sections: &[
        RequiredSections { since: WITH_SECTIONS, names: &[".plt"], line: Some(|name| NO_PLT.line([&name])) },
        RequiredSections { since: WITH_SECTIONS, names: &[".got"], line: Some(|name| NO_GOT.line([&name])) },
        RequiredSections { since: WITH_SECTIONS, names: &[".got.plt"], line: Some(|name| NO_GOT_PLT.line([&name])) },
    ],
    // The kernel begins 2 GiB below the end of memory, and modules lie in the 2 GiB below the end of the kernel.
    addresses: Addresses {
        modules: (-(1 << 32), -(1 << 31)),
        kernel: (-(1 << 31), -1),
        reach: 0x7000_0000,
        apart: 0x7000_0000,
    },
    ..PLAIN
};

/// An option that is not set in kernels of 6.12, whose modules then lack these sections.
const WITH_SECTIONS: Availability =
    Availability::OptionOrMessage("MODULE_SECTIONS", "module GOT.PLT section(s) missing");

fn overflow(site: &RelocationSite<'_>) -> Refusal {
    let line = match site.value.exact() {
        Some(value) => OUT_OF_REACH.line([&site.module(), &format_args!("{value:016x}"), &""]),
        None => OUT_OF_REACH_CUT.line([&site.module()]),
    };
    does_not_fit(site, EINVAL, line)
}

fn decided(site: &RelocationSite<'_>, fits: Option<bool>) -> RelocationResult {
    match fits {
        Some(true) => RelocationResult::Done,
        Some(false) => RelocationResult::Refused(overflow(site)),
        None => RelocationResult::Unsure(format!("does the value of a relocation of type {} fit?", site.kind())),
    }
}

/// The target must be in range of the pair of instructions; the loader has no fallback.
fn reached(site: &RelocationSite<'_>) -> RelocationResult {
    decided(site, site.value.distance_fits(REACH))
}

/// A target that is out of range gets an entry in the PLT, if the kernel supports that (`apply_r_riscv_call_plt_rela`,
/// arch/riscv/kernel/module.c, 4.17 to 7.2).
fn with_entry(site: &RelocationSite<'_>) -> RelocationResult {
    match WITH_SECTIONS.holds(site.rules) {
        Some(true) => RelocationResult::Done,
        Some(false) => reached(site),
        None => match reached(site) {
            RelocationResult::Done => RelocationResult::Done,
            _ => RelocationResult::Unsure(NO_SECTIONS.to_owned()),
        },
    }
}

/// The value uses an entry in the GOT, if the kernel has one (`apply_r_riscv_got_hi20_rela`).
fn entry(site: &RelocationSite<'_>) -> RelocationResult {
    match WITH_SECTIONS.holds(site.rules) {
        Some(true) => RelocationResult::Done,
        Some(false) => {
            let line = NO_GOT_ENTRY.line([&site.module(), &""]);
            RelocationResult::Refused(Refusal::new(
                EINVAL,
                line,
                "it wants an entry in the GOT, which this kernel does not make",
            ))
        }
        None => RelocationResult::Unsure(NO_SECTIONS.to_owned()),
    }
}

const NO_SECTIONS: &str = "does the kernel make entries in GOT and PLT? (CONFIG_MODULE_SECTIONS in its configuration)";

/// The code model for which absolute addresses fit (CONFIG_CMODEL_MEDLOW) is that of 32-bit kernels.
fn upper_half(site: &RelocationSite<'_>) -> RelocationResult {
    match site.rules.option("CMODEL_MEDLOW") {
        Some(true) => RelocationResult::Refused(overflow(site)),
        _ => RelocationResult::Done,
    }
}

fn word(site: &RelocationSite<'_>) -> RelocationResult {
    match site.value.sum_fits(Range::unsigned(32)) {
        Some(true) => RelocationResult::Done,
        Some(false) => {
            let line = match site.value.exact() {
                Some(value) => TOO_WIDE.line([&site.module(), &format_args!("{value:016x}")]),
                None => TOO_WIDE_CUT.line([&site.module()]),
            };
            RelocationResult::Refused(does_not_fit(site, EINVAL, line))
        }
        None => RelocationResult::Unsure("does an address fit into 32 bits?".to_owned()),
    }
}

/// The lower half is relative to the place of the upper half, which must exist.
fn lower_half(site: &RelocationSite<'_>) -> RelocationResult {
    match site.is_here() && site.table.has_at(site.symbol.value, &[PCREL_HI20, GOT_HI20]) {
        true => RelocationResult::Done,
        false => {
            let line = NO_UPPER_HALF.line([&site.module()]);
            RelocationResult::Refused(Refusal::new(EINVAL, line, "the lower half of an address has no upper half"))
        }
    }
}

fn dynamic(site: &RelocationSite<'_>) -> Refusal {
    let line = DYNAMIC.line([&site.module(), &""]);
    Refusal::new(EINVAL, line, format!("a relocation of type {}, for dynamic linking", site.kind()))
}

fn thread_local(site: &RelocationSite<'_>) -> Refusal {
    let line = THREAD_LOCAL.line([&site.module(), &""]);
    Refusal::new(EINVAL, line, format!("a relocation of type {}, for thread-local storage", site.kind()))
}

fn align(site: &RelocationSite<'_>) -> Refusal {
    let line = ALIGN.line([&site.module(), &""]);
    Refusal::new(EINVAL, line, "a relocation that wants code aligned, which only a linker can do")
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Unknown relocation type {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OUT_OF_REACH_CUT[1] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: target ",
        "the module lies too far from what it refers to";
    TOO_WIDE_CUT[1] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: value ",
        "an address does not fit into 32 bits";
    OUT_OF_REACH[3] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: target {value:x} can not be addressed by the 32-bit offset from PC = {place:*}",
        "the module lies too far from what it refers to";
    NO_GOT_ENTRY[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: can not generate the GOT entry for symbol = {values:*}",
        "it wants an entry in the GOT, which this kernel does not make: it was compiled as position-independent code";
    TOO_WIDE[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: value {value:x} out of range for 32-bit field",
        "an address does not fit into 32 bits";
    NO_UPPER_HALF[1] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Can not find HI20 relocation information",
        "the lower half of an address has no upper half";
    DYNAMIC[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Dynamic linking not supported in kernel modules PC = {place:*}",
        "it has a relocation for dynamic linking: it was linked as a shared object";
    THREAD_LOCAL[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: Thread local storage not supported in kernel modules PC = {place:*}",
        "it uses thread-local storage";
    ALIGN[2] Effect::Refuses(EINVAL), Availability::Always,
        "{module}: The unexpected relocation type 'R_RISCV_ALIGN' from PC = {place:*}",
        "it wants code aligned, which only a linker can do: it was compiled without -mno-relax";
    NO_PLT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module PLT section(s) missing",
        "it lacks the section for jumps (.plt), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
    NO_GOT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module GOT section(s) missing",
        "it lacks the section for addresses (.got), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
    NO_GOT_PLT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module GOT.PLT section(s) missing",
        "it lacks the section .got.plt, which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
}
