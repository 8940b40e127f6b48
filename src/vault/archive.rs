//! The file in which a vault moves to another machine: a tar archive of its backups and its journal.
//!
//! ```text
//! objects/SHA256[.zst]   the backups, as they are in the state folder, sorted
//! journal.jsonl          the journal; before it the parts that repairs closed, journal.N.jsonl, each after its copy,
//!                        journal.N.copy.jsonl; the copy of journal.jsonl itself, journal.copy.jsonl, only if it is damaged
//! manifest.json          name, size and SHA-256 of each member; number of lines and last hash of the journal
//! ```
//!
//! GNU tar unpacks it to a state folder. The order is the one in which an import writes: backups before the lines that name them.
//!
//! No byte of the archive is free: names, order and headers are those that [`writer`] writes, padding is zero, the manifest ends with its own
//! hash as a line of the journal does, and nothing follows the end. A compressed archive is one Zstandard frame, followed by the SHA-256 of
//! this frame in a skippable frame, which other programs ignore (RFC 8878, section 3.1.2), because a frame has bits without a meaning.
//! So an archive in which any byte was changed is refused.

pub(super) mod reader;
pub(super) mod writer;

use serde::{Deserialize, Serialize};

use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::layout::{COPY, JOURNAL};
use crate::vault::objects::{COMPRESSED, Object};
use crate::vault::parts::PartRead;

/// The schema version of a manifest. A reader refuses a higher number.
const SCHEMA_VERSION: u32 = 1;

/// The manifest.
const MANIFEST: &str = "manifest.json";

/// The folder of the backups, in names of members.
const OBJECTS: &str = "objects/";

/// The maximum size of a manifest in bytes: about a million backups.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// Headers and contents are padded to a multiple of this.
const BLOCK: usize = 512;

/// The magic number of a skippable Zstandard frame, and the number of bytes in it.
const SEAL: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];

/// The length of the skippable frame with the hash.
const SEAL_LEN: u64 = SEAL.len() as u64 + 32;

/// The name of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MemberName {
    /// A backup.
    Backup {
        /// The SHA-256 of its contents.
        sha: Sha256,
        /// Whether it is a Zstandard frame.
        is_compressed: bool,
    },
    /// A file of a part of the journal, by the number of the part; the current one has the highest.
    Journal(u64, PartFile),
    /// The manifest.
    Manifest,
}

/// A file of a part of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PartFile {
    /// The copy of its lines.
    Copy,
    /// Its lines.
    Lines,
}

impl MemberName {
    /// The name of a backup.
    pub(super) fn of(object: &Object) -> MemberName {
        MemberName::Backup { sha: object.sha, is_compressed: object.is_compressed }
    }

    /// The current part of the journal.
    pub(super) const CURRENT: MemberName = MemberName::Journal(u64::MAX, PartFile::Lines);

    /// A file of the journal, by its name.
    pub(super) fn of_journal(name: &str) -> Option<MemberName> {
        match name {
            JOURNAL => return Some(MemberName::CURRENT),
            COPY => return Some(MemberName::Journal(u64::MAX, PartFile::Copy)),
            _ => {}
        }
        let number = name.strip_prefix("journal.")?.strip_suffix(".jsonl")?;
        let (number, file) = match number.strip_suffix(".copy") {
            Some(number) => (number, PartFile::Copy),
            None => (number, PartFile::Lines),
        };
        let is_number = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
        let number = number.parse().ok().filter(|number| is_number && *number != u64::MAX);
        number.map(|number| MemberName::Journal(number, file))
    }

    /// Whether it is a part of the journal, and not a copy.
    pub(super) fn is_lines(&self) -> bool {
        matches!(self, MemberName::Journal(_, PartFile::Lines))
    }

    /// The name with this text; only the names that this program writes have one.
    fn parse(text: &[u8]) -> Option<MemberName> {
        let text = std::str::from_utf8(text).ok()?;
        if text == MANIFEST {
            return Some(MemberName::Manifest);
        }
        let Some(backup) = text.strip_prefix(OBJECTS) else { return MemberName::of_journal(text) };
        let (sha, is_compressed) = match backup.strip_suffix(COMPRESSED) {
            Some(sha) => (sha, true),
            None => (backup, false),
        };
        Some(MemberName::Backup { sha: sha.parse().ok()?, is_compressed })
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        match self {
            MemberName::Backup { sha, is_compressed } => {
                format!("{OBJECTS}{sha}{}", if *is_compressed { COMPRESSED } else { "" })
            }
            MemberName::Journal(u64::MAX, PartFile::Lines) => JOURNAL.to_owned(),
            MemberName::Journal(u64::MAX, PartFile::Copy) => COPY.to_owned(),
            MemberName::Journal(number, PartFile::Lines) => format!("journal.{number}.jsonl"),
            MemberName::Journal(number, PartFile::Copy) => format!("journal.{number}.copy.jsonl"),
            MemberName::Manifest => MANIFEST.to_owned(),
        }
    }

    /// The name of the part of the journal to which it belongs.
    pub(super) fn part(&self) -> String {
        match self {
            MemberName::Journal(number, _) => MemberName::Journal(*number, PartFile::Lines).text(),
            name => name.text(),
        }
    }

    /// The mode that GNU tar gives the file.
    fn mode(&self) -> u32 {
        match self {
            MemberName::Backup { .. } => 0o400,
            MemberName::Journal(..) | MemberName::Manifest => 0o600,
        }
    }
}

/// The header of a member of this size: ustar (POSIX.1-1988), without a time and an owner, so that equal contents make equal archives.
fn header(name: &MemberName, size: u64) -> std::io::Result<[u8; BLOCK]> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(name.text())?;
    header.set_mode(name.mode());
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(*header.as_bytes())
}

/// The number of zero bytes after contents of this size.
fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

/// The last member: what the others are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    schema_version: u32,
    /// The program that wrote it.
    tool: String,
    /// The parts of the journal, oldest first.
    pub(super) journal: Vec<ManifestSegment>,
    /// All members before this one, in their order.
    members: Vec<Member>,
    /// The names of damaged backups, which are not in the archive.
    left_out: Vec<String>,
}

/// A part of the journal, in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ManifestSegment {
    /// The name of its file.
    pub(super) name: String,
    /// The number of the last line up to which no line of the part breaks the chain, which continues that of the part before.
    pub(super) lines: u64,
    /// The hash of this line.
    pub(super) head: Option<Sha256>,
    /// The number of the line that then breaks the chain. Such a part is in the archive as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken: Option<u64>,
}

/// A member, in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Member {
    name: String,
    size: u64,
    sha256: Sha256,
}

impl ManifestSegment {
    /// What was read of a part.
    pub(super) fn of(read: &PartRead) -> ManifestSegment {
        let (lines, head) = read.valid;
        ManifestSegment { name: read.part.name.clone(), lines, head, broken: read.is_broken.then_some(lines + 1) }
    }
}

impl Manifest {
    /// Its text: one JSON object, whose last field is the SHA-256 of the text before.
    fn text(&self) -> Result<Vec<u8>> {
        let text = serde_json::to_string(self).map_err(|e| Error::io("writing the manifest", e))?;
        let text = crate::escape::json_for_eyes(&text);
        let signed = text.strip_suffix('}').unwrap_or(&text);
        Ok(format!("{signed},\"hash\":\"{}\"}}\n", sha256(signed.as_bytes())).into_bytes())
    }

    /// Reads it.
    fn parse(text: &[u8]) -> Result<Manifest> {
        let unfit = |what| Error::new(ErrorKind::Damaged, what);
        let body = text.strip_suffix(b"\n").ok_or_else(|| unfit("its manifest is damaged"))?;
        let (signed, hash) = crate::vault::journal::split_hash(body).ok_or_else(|| unfit("its manifest is damaged"))?;
        if sha256(signed) != hash {
            return Err(unfit("its manifest was changed"));
        }
        let manifest: Manifest = serde_json::from_slice(body).map_err(|_| unfit("its manifest is damaged"))?;
        match manifest.schema_version {
            SCHEMA_VERSION => Ok(manifest),
            _ => Err(Error::new(ErrorKind::Unsupported, "its manifest is of a newer version of this program")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_names_are_names_of_members() {
        let sha = "a".repeat(64);
        for name in ["journal.jsonl", "journal.copy.jsonl", "journal.7.jsonl", "journal.7.copy.jsonl", "manifest.json"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("objects/{sha}"), format!("objects/{sha}.zst")])
        {
            assert_eq!(MemberName::parse(name.as_bytes()).unwrap().text(), name);
        }
        for name in [
            "",
            "/journal.jsonl",
            "./journal.jsonl",
            "journal.07.jsonl",
            "journal..jsonl",
            "journal.-1.jsonl",
            "journal.18446744073709551615.jsonl",
            "journal.x.jsonl",
            "journal.copy.7.jsonl",
            "journal.7.copy.copy.jsonl",
            "journal..copy.jsonl",
            "lock",
            "intents/1-1.json",
            "objects/",
            "objects/x",
            "objects/../journal.jsonl",
            "lab-machine.json",
        ] {
            assert_eq!(MemberName::parse(name.as_bytes()), None, "{name}");
        }
        assert_eq!(MemberName::parse(format!("objects/{}", sha.to_uppercase()).as_bytes()), None);
        assert_eq!(MemberName::parse(format!("objects/{sha}.zst.zst").as_bytes()), None);
    }

    #[test]
    fn every_changed_byte_of_a_manifest_is_detected() {
        let manifest = Manifest {
            schema_version: SCHEMA_VERSION,
            tool: "kmodlab".to_owned(),
            journal: vec![ManifestSegment { name: JOURNAL.to_owned(), lines: 1, head: None, broken: None }],
            members: vec![Member { name: JOURNAL.to_owned(), size: 7, sha256: sha256(b"journal") }],
            left_out: vec![],
        };
        let text = manifest.text().unwrap();
        assert_eq!(Manifest::parse(&text).unwrap(), manifest);
        for at in 0..text.len() {
            let mut changed = text.clone();
            changed[at] ^= 1;
            assert!(Manifest::parse(&changed).is_err(), "byte {at}");
        }
    }
}
