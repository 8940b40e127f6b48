//! The architecture that make must be given, and whether a vermagic is of another architecture. Pure.

use crate::buildtree::reading::options::Options;
use crate::vermagic::Vermagic;

/// Is a vermagic of another architecture than a tree with this name below `arch/`, as far as it shows? 32 and 64 bit of one
/// source count as one.
pub(super) fn is_other(own: &str, wanted: &Vermagic) -> bool {
    let theirs = wanted.architectures();
    let folder = |name: &'static str| if matches!(name, "x86-64" | "i386") { "x86" } else { name };
    let own_folder = modern(own);
    IN_VERMAGIC.contains(&own_folder)
        && !theirs.is_empty()
        && !theirs.into_iter().any(|name| folder(name) == own_folder)
}

/// The present name of a folder of an old tree.
fn modern(srcarch: &str) -> &str {
    match srcarch {
        "i386" | "x86_64" => "x86",
        "ppc" | "ppc64" => "powerpc",
        "sparc64" => "sparc",
        other => other,
    }
}

/// The `ARCH` that make needs on this machine (`uname -m`) to build for the tree's architecture: for another architecture, and
/// for 32 bit on a 64-bit machine.
pub(super) fn to_give(srcarch: &str, options: Option<&Options>, machine: &str) -> Option<String> {
    let is_64_bit = options.is_none_or(|options| options.is_yes("64BIT") || options.is_yes("X86_64"));
    let here = match machine {
        "x86_64" | "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" => "arm64",
        "s390x" => "s390",
        arm if arm.starts_with("arm") => "arm",
        power if power.starts_with("ppc") => "powerpc",
        mips if mips.starts_with("mips") => "mips",
        riscv if riscv.starts_with("riscv") => "riscv",
        other => other,
    };
    match (srcarch, here) {
        // Without ARCH make uses the machine's width if the configuration does not set it.
        ("x86", "x86") => (!is_64_bit && machine == "x86_64").then(|| "i386".to_owned()),
        ("x86", _) => Some(if is_64_bit { "x86_64" } else { "i386" }.to_owned()),
        ("x86_64", _) if machine == "x86_64" => None,
        (own, here) => (own != here).then(|| own.to_owned()),
    }
}

/// Folders below `arch/` whose architectures the grammar of vermagic knows, by the same name except for x86.
const IN_VERMAGIC: [&str; 14] = [
    "x86",
    "arm",
    "arm64",
    "mips",
    "powerpc",
    "riscv",
    "s390",
    "sparc",
    "parisc",
    "loongarch",
    "alpha",
    "m68k",
    "sh",
    "ia64",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn make_needs_arch_where_the_machine_does_not_give_it() {
        let options = |text: &str| Options::parse(text, Path::new(".config"));
        let (wide, narrow) = (options("CONFIG_64BIT=y\n"), options("# CONFIG_64BIT is not set\n"));
        let given = |own, options, machine| to_give(own, Some(options), machine);
        assert_eq!(given("x86", &wide, "x86_64"), None);
        assert_eq!(given("x86", &narrow, "x86_64").as_deref(), Some("i386"));
        assert_eq!(given("x86", &narrow, "i686"), None);
        assert_eq!(given("x86", &wide, "aarch64").as_deref(), Some("x86_64"));
        assert_eq!(given("i386", &narrow, "x86_64").as_deref(), Some("i386"));
        assert_eq!(given("arm", &narrow, "x86_64").as_deref(), Some("arm"));
        assert_eq!(given("arm64", &wide, "aarch64"), None);
    }

    #[test]
    fn a_vermagic_without_an_architecture_fits_architectures_without_a_token() {
        let other = |own, text: &str| is_other(own, &Vermagic::parse(text.as_bytes()));
        assert!(
            !other("x86", "6.1.0 SMP mod_unload ") && !other("x86", "6.1.0 SMP 686 ") && !other("i386", "2.6.9 686 ")
        );
        assert!(other("arm64", "6.1.0 SMP mod_unload ") && other("x86", "6.1.0 SMP aarch64"));
        assert!(!other("frv", "6.1.0 SMP aarch64"));
    }
}
