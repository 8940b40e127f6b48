//! Relocations on x86-64: each place must hold zeros (`__write_relocate_add`, arch/x86/kernel/module.c, 4.x on).
//!
//! That is what stops most modules whose `struct module` is another than the kernel's: by then the kernel has written
//! its own fields into the structure, and where the module wants its init and exit functions filled in there may stand
//! something already.

use crate::kernel::Member;
use crate::predict::loaded::{Loaded, SHT_RELA, Section, number};
use crate::predict::record::{Flow, Record};
use crate::predict::rules::Rule;
use crate::predict::{Attempt, Step, errno};

const EM_X86_64: u16 = 62;

/// Size of a relocation with addend in 64-bit files.
const RELA: usize = 24;

/// How many bytes a relocation type writes; `None` for one that the loader does not know.
fn size_of(kind: u64) -> Option<usize> {
    match kind {
        0 => Some(0),
        // R_X86_64_64, R_X86_64_PC64
        1 | 24 => Some(8),
        // R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_32, R_X86_64_32S
        2 | 4 | 10 | 11 => Some(4),
        _ => None,
    }
}

/// The step.
pub(super) fn check(attempt: &Attempt<'_>, loaded: &Loaded<'_>, record: &mut Record) -> Flow {
    if loaded.header.machine != EM_X86_64 || attempt.rules.has(Rule::RelocationTargets) == Some(false) {
        return Ok(());
    }
    let all = loaded.sections.iter().enumerate().skip(1);
    for (number_of_section, section) in all.filter(|(_, section)| section.kind == SHT_RELA) {
        let Some(target) = loaded.sections.get(section.info as usize) else { continue };
        let is_dropped = Some(section.info as usize) == loaded.modinfo || loaded.name_of(target) == b"__versions";
        if !target.is_alloc() || is_dropped {
            continue;
        }
        let is_structure = section.info as usize == loaded.this_module;
        let bytes = loaded.bytes(target);
        for (index, relocation) in loaded.bytes(section).chunks_exact(RELA).enumerate() {
            let endian = loaded.header.endian;
            let (offset, info) = (number(relocation, endian, 0, 8), number(relocation, endian, 8, 8));
            let kind = info & 0xffff_ffff;
            let Some(size) = size_of(kind) else {
                record.say(format!("module: {}: Unknown rela relocation: {kind}", loaded.own_name));
                let note = format!("a relocation of type {kind}, which the loader does not know");
                return record.fail(Step::Relocations, errno::ENOEXEC, note, None);
            };
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let there = start.checked_add(size).and_then(|end| bytes.get(start..end)).unwrap_or_default();
            let place = Place { section: number_of_section, index, kind, offset, target };
            if there.iter().any(|byte| *byte != 0) {
                return nonzero(attempt, loaded, &place, record);
            }
            if is_structure && size > 0 {
                structure(attempt, loaded, &place, record)?;
            }
        }
    }
    Ok(())
}

/// Where a relocation is, and where it is to write.
struct Place<'l> {
    /// The section that it stands in.
    section: usize,
    /// Its number there.
    index: usize,
    kind: u64,
    /// Where it writes to, in `target`.
    offset: u64,
    target: &'l Section,
}

/// Something stands where zeros should.
fn nonzero(attempt: &Attempt<'_>, loaded: &Loaded<'_>, place: &Place<'_>, record: &mut Record) -> Flow {
    let Place { section, index, kind, offset, target } = place;
    let word = if attempt.rules.has(Rule::RelocationInvalid) == Some(false) { "Skipping invalid" } else { "Invalid" };
    // The addresses behind it are of no use to anybody, and nobody can foretell them.
    let place = match attempt.rules.surely(Rule::RelocationPlace) {
        true => format!("sec {section}, idx {index}, type {kind}"),
        false => format!("type {kind}"),
    };
    record.say(format!("module: x86/modules: {word} relocation target, existing value is nonzero for {place}"));
    let section = String::from_utf8_lossy(loaded.name_of(target)).into_owned();
    let note = format!("something stands already at 0x{offset:x} in {section}, where an address is to be filled in");
    record.fail(Step::Relocations, errno::ENOEXEC, note, None)
}

/// A pointer that the module wants filled in in its `struct module`: what does the kernel have at that place?
fn structure(attempt: &Attempt<'_>, loaded: &Loaded<'_>, place: &Place<'_>, record: &mut Record) -> Flow {
    let offset = place.offset;
    let facts = &attempt.kernel.facts;
    let fits = |fingerprint: &crate::module::this_module::Fingerprint| {
        fingerprint.init == Some(offset) || fingerprint.exit == Some(offset)
    };
    if facts.fingerprint.as_ref().is_some_and(|fingerprint| fits(&fingerprint.value)) {
        return Ok(());
    }
    if facts.fingerprint.is_none() && facts.layout.is_none() {
        let note = "is struct module the same as the kernel's? (its BTF, or one of its modules)";
        if record.findings.iter().all(|finding| finding.note != note) {
            record.unknown(Step::Relocations, note);
        }
        return Ok(());
    }
    let Some(layout) = &facts.layout else {
        let note = format!(
            "what does the kernel's struct module have at 0x{offset:x}, where the module's has a pointer? (the kernel's BTF)"
        );
        record.unknown(Step::Relocations, note);
        return Ok(());
    };
    let end = offset.saturating_add(8);
    let members = layout.value.iter().filter(|member| member.offset < end && offset < member.offset + member.size);
    let mut found = Vec::new();
    for member in members {
        match written(loaded, member, record) {
            Some(true) => return nonzero(attempt, loaded, place, record),
            Some(false) => found.push(member.name.clone()),
            None => {
                let note = format!(
                    "is {} in the kernel's struct module, where the module's has a pointer at 0x{offset:x}, empty by then?",
                    member.name
                );
                record.unknown(Step::Relocations, note);
                return Ok(());
            }
        }
    }
    let at = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
    let note =
        format!("a pointer of struct module goes to 0x{offset:x}, where the kernel has {at}: not noticed, not safe");
    record.pass(Step::Relocations, note, Some(&layout.source));
    Ok(())
}

/// Has the kernel written something other than zeros into this member before relocations are applied? `None` for one
/// of which that is not known.
fn written(loaded: &Loaded<'_>, member: &Member, record: &Record) -> Option<bool> {
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
        "imported_namespaces" => loaded.modinfo("import_ns").is_some(),
        "taints" => !record.taints.letters().is_empty(),
        "percpu" | "percpu_size" => has(".data..percpu"),
        "gpl_future_syms" | "num_gpl_future_syms" => has("__ksymtab_gpl_future"),
        "gpl_future_crcs" => has("__kcrctab_gpl_future"),
        "ctors" | "num_ctors" => has(".ctors") || has(".init_array"),
        // Set later: kallsyms and bugs (post_relocation, complete_formation), sysfs, parameters, ftrace, init itself.
        "init"
        | "exit"
        | "args"
        | "kallsyms"
        | "core_kallsyms"
        | "bug_list"
        | "bug_table"
        | "num_bugs"
        | "mkobj"
        | "modinfo_attrs"
        | "holders_dir"
        | "sect_attrs"
        | "notes_attrs"
        | "build_id"
        | "arch"
        | "klp"
        | "klp_alive"
        | "klp_info"
        | "waiter"
        | "taints_pad"
        | "kunit_suites"
        | "num_kunit_suites"
        | "kunit_init_suites"
        | "num_kunit_init_suites"
        | "async_probe_requested"
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
