//! What may differ between a build tree and a kernel while their version magic is equal: options of the configuration
//! that change `struct module`, structures that modules share with the kernel, or how code is called. Pure.
//!
//! For `struct module` the list is whole for the kernels that were read: every `#ifdef` within it, within what it
//! holds, and in each `struct mod_arch_specific`, of 2.6.12, 2.6.32, 3.10, 4.9, 4.19, 5.10, 5.11, 5.18, 6.1, 6.12, 7.2
//! and 7.3 (include/linux/module.h, arch/*/include/asm/module.h; 3.10 and 4.19 in trees of Android, 4.9 in one of
//! NVIDIA, 5.10 and from 6.1 on in Debian's). Between two that were read an option counts as if it were there. For all
//! else it is a list of what is known to matter, and an equal configuration here proves nothing.
//!
//! What the version magic shows by itself is not here: SMP, the preemption model, MODULE_UNLOAD, MODVERSIONS,
//! RANDSTRUCT.

use serde::Serialize;

use crate::buildtree::structures;
use crate::kernel::Config;

/// A version: 2.6.32 is `(2, 6, 32)`.
pub type Version = (u32, u32, u32);

/// What an option changes, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `struct module` before its member `init`: the kernel finds another init, or none, and says nothing.
    BeforeInit,
    /// `struct module` elsewhere: its size, its `exit`, or what the kernel looks for in it.
    StructModule,
    /// How functions are called, what stands around them, or what inline functions do.
    Code,
    /// A structure that modules share with the kernel.
    SharedStructure,
}

/// One thing that an option changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Of which kind it is.
    pub kind: Kind,
    /// The members, structures or calls.
    pub what: &'static str,
    /// The kernels that were read and have it: `5.10 to 7.2`.
    pub seen: &'static str,
    /// The source file of the fact.
    pub source: &'static str,
}

/// Would a kernel notice?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caught {
    /// Both have MODVERSIONS, and it changes `struct module`: the CRC of `module_layout` (before 2.6.30
    /// `struct_module`) is made of it, and every module carries it. The module is refused.
    ModuleLayout,
    /// Both have MODVERSIONS: the CRC of each function is made of all structures that its declaration reaches. A module
    /// that calls one is refused; one that gets at the structure in another way is not.
    SymbolsThatReachIt,
    /// Nothing notices: the module is loaded.
    Nothing,
}

/// An option that differs, and what hangs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Beyond {
    /// The option, without `CONFIG_`.
    pub option: &'static str,
    /// Its value in the tree; `n` where it is not set.
    pub tree: String,
    /// Its value in the kernel.
    pub kernel: String,
    /// What it changes, the worst first; never empty.
    pub effects: Vec<Effect>,
    /// Would a kernel notice the worst of it?
    pub caught: Caught,
}

impl Beyond {
    /// The worst that it changes.
    pub fn kind(&self) -> Kind {
        self.effects.iter().map(|effect| effect.kind).min().unwrap_or(Kind::SharedStructure)
    }
}

/// What differs between two configurations, the worst first. Options that did not matter yet, or no more, in the kernel
/// of this version are left out where it is known. Both configurations are whole ones: what is not there is not set.
/// `m` and `y` are the same here, for the structures ask for either.
pub fn differing(tree: &Config, kernel: &Config, version: Option<Version>) -> Vec<Beyond> {
    let versions = is_set(tree, "MODVERSIONS") && is_set(kernel, "MODVERSIONS");
    let mut found: Vec<Beyond> = Vec::new();
    for row in ROWS.iter().chain(structures::ROWS) {
        let holds = version.is_none_or(|version| row.from <= version && row.until.is_none_or(|until| version < until));
        let asked = row.only.is_none_or(|only| is_set(tree, only) && is_set(kernel, only));
        let differs = match row.by_value {
            true => tree.get(row.option) != kernel.get(row.option),
            false => is_set(tree, row.option) != is_set(kernel, row.option),
        };
        if !(holds && asked && differs) {
            continue;
        }
        let effect = Effect { kind: row.kind, what: row.what, seen: row.seen, source: row.source };
        match found.iter_mut().find(|beyond| beyond.option == row.option) {
            Some(beyond) => beyond.effects.push(effect),
            None => {
                let value = |config: &Config| config.get(row.option).cloned().unwrap_or_else(|| "n".to_owned());
                let (tree, kernel) = (value(tree), value(kernel));
                found.push(Beyond { option: row.option, tree, kernel, effects: vec![effect], caught: Caught::Nothing });
            }
        }
    }
    for beyond in &mut found {
        beyond.effects.sort_by_key(|effect| effect.kind);
        beyond.caught = match beyond.kind() {
            Kind::BeforeInit | Kind::StructModule if versions => Caught::ModuleLayout,
            Kind::SharedStructure if versions => Caught::SymbolsThatReachIt,
            _ => Caught::Nothing,
        };
    }
    found.sort_by_key(Beyond::kind);
    found
}

fn is_set(config: &Config, option: &str) -> bool {
    config.get(option).is_some_and(|value| value != "n")
}

/// A row of the tables.
pub(super) struct Row {
    pub(super) option: &'static str,
    pub(super) kind: Kind,
    pub(super) what: &'static str,
    /// The first version that may have it.
    pub(super) from: Version,
    /// The first that was read and has it no more.
    pub(super) until: Option<Version>,
    pub(super) seen: &'static str,
    pub(super) source: &'static str,
    /// Only where this is set too: an architecture, or what the option is looked at under.
    pub(super) only: Option<&'static str>,
    /// Is its value compared, and not whether it is set?
    pub(super) by_value: bool,
}

/// From the first kernel on that has such modules.
pub(super) const ALWAYS: Version = (0, 0, 0);

const MODULE_H: &str = "include/linux/module.h";

const fn member(option: &'static str, kind: Kind, what: &'static str, from: Version, seen: &'static str) -> Row {
    Row { option, kind, what, from, until: None, seen, source: MODULE_H, only: None, by_value: false }
}

impl Row {
    const fn until(mut self, version: Version) -> Row {
        self.until = Some(version);
        self
    }

    const fn source(mut self, file: &'static str) -> Row {
        self.source = file;
        self
    }

    const fn only(mut self, option: &'static str) -> Row {
        self.only = Some(option);
        self
    }

    const fn by_value(mut self) -> Row {
        self.by_value = true;
        self
    }
}

const fn code(option: &'static str, what: &'static str, source: &'static str) -> Row {
    Row {
        option,
        kind: Kind::Code,
        what,
        from: ALWAYS,
        until: None,
        seen: "where the option is",
        source,
        only: None,
        by_value: false,
    }
}

const fn everywhere(option: &'static str, what: &'static str, source: &'static str) -> Row {
    let mut row = code(option, what, source).by_value();
    row.kind = Kind::SharedStructure;
    row
}

use Kind::{BeforeInit, StructModule};

/// `struct module`, then code, then what changes structures everywhere. The order within a kind is that of severity.
const ROWS: &[Row] = &[
    // struct module, before init.
    member("STACKTRACE_BUILD_ID", BeforeInit, "build_id", (5, 12, 0), "5.18 to 7.3"),
    member("SYSFS", BeforeInit, "param_lock", (3, 11, 0), "4.9 to 7.3"),
    member("ARCH_USES_CFI_TRAPS", BeforeInit, "kcfi_traps", (5, 19, 0), "6.1 to 7.3"),
    member("CFI_CLANG", BeforeInit, "cfi_check", ALWAYS, "5.18; Android's 4.9 and 4.19").until((6, 1, 0)),
    member("UNUSED_SYMBOLS", BeforeInit, "unused_syms and what follows", (2, 6, 13), "2.6.32 to 5.11")
        .until((5, 18, 0)),
    member("MODULE_SIG", BeforeInit, "sig_ok", (2, 6, 33), "3.10 to 7.3"),
    // What is held in it before init: mkobj is a kobject, param_lock a mutex.
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
    // struct module, behind init.
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
    member("NR_CPUS", StructModule, "ref, one for each processor", ALWAYS, "2.6.12")
        .until((2, 6, 32))
        .only("MODULE_UNLOAD")
        .by_value(),
    member(
        "X86_L1_CACHE_SHIFT",
        StructModule,
        "its alignment, and with it its size and the layout's place",
        (3, 11, 0),
        "4.9 to 7.3",
    )
    .by_value(),
    member(
        "ARM_L1_CACHE_SHIFT",
        StructModule,
        "its alignment, and with it its size and the layout's place",
        (3, 11, 0),
        "4.9 to 7.3",
    )
    .by_value(),
    // Code.
    code("CFI_CLANG", "each indirect call checks a type before the function", "Makefile"),
    code("CFI", "each indirect call checks a type before the function (CFI_CLANG of later kernels)", "Makefile"),
    code("CFI_ICALL_NORMALIZE_INTEGERS", "the types that indirect calls check", "Makefile"),
    code("X86_KERNEL_IBT", "each function that is called indirectly begins with ENDBR", "arch/x86/Makefile"),
    code("CALL_PADDING", "room before each function, which mitigations write to", "arch/x86/Makefile"),
    code("FINEIBT", "the type that is checked at the start of a function", "arch/x86/Kconfig"),
    code("ARM64_BTI_KERNEL", "each function that is called indirectly begins with BTI", "arch/arm64/Makefile"),
    code("ARM64_PTR_AUTH_KERNEL", "return addresses are signed", "arch/arm64/Makefile"),
    code("SHADOW_CALL_STACK", "a register is kept for a second stack; task_struct has it", "Makefile"),
    code("RETPOLINE", "indirect calls go by thunks that the kernel exports", "arch/x86/Makefile"),
    code("MITIGATION_RETPOLINE", "indirect calls go by thunks that the kernel exports", "arch/x86/Makefile"),
    code("RETHUNK", "returns go by a thunk that the kernel exports", "arch/x86/Makefile"),
    code("MITIGATION_RETHUNK", "returns go by a thunk that the kernel exports", "arch/x86/Makefile"),
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
    code("PREEMPT_RCU", "rcu_read_lock counts in task_struct, or bars preemption", "include/linux/rcupdate.h"),
    code("PREEMPT_DYNAMIC", "cond_resched and the like are static calls", "include/linux/sched.h"),
    code("DEBUG_PREEMPT", "preempt_disable calls checks", "include/linux/preempt.h"),
    code("PROVE_LOCKING", "locks call lockdep, with keys in the module", "include/linux/lockdep.h"),
    code("TRACE_IRQFLAGS", "local_irq_disable calls the tracer", "include/linux/irqflags.h"),
    code("PARAVIRT", "privileged instructions are calls by pv_ops", "arch/x86/include/asm/paravirt.h"),
    code("PARAVIRT_XXL", "more of them are", "arch/x86/include/asm/paravirt.h"),
    code("PARAVIRT_SPINLOCKS", "how a spinlock is released", "arch/x86/include/asm/qspinlock.h"),
    code("UNINLINE_SPIN_UNLOCK", "spin_unlock is a call", "include/linux/spinlock_api_smp.h"),
    code("JUMP_LABEL", "static keys are patched code, and struct static_key is larger", "include/linux/jump_label.h"),
    code("AEABI", "the calling convention", "arch/arm/Makefile"),
    code("THUMB2_KERNEL", "the instruction set", "arch/arm/Makefile"),
    code("FRAME_POINTER", "the unwinder finds frames, or does not", "Makefile"),
    code("LTO_CLANG", "modules are bit code until the last link; the compiler must be the kernel's", "Makefile"),
    code("RUST", "modules in Rust have something to link to", "rust/Makefile"),
    code("RUSTC_VERSION", "what Rust's compiler lays out, only for modules in Rust", "rust/Makefile")
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
    everywhere("NR_CPUS", "cpumask_t, and arrays of one for each processor", "include/linux/cpumask.h"),
    everywhere("NODES_SHIFT", "nodemask_t, and arrays of one for each node", "include/linux/numa.h"),
    everywhere("X86_L1_CACHE_SHIFT", "all structures that are aligned to cache lines", "arch/x86/include/asm/cache.h"),
    everywhere("ARM_L1_CACHE_SHIFT", "all structures that are aligned to cache lines", "arch/arm/include/asm/cache.h"),
    everywhere(
        "X86_INTERNODE_CACHE_SHIFT",
        "all structures that are aligned between nodes",
        "arch/x86/include/asm/cache.h",
    ),
    everywhere("PGTABLE_LEVELS", "page tables", "arch/*/include/asm/pgtable-types.h"),
    everywhere("X86_PAE", "pte_t and phys_addr_t are of 64 bits", "arch/x86/include/asm/pgtable_types.h"),
    everywhere("ARM_LPAE", "pte_t and phys_addr_t are of 64 bits", "arch/arm/include/asm/pgtable.h"),
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
    everywhere("VMAP_STACK", "task_struct; a stack is no memory for DMA", "include/linux/sched.h"),
    everywhere("DEBUG_BUGVERBOSE", "struct bug_entry: each BUG and WARN of the module", "include/asm-generic/bug.h"),
    everywhere(
        "HAVE_ARCH_PREL32_RELOCATIONS",
        "struct kernel_symbol: what the module exports",
        "include/linux/export.h",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let options = text.split_whitespace().filter_map(|word| word.split_once('='));
        options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn names(found: &[Beyond]) -> Vec<&str> {
        found.iter().map(|beyond| beyond.option).collect()
    }

    #[test]
    fn equal_configurations_differ_in_nothing() {
        let one = config("LIVEPATCH=y NR_CPUS=8192 KUNIT=m");
        assert_eq!(differing(&one, &one, None), []);
        assert_eq!(differing(&Config::new(), &Config::new(), None), []);
    }

    #[test]
    fn the_worst_comes_first_and_an_option_once() {
        let found = differing(&config("NUMA=y KASAN=y MODULE_SIG=y LIVEPATCH=y"), &Config::new(), Some((6, 1, 0)));
        assert_eq!(names(&found), ["MODULE_SIG", "LIVEPATCH", "KASAN", "NUMA"]);
        let livepatch = &found[1];
        assert_eq!((livepatch.tree.as_str(), livepatch.kernel.as_str()), ("y", "n"));
        // It is in struct module, and in task_struct.
        let kinds: Vec<Kind> = livepatch.effects.iter().map(|effect| effect.kind).collect();
        assert_eq!(kinds, [Kind::StructModule, Kind::SharedStructure]);
    }

    #[test]
    fn a_module_of_kunit_is_as_good_as_one_built_in() {
        assert_eq!(differing(&config("KUNIT=m"), &config("KUNIT=y"), None), []);
        assert_eq!(names(&differing(&config("KUNIT=m"), &config("KUNIT=n"), None)), ["KUNIT"]);
    }

    #[test]
    fn values_are_compared_where_they_are_sizes() {
        let found = differing(&config("NR_CPUS=8192 HZ=250"), &config("NR_CPUS=512 HZ=250"), Some((6, 12, 0)));
        assert_eq!(names(&found), ["NR_CPUS"]);
        assert_eq!((found[0].tree.as_str(), found[0].kernel.as_str()), ("8192", "512"));
        assert_eq!(found[0].kind(), Kind::SharedStructure);
        // Before 2.6.32 a module counted its users for each processor by itself.
        let unload = |cpus: &str| config(&format!("NR_CPUS={cpus} MODULE_UNLOAD=y"));
        assert_eq!(differing(&unload("8"), &unload("32"), Some((2, 6, 5)))[0].kind(), Kind::StructModule);
    }

    #[test]
    fn what_a_version_does_not_have_does_not_matter_to_it() {
        let tree = config("STACKTRACE_BUILD_ID=y");
        assert_eq!(differing(&tree, &Config::new(), Some((5, 10, 0))), []);
        assert_eq!(names(&differing(&tree, &Config::new(), Some((6, 1, 0)))), ["STACKTRACE_BUILD_ID"]);
        assert_eq!(names(&differing(&tree, &Config::new(), None)), ["STACKTRACE_BUILD_ID"]);
        // 6.1 looks at a type before each function, and has no cfi_check any more.
        let found = differing(&config("CFI_CLANG=y"), &Config::new(), Some((6, 1, 0)));
        assert_eq!(found[0].kind(), Kind::Code);
        assert_eq!(differing(&config("CFI_CLANG=y"), &Config::new(), Some((5, 18, 0)))[0].kind(), Kind::BeforeInit);
    }

    #[test]
    fn an_architectures_own_part_asks_for_the_architecture() {
        let tracer =
            |arch: &str| differing(&config(&format!("FUNCTION_TRACER=y {arch}")), &config(arch), Some((6, 1, 0)));
        assert_eq!(tracer("S390=y")[0].kind(), Kind::StructModule);
        assert_eq!(tracer("X86_64=y")[0].kind(), Kind::Code);
    }

    #[test]
    fn symbol_versions_notice_structures_and_never_code() {
        let both =
            |options: &str| differing(&config(&format!("MODVERSIONS=y {options}")), &config("MODVERSIONS=y"), None);
        assert_eq!(both("LIVEPATCH=y")[0].caught, Caught::ModuleLayout);
        assert_eq!(both("DEBUG_RWSEMS=y")[0].caught, Caught::SymbolsThatReachIt);
        assert_eq!(both("KASAN_OUTLINE=y")[0].caught, Caught::Nothing);
        let one = differing(&config("MODVERSIONS=y LIVEPATCH=y"), &Config::new(), None);
        assert_eq!(one[0].caught, Caught::Nothing);
    }

    #[test]
    fn no_row_stands_twice_and_none_is_of_the_version_magic() {
        let mut seen = std::collections::HashSet::new();
        for row in ROWS.iter().chain(structures::ROWS) {
            assert!(seen.insert((row.option, row.kind, row.from)), "{} twice", row.option);
            assert!(
                !["SMP", "PREEMPT", "PREEMPT_RT", "MODULE_UNLOAD", "MODVERSIONS", "RANDSTRUCT"].contains(&row.option)
            );
            assert!(row.until.is_none_or(|until| row.from < until), "{}", row.option);
        }
    }
}
