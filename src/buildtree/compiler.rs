//! The compiler that a configuration records, beside the one that would be used.

use serde::Serialize;

use crate::buildtree::place::Place;

/// Two compilers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compilers {
    /// The one that the tree was configured with or built by.
    pub recorded: Option<Compiler>,
    /// The one that would be used now; `None` where it can't be run.
    pub here: Option<Compiler>,
    /// The command that was asked: `gcc`, or of `CC` and `CROSS_COMPILE`.
    pub command: String,
    /// Why it could not be asked.
    pub missing: Option<String>,
}

/// A compiler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compiler {
    /// `gcc` or `clang`.
    pub family: Family,
    /// Its major version.
    pub major: u32,
    /// Its whole version: `12.2.0`.
    pub version: String,
    /// The line that says so.
    pub text: String,
    /// Where it is recorded; `None` for what a program said.
    pub place: Option<Place>,
}

/// A family of compilers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// GNU C.
    Gcc,
    /// LLVM.
    Clang,
}
