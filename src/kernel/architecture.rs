//! The machine that a kernel is for, by words: those of its version magic, of its package, of the boot loader's header. Pure.
//!
//! Each architecture's `asm/vermagic.h` adds words of its own (`arch/*/include/asm/vermagic.h`, 6.12). They determine
//! `e_machine`, but not always the class and the byte order: `aarch64` is in the version magic of big-endian kernels as
//! well. x86-64, s390 and others add none, and a release such as `6.1.0-1-amd64` proves nothing.
//!
//! Packages and boot loaders name architectures more loosely. Debian's `i386` had kernels for x86-64, its `mipsel` has
//! kernels of 64 bit, and U-Boot's `ppc` is both. What is uncertain stays open.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::module::Module;
use crate::module::elf::{Class, Endian, machine_name};
use crate::vermagic::{TokenKind, Vermagic};

/// The known part of a machine: the number, and class and byte order if they are certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// `e_machine` (include/uapi/linux/elf-em.h).
    pub number: u16,
    /// A second possible number: of 64-bit PowerPC, or of the other instruction set of ARC.
    pub other: Option<u16>,
    /// 32 or 64 bit; `None` if both are possible.
    pub class: Option<Class>,
    /// Byte order; `None` if both are possible.
    pub endian: Option<Endian>,
}

/// A machine, as in an ELF header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// 32 or 64 bit.
    pub class: Class,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine`.
    pub number: u16,
}

impl Machine {
    /// The machine that a module was built for.
    pub fn of(module: &Module) -> Machine {
        Machine { class: module.class, endian: module.endian, number: module.machine }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.class.name(), self.endian.name(), machine_name(self.number))
    }
}

impl Architecture {
    /// From a version magic; `None` if it has no word that only one architecture has.
    pub fn of(vermagic: &Vermagic) -> Option<Architecture> {
        let mut words = vermagic.tokens().iter().filter(|token| token.kind == TokenKind::Arch);
        words.next()?;
        let has =
            |word: &str| vermagic.tokens().iter().any(|token| token.kind == TokenKind::Arch && token.text == word);
        let class = match (has("32BIT"), has("64BIT")) {
            (true, false) => Some(Class::Elf32),
            (false, true) => Some(Class::Elf64),
            _ => None,
        };
        let [name] = vermagic.architectures()[..] else { return None };
        let known = match name {
            "i386" => Architecture::with(3, Some(Class::Elf32), Some(Endian::Little)),
            "arm" => Architecture::with(40, Some(Class::Elf32), None),
            "arm64" => Architecture::with(183, Some(Class::Elf64), None),
            "riscv" => Architecture::with(243, None, Some(Endian::Little)),
            "powerpc" => Architecture::with(20, None, None).or_number(21),
            "mips" => Architecture::with(8, class, None),
            "loongarch" => Architecture::with(258, class, Some(Endian::Little)),
            "sh" => Architecture::with(42, Some(Class::Elf32), sh_order(vermagic)),
            "xtensa" => Architecture::with(94, Some(Class::Elf32), None),
            // The word is that of ARCompact, and of ARCv2 as well.
            "arc" => Architecture::with(93, Some(Class::Elf32), None).or_number(195),
            "ia64" => Architecture::with(50, Some(Class::Elf64), Some(Endian::Little)),
            "nds32" => Architecture::with(167, Some(Class::Elf32), None),
            "avr32" => Architecture::with(0x18ad, Some(Class::Elf32), Some(Endian::Big)),
            _ => return None,
        };
        Some(known)
    }

    /// From the architecture of a package: Debian's names (dpkg's cputable and ostable), and those of Arch Linux, Alpine and
    /// OpenWrt. `None` for `all` and for an unknown name.
    ///
    /// Kernels of 64 bit are in packages for 32 bit, but not the other way round.
    pub fn of_package(name: &str) -> Option<Architecture> {
        let (little, big) = (Some(Endian::Little), Some(Endian::Big));
        let (narrow, wide) = (Some(Class::Elf32), Some(Class::Elf64));
        Some(match name {
            "amd64" | "x86_64" | "x32" => Architecture::with(62, wide, little),
            "i386" | "i486" | "i586" | "i686" | "x86" | "pentium4" => Architecture::with(3, None, little).or_number(62),
            "arm64" | "aarch64" => Architecture::with(183, wide, little),
            "armhf" | "armel" | "armv6h" | "armv7h" | "armv7" => Architecture::with(40, None, little).or_number(183),
            "riscv64" => Architecture::with(243, wide, little),
            "s390x" => Architecture::with(22, wide, big),
            "ppc64el" | "ppc64le" => Architecture::with(21, wide, little),
            "ppc64" => Architecture::with(21, wide, big),
            "powerpc" => Architecture::with(20, None, big).or_number(21),
            "mips" => Architecture::with(8, None, big),
            "mipsel" => Architecture::with(8, None, little),
            "mips64" => Architecture::with(8, wide, big),
            "mips64el" => Architecture::with(8, wide, little),
            "loong64" | "loongarch64" => Architecture::with(258, wide, little),
            "sparc64" => Architecture::with(43, wide, big),
            "sparc" => Architecture::with(2, None, big).or_number(43),
            "alpha" => Architecture::with(0x9026, wide, little),
            "hppa" => Architecture::with(15, None, big),
            "ia64" => Architecture::with(50, wide, little),
            "m68k" => Architecture::with(4, narrow, big),
            "sh4" => Architecture::with(42, narrow, little),
            _ => return None,
        })
    }

    /// From U-Boot's number in the header of a `uImage`, or U-Boot's name in a FIT image (`IH_ARCH_…` in include/image.h and
    /// `uimage_arch` in boot/image.c of U-Boot, 2025.01). `None` for an unknown one. Kernels for x86-64 are packed as `x86`, too (doc/uImage.FIT/x86-fit-boot.txt).
    pub fn of_uboot(is_it: impl Fn(u8, &str) -> bool) -> Option<Architecture> {
        let (little, big) = (Some(Endian::Little), Some(Endian::Big));
        let (narrow, wide) = (Some(Class::Elf32), Some(Class::Elf64));
        let known = [
            (1, "alpha", Architecture::with(0x9026, wide, little)),
            (2, "arm", Architecture::with(40, narrow, None)),
            (3, "x86", Architecture::with(3, None, little).or_number(62)),
            (4, "ia64", Architecture::with(50, wide, little)),
            (5, "mips", Architecture::with(8, None, None)),
            (6, "mips64", Architecture::with(8, wide, None)),
            (7, "powerpc", Architecture::with(20, None, None).or_number(21)),
            (7, "ppc", Architecture::with(20, None, None).or_number(21)),
            (8, "s390", Architecture::with(22, None, big)),
            (9, "sh", Architecture::with(42, narrow, None)),
            (10, "sparc", Architecture::with(2, narrow, big)),
            (11, "sparc64", Architecture::with(43, wide, big)),
            (12, "m68k", Architecture::with(4, narrow, big)),
            (14, "microblaze", Architecture::with(189, narrow, None)),
            (15, "nios2", Architecture::with(113, narrow, little)),
            (16, "blackfin", Architecture::with(106, narrow, little)),
            (17, "avr32", Architecture::with(0x18ad, narrow, big)),
            (20, "nds32", Architecture::with(167, narrow, None)),
            (21, "or1k", Architecture::with(92, narrow, big)),
            (22, "arm64", Architecture::with(183, wide, None)),
            (23, "arc", Architecture::with(93, narrow, None).or_number(195)),
            (24, "x86_64", Architecture::with(62, wide, little)),
            (25, "xtensa", Architecture::with(94, narrow, None)),
            (26, "riscv", Architecture::with(243, None, little)),
        ];
        known.into_iter().find_map(|(number, name, known)| is_it(number, name).then_some(known))
    }

    fn with(number: u16, class: Option<Class>, endian: Option<Endian>) -> Architecture {
        Architecture { number, other: None, class, endian }
    }

    fn or_number(self, other: u16) -> Architecture {
        Architecture { other: Some(other), ..self }
    }

    /// Joins the knowledge of two sources; `None` if they contradict each other.
    pub(super) fn and(self, also: Architecture) -> Option<Architecture> {
        fn both<T: PartialEq>(one: Option<T>, another: Option<T>) -> Option<Option<T>> {
            match (one, another) {
                (Some(one), Some(another)) if one != another => None,
                (one, another) => Some(one.or(another)),
            }
        }
        let mut numbers = self.numbers().filter(|number| also.numbers().any(|other| other == *number));
        let (class, endian) = (both(self.class, also.class)?, both(self.endian, also.endian)?);
        Some(Architecture { number: numbers.next()?, other: numbers.next(), class, endian })
    }

    /// The name of the number, or of both: `powerpc or powerpc64`.
    pub fn name(self) -> String {
        let name = machine_name(self.number);
        match self.other.map(machine_name) {
            Some(other) if other != name => format!("{name} or {other}"),
            _ => name,
        }
    }

    /// The numbers that are possible.
    fn numbers(self) -> impl Iterator<Item = u16> {
        [Some(self.number), self.other].into_iter().flatten()
    }

    /// The machine, if all of it is certain.
    pub fn machine(self) -> Option<Machine> {
        match self.other {
            None => Some(Machine { class: self.class?, endian: self.endian?, number: self.number }),
            Some(_) => None,
        }
    }

    /// Could a module for this machine be for this architecture?
    pub fn fits(self, module: Machine) -> bool {
        self.numbers().any(|number| number == module.number)
            && self.class.is_none_or(|class| class == module.class)
            && self.endian.is_none_or(|endian| endian == module.endian)
    }

    /// The machine, with the unknown parts taken from a module.
    pub fn or(self, module: Machine) -> Machine {
        Machine {
            class: self.class.unwrap_or(module.class),
            endian: self.endian.unwrap_or(module.endian),
            number: if self.other == Some(module.number) { module.number } else { self.number },
        }
    }
}

impl From<Machine> for Architecture {
    fn from(machine: Machine) -> Architecture {
        let Machine { class, endian, number } = machine;
        Architecture::with(number, Some(class), Some(endian))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(class) = self.class {
            write!(f, "{} ", class.name())?;
        }
        if let Some(endian) = self.endian {
            write!(f, "{} ", endian.name())?;
        }
        f.write_str(&self.name())
    }
}

/// `SH4LE` and so on end in the byte order (arch/sh/include/asm/vermagic.h).
fn sh_order(vermagic: &Vermagic) -> Option<Endian> {
    let word = vermagic.tokens().iter().find(|token| token.kind == TokenKind::Arch)?;
    match word.text.get(word.text.len().checked_sub(2)?..)? {
        "LE" => Some(Endian::Little),
        "BE" => Some(Endian::Big),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(vermagic: &str) -> Option<String> {
        Architecture::of(&Vermagic::parse(vermagic.as_bytes())).map(|architecture| architecture.to_string())
    }

    #[test]
    fn words_of_one_architecture_determine_the_machine() {
        for (vermagic, machine) in [
            ("6.1.21-v8+ SMP preempt mod_unload modversions aarch64", "ELF64 aarch64"),
            ("6.12.1-armmp SMP mod_unload modversions ARMv7 p2v8 ", "ELF32 arm"),
            ("4.4.14 SMP mod_unload ARMv6 ", "ELF32 arm"),
            ("6.12.1-riscv64 SMP mod_unload riscv", "little-endian riscv"),
            ("5.10.0-32-686 SMP mod_unload modversions 686 ", "ELF32 little-endian i386"),
            ("7.2.1-686 SMP preempt mod_unload GEODE ", "ELF32 little-endian i386"),
            ("6.6.73 mod_unload MIPS32_R2 32BIT ", "ELF32 mips"),
            ("6.1.0 SMP mod_unload MIPS64_R2 64BIT ", "ELF64 mips"),
            ("6.12.0 SMP preempt mod_unload LOONGARCH 64BIT ", "ELF64 little-endian loongarch"),
            ("5.10.0 mod_unload SH4LE ", "ELF32 little-endian sh"),
            ("6.1.0-1-powerpc64le SMP mod_unload modversions mprofile-kernel ", "powerpc or powerpc64"),
            ("6.1.0 SMP mod_unload modversions relocatable ", "powerpc or powerpc64"),
            ("4.19.0 mod_unload ARC700", "ELF32 arc"),
            ("5.10.0 mod_unload NDS32v3", "ELF32 nds32"),
            ("4.11.0 mod_unload AVR32v1", "ELF32 big-endian avr32"),
        ] {
            assert_eq!(named(vermagic).as_deref(), Some(machine), "{vermagic}");
        }
    }

    #[test]
    fn words_of_several_architectures_and_releases_determine_nothing() {
        for vermagic in [
            "6.1.0-1-amd64 SMP preempt mod_unload modversions ",
            "6.1.0-1-arm64 SMP mod_unload ",
            "5.10.0 mod_unload vivo ",
            "5.10.0 SMP mod_unload 32BIT ",
        ] {
            assert_eq!(named(vermagic), None, "{vermagic}");
        }
    }

    #[test]
    fn only_certain_parts_exclude_a_module() {
        let aarch64 = Architecture::with(183, Some(Class::Elf64), None);
        let module = |class, endian, number| Machine { class, endian, number };
        assert!(aarch64.fits(module(Class::Elf64, Endian::Big, 183)));
        assert!(aarch64.fits(module(Class::Elf64, Endian::Little, 183)));
        assert!(!aarch64.fits(module(Class::Elf32, Endian::Little, 40)));
        assert!(!aarch64.fits(module(Class::Elf64, Endian::Little, 62)));
        assert_eq!(aarch64.machine(), None);
    }

    #[test]
    fn a_kernel_may_have_either_of_two_numbers() {
        let powerpc = Architecture::with(20, None, None).or_number(21);
        let module = |class, number| Machine { class, endian: Endian::Big, number };
        assert!(powerpc.fits(module(Class::Elf32, 20)) && powerpc.fits(module(Class::Elf64, 21)));
        assert!(!powerpc.fits(module(Class::Elf64, 22)));
        assert_eq!(powerpc.or(module(Class::Elf64, 21)).number, 21);
        let machine = Machine { class: Class::Elf64, endian: Endian::Little, number: 21 };
        assert_eq!(powerpc.and(Architecture::of_package("ppc64el").unwrap()).unwrap().machine(), Some(machine));
    }

    #[test]
    fn package_and_version_magic_are_joined_unless_they_contradict_each_other() {
        let of = |package: &str, vermagic: &str| {
            let named = Architecture::of(&Vermagic::parse(vermagic.as_bytes())).unwrap();
            named.and(Architecture::of_package(package).unwrap()).map(|both| both.to_string())
        };
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(of("mipsel", "6.1.0 SMP mod_unload MIPS64_R2 64BIT "), said("ELF64 little-endian mips"));
        assert_eq!(of("armhf", "6.6.1-v8 SMP mod_unload aarch64"), said("ELF64 little-endian aarch64"));
        assert_eq!(of("armhf", "6.6.1-v7 SMP mod_unload ARMv7 "), said("ELF32 little-endian arm"));
        assert_eq!(of("amd64", "6.6.1 SMP mod_unload riscv"), None);
        assert_eq!(Architecture::of_package("all"), None);
    }

    #[test]
    fn each_architecture_of_u_boot_has_a_number_and_a_name() {
        let numbered = |number: u8| Architecture::of_uboot(|known, _| known == number).map(|known| known.to_string());
        let named = |name: &str| Architecture::of_uboot(|_, known| known == name).map(|known| known.to_string());
        assert_eq!(numbered(5).as_deref(), Some("mips"));
        assert_eq!(numbered(7).as_deref(), Some("powerpc or powerpc64"));
        assert_eq!(numbered(22).as_deref(), Some("ELF64 aarch64"));
        assert_eq!(numbered(26), named("riscv"));
        assert_eq!(named("ppc"), named("powerpc"));
        assert_eq!((numbered(0), numbered(19), named("")), (None, None, None));
    }
}
