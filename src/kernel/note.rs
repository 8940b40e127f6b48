//! What a source had that yields no fact, and why. Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::kernel::origin::Origin;

/// Something that was found and yields no fact, or a contradiction between two sources. JSON has its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
#[non_exhaustive]
pub enum Note {
    /// Two sources have different CRCs for the same symbols.
    DifferentCrcs {
        /// For how many symbols.
        count: usize,
        /// The source whose CRCs are used.
        used: Origin,
        /// The other source.
        other: Origin,
    },
    /// A file was left out because it could not be unpacked.
    LeftOut {
        /// The file.
        origin: Origin,
        /// The error.
        why: String,
    },
    /// A file named Module.symvers has no line of such a file.
    NoSymvers(Origin),
    /// Lines of a Module.symvers could not be read, so its exports are incomplete.
    BadSymversLines {
        /// How many lines.
        count: usize,
        /// The file.
        origin: Origin,
    },
    /// Modules were left out because their version magic is that of another build.
    OtherBuilds {
        /// How many modules.
        count: usize,
        /// Their tree.
        of: Origin,
    },
    /// Modules were left out because depmod prefers another file of the same module.
    NotPreferred {
        /// How many modules.
        count: usize,
        /// Their tree.
        of: Origin,
    },
    /// Several strings of an image could be its version magic, so none of them is used.
    SeveralVermagics {
        /// The image.
        origin: Origin,
        /// The strings.
        candidates: Vec<String>,
    },
    /// A file could not be read: the error, with the path.
    Unreadable(String),
    /// A note read from JSON.
    Other(String),
}

impl Note {
    /// Replaces an origin in all places.
    pub(super) fn replace(&mut self, from: &Origin, to: &Origin) {
        match self {
            Note::DifferentCrcs { used, other, .. } => {
                used.replace(from, to);
                other.replace(from, to);
            }
            Note::LeftOut { origin, .. }
            | Note::NoSymvers(origin)
            | Note::BadSymversLines { origin, .. }
            | Note::OtherBuilds { of: origin, .. }
            | Note::NotPreferred { of: origin, .. }
            | Note::SeveralVermagics { origin, .. } => origin.replace(from, to),
            Note::Unreadable(_) | Note::Other(_) => {}
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        match self {
            Note::DifferentCrcs { count, used, other } => {
                let verb = if *count == 1 { "differs" } else { "differ" };
                write!(f, "{count} CRC{} in {other} {verb} from those in {used}", plural(*count))
            }
            Note::LeftOut { origin, why } => write!(f, "{origin} left out: {why}"),
            Note::NoSymvers(origin) => write!(f, "{origin} left out: no line in it is one of a Module.symvers"),
            Note::BadSymversLines { count, origin } => {
                write!(f, "{origin}: {count} unreadable line{}, so its exports are incomplete", plural(*count))
            }
            Note::OtherBuilds { count, of } => {
                write!(f, "{count} module{} in {of} left out: built for another kernel", plural(*count))
            }
            Note::NotPreferred { count, of } => write!(
                f,
                "{count} module{} in {of} left out: depmod prefers another file of the same module",
                plural(*count)
            ),
            Note::SeveralVermagics { origin, candidates } => {
                let all = candidates.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ");
                write!(f, "several strings in {origin} could be its version magic: {all}")
            }
            Note::Unreadable(text) | Note::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => Note::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Note {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Note, D::Error> {
        match deserializer.is_human_readable() {
            true => String::deserialize(deserializer).map(Note::Other),
            false => Note::deserialize(deserializer),
        }
    }
}
