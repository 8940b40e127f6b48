//! Problems of a version magic string that is to be written into a module.

use std::fmt;

use serde::Serialize;

use crate::door::internal_fn;
use crate::escape;
use crate::vermagic::architecture::architecture_word;
use crate::vermagic::grammar::{Token, TokenKind, UTS_RELEASE_MAX, Vermagic};

/// Problems of a version magic string that is to be written into a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Nothing but spaces, or nothing.
    Empty,
    /// A control character: a NUL would end the string, others corrupt a log line.
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
        matches!(self, Problem::Empty | Problem::Control { .. } | Problem::NoRelease)
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

impl Vermagic {
    internal_fn! {
        /// The problems of writing this string into a module, worst first. Empty for every string that a kernel's
        /// own build makes.
        fn problems(&self) -> Vec<Problem> {
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
