//! The architecture of a tree, determined from what would decide it for make.

use std::fs;
use std::path::{Path, PathBuf};

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::files::names_in;
use crate::buildtree::reading::located::Located;
use crate::buildtree::reading::options::Options;

/// The two folders of a tree, which are often the same.
#[derive(Clone, Copy)]
pub(super) struct TreeRoots<'t> {
    pub(super) object: &'t Path,
    pub(super) source: &'t Path,
}

impl TreeRoots<'_> {
    /// The name below `arch/`: from what would decide it for make, else from what the last build left.
    pub(super) fn find_srcarch(
        &self,
        asked: Option<&str>,
        forced: Option<Located<String>>,
        options: Option<&(Options, Option<String>)>,
    ) -> Option<Located<String>> {
        if let Some(forced) = forced {
            return Some(Located { value: self.below_arch(&forced.value), ..forced });
        }
        if let Some(arch) = asked.filter(|arch| !arch.is_empty()) {
            let (place, how) = (FileLine::whole(self.source), "ARCH of the environment".to_owned());
            return Some(Located { value: self.below_arch(arch), place, how });
        }
        if let Some((link, arch)) = self.asm_link() {
            return Some(Located {
                value: arch,
                place: FileLine::whole(link),
                how: "the link to its asm headers".to_owned(),
            });
        }
        if let Some((options, title)) = options {
            if let Some((arch, option)) = self.by_option(options) {
                return Some(Located { value: arch, place: options.place(option), how: format!("CONFIG_{option}") });
            }
            if let Some(arch) = title {
                let (place, how) = (FileLine::whole(&options.file), "the configuration's title".to_owned());
                return Some(Located { value: self.below_arch(arch), place, how });
            }
        }
        let generated = |folder: &Path| folder.join("include/generated").is_dir();
        for (root, holds, how) in [
            (self.object, &generated as &dyn Fn(&Path) -> bool, "the only one with generated headers"),
            (self.source, &|folder: &Path| folder.is_dir(), "the only one below arch/"),
        ] {
            let arch = root.join("arch");
            let found: Vec<String> = names_in(&arch).into_iter().filter(|name| holds(&arch.join(name))).collect();
            if let [only] = found.as_slice() {
                return Some(Located {
                    value: only.clone(),
                    place: FileLine::whole(arch.join(only)),
                    how: how.to_owned(),
                });
            }
        }
        None
    }

    /// `include/asm` (`include2/asm` in the output folder of an old build): a link to `asm-ARCH`, up to 2.6.32.
    fn asm_link(&self) -> Option<(PathBuf, String)> {
        ["include/asm", "include2/asm"].iter().find_map(|below| {
            let link = self.object.join(below);
            let target = fs::read_link(&link).ok()?;
            let name = target.file_name()?.to_str()?;
            let arch = match name {
                // Some architectures of 2.6.26 to 2.6.32 have them below arch/: ../arch/x86/include/asm.
                "asm" => target.parent()?.parent()?.file_name()?.to_str()?,
                name => name.strip_prefix("asm-")?,
            };
            Some((link.clone(), self.below_arch(arch)))
        })
    }

    /// The folder of an `ARCH` below `arch/` (`SRCARCH` of the top Makefile, since 2.6.24 different from `ARCH` for some).
    fn below_arch(&self, arch: &str) -> String {
        let has = |name: &str| self.source.join("arch").join(name).is_dir();
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

    /// The architecture of a configuration, and the line of the option that identifies it.
    pub(super) fn architecture_of(&self, options: &Options) -> Option<(String, FileLine)> {
        self.by_option(options).map(|(arch, option)| (arch, options.place(option)))
    }

    /// The architecture, by the option that each one sets. The modern name if the tree has no arch/ folder.
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
        self.source.join("arch").join(name).is_dir()
    }
}

/// The option that identifies an architecture in its Kconfig. The more specific ones come first.
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
