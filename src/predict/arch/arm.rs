//! arm (arch/arm/kernel/module.c, module-plts.c and elf.c of 5.10, 6.1 and 7.2). Measured on real kernels.

use crate::kernel::Machine;
use crate::predict::arch::table::{
    Arch, Availability, PLAIN, Refusal, RelocationEffect, RelocationEntry, RelocationResult, RelocationSite,
    RelocationTables, RequiredSections, ValueBase, does_not_fit, not_known, row, since,
};
use crate::predict::arch::value::{Addresses, Range};
use crate::predict::errno::ENOEXEC;
use crate::predict::load_info::{ElfHeader, SHF_EXECINSTR, SectionHeader};
use crate::predict::message::{Effect, messages};
use crate::predict::verdict::LoaderStep;
use crate::template::Line;

/// e_flags (arch/arm/include/asm/elf.h).
const EF_ARM_EABI_MASK: u32 = 0xff00_0000;
const EF_ARM_APCS_26: u32 = 0x08;

/// Only Thumb-2 kernels support the relocations of Thumb-2 code.
const THUMB: Availability = Availability::Option("THUMB2_KERNEL");
/// Relocations relative to the place: absent in 5.10, present in 6.1.
const PLACE_RELATIVE: Availability = Availability::Between((5, 10), (6, 1));

pub(super) const ARM: Arch = Arch {
    name: "arm",
    is_measured: true,
    accepts,
    tables: RelocationTables::Rel,
    types: &[
        row(0, "NONE", RelocationEffect::Ignored),
        row(1, "PC24", RelocationEffect::Custom(branch)),
        row(2, "ABS32", RelocationEffect::Stored(4)),
        since(3, "REL32", PLACE_RELATIVE, RelocationEffect::Stored(4)),
        since(10, "THM_CALL", THUMB, RelocationEffect::Entry),
        row(28, "CALL", RelocationEffect::Custom(branch)),
        row(29, "JUMP24", RelocationEffect::Custom(branch)),
        since(30, "THM_JUMP24", THUMB, RelocationEffect::Entry),
        row(38, "TARGET1", RelocationEffect::Stored(4)),
        row(40, "V4BX", RelocationEffect::Stored(4)),
        row(42, "PREL31", RelocationEffect::Fits(ValueBase::Place, Range::signed(31))),
        row(43, "MOVW_ABS_NC", RelocationEffect::Stored(4)),
        row(44, "MOVT_ABS", RelocationEffect::Stored(4)),
        since(45, "MOVW_PREL_NC", PLACE_RELATIVE, RelocationEffect::Stored(4)),
        since(46, "MOVT_PREL", PLACE_RELATIVE, RelocationEffect::Stored(4)),
        since(47, "THM_MOVW_ABS_NC", THUMB, RelocationEffect::Stored(4)),
        since(48, "THM_MOVT_ABS", THUMB, RelocationEffect::Stored(4)),
        since(49, "THM_MOVW_PREL_NC", THUMB, RelocationEffect::Stored(4)),
        since(50, "THM_MOVT_PREL", THUMB, RelocationEffect::Stored(4)),
        since(57, "ALU_PC_G0_NC", PLACE_RELATIVE, RelocationEffect::Stored(4)),
        since(59, "ALU_PC_G1_NC", PLACE_RELATIVE, RelocationEffect::Stored(4)),
        since(63, "LDR_PC_G2", PLACE_RELATIVE, RelocationEffect::Unsure("does an offset of a group relocation fit?")),
    ],
    unknown_type: |site| not_known(site, ENOEXEC, UNKNOWN_TYPE.line([&site.module(), &site.kind()])),
    overflow: |site| does_not_fit(site, ENOEXEC, out_of_range(site)),
    // CONFIG_ARM_MODULE_PLTS, which is set except in small kernels.
    sections: &[RequiredSections {
        since: Availability::Option("ARM_MODULE_PLTS"),
        names: &[".plt", ".init.plt"],
        line: Some(|name| NO_PLT.line([&name])),
    }],
    // Modules lie in the 16 MiB below the kernel, which begins at a multiple of 1 GiB, or in vmalloc's area.
    addresses: Addresses {
        modules: (-0x4100_0000, -0x80_0000),
        kernel: (-0x4000_0000, -0x80_0000),
        reach: 0x3fff_0000,
        apart: 0x3fff_0000,
    },
    order: Some(by_type_and_symbol),
    out_of_bounds: Some(out_of_bounds),
    ..PLAIN
};

/// `elf_check_arch` (arch/arm/kernel/elf.c): the entry point must be valid for ARM or Thumb code, and the code must not be
/// 26-bit. Every processor since ARMv5T supports Thumb, and so does every kernel whose modules are ELF files of ABI 5.
fn accepts(header: &ElfHeader, _: Machine) -> bool {
    let is_old = header.flags & EF_ARM_EABI_MASK == 0 && header.flags & EF_ARM_APCS_26 != 0;
    header.machine == 40 && header.entry & 3 != 2 && !is_old
}

fn out_of_range(site: &RelocationSite<'_>) -> Line {
    OUT_OF_RANGE.line([&site.module(), &site.section, &site.index, &site.symbol_name(), &site.kind(), &""])
}

/// Each place must lie in its section: arm is the only architecture that checks this (`apply_relocate`).
pub(crate) fn out_of_bounds(site: &RelocationSite<'_>) -> Option<Refusal> {
    let (offset, size) = (site.relocation.offset, site.target.size);
    if offset <= size.wrapping_sub(4) & 0xffff_ffff {
        return None;
    }
    let (section, index, symbol) = (site.section, site.index, site.symbol_name());
    let line = OUT_OF_BOUNDS.line([&site.module(), &section, &index, &symbol, &(offset as u32 as i32), &size]);
    Some(Refusal::new(
        ENOEXEC,
        line,
        format!("a relocation at 0x{offset:x} is outside its section of 0x{size:x} bytes"),
    ))
}

/// A branch of ARM code must not go to Thumb code; a branch whose target is out of range goes through an entry of the PLT.
fn branch(site: &RelocationSite<'_>) -> RelocationResult {
    let is_odd = site.value.sum_fits(Range::any().by(4)) == Some(false);
    match is_odd {
        true => {
            let line = INTERWORKING.line([&site.module(), &site.section, &site.index, &site.symbol_name()]);
            RelocationResult::Refused(Refusal::new(ENOEXEC, line, "a branch of ARM code goes to Thumb code"))
        }
        false => RelocationResult::Done,
    }
}

/// `module_frob_arch_sections` sorts the relocations of sections with code.
fn by_type_and_symbol(target: &SectionHeader, all: &mut [RelocationEntry]) {
    if target.flags & SHF_EXECINSTR != 0 {
        all.sort_by_key(|relocation| (relocation.kind, relocation.symbol));
    }
}

messages! {
    Some(LoaderStep::Relocations);
    UNKNOWN_TYPE[2] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: unknown relocation: {type:d}",
        "it has a relocation of type {type}, which the loader of this machine does not know: it was compiled with other options or a newer compiler than the kernel";
    OUT_OF_RANGE[6] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: section {section:d} reloc {index:d} sym '{symbol:*}': relocation {type:d} out of range ({values:*}",
        "the value of a relocation of type {type} does not fit: the module lies too far from what it refers to (CONFIG_ARM_MODULE_PLTS helps)";
    OUT_OF_BOUNDS[6] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: section {section:d} reloc {index:d} sym '{symbol:*}': out of bounds relocation, offset {offset:d} size {size:d}",
        "a relocation lies outside its section: struct module is shorter than it was in the build, or the file is damaged";
    INTERWORKING[4] Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: section {section:d} reloc {index:d} sym '{symbol:*}': unsupported interworking call (ARM -> Thumb)",
        "a branch of ARM code goes to Thumb code";
    NO_PLT[1] => Sections Effect::Refuses(ENOEXEC), Availability::Always,
        "{module}: module PLT section(s) missing",
        "it lacks the sections for jumps (.plt), which the kernel's build system adds: it was not linked by kbuild, or for another configuration";
}
