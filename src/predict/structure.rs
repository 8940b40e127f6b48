//! `struct module` on a kernel with another layout: which members of the kernel's structure are overwritten by the pointers to
//! the init and exit functions?

use crate::kernel::StructMember;
use crate::predict::attempt::Attempt;
use crate::predict::load_info::LoadInfo;
use crate::predict::record::AttemptRecord;
use crate::predict::symbol_versions;
use crate::predict::verdict::{Finding, LoaderStep, StepResult};

const EM_X86_64: u16 = 62;

/// The member of the kernel's structure that a pointer of the module overwrites.
pub(super) enum OverwrittenMember {
    /// A member that does not matter to the loader, or an unknown member, which is then recorded.
    Fine,
    /// A member that the kernel has already written.
    Written,
    /// A member that the loader uses later: it may crash on the pointer.
    Used(String),
}

/// Determines which kernel member lies at the place of a pointer that is filled into the module's `struct module`.
pub(super) fn pointer(
    attempt: &Attempt<'_>,
    loaded: &LoadInfo<'_>,
    offset: u64,
    record: &mut AttemptRecord,
) -> OverwrittenMember {
    let facts = &attempt.kernel.facts;
    let fits = |fingerprint: &crate::module::this_module::ModuleLayout| {
        fingerprint.init == Some(offset) || fingerprint.exit == Some(offset)
    };
    if facts.fingerprint.as_ref().is_some_and(|fingerprint| fits(&fingerprint.value)) {
        return OverwrittenMember::Fine;
    }
    if facts.fingerprint.is_none() && symbol_versions::prove_structure(attempt, loaded) {
        let note = "struct module is the kernel's, because the CRC of module_layout agrees";
        record.pass_once(LoaderStep::Relocations, note);
        return OverwrittenMember::Fine;
    }
    if facts.fingerprint.is_none() && facts.layout.is_none() {
        let note = "is struct module the same as the kernel's? (its BTF, or one of its modules)";
        record.unknown_once(LoaderStep::Relocations, note);
        return OverwrittenMember::Fine;
    }
    let Some(layout) = &facts.layout else {
        let note = format!(
            "what does the kernel's struct module have at 0x{offset:x}, where the module's has a pointer? (the \
             kernel's BTF)"
        );
        record.one_of_kind("member", Finding::new(LoaderStep::Relocations, StepResult::Unknown, note));
        return OverwrittenMember::Fine;
    };
    let end = offset.saturating_add(loaded.header.class.word() as u64);
    let members = layout.value.iter().filter(|member| member.offset < end && offset < member.offset + member.size);
    let is_checked = loaded.header.machine == EM_X86_64;
    let mut found = Vec::new();
    for member in members {
        match written(loaded, member, record) {
            _ if !is_checked && is_used(&member.name) => return OverwrittenMember::Used(member.name.clone()),
            // Other machines do not detect the overwrite.
            Some(true) if !is_checked => found.push(member.name.clone()),
            Some(true) => return OverwrittenMember::Written,
            Some(false) if is_walked(&member.name) => return OverwrittenMember::Used(member.name.clone()),
            Some(false) => found.push(member.name.clone()),
            None => {
                let note = format!(
                    "is {} in the kernel's struct module, where the module's has a pointer at 0x{offset:x}, empty \
                     by then?",
                    member.name
                );
                record.one_of_kind("empty member", Finding::new(LoaderStep::Relocations, StepResult::Unknown, note));
                return OverwrittenMember::Fine;
            }
        }
    }
    let at = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    let note = format!(
        "a pointer of struct module is written to 0x{offset:x}, where the kernel has {at}: the kernel does not \
         notice, and it is not safe"
    );
    let finding = Finding::new(LoaderStep::Relocations, StepResult::Pass, note);
    record.one_of_kind("pointer", Finding { source: Some(layout.source.to_string()), ..finding });
    OverwrittenMember::Fine
}

/// Members that the loader sets after relocations are applied, and uses only from then on: kallsyms and bugs (post_relocation,
/// complete_formation), sysfs, parameters, and init itself.
const SET_LATER: [&str; 16] = [
    "init",
    "exit",
    "args",
    "kallsyms",
    "core_kallsyms",
    "bug_list",
    "bug_table",
    "num_bugs",
    "mkobj",
    "modinfo_attrs",
    "holders_dir",
    "sect_attrs",
    "notes_attrs",
    "build_id",
    "waiter",
    "async_probe_requested",
];

/// Does the loader follow or rely on this member after relocations are applied? It does not for its strings and for the members
/// that it sets later (sysfs, kallsyms, bugs, arguments).
fn is_used(name: &str) -> bool {
    let is_set_later = SET_LATER.contains(&name) || name == "typetab";
    let is_text = matches!(name, "version" | "srcversion" | "scmversion" | "imported_namespaces" | "taints");
    !is_set_later && !is_text
}

/// Is this a table of the module, or its number of entries, through which the loader or a notifier iterates?
fn is_walked(name: &str) -> bool {
    name.starts_with("num_") && name != "num_bugs"
        || name.ends_with("_size")
        || matches!(
            name,
            "kp" | "syms"
                | "crcs"
                | "flagstab"
                | "gpl_syms"
                | "gpl_crcs"
                | "tracepoints_ptrs"
                | "srcu_struct_ptrs"
                | "bpf_raw_events"
                | "btf_data"
                | "jump_entries"
                | "trace_events"
                | "trace_evals"
                | "ftrace_callsites"
                | "ei_funcs"
                | "kprobe_blacklist"
                | "static_call_sites"
                | "extable"
                | "descs"
                | "dyndbg_info"
                | "percpu"
                | "ctors"
        )
}

/// Has the kernel written nonzero bytes into this member before relocations are applied? `None` for a member for which that is
/// not known.
fn written(loaded: &LoadInfo<'_>, member: &StructMember, record: &AttemptRecord) -> Option<bool> {
    let has = |section: &str| loaded.find(section).is_some_and(|section| section.size > 0);
    Some(match member.name.as_str() {
        // add_unformed_module, module_unload_init, init_param_lock, layout and memory
        "state" | "list" | "next" | "prev" | "source_list" | "target_list" | "refcnt" | "param_lock" => true,
        "mem" | "core_layout" | "init_layout" | "data_layout" | "name" => true,
        // find_module_sections (kernel/module/main.c): a pointer and a number for each section
        "kp" | "num_kp" => has("__param"),
        "syms" | "num_syms" => has("__ksymtab"),
        "crcs" => has("__kcrctab"),
        "flagstab" => has("__kflagstab"),
        "gpl_syms" | "num_gpl_syms" => has("__ksymtab_gpl"),
        "gpl_crcs" => has("__kcrctab_gpl"),
        "noinstr_text_start" | "noinstr_text_size" => has(".noinstr.text"),
        "tracepoints_ptrs" | "num_tracepoints" => has("__tracepoints_ptrs"),
        "srcu_struct_ptrs" | "num_srcu_structs" => has("___srcu_struct_ptrs"),
        "bpf_raw_events" | "num_bpf_raw_events" => has("__bpf_raw_tp_map"),
        "btf_data" | "btf_data_size" => loaded.find_any(".BTF").is_some_and(|section| section.size > 0),
        "btf_base_data" | "btf_base_data_size" => loaded.find_any(".BTF.base").is_some_and(|section| section.size > 0),
        "jump_entries" | "num_jump_entries" => has("__jump_table"),
        "trace_events" | "num_trace_events" => has("_ftrace_events"),
        "trace_evals" | "num_trace_evals" => has("_ftrace_eval_map"),
        "trace_bprintk_fmt_start" | "num_trace_bprintk_fmt" => has("__trace_printk_fmt"),
        "ftrace_callsites" | "num_ftrace_callsites" => has("__mcount_loc") || has("__patchable_function_entries"),
        "ei_funcs" | "num_ei_funcs" => has("_error_injection_whitelist"),
        "kprobes_text_start" | "kprobes_text_size" => has(".kprobes.text"),
        "kprobe_blacklist" | "num_kprobe_blacklist" => has("_kprobe_blacklist"),
        "printk_index_start" | "printk_index_size" => has(".printk_index"),
        "static_call_sites" | "num_static_call_sites" => has(".static_call_sites"),
        "extable" | "num_exentries" => has("__ex_table"),
        "dyndbg_info" | "descs" | "num_descs" => has("__dyndbg"),
        // setup_modinfo
        "version" => loaded.modinfo("version").is_some(),
        "srcversion" => loaded.modinfo("srcversion").is_some(),
        // Android's kernels (include/linux/module.h of the common kernels, 5.10 on).
        "scmversion" => loaded.modinfo("scmversion").is_some(),
        "imported_namespaces" => loaded.modinfo("import_ns").is_some(),
        "taints" => !record.taints.letters().is_empty(),
        "percpu" | "percpu_size" => has(".data..percpu"),
        "gpl_future_syms" | "num_gpl_future_syms" => has("__ksymtab_gpl_future"),
        "gpl_future_crcs" => has("__kcrctab_gpl_future"),
        "ctors" | "num_ctors" => has(".ctors") || has(".init_array"),
        member if SET_LATER.contains(&member) => false,
        // These are set later, too, and used by other parts of the kernel: ftrace, livepatches, the architecture.
        "arch"
        | "klp"
        | "klp_alive"
        | "klp_info"
        | "taints_pad"
        | "kunit_suites"
        | "num_kunit_suites"
        | "kunit_init_suites"
        | "num_kunit_init_suites"
        | "unused_syms"
        | "unused_crcs"
        | "its_num_pages"
        | "its_page_array"
        | "dyndbg_classes"
        | "orc_unwind"
        | "orc_unwind_ip"
        | "num_orcs" => false,
        _ => return None,
    })
}
