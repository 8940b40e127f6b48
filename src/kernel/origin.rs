//! Where a fact was read.
//!
//! Code compares and takes apart the enum; people and JSON get its text. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a fact was read.
///
/// JSON has the text of [`Display`](fmt::Display), and an origin read from JSON is [`Origin::Other`]. Binary formats
/// (the cache's) keep the structure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
#[non_exhaustive]
pub enum Origin {
    /// A version magic that was given instead of a kernel (`vermagic:STRING`).
    Given,
    /// A file, or a folder.
    File(PathBuf),
    /// A file in a package.
    Packaged {
        /// Its path in the package.
        path: String,
        /// The package.
        package: Box<Origin>,
    },
    /// A part of a file.
    Part {
        /// The file.
        of: Box<Origin>,
        /// The part, as a phrase: `__ksymtab`, `certificates`.
        part: String,
    },
    /// A module that was given instead of its kernel.
    ReferenceModule(PathBuf),
    /// The modules of a tree together.
    Modules {
        /// How many modules.
        count: usize,
        /// How many more could not be read.
        unreadable: usize,
        /// The tree.
        of: Box<Origin>,
    },
    /// The list of built-in modules of a tree without module files.
    BuiltInList(Box<Origin>),
    /// The imports of a module, or of all modules of a tree.
    Imports(Box<Origin>),
    /// The state of the running system (/proc, /sys).
    RunningSystem,
    /// The name of an architecture in the description of a package.
    PackageArchitecture {
        /// The name.
        name: String,
        /// The package.
        package: Box<Origin>,
    },
    /// The name of the folder `lib/modules/RELEASE`.
    FolderName {
        /// The name.
        name: String,
        /// The modules in it.
        of: Box<Origin>,
    },
    /// The rules by which a kernel's build composes the version magic (include/linux/vermagic.h).
    VermagicRules {
        /// Where the release was read.
        release: Box<Origin>,
        /// Where the configuration was read.
        config: Box<Origin>,
    },
    /// An option of a configuration.
    ConfigOption {
        /// The option, with `CONFIG_`.
        option: String,
        /// The configuration.
        of: Box<Origin>,
    },
    /// The version line (`linux_banner`).
    VersionLine(Box<Origin>),
    /// A word of a version magic.
    VermagicWord {
        /// The word, as a phrase.
        word: String,
        /// The version magic.
        of: Box<Origin>,
    },
    /// An exported symbol.
    Export {
        /// Its name.
        symbol: String,
        /// The exports.
        of: Box<Origin>,
    },
    /// A symbol that the module itself imports.
    Import(String),
    /// The module's own version magic.
    OwnVermagic,
    /// Several sources together.
    Joined(Vec<Origin>),
    /// The source whose facts are cached. The cache stores it in place of the source's name, since the same bytes may
    /// have another name the next time.
    Cached,
    /// Any other source, as text.
    Other(String),
}

/// The origins of which an origin consists, borrowed by `as_ref` or `as_mut`.
macro_rules! parts {
    ($origin:expr, $borrow:ident) => {
        match $origin {
            Origin::Packaged { package: of, .. }
            | Origin::Part { of, .. }
            | Origin::Modules { of, .. }
            | Origin::BuiltInList(of)
            | Origin::Imports(of)
            | Origin::PackageArchitecture { package: of, .. }
            | Origin::FolderName { of, .. }
            | Origin::ConfigOption { of, .. }
            | Origin::VersionLine(of)
            | Origin::VermagicWord { of, .. }
            | Origin::Export { of, .. } => vec![of.$borrow()],
            Origin::VermagicRules { release, config } => vec![release.$borrow(), config.$borrow()],
            Origin::Joined(parts) => parts.into_iter().collect(),
            Origin::Given
            | Origin::File(_)
            | Origin::ReferenceModule(_)
            | Origin::RunningSystem
            | Origin::Import(_)
            | Origin::OwnVermagic
            | Origin::Cached
            | Origin::Other(_) => Vec::new(),
        }
    };
}

impl Origin {
    /// A part of this origin.
    #[must_use]
    pub fn part(&self, part: impl Into<String>) -> Origin {
        Origin::Part { of: Box::new(self.clone()), part: part.into() }
    }

    /// The imports of these modules.
    #[must_use]
    pub fn imports(&self) -> Origin {
        Origin::Imports(Box::new(self.clone()))
    }

    /// The file, or the folder, that contains everything else of this origin.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Origin::File(path) | Origin::ReferenceModule(path) => Some(path),
            others => parts!(others, as_ref).into_iter().find_map(Origin::file),
        }
    }

    /// Both origins.
    #[must_use]
    pub fn and(self, other: Origin) -> Origin {
        let parts = |origin| match origin {
            Origin::Joined(parts) => parts,
            origin => vec![origin],
        };
        Origin::Joined([parts(self), parts(other)].concat())
    }

    /// Replaces an origin in all places.
    pub(super) fn replace(&mut self, from: &Origin, to: &Origin) {
        if self == from {
            self.clone_from(to);
            return;
        }
        parts!(self, as_mut).into_iter().for_each(|part| part.replace(from, to));
    }

    /// Does this origin consist only of what `others` consists of?
    pub(super) fn is_within(&self, others: &Origin) -> bool {
        match (self, others) {
            (ours, Origin::Imports(of)) => ours == &**of,
            (ours, Origin::Joined(parts)) => parts.iter().any(|part| ours.is_within(part)),
            (ours, others) => ours == others,
        }
    }
}

impl Default for Origin {
    fn default() -> Origin {
        Origin::Other(String::new())
    }
}

impl From<&str> for Origin {
    fn from(text: &str) -> Origin {
        Origin::Other(text.to_owned())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Given => f.write_str("the command line"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Packaged { path, package } => write!(f, "{path} in {package}"),
            Origin::Part { of, part } => write!(f, "{of} (its {part})"),
            Origin::ReferenceModule(path) => write!(f, "module {}", path.display()),
            Origin::Modules { count, unreadable, of } => {
                write!(f, "{count} module{} in {of}", if *count == 1 { "" } else { "s" })?;
                match unreadable {
                    0 => Ok(()),
                    bad => write!(f, ", and {bad} more that can't be read"),
                }
            }
            Origin::BuiltInList(of) => write!(f, "the list of built-in modules in {of}"),
            Origin::Imports(of) => match **of {
                Origin::Modules { .. } => write!(f, "what {of} import"),
                _ => write!(f, "what {of} imports"),
            },
            Origin::RunningSystem => f.write_str("the running system"),
            Origin::PackageArchitecture { name, package } => {
                write!(f, "the package's architecture, {name} ({package})")
            }
            Origin::FolderName { name, of } => write!(f, "the folder {name} of {of}"),
            Origin::VermagicRules { release, config } => {
                write!(f, "the rules of include/linux/vermagic.h, from {release} and {config}")
            }
            Origin::ConfigOption { option, of } => write!(f, "{option} in {of}"),
            Origin::VersionLine(of) => write!(f, "the version line in {of}"),
            Origin::VermagicWord { word, of } => write!(f, "{word} of {of}"),
            Origin::Export { symbol, of } => write!(f, "the export {symbol} in {of}"),
            Origin::Import(symbol) => write!(f, "the import {symbol}"),
            Origin::OwnVermagic => f.write_str("its version magic"),
            Origin::Joined(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Origin::Cached => f.write_str("the cached source"),
            Origin::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => Origin::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer).map(Origin::Other),
            false => Origin::deserialize(deserializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaged(package: Origin) -> Origin {
        Origin::Packaged { path: "boot/vmlinuz".to_owned(), package: Box::new(package) }
    }

    #[test]
    fn the_cached_source_is_replaced_at_any_depth() {
        let of = |source: Origin| {
            let modules = Origin::Modules { count: 2, unreadable: 1, of: Box::new(source.clone()) };
            packaged(source).part(".BTF").and(modules.imports())
        };
        let mut origin = of(Origin::Cached);
        origin.replace(&Origin::Cached, &Origin::File("a.deb".into()));
        assert_eq!(origin, of(Origin::File("a.deb".into())));
        let text = "boot/vmlinuz in a.deb (its .BTF); what 2 modules in a.deb, and 1 more that can't be read import";
        assert_eq!(origin.to_string(), text);
    }

    #[test]
    fn json_has_the_text_and_the_cache_the_structure() {
        let origin = packaged(Origin::File("a.deb".into()));
        assert_eq!(serde_json::to_string(&origin).unwrap(), "\"boot/vmlinuz in a.deb\"");
        let bytes = postcard::to_stdvec(&origin).unwrap();
        assert_eq!(postcard::from_bytes::<Origin>(&bytes).unwrap(), origin);
    }
}
