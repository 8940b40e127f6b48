//! A module that is to be patched, as it is put by between the look at it and the write.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::patch::proposal::Proposal;
use crate::digest::Sha256;
use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::patch::apply::{self, Record};
use crate::patch::{Plan, Request};
use crate::spill::path_bytes;
use crate::vault::group::Wanted;
use crate::vault::target::{Stamp, Target};

/// The most bytes that the edits of a plan that is kept may have; a larger plan is made again.
const SMALL: usize = 4096;

/// A module that is to be patched: as much of its plan as names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    #[serde(with = "path_bytes")]
    path: PathBuf,
    digest: Sha256,
    overrides: Vec<String>,
    /// What its plan comes to, where that is small.
    kept: Option<Kept>,
}

/// A plan in place: its edits hold as long as the file is the one that they were made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    name: String,
    /// What the file looked like when its plan was made, if it was at rest then.
    stamp: Option<Stamp>,
    before: Sha256,
    after: Sha256,
    edits: Vec<Edit>,
    vermagic: (Option<String>, Option<String>),
}

impl Item {
    /// The module that is proposed to be patched, with the guards that a person overrides for it.
    pub(super) fn of(proposal: &Proposal<'_>, overrides: Vec<String>) -> Item {
        Item { path: proposal.path.clone(), digest: proposal.digest, overrides, kept: Kept::of(proposal) }
    }

    /// The real path of the module.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its plan.
    pub(super) fn digest(&self) -> Sha256 {
        self.digest
    }

    /// The guards that a person overrides for it.
    pub(super) fn overrides(&self) -> &[String] {
        &self.overrides
    }

    /// What the target is to become, by the plan that was confirmed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the bytes that are there now lead to another plan; those of [`Plan::make_of_known`].
    pub(super) fn wanted(&self, target: &Target, request: &Request) -> Result<Wanted> {
        if let Some(kept) = &self.kept
            && kept.holds_for(target)
        {
            return Ok(kept.wanted(self.record(kept.name.clone())));
        }
        // The plan that is applied is made of the bytes that are there now, and must be the one that was confirmed.
        let plan = Plan::make_of_known(&target.bytes, target.sha256(), request)?;
        if plan.digest(&target.path) != self.digest {
            let what = "changed since the plan was confirmed; nothing was written";
            return Err(Error::new(ErrorKind::Changed, what));
        }
        let module = plan.module.name_or_stem(&target.path);
        Ok(apply::wanted(plan, self.record(module)))
    }

    fn record(&self, module: String) -> Record {
        Record { module, digest: self.digest, overrides: self.overrides.clone() }
    }
}

impl Kept {
    fn of(proposal: &Proposal<'_>) -> Option<Kept> {
        let plan = &proposal.plan;
        let size: usize = plan.edits.iter().map(|edit| edit.old.len()).sum();
        (plan.is_in_place() && size <= SMALL).then(|| Kept {
            name: proposal.name.clone(),
            stamp: proposal.stamp,
            before: plan.before,
            after: plan.after,
            edits: plan.edits.clone(),
            vermagic: apply::vermagic(plan),
        })
    }

    /// Is the target the file that the plan was made for?
    fn holds_for(&self, target: &Target) -> bool {
        if let Some(stamp) = self.stamp {
            target.trust(stamp, self.before);
        }
        target.sha256() == self.before
    }

    fn wanted(&self, record: Record) -> Wanted {
        apply::in_place(self.after, self.edits.clone(), self.vermagic.clone(), record)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::edit;
    use crate::patch::{Signature, Wish};
    use crate::spill::Spool;

    const MODULE: &[u8] = include_bytes!("../../../fixtures/modules/hello-4.ko");

    fn item(path: &Path) -> (Item, Request) {
        let request = Request::new(Wish::Rewrite(b"6.1.0-99-amd64 SMP mod_unload ".to_vec()), Signature::Refuse);
        let proposal = Proposal::make(path, None, &request, None).unwrap();
        (Item::of(&proposal, vec!["running-kernel".to_owned()]), request)
    }

    #[test]
    fn an_item_that_was_put_by_is_the_same_and_leads_to_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(OsStr::from_bytes(b"a\xff\nb.ko"));
        std::fs::write(&path, MODULE).unwrap();
        let (item, request) = item(&path);
        assert!(item.kept.is_some());
        let mut spool = Spool::new(None);
        spool.push(&item).unwrap();
        let again = spool.iter().unwrap().next().unwrap().unwrap();
        assert_eq!(again, item);
        let target = Target::open(&path).unwrap();
        let planned = Item { kept: None, ..item.clone() };
        let [kept, planned] = [&again, &planned].map(|item| item.wanted(&target, &request).unwrap());
        assert_eq!(kept.after, None);
        let made = edit::apply(MODULE, &kept.edits).unwrap();
        assert_ne!(made, MODULE);
        assert_eq!((Some(made), kept.after_sha256), (planned.after, planned.after_sha256));
        assert_eq!((kept.edits, kept.module, kept.vermagic), (planned.edits, planned.module, planned.vermagic));
        assert_eq!((kept.plan, kept.overrides), (planned.plan, planned.overrides));
    }

    #[test]
    fn an_item_of_other_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hello.ko");
        std::fs::write(&path, MODULE).unwrap();
        let (item, request) = item(&path);
        let mut other = MODULE.to_vec();
        let at = other.windows(12).position(|bytes| bytes == b"description=").unwrap() + 12;
        other[at] ^= 1;
        std::fs::write(&path, other).unwrap();
        let target = Target::open(&path).unwrap();
        assert_eq!(item.wanted(&target, &request).err().unwrap().kind(), ErrorKind::Changed);
    }
}
