//! The version magic that a kernel of this release and configuration is built with: the last resort, if no source has it.
//! Pure.
//!
//! The rules are include/linux/vermagic.h's and the architectures' asm/vermagic.h's, for the architectures where they are
//! certain. A vendor may have added words, so the origin says how the string was derived.

use crate::kernel::facts::{Config, Fact};
use crate::kernel::origin::Origin;
use crate::vermagic::{Release, Vermagic};

/// The version magic, or `None` if the rules are not certain.
pub(super) fn vermagic(release: &Fact<String>, config: &Fact<Config>) -> Option<Fact<Vermagic>> {
    let text = string(&release.value, &config.value)?;
    let source =
        Origin::VermagicRules { release: Box::new(release.source.clone()), config: Box::new(config.source.clone()) };
    Some(Fact { value: Vermagic::parse(text.as_bytes()), source })
}

fn string(release: &str, config: &Config) -> Option<String> {
    let has = |option: &str| config.get(option).is_some_and(|value| value == "y");
    let version = numbers(release)?;
    // The hash of a randomised layout is not in the configuration.
    let is_shuffled = has("RANDSTRUCT") || has("GCC_PLUGIN_RANDSTRUCT");
    if version < (3, 0) || is_shuffled || !has("MODULES") {
        return None;
    }
    let is_built_preemptible = if version >= (5, 16) { has("PREEMPT_BUILD") } else { has("PREEMPT") };
    let is_real_time = version >= (5, 4) && has("PREEMPT_RT");
    let preemption = match (is_built_preemptible, is_real_time) {
        (true, false) => "preempt ",
        (false, true) => "preempt_rt ",
        (false, false) => "",
        // As read in the sources of 5.10, 6.1 and 6.12; the order is reversed in 7.2.
        (true, true) if version <= (6, 12) => "preempt ",
        (true, true) if version >= (7, 2) => "preempt_rt ",
        (true, true) => return None,
    };
    let mut text = format!("{release} ");
    text.push_str(if has("SMP") { "SMP " } else { "" });
    text.push_str(preemption);
    text.push_str(if has("MODULE_UNLOAD") { "mod_unload " } else { "" });
    text.push_str(if has("MODVERSIONS") { "modversions " } else { "" });
    text.push_str(architecture(config)?);
    Some(text)
}

/// MODULE_ARCH_VERMAGIC.
fn architecture(config: &Config) -> Option<&'static str> {
    let has = |option: &str| config.get(option).is_some_and(|value| value == "y");
    if has("X86_64") || has("S390") {
        return Some("");
    }
    if has("ARM64") {
        return Some("aarch64");
    }
    if has("RISCV") {
        return Some("riscv");
    }
    // arch/x86/include/asm/vermagic.h: the processor family.
    let families = [
        ("M486", "486 "),
        ("M586", "586 "),
        ("M586TSC", "586TSC "),
        ("M586MMX", "586MMX "),
        ("M686", "686 "),
        ("MPENTIUMII", "PENTIUMII "),
        ("MPENTIUMIII", "PENTIUMIII "),
        ("MPENTIUMM", "PENTIUMM "),
        ("MPENTIUM4", "PENTIUM4 "),
        ("MATOM", "ATOM "),
        ("MK6", "K6 "),
        ("MK7", "K7 "),
        ("MK8", "K8 "),
        ("MGEODE_LX", "GEODE "),
    ];
    let family = families.into_iter().find(|(option, _)| has(option)).map(|(_, word)| word);
    family.filter(|_| has("X86_32"))
}

/// The first two numbers of a release.
fn numbers(release: &str) -> Option<(u32, u32)> {
    let base = Release::of(release).base;
    let mut numbers = base.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::config;

    fn of(release: &str, text: &str) -> Option<String> {
        string(release, &config::parse(text))
    }

    #[test]
    fn version_magics_of_debian_kernels() {
        let amd64 = "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_SMP=y\nCONFIG_PREEMPT_BUILD=y\nCONFIG_MODULE_UNLOAD=y\n\
                     CONFIG_MODVERSIONS=y\n";
        let expected = "6.1.0-56-amd64 SMP preempt mod_unload modversions ";
        assert_eq!(of("6.1.0-56-amd64", amd64).as_deref(), Some(expected));
        // 5.10 has PREEMPT only.
        assert_eq!(of("5.10.0-46-amd64", amd64).as_deref(), Some("5.10.0-46-amd64 SMP mod_unload modversions "));
        let arm64 = "CONFIG_ARM64=y\nCONFIG_MODULES=y\nCONFIG_SMP=y\nCONFIG_MODULE_UNLOAD=y\n";
        assert_eq!(of("6.12.1-arm64", arm64).as_deref(), Some("6.12.1-arm64 SMP mod_unload aarch64"));
        let i686 = "CONFIG_X86_32=y\nCONFIG_M686=y\nCONFIG_MODULES=y\nCONFIG_SMP=y\n";
        assert_eq!(of("5.10.0-32-686", i686).as_deref(), Some("5.10.0-32-686 SMP 686 "));
    }

    #[test]
    fn uncertain_version_magics_are_not_derived() {
        assert_eq!(of("6.1.0", "CONFIG_MODULES=y\nCONFIG_MIPS=y\n"), None);
        assert_eq!(of("6.1.0", "CONFIG_MODULES=y\nCONFIG_X86_64=y\nCONFIG_RANDSTRUCT=y\n"), None);
        assert_eq!(of("strange", "CONFIG_MODULES=y\nCONFIG_X86_64=y\n"), None);
    }

    #[test]
    fn the_preemption_token_of_a_realtime_kernel_depends_on_its_version() {
        let both = "CONFIG_MODULES=y\nCONFIG_X86_64=y\nCONFIG_PREEMPT_RT=y\nCONFIG_PREEMPT_BUILD=y\n";
        assert_eq!(of("6.12.118-rt", both).as_deref(), Some("6.12.118-rt preempt "));
        assert_eq!(of("7.2.13-rt", both).as_deref(), Some("7.2.13-rt preempt_rt "));
        assert_eq!(of("6.18.0-rt", both), None, "between two versions whose sources were read");
    }
}
