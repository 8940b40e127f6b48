//! The options that change `struct module`, how code is called, or structures of every kind: a table.

use crate::buildtree::advising::abi_options::row::{ALWAYS, AbiEffectKind, OptionRow};
use crate::buildtree::reading::makefile::KernelNumbers;

const MODULE_H: &str = "include/linux/module.h";

const fn member(
    option: &'static str,
    kind: AbiEffectKind,
    what: &'static str,
    from: KernelNumbers,
    seen: &'static str,
) -> OptionRow {
    OptionRow { option, kind, what, from, until: None, seen, source: MODULE_H, only: None, by_value: false }
}

impl OptionRow {
    const fn until(mut self, version: KernelNumbers) -> OptionRow {
        self.until = Some(version);
        self
    }

    const fn source(mut self, file: &'static str) -> OptionRow {
        self.source = file;
        self
    }

    const fn only(mut self, option: &'static str) -> OptionRow {
        self.only = Some(option);
        self
    }

    const fn by_value(mut self) -> OptionRow {
        self.by_value = true;
        self
    }
}

const fn code(option: &'static str, what: &'static str, source: &'static str) -> OptionRow {
    OptionRow {
        option,
        kind: AbiEffectKind::Code,
        what,
        from: ALWAYS,
        until: None,
        seen: "where the option is",
        source,
        only: None,
        by_value: false,
    }
}

const fn everywhere(option: &'static str, what: &'static str, source: &'static str) -> OptionRow {
    let mut row = code(option, what, source).by_value();
    row.kind = AbiEffectKind::SharedStructure;
    row
}

use AbiEffectKind::{BeforeInit, StructModule};

/// `struct module`, then code, then options that change structures everywhere; within a kind ordered by severity.
pub(super) const ROWS: &[OptionRow] = &[
    // struct module, before init.
    member("STACKTRACE_BUILD_ID", BeforeInit, "build_id", (5, 12, 0), "5.18 to 7.3"),
    member("SYSFS", BeforeInit, "param_lock", (3, 11, 0), "4.9 to 7.3"),
    member("ARCH_USES_CFI_TRAPS", BeforeInit, "kcfi_traps", (5, 19, 0), "6.1 to 7.3"),
    member("CFI_CLANG", BeforeInit, "cfi_check", ALWAYS, "5.18; Android's 4.9 and 4.19").until((6, 1, 0)),
    member("UNUSED_SYMBOLS", BeforeInit, "unused_syms and what follows", (2, 6, 13), "2.6.32 to 5.11")
        .until((5, 18, 0)),
    member("MODULE_SIG", BeforeInit, "sig_ok", (2, 6, 33), "3.10 to 7.3"),
    // Members before init that are structures: mkobj is a kobject, param_lock a mutex.
    member("DEBUG_KOBJECT_RELEASE", BeforeInit, "mkobj, by struct kobject", (2, 6, 33), "3.10 to 7.3")
        .source("include/linux/kobject.h"),
    member("DEBUG_LOCK_ALLOC", BeforeInit, "param_lock, by struct mutex", (3, 11, 0), "4.9 to 7.3")
        .source("include/linux/mutex.h"),
    member("DEBUG_MUTEXES", BeforeInit, "param_lock, by struct mutex", (3, 11, 0), "4.9 to 7.3")
        .source("include/linux/mutex.h"),
    member("DEBUG_SPINLOCK", BeforeInit, "param_lock, by the lock in struct mutex", (3, 11, 0), "4.9 to 7.3")
        .source("include/linux/spinlock_types.h"),
    member("LOCK_STAT", BeforeInit, "param_lock, by struct lockdep_map", (3, 11, 0), "4.9 to 7.3")
        .source("include/linux/lockdep_types.h")
        .only("DEBUG_LOCK_ALLOC"),
    member("MUTEX_SPIN_ON_OWNER", BeforeInit, "param_lock, by struct mutex", (3, 11, 0), "4.9 to 7.3")
        .source("include/linux/mutex.h"),
    // struct module, after init.
    member("MODULES_TREE_LOOKUP", StructModule, "the node in each part of the layout", (3, 11, 0), "4.9 to 7.3"),
    member("ARCH_WANTS_MODULES_DATA_IN_VMALLOC", StructModule, "data_layout", (5, 19, 0), "6.1").until((6, 12, 0)),
    member("UNWINDER_ORC", StructModule, "arch: num_orcs, orc_unwind_ip, orc_unwind", ALWAYS, "5.10 to 7.3")
        .source("arch/x86/include/asm/module.h"),
    member("ARM_UNWIND", StructModule, "arch: unwind tables", ALWAYS, "5.10 to 7.3")
        .source("arch/arm/include/asm/module.h"),
    member("ARM_MODULE_PLTS", StructModule, "arch: core, init", ALWAYS, "5.10 to 7.3")
        .source("arch/arm/include/asm/module.h"),
    member("FUNCTION_TRACER", StructModule, "arch: trampolines", (5, 11, 0), "6.1 to 7.3")
        .source("arch/s390/include/asm/module.h")
        .only("S390"),
    member("DYNAMIC_FTRACE", StructModule, "arch: tramp", ALWAYS, "5.10 to 7.3")
        .source("arch/powerpc/include/asm/module.h")
        .only("PPC"),
    member("PPC_KERNEL_PCREL", StructModule, "arch: got and pcpu sections", (6, 2, 0), "6.12 to 7.3")
        .source("arch/powerpc/include/asm/module.h"),
    member("PPC_FTRACE_OUT_OF_LINE", StructModule, "arch: ool_stubs", (6, 13, 0), "7.2")
        .source("arch/powerpc/include/asm/module.h"),
    member("GENERIC_BUG", StructModule, "num_bugs, bug_list, bug_table", (2, 6, 13), "2.6.32 to 7.3"),
    member("KALLSYMS", StructModule, "symbol tables, sect_attrs, notes_attrs", ALWAYS, "2.6.12 to 7.3"),
    member("TRACEPOINTS", StructModule, "tracepoints", (2, 6, 13), "2.6.32 to 7.3"),
    member("TREE_SRCU", StructModule, "srcu_struct_ptrs", (4, 10, 0), "4.19 to 7.3"),
    member("BPF_EVENTS", StructModule, "bpf_raw_events", (4, 20, 0), "5.10 to 7.3"),
    member(
        "DEBUG_INFO_BTF_MODULES",
        StructModule,
        "btf_data",
        (5, 11, 0),
        "5.11 to 7.3 (always there in Debian's 6.1)",
    ),
    member("JUMP_LABEL", StructModule, "jump_entries", (2, 6, 33), "3.10 to 7.3"),
    member("TRACING", StructModule, "trace_bprintk_fmt_start", (2, 6, 13), "2.6.32 to 7.3"),
    member("EVENT_TRACING", StructModule, "trace_events", (2, 6, 13), "2.6.32 to 7.3"),
    member("FTRACE_MCOUNT_RECORD", StructModule, "ftrace_callsites", (2, 6, 13), "2.6.32 to 6.12").until((7, 2, 0)),
    member("DYNAMIC_FTRACE", StructModule, "ftrace_callsites", (6, 13, 0), "7.2, 7.3"),
    member("KPROBES", StructModule, "kprobes_text_start, kprobe_blacklist", (4, 20, 0), "5.10 to 7.3"),
    member("HAVE_STATIC_CALL_INLINE", StructModule, "static_call_sites", (4, 20, 0), "5.10 to 7.3"),
    member("KUNIT", StructModule, "kunit_suites", (5, 19, 0), "6.1 to 7.3"),
    member("LIVEPATCH", StructModule, "klp, klp_alive, klp_info", (3, 11, 0), "4.9 to 7.3"),
    member("PRINTK_INDEX", StructModule, "printk_index_start", (5, 12, 0), "5.18 to 7.3"),
    member("CONSTRUCTORS", StructModule, "ctors", (2, 6, 13), "2.6.32 to 7.3"),
    member("FUNCTION_ERROR_INJECTION", StructModule, "ei_funcs", (4, 10, 0), "4.19 to 7.3"),
    member("DYNAMIC_DEBUG_CORE", StructModule, "dyndbg_info", (6, 2, 0), "6.12 to 7.3"),
    member(
        "MITIGATION_ITS",
        StructModule,
        "its_page_array; in 7.2 in arch",
        (4, 20, 0),
        "5.10 to 7.3, stable kernels of 2025",
    ),
    member("NR_CPUS", StructModule, "ref, one per processor", ALWAYS, "2.6.12")
        .until((2, 6, 32))
        .only("MODULE_UNLOAD")
        .by_value(),
    member(
        "X86_L1_CACHE_SHIFT",
        StructModule,
        "its alignment, and so its size and the offset of the layout",
        (3, 11, 0),
        "4.9 to 7.3",
    )
    .by_value(),
    member(
        "ARM_L1_CACHE_SHIFT",
        StructModule,
        "its alignment, and so its size and the offset of the layout",
        (3, 11, 0),
        "4.9 to 7.3",
    )
    .by_value(),
    // Code.
    code("CFI_CLANG", "each indirect call checks a type before the function", "Makefile"),
    code("CFI", "each indirect call checks a type before the function (CFI_CLANG of later kernels)", "Makefile"),
    code("CFI_ICALL_NORMALIZE_INTEGERS", "the types that indirect calls check", "Makefile"),
    code("X86_KERNEL_IBT", "each function that is called indirectly begins with ENDBR", "arch/x86/Makefile"),
    code("CALL_PADDING", "padding before each function, which mitigations write to", "arch/x86/Makefile"),
    code("FINEIBT", "the type that is checked at the start of a function", "arch/x86/Kconfig"),
    code("ARM64_BTI_KERNEL", "each function that is called indirectly begins with BTI", "arch/arm64/Makefile"),
    code("ARM64_PTR_AUTH_KERNEL", "return addresses are signed", "arch/arm64/Makefile"),
    code("SHADOW_CALL_STACK", "a register is reserved for a second stack; task_struct has it", "Makefile"),
    code("RETPOLINE", "indirect calls use thunks that the kernel exports", "arch/x86/Makefile"),
    code("MITIGATION_RETPOLINE", "indirect calls use thunks that the kernel exports", "arch/x86/Makefile"),
    code("RETHUNK", "returns use a thunk that the kernel exports", "arch/x86/Makefile"),
    code("MITIGATION_RETHUNK", "returns use a thunk that the kernel exports", "arch/x86/Makefile"),
    code("KASAN", "each access calls the kernel's checks, or reads its shadow", "scripts/Makefile.kasan"),
    code("KASAN_OUTLINE", "how accesses are checked", "scripts/Makefile.kasan"),
    code("KCSAN", "each access calls the kernel's checks", "scripts/Makefile.kcsan"),
    code("KMSAN", "each access calls the kernel's checks", "scripts/Makefile.kmsan"),
    code("KCOV", "each branch calls __sanitizer_cov_trace_pc", "scripts/Makefile.kcov"),
    code("GCOV_KERNEL", "counters, and constructors that register them", "Makefile"),
    code(
        "FUNCTION_TRACER",
        "each function begins with a call of __fentry__ or mcount, which the kernel exports",
        "Makefile",
    ),
    code("STACKPROTECTOR", "where the canary is found", "Makefile"),
    code("STACKPROTECTOR_PER_TASK", "where the canary is found: in task_struct", "arch/arm64/Makefile"),
    code("PREEMPT_COUNT", "spin_lock and the like count, or do not", "include/linux/preempt.h"),
    code("PREEMPT_RCU", "rcu_read_lock counts in task_struct, or disables preemption", "include/linux/rcupdate.h"),
    code("PREEMPT_DYNAMIC", "cond_resched and the like are static calls", "include/linux/sched.h"),
    code("DEBUG_PREEMPT", "preempt_disable calls checks", "include/linux/preempt.h"),
    code("PROVE_LOCKING", "locks call lockdep, with keys in the module", "include/linux/lockdep.h"),
    code("TRACE_IRQFLAGS", "local_irq_disable calls the tracer", "include/linux/irqflags.h"),
    code("PARAVIRT", "privileged instructions are calls through pv_ops", "arch/x86/include/asm/paravirt.h"),
    code("PARAVIRT_XXL", "more of them are", "arch/x86/include/asm/paravirt.h"),
    code("PARAVIRT_SPINLOCKS", "how a spinlock is released", "arch/x86/include/asm/qspinlock.h"),
    code("UNINLINE_SPIN_UNLOCK", "spin_unlock is a call", "include/linux/spinlock_api_smp.h"),
    code("JUMP_LABEL", "static keys are patched code, and struct static_key is larger", "include/linux/jump_label.h"),
    code("AEABI", "the calling convention", "arch/arm/Makefile"),
    code("THUMB2_KERNEL", "the instruction set", "arch/arm/Makefile"),
    code("FRAME_POINTER", "the unwinder finds frames, or does not", "Makefile"),
    code("LTO_CLANG", "modules are bitcode until the last link; the compiler must be the kernel's", "Makefile"),
    code("RUST", "modules in Rust can be linked", "rust/Makefile"),
    code("RUSTC_VERSION", "how Rust's compiler lays out types; only for modules in Rust", "rust/Makefile")
        .only("RUST")
        .by_value(),
    code("HZ", "how long a jiffy is: constants in timeouts", "include/asm-generic/param.h").by_value(),
    code(
        "PAGE_OFFSET",
        "where the kernel's memory begins: constants in address arithmetic",
        "arch/arm/Kconfig, arch/x86/Kconfig",
    )
    .by_value(),
    code(
        "ARM64_VA_BITS",
        "where the kernel's memory begins: constants in address arithmetic",
        "arch/arm64/include/asm/memory.h",
    )
    .by_value(),
    code("X86_5LEVEL", "page tables have five levels", "arch/x86/include/asm/pgtable_64_types.h"),
    code("SPARSEMEM_VMEMMAP", "how a page's address is computed", "include/asm-generic/memory_model.h"),
    code("FLATMEM", "how a page's address is computed", "include/asm-generic/memory_model.h"),
    // Structures of every kind.
    everywhere("NR_CPUS", "cpumask_t, and arrays with one entry per processor", "include/linux/cpumask.h"),
    everywhere("NODES_SHIFT", "nodemask_t, and arrays with one entry per node", "include/linux/numa.h"),
    everywhere("X86_L1_CACHE_SHIFT", "all structures that are aligned to cache lines", "arch/x86/include/asm/cache.h"),
    everywhere("ARM_L1_CACHE_SHIFT", "all structures that are aligned to cache lines", "arch/arm/include/asm/cache.h"),
    everywhere(
        "X86_INTERNODE_CACHE_SHIFT",
        "all structures that are aligned between nodes",
        "arch/x86/include/asm/cache.h",
    ),
    everywhere("PGTABLE_LEVELS", "page tables", "arch/*/include/asm/pgtable-types.h"),
    everywhere("X86_PAE", "pte_t and phys_addr_t have 64 bits", "arch/x86/include/asm/pgtable_types.h"),
    everywhere("ARM_LPAE", "pte_t and phys_addr_t have 64 bits", "arch/arm/include/asm/pgtable.h"),
    everywhere("PHYS_ADDR_T_64BIT", "phys_addr_t and resource_size_t", "include/linux/types.h"),
    everywhere("ARCH_DMA_ADDR_T_64BIT", "dma_addr_t", "include/linux/types.h"),
    everywhere("LBDAF", "sector_t and blkcnt_t", "include/linux/types.h, up to 5.1"),
    everywhere("HIGHMEM", "kmap, zones", "include/linux/highmem.h"),
    everywhere("PAGE_SHIFT", "the size of a page", "arch/*/include/asm/page.h"),
    everywhere("ARM64_4K_PAGES", "the size of a page", "arch/arm64/include/asm/page-def.h"),
    everywhere("ARM64_16K_PAGES", "the size of a page", "arch/arm64/include/asm/page-def.h"),
    everywhere("ARM64_64K_PAGES", "the size of a page", "arch/arm64/include/asm/page-def.h"),
    everywhere("QUEUED_SPINLOCKS", "arch_spinlock_t", "include/asm-generic/qspinlock_types.h"),
    everywhere("QUEUED_RWLOCKS", "arch_rwlock_t", "include/asm-generic/qrwlock_types.h"),
    everywhere(
        "THREAD_INFO_IN_TASK",
        "where current is found: thread_info in task_struct or below the stack",
        "include/linux/sched.h",
    ),
    everywhere("VMAP_STACK", "task_struct; a stack cannot be used for DMA", "include/linux/sched.h"),
    everywhere("DEBUG_BUGVERBOSE", "struct bug_entry: each BUG and WARN of the module", "include/asm-generic/bug.h"),
    everywhere(
        "HAVE_ARCH_PREL32_RELOCATIONS",
        "struct kernel_symbol: what the module exports",
        "include/linux/export.h",
    ),
];
