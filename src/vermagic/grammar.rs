//! The grammar of a version magic string: the release, then tokens.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::door::internal_fn;
use crate::escape;
use crate::vermagic::architecture::{ARCHITECTURES, is_architecture};
use crate::vermagic::release::Release;

/// A version magic string: its bytes as they are, and the tokens in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub struct Vermagic {
    pub(super) raw: Vec<u8>,
    pub(super) tokens: Vec<Token>,
}

impl Vermagic {
    /// Reads a version magic string, without `vermagic=` before it and without the NUL after it. Never fails.
    ///
    /// The part before the first space is the release, as it is for the kernel.
    pub fn parse(raw: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut at = 0;
        for word in raw.splitn(MOST_WORDS, |&byte| byte == b' ') {
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

    /// The tokens, in their order.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The release token: the part before the first space. None if the string is empty or begins with a space.
    pub fn release(&self) -> Option<&Token> {
        self.tokens.first().filter(|token| token.kind == TokenKind::Release)
    }

    internal_fn! {
        /// The release, split into the version numbers and the part after them.
        fn release_parts(&self) -> Option<Release> {
            self.release().map(|token| Release::of(&token.text))
        }
    }

    /// Is it only a release, as written by people who know no more about a kernel? No kernel's string is: on each
    /// architecture there is a token or a space after the release. It says nothing about tokens.
    pub fn is_bare_release(&self) -> bool {
        self.release().is_some_and(|release| release.range.end == self.raw.len())
    }

    /// Is there a token of this kind?
    pub fn has(&self, kind: TokenKind) -> bool {
        self.tokens.iter().any(|token| token.kind == kind)
    }

    /// The architectures (as `arch/` names them, x86 as `i386` and `x86-64`) whose strings carry these architecture
    /// tokens. Most architectures have no token at all, so a string without one fits many; a string with a word that
    /// no table knows and no architecture token next to it fits none, since that word may be the architecture's.
    pub fn architectures(&self) -> Vec<&'static str> {
        let words: Vec<&[u8]> = self.pieces_of(TokenKind::Arch).collect();
        if words.is_empty() && self.has(TokenKind::Unknown) {
            return Vec::new();
        }
        ARCHITECTURES.iter().filter(|arch| arch.fits(&words)).map(|arch| arch.name).collect()
    }

    /// The bytes of one of this string's tokens.
    pub(super) fn bytes(&self, token: &Token) -> &[u8] {
        self.raw.get(token.range.clone()).unwrap_or_default()
    }

    pub(super) fn pieces_of(&self, kind: TokenKind) -> impl Iterator<Item = &[u8]> {
        self.tokens.iter().filter(move |token| token.kind == kind).map(|token| self.bytes(token))
    }

    /// The tokens after the release, each with the number of spaces before it, then the spaces at the end.
    pub(super) fn after_release(&self) -> (Vec<(&Token, usize)>, usize) {
        let mut end = self.release().map_or(0, |release| release.range.end);
        let mut rest = Vec::new();
        for token in self.tokens.iter().filter(|token| token.kind != TokenKind::Release) {
            rest.push((token, token.range.start.saturating_sub(end)));
            end = token.range.end;
        }
        (rest, self.raw.len().saturating_sub(end))
    }
}

impl From<Vec<u8>> for Vermagic {
    fn from(raw: Vec<u8>) -> Self {
        Vermagic::parse(&raw)
    }
}

impl From<Vermagic> for Vec<u8> {
    fn from(vermagic: Vermagic) -> Self {
        vermagic.raw
    }
}

impl fmt::Display for Vermagic {
    /// The string for display; control characters and bytes that are not UTF-8 are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::bytes_for_eyes(&self.raw))
    }
}

/// One token of a version magic string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct Token {
    /// What the token says.
    pub kind: TokenKind,
    /// The token, without the spaces around it. Raw text; escape it before showing it; bytes that are not
    /// UTF-8 are U+FFFD.
    pub text: String,
    /// Its range in the string, in bytes.
    pub range: Range<usize>,
}

/// What a token says.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
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
    /// `retpoline`: CONFIG_RETPOLINE and a compiler that knows it, 4.15-rc and stable kernels of early 2018 on x86.
    Retpoline,
    /// A word that no mainline source read for this program has: a vendor's.
    Unknown,
}

impl TokenKind {
    /// The name of the kind in messages.
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
            TokenKind::Retpoline => "retpoline",
            TokenKind::Unknown => "unknown",
        }
    }

    /// Does the option of the token change structures that kernel and module share, or how they call each other?
    /// A no is no promise: a release or a vendor's word says nothing of layouts, but those of two releases do differ.
    pub fn changes_layout(self) -> bool {
        match self {
            TokenKind::Smp | TokenKind::Preempt | TokenKind::PreemptRt => true,
            // struct module itself has fields that exist with CONFIG_MODULE_UNLOAD only (include/linux/module.h).
            TokenKind::ModUnload | TokenKind::Arch | TokenKind::Randstruct => true,
            TokenKind::Release
            | TokenKind::Modversions
            | TokenKind::Compiler
            | TokenKind::Retpoline
            | TokenKind::Unknown => false,
        }
    }
}

/// The most words that are separate tokens. A kernel's string has about ten; the remaining text is one token, with its spaces.
const MOST_WORDS: usize = 64;

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
        b"retpoline" => TokenKind::Retpoline,
        _ if piece.starts_with(RANDSTRUCT) => TokenKind::Randstruct,
        _ if piece.starts_with(COMPILER) => TokenKind::Compiler,
        _ if is_architecture(piece) => TokenKind::Arch,
        _ => TokenKind::Unknown,
    }
}
