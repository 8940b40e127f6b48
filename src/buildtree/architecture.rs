//! The architecture of a tree: how it is told, what make must be told of it, and whether a version magic is of another.

use std::fs;
use std::path::{Path, PathBuf};

use crate::buildtree::layout::{Known, Layout};
use crate::buildtree::options::Options;
use crate::buildtree::place::Place;
use crate::buildtree::text::names_in;
use crate::vermagic::Vermagic;

impl Layout {
    /// The name below `arch/`, by what would decide it for make, then by what the last build left.
    pub(super) fn find_srcarch(
        &self,
        asked: Option<&str>,
        forced: Option<Known<String>>,
        options: Option<&(Options, Option<String>)>,
    ) -> Option<Known<String>> {
        if let Some(forced) = forced {
            return Some(Known { value: self.below_arch(&forced.value), ..forced });
        }
        if let Some(arch) = asked.filter(|arch| !arch.is_empty()) {
            let (place, how) = (Place::whole(&self.source.value), "ARCH of the environment".to_owned());
            return Some(Known { value: self.below_arch(arch), place, how });
        }
        if let Some((link, arch)) = self.asm_link() {
            return Some(Known {
                value: arch,
                place: Place::whole(link),
                how: "the link to its asm headers".to_owned(),
            });
        }
        if let Some((options, title)) = options {
            if let Some((arch, option)) = self.by_option(options) {
                return Some(Known { value: arch, place: options.place(option), how: format!("CONFIG_{option}") });
            }
            if let Some(arch) = title {
                let (place, how) = (Place::whole(&options.file), "the configuration's title".to_owned());
                return Some(Known { value: self.below_arch(arch), place, how });
            }
        }
        let generated = |folder: &Path| folder.join("include/generated").is_dir();
        for (root, holds, how) in [
            (&self.object, &generated as &dyn Fn(&Path) -> bool, "the only one with generated headers"),
            (&self.source.value, &|folder: &Path| folder.is_dir(), "the only one below arch/"),
        ] {
            let arch = root.join("arch");
            let found: Vec<String> = names_in(&arch).into_iter().filter(|name| holds(&arch.join(name))).collect();
            if let [only] = found.as_slice() {
                return Some(Known { value: only.clone(), place: Place::whole(arch.join(only)), how: how.to_owned() });
            }
        }
        None
    }

    /// `include/asm` (in the output folder of an old build `include2/asm`): a link to `asm-ARCH`, up to 2.6.32.
    fn asm_link(&self) -> Option<(PathBuf, String)> {
        ["include/asm", "include2/asm"].iter().find_map(|below| {
            let link = self.object.join(below);
            let target = fs::read_link(&link).ok()?;
            let name = target.file_name()?.to_str()?;
            let arch = match name {
                // Some architectures of 2.6.26 to 2.6.32 keep them below arch/: ../arch/x86/include/asm.
                "asm" => target.parent()?.parent()?.file_name()?.to_str()?,
                name => name.strip_prefix("asm-")?,
            };
            Some((link.clone(), self.below_arch(arch)))
        })
    }

    /// What `ARCH` is called below `arch/` (`SRCARCH` of the top Makefile, since 2.6.24 another than `ARCH` for some).
    fn below_arch(&self, arch: &str) -> String {
        let has = |name: &str| self.source.value.join("arch").join(name).is_dir();
        let merged = match arch {
            "i386" | "x86_64" => "x86",
            "sparc32" | "sparc64" => "sparc",
            "parisc64" => "parisc",
            "sh64" => "sh",
            "ppc" | "ppc64" => "powerpc",
            "s390x" => "s390",
            "tilepro" | "tilegx" => "tile",
            other => other,
        };
        if has(merged) || !has(arch) { merged.to_owned() } else { arch.to_owned() }
    }

    /// The architecture that options are of, and the place of the option that says so.
    pub(super) fn architecture_of(&self, options: &Options) -> Option<(String, Place)> {
        self.by_option(options).map(|(arch, option)| (arch, options.place(option)))
    }

    /// The architecture by the option that each sets for itself. Where none is known (`CONFIG_X86` in a tree that has
    /// no arch/ at all), the modern name.
    fn by_option(&self, options: &Options) -> Option<(String, &'static str)> {
        let &(option, arch) = ARCHITECTURES.iter().find(|(option, _)| options.is_yes(option))?;
        let arch = match (arch, options.is_yes("X86_64"), options.is_yes("64BIT")) {
            ("x86", true, _) if !self.has_arch("x86") && self.has_arch("x86_64") => "x86_64",
            ("x86", false, _) if !self.has_arch("x86") && self.has_arch("i386") => "i386",
            ("sparc", _, true) if self.has_arch("sparc64") => "sparc64",
            ("powerpc", _, false) if !self.has_arch("powerpc") && self.has_arch("ppc") => "ppc",
            ("powerpc", _, true) if !self.has_arch("powerpc") && self.has_arch("ppc64") => "ppc64",
            _ => arch,
        };
        Some((arch.to_owned(), option))
    }

    fn has_arch(&self, name: &str) -> bool {
        self.source.value.join("arch").join(name).is_dir()
    }
}

/// The option by which an architecture's Kconfig says that it is this one. The more special before the more general.
const ARCHITECTURES: [(&str, &str); 27] = [
    ("UML", "um"),
    ("X86", "x86"),
    ("ARM64", "arm64"),
    ("ARM", "arm"),
    ("RISCV", "riscv"),
    ("LOONGARCH", "loongarch"),
    ("MIPS", "mips"),
    ("PPC", "powerpc"),
    ("S390", "s390"),
    ("SPARC", "sparc"),
    ("SPARC64", "sparc"),
    ("PARISC", "parisc"),
    ("SUPERH", "sh"),
    ("IA64", "ia64"),
    ("ALPHA", "alpha"),
    ("M68K", "m68k"),
    ("ARC", "arc"),
    ("XTENSA", "xtensa"),
    ("NIOS2", "nios2"),
    ("OPENRISC", "openrisc"),
    ("HEXAGON", "hexagon"),
    ("MICROBLAZE", "microblaze"),
    ("CSKY", "csky"),
    ("AVR32", "avr32"),
    ("BLACKFIN", "blackfin"),
    ("FRV", "frv"),
    ("TILE", "tile"),
];

/// What speaks against a version magic for a tree of this name below `arch/`: that it is of another architecture, as far as
/// it tells. 32 and 64 bit of one source are one here.
pub(super) fn other(own: &str, wanted: &Vermagic) -> Option<String> {
    let theirs = wanted.architectures();
    let folder = |name: &'static str| if matches!(name, "x86-64" | "i386") { "x86" } else { name };
    let own_folder = modern(own);
    let is_other = IN_VERMAGIC.contains(&own_folder)
        && !theirs.is_empty()
        && !theirs.into_iter().any(|name| folder(name) == own_folder);
    is_other.then(|| format!("it is configured for {own}, and the kernel's version magic is of another architecture"))
}

/// What a folder of an old tree is called now.
fn modern(srcarch: &str) -> &str {
    match srcarch {
        "i386" | "x86_64" => "x86",
        "ppc" | "ppc64" => "powerpc",
        "sparc64" => "sparc",
        other => other,
    }
}

/// The `ARCH` without which make, on this machine (`uname -m`), would make another tree of it: of another architecture, and of
/// 32 bit on a machine of 64.
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
        // Without ARCH make takes the machine's width where the configuration does not say.
        ("x86", "x86") => (!is_64_bit && machine == "x86_64").then(|| "i386".to_owned()),
        ("x86", _) => Some(if is_64_bit { "x86_64" } else { "i386" }.to_owned()),
        ("x86_64", _) if machine == "x86_64" => None,
        (own, here) => (own != here).then(|| own.to_owned()),
    }
}

/// Folders below `arch/` whose architectures the grammar of version magic knows, by the same name but for x86.
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
    use super::*;

    #[test]
    fn make_is_told_what_it_would_not_find_by_the_machine() {
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
    fn a_string_without_an_architectures_word_fits_those_that_have_none() {
        let other = |own, text: &str| other(own, &Vermagic::parse(text.as_bytes())).is_some();
        assert!(
            !other("x86", "6.1.0 SMP mod_unload ") && !other("x86", "6.1.0 SMP 686 ") && !other("i386", "2.6.9 686 ")
        );
        assert!(other("arm64", "6.1.0 SMP mod_unload ") && other("x86", "6.1.0 SMP aarch64"));
        assert!(!other("frv", "6.1.0 SMP aarch64"));
    }
}
