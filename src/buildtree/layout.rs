//! Which folder of a tree holds what, and what kind of tree it is.

use std::path::PathBuf;

use serde::Serialize;

use crate::buildtree::place::Place;

/// Which folder holds what, and what kind of tree it is.
#[derive(Clone, Debug, Serialize)]
pub struct Layout {
    /// What kind of tree it is.
    pub kind: TreeKind,
    /// Whose package it is, as far as its form tells; `None` for what no package made, or a plain one.
    pub packager: Option<Packager>,
    /// Where the build writes: `.config`, `include/generated`, `Module.symvers`. The folder that was named, unless
    /// that is the source of a build elsewhere.
    pub object: PathBuf,
    /// Where the source's Makefile, `scripts/` and `arch/` are.
    pub source: Known<PathBuf>,
    /// The name of the folder below `arch/`: `x86`, in old trees `i386` or `x86_64`. `None` where nothing tells.
    pub srcarch: Option<Known<String>>,
}

/// A value, and how it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known<T> {
    /// The value.
    pub value: T,
    /// Where it was read.
    pub place: Place,
    /// How it is known, in words: "the Makefile includes the source's".
    pub how: String,
}

/// What kind of tree a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeKind {
    /// A source tree without a `.config`.
    Source,
    /// A source tree with a `.config`, built in place (or about to be).
    InTree,
    /// A folder that `make O=` writes to, with its source elsewhere.
    Output,
    /// A headers package: a tree without the kernel's C files.
    Headers,
}

/// Whose headers package it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Packager {
    /// Debian: `linux-headers-RELEASE-FLAVOUR` beside `linux-headers-RELEASE-common`.
    Debian,
    /// Ubuntu: `linux-headers-RELEASE-FLAVOUR`, of links into `linux-headers-RELEASE`.
    Ubuntu,
    /// Fedora and its kin: `/usr/src/kernels/RELEASE`.
    Fedora,
    /// Arch: `/usr/lib/modules/RELEASE/build`.
    Arch,
    /// openSUSE: `linux-RELEASE-obj/ARCH/FLAVOUR`.
    Suse,
}
