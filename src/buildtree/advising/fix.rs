//! The changes that make a tree match a kernel. Pure.

use std::path::PathBuf;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::vermagic::{Comparison, Vermagic};

/// How a tree stands to a kernel.
#[derive(Clone, Debug)]
pub struct FixPlan {
    /// Does a module that is built now carry the kernel's version magic?
    pub matches: bool,
    /// What differs in the version magic that a build would make anew; `None` where that can't be told.
    pub differences: Option<Comparison>,
    /// What to change, in order.
    pub fixes: Vec<Fix>,
    /// The version magic after all mends; `None` where it can't be told.
    pub after: Option<Vermagic>,
    /// Why this tree can never match, where it can't.
    pub never: Option<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The change.
    #[serde(flatten)]
    pub change: TreeChange,
    /// Why, in words.
    pub why: String,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum TreeChange {
    /// A line becomes another.
    Line {
        /// Where it stands; line 0 means that it is added at the file's end.
        place: FileLine,
        /// The line as it is.
        before: String,
        /// The line as it is to be.
        after: String,
    },
    /// A file is emptied, or removed.
    Empty {
        /// The file.
        #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
        file: PathBuf,
        /// What it appends to the release now.
        before: String,
    },
    /// The kernel's configuration takes the place of the tree's.
    Config {
        /// Where the kernel's was read.
        from: String,
        /// The tree's.
        #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
        to: PathBuf,
    },
    /// An option gets another value; then the configuration must be made whole.
    Option {
        /// Its name, with `CONFIG_`.
        option: String,
        /// Its value now: `y`, `n`, a number.
        before: String,
        /// Its value then.
        after: String,
        /// Its line.
        place: FileLine,
    },
    /// Version control is to add nothing.
    VersionControl {
        /// What it adds.
        before: String,
        /// Where it is decided.
        place: FileLine,
        /// What to do.
        how: String,
    },
    /// A compiler is to be used.
    Compiler {
        /// The one that would be used.
        before: Option<String>,
        /// The one that is wanted.
        after: String,
    },
    /// Generated files are to be made anew.
    Generate {
        /// The line that is stale; the file as a whole where it is missing.
        place: FileLine,
        /// What it says.
        before: Option<String>,
        /// What it would say.
        after: Option<String>,
    },
    /// A seed or hash of the kernel's own build is needed.
    Seed {
        /// The token of the kernel.
        token: String,
    },
    /// `Module.symvers` of the kernel's build is needed.
    Symvers {
        /// Where it belongs.
        #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
        to: PathBuf,
    },
}
