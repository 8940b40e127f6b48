//! The changes that make a tree match a kernel, and their reasons. Pure.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use crate::buildtree::evaluating::release::Releases;
use crate::buildtree::file_line::FileLine;
use crate::vermagic::{Comparison, Vermagic};

/// How a tree differs from a kernel, and what to change.
#[derive(Clone, Debug)]
pub struct FixPlan {
    /// Does a module that is built now have the kernel's vermagic?
    pub matches: bool,
    /// How the rebuilt vermagic differs from the kernel's; `None` if the first is not known.
    pub differences: Option<Comparison>,
    /// What to change, in order.
    pub fixes: Vec<Fix>,
    /// The vermagic after all fixes; `None` if it is not known.
    pub after: Option<Vermagic>,
    /// Why this tree can never match, if so.
    pub impossible: Option<Impossible>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// The change.
    #[serde(flatten)]
    pub change: TreeChange,
    /// Its reason.
    pub why: FixReason,
}

/// What is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TreeChange {
    /// A line is replaced.
    Line {
        /// The line; line 0 means that it is added at the end of the file.
        place: FileLine,
        /// Its text now.
        before: String,
        /// Its new text.
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
    /// The kernel's configuration replaces the tree's.
    Config {
        /// Where the kernel's was read.
        from: String,
        /// The tree's.
        #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
        to: PathBuf,
    },
    /// An option gets another value; then the configuration must be completed.
    Option {
        /// Its name, with `CONFIG_`.
        option: String,
        /// Its value now: `y`, `n`, a number.
        before: String,
        /// Its new value.
        after: String,
        /// Its line.
        place: FileLine,
    },
    /// Version control, or the environment, must append nothing.
    VersionControl {
        /// What is appended now.
        before: String,
        /// Where that is decided.
        place: FileLine,
        /// What to do.
        how: SuffixRemoval,
    },
    /// Another compiler must be used.
    Compiler {
        /// The installed one.
        before: Option<String>,
        /// The required one.
        after: String,
    },
    /// Generated files must be regenerated.
    Generate {
        /// The stale line; the file as a whole if it is missing.
        place: FileLine,
        /// Its value now.
        before: Option<String>,
        /// Its value after the next build.
        after: Option<String>,
    },
    /// A seed or hash of the kernel's own build is needed.
    Seed {
        /// The kernel's token.
        token: String,
    },
    /// `Module.symvers` of the kernel's build is needed.
    Symvers {
        /// Where it belongs.
        #[serde(serialize_with = "crate::buildtree::file_line::lossy")]
        to: PathBuf,
    },
}

/// How to make nothing be appended to the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SuffixRemoval {
    /// Unset `LOCALVERSION` in the environment.
    UnsetLocalversion,
    /// Set `LOCALVERSION` to the empty string.
    EmptyLocalversion,
    /// Commit or discard the local changes.
    CommitChanges,
    /// Disable CONFIG_LOCALVERSION_AUTO, and set `LOCALVERSION` to the empty string.
    DisableAuto,
}

impl fmt::Display for SuffixRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SuffixRemoval::UnsetLocalversion => "unset LOCALVERSION in the environment",
            SuffixRemoval::EmptyLocalversion => "call make with LOCALVERSION= (set, but empty), so that no + is added",
            SuffixRemoval::CommitChanges => "commit or discard the local changes",
            SuffixRemoval::DisableAuto => {
                "set CONFIG_LOCALVERSION_AUTO=n, and call make with LOCALVERSION= (set, but empty)"
            }
        })
    }
}

/// Why a change is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FixReason {
    /// The kernel's release is this one.
    Release(String),
    /// The file appends this to the release, and the kernel's release does not contain it.
    Appended(String),
    /// The options of the kernel's configuration give the kernel's tokens.
    ConfigTokens,
    /// The tree is not configured.
    NotConfigured,
    /// The kernel has, or has not, this token.
    Token {
        /// The token.
        token: String,
        /// Does the kernel have it?
        wanted: bool,
        /// Does `.config` have no entry for the option, although it is complete?
        without_entry: bool,
    },
    /// make appends `LOCALVERSION` to the release.
    Environment,
    /// What version control reports.
    VersionControl(String),
    /// The kernel's structures are shuffled by a seed that only its builder has.
    ShuffledStructures,
    /// The compiler's version is a token of the vermagic.
    CompilerToken,
    /// The kernel was built with that compiler.
    CompilerOfKernel,
    /// Modules take the release from this file.
    StaleRelease,
    /// The build generates the file.
    NotBuilt,
    /// Symbol versions are read from this file.
    SymbolVersions,
}

impl fmt::Display for FixReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FixReason::Release(release) => write!(f, "the kernel's release is {release}"),
            FixReason::Appended(text) => {
                write!(f, "it appends {text} to the release, and the kernel's release does not contain that")
            }
            FixReason::ConfigTokens => f.write_str("its options give the kernel's tokens"),
            FixReason::NotConfigured => f.write_str("the tree is not configured"),
            FixReason::Token { token, wanted, without_entry } => {
                let has = if *wanted { "has" } else { "does not have" };
                write!(f, "the kernel {has} {token}")?;
                if *without_entry {
                    f.write_str(
                        "; .config has no entry for the option because a dependency is disabled; `make menuconfig` shows which",
                    )?;
                }
                Ok(())
            }
            FixReason::Environment => f.write_str("make appends LOCALVERSION to the release"),
            FixReason::VersionControl(why) => f.write_str(why),
            FixReason::ShuffledStructures => {
                f.write_str("the kernel's structures are shuffled by a seed that only its builder has")
            }
            FixReason::CompilerToken => f.write_str("its version is a token of the vermagic"),
            FixReason::CompilerOfKernel => {
                f.write_str("the kernel was built with it; structures and calls can depend on what a compiler supports")
            }
            FixReason::StaleRelease => {
                f.write_str("modules take the release from this file until the next build regenerates it")
            }
            FixReason::NotBuilt => f.write_str("the build generates it"),
            FixReason::SymbolVersions => f.write_str("without it modules have no symbol versions, or not the kernel's"),
        }
    }
}

/// Why no change of a tree makes it match a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Impossible {
    /// The kernel's release has characters that no build accepts.
    ReleaseCharacters {
        /// The kernel's release.
        release: String,
    },
    /// The kernel's release is longer than any build accepts.
    ReleaseTooLong,
    /// The tree is the headers package of another kernel.
    OtherPackage {
        /// The release of that kernel.
        release: String,
    },
    /// The tree is configured for another architecture.
    OtherArchitecture {
        /// The tree's, by its name below `arch/`.
        own: String,
    },
    /// The kernel was built from this source, but its packager gave it a release that no build of the source has.
    RenamedByPackager {
        /// The version of the source.
        version: String,
        /// The kernel's release.
        release: String,
    },
    /// No source gives a release like the kernel's.
    NoSuchRelease {
        /// The version of the tree's source.
        version: String,
        /// The kernel's release.
        release: String,
    },
    /// The kernel was built from another version.
    OtherVersion {
        /// The version of the tree's source.
        version: String,
        /// The kernel's version.
        kernel: String,
    },
}

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Impossible::ReleaseCharacters { release } => {
                write!(f, "no build gives a release like {release}: it has characters that no release has")
            }
            Impossible::ReleaseTooLong => {
                write!(f, "no build gives a release of more than {} characters", Releases::LONGEST)
            }
            Impossible::OtherPackage { release } => {
                write!(f, "this is the headers package of {release}, which fits only that kernel")
            }
            Impossible::OtherArchitecture { own } => {
                write!(f, "it is configured for {own}, and the kernel's vermagic is of another architecture")
            }
            Impossible::RenamedByPackager { version, release } => write!(
                f,
                "the kernel was also built from {version}, but its packager named it {release}; no build of the source \
                 gives that release"
            ),
            Impossible::NoSuchRelease { version, release } => {
                write!(f, "this is the source of {version}, and no source gives a release like {release}")
            }
            Impossible::OtherVersion { version, kernel } => {
                write!(f, "this is the source of {version}, and the kernel was built from {kernel}")
            }
        }
    }
}

/// Reasons are text in documents.
macro_rules! serialized_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

serialized_as_text!(SuffixRemoval, FixReason, Impossible);
