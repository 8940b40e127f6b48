//! Lines that belong together form one story, and the line with the reason decides it.

use kmodlab::explain::{NextStep, Outcome, explain};
use kmodlab::predict::LoaderStep;

use super::story;

#[test]
fn a_log_and_a_programs_error_are_one_story() {
    let story = story(&[
        "Linux host 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.55-1 (2023-09-29) x86_64 GNU/Linux",
        "[   12.1] emlog: loading out-of-tree module taints kernel.",
        "[   12.2] module: x86/modules: Skipping invalid relocation target, existing value is nonzero for type 1, loc 0, val 1",
        "insmod: ERROR: could not insert module ./emlog.ko: Invalid module format",
    ]);
    assert_eq!((story.module.as_deref(), story.kernel.as_deref()), (Some("emlog"), Some("6.1.0-13-amd64")));
    assert_eq!((story.outcome, story.step), (Outcome::Refused, Some(LoaderStep::Relocations)));
    assert_eq!((story.errno, story.lines.len()), (Some(8), 4));
}

#[test]
fn the_line_before_unknown_symbol_has_the_reason() {
    let story = story(&[
        "lisa: module uses symbol (filp_open) from namespace VFS_internal, but does not import it.",
        "lisa: Unknown symbol filp_open (err -22)",
        "lisa: Unknown symbol kernel_read (err -22)",
    ]);
    assert_eq!((story.outcome, story.errno), (Outcome::Refused, Some(22)));
    assert!(story.reason.contains("namespace VFS_internal"), "{}", story.reason);
    assert!(story.reason.contains("kernel_read"), "{}", story.reason);
}

#[test]
fn each_error_of_unknown_symbol_has_its_own_reason() {
    for (error, errno, words) in [
        ("0", 2, "neither the kernel nor a loaded module exports it"),
        ("-2", 2, "neither the kernel nor a loaded module exports it"),
        ("-22", 22, "another CRC, or in a namespace"),
        ("-13", 13, "CONFIG_MODULE_SIG_PROTECT"),
        ("-16", 16, "init function after 30 seconds"),
    ] {
        let story = story(&[&format!("foo: Unknown symbol bar (err {error})")]);
        assert_eq!((story.step, story.errno), (Some(LoaderStep::Symbols), Some(errno)), "{error}");
        assert!(story.reason.contains(words), "{error}: {}", story.reason);
    }
}

#[test]
fn the_crc_of_module_layout_is_a_step_of_its_own() {
    let story = story(&["foo: disagrees about version of symbol module_layout"]);
    assert_eq!((story.step, story.errno), (Some(LoaderStep::ModuleLayout), Some(8)));
}

#[test]
fn version_magic_shows_what_differs_and_what_to_build_for() {
    let story = story(&["foo: version magic '6.1.0 SMP mod_unload ' should be '6.1.0 SMP preempt mod_unload '"]);
    let differs = story.facts.iter().any(|fact| fact.about == "differs" && fact.value.starts_with("preemption"));
    assert!(differs, "{:#?}", story.facts);
    assert_eq!(story.next[0], NextStep::BuildFor("vermagic:6.1.0 SMP preempt mod_unload ".to_owned()));
}

#[test]
fn a_missing_crc_is_a_refusal_where_the_kernel_is_known_to_refuse_it() {
    let line = "fmem: no symbol version for module_layout";
    assert_eq!(story(&[line]).outcome, Outcome::Loaded);
    let story = story(&["Linux host 2.6.32-279.el6.x86_64 #1 SMP Fri Jun 22 12:19:21 UTC 2012 x86_64", line]);
    assert_eq!((story.outcome, story.step), (Outcome::Refused, Some(LoaderStep::ModuleLayout)));
}

#[test]
fn another_kernel_begins_another_story() {
    let line = "foo: Unknown symbol bar (err -2)";
    let report = explain(["Linux version 6.1.0 (x@y) #1 SMP", line, "Linux version 6.2.0 (x@y) #1 SMP", line]);
    let kernels: Vec<&str> = report.stories.iter().filter_map(|story| story.kernel.as_deref()).collect();
    assert_eq!(kernels, ["6.1.0", "6.2.0"]);
}

#[test]
fn lines_of_two_modules_are_two_stories() {
    let report = explain([
        "foo: Unknown symbol bar (err -2)",
        "baz: version magic '6.1.0 SMP ' should be '6.1.1 SMP '",
        "foo: Unknown symbol bar (err -2)",
    ]);
    let modules: Vec<&str> = report.stories.iter().filter_map(|story| story.module.as_deref()).collect();
    assert_eq!(modules, ["foo", "baz"]);
    assert_eq!((report.stories[0].lines.len(), report.stories[0].lines[0].count), (1, 2));
}

#[test]
fn types_that_do_not_fit_belong_to_the_module_that_is_named_after_them() {
    let report = explain([
        "BPF: [93325] ENUM a..percpu ",
        "BPF: size=4 vlen=2",
        "BPF:  ",
        "BPF: Invalid name",
        "BPF: ",
        "failed to validate module [backlight] BTF: -22",
        "BPF: [93327] STRUCT a..percpu ",
        "failed to validate module [i2c_core] BTF: -22",
    ]);
    assert!(report.unknown.is_empty(), "{:#?}", report.unknown);
    let stories: Vec<_> =
        report.stories.iter().map(|story| (story.module.as_deref(), story.step, story.errno)).collect();
    let btf = Some(LoaderStep::Btf);
    assert_eq!(stories, [(Some("backlight"), btf, Some(22)), (Some("i2c_core"), btf, Some(22))]);
}

#[test]
fn an_oops_names_the_module_the_kernel_and_the_taint() {
    let story = story(&[
        "BUG: unable to handle page fault for address: ffffffffc0a5b900",
        "Oops: 0003 [#1] SMP PTI",
        "CPU: 1 PID: 454 Comm: systemd-udevd Tainted: G           OE     5.4.0-40-generic #44-Ubuntu",
        "RIP: 0010:TSInitialize+0x2e5/0x370 [8190p]",
        "Modules linked in: 8190p(OE+) snd",
        "---[ end trace 0123456789abcdef ]---",
    ]);
    assert_eq!((story.module.as_deref(), story.kernel.as_deref()), (Some("8190p"), Some("5.4.0-40-generic")));
    assert_eq!(story.outcome, Outcome::Crashed);
    assert!(story.reason.contains("in TSInitialize of the module 8190p"), "{}", story.reason);
    assert_eq!(story.facts.iter().filter(|fact| fact.about == "taint").count(), 2);
}

#[test]
fn an_unknown_line_is_reported_as_unknown() {
    let report = explain(["something about a module that no kernel prints", ""]);
    assert!(report.stories.is_empty());
    let [unknown] = report.unknown.as_slice() else { panic!("{:#?}", report.unknown) };
    assert_eq!((unknown.number, unknown.text.as_str()), (1, "something about a module that no kernel prints"));
}
