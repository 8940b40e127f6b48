//! Version magic, the string that must be equal in a kernel and a module: its grammar, its tokens, and what
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

mod architecture;
mod compare;
mod grammar;
mod problem;
mod realtime;
mod release;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, Difference, DifferenceKind, compare, compare_whole, equal_after_release};
pub use grammar::{Token, TokenKind, UTS_RELEASE_MAX, Vermagic};
pub use problem::Problem;
pub use release::Release;
