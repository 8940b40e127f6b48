//! The machine that a kernel is for, as far as the words of its version magic tell it.
//!
//! Each architecture's `asm/vermagic.h` adds words of its own (`arch/*/include/asm/vermagic.h`, 6.12). They determine
//! `e_machine`, but not always the class and the byte order: `aarch64` is in the version magic of big-endian kernels as
//! well. x86-64, s390 and others add none, and a release such as `6.1.0-1-amd64` proves nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kernel::Machine;
use crate::module::elf::{Class, Endian, machine_name};
use crate::vermagic::{TokenKind, Vermagic};

/// What is known of a machine: the number, and class and byte order where they are certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// `e_machine` (include/uapi/linux/elf-em.h).
    pub number: u16,
    /// 32 or 64 bit; `None` if both are possible.
    pub class: Option<Class>,
    /// Byte order; `None` if both are possible.
    pub endian: Option<Endian>,
}

impl Architecture {
    /// What a version magic tells; `None` if it has no word of one architecture only.
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
        let (number, class, endian) = match name {
            "i386" => (3, Some(Class::Elf32), Some(Endian::Little)),
            "arm" => (40, Some(Class::Elf32), None),
            "arm64" => (183, Some(Class::Elf64), None),
            "riscv" => (243, None, Some(Endian::Little)),
            "mips" => (8, class, None),
            "loongarch" => (258, class, Some(Endian::Little)),
            "sh" => (42, Some(Class::Elf32), sh_order(vermagic)),
            "xtensa" => (94, Some(Class::Elf32), None),
            "ia64" => (50, Some(Class::Elf64), Some(Endian::Little)),
            // PowerPC has two numbers, for 32 and 64 bit, and ARC has two for its two generations; their words are those of
            // both.
            _ => return None,
        };
        Some(Architecture { number, class, endian })
    }

    /// The machine, if all of it is certain.
    pub fn machine(self) -> Option<Machine> {
        Some(Machine { class: self.class?, endian: self.endian?, number: self.number })
    }

    /// Could a module for this machine be for this architecture?
    pub fn fits(self, module: Machine) -> bool {
        self.number == module.number
            && self.class.is_none_or(|class| class == module.class)
            && self.endian.is_none_or(|endian| endian == module.endian)
    }

    /// The machine, with what is not known as in a module.
    pub fn or(self, module: Machine) -> Machine {
        Machine {
            class: self.class.unwrap_or(module.class),
            endian: self.endian.unwrap_or(module.endian),
            number: self.number,
        }
    }
}

impl From<Machine> for Architecture {
    fn from(machine: Machine) -> Architecture {
        let Machine { class, endian, number } = machine;
        Architecture { number, class: Some(class), endian: Some(endian) }
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
        write!(f, "{}", machine_name(self.number))
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
    fn words_of_one_architecture_tell_the_machine() {
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
        ] {
            assert_eq!(named(vermagic).as_deref(), Some(machine), "{vermagic}");
        }
    }

    #[test]
    fn words_of_several_and_releases_tell_nothing() {
        for vermagic in [
            "6.1.0-1-amd64 SMP preempt mod_unload modversions ",
            "6.1.0-1-arm64 SMP mod_unload ",
            "6.1.0-1-powerpc64le SMP mod_unload modversions mprofile-kernel ",
            "5.10.0 mod_unload vivo ",
            "5.10.0 SMP mod_unload 32BIT ",
        ] {
            assert_eq!(named(vermagic), None, "{vermagic}");
        }
    }

    #[test]
    fn only_what_is_certain_keeps_a_module_out() {
        let aarch64 = Architecture { number: 183, class: Some(Class::Elf64), endian: None };
        let module = |class, endian, number| Machine { class, endian, number };
        assert!(aarch64.fits(module(Class::Elf64, Endian::Big, 183)));
        assert!(aarch64.fits(module(Class::Elf64, Endian::Little, 183)));
        assert!(!aarch64.fits(module(Class::Elf32, Endian::Little, 40)));
        assert!(!aarch64.fits(module(Class::Elf64, Endian::Little, 62)));
        assert_eq!(aarch64.machine(), None);
    }
}
