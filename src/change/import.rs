//! Importing an export: backups and lines of the journal of another vault.

use std::path::Path;

use serde::Serialize;

use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, sha256};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::import::{ImportPlan, JournalMerge};
use crate::vault::record::JournalEntry;
use crate::vault::signature::ExportSigner;
use crate::vault::{Vault, Writer};

/// An export that is proposed to be imported. Its journal does not contradict the one here.
#[derive(Debug)]
pub struct Import {
    plan: ImportPlan,
    signed_by: Option<ExportSigner>,
}

/// An [`Import`], as it is serialised.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    schema_version: u32,
    /// Whether it was imported.
    pub done: bool,
    /// The digest that confirms it; `None` if nothing is left to import.
    pub digest: Option<Sha256>,
    /// The SHA-256 of the file.
    pub sha256: Sha256,
    /// The number of lines of its journal.
    pub lines: u64,
    /// The hash of the last line of its journal.
    pub head: Option<Sha256>,
    /// How many of the lines are appended.
    pub new_lines: u64,
    /// The backups that are written, damaged ones that are replaced included.
    pub backups: Vec<Sha256>,
    /// The damaged backups that are replaced.
    pub repaired: Vec<Sha256>,
    /// The number of its backups that are here already.
    pub backups_here: usize,
    /// Who signed the file, if that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<ExportSigner>,
}

impl Import {
    /// Verifies an export, and proposes to import it; with `backups_only`, without the lines of its journal. `step` is called with each
    /// member of the file.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::plan_import`] and, unless only backups are wanted, of [`ImportPlan::must_merge`].
    pub fn plan(vault: &Vault, file: &Path, max_size: u64, backups_only: bool, step: impl Fn()) -> Result<Import> {
        let plan = vault.plan_import(file, max_size, step)?;
        if backups_only {
            return Ok(Import { plan: plan.backups_only(), signed_by: None });
        }
        plan.must_merge()?;
        Ok(Import { plan, signed_by: None })
    }

    /// Notes who signed the file, which must be the one that was signed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`].
    pub fn must_be_signed(&mut self, signer: ExportSigner) -> Result<()> {
        if signer.file != self.plan.sha {
            let what = "changed after its signature was verified";
            return Err(Error::new(ErrorKind::Changed, what).on(self.plan.file()));
        }
        self.signed_by = Some(signer);
        Ok(())
    }

    /// Whether nothing is left to import.
    pub fn is_done(&self) -> bool {
        self.plan.is_done()
    }

    /// The report, before or after it is imported.
    pub fn report(&self, done: bool) -> ImportReport {
        let plan = &self.plan;
        let shas = |is_wanted: fn(bool) -> bool| {
            plan.backups.iter().filter(|backup| is_wanted(backup.is_repair)).map(|backup| backup.sha).collect()
        };
        ImportReport {
            schema_version: 1,
            done,
            digest: (!self.is_done()).then(|| self.digest()),
            sha256: plan.sha,
            lines: plan.lines,
            head: plan.head,
            new_lines: self.new_lines(),
            backups: shas(|_| true),
            repaired: shas(|is_repair| is_repair),
            backups_here: plan.here,
            signed_by: self.signed_by.clone(),
        }
    }

    fn new_lines(&self) -> u64 {
        if let JournalMerge::Append(lines) = self.plan.merge { lines } else { 0 }
    }
}

impl Sealed for Import {}

impl Confirmable for Import {
    /// The name of the file.
    fn name_to_type(&self) -> String {
        self.plan.file().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn digest(&self) -> Sha256 {
        let mut text = format!("import\n{}\n{}\n", self.plan.sha, self.new_lines());
        self.plan.backups.iter().for_each(|backup| text.push_str(&format!("{}\n", backup.sha)));
        sha256(text.as_bytes())
    }
}

/// Imports an export: backups first, then the lines of the journal. `step` is called after each backup.
///
/// # Errors
///
/// Those of [`Writer::import`].
pub fn import(confirmed: Confirmed<Import>, writer: &mut Writer<'_>, step: impl Fn()) -> Result<JournalEntry> {
    writer.import(&confirmed.into_change().plan, step)
}
