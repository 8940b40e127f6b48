//! A module for which there is not enough memory, or that has two sections of constructors.

use kmodlab::kernel::Kernel;
use kmodlab::predict::errno::{EINVAL, ENOMEM};
use kmodlab::predict::{Decision, Force, LoaderStep, Verdict};

use crate::make::special::Special;
use crate::predict::kernels::{with_option, without_versions};
use crate::predict::{assert_accepted, assert_refused, assert_unknown, insmod};

/// The bytes of a module from that kernel's own build, with these additional sections.
fn module(arch: &'static str, kernel: &Kernel, sections: &[(&'static str, usize)]) -> Vec<u8> {
    let vermagic = format!("vermagic={}", kernel.vermagic.as_ref().unwrap().value);
    let mut module = Special::new(arch, &["license=GPL", "intree=Y", "retpoline=Y", &vermagic]);
    module.sections = sections.to_vec();
    module.bytes().unwrap()
}

fn per_cpu(kernel: &Kernel, size: usize) -> Verdict {
    insmod(&module("x86", kernel, &[(".data..percpu", size)]), kernel, Force::None)
}

const UNSIGNED: &str = "demo: module verification failed: signature and/or required key missing - tainting kernel";

#[test]
fn the_modules_of_a_kernel_share_8_kib_of_per_cpu_data() {
    let kernel = without_versions("6.1.0");
    assert_accepted(&per_cpu(&kernel, 4096), "E", &[UNSIGNED]);
    for size in [8200, 16 << 10, 32 << 10] {
        let line = format!("demo: Could not allocate {size} bytes percpu data");
        let verdict = per_cpu(&kernel, size);
        assert_refused(&verdict, LoaderStep::Memory, ENOMEM, &[UNSIGNED, &line]);
        assert_eq!(verdict.taint.as_deref(), Some("E"));
    }
    // The allocator prints a warning for a size that does not fit into any of its units.
    assert_eq!(per_cpu(&kernel, 1 << 20).taint.as_deref(), Some("WE"));
    assert_eq!(per_cpu(&kernel, 40 << 10).taint, None, "how large its pages are is not known");
}

#[test]
fn a_kernel_that_profiles_allocations_has_more() {
    let plain = without_versions("6.12.9");
    assert_eq!(per_cpu(&plain, 16 << 10).answer, Decision::Refused);
    let profiling = with_option(plain.clone(), "MEM_ALLOC_PROFILING", true);
    assert_accepted(&per_cpu(&profiling, 16 << 10), "E", &[UNSIGNED]);
    assert_unknown(&per_cpu(&profiling, 48 << 10), &["49152 bytes of per-CPU data"]);
    assert_eq!(per_cpu(&profiling, 1 << 20).errno, Some(ENOMEM));
}

#[test]
fn a_kernel_for_one_processor_does_not_know_the_section() {
    let mut kernel = without_versions("6.1.0");
    let vermagic = &mut kernel.vermagic.as_mut().unwrap().value;
    *vermagic = kmodlab::vermagic::Vermagic::parse(vermagic.to_string().replace("SMP ", "").as_bytes());
    assert_accepted(&per_cpu(&kernel, 16 << 10), "E", &[UNSIGNED]);
}

#[test]
fn no_area_of_modules_holds_two_gib() {
    const MARKED: usize = 0x7a57e;
    let kernel = without_versions("6.1.0");
    let small = module("x86", &kernel, &[(".bss", MARKED)]);
    assert_accepted(&insmod(&small, &kernel, Force::None), "E", &[UNSIGNED]);
    let of_size = |mib: u64| {
        let mut bytes = small.clone();
        let size = (MARKED as u64).to_le_bytes();
        let at = bytes.windows(8).position(|window| window == size).expect("the section's header");
        bytes[at..at + 8].copy_from_slice(&(mib << 20).to_le_bytes());
        insmod(&bytes, &kernel, Force::None)
    };
    let too_large = of_size(2048);
    assert_eq!((too_large.answer, too_large.errno), (Decision::Refused, Some(ENOMEM)), "{too_large:#?}");
    assert_eq!((too_large.stage, too_large.taint.as_deref()), (Some(LoaderStep::Memory), Some("")));
    assert_unknown(&of_size(1024), &["1024 MiB of memory; does the machine have so much"]);
}

#[test]
fn constructors_are_in_one_section() {
    let kernel = without_versions("6.1.0");
    let both = module("x86", &kernel, &[(".ctors", 8), (".init_array", 8)]);
    assert_accepted(&insmod(&both, &kernel, Force::None), "E", &[UNSIGNED]);
    let running = with_option(kernel.clone(), "CONSTRUCTORS", true);
    let lines = [UNSIGNED, "demo: has both .ctors and .init_array."];
    assert_refused(&insmod(&both, &running, Force::None), LoaderStep::Sections, EINVAL, &lines);
    let one = module("x86", &kernel, &[(".init_array", 8)]);
    assert_accepted(&insmod(&one, &running, Force::None), "E", &[UNSIGNED]);
    let mut unknown = running;
    unknown.facts.config = None;
    let verdict = insmod(&both, &unknown, Force::None);
    assert_unknown(&verdict, &["CONFIG_CONSTRUCTORS"]);
}
