//! Version magic strings as kernels and vendors wrote them, and what is read out of them.

use super::*;

fn words(raw: &str) -> Vec<(&'static str, String)> {
    Vermagic::parse(raw.as_bytes()).tokens().iter().map(|token| (token.kind.name(), token.text.clone())).collect()
}

fn differences(module: &str, kernel: &str) -> Vec<String> {
    let (module, kernel) = (Vermagic::parse(module.as_bytes()), Vermagic::parse(kernel.as_bytes()));
    compare(&module, &kernel).differences().iter().map(Difference::to_string).collect()
}

fn problems(raw: &str) -> Vec<String> {
    Vermagic::parse(raw.as_bytes()).problems().iter().map(Problem::to_string).collect()
}

fn pairs(list: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    list.iter().map(|&(kind, text)| (kind, text.to_owned())).collect()
}

#[test]
fn debian_6_1_on_x86_64() {
    assert_eq!(
        words("6.1.0-56-amd64 SMP preempt mod_unload modversions "),
        pairs(&[
            ("release", "6.1.0-56-amd64"),
            ("SMP", "SMP"),
            ("preemption", "preempt"),
            ("mod_unload", "mod_unload"),
            ("modversions", "modversions"),
        ])
    );
}

#[test]
fn fedora_core_2() {
    assert_eq!(
        words("2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3"),
        pairs(&[
            ("release", "2.6.5-1.358custom"),
            ("architecture", "686"),
            ("architecture", "REGPARM"),
            ("architecture", "4KSTACKS"),
            ("compiler", "gcc-3.3"),
        ])
    );
}

#[test]
fn glued_tokens_are_two() {
    assert_eq!(
        words("6.6.30 SMP preempt_rt aarch64RANDSTRUCT_a1b2"),
        pairs(&[
            ("release", "6.6.30"),
            ("SMP", "SMP"),
            ("preemption", "preempt_rt"),
            ("architecture", "aarch64"),
            ("randstruct", "RANDSTRUCT_a1b2"),
        ])
    );
    assert_eq!(
        words("4.19.0 RANDSTRUCT_PLUGIN_0f"),
        pairs(&[("release", "4.19.0"), ("randstruct", "RANDSTRUCT_PLUGIN_0f")])
    );
    assert_eq!(
        words("2.6.32 ia64gcc-4.1"),
        pairs(&[("release", "2.6.32"), ("architecture", "ia64"), ("compiler", "gcc-4.1")])
    );
}

#[test]
fn a_vendors_word_is_kept_and_named_unknown() {
    assert_eq!(
        words("5.15.178-dirty SMP preempt mod_unload modversions vivo aarch64").get(5),
        Some(&("unknown", "vivo".to_owned()))
    );
    assert_eq!(words("SMP SMP"), pairs(&[("release", "SMP"), ("SMP", "SMP")]));
    assert_eq!(words(" SMP"), pairs(&[("SMP", "SMP")]));
    assert_eq!(words(""), pairs(&[]));
}

#[test]
fn hostile_bytes_are_a_token_too_and_shown_escaped() {
    let hostile = Vermagic::parse(b"6.1\x1b[2J \xff\xfe\n");
    assert_eq!(hostile.to_string(), "6.1\\x1b[2J \\xff\\xfe\\n");
    assert_eq!(hostile.tokens().len(), 2);
    let other = Vermagic::parse(b"6.1\x1b[2J \xff\xfd\n");
    let comparison = compare(&hostile, &other);
    assert_eq!(comparison.differences()[0].module.as_deref(), Some("\\xff\\xfe\\n"));
}

#[test]
fn a_release_says_where_its_parts_come_from() {
    let split = |release: &str| {
        let release = Release::of(release);
        (release.base.clone(), release.rest.clone(), release.extraversion_alone())
    };
    let of = |base: &str, rest: &str, alone| (base.to_owned(), rest.to_owned(), alone);
    assert_eq!(split("2.6.5-1.358custom"), of("2.6.5", "-1.358custom", true));
    assert_eq!(split("2.6.9"), of("2.6.9", "", false));
    assert_eq!(split("2.6.32.5+"), of("2.6.32", ".5+", false));
    assert_eq!(split("6.1.0-56-amd64"), of("6.1.0", "-56-amd64", false));
    assert_eq!(split("7.2-rc1"), of("7.2", "-rc1", false));
    assert_eq!(split("6.x"), of("", "6.x", false));
    assert_eq!(split("vendor-1.2"), of("", "vendor-1.2", false));
    assert_eq!(split("99999999999.1"), of("99999999999.1", "", false));
}

#[test]
fn differences_come_in_the_order_of_the_grammar() {
    assert_eq!(
        differences("2.6.10-5-386 preempt 586 REGPARM gcc-3.4", "2.6.8.1-5-686 SMP 686 4KSTACKS gcc-3.3"),
        [
            "release: module 2.6.10-5-386, kernel 2.6.8.1-5-686 (VERSION, PATCHLEVEL and SUBLEVEL in the top \
             Makefile; EXTRAVERSION in the top Makefile)",
            "SMP: module none, kernel SMP (CONFIG_SMP)",
            "preemption: module preempt, kernel none (CONFIG_PREEMPT, since 5.16 CONFIG_PREEMPT_BUILD; \
             CONFIG_PREEMPT_RT)",
            "architecture: module 586, kernel 686 (CONFIG_M486, CONFIG_M686, … (Processor family) in \
             arch/x86/include/asm/vermagic.h)",
            "architecture: module REGPARM, kernel none (CONFIG_REGPARM (until 2.6.19) in \
             arch/x86/include/asm/vermagic.h)",
            "architecture: module none, kernel 4KSTACKS (CONFIG_4KSTACKS (until 2.6.36) in \
             arch/x86/include/asm/vermagic.h)",
            "compiler: module gcc-3.4, kernel gcc-3.3 (the compiler's version, __GNUC__ and __GNUC_MINOR__)",
        ]
    );
}

#[test]
fn a_space_is_a_difference_of_its_own() {
    assert_eq!(
        differences("6.1.0 SMP mod_unload", "6.1.0 SMP mod_unload "),
        ["spacing: module no space at the end, kernel one space at the end \
          (the string as a whole, in include/linux/vermagic.h)"]
    );
    assert_eq!(differences("5.10 SMP  preempt ", "6.1.0 SMP preempt ").len(), 2);
    assert!(differences("6.1 preempt SMP ", "6.1 SMP preempt ")[0].starts_with("order: "));
}

#[test]
fn abi_differences_leave_out_release_and_spelling() {
    let module = Vermagic::parse(b"5.10.0 SMP preempt mod_unload ");
    let kernel = Vermagic::parse(b"6.1.0 SMP preempt_rt mod_unload modversions ");
    let comparison = compare(&module, &kernel);
    let abi: Vec<_> = comparison.abi_differences().map(|difference| difference.kind.name()).collect();
    assert_eq!(abi, ["preemption"]);
    assert!(!comparison.is_equal() && !comparison.equal_but_release());
}

#[test]
fn only_a_kernel_is_known_by_its_release_alone() {
    let [bare, whole] = ["6.1.0-47-amd64", "6.1.0-47-amd64 SMP "].map(|text| Vermagic::parse(text.as_bytes()));
    assert!(compare(&whole, &bare).is_equal(), "nothing is known of the kernel's tokens");
    assert!(!compare(&bare, &whole).is_equal(), "a module whose string ends there has no tokens");
    assert!(!compare_whole(&whole, &bare).is_equal());
}

#[test]
fn the_kernel_skips_to_the_first_space() {
    assert!(equal_after_release(b"5.10 SMP ", b"6.1 SMP "));
    assert!(!equal_after_release(b"5.10 SMP", b"6.1 SMP "));
    assert!(equal_after_release(b"5.10", b"6.1"), "no space: nothing is left to compare");
    assert!(equal_after_release(b"5.10 SMP\0junk", b"6.1 SMP\0"), "strcmp() ends at the NUL");
}

#[test]
fn which_architecture() {
    let of = |raw: &str| Vermagic::parse(raw.as_bytes()).architectures();
    assert_eq!(of("6.1 SMP aarch64"), ["arm64"]);
    assert_eq!(of("2.6.5 686 REGPARM 4KSTACKS gcc-3.3"), ["i386"]);
    assert_eq!(of("6.1 ARMv7 thumb2 p2v8 "), ["arm"]);
    assert_eq!(of("6.1 MIPS32_R2 32BIT "), ["mips"]);
    assert_eq!(of("6.1 LOONGARCH 64BIT "), ["loongarch"]);
    assert_eq!(of("6.1 xtensa-dc233c "), ["xtensa"]);
    assert_eq!(of("6.1 mprofile-kernel relocatable "), ["powerpc"]);
    assert!(of("6.1 SMP ").contains(&"x86-64") && of("6.1 SMP ").contains(&"powerpc"));
    assert!(of("6.1 SMP fr451 ").is_empty() && of("6.1 32BIT ").is_empty());
}

#[test]
fn what_speaks_against_a_new_string() {
    assert!(problems("6.1.0-56-amd64 SMP preempt mod_unload modversions ").is_empty());
    assert!(problems("6.1.0 SMP mod_unload aarch64").is_empty());
    assert!(problems("2.6.5 686 REGPARM 4KSTACKS gcc-3.3").is_empty());
    assert!(problems("6.1 SMP vivo").is_empty(), "who knows");
    assert_eq!(problems("6.1 SMP"), ["no space at the end, after SMP; a kernel's string has one there"]);
    assert_eq!(problems("6.1 riscv "), ["a space at the end, after riscv; a kernel's string has none there"]);
    assert_eq!(problems(" "), ["the string is empty"]);
    assert_eq!(problems("6.1\0 SMP "), ["the byte at 3 is the control character 0x00"]);
    assert_eq!(problems(" SMP "), ["the string begins with a space, so it has no release"]);
    assert_eq!(problems(&format!("6.1-{} ", "x".repeat(61))), ["the release has 65 bytes; a kernel's has at most 64"]);
    assert!(Problem::Empty.is_error() && Problem::NoRelease.is_error());
    assert!(!Problem::LongRelease { length: 65 }.is_error(), "odd, but somebody may want it");
}
