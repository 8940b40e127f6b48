//! Questions to the journal: the lines about something, newest first, and whether the chain of hashes holds.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use crate::digest::{Sha256, sha256};
use crate::error::Result;
use crate::module::file;
use crate::vault::Vault;
use crate::vault::damage::JournalDamage;
use crate::vault::journal::{JournalEnd, JournalTail};
use crate::vault::parts::JournalFiles;
use crate::vault::record::{JournalEntry, Operation};
use crate::vault::system_root::SystemRoot;
use crate::vault::target;

/// What lines of the journal are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogSubject {
    /// A file, by its real path; and the operations elsewhere that led to its contents, because it was moved or copied. Or a file from
    /// which facts of a kernel were read.
    File(PathBuf),
    /// The files in a folder and below it, by its real path.
    Folder(PathBuf),
    /// Modules of this name, with `_` for `-`; or a kernel that was named so.
    Module(String),
    /// Contents whose SHA-256 begins with these lower-case digits: of a file before or after, of a plan, of a dropped backup, or of a
    /// file from which facts of a kernel were read.
    Hash(String),
    /// A kernel, by its release, or by the name by which a patch named it: the operation was for it, or the module was built for it
    /// before or after the operation.
    Kernel(String),
}

impl LogSubject {
    /// What a name means. A path that exists is that file or folder; if its folder is gone, it is used as it was given.
    /// With a root folder, it is a path of that system.
    pub(crate) fn named(name: &Path, root: Option<&SystemRoot>) -> LogSubject {
        let outside =
            root.map(|root| root.named(name)).filter(|path| name.to_string_lossy().contains('/') || path.exists());
        let name = outside.as_deref().unwrap_or(name);
        let text = name.to_str().unwrap_or_default();
        let is_there = name.symlink_metadata().is_ok();
        let path = || target::real_path(name).unwrap_or_else(|_| name.to_owned());
        let is_hash = (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text {
            _ if is_there && name.is_dir() => {
                LogSubject::Folder(name.canonicalize().unwrap_or_else(|_| name.to_owned()))
            }
            _ if is_there || text.contains('/') || text.contains(".ko") || text.is_empty() => LogSubject::File(path()),
            _ if is_hash => LogSubject::Hash(text.to_ascii_lowercase()),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => LogSubject::Kernel(text.to_owned()),
            _ => LogSubject::Module(text.replace('-', "_")),
        }
    }

    fn is_of(&self, entry: &JournalEntry) -> bool {
        let change = entry.change.as_ref();
        let kernel = || change?.patch.as_ref()?.kernel.as_deref();
        let sources = || kernel().map(|kernel| kernel.sources.as_slice()).unwrap_or_default();
        match self {
            LogSubject::File(path) => {
                change.is_some_and(|change| change.path == *path) || sources().iter().any(|source| source.path == *path)
            }
            LogSubject::Folder(path) => change.is_some_and(|change| change.path.starts_with(path)),
            LogSubject::Module(name) => {
                let is_it = |text: &str| text.replace('-', "_") == *name;
                change.is_some_and(|change| is_it(&change.module)) || kernel().is_some_and(|kernel| is_it(&kernel.name))
            }
            LogSubject::Hash(digits) => {
                let of_change = change
                    .into_iter()
                    .flat_map(|change| [Some(change.before), Some(change.after), change.plan].into_iter().flatten());
                let others = entry.dropped.iter().copied().chain(sources().iter().map(|source| source.sha256));
                of_change.chain(others).any(|hash| hash.to_string().starts_with(digits.as_str()))
            }
            LogSubject::Kernel(name) => change.is_some_and(|change| {
                let labels = [&change.vermagic_before, &change.vermagic_after];
                labels.into_iter().flatten().any(|label| label.split(' ').next() == Some(name))
                    || kernel().is_some_and(|kernel| kernel.release.as_ref() == Some(name) || kernel.name == *name)
            }),
        }
    }
}

/// Which lines of the journal are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogQuery {
    /// What they are about; `None` for all.
    pub(crate) subject: Option<LogSubject>,
    /// From this time on, in UTC, as the journal writes it (`2026-01-31T23:59:59Z`).
    pub(crate) since: Option<String>,
    /// Up to this time, likewise.
    pub(crate) until: Option<String>,
    /// Only so many, the newest.
    pub(crate) most: Option<usize>,
}

impl LogQuery {
    fn is_in_time(&self, entry: &JournalEntry) -> bool {
        // Times of one form and zone are in the order of their texts.
        self.since.as_ref().is_none_or(|since| entry.time >= *since)
            && self.until.as_ref().is_none_or(|until| entry.time <= *until)
    }

    fn is_about_subject(&self, entry: &JournalEntry) -> bool {
        self.subject.as_ref().is_none_or(|subject| subject.is_of(entry))
    }
}

/// A line that gave a file its contents, as far as a history by contents needs it.
struct LogStep {
    at: u64,
    is_here: bool,
    is_in_time: bool,
    before: Sha256,
    after: Sha256,
}

/// The lines about a file that has these contents now: those about its path, and those about other paths that led to its
/// contents, or to the contents before the first line about its path.
fn followed(steps: &[LogStep], now: Option<Sha256>) -> VecDeque<u64> {
    let mut wanted: BTreeSet<Sha256> = now.into_iter().collect();
    let mut places = VecDeque::new();
    for step in steps.iter().rev().filter(|step| step.is_here || step.before != step.after) {
        if step.is_here || wanted.contains(&step.after) {
            wanted.insert(step.before);
            if step.is_in_time {
                places.push_front(step.at);
            }
        }
    }
    places
}

/// The SHA-256 of a regular file that can be read.
fn contents_of(path: &Path) -> Option<Sha256> {
    path.is_file().then(|| file::read(path).ok())?.map(|contents| sha256(contents.bytes()))
}

/// Lines of the journal that were found, oldest first. It holds their places only.
pub(crate) struct LogLines {
    files: JournalFiles,
    places: VecDeque<u64>,
    /// The number of all lines of the journal.
    count: u64,
    damage: Vec<JournalDamage>,
}

impl LogLines {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the journal has no line at all.
    pub(crate) fn is_of_empty_journal(&self) -> bool {
        self.count == 0
    }

    /// Which lines of the journal are not there as they were written.
    pub(crate) fn damage(&self) -> &[JournalDamage] {
        &self.damage
    }

    /// Their texts, byte for byte, oldest first.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Result<String>> {
        self.places.iter().map(|at| self.files.text_at(*at))
    }

    /// Reads them, oldest first; reversed, newest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = Result<JournalEntry>> {
        self.places.iter().map(|at| self.files.line_at(*at))
    }
}

/// The journal as a chain of hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalChain {
    /// How many lines there are. Without damage each has the hash of the one before.
    pub(crate) lines: u64,
    /// The hash of the last one; `None` for an empty journal.
    pub(crate) head: Option<Sha256>,
    /// The number and hash of the line that has the hash that was asked about.
    found: Option<(u64, Sha256)>,
    /// Which lines are not there as they were written.
    pub(crate) damage: Vec<JournalDamage>,
    /// The damage that repairs have recorded.
    pub(crate) repaired: Vec<JournalDamage>,
}

/// What a hash that was noted earlier proves about the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChainProof {
    /// All lines up to this one, which has the hash, are as they were.
    Unchanged(u64),
    /// This line has the hash, but not all lines before it are left.
    LinesLost(u64),
    /// No line has the hash.
    Unknown,
}

impl JournalChain {
    /// What this hash proves: the one with which the chain was read.
    pub(crate) fn proof_of(&self, hash: Sha256) -> ChainProof {
        let Some((line, _)) = self.found.filter(|(_, found)| *found == hash) else { return ChainProof::Unknown };
        // Lines that only the copy has are proven by the chain too.
        let mut lost = self.damage.iter().chain(&self.repaired).filter(|damage| !damage.is_lossless);
        match lost.any(|damage| damage.first <= line) {
            true => ChainProof::LinesLost(line),
            false => ChainProof::Unchanged(line),
        }
    }
}

impl Vault {
    /// Finds lines of the journal. Of a damaged journal the lines that are left are searched.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Untrusted`]; [`crate::error::ErrorKind::Io`].
    pub(crate) fn log(&self, query: &LogQuery) -> Result<LogLines> {
        let mut places = VecDeque::new();
        if let Some(LogSubject::File(path)) = &query.subject {
            let mut steps = Vec::new();
            let read = self.go_through(|line| {
                let (is_here, is_in_time) = (query.is_about_subject(&line.entry), query.is_in_time(&line.entry));
                let is_written = !matches!(line.entry.operation, Operation::Undone | Operation::Forget);
                if let Some(change) = line.entry.change.filter(|_| is_here || is_written) {
                    let (before, after) = (change.before, change.after);
                    steps.push(LogStep { at: line.at, is_here, is_in_time, before, after });
                }
            })?;
            places = followed(&steps, contents_of(path));
            let surplus = query.most.map_or(0, |most| places.len().saturating_sub(most));
            places.drain(..surplus);
            let JournalTail { count, damage, .. } = read.end.tail;
            return Ok(LogLines { files: read.files, places, count, damage });
        }
        let read = self.go_through(|line| {
            if query.is_in_time(&line.entry) && query.is_about_subject(&line.entry) {
                places.push_back(line.at);
                if query.most.is_some_and(|most| places.len() > most) {
                    places.pop_front();
                }
            }
        })?;
        let JournalTail { count, damage, .. } = read.end.tail;
        Ok(LogLines { files: read.files, places, count, damage })
    }

    /// Reads the whole journal, checks its chain, and looks for the line with a hash. A chain in which a hash is found that
    /// was noted earlier is unchanged up to that line.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::log`].
    pub(crate) fn chain(&self, hash: Option<Sha256>) -> Result<JournalChain> {
        let mut found = None;
        let end = self.go_through(|line| {
            if hash == Some(line.hash) {
                found = Some((line.entry.seq, line.hash));
            }
        })?;
        let JournalEnd { tail, repaired, .. } = end.end;
        Ok(JournalChain { lines: tail.count, head: tail.last_hash, found, damage: tail.damage, repaired })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Sha256 = Sha256::from_bytes([1; 32]);
    const B: Sha256 = Sha256::from_bytes([2; 32]);
    const C: Sha256 = Sha256::from_bytes([3; 32]);
    const D: Sha256 = Sha256::from_bytes([4; 32]);

    /// The numbers of the steps that belong to a file at `/m.ko` with these contents.
    fn history(steps: &[(&str, Sha256, Sha256)], now: Option<Sha256>) -> Vec<u64> {
        let step = |(at, (path, before, after)): (u64, &(&str, Sha256, Sha256))| LogStep {
            at,
            is_here: *path == "/m.ko",
            is_in_time: true,
            before: *before,
            after: *after,
        };
        followed(&(1..).zip(steps).map(step).collect::<Vec<_>>(), now).into()
    }

    #[test]
    fn a_moved_file_has_the_history_of_its_contents() {
        let patched_twice = [("/old.ko", A, B), ("/other.ko", A, D), ("/old.ko", B, C)];
        assert_eq!(history(&patched_twice, Some(C)), [1, 3]);
        assert_eq!(history(&patched_twice, Some(B)), [1]);
        assert_eq!(history(&patched_twice, Some(A)), [0; 0]);
        assert_eq!(history(&patched_twice, None), [0; 0]);
        let restored = [("/old.ko", A, B), ("/old.ko", B, A), ("/other.ko", A, D)];
        assert_eq!(history(&restored, Some(A)), [1, 2]);
    }

    #[test]
    fn a_file_that_was_patched_again_after_the_move_keeps_the_history_before_it() {
        let steps = [("/old.ko", A, B), ("/other.ko", C, B), ("/m.ko", B, D), ("/other.ko", B, C)];
        assert_eq!(history(&steps, Some(D)), [1, 2, 3]);
        assert_eq!(history(&steps, None), [1, 2, 3]);
    }
}
