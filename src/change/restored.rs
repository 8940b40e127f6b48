//! Reports about restores, as they are serialised: of the vault's originals and of a kernel's own, planned and done.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::against::ComparedModule;
use crate::change::restore::{Restore, Restored};
use crate::change::restore_from::FilePlan;
use crate::digest::Sha256;
use crate::text::{path_hex, path_text};
use crate::vault::extract::ExtractedOriginal;
use crate::vault::record::WriteMethod;
use crate::vault::restore::RestoreStep;

/// A restore, planned or done, as it is serialised.
#[derive(Debug, Default, Serialize)]
pub struct RestoreReport<'r> {
    schema_version: u32,
    module: Cow<'r, str>,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    /// restored, original (it was already), planned, conflict (somebody else changed it), or extracted (into another file)
    result: &'static str,
    /// SHA-256 of the file before and after; none where it was the original already; `before` is none where the file was gone.
    before: Option<Sha256>,
    after: Option<Sha256>,
    /// The digest that confirms that changes are discarded; with a kernel's originals, that confirms the whole plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256>,
    /// How the file differs from a kernel's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<&'r ComparedModule>,
    /// The number of the journal's line; none if nothing was written.
    journal: Option<u64>,
    /// Mode, owner and attributes that were restored too, because somebody else had changed them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also_restored: &'r [String],
    /// The new file that the original was written into.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_hex: Option<String>,
}

impl<'r> RestoreReport<'r> {
    fn new(path: &'r Path, result: &'static str) -> RestoreReport<'r> {
        let (module, path_hex) = (path_text(path), path_hex(path));
        RestoreReport { schema_version: 1, module, path_hex, result, ..RestoreReport::default() }
    }

    /// A module that was restored, or that was the original already.
    pub fn of_done(path: &'r Path, done: &'r Restored) -> RestoreReport<'r> {
        let change = done.entry.as_ref().and_then(|entry| entry.change.as_ref());
        RestoreReport {
            journal: done.entry.as_ref().map(|entry| entry.seq),
            also_restored: &done.metadata,
            before: change.filter(|change| change.how != WriteMethod::Create).map(|change| change.before),
            after: change.map(|change| change.after),
            ..RestoreReport::new(path, if change.is_some() { "restored" } else { "original" })
        }
    }

    /// An original that was written into another file.
    pub(crate) fn of_extracted(extracted: &'r ExtractedOriginal, out: &'r Path) -> RestoreReport<'r> {
        RestoreReport {
            after: Some(extracted.original),
            output: Some(path_text(out)),
            output_hex: path_hex(out),
            ..RestoreReport::new(&extracted.path, "extracted")
        }
    }

    /// The plan of a restore from the vault.
    pub fn of_plan(restore: &'r Restore) -> RestoreReport<'r> {
        let plan = restore.details();
        let result = match plan.step {
            RestoreStep::PutBack | RestoreStep::Recreate => "planned",
            RestoreStep::Nothing => "original",
            RestoreStep::Conflict => "conflict",
        };
        RestoreReport {
            before: plan.current,
            after: Some(plan.original),
            digest: restore.discards_changes().then_some(plan.digest),
            ..RestoreReport::new(restore.path(), result)
        }
    }

    /// The plan of a file whose original comes from a kernel, and the digest of the whole plan.
    pub fn of_plan_from(file: &'r FilePlan, digest: Sha256) -> RestoreReport<'r> {
        RestoreReport {
            before: file.write.map(|[before, _]| before),
            after: file.write.map(|[_, after]| after),
            digest: file.write.map(|_| digest),
            compared: Some(&file.module),
            ..RestoreReport::new(&file.module.path, if file.write.is_some() { "planned" } else { "original" })
        }
    }
}
