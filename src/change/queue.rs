//! Modules of a batch, as they are kept between the review and the write.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::change::apply::{self, JournalNotes, PartFates};
use crate::change::proposal::Review;
use crate::digest::Sha256;
use crate::edit::Edit;
use crate::error::Result;
use crate::patch::{Plan, Request};
use crate::spill::path_bytes;
use crate::vault::group::PlannedWrite;
use crate::vault::record::KernelRecord;
use crate::vault::target::{FileStamp, Target};

/// The most bytes that the edits of a plan that is kept may have; a larger plan is made again.
const SMALL: usize = 4096;

/// A reviewed module that waits for confirmation and write: its path, its plan's digest, and a small plan itself.
///
/// It is serialisable because a batch of many is kept in a temporary file; it is private to this layer, so that nobody else
/// can create one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueuedPatch {
    #[serde(with = "path_bytes")]
    path: PathBuf,
    digest: Sha256,
    overrides: Vec<String>,
    /// The plan, where it is small.
    plan: Option<PlannedPatch>,
}

/// A plan in place: its edits hold as long as the file is the one that they were made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PlannedPatch {
    name: String,
    /// The file's identity, size and times when its plan was made, if its last change was long enough ago.
    stamp: Option<FileStamp>,
    before: Sha256,
    after: Sha256,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
    fates: PartFates,
}

impl QueuedPatch {
    /// The module of a review, with the guards that were overridden for it.
    pub(super) fn of(review: &Review<'_>) -> QueuedPatch {
        let proposal = review.proposal();
        QueuedPatch {
            path: proposal.path().to_owned(),
            digest: proposal.digest(),
            overrides: review.overridden_names(),
            plan: PlannedPatch::of(review),
        }
    }

    /// The real path of the module.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its plan.
    pub(super) fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The write of the plan that was confirmed.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Changed`] if the file leads to another plan now; those of [`Plan::make_of_known`].
    pub(super) fn write(
        &self,
        target: &Target,
        request: &Request,
        kernel: Option<&Arc<KernelRecord>>,
    ) -> Result<PlannedWrite> {
        if let Some(plan) = &self.plan
            && plan.holds_for(target)
        {
            return Ok(plan.write(self.notes(plan.name.clone(), kernel)));
        }
        // The plan that is applied is made of the bytes that are there now, and must be the one that was confirmed.
        let plan = Plan::make_of_known(&target.bytes, target.sha256(), request)?;
        if plan.digest(&target.path) != self.digest {
            return Err(apply::changed());
        }
        let module = plan.module.name_or_stem(&target.path);
        Ok(apply::write_of(plan, self.notes(module, kernel)))
    }

    fn notes(&self, module: String, kernel: Option<&Arc<KernelRecord>>) -> JournalNotes {
        JournalNotes { module, digest: self.digest, overrides: self.overrides.clone(), kernel: kernel.cloned() }
    }
}

impl PlannedPatch {
    fn of(review: &Review<'_>) -> Option<PlannedPatch> {
        let (proposal, plan) = (review.proposal(), review.proposal().plan());
        let size: usize = plan.edits.iter().map(|edit| edit.old.len()).sum();
        (plan.is_in_place() && size <= SMALL).then(|| PlannedPatch {
            name: proposal.name().to_owned(),
            stamp: proposal.stamp(),
            before: plan.before,
            after: plan.after,
            edits: plan.edits.clone(),
            vermagic: apply::vermagic(plan),
            fates: apply::fates(plan),
        })
    }

    /// Is the target the file that the plan was made for?
    fn holds_for(&self, target: &Target) -> bool {
        if let Some(stamp) = self.stamp {
            target.trust(stamp, self.before);
        }
        target.sha256() == self.before
    }

    fn write(&self, notes: JournalNotes) -> PlannedWrite {
        apply::write_in_place(self.after, self.edits.clone(), self.vermagic.clone(), self.fates, notes)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::change::Proposal;
    use crate::edit;
    use crate::error::ErrorKind;
    use crate::guard::machine::made_up;
    use crate::guard::{Override, Overrides};
    use crate::patch::{NewVermagic, Signature};
    use crate::spill::Spool;

    const MODULE: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

    fn queued(path: &Path) -> (QueuedPatch, Request) {
        let request = Request::new(NewVermagic::Rewrite(b"6.1.0-99-amd64 SMP mod_unload ".to_vec()), Signature::Refuse);
        let machine = made_up("/not/there", "6.1.0-47-amd64", false);
        let proposal = Proposal::make(path, None, &request, None, &machine).unwrap();
        let reviewed = proposal.review(Overrides::none().with(Override::AbiTokens)).unwrap();
        let queued = QueuedPatch::of(reviewed.review());
        assert_eq!(queued.overrides, ["abi-tokens"]);
        (queued, request)
    }

    #[test]
    fn a_module_read_back_from_the_queue_leads_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"a\xff\nb.ko"));
        std::fs::write(&path, MODULE).unwrap();
        let (item, request) = queued(&path);
        assert!(item.plan.is_some());
        let mut spool = Spool::new(None);
        spool.push(&item).unwrap();
        let again = spool.iter().unwrap().next().unwrap().unwrap();
        assert_eq!(again, item);
        let target = Target::open(&path).unwrap();
        let planned = QueuedPatch { plan: None, ..item.clone() };
        let [kept, planned] = [&again, &planned].map(|item| item.write(&target, &request, None).unwrap());
        assert_eq!(kept.after, None);
        let made = edit::apply(MODULE, &kept.edits).unwrap();
        assert_ne!(made, MODULE);
        assert_eq!((Some(made), kept.after_sha256), (planned.after, planned.after_sha256));
        assert_eq!((kept.edits, kept.module, kept.vermagic), (planned.edits, planned.module, planned.vermagic));
        assert_eq!(kept.patch, planned.patch);
        assert_eq!((kept.plan, kept.overrides), (planned.plan, planned.overrides));
    }

    #[test]
    fn a_queued_module_whose_bytes_changed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.ko");
        std::fs::write(&path, MODULE).unwrap();
        let (item, request) = queued(&path);
        let mut other = MODULE.to_vec();
        let at = other.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
        other[at] ^= 1;
        std::fs::write(&path, other).unwrap();
        let target = Target::open(&path).unwrap();
        assert_eq!(item.write(&target, &request, None).err().unwrap().kind(), ErrorKind::Changed);
    }
}
