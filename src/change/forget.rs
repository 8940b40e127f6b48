//! Forgetting paths: a person decides that no patched module is expected there any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, sha256};
use crate::error::Result;
use crate::text::{path_hex, path_text};
use crate::vault::forget::{self, ForgetPlan};
use crate::vault::history::History;
use crate::vault::record::{FileChange, JournalEntry};
use crate::vault::target;
use crate::vault::{Vault, Writer};

/// Paths that are proposed to be forgotten.
#[derive(Debug)]
pub struct Forget {
    plans: BTreeMap<PathBuf, ForgetPlan>,
}

/// A [`Forget`], as it is serialised.
#[derive(Clone, Debug, Serialize)]
pub struct ForgetReport {
    schema_version: u32,
    /// Whether the paths were forgotten.
    pub done: bool,
    /// The digest that confirms it.
    pub digest: Sha256,
    /// The paths.
    pub paths: Vec<ForgottenPath>,
}

/// A path of a [`ForgetReport`].
#[derive(Clone, Debug, Serialize)]
pub struct ForgottenPath {
    /// The path, as text.
    pub path: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The patched modules that are not expected there any more.
    pub modules: Vec<ForgottenModule>,
}

/// A patched module that is not expected any more.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ForgottenModule {
    /// SHA-256 of its contents after the last patch.
    pub patched: Sha256,
    /// SHA-256 of its original.
    pub original: Sha256,
}

impl Forget {
    /// Proposes to forget these paths: all of them, or none.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::journal`] and of [`forget::plan`].
    pub fn plan(vault: &Vault, paths: &[PathBuf]) -> Result<Forget> {
        let journal = vault.journal()?;
        let history = History::of(&journal.entries);
        let plan = |path: &PathBuf| {
            let path = real_path(path);
            let plan = forget::plan(&history, &path)?;
            Ok((path, plan))
        };
        Ok(Forget { plans: paths.iter().map(plan).collect::<Result<_>>()? })
    }

    /// The real paths, sorted, each with the changes that are forgotten.
    pub fn paths(&self) -> impl Iterator<Item = (&Path, &[FileChange])> {
        self.plans.iter().map(|(path, plan)| (path.as_path(), plan.changes.as_slice()))
    }

    /// How many paths would be forgotten.
    pub fn count(&self) -> usize {
        self.plans.len()
    }

    /// The report, before or after they are forgotten.
    pub fn report(&self, done: bool) -> ForgetReport {
        let module = |change: &FileChange| ForgottenModule { patched: change.after, original: change.before };
        let path = |(path, changes): (&Path, &[FileChange])| ForgottenPath {
            path: path_text(path).into_owned(),
            path_hex: path_hex(path),
            modules: changes.iter().map(module).collect(),
        };
        ForgetReport { schema_version: 1, done, digest: self.digest(), paths: self.paths().map(path).collect() }
    }
}

/// The real path. If the directory is gone, the absolute path.
pub fn real_path(path: &Path) -> PathBuf {
    target::real_path(path).unwrap_or_else(|_| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

impl Sealed for Forget {}

impl Confirmable for Forget {
    /// The number of paths.
    fn name_to_type(&self) -> String {
        self.plans.len().to_string()
    }

    fn digest(&self) -> Sha256 {
        let digests: String = self.plans.values().map(|plan| format!("{}\n", plan.digest)).collect();
        sha256(format!("forget\n{digests}").as_bytes())
    }
}

/// Forgets paths. No file is written, except for the journal.
///
/// # Errors
///
/// [`crate::error::ErrorKind::Io`].
pub fn forget_paths(confirmed: Confirmed<Forget>, writer: &mut Writer<'_>) -> Result<Vec<JournalEntry>> {
    let plans: Vec<ForgetPlan> = confirmed.into_change().plans.into_values().collect();
    writer.forget(&plans)
}
