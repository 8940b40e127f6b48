//! Version magic, the string by which a kernel and a module recognise each other: its grammar, its tokens, and what
//! differs between two of them. Pure: bytes in, values out.
//!
//! ```text
//! 6.1.0-56-amd64 SMP preempt mod_unload modversions ␠            x86-64, 5.10 to 6.x; the space at the end counts
//! 2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3                 i386, before 2.6.20: the compiler is the last token
//! 6.6.30 SMP preempt mod_unload aarch64RANDSTRUCT_a1b2…          arm64: two tokens without a space between them
//! ```
//!
//! The kernel builds the string from `include/linux/vermagic.h` and each architecture's `asm/vermagic.h` (before 5.8
//! `asm/module.h`), and compares it byte for byte (`same_magic()`, in `kernel/module/version.c`; before 5.18
//! `kernel/module.c`). A vendor may add words. So nothing here fails: a word that no table knows is a token too, of
//! the kind [`TokenKind::Unknown`].
//!
//! ```
//! use kmodlab::vermagic::{Vermagic, compare};
//!
//! let module = Vermagic::parse(b"2.6.5-1.358custom 686 REGPARM 4KSTACKS gcc-3.3");
//! let kernel = Vermagic::parse(b"2.6.5-1.358 686 REGPARM 4KSTACKS gcc-3.3");
//! let comparison = compare(&module, &kernel);
//! let [difference] = comparison.differences() else { unreachable!("only the release differs") };
//! assert_eq!(
//!     difference.to_string(),
//!     "release: module 2.6.5-1.358custom, kernel 2.6.5-1.358 (EXTRAVERSION in the top Makefile)"
//! );
//! assert!(comparison.equal_but_release());
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use crate::escape;

/// A version magic string: its bytes as they are, and the tokens in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vermagic {
    raw: Vec<u8>,
    tokens: Vec<Token>,
}

impl Vermagic {
    /// Reads a version magic string, without `vermagic=` before it and without the NUL behind it. Never fails.
    ///
    /// Whatever stands before the first space is the release, as it is for the kernel.
    pub fn parse(raw: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        for word in raw.split(|&byte| byte == b' ') {
            let mut start = at;
            for piece in pieces(word, at == 0) {
                let end = start + piece.len();
                let kind = if at == 0 { TokenKind::Release } else { kind_of(piece) };
                tokens.push(Token { kind, text: String::from_utf8_lossy(piece).into_owned(), range: start..end });
                start = end;
            }
            at += word.len() + 1;
        }
        Vermagic { raw: raw.to_vec(), tokens }
    }

    /// The string, byte for byte.
    pub fn as_bytes(&self) -> &[u8] {
        &self.raw
    }

    /// The tokens in the order in which they stand.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The release token: what stands before the first space. None if the string is empty or begins with a space.
    pub fn release(&self) -> Option<&Token> {
        self.tokens.first().filter(|token| token.kind == TokenKind::Release)
    }

    /// The release, split into what the Makefile numbers and what stands behind the numbers.
    pub fn release_parts(&self) -> Option<Release> {
        self.release().map(|token| Release::of(&token.text))
    }

    /// Is there a token of this kind?
    pub fn has(&self, kind: TokenKind) -> bool {
        self.tokens.iter().any(|token| token.kind == kind)
    }

    /// The architectures (as `arch/` names them, x86 as `i386` and `x86-64`) whose strings carry these architecture
    /// tokens. Most architectures have no token at all, so a string without one fits many; a string with a word that
    /// no table knows and no architecture token beside it fits none, since that word may be the architecture's.
    pub fn architectures(&self) -> Vec<&'static str> {
        let words: Vec<&[u8]> = self.pieces_of(TokenKind::Arch).collect();
        if words.is_empty() && self.has(TokenKind::Unknown) {
            return Vec::new();
        }
        ARCHITECTURES.iter().filter(|arch| arch.fits(&words)).map(|arch| arch.name).collect()
    }

    /// What speaks against writing this string into a module, worst first. Empty for every string that a kernel's
    /// own build makes.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.raw.iter().all(|&byte| byte == b' ') {
            return vec![Problem::Empty];
        }
        if let Some((at, &byte)) = self.raw.iter().enumerate().find(|(_, byte)| byte.is_ascii_control()) {
            problems.push(Problem::Control { at, byte });
        }
        match self.release() {
            None => problems.push(Problem::NoRelease),
            Some(release) if release.range.len() > UTS_RELEASE_MAX => {
                problems.push(Problem::LongRelease { length: release.range.len() });
            }
            Some(_) => {}
        }
        if let Some(last) = self.tokens.last() {
            match (ends_in_space(last), self.raw.ends_with(b" ")) {
                (Some(true), false) => problems.push(Problem::NoSpaceAtEnd { after: last.text.clone() }),
                (Some(false), true) => problems.push(Problem::SpaceAtEnd { after: last.text.clone() }),
                _ => {}
            }
        }
        problems
    }

    /// The bytes of one of this string's tokens.
    fn bytes(&self, token: &Token) -> &[u8] {
        self.raw.get(token.range.clone()).unwrap_or_default()
    }

    fn pieces_of(&self, kind: TokenKind) -> impl Iterator<Item = &[u8]> {
        self.tokens.iter().filter(move |token| token.kind == kind).map(|token| self.bytes(token))
    }

    /// The tokens after the release, each with the number of spaces before it, then the spaces at the end.
    fn after_release(&self) -> (Vec<(&Token, usize)>, usize) {
        let mut end = self.release().map_or(0, |release| release.range.end);
        let mut rest = Vec::new();
        for token in self.tokens.iter().filter(|token| token.kind != TokenKind::Release) {
            rest.push((token, token.range.start.saturating_sub(end)));
            end = token.range.end;
        }
        (rest, self.raw.len().saturating_sub(end))
    }
}

impl fmt::Display for Vermagic {
    /// The string for eyes; control characters and bytes that are not UTF-8 are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::bytes_for_eyes(&self.raw))
    }
}

/// One token of a version magic string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Token {
    /// What the token says.
    pub kind: TokenKind,
    /// The token, without the spaces around it. As it stands, so escape it before showing it; bytes that are not
    /// UTF-8 are U+FFFD.
    pub text: String,
    /// Where it stands in the string, in bytes.
    pub range: Range<usize>,
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The kernel release (`UTS_RELEASE`): everything before the first space.
    Release,
    /// `SMP`: CONFIG_SMP.
    Smp,
    /// `preempt`: CONFIG_PREEMPT, since 5.16 CONFIG_PREEMPT_BUILD.
    Preempt,
    /// `preempt_rt`: CONFIG_PREEMPT_RT, since 5.4.
    PreemptRt,
    /// `mod_unload`: CONFIG_MODULE_UNLOAD, since 2.6.18.
    ModUnload,
    /// `modversions`: CONFIG_MODVERSIONS, since 2.6.26.
    Modversions,
    /// A word of an architecture's own: `686`, `ARMv7`, `aarch64`.
    Arch,
    /// `RANDSTRUCT_<hash>` (before 5.19 `RANDSTRUCT_PLUGIN_<hash>`): the seed by which structures were shuffled.
    Randstruct,
    /// `gcc-3.3`: the compiler, before 2.6.20 everywhere and on ia64 always.
    Compiler,
    /// A word that no kernel source read for this program has: a vendor's.
    Unknown,
}

impl TokenKind {
    /// The kind in this program's words.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::Release => "release",
            TokenKind::Smp => "SMP",
            TokenKind::Preempt | TokenKind::PreemptRt => "preemption",
            TokenKind::ModUnload => "mod_unload",
            TokenKind::Modversions => "modversions",
            TokenKind::Arch => "architecture",
            TokenKind::Randstruct => "randstruct",
            TokenKind::Compiler => "compiler",
            TokenKind::Unknown => "unknown",
        }
    }

    /// Does the option behind the token change structures that kernel and module share, or how they call each other?
    /// A no is no promise: a release or a vendor's word says nothing of layouts, but those of two releases do differ.
    pub fn changes_layout(self) -> bool {
        match self {
            TokenKind::Smp | TokenKind::Preempt | TokenKind::PreemptRt => true,
            // struct module itself has fields that exist with CONFIG_MODULE_UNLOAD only (include/linux/module.h).
            TokenKind::ModUnload | TokenKind::Arch | TokenKind::Randstruct => true,
            TokenKind::Release | TokenKind::Modversions | TokenKind::Compiler | TokenKind::Unknown => false,
        }
    }
}

/// The longest release, in bytes: `uts_len` in the kernel's top Makefile, `__NEW_UTS_LEN` in `linux/utsname.h`.
pub const UTS_RELEASE_MAX: usize = 64;

const RANDSTRUCT: &[u8] = b"RANDSTRUCT_";
const COMPILER: &[u8] = b"gcc-";

/// A word's pieces: one, unless the kernel's macros glue tokens together (`aarch64RANDSTRUCT_…`, `ia64gcc-4.1`).
fn pieces(word: &[u8], is_release: bool) -> impl Iterator<Item = &[u8]> {
    let seed = find(word, RANDSTRUCT).filter(|_| !is_release).unwrap_or(word.len());
    let (head, seed) = word.split_at(seed);
    let compiler = find(head, COMPILER).filter(|&at| !is_release && head.get(..at).is_some_and(is_architecture));
    let (head, compiler) = head.split_at(compiler.unwrap_or(head.len()));
    [head, compiler, seed].into_iter().filter(|piece| !piece.is_empty())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The kind of a token that is not the release.
fn kind_of(piece: &[u8]) -> TokenKind {
    match piece {
        b"SMP" => TokenKind::Smp,
        b"preempt" => TokenKind::Preempt,
        b"preempt_rt" => TokenKind::PreemptRt,
        b"mod_unload" => TokenKind::ModUnload,
        b"modversions" => TokenKind::Modversions,
        _ if piece.starts_with(RANDSTRUCT) => TokenKind::Randstruct,
        _ if piece.starts_with(COMPILER) => TokenKind::Compiler,
        _ if is_architecture(piece) => TokenKind::Arch,
        _ => TokenKind::Unknown,
    }
}

/// Does a string whose last token this is end in a space? None where that is not known.
fn ends_in_space(last: &Token) -> Option<bool> {
    match last.kind {
        TokenKind::Randstruct | TokenKind::Compiler => Some(false),
        TokenKind::Unknown => None,
        TokenKind::Arch => architecture_word(last.text.as_bytes()).map(|word| word.pattern.ends_with(' ')),
        _ => Some(true),
    }
}

// ---- The architectures' tokens -------------------------------------------------------------------------------------

/// One architecture's tokens: groups in the order of the string, of each group at most one word.
struct Architecture {
    name: &'static str,
    /// The file in the kernel sources, as it is since 5.8; before, the same words stood in `asm/module.h`.
    header: &'static str,
    groups: &'static [Group],
}

struct Group {
    /// The configuration option that decides.
    option: &'static str,
    /// Is one of the words always there?
    always: bool,
    /// The words as the header has them, with the space at the end where it has one; `*` is any text.
    words: &'static [&'static str],
}

/// A word found in the table.
struct ArchitectureWord {
    header: &'static str,
    option: &'static str,
    /// The number of its group: two words of one number are alternatives.
    role: usize,
    pattern: &'static str,
}

const fn one(option: &'static str, words: &'static [&'static str]) -> Group {
    Group { option, always: true, words }
}

const fn maybe(option: &'static str, words: &'static [&'static str]) -> Group {
    Group { option, always: false, words }
}

const fn none(name: &'static str) -> Architecture {
    Architecture { name, header: "include/asm-generic/vermagic.h", groups: &[] }
}

/// Read in 2.6.9 to 7.2, and for architectures that are gone in the last kernel that had them. frv, mn10300 and
/// hexagon put in the name of the processor model, which can't be told from a vendor's word; they are left out.
#[rustfmt::skip] // the words stand as in the headers, several on a line
const ARCHITECTURES: &[Architecture] = &[
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
    Architecture {
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
    Architecture {
        name: "arm",
        header: "arch/arm/include/asm/vermagic.h",
        groups: &[
            one("CONFIG_CPU_… (the architecture version, __LINUX_ARM_ARCH__)", &["ARMv* "]),
            maybe("CONFIG_THUMB2_KERNEL", &["thumb2 "]),
            maybe("CONFIG_ARM_PATCH_PHYS_VIRT", &["p2v8 "]),
        ],
    },
    Architecture {
        name: "arm64",
        header: "arch/arm64/include/asm/vermagic.h",
        groups: &[one("always there", &["aarch64"])],
    },
    Architecture {
        name: "riscv",
        header: "arch/riscv/include/asm/vermagic.h",
        groups: &[one("always there", &["riscv"])],
    },
    Architecture {
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
    Architecture {
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
    Architecture {
        name: "loongarch",
        header: "arch/loongarch/include/asm/vermagic.h",
        groups: &[one("always there", &["LOONGARCH "]), one("CONFIG_32BIT, CONFIG_64BIT", &["32BIT ", "64BIT "])],
    },
    Architecture {
        name: "sh",
        header: "arch/sh/include/asm/vermagic.h",
        groups: &[one(
            "CONFIG_CPU_SH4, CONFIG_CPU_LITTLE_ENDIAN, …",
            &["SH2LE ", "SH3LE ", "SH4LE ", "SH5LE ", "SH2BE ", "SH3BE ", "SH4BE ", "SH5BE "],
        )],
    },
    Architecture {
        name: "xtensa",
        header: "arch/xtensa/include/asm/vermagic.h",
        groups: &[one("CONFIG_XTENSA_VARIANT_… (XCHAL_CORE_ID)", &["xtensa-* "])],
    },
    Architecture {
        name: "arc",
        header: "arch/arc/include/asm/vermagic.h",
        groups: &[one("always there", &["ARC700"])],
    },
    Architecture {
        name: "ia64",
        header: "arch/ia64/include/asm/vermagic.h",
        groups: &[one("always there", &["ia64"])],
    },
    Architecture {
        name: "nds32",
        header: "arch/nds32/include/asm/vermagic.h",
        groups: &[one("always there", &["NDS32v3"])],
    },
    Architecture {
        name: "avr32",
        header: "arch/avr32/include/asm/module.h",
        groups: &[one("always there", &["AVR32v1"])],
    },
];

impl Architecture {
    /// Do these words, all of them and in this order, make a string of this architecture?
    fn fits(&self, words: &[&[u8]]) -> bool {
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

/// Where a word stands in the table, in the first architecture that has it.
fn architecture_word(word: &[u8]) -> Option<ArchitectureWord> {
    ARCHITECTURES.iter().find_map(|arch| {
        arch.groups.iter().enumerate().find_map(|(role, group)| {
            let pattern = group.words.iter().find(|pattern| matches(pattern, word))?;
            Some(ArchitectureWord { header: arch.header, option: group.option, role, pattern })
        })
    })
}

fn is_architecture(word: &[u8]) -> bool {
    architecture_word(word).is_some()
}

fn matches(pattern: &str, word: &[u8]) -> bool {
    let pattern = pattern.trim_end();
    match pattern.strip_suffix('*') {
        Some(stem) => word.len() > stem.len() && word.starts_with(stem.as_bytes()),
        None => word == pattern.as_bytes(),
    }
}

// ---- The release ---------------------------------------------------------------------------------------------------

/// A release in two parts, by where each comes from in a kernel's build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// `2.6.5`: the two or three numbers at the start. Empty if the release does not start with numbers.
    pub base: String,
    /// `-1.358custom`: all that follows, unescaped.
    pub rest: String,
}

impl Release {
    /// Splits a release, such as `2.6.5-1.358custom`. The fourth number of `2.6.32.5` belongs to the rest.
    pub fn of(release: &str) -> Self {
        let mut end = 0;
        for (number, part) in release.split('.').take(3).enumerate() {
            let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                break;
            }
            // The dot before a second and a third number belongs to the base too; a lone number is no version.
            end += digits + usize::from(number > 0);
            if digits < part.len() {
                break;
            }
        }
        let end = if release.get(..end).is_some_and(|base| base.contains('.')) { end } else { 0 };
        let (base, rest) = release.split_at_checked(end).unwrap_or(("", release));
        Release { base: base.to_owned(), rest: rest.to_owned() }
    }

    /// Where [`Release::base`] comes from.
    pub fn base_origin(&self) -> &'static str {
        "VERSION, PATCHLEVEL and SUBLEVEL in the top Makefile"
    }

    /// Where [`Release::rest`] comes from. The string does not tell which of several sources gave which part.
    pub fn rest_origin(&self) -> &'static str {
        if self.extraversion_alone() {
            "EXTRAVERSION in the top Makefile"
        } else {
            "EXTRAVERSION in the top Makefile, localversion* files, CONFIG_LOCALVERSION, LOCALVERSION= given to make, \
             or the version control suffix of CONFIG_LOCALVERSION_AUTO"
        }
    }

    /// Can the rest come from EXTRAVERSION alone? So it was before 2.6.9, the first kernel whose Makefile appends
    /// `localversion*` files and CONFIG_LOCALVERSION.
    pub fn extraversion_alone(&self) -> bool {
        let mut numbers = self.base.split('.').map(|number| number.parse::<u32>().unwrap_or(u32::MAX));
        let version = [(); 3].map(|()| numbers.next().unwrap_or(0));
        !self.base.is_empty() && version < [2, 6, 9]
    }
}

// ---- Two strings ---------------------------------------------------------------------------------------------------

/// What differs between a module's and a kernel's version magic: see [`compare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    differences: Vec<Difference>,
    equal_after_release: bool,
}

impl Comparison {
    /// Are the two strings the same, byte for byte?
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    /// All differences, in the order of the grammar. Empty if and only if the strings are equal.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The differences for which no spelling of the release makes up: SMP, preemption, architecture, randstruct.
    pub fn abi_differences(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| {
            matches!(
                difference.kind,
                DifferenceKind::Token(
                    TokenKind::Smp
                        | TokenKind::Preempt
                        | TokenKind::PreemptRt
                        | TokenKind::Arch
                        | TokenKind::Randstruct
                )
            )
        })
    }

    /// Are the strings equal to a kernel that skips the release? See [`equal_after_release`].
    pub fn equal_but_release(&self) -> bool {
        self.equal_after_release
    }
}

/// One difference between a module's and a kernel's version magic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// What the module has, for eyes. None: nothing.
    pub module: Option<String>,
    /// What the kernel has, for eyes. None: nothing.
    pub kernel: Option<String>,
    /// Where this part of the string comes from: the Makefile's variable, the configuration option, the header.
    pub origin: String,
    /// See [`TokenKind::changes_layout`].
    pub changes_layout: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let (module, kernel) = (side(&self.module), side(&self.kernel));
        write!(f, "{}: module {module}, kernel {kernel} ({})", self.kind.name(), self.origin)
    }
}

/// What a [`Difference`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// A token.
    Token(TokenKind),
    /// The tokens are the same, but stand in another order.
    Order,
    /// The tokens are the same, but more or fewer spaces stand between them or at the end.
    Spacing,
}

impl DifferenceKind {
    /// The kind in this program's words; it is also what JSON says.
    pub fn name(self) -> &'static str {
        match self {
            DifferenceKind::Token(kind) => kind.name(),
            DifferenceKind::Order => "order",
            DifferenceKind::Spacing => "spacing",
        }
    }
}

impl Serialize for DifferenceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Compares a module's version magic with a kernel's, token by token.
///
/// Two strings that are not equal always have a difference, even where it is nothing but a space.
pub fn compare(module: &Vermagic, kernel: &Vermagic) -> Comparison {
    let equal_after_release = equal_after_release(module.as_bytes(), kernel.as_bytes());
    let mut differences = Vec::new();
    for slot in SLOTS {
        // What both have falls away; what is left over on the two sides stands against each other.
        let (ours, theirs) = (slot.tokens(module), slot.tokens(kernel));
        let (ours, theirs) = (left_over(&ours, &theirs), left_over(&theirs, &ours));
        for pair in 0..ours.len().max(theirs.len()) {
            differences.extend(token_difference(ours.get(pair), theirs.get(pair)));
        }
    }

    let (ours, our_end) = module.after_release();
    let (theirs, their_end) = kernel.after_release();
    let same = |(a, b): (&(&Token, usize), &(&Token, usize))| module.bytes(a.0) == kernel.bytes(b.0);
    if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same) {
        let ours = ours.iter().map(|&(token, spaces)| (spaces, Cow::from(format!("before {}", token.text))));
        let ours = ours.chain([(our_end, Cow::from("at the end"))]);
        let theirs = theirs.iter().map(|&(_, spaces)| spaces).chain([their_end]);
        let first = ours.zip(theirs).find(|((ours, _), theirs)| ours != theirs);
        differences.extend(first.map(|((ours, place), theirs)| spacing_difference(ours, theirs, &place)));
    } else if differences.is_empty() {
        differences.push(Difference {
            kind: DifferenceKind::Order,
            module: Some(module.to_string()),
            kernel: Some(kernel.to_string()),
            origin: "the order in include/linux/vermagic.h".to_owned(),
            changes_layout: false,
        });
    }
    Comparison { differences, equal_after_release }
}

/// Are the strings equal from the first space on? This is what a kernel with CONFIG_MODVERSIONS compares for a module
/// that has symbol versions: `same_magic()` moves both C strings on by `strcspn(…, " ")`, then calls `strcmp()`
/// (2.6.9 `kernel/module.c` to 7.2 `kernel/module/version.c`).
pub fn equal_after_release(a: &[u8], b: &[u8]) -> bool {
    fn rest(string: &[u8]) -> &[u8] {
        let end = string.iter().position(|&byte| byte == 0).unwrap_or(string.len());
        let string = string.get(..end).unwrap_or_default();
        let space = string.iter().position(|&byte| byte == b' ').unwrap_or(end);
        string.get(space..).unwrap_or_default()
    }
    rest(a) == rest(b)
}

/// The tokens that exclude each other: a place in the grammar.
struct Slot {
    kinds: &'static [TokenKind],
    /// For architecture tokens the number of their group.
    role: Option<usize>,
}

/// The places in the order of the grammar.
const SLOTS: &[Slot] = &[
    Slot { kinds: &[TokenKind::Release], role: None },
    Slot { kinds: &[TokenKind::Smp], role: None },
    Slot { kinds: &[TokenKind::Preempt, TokenKind::PreemptRt], role: None },
    Slot { kinds: &[TokenKind::ModUnload], role: None },
    Slot { kinds: &[TokenKind::Modversions], role: None },
    Slot { kinds: &[TokenKind::Unknown], role: None },
    Slot { kinds: &[TokenKind::Arch], role: Some(0) },
    Slot { kinds: &[TokenKind::Arch], role: Some(1) },
    Slot { kinds: &[TokenKind::Arch], role: Some(2) },
    Slot { kinds: &[TokenKind::Randstruct], role: None },
    Slot { kinds: &[TokenKind::Compiler], role: None },
];

/// A token and its bytes: its text is no measure of equality, for it hides what is not UTF-8.
type Piece<'a> = (&'a Token, &'a [u8]);

impl Slot {
    fn tokens<'a>(&self, vermagic: &'a Vermagic) -> Vec<Piece<'a>> {
        let role = |bytes: &[u8]| architecture_word(bytes).map(|word| word.role);
        let of_kind = vermagic.tokens.iter().filter(|token| self.kinds.contains(&token.kind));
        let pieces = of_kind.map(|token| (token, vermagic.bytes(token)));
        pieces.filter(|(_, bytes)| self.role.is_none() || self.role == role(bytes)).collect()
    }
}

/// The pieces that have no counterpart among the others, each counterpart counting once.
fn left_over<'a>(pieces: &[Piece<'a>], others: &[Piece<'_>]) -> Vec<Piece<'a>> {
    let mut counterparts: HashMap<&[u8], usize> = HashMap::new();
    for (_, bytes) in others {
        *counterparts.entry(bytes).or_default() += 1;
    }
    let alone = |(_, bytes): &&Piece<'a>| match counterparts.get_mut(bytes) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    pieces.iter().filter(alone).copied().collect()
}

fn token_difference(module: Option<&Piece<'_>>, kernel: Option<&Piece<'_>>) -> Option<Difference> {
    let kind = module.or(kernel)?.0.kind;
    let shown = |piece: &Piece<'_>| escape::bytes_for_eyes(piece.1);
    Some(Difference {
        kind: DifferenceKind::Token(kind),
        module: module.map(shown),
        kernel: kernel.map(shown),
        origin: origin(kind, module.map(|piece| &*piece.0.text), kernel.map(|piece| &*piece.0.text)),
        changes_layout: kind.changes_layout(),
    })
}

fn spacing_difference(ours: usize, theirs: usize, place: &str) -> Difference {
    let said = |spaces: usize| {
        let spaces = match spaces {
            0 => "no space".to_owned(),
            1 => "one space".to_owned(),
            n => format!("{n} spaces"),
        };
        Some(format!("{spaces} {}", escape::for_eyes(place)))
    };
    Difference {
        kind: DifferenceKind::Spacing,
        module: said(ours),
        kernel: said(theirs),
        origin: "the string as a whole, in include/linux/vermagic.h".to_owned(),
        changes_layout: false,
    }
}

/// Where a part of the string comes from in a kernel's build.
fn origin(kind: TokenKind, module: Option<&str>, kernel: Option<&str>) -> String {
    match kind {
        TokenKind::Release => release_origin(module, kernel),
        TokenKind::Smp => "CONFIG_SMP".to_owned(),
        TokenKind::Preempt | TokenKind::PreemptRt => {
            "CONFIG_PREEMPT, since 5.16 CONFIG_PREEMPT_BUILD; CONFIG_PREEMPT_RT".to_owned()
        }
        TokenKind::ModUnload => "CONFIG_MODULE_UNLOAD".to_owned(),
        TokenKind::Modversions => "CONFIG_MODVERSIONS".to_owned(),
        TokenKind::Arch => match module.or(kernel).and_then(|word| architecture_word(word.as_bytes())) {
            Some(word) => format!("{} in {}", word.option, word.header),
            None => "asm/vermagic.h".to_owned(),
        },
        TokenKind::Randstruct => {
            "CONFIG_RANDSTRUCT_FULL or CONFIG_RANDSTRUCT_PERFORMANCE; the seed of the build".to_owned()
        }
        TokenKind::Compiler => "the compiler's version, __GNUC__ and __GNUC_MINOR__".to_owned(),
        TokenKind::Unknown => "a vendor's addition to include/linux/vermagic.h or asm/vermagic.h".to_owned(),
    }
}

/// Where the parts of a release that differ come from; the rest as in the kernel that the module has to fit.
fn release_origin(module: Option<&str>, kernel: Option<&str>) -> String {
    let [module, kernel] = [module, kernel].map(|release| Release::of(release.unwrap_or_default()));
    let target = if kernel.base.is_empty() { &module } else { &kernel };
    match (module.base == kernel.base, module.rest == kernel.rest) {
        (false, true) => target.base_origin().to_owned(),
        (false, false) => format!("{}; {}", target.base_origin(), target.rest_origin()),
        (true, _) => target.rest_origin().to_owned(),
    }
}

// ---- A string to be written ----------------------------------------------------------------------------------------

/// What speaks against a version magic string that someone wants to write into a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Nothing but spaces, or nothing.
    Empty,
    /// A control character: a NUL would end the string, the others make a log line lie.
    Control {
        /// Where, in bytes.
        at: usize,
        /// Which.
        byte: u8,
    },
    /// The string begins with a space, so that there is no release.
    NoRelease,
    /// The release is longer than a kernel's can be: [`UTS_RELEASE_MAX`].
    LongRelease {
        /// The length in bytes.
        length: usize,
    },
    /// The strings of this architecture end in a space; without it no kernel's is equal.
    NoSpaceAtEnd {
        /// The last token.
        after: String,
    },
    /// The strings of this architecture do not end in a space; with it no kernel's is equal.
    SpaceAtEnd {
        /// The last token.
        after: String,
    },
}

impl Problem {
    /// Must such a string not be written at all? Otherwise it is a note: the string is odd, but somebody may want it.
    pub fn is_error(&self) -> bool {
        matches!(self, Problem::Empty | Problem::Control { .. })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Empty => f.write_str("the string is empty"),
            Problem::Control { at, byte } => write!(f, "the byte at {at} is the control character 0x{byte:02x}"),
            Problem::NoRelease => f.write_str("the string begins with a space, so it has no release"),
            Problem::LongRelease { length } => {
                write!(f, "the release has {length} bytes; a kernel's has at most {UTS_RELEASE_MAX}")
            }
            Problem::NoSpaceAtEnd { after } => {
                write!(f, "no space at the end, after {}; a kernel's string has one there", escape::for_eyes(after))
            }
            Problem::SpaceAtEnd { after } => {
                write!(f, "a space at the end, after {}; a kernel's string has none there", escape::for_eyes(after))
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            problems(&format!("6.1-{} ", "x".repeat(61))),
            ["the release has 65 bytes; a kernel's has at most 64"]
        );
        assert!(Problem::Empty.is_error() && !Problem::NoRelease.is_error());
    }
}
