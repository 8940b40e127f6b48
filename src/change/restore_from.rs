//! Restores without a journal: originals come from a kernel's own modules, from a package, a module tree or another copy.
//!
//! The journal does not prove that the original belongs to the file. So the file is compared with it, only the same module is
//! replaced ([`RelationToOriginal::is_same_module`]), and a person confirms exactly these files and contents. What is
//! overwritten is backed up, and counts as somebody else's changes that were discarded, unless the journal knows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::against::{
    ComparedModule, OriginalComparison, OriginalStream, Originals, Pair, PairInMemory, PairedFiles, RelationToOriginal,
    each_pair,
};
use crate::budget::WorkBudget;
use crate::change::apply;
use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::{Sha256, Sha256Hasher, sha256};
use crate::edit::Differences;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{KernelName, Lookup};
use crate::module::container::Container;
use crate::module::{Module, name_of_file};
use crate::spill::Spool;
use crate::vault::group::PlannedWrite;
use crate::vault::history::DISCARD;
use crate::vault::metadata::{FileTime, Metadata};
use crate::vault::record::{JournalEntry, Operation};
use crate::vault::recovered::{self, Recovered};
use crate::vault::restore::{self, MAX_SPANS, RestoreStep};
use crate::vault::target::Target;
use crate::vault::{Writer, obstacle};

/// Where originals come from.
#[derive(Clone, Copy)]
pub struct OriginalSource<'s> {
    /// The kernel.
    pub kernel: &'s KernelName,
    /// How it is read.
    pub lookup: &'s Lookup,
    /// The folder for a temporary file with the originals; `None` plans without keeping them, so that the plan can be shown
    /// and not confirmed.
    pub keep_in: Option<&'s Path>,
}

/// The plan of restores whose originals come from a kernel.
pub struct RestoreFrom {
    /// The files, in the order in which they were named.
    files: Vec<FilePlan>,
    /// The originals that may be written.
    originals: Option<Spool<KeptOriginal>>,
    /// The kernel's name, for the journal.
    source: String,
    planned: usize,
    digest: Sha256,
}

/// The plan of one file.
#[derive(Debug)]
pub struct FilePlan {
    /// The file and its original.
    pub module: ComparedModule,
    /// SHA-256 of the file now and of the original, if the original is to be put back.
    pub write: Option<[Sha256; 2]>,
    /// Why it is not, unless the file is the original already.
    pub refused: Option<Error>,
    /// The number of the original.
    original: usize,
}

/// An original that waits for the confirmation.
#[derive(Serialize, Deserialize)]
struct KeptOriginal {
    /// The number of the file.
    file: usize,
    /// The number of the original.
    original: usize,
    before: Sha256,
    after: Sha256,
    bytes: Vec<u8>,
    /// The modification time that the package records.
    modified: Option<i64>,
    vermagic: (Option<String>, Option<String>),
}

impl KeptOriginal {
    fn of(pair: &PairInMemory<'_>, budget: &WorkBudget) -> KeptOriginal {
        let vermagic = |bytes: &[u8]| {
            let inside = Container::of(bytes).decompress_within(bytes, budget).ok()?;
            Some(Module::read(&inside).ok()?.vermagic().map(|vermagic| vermagic.to_string()).unwrap_or_default())
        };
        KeptOriginal {
            file: pair.file,
            original: 0,
            before: sha256(pair.found_bytes),
            after: sha256(pair.original_bytes),
            bytes: pair.original_bytes.to_vec(),
            modified: pair.modified,
            vermagic: (vermagic(pair.found_bytes), vermagic(pair.original_bytes)),
        }
    }
}

/// What is kept of a file while better originals may come.
struct Candidate {
    pair: Pair<Option<KeptOriginal>>,
    number: usize,
    path: String,
    package: Option<PathBuf>,
    /// SHA-256 before and after, if it can be restored.
    write: Option<[Sha256; 2]>,
}

impl RestoreFrom {
    /// Compares files with the modules of a kernel. `paths` are real paths, each once. `step` is called for each comparison.
    /// Nothing is written.
    ///
    /// # Errors
    ///
    /// Those of reading the kernel, and of the temporary file; [`ErrorKind::TooMuchWork`] if all decompression together takes more
    /// work than the files justify. What stops one file is in its plan.
    pub fn plan(source: &OriginalSource<'_>, paths: Vec<PathBuf>, step: impl Fn()) -> Result<RestoreFrom> {
        let budget = Arc::new(WorkBudget::new(source.lookup.max_size));
        let files = PairedFiles::single(paths);
        let originals = match files.files.len() {
            // One file is compared on this thread.
            0 | 1 => Originals::Inline(source.kernel.clone(), source.lookup.clone()),
            _ => Originals::Streamed(OriginalStream::open(source.kernel, source.lookup, &budget)?),
        };
        let mut kept: Option<Spool<KeptOriginal>> = source.keep_in.map(|folder| Spool::new(Some(folder)));
        let mut chosen: Vec<Option<Candidate>> = files.files.iter().map(|_| None).collect();
        let look = |pair: PairInMemory<'_>| {
            let may_be_written =
                matches!(pair.comparison.relation, RelationToOriginal::Recompressed | RelationToOriginal::Patched);
            may_be_written.then(|| KeptOriginal::of(&pair, &budget))
        };
        let mut number = 0;
        let paired = each_pair(originals, &files, &budget, look, |name, pairs| {
            for mut pair in pairs {
                step();
                let original = pair.own.take().flatten().map(|kept| KeptOriginal { original: number, ..kept });
                let write = original.as_ref().map(|original| [original.before, original.after]);
                let Some(place) = chosen.get_mut(pair.file) else { continue };
                let candidate =
                    Candidate { pair, number, path: name.path.clone(), package: name.package.clone(), write };
                if place.as_ref().is_some_and(|known| known.rank() >= candidate.rank()) {
                    continue;
                }
                *place = Some(candidate);
                if let (Some(kept), Some(original)) = (&mut kept, original) {
                    kept.push(&original)?;
                }
            }
            number += 1;
            Ok(())
        });
        paired.map_err(|e| e.on(source.kernel.to_string()))?;
        let paths = files.files.into_iter().map(|file| file.path);
        let files: Vec<FilePlan> = paths.zip(chosen).map(|(path, candidate)| FilePlan::of(path, candidate)).collect();
        let mut digest = Sha256Hasher::new();
        digest.update(b"kmodlab restore from 1\n");
        for (file, [before, after]) in files.iter().filter_map(|file| Some((file, file.write?))) {
            let path = hex::encode(file.module.path.as_os_str().as_encoded_bytes());
            digest.update(format!("{path} {before} {after}\n").as_bytes());
        }
        Ok(RestoreFrom {
            planned: files.iter().filter(|file| file.write.is_some()).count(),
            files,
            originals: kept,
            source: source.kernel.to_string(),
            digest: digest.finish(),
        })
    }

    /// The files, in the order in which they were named.
    pub fn files(&self) -> &[FilePlan] {
        &self.files
    }

    /// How many originals are to be put back.
    pub fn planned(&self) -> usize {
        self.planned
    }
}

impl Candidate {
    /// Of two originals with the name of a file, that at the same place is used; else the more similar one.
    fn rank(&self) -> impl Ord + use<> {
        let relation = self.pair.comparison.as_ref().map_or(RelationToOriginal::Extra, |c| c.relation);
        (self.pair.place, std::cmp::Reverse(relation))
    }
}

impl FilePlan {
    fn of(path: PathBuf, candidate: Option<Candidate>) -> FilePlan {
        let Some(Candidate { pair, number, path: original, package, write }) = candidate else {
            let what = "the kernel has no module of this name";
            let error = match path.symlink_metadata() {
                Ok(_) => Error::new(ErrorKind::NotFound, what).on(&path),
                Err(error) => Error::io("looking at the file", error).on(&path),
            };
            let comparison = OriginalComparison::without_original(RelationToOriginal::Extra);
            let module = ComparedModule { path, original: None, package: None, comparison };
            return FilePlan { module, write: None, refused: Some(error), original: 0 };
        };
        let (comparison, mut refused) = match pair.comparison {
            Ok(comparison) => (comparison, obstacle::must_be_writable(&path).err()),
            Err(error) => (OriginalComparison::without_original(RelationToOriginal::Missing), Some(error)),
        };
        if refused.is_none() && !comparison.relation.is_same_module() {
            let what = format!("not the same module: {}; nothing was written", comparison.relation.name());
            refused = Some(Error::new(ErrorKind::DoesNotFit, what).on(&path));
        }
        let write = write.filter(|_| refused.is_none());
        let module = ComparedModule { path, original: Some(original), package, comparison };
        FilePlan { module, write, refused, original: number }
    }
}

impl Sealed for RestoreFrom {}

impl Confirmable for RestoreFrom {
    /// The module's name; of several modules, their number.
    fn name_to_type(&self) -> String {
        let mut planned = self.files.iter().filter(|file| file.write.is_some());
        match (planned.next(), planned.next()) {
            (Some(only), None) => name_of_file(&only.module.path),
            _ => self.planned.to_string(),
        }
    }

    /// SHA-256 over the path, the contents now and the original of each file.
    fn digest(&self) -> Sha256 {
        self.digest
    }
}

impl RestoreFrom {
    /// Puts the originals back, in groups. A file that changed since it was compared is an error of its own.
    ///
    /// `report` gets each file's outcome once its group is durable.
    ///
    /// # Errors
    ///
    /// The vault's own, which ends it: a file that was not reported is as before, except where the error is
    /// [`ErrorKind::NeedsRecovery`].
    pub fn apply(
        confirmed: Confirmed<RestoreFrom>,
        writer: &mut Writer<'_>,
        mut report: impl FnMut(&Path, Result<Option<JournalEntry>>),
    ) -> Result<()> {
        let RestoreFrom { files, originals, source, planned, digest } = confirmed.into_change();
        let Some(mut originals) = originals else { return Ok(()) };
        let unsettled: Vec<Recovered> = writer.recovered().iter().filter(|it| !it.is_settled()).cloned().collect();
        let (index, pending) = (writer.vault().index()?, writer.vault().pending()?);
        // Of a file with several originals, only one is to be written.
        let wanted = originals.iter()?.filter_map(|kept| match kept {
            Ok(kept) => {
                let file = files.get(kept.file)?;
                let is_wanted = file.write.is_some() && file.original == kept.original;
                is_wanted.then(|| Ok((file.module.path.clone(), kept)))
            }
            Err(error) => Some(Err(error)),
        });
        let decide = |kept: &KeptOriginal, path: &Path| {
            recovered::must_be_settled(&unsettled, path)?;
            let target = Target::open(path)?;
            if target.sha256() != kept.before {
                return Err(apply::changed().on(path));
            }
            let known = restore::plan_by(&index, &pending, path, Some(kept.before));
            let is_known = known.is_ok_and(|plan| plan.step == RestoreStep::PutBack && plan.original == kept.after);
            let write = kept.write(&target, &source, digest, is_known);
            Ok(Some((target, write)))
        };
        writer.carry_out_all(planned, wanted, decide, |path, _, done| report(path, done))
    }
}

impl KeptOriginal {
    /// The write of this original. Mode, owner and attributes stay; the modification time is the package's, where one is
    /// recorded, else the file's own.
    fn write(&self, target: &Target, source: &str, digest: Sha256, is_known: bool) -> PlannedWrite {
        let mut differences = Differences::of(&target.bytes, MAX_SPANS);
        differences.push(&self.bytes);
        let (after, edits) = match differences.edits() {
            Some(edits) => (None, edits),
            None => (Some(self.bytes.clone()), Vec::new()),
        };
        let own = target.metadata.clone();
        let modified = self.modified.map_or(own.modified, |seconds| FileTime { seconds, nanoseconds: 0 });
        PlannedWrite {
            operation: Operation::Restore,
            after,
            after_sha256: self.after,
            edits,
            metadata_after: Some(Metadata { modified, ..own }),
            module: name_of_file(&target.path),
            vermagic: self.vermagic.clone(),
            plan: Some(digest),
            overrides: if is_known { Vec::new() } else { vec![DISCARD.to_owned()] },
            note: Some(format!("the original is from {source}")),
            container: Container::None,
            patch: None,
            creates: None,
        }
    }
}
