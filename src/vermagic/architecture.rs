//! The tokens of the architectures, laid out for comparison with the kernel's `arch/*/include/asm/vermagic.h`.

/// One architecture's tokens: groups in the order of the string, of each group at most one word.
pub(super) struct ArchitectureTokens {
    pub(super) name: &'static str,
    /// The file in the kernel sources, as it is since 5.8; before, the same words were in `asm/module.h`.
    header: &'static str,
    groups: &'static [TokenGroup],
}

struct TokenGroup {
    /// The configuration option that decides.
    option: &'static str,
    /// Is one of the words always there?
    always: bool,
    /// The words as the header has them, with the space at the end where it has one; `*` is any text.
    words: &'static [&'static str],
}

/// A word found in the table.
pub(super) struct ArchitectureWord {
    pub(super) header: &'static str,
    pub(super) option: &'static str,
    /// The number of its group: two words of one number are alternatives.
    pub(super) role: usize,
    pub(super) pattern: &'static str,
}

const fn one(option: &'static str, words: &'static [&'static str]) -> TokenGroup {
    TokenGroup { option, always: true, words }
}

const fn maybe(option: &'static str, words: &'static [&'static str]) -> TokenGroup {
    TokenGroup { option, always: false, words }
}

const fn none(name: &'static str) -> ArchitectureTokens {
    ArchitectureTokens { name, header: "include/asm-generic/vermagic.h", groups: &[] }
}

/// Read in 2.6.9 to 7.2, and for architectures that are gone in the last kernel that had them. frv, mn10300 and
/// hexagon put in the name of the processor model, which cannot be distinguished from a vendor's word; they are omitted.
#[rustfmt::skip] // the words are as in the headers, several per line
pub(super) const ARCHITECTURES: &[ArchitectureTokens] = &[
    none("x86-64"),
    none("s390"),
    none("sparc"),
    none("parisc"),
    none("alpha"),
    none("csky"),
    none("m68k"),
    none("microblaze"),
    none("nios2"),
    none("openrisc"),
    ArchitectureTokens {
        name: "i386",
        header: "arch/x86/include/asm/vermagic.h",
        groups: &[
            one(
                "CONFIG_M486, CONFIG_M686, … (Processor family)",
                &[
                    "386 ", "486SX ", "486 ", "586 ", "586TSC ", "586MMX ", "CORE2 ", "ATOM ", "686 ", "PENTIUMII ",
                    "PENTIUMIII ", "PENTIUMM ", "PENTIUM4 ", "K6 ", "K7 ", "K8 ", "ELAN ", "CRUSOE ", "EFFICEON ",
                    "WINCHIPC6 ", "WINCHIP2 ", "WINCHIP3D ", "CYRIXIII ", "VIAC3-2 ", "VIAC7 ", "GEODEGX1 ",
                    "GEODE ",
                ],
            ),
            maybe("CONFIG_REGPARM (until 2.6.19)", &["REGPARM "]),
            maybe("CONFIG_4KSTACKS (until 2.6.36)", &["4KSTACKS "]),
        ],
    },
    ArchitectureTokens {
        name: "arm",
        header: "arch/arm/include/asm/vermagic.h",
        groups: &[
            one("CONFIG_CPU_… (the architecture version, __LINUX_ARM_ARCH__)", &["ARMv* "]),
            maybe("CONFIG_THUMB2_KERNEL", &["thumb2 "]),
            maybe("CONFIG_ARM_PATCH_PHYS_VIRT", &["p2v8 "]),
        ],
    },
    ArchitectureTokens {
        name: "arm64",
        header: "arch/arm64/include/asm/vermagic.h",
        groups: &[one("always there", &["aarch64"])],
    },
    ArchitectureTokens {
        name: "riscv",
        header: "arch/riscv/include/asm/vermagic.h",
        groups: &[one("always there", &["riscv"])],
    },
    ArchitectureTokens {
        name: "powerpc",
        header: "arch/powerpc/include/asm/vermagic.h",
        groups: &[
            maybe(
                "CONFIG_MPROFILE_KERNEL, CONFIG_ARCH_USING_PATCHABLE_FUNCTION_ENTRY",
                &["mprofile-kernel ", "patchable-function-entry "],
            ),
            maybe("CONFIG_RELOCATABLE", &["relocatable "]),
        ],
    },
    ArchitectureTokens {
        name: "mips",
        header: "arch/mips/include/asm/vermagic.h",
        groups: &[
            one(
                "CONFIG_CPU_MIPS32_R2, CONFIG_CPU_R4X00, … (CPU type)",
                &[
                    "BMIPS ", "MIPS32_R1 ", "MIPS32_R2 ", "MIPS32_R5 ", "MIPS32_R6 ", "MIPS64_R1 ", "MIPS64_R2 ",
                    "MIPS64_R5 ", "MIPS64_R6 ", "P5600 ", "R3000 ", "TX39XX ", "VR41XX ", "R4300 ", "R4X00 ",
                    "TX49XX ", "R5000 ", "R5432 ", "R5500 ", "R6000 ", "NEVADA ", "R8000 ", "R10000 ", "RM7000 ",
                    "RM9000 ", "SB1 ", "LOONGSON1 ", "LOONGSON2 ", "LOONGSON3 ", "LOONGSON32 ", "LOONGSON2EF ",
                    "LOONGSON64 ", "OCTEON ", "XLR ", "XLP ",
                ],
            ),
            one("CONFIG_32BIT, CONFIG_64BIT", &["32BIT ", "64BIT "]),
            maybe("CONFIG_MIPS_MT_SMTC (until 3.15)", &["MT_SMTC "]),
        ],
    },
    ArchitectureTokens {
        name: "loongarch",
        header: "arch/loongarch/include/asm/vermagic.h",
        groups: &[one("always there", &["LOONGARCH "]), one("CONFIG_32BIT, CONFIG_64BIT", &["32BIT ", "64BIT "])],
    },
    ArchitectureTokens {
        name: "sh",
        header: "arch/sh/include/asm/vermagic.h",
        groups: &[one(
            "CONFIG_CPU_SH4, CONFIG_CPU_LITTLE_ENDIAN, …",
            &["SH2LE ", "SH3LE ", "SH4LE ", "SH5LE ", "SH2BE ", "SH3BE ", "SH4BE ", "SH5BE "],
        )],
    },
    ArchitectureTokens {
        name: "xtensa",
        header: "arch/xtensa/include/asm/vermagic.h",
        groups: &[one("CONFIG_XTENSA_VARIANT_… (XCHAL_CORE_ID)", &["xtensa-* "])],
    },
    ArchitectureTokens {
        name: "arc",
        header: "arch/arc/include/asm/vermagic.h",
        groups: &[one("always there", &["ARC700"])],
    },
    ArchitectureTokens {
        name: "ia64",
        header: "arch/ia64/include/asm/vermagic.h",
        groups: &[one("always there", &["ia64"])],
    },
    ArchitectureTokens {
        name: "nds32",
        header: "arch/nds32/include/asm/vermagic.h",
        groups: &[one("always there", &["NDS32v3"])],
    },
    ArchitectureTokens {
        name: "avr32",
        header: "arch/avr32/include/asm/module.h",
        groups: &[one("always there", &["AVR32v1"])],
    },
];

impl ArchitectureTokens {
    /// Do these words, all of them and in this order, make a string of this architecture?
    pub(super) fn fits(&self, words: &[&[u8]]) -> bool {
        let mut words = words.iter().peekable();
        for group in self.groups {
            let found = words.next_if(|word| group.words.iter().any(|pattern| matches(pattern, word))).is_some();
            if group.always && !found {
                return false;
            }
        }
        words.next().is_none()
    }
}

/// The entry of a word in the table, in the first architecture that has it.
pub(super) fn architecture_word(word: &[u8]) -> Option<ArchitectureWord> {
    ARCHITECTURES.iter().find_map(|arch| {
        arch.groups.iter().enumerate().find_map(|(role, group)| {
            let pattern = group.words.iter().find(|pattern| matches(pattern, word))?;
            Some(ArchitectureWord { header: arch.header, option: group.option, role, pattern })
        })
    })
}

pub(super) fn is_architecture(word: &[u8]) -> bool {
    architecture_word(word).is_some()
}

fn matches(pattern: &str, word: &[u8]) -> bool {
    let pattern = pattern.trim_end();
    match pattern.strip_suffix('*') {
        Some(stem) => word.len() > stem.len() && word.starts_with(stem.as_bytes()),
        None => word == pattern.as_bytes(),
    }
}
