//! Many modules: one review, one confirmation, one group commit.
//!
//! A batch takes no more memory for many modules than for a few hundred: paths come from an iterator, reviewed modules are
//! kept in a temporary file, and the summary has a bounded size.

use std::path::{Path, PathBuf};

use crate::change::apply;
use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::change::proposal::{Proposal, Review, Unproposed};
use crate::change::queue::QueuedPatch;
use crate::change::summary::{BatchSummary, PlanFacts};
use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, Result};
use crate::guard::machine::Machine;
use crate::guard::{Guard, Overrides, Reason};
use crate::kernel::Kernel;
use crate::parallel;
use crate::patch::Request;
use crate::spill::Spool;
use crate::vault::Writer;
use crate::vault::record::JournalEntry;
use crate::vault::recovered::{self, Recovered};
use crate::vault::target::Target;

/// How many modules are reviewed before their outcomes are reported: enough to keep all cores busy.
const STEP: usize = 256;

/// The settings of a batch: what [`Proposal::make`] and [`Proposal::review`] take, for every module.
#[derive(Clone, Copy)]
pub struct Batch<'b> {
    /// The request.
    pub request: &'b Request,
    /// The kernel that the modules are to fit, where one was named.
    pub kernel: Option<&'b Kernel>,
    /// The machine on which they are to be written.
    pub machine: &'b Machine,
    /// The overrides.
    pub overrides: Overrides,
    /// What recovery could not settle: these files are errors.
    pub unsettled: &'b [Recovered],
    /// The folder for the temporary file with the reviewed modules; `None` reviews them without keeping them, so that the plan
    /// can be shown and not confirmed.
    pub queue_in: Option<&'b Path>,
}

/// The outcome of one module's review.
#[derive(Debug)]
pub enum BatchItem<T> {
    /// It is in the plan. The caller's own value comes with it.
    Planned(T),
    /// It has the wanted contents already.
    AsRequested,
    /// Guards refuse it, each with its reason.
    Refused(Vec<(Guard, Reason)>),
    /// It can't be planned for.
    Failed(Error),
}

/// The plan of many modules.
pub struct BatchPlan<'b> {
    request: &'b Request,
    kernel: Option<&'b Kernel>,
    queue: Option<Spool<QueuedPatch>>,
    /// Over the digests of the single plans.
    sum: Sha256Hasher,
    summary: BatchSummary,
}

/// A reviewed module on its way from a worker thread to the plan.
enum Looked<T> {
    Planned(Box<(QueuedPatch, PlanFacts, T)>),
    AsRequested,
    Refused(Vec<(Guard, Reason)>),
    Failed(Error),
}

impl<'b> Batch<'b> {
    /// Reviews all modules, on all cores, and plans those to which no guard objects.
    ///
    /// `paths` are real paths, each once. `inspect` sees each planned review on a worker thread; `report` gets each module's
    /// outcome, in the order of the paths.
    ///
    /// # Errors
    ///
    /// Those of `report`; those of the temporary file.
    pub fn review<T: Send, E: From<Error>>(
        &self,
        mut paths: impl Iterator<Item = Result<PathBuf>>,
        inspect: impl Fn(&Review<'_>) -> T + Sync + Send,
        mut report: impl FnMut(&Path, BatchItem<T>, &BatchSummary) -> Result<(), E>,
    ) -> Result<BatchPlan<'b>, E> {
        let mut sum = Sha256Hasher::new();
        sum.update(b"kmodlab patch many 1\n");
        let mut plan = BatchPlan {
            request: self.request,
            kernel: self.kernel,
            queue: self.queue_in.map(|folder| Spool::new(Some(folder))),
            sum,
            summary: BatchSummary::default(),
        };
        loop {
            let some: Vec<Result<PathBuf>> = paths.by_ref().take(STEP).collect();
            if some.is_empty() {
                return Ok(plan);
            }
            let looked: Vec<(PathBuf, Looked<T>)> = parallel::map_files(
                some,
                |path| path.as_deref().unwrap_or(Path::new("")),
                |path| match path {
                    Ok(path) => {
                        let looked = self.look(&path, &inspect).unwrap_or_else(|e| Looked::Failed(e.on(&path)));
                        (path, looked)
                    }
                    Err(error) => (error.path().map(Path::to_owned).unwrap_or_default(), Looked::Failed(error)),
                },
            );
            for (path, looked) in looked {
                let item = plan.add(&path, looked)?;
                report(&path, item, &plan.summary)?;
            }
        }
    }

    fn look<T>(&self, path: &Path, inspect: &impl Fn(&Review<'_>) -> T) -> Result<Looked<T>> {
        recovered::must_be_settled(self.unsettled, path)?;
        let overrides = Some(self.overrides);
        let proposal = match Proposal::make_unless(path, None, self.request, self.kernel, self.machine, overrides)? {
            Ok(proposal) => proposal,
            Err(Unproposed::Obstacle(obstacle)) => {
                return Ok(Looked::Refused(vec![(Guard::FileKind, Reason::Obstacles(vec![obstacle]))]));
            }
            Err(Unproposed::Refused(refused)) => return Ok(Looked::Refused(refused)),
        };
        if proposal.writes_nothing() {
            return Ok(Looked::AsRequested);
        }
        match proposal.review(self.overrides) {
            Ok(reviewed) => {
                let review = reviewed.review();
                let facts = PlanFacts::of(review);
                Ok(Looked::Planned(Box::new((QueuedPatch::of(review), facts, inspect(review)))))
            }
            Err(refused) => Ok(Looked::Refused(vec![(refused.guard(), refused.reason().clone())])),
        }
    }
}

impl BatchPlan<'_> {
    /// Adds one module to the plan, or counts why it is not in it.
    fn add<T>(&mut self, path: &Path, looked: Looked<T>) -> Result<BatchItem<T>> {
        Ok(match looked {
            Looked::Planned(planned) => {
                let (queued, facts, own) = *planned;
                self.sum.update(queued.digest().as_bytes());
                self.summary.add_planned(path, facts);
                if let Some(queue) = &mut self.queue {
                    queue.push(&queued)?;
                }
                BatchItem::Planned(own)
            }
            Looked::AsRequested => {
                self.summary.as_requested += 1;
                BatchItem::AsRequested
            }
            Looked::Refused(refused) => {
                self.summary.add_refused(path, &refused);
                BatchItem::Refused(refused)
            }
            Looked::Failed(error) => {
                self.summary.failed += 1;
                BatchItem::Failed(error)
            }
        })
    }

    /// The plan in numbers.
    pub fn summary(&self) -> &BatchSummary {
        &self.summary
    }
}

impl Sealed for BatchPlan<'_> {}

impl Confirmable for BatchPlan<'_> {
    /// The number of modules to be patched.
    fn name_to_type(&self) -> String {
        self.summary.planned.to_string()
    }

    /// SHA-256 over the digests of the single plans, in order.
    fn digest(&self) -> Sha256 {
        self.sum.clone().finish()
    }
}

/// How a batch ended.
#[derive(Debug)]
pub struct BatchOutcome {
    /// How many modules were reported.
    pub reached: usize,
    /// What ended it early: the vault's own error. Files that were not reported are as before, except where this is
    /// [`crate::error::ErrorKind::NeedsRecovery`].
    pub end: Result<()>,
}

impl<'b> BatchPlan<'b> {
    /// Patches all modules of the plan, in groups. A module whose bytes lead to another plan now is an error of its own.
    ///
    /// `report` gets each module's outcome, in the plan's order, once its group is durable.
    ///
    /// # Errors
    ///
    /// Those of the temporary file, before anything is written.
    pub fn apply(
        confirmed: Confirmed<BatchPlan<'b>>,
        writer: &mut Writer<'_>,
        mut report: impl FnMut(&Path, Result<Option<JournalEntry>>),
    ) -> Result<BatchOutcome> {
        let BatchPlan { request, kernel, queue, summary, .. } = confirmed.into_change();
        let Some(mut queue) = queue else { return Ok(BatchOutcome { reached: 0, end: Ok(()) }) };
        let kernel = kernel.map(apply::kernel_record);
        let unsettled: Vec<Recovered> = writer.recovered().iter().filter(|it| !it.is_settled()).cloned().collect();
        let files = queue.iter()?.map(|queued| queued.map(|queued| (queued.path().to_owned(), queued)));
        let decide = |queued: &QueuedPatch, path: &Path| {
            let target = Target::open(path)?;
            recovered::must_be_settled(&unsettled, path)?;
            let write = queued.write(&target, request, kernel.as_ref())?;
            Ok(Some((target, write)))
        };
        let mut reached = 0;
        let end = writer.carry_out_all(summary.planned, files, decide, |path, _, done| {
            reached += 1;
            report(path, done);
        });
        Ok(BatchOutcome { reached, end })
    }
}
