//! The strings of a kernel image: its version line, its version magic, its configuration.

use std::cell::Cell;
use std::io::Read;

use memchr::{memchr, memmem};

use crate::budget::WorkBudget;
use crate::vermagic::{Problem, TokenKind, Vermagic};

/// The version line and the release in it.
pub(super) struct Banner {
    /// The line, without the newline at its end.
    pub(super) text: String,
    /// The release.
    pub(super) release: String,
}

/// The beginning of `linux_banner` (init/version.c; init/version-timestamp.c since 6.2).
const BANNER: &[u8] = b"Linux version ";

/// The longest string that is read, in bytes; builds make shorter ones.
const LONGEST: usize = 1024;

/// How many candidates are read. A kernel has two or three.
const MOST_PLACES: usize = 4096;

/// The version line in an image's constants.
///
/// Since 6.1 there are two: one, for a first link of the kernel, has no build number after its `#`. The other one is used.
pub(super) fn banner(constants: &[u8]) -> Option<Banner> {
    let read = |at: usize| {
        let text = string_at(constants, at)?;
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let release = text.get(BANNER.len()..)?.split(|b| *b == b' ').next()?;
        let is_release = release.first().is_some_and(u8::is_ascii_digit) && release.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|text| !text.contains('\n') && text.contains(" #"))?;
        let release = is_release.then(|| String::from_utf8_lossy(release).into_owned())?;
        Some(Banner { text: text.to_owned(), release })
    };
    let mut first = None;
    for banner in memmem::find_iter(constants, BANNER).take(MOST_PLACES).filter_map(read) {
        if banner.text.split(" #").nth(1).is_some_and(|build| build.starts_with(|c: char| c.is_ascii_digit())) {
            return Some(banner);
        }
        first.get_or_insert(banner);
    }
    first
}

/// The version magic in an image's constants: `vermagic[]` (kernel/module/main.c), which begins with the release and a
/// space. Other strings do too, so the tokens decide: known tokens raise the score, unknown tokens lower it.
pub(super) fn vermagic(constants: &[u8], release: &str) -> Option<Vermagic> {
    let start = format!("{release} ");
    let mut best: Option<(Score, Vermagic)> = None;
    for at in memmem::find_iter(constants, start.as_bytes()).take(MOST_PLACES) {
        let Some(text) = string_at(constants, at).filter(|text| text.iter().all(|b| (b' '..0x7f).contains(b))) else {
            continue;
        };
        let vermagic = Vermagic::parse(text);
        let Some(score) = score(&vermagic) else { continue };
        if best.as_ref().is_none_or(|(so_far, _)| score > *so_far) {
            best = Some((score, vermagic));
        }
    }
    best.map(|(_, vermagic)| vermagic)
}

/// The strings in an image's constants that are a version magic by their tokens, regardless of their first word: some vendors
/// use a constant there, so that modules load on each of their releases. Nearly every kernel that loads modules can unload
/// them or has symbol versions, and no other string has these words. Each string is returned once, up to a small number.
pub(super) fn constant_vermagics(constants: &[u8]) -> Vec<Vermagic> {
    const MOST: usize = 8;
    let words: [&[u8]; 2] = [b" mod_unload ", b" modversions "];
    let mut found: Vec<Vermagic> = Vec::new();
    for at in words.iter().flat_map(|word| memmem::find_iter(constants, word).take(MOST_PLACES)) {
        let before = constants.get(at.saturating_sub(LONGEST)..at).unwrap_or_default();
        let length = before.iter().rev().take_while(|byte| (b' '..0x7f).contains(*byte)).count();
        let Some(text) = string_at(constants, at - length) else { continue };
        // A module in an initramfs in the image has it with its key. A format string is not a version magic.
        let is_plain = text.iter().all(|byte| (b' '..0x7f).contains(byte) && *byte != b'%');
        if !is_plain || text.starts_with(b"vermagic=") || found.iter().any(|known| known.as_bytes() == text) {
            continue;
        }
        let vermagic = Vermagic::parse(text);
        let is_one = score(&vermagic).is_some_and(|score| score > 0)
            && (vermagic.has(TokenKind::ModUnload) || vermagic.has(TokenKind::Modversions))
            && !vermagic.problems().iter().any(Problem::is_error);
        if is_one && found.len() < MOST {
            found.push(vermagic);
        }
    }
    found
}

/// The number of known tokens less the number of unknown tokens.
type Score = isize;

/// How similar to a version magic a string is; `None` if it is certainly not one.
fn score(vermagic: &Vermagic) -> Option<Score> {
    let rest = vermagic.tokens().iter().filter(|token| token.kind != TokenKind::Release);
    let (mut known, mut unknown) = (0, 0);
    for token in rest {
        match token.kind {
            TokenKind::Unknown if !token.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.=".contains(&b)) => {
                return None;
            }
            TokenKind::Unknown => unknown += 1,
            _ => known += 1,
        }
    }
    // In a kernel without any option that has a token, the string is the release and a space.
    (known > 0 || unknown == 0).then_some(known - unknown)
}

/// The C string at an offset, without its NUL byte.
fn string_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let rest = rest.get(..LONGEST).unwrap_or(rest);
    rest.get(..memchr(0, rest)?)
}

/// The configuration that a kernel with CONFIG_IKCONFIG carries: gzip between two marks (kernel/configs.c).
pub(super) fn embedded_config(constants: &[u8], budget: &WorkBudget) -> Option<String> {
    const MOST: u64 = 4 << 20;
    let at = memmem::find(constants, b"IKCFG_ST\x1f\x8b")?;
    let packed = constants.get(at + b"IKCFG_ST".len()..)?;
    let mut text = Vec::new();
    let packed = Cell::new(packed);
    let decoder = flate2::bufread::GzDecoder::new(budget.attempt(&packed));
    budget.meter(decoder).take(MOST).read_to_end(&mut text).ok()?;
    String::from_utf8(text).ok().filter(|text| text.contains("CONFIG_"))
}
