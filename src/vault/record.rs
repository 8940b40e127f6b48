//! What a line of the journal holds: the schema, without reading or writing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::door::internal_fields;
use crate::edit::Edit;
use crate::escape;
use crate::module::container::Container;
use crate::vault::metadata::Metadata;

/// The schema version of a line. A reader must refuse a higher number.
pub const SCHEMA_VERSION: u32 = 1;

/// The maximum length of a line in bytes, with its line feed. A line is about one file and has its edits, two digits per byte before and
/// after; or it lists dropped backups, 67 bytes each. So edits of 60 MiB fit, or four million backups.
pub(super) const LONGEST_LINE: u64 = 256 << 20;

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A module was changed according to a plan.
    Patch,
    /// A module was restored to its original.
    Restore,
    /// Recovery rolled an interrupted operation back: the file has its old contents.
    Undone,
    /// An interrupted operation was abandoned: somebody else changed the file, and its contents were discarded or kept.
    GivenUp,
    /// A person declared this machine a lab machine.
    Enrol,
    /// A person withdrew that.
    Unenrol,
    /// A person dropped backups that nothing needed.
    Drop,
    /// A person forgot a path: the module that was patched there is not expected there any more. No file was written.
    Forget,
    /// A person imported backups, and perhaps lines of the journal, from an export.
    Import,
    /// A person closed a damaged part of the journal; this line is the first one of the next part.
    Repair,
}

impl Operation {
    /// Whether it takes something back. Such an operation is recorded in a damaged journal too.
    pub(super) fn is_way_back(self) -> bool {
        matches!(self, Operation::Restore | Operation::Undone | Operation::GivenUp | Operation::Unenrol)
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Patch => "patch",
            Operation::Restore => "restore",
            Operation::Undone => "undone",
            Operation::GivenUp => "given-up",
            Operation::Enrol => "enrol",
            Operation::Unenrol => "unenrol",
            Operation::Drop => "drop",
            Operation::Forget => "forget",
            Operation::Import => "import",
            Operation::Repair => "repair",
        }
    }
}

/// How a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMethod {
    /// Spans of the file were overwritten.
    InPlace,
    /// A new file replaced it.
    Replace,
    /// A new file was created where there was none: by a patch, from a module that was not changed; by a restore, from the backup.
    Create,
}

/// What became of a part of a module by a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartFate {
    /// It stays, byte for byte. A signature that stays is invalid.
    Kept,
    /// It was removed: a signature.
    Stripped,
    /// Another one replaced it: a signature.
    Replaced,
    /// There was none before: a signature.
    Added,
    /// It has other values: the CRCs of symbol versions.
    Rewritten,
    /// It was overwritten with NULs: symbol versions.
    Blanked,
    /// It stays under a name that no kernel looks for: BTF.
    Hidden,
}

impl PartFate {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            PartFate::Kept => "kept",
            PartFate::Stripped => "stripped",
            PartFate::Replaced => "replaced",
            PartFate::Added => "added",
            PartFate::Rewritten => "rewritten",
            PartFate::Blanked => "blanked",
            PartFate::Hidden => "hidden",
        }
    }
}

/// The kernel that a patch was for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// The name by which it was given, as text.
    pub name: String,
    /// Its release, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The files from which its version magic and its exports were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<KernelFile>,
}

/// A file from which facts of a kernel were read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelFile {
    /// Its absolute path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Sha256,
}

/// What a patch was for, and what became of the parts that a kernel checks. A part that the module does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRecord {
    /// The kernel that the file is to fit, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Arc<KernelRecord>>,
    /// What became of the signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<PartFate>,
    /// What became of the CRCs of the symbol versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crcs: Option<PartFate>,
    /// What became of the type information (BTF).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btf: Option<PartFate>,
}

/// The user and the machine of a run, its command line and its message. The program collects them; the vault only records them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The real user id.
    pub uid: u32,
    /// That user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user id of the login (/proc/self/loginuid), which sudo and su keep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_uid: Option<u32>,
    /// The user who called sudo, as sudo reports it in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo: Option<SudoCaller>,
    /// The name of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A hash of the machine's id (machine-id(5)), which does not disclose the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Sha256>,
    /// The arguments of the program, escaped, up to [`LONGEST_COMMAND`] bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How many arguments are left out of `command`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
    /// The person's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The user who called sudo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SudoCaller {
    /// The user id.
    pub uid: u32,
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// The maximum length of a recorded command line in bytes: each line of a batch has it.
pub const LONGEST_COMMAND: usize = 1024;

impl KernelRecord {
    /// Its release, and the name by which it was given where that differs.
    pub(crate) fn text(&self) -> String {
        match self.release.as_ref().filter(|release| **release != self.name) {
            Some(release) => format!("{release} ({})", self.name),
            None => self.name.clone(),
        }
    }
}

impl PatchRecord {
    /// What became of each part that the module has, in words.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let parts = [("signature", self.signature), ("CRCs", self.crcs), ("BTF", self.btf)];
        parts.into_iter().filter_map(|(part, fate)| Some((part, fate?.name())))
    }
}

impl RunRecord {
    /// The user in words: the name, and for sudo also the caller's.
    pub(crate) fn who(&self) -> String {
        let name = |user: &Option<String>, uid: u32| user.clone().unwrap_or_else(|| format!("user {uid}"));
        let user = name(&self.user, self.uid);
        match (&self.sudo, self.login_uid.filter(|login| *login != self.uid)) {
            (Some(sudo), _) => format!("{user} (sudo of {})", name(&sudo.user, sudo.uid)),
            (None, Some(login)) => format!("{user} (login of user {login})"),
            (None, None) => user,
        }
    }

    /// Records a command line, up to [`LONGEST_COMMAND`] bytes: the argument that reaches this length is cut, and those after it are
    /// counted.
    pub fn set_command<'a>(&mut self, arguments: impl IntoIterator<Item = &'a OsStr>) {
        let (mut room, mut arguments) = (LONGEST_COMMAND, arguments.into_iter());
        self.command.clear();
        for argument in arguments.by_ref() {
            let text = escape::bytes_for_eyes(argument.as_bytes());
            if text.len() > room {
                let start = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
                self.command.push(format!("{start}…"));
                break;
            }
            room -= text.len();
            self.command.push(text);
        }
        self.omitted = arguments.count();
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file's real path.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// The module's name.
    pub module: String,
    /// How the file was written.
    pub how: WriteMethod,
    /// SHA-256 before; for a new file, of the contents from which it was made. The backup has this name.
    pub before: Sha256,
    /// SHA-256 after.
    pub after: Sha256,
    /// Size before, in bytes.
    pub size_before: u64,
    /// Size after, in bytes.
    pub size_after: u64,
    /// The exact edits. Empty if a new file replaced the old one and was not planned as edits.
    pub edits: Vec<Edit>,
    /// How the file is compressed, in which case the edits apply to the uncompressed bytes.
    #[serde(default, skip_serializing_if = "Container::is_none")]
    pub container: Container,
    /// The metadata of the file before.
    pub metadata: Metadata,
    /// A label of the contents before, if the operation changed it. The vault does not interpret it; callers store the vermagic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_before: Option<String>,
    /// A label of the contents after. The vault does not interpret it; callers store the vermagic, empty for a blanked one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic_after: Option<String>,
    /// The digest of the plan that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Sha256>,
    /// The names of the guards that were overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// What the patch was for, and what became of the parts that a kernel checks. `None` for other operations, and in old lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<PatchRecord>,
}

/// What a repair recorded of the part that it closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairedPart {
    /// The name of its file.
    pub part: String,
    /// The SHA-256 of its file; none if it could not be read, or if a line in it is too long.
    pub sha256: Option<Sha256>,
    /// What was wrong, one sentence each.
    pub damage: Vec<String>,
    /// Damaged parts that earlier repairs closed, and of which no line said that any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<ClosedPart>,
}

/// A damaged part of the journal that is never written again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPart {
    /// The name of its file.
    pub part: String,
    /// The SHA-256 of its file; none if it could not be read, or if a line in it is too long.
    pub sha256: Option<Sha256>,
}

impl RepairedPart {
    /// Whether it says that this part was damaged and then had exactly these contents.
    pub(super) fn knows(&self, closed: &ClosedPart) -> bool {
        let ClosedPart { part, sha256 } = closed;
        (&self.part, &self.sha256) == (part, sha256) || self.earlier.contains(closed)
    }
}

internal_fields! {
    /// One line of the journal.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    pub struct JournalEntry {
        /// Its schema version.
        schema_version: u32,
        /// Its number, from 1.
        seq: u64,
        /// The time in UTC (RFC 3339).
        time: String,
        /// The id of the operation. An intent with this id is settled by this line.
        id: String,
        /// The kind of an operation.
        operation: Operation,
        /// Whether recovery completed it after an interruption.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        recovered: bool,
        /// The change of a file, if the operation was about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        change: Option<FileChange>,
        /// The SHA-256 of the backups that were dropped.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Sha256>,
        /// The SHA-256 of the export that was imported.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        imported: Option<Sha256>,
        /// What a repair found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repaired: Option<RepairedPart>,
        /// A note.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// The run that did the operation. `None` in old lines.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<Arc<RunRecord>>,
        /// The run that recovered the operation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovered_by: Option<Arc<RunRecord>>,
        /// The program that wrote it.
        tool: String,
        /// The hash of the previous line.
        prev: Sha256,
    }
}

/// The path in a line.
#[derive(Deserialize)]
pub(super) struct LinePath {
    #[serde(default)]
    pub(super) change: Option<ChangedPath>,
}

/// The path in a change.
#[derive(Deserialize)]
pub(super) struct ChangedPath {
    #[serde(with = "path_text")]
    pub(super) path: PathBuf,
}

impl JournalEntry {
    /// Its number in the journal, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }
}

/// A line to append. The journal adds number, time, tool and chain.
pub(super) struct NewEntry {
    pub(super) id: String,
    pub(super) operation: Operation,
    pub(super) recovered: bool,
    pub(super) change: Option<FileChange>,
    pub(super) dropped: Vec<Sha256>,
    pub(super) imported: Option<Sha256>,
    pub(super) repaired: Option<RepairedPart>,
    pub(super) note: Option<String>,
    /// The run that did the operation. `None` for the writer's own.
    pub(super) run: Option<Arc<RunRecord>>,
}

impl NewEntry {
    /// A line about an operation, with nothing else in it.
    pub(super) fn of(operation: Operation) -> NewEntry {
        NewEntry {
            id: new_id(),
            operation,
            recovered: false,
            change: None,
            dropped: Vec::new(),
            imported: None,
            repaired: None,
            note: None,
            run: None,
        }
    }

    /// Whether it may be appended to a damaged journal.
    pub(super) fn is_way_back(&self) -> bool {
        self.recovered || self.operation.is_way_back()
    }
}

/// A new operation id: microseconds since the epoch and process id. Ids of one process are unique and ascending.
pub(super) fn new_id() -> String {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = jiff::Timestamp::now().as_microsecond();
    let before = LAST.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1))).unwrap_or_default();
    format!("{}-{}", now.max(before + 1), std::process::id())
}

/// Serde for a path in JSON: text if it is UTF-8, else `{"hex": …}`, so that every path is read back unchanged.
pub(super) mod path_text {
    use std::ffi::OsString;
    use std::fmt;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    struct PathBytes {
        #[serde(with = "hex")]
        hex: Vec<u8>,
    }

    pub(in crate::vault) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => text.serialize(serializer),
            None => PathBytes { hex: path.as_os_str().as_bytes().to_vec() }.serialize(serializer),
        }
    }

    pub(in crate::vault) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        struct PathText;

        impl<'de> de::Visitor<'de> for PathText {
            type Value = PathBuf;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path as text, or its bytes in hexadecimal")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PathBuf, E> {
                Ok(text.into())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<PathBuf, A::Error> {
                let PathBytes { hex } = PathBytes::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(OsString::from_vec(hex).into())
            }
        }

        deserializer.deserialize_any(PathText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(arguments: &[&str]) -> (Vec<String>, usize) {
        let mut run = RunRecord::default();
        run.set_command(arguments.iter().map(OsStr::new));
        (run.command, run.omitted)
    }

    #[test]
    fn a_command_line_is_recorded_escaped_and_up_to_a_length() {
        assert_eq!(recorded(&["kmodlab", "patch", "a\x1bb\n.ko"]).0, ["kmodlab", "patch", "a\\x1bb\\n.ko"]);
        let long = "ä".repeat(LONGEST_COMMAND);
        let (command, omitted) = recorded(&["kmodlab", &long, "c", "d"]);
        assert_eq!((command.len(), omitted), (2, 2));
        assert!(command[1].ends_with("ä…") && command.concat().len() <= LONGEST_COMMAND + "…".len());
    }

    #[test]
    fn who_did_it_is_named_by_login_and_by_sudo() {
        let root = RunRecord { user: Some("root".into()), ..RunRecord::default() };
        let sudo = Some(SudoCaller { uid: 1000, user: Some("anna".into()) });
        let who = [
            root.clone(),
            RunRecord { sudo, login_uid: Some(1000), ..root.clone() },
            RunRecord { login_uid: Some(1000), ..root.clone() },
            RunRecord { login_uid: Some(0), ..root },
            RunRecord { uid: 7, ..RunRecord::default() },
        ];
        let who = who.map(|run| run.who());
        assert_eq!(who, ["root", "root (sudo of anna)", "root (login of user 1000)", "root", "user 7"]);
    }
}
