//! What the vault is asked to write, from a plan.

use std::path::Path;
use std::sync::Arc;

use crate::digest::{Sha256, sha256};
use crate::edit::Edit;
use crate::error::{Error, ErrorKind};
use crate::kernel::{Kernel, Origin};
use crate::module::container::Container;
use crate::module::file;
use crate::module::versions::VersionsFormat;
use crate::patch::{Plan, Signature};
use crate::text;
use crate::vault::group::PlannedWrite;
use crate::vault::record::{JournalEntry, KernelFile, KernelRecord, Operation, PartFate, PatchRecord};

/// What became of a confirmed patch.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Applied {
    /// The file was written; the journal has this entry.
    Written(Box<JournalEntry>),
    /// The file had the wanted contents already. Nothing was written.
    Unchanged,
}

/// What the journal records in addition to the edits.
#[derive(Clone, Debug)]
pub(super) struct JournalNotes {
    /// The module's name.
    pub(super) module: String,
    /// The digest of the plan that was confirmed.
    pub(super) digest: Sha256,
    /// The guards that were overridden, by name.
    pub(super) overrides: Vec<String>,
    /// The kernel that the patch is for.
    pub(super) kernel: Option<Arc<KernelRecord>>,
}

/// What becomes of the signature, of the CRCs and of the BTF.
pub(super) type PartFates = [Option<PartFate>; 3];

/// What becomes of the parts that a kernel checks.
pub(super) fn fates(plan: &Plan) -> PartFates {
    let (module, renews) = (&plan.module, plan.signature == Signature::Renew);
    let signature = match (module.trailer.is_some(), plan.signature) {
        (true, Signature::Strip) => Some(PartFate::Stripped),
        (true, Signature::Renew) => Some(PartFate::Replaced),
        (true, Signature::Keep | Signature::Refuse) => Some(PartFate::Kept),
        (false, _) => renews.then_some(PartFate::Added),
    };
    let crcs = match &plan.versioned {
        Some(versioned) if versioned.hidden => Some(PartFate::Blanked),
        Some(_) => Some(PartFate::Rewritten),
        None => (module.versions.kind() != VersionsFormat::None).then_some(PartFate::Kept),
    };
    let btf = module.btf.map(|_| if plan.drop_btf { PartFate::Hidden } else { PartFate::Kept });
    [signature, crcs, btf]
}

/// The record of a kernel: its name, its release, and the files from which its version magic and its exports were read, as they
/// are now.
pub(super) fn kernel_record(kernel: &Kernel) -> Arc<KernelRecord> {
    let facts = &kernel.facts;
    let vermagic = kernel.vermagic.as_ref().map(|fact| &fact.source);
    let origins = vermagic.into_iter().chain(facts.exports.as_ref().map(|fact| &fact.source));
    kernel_record_of(&kernel.name.to_string(), kernel.release(), origins)
}

/// As [`kernel_record`], of a kernel of which less is known.
pub(super) fn kernel_record_of<'o>(
    name: &str,
    release: Option<&str>,
    origins: impl IntoIterator<Item = &'o Origin>,
) -> Arc<KernelRecord> {
    let mut sources: Vec<KernelFile> = Vec::new();
    for path in origins.into_iter().filter_map(Origin::file) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if sources.iter().all(|source| source.path != path)
            && let Some(sha256) = sha256_of_file(&path)
        {
            sources.push(KernelFile { path, sha256 });
        }
    }
    Arc::new(KernelRecord { name: text::cut(name), release: release.map(text::cut), sources })
}

/// The SHA-256 of a regular file that can be read.
fn sha256_of_file(path: &Path) -> Option<Sha256> {
    path.is_file().then(|| file::read(path).ok())?.map(|contents| sha256(contents.bytes()))
}

/// The write of a plan.
pub(super) fn write_of(plan: Plan, notes: JournalNotes) -> PlannedWrite {
    let vermagic = vermagic(&plan);
    let (container, fates) = (plan.container, fates(&plan));
    let write = write_in_place(plan.after, plan.edits, vermagic, fates, notes);
    PlannedWrite { container, after: Some(plan.bytes_after), ..write }
}

/// The write of edits of an uncompressed file, in place: its SHA-256 afterwards, the edits, and what the journal records.
pub(super) fn write_in_place(
    after_sha256: Sha256,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
    [signature, crcs, btf]: PartFates,
    notes: JournalNotes,
) -> PlannedWrite {
    PlannedWrite {
        operation: Operation::Patch,
        after: None,
        after_sha256,
        edits,
        metadata_after: None,
        module: notes.module,
        vermagic,
        plan: Some(notes.digest),
        overrides: notes.overrides,
        patch: Some(PatchRecord { kernel: notes.kernel, signature, crcs, btf }),
        note: None,
        container: Container::None,
        creates: None,
    }
}

/// The version magic before and after a plan, as the journal records it.
pub(super) fn vermagic(plan: &Plan) -> (Option<String>, Option<String>) {
    let after = plan.vermagic_after.as_ref().map(|vermagic| vermagic.to_string()).unwrap_or_default();
    (Some(plan.vermagic_before.to_string()), Some(after))
}

/// The error of a new file whose path is taken.
pub(super) fn exists_already(out: &Path) -> Error {
    Error::new(ErrorKind::Usage, "exists already; output never overwrites a file").on(out)
}

/// The error of a file that leads to another plan than the confirmed one.
pub(super) fn changed() -> Error {
    Error::new(ErrorKind::Changed, "changed since the plan was confirmed; nothing was written")
}
