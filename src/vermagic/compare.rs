//! What differs between two version magic strings, and where each part comes from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::escape;
use crate::vermagic::architecture::architecture_word;
use crate::vermagic::grammar::{Token, TokenKind, Vermagic};
use crate::vermagic::release::Release;

impl Vermagic {
    /// Do the strings differ only in a trailing space, apart from the release?
    pub fn differs_by_last_space(&self, other: &Vermagic) -> bool {
        let (ours, theirs) = (self.raw.as_slice(), other.raw.as_slice());
        let more = |long: &[u8], short: &[u8]| {
            long.strip_suffix(b" ").is_some_and(|long| long.contains(&b' ') && equal_after_release(long, short))
        };
        more(ours, theirs) || more(theirs, ours)
    }
}

/// What differs between a module's and a kernel's version magic: see [`compare`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    differences: Vec<Difference>,
    equal_after_release: bool,
}

impl Comparison {
    /// Are the two strings the same, byte for byte? Or, if of the kernel's only the release is known
    /// ([`Vermagic::is_bare_release`]), the releases?
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
    /// The tokens are the same, in another order.
    Order,
    /// The tokens are the same, but there are more or fewer spaces between them or at the end.
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
/// Two strings that are not equal always have a difference, even where it is nothing but a space; except that a kernel of
/// which only the release is known ([`Vermagic::is_bare_release`]) is compared with the module's release only. A module
/// whose string is only a release has no tokens.
pub fn compare(module: &Vermagic, kernel: &Vermagic) -> Comparison {
    // A kernel's bare release says nothing about tokens, so there is nothing more to compare.
    if kernel.is_bare_release() && !module.is_bare_release() {
        let equal_after_release = equal_after_release(module.as_bytes(), kernel.as_bytes());
        let mut differences = Vec::new();
        let [ours, theirs] = [module, kernel].map(|side| side.release().map(|token| (token, side.bytes(token))));
        if ours.map(|(_, bytes)| bytes) != theirs.map(|(_, bytes)| bytes) {
            differences.extend(token_difference(ours.as_ref(), theirs.as_ref()));
        }
        return Comparison { differences, equal_after_release };
    }
    compare_whole(module, kernel)
}

/// As [`compare`], for two strings that are or will be in a module: there a bare release has no tokens.
pub fn compare_whole(module: &Vermagic, kernel: &Vermagic) -> Comparison {
    let equal_after_release = equal_after_release(module.as_bytes(), kernel.as_bytes());
    let mut differences = Vec::new();
    for slot in SLOTS {
        // Tokens that both have are removed; the remaining tokens of the two sides are paired.
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
    Slot { kinds: &[TokenKind::Retpoline], role: None },
    Slot { kinds: &[TokenKind::Unknown], role: None },
    Slot { kinds: &[TokenKind::Arch], role: Some(0) },
    Slot { kinds: &[TokenKind::Arch], role: Some(1) },
    Slot { kinds: &[TokenKind::Arch], role: Some(2) },
    Slot { kinds: &[TokenKind::Randstruct], role: None },
    Slot { kinds: &[TokenKind::Compiler], role: None },
];

/// A token and its bytes: its text is no measure of equality, for it hides what is not UTF-8.
type TokenBytes<'a> = (&'a Token, &'a [u8]);

impl Slot {
    fn tokens<'a>(&self, vermagic: &'a Vermagic) -> Vec<TokenBytes<'a>> {
        let role = |bytes: &[u8]| architecture_word(bytes).map(|word| word.role);
        let of_kind = vermagic.tokens.iter().filter(|token| self.kinds.contains(&token.kind));
        let pieces = of_kind.map(|token| (token, vermagic.bytes(token)));
        pieces.filter(|(_, bytes)| self.role.is_none() || self.role == role(bytes)).collect()
    }
}

/// The pieces that have no counterpart among the others, each counterpart counting once.
fn left_over<'a>(pieces: &[TokenBytes<'a>], others: &[TokenBytes<'_>]) -> Vec<TokenBytes<'a>> {
    let mut counterparts: HashMap<&[u8], usize> = HashMap::new();
    for (_, bytes) in others {
        *counterparts.entry(bytes).or_default() += 1;
    }
    let alone = |(_, bytes): &&TokenBytes<'a>| match counterparts.get_mut(bytes) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    pieces.iter().filter(alone).copied().collect()
}

fn token_difference(module: Option<&TokenBytes<'_>>, kernel: Option<&TokenBytes<'_>>) -> Option<Difference> {
    let kind = module.or(kernel)?.0.kind;
    let shown = |piece: &TokenBytes<'_>| escape::bytes_for_eyes(piece.1);
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
        TokenKind::Retpoline => {
            "CONFIG_RETPOLINE and a compiler that knows it; mainline's, in 4.15-rc and stable kernels \
                                 of early 2018, on x86 (include/linux/vermagic.h)"
                .to_owned()
        }
        TokenKind::Unknown => vendor_origin(module.or(kernel).unwrap_or_default()),
    }
}

/// Where a vendor's word comes from, as far as it is known.
fn vendor_origin(word: &str) -> String {
    let known = match word {
        "vivo" => "kernels of vivo's phones",
        "RLX" => "kernels for Realtek's Lexra processors (RLX4181, RLX5281)",
        "4KSC" | "4KSD" => "kernels for the MIPS 4KSc and 4KSd processors",
        "kvx" => "kernels for Kalray's kvx processors, whose architecture mainline has not",
        "TIVO" => "kernels of TiVo's recorders",
        _ => return "a vendor's addition to include/linux/vermagic.h or asm/vermagic.h".to_owned(),
    };
    format!("a vendor's addition: {known}")
}

/// Where the parts of a release that differ come from; the rest as in the kernel that the module has to fit.
fn release_origin(module: Option<&str>, kernel: Option<&str>) -> String {
    let [module, kernel] = [module, kernel].map(|release| Release::of(release.unwrap_or_default()));
    let target = if kernel.base.is_empty() { &module } else { &kernel };
    match (module.base == kernel.base, module.rest == kernel.rest) {
        (false, true) => target.base_origin().to_owned(),
        (false, false) => format!("{}; {}", target.base_origin(), target.rest_origin()),
        (true, _) => {
            // Where the build adds a part by itself, the string shows it.
            let added = |release: &Release| release.suffixes().into_iter().map(|suffix| (suffix.text, suffix.meaning));
            let (ours, theirs): (Vec<_>, Vec<_>) = (added(&module).collect(), added(&kernel).collect());
            let only = |of: &[(String, String)], others: &[(String, String)]| {
                let parts = of.iter().filter(|part| !others.contains(part));
                parts.map(|(text, meaning)| format!("{text} is {meaning}")).collect::<Vec<_>>()
            };
            let explained = [only(&ours, &theirs), only(&theirs, &ours)].concat();
            let rest = |release: &Release| {
                let added: usize = release.suffixes().iter().map(|suffix| suffix.text.len()).sum();
                release.rest.get(..release.rest.len().saturating_sub(added)).unwrap_or_default().to_owned()
            };
            match (explained.is_empty(), rest(&module) == rest(&kernel)) {
                (true, _) => target.rest_origin().to_owned(),
                (false, true) => explained.join("; "),
                (false, false) => format!("{}; {}", explained.join("; "), target.rest_origin()),
            }
        }
    }
}
