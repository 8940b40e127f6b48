//! Is there memory for a module: in the module area, and in the reserve for per-CPU data?
//!
//! `move_module` and `percpu_modalloc` (kernel/module/main.c 6.12; kernel/module.c before 5.18), `pcpu_alloc` (mm/percpu.c).

use crate::predict::attempt::Attempt;
use crate::predict::availability::Availability;
use crate::predict::errno;
use crate::predict::load_info::LoadInfo;
use crate::predict::message::{Effect, messages};
use crate::predict::record::{AttemptRecord, Flow};
use crate::predict::verdict::LoaderStep;
use crate::vermagic::TokenKind;

/// The section of per-CPU data (`find_pcpusec`), which is allocated separately.
const PER_CPU: &str = ".data..percpu";

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The memory that every kernel for common machines has, in bytes: the largest module in any kernel's tree takes about 20 MiB.
const ALWAYS: u64 = 128 * MIB;

/// The largest size of the module area on x86-64 (MODULES_LEN, arch/x86/include/asm/pgtable_64_types.h).
const X86_64_AREA: u64 = 1520 * MIB;

/// The limit of the loader's sizes, which are 32 bits wide (`struct module_layout`, from 6.4 on `struct module_memory`).
const COUNTED: u64 = 1 << 32;

/// The reserve that all modules share for per-CPU data (PERCPU_MODULE_RESERVE, include/linux/percpu.h).
const RESERVE: u64 = 8 * KIB;

/// The same with CONFIG_MEM_ALLOC_PROFILING: 32 KiB in 6.10, 64 KiB later.
const PROFILING_RESERVE: u64 = 32 * KIB;

/// Sizes that are certainly too large for one allocation of per-CPU memory: PCPU_MIN_UNIT_SIZE is 32 KiB, or a page where pages
/// are larger. Above that size the kernel also prints a warning, which sets taint W.
const UNIT: (u64, u64) = (32 * KIB, 64 * KIB);

/// Machines whose kernels have a separate reserve (`pcpu_embed_first_chunk(PERCPU_MODULE_RESERVE, …)`): arm, arm64, riscv,
/// s390, x86-64. On other machines the data comes from the general per-CPU memory.
const HAVE_RESERVE: [u16; 5] = [40, 183, 243, 22, 62];

/// Checks the memory of all sections except for the per-CPU data.
pub(super) fn area(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let size = loaded.allocated().saturating_sub(loaded.find(PER_CPU).map_or(0, |section| section.size));
    if size <= ALWAYS {
        return Ok(());
    }
    let words = format!("its sections take {} MiB of memory", size / MIB);
    if size >= COUNTED {
        record.may_crash = true;
        record.unknown(
            LoaderStep::Memory,
            format!("{words}, more than the loader can represent, and the kernel may crash"),
        );
        return Ok(());
    }
    if attempt.machine(loaded).number == 62 && size > X86_64_AREA {
        // Versions differ in which function reports this, and how.
        record.unknown(LoaderStep::Memory, "which lines does the kernel print? (none up to 6.9)");
        let note = format!("{words}, and all modules together have at most {}", X86_64_AREA / MIB);
        return record.fail(LoaderStep::Memory, errno::ENOMEM, note, None);
    }
    record.unknown(LoaderStep::Memory, format!("{words}; does the machine have so much for modules?"));
    Ok(())
}

/// Checks the memory of the per-CPU data. A kernel for one processor has none: its loader does not know the section.
pub(super) fn per_cpu(attempt: &Attempt<'_>, loaded: &LoadInfo<'_>, record: &mut AttemptRecord) -> Flow {
    let size = loaded.find(PER_CPU).map_or(0, |section| section.size);
    let vermagic = attempt.kernel.vermagic.as_ref().map(|known| &known.value).filter(|known| !known.is_bare_release());
    let is_smp = vermagic.is_none_or(|known| known.has(TokenKind::Smp));
    // Before 3.0 the section had another name.
    if size <= RESERVE || !is_smp || attempt.rules.since(3, 0) == Some(false) {
        return Ok(());
    }
    let profiles = match attempt.rules.since(6, 10) {
        Some(false) => Some(false),
        _ => attempt.rules.option("MEM_ALLOC_PROFILING"),
    };
    let has_reserve = HAVE_RESERVE.contains(&attempt.machine(loaded).number);
    // The unit may be a page of 64 KiB, or twice that with profiling.
    let (most, certainly) = match profiles {
        Some(false) if has_reserve => (RESERVE, RESERVE),
        Some(false) => (RESERVE, UNIT.1),
        Some(true) if has_reserve => (PROFILING_RESERVE, 2 * UNIT.1),
        _ => (RESERVE, 2 * UNIT.1),
    };
    if size <= most {
        return Ok(());
    }
    if size <= certainly || vermagic.is_none() {
        let note = format!(
            "it has {size} bytes of per-CPU data; does the kernel reserve so much for modules? \
             (CONFIG_MEM_ALLOC_PROFILING in its \
             configuration, and how large its pages are)"
        );
        record.unknown(LoaderStep::Memory, note);
        return Ok(());
    }
    if size > 2 * UNIT.1 {
        record.taints.set('W');
    } else if size > UNIT.0 {
        record.taints_are_open = true;
    }
    record.say(NO_PER_CPU_MEMORY.line([&loaded.own_name, &size]));
    let note = format!(
        "it has {size} bytes of per-CPU data, and all modules together have {most}; the allocator warns before, \
         with a stack \
         trace"
    );
    record.fail(LoaderStep::Memory, errno::ENOMEM, note, None)
}

messages! {
    Some(LoaderStep::Memory);
    NO_PER_CPU_MEMORY[2] Effect::Refuses(errno::ENOMEM), Availability::Always,
        "{module}: Could not allocate {size:d} bytes percpu data",
        "it has {size} bytes of per-CPU data, more than the kernel's reserve for modules has left";
}
