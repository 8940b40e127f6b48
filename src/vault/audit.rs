//! The journal as an auditor asks for it: the operations of a period or a folder, the state of their files now, and the chain of hashes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Result;
use crate::parallel;
use crate::vault::Vault;
use crate::vault::log::{JournalChain, LogQuery};
use crate::vault::record::{JournalEntry, Operation};
use crate::vault::standing::{self, Standing};

/// Operations, and the state of their files.
pub(crate) struct Audit {
    /// The operations, oldest first.
    pub(crate) entries: Vec<JournalEntry>,
    /// Whether older operations are left out, because there are more than the query wants.
    pub(crate) is_cut: bool,
    /// The files of these operations, and their state now; `None` for a file that can't be read.
    pub(crate) files: BTreeMap<PathBuf, Option<Standing>>,
    /// The whole journal as a chain of hashes.
    pub(crate) chain: JournalChain,
}

impl Vault {
    /// Reads what the journal has about a query, and compares each file with the journal, on all cores.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::log`].
    pub(crate) fn audit(&self, query: &LogQuery) -> Result<Audit> {
        let chain = self.chain(None)?;
        let one_more = LogQuery { most: query.most.map(|most| most + 1), ..query.clone() };
        let mut entries: Vec<JournalEntry> = self.log(&one_more)?.entries().collect::<Result<_>>()?;
        let is_cut = query.most.is_some_and(|most| entries.len() > most);
        entries.drain(..usize::from(is_cut));
        let index = self.index()?;
        let written = entries.iter().filter(|entry| entry.operation != Operation::Forget);
        let mut paths: Vec<PathBuf> = written.filter_map(|entry| Some(entry.change.as_ref()?.path.clone())).collect();
        paths.sort_unstable();
        paths.dedup();
        let looked = parallel::map(paths, |path| {
            let standing = standing::standing(self, &index, &path).ok();
            (path, standing)
        });
        Ok(Audit { entries, is_cut, files: looked.into_iter().collect(), chain })
    }
}
