//! Questions to the journal: the lines about something, newest first, and whether the chain of hashes holds.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::error::Result;
use crate::vault::Vault;
use crate::vault::journal;
use crate::vault::record::JournalEntry;

/// What lines of the journal are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogSubject {
    /// A file, by its real path.
    File(PathBuf),
    /// The files in a folder and below it, by its real path.
    Folder(PathBuf),
    /// Modules of this name, with `_` for `-`.
    Module(String),
    /// Contents whose SHA-256 begins with these lower-case digits: of a file before or after, of a plan, or of a dropped backup.
    Hash(String),
    /// A kernel, by its release: the module was built for it before or after the operation.
    Release(String),
}

impl LogSubject {
    fn is_of(&self, entry: &JournalEntry) -> bool {
        let change = entry.change.as_ref();
        match self {
            LogSubject::File(path) => change.is_some_and(|change| change.path == *path),
            LogSubject::Folder(path) => change.is_some_and(|change| change.path.starts_with(path)),
            LogSubject::Module(name) => change.is_some_and(|change| change.module.replace('-', "_") == *name),
            LogSubject::Hash(digits) => {
                let of_change = change
                    .into_iter()
                    .flat_map(|change| [Some(change.before), Some(change.after), change.plan].into_iter().flatten());
                of_change.chain(entry.dropped.iter().copied()).any(|hash| hash.to_string().starts_with(digits.as_str()))
            }
            LogSubject::Release(release) => change.is_some_and(|change| {
                let labels = [&change.vermagic_before, &change.vermagic_after];
                labels.into_iter().flatten().any(|label| label.split(' ').next() == Some(release))
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
    fn wants(&self, entry: &JournalEntry) -> bool {
        // Times of one form and zone are in the order of their texts.
        self.since.as_ref().is_none_or(|since| entry.time >= *since)
            && self.until.as_ref().is_none_or(|until| entry.time <= *until)
            && self.subject.as_ref().is_none_or(|subject| subject.is_of(entry))
    }
}

/// Lines of the journal that were found, oldest first. It holds their places only.
pub(crate) struct LogLines {
    journal: Option<File>,
    places: VecDeque<u64>,
}

impl LogLines {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Their texts, byte for byte, oldest first.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Result<String>> {
        self.journal.iter().flat_map(|file| self.places.iter().map(|at| journal::text_at(file, *at)))
    }

    /// Reads them, oldest first; reversed, newest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = Result<JournalEntry>> {
        self.journal.iter().flat_map(|file| self.places.iter().map(|at| journal::line_at(file, *at)))
    }
}

/// The journal as a chain of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalChain {
    /// How many lines there are, each with the hash of the one before.
    pub(crate) lines: u64,
    /// The hash of the last one; `None` for an empty journal.
    pub(crate) head: Option<Sha256>,
    /// The number of the line that has the hash that was asked about.
    pub(crate) found: Option<u64>,
}

impl Vault {
    /// Finds lines of the journal. If the journal is damaged, none is returned.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Damaged`] if a line was changed, removed or swapped; [`crate::error::ErrorKind::Untrusted`];
    /// [`crate::error::ErrorKind::Io`].
    pub(crate) fn log(&self, query: &LogQuery) -> Result<LogLines> {
        let mut places = VecDeque::new();
        self.go_through(|line| {
            if query.wants(&line.entry) {
                places.push_back(line.at);
                if query.most.is_some_and(|most| places.len() > most) {
                    places.pop_front();
                }
            }
        })?;
        Ok(LogLines { journal: self.open_journal()?.map(|text| text.into_inner()), places })
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
                found = Some(line.entry.seq);
            }
        })?;
        Ok(JournalChain { lines: end.tail.count, head: end.tail.last_hash, found })
    }
}
