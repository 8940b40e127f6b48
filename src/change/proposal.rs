//! One module: proposed, reviewed, confirmed, patched.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::change::apply::{self, Applied, JournalNotes};
use crate::change::confirmation;
use crate::change::confirmation::sealed::Sealed;
use crate::change::confirmation::{Confirmable, Confirmed};
use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::machine::Machine;
use crate::guard::{self, Guard, GuardAnswer, Overrides, PlannedWrite, Reason, Ruling};
use crate::kernel::{Kernel, Machine as Architecture};
use crate::module::container::Container;
use crate::module::summary::MARK;
use crate::patch::{Plan, PlanDraft, Request};
use crate::predict::{self, Candidate, LoadOptions, Verdict};
use crate::vault::index;
use crate::vault::obstacle::{self, Obstacle};
use crate::vault::target::{self, FileStamp, Target};
use crate::vault::{Vault, Writer};

/// A patch of one module that is proposed: the module's file, the request, the kernel that it is to fit, and the machine on
/// which it is to be written. [`Proposal::review`] asks the guards.
#[derive(Debug)]
pub struct Proposal<'p> {
    path: PathBuf,
    out: Option<PathBuf>,
    name: String,
    plan: Plan,
    digest: Sha256,
    stamp: Option<FileStamp>,
    obstacles: Vec<Obstacle>,
    request: &'p Request,
    kernel: Option<&'p Kernel>,
    machine: &'p Machine,
    verdicts: Option<[Verdict; 2]>,
    /// The guards' answers, if they were asked before the plan was finished.
    answers: Option<Vec<GuardAnswer>>,
}

/// Why a module is not proposed.
#[derive(Debug)]
pub(super) enum Unproposed {
    /// It can't be read as a module.
    Obstacle(Obstacle),
    /// Guards refuse it: each with its reason.
    Refused(Vec<(Guard, Reason)>),
}

impl<'p> Proposal<'p> {
    /// Plans a patch of the file at `path`, as it is now. With `out` the module is not changed, and a new file is to be
    /// created there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Guard`] for anything but a regular file; [`ErrorKind::DoesNotFit`] if the kernel is for another machine;
    /// [`ErrorKind::Usage`] if `out` exists; those of [`Plan::make`]; [`ErrorKind::NotFound`] and [`ErrorKind::Io`].
    pub fn make(
        path: &Path,
        out: Option<&Path>,
        request: &'p Request,
        kernel: Option<&'p Kernel>,
        machine: &'p Machine,
    ) -> Result<Proposal<'p>> {
        let path = target::real_path(path)?;
        let out = out.map(target::real_path).transpose()?;
        if let Some(out) = out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
            return Err(apply::exists_already(out));
        }
        Proposal::make_unless(&path, out.as_deref(), request, kernel, machine, None)?.map_err(|why| match why {
            Unproposed::Obstacle(obstacle) => guard::refusal(Guard::FileKind, obstacle).on(&path),
            Unproposed::Refused(_) => Error::new(ErrorKind::Guard, "refused").on(&path),
        })
    }

    /// As [`Proposal::make`], with real paths. With overrides the guards are asked first, so that a refused module is neither
    /// compressed nor hashed, and no kernel's answer is predicted for it.
    pub(super) fn make_unless(
        path: &Path,
        out: Option<&Path>,
        request: &'p Request,
        kernel: Option<&'p Kernel>,
        machine: &'p Machine,
        overrides: Option<Overrides>,
    ) -> Result<std::result::Result<Proposal<'p>, Unproposed>> {
        // The guard file-kind describes better than an opening error why something is no regular file.
        let obstacles = if out.is_none() { obstacle::of_file(path)? } else { Vec::new() };
        if let Some(obstacle) = obstacles.into_iter().find(Obstacle::is_no_regular_file) {
            return Ok(Err(Unproposed::Obstacle(obstacle)));
        }
        let target = Target::open_for_reading(path)?;
        let draft = PlanDraft::make(&target.bytes, request).map_err(|e| e.on(path))?;
        let architecture = Architecture::of(&draft.plan().module);
        if let Some((other, _)) = kernel.and_then(|kernel| kernel.facts.other_machine(architecture)) {
            let what = format!("built for {architecture}, that kernel is for {other}");
            return Err(Error::new(ErrorKind::DoesNotFit, what).hint("no patch makes it fit").on(path));
        }
        let written = out.unwrap_or(path);
        let obstacles = guard::obstacles(written, out.is_some(), draft.plan())?;
        let name = draft.plan().module.name_or_stem(path);
        let write = PlannedWrite {
            path: written,
            is_new: out.is_some(),
            module: &draft.plan().module,
            name: &name,
            plan: draft.plan(),
            kernel,
            obstacles: &obstacles,
            is_confirmed: false,
        };
        let overrides = overrides.filter(|_| !draft.plan().edits.is_empty());
        let answers = overrides.map(|overrides| guard::ask(&write, machine, overrides));
        let refused: Vec<&GuardAnswer> = answers.iter().flat_map(|answers| objections(answers)).collect();
        if !refused.is_empty() {
            let refused = refused.into_iter().map(|answer| (answer.guard, answer.reason.clone())).collect();
            return Ok(Err(Unproposed::Refused(refused)));
        }
        let plan = draft.finish().map_err(|e| e.on(path))?;
        let verdicts = match kernel {
            None => None,
            Some(kernel) => Some(verdicts(&target, &plan, kernel, request).map_err(|e| e.on(path))?),
        };
        Ok(Ok(Proposal {
            path: path.to_owned(),
            out: out.map(Path::to_owned),
            name,
            digest: plan.digest(written),
            plan,
            stamp: target.stamp(),
            obstacles,
            request,
            kernel,
            machine,
            verdicts,
            answers,
        }))
    }

    /// The real path of the module.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The real path of the new file, where one is to be created.
    pub fn out(&self) -> Option<&Path> {
        self.out.as_deref()
    }

    /// The file that is to be written.
    pub fn written(&self) -> &Path {
        self.out.as_deref().unwrap_or(&self.path)
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The digest of exactly this plan ([`Plan::digest`]).
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// What the kernel answers to the module before and after the patch, where a kernel was named.
    pub fn verdicts(&self) -> Option<&[Verdict; 2]> {
        self.verdicts.as_ref()
    }

    /// Is there anything to write?
    pub fn writes_nothing(&self) -> bool {
        self.plan.edits.is_empty() && self.out.is_none()
    }

    /// Was the file changed after its last patch, to other contents than its original? The current contents become the
    /// new original.
    ///
    /// # Errors
    ///
    /// Those of the journal.
    pub fn replaces_the_original(&self, vault: &Vault) -> Result<bool> {
        let history = vault.index()?.about(&self.path, &[self.plan.before])?;
        let path = index::key_of_path(&self.path);
        let is_patched = history.at(path).is_some_and(|of_path| of_path.is_patched());
        Ok(is_patched && self.out.is_none() && history.origins(path, self.plan.before).is_empty())
    }

    /// What the module's mark says, if it has one, and the journal does not know the patch that left it.
    ///
    /// # Errors
    ///
    /// Those of [`Vault::index`].
    pub(crate) fn unknown_mark(&self, vault: &Vault) -> Result<Option<String>> {
        let Some(mark) = self.plan.module.modinfo.first(MARK) else { return Ok(None) };
        let history = vault.index()?.about(&self.path, &[self.plan.before])?;
        let is_known = !history.origins(index::key_of_path(&self.path), self.plan.before).is_empty();
        Ok((!is_known).then(|| format!("{MARK}={}", String::from_utf8_lossy(mark))))
    }

    pub(super) fn stamp(&self) -> Option<FileStamp> {
        self.stamp
    }

    /// Asks all guards.
    ///
    /// # Errors
    ///
    /// [`Refused`] if a guard refuses. (The guard confirmed does not count: confirmation is the next step.)
    pub fn review(mut self, overrides: Overrides) -> std::result::Result<Reviewed<'p>, Box<Refused<'p>>> {
        let answers = self.answers.take().unwrap_or_else(|| self.ask(overrides));
        let is_refused = objections(&answers).next().is_some();
        let review = Review { proposal: self, answers };
        if is_refused { Err(Box::new(Refused(review))) } else { Ok(Reviewed(review)) }
    }

    fn ask(&self, overrides: Overrides) -> Vec<GuardAnswer> {
        let write = PlannedWrite {
            path: self.written(),
            is_new: self.out.is_some(),
            module: &self.plan.module,
            name: &self.name,
            plan: &self.plan,
            kernel: self.kernel,
            obstacles: &self.obstacles,
            is_confirmed: false,
        };
        guard::ask(&write, self.machine, overrides)
    }
}

/// What the kernel answers to the module before and after the patch.
fn verdicts(target: &Target, plan: &Plan, kernel: &Kernel, request: &Request) -> Result<[Verdict; 2]> {
    // The plan may rewrite CRCs, and an earlier patch may have: they prove nothing about the layout.
    let load = LoadOptions { is_patched: true, ..LoadOptions::default() };
    let answer =
        |bytes, module| predict::predict(&Candidate { bytes, module: Some(module), packing: None }, kernel, &load);
    let inside = match plan.container {
        Container::None => Cow::Borrowed(target.bytes.as_slice()),
        packed => Cow::Owned(packed.decompress(&target.bytes, request.max_size)?),
    };
    Ok([answer(&inside, &plan.module), answer(plan.inside_after(), &plan.module_after)])
}

/// The guards that refuse, except for the guard confirmed.
fn objections(answers: &[GuardAnswer]) -> impl Iterator<Item = &GuardAnswer> {
    answers.iter().filter(|answer| answer.ruling == Ruling::Refuse && answer.guard != Guard::Confirmed)
}

/// A proposal with the guards' answers.
#[derive(Debug)]
pub struct Review<'p> {
    proposal: Proposal<'p>,
    answers: Vec<GuardAnswer>,
}

impl<'p> Review<'p> {
    /// The proposal.
    pub fn proposal(&self) -> &Proposal<'p> {
        &self.proposal
    }

    /// The answer of each guard.
    pub fn answers(&self) -> &[GuardAnswer] {
        &self.answers
    }

    /// The answers as they are once this digest is given as confirmation.
    pub fn answers_with(&self, digest: Option<&str>) -> Vec<GuardAnswer> {
        let is_confirmed = digest.is_some_and(|digest| confirmation::is_digest(digest, self.proposal.digest));
        let with = |answer: &GuardAnswer| match answer.guard {
            Guard::Confirmed if is_confirmed => {
                GuardAnswer { guard: Guard::Confirmed, ruling: Ruling::Pass, reason: Reason::Confirmed }
            }
            _ => answer.clone(),
        };
        self.answers.iter().map(with).collect()
    }

    /// The guards that were overridden.
    pub fn overridden(&self) -> impl Iterator<Item = Guard> {
        self.answers.iter().filter(|answer| answer.ruling == Ruling::Overridden).map(|answer| answer.guard)
    }

    pub(super) fn overridden_names(&self) -> Vec<String> {
        self.overridden().map(|guard| guard.name().to_owned()).collect()
    }
}

/// A proposal to which no guard objects, or whose objections are overridden. A person may confirm it.
#[derive(Debug)]
pub struct Reviewed<'p>(Review<'p>);

impl<'p> Reviewed<'p> {
    /// The proposal and the guards' answers.
    pub fn review(&self) -> &Review<'p> {
        &self.0
    }
}

/// A proposal that a guard refused. Nothing applies it.
#[derive(Debug)]
pub struct Refused<'p>(Review<'p>);

impl<'p> Refused<'p> {
    /// The proposal and the guards' answers.
    pub fn review(&self) -> &Review<'p> {
        &self.0
    }

    /// The first guard that refused.
    pub fn guard(&self) -> Guard {
        objections(&self.0.answers).next().map_or(Guard::FileKind, |answer| answer.guard)
    }

    /// Why it refused.
    pub fn reason(&self) -> &Reason {
        objections(&self.0.answers).next().map_or(&Reason::NotConfirmed, |answer| &answer.reason)
    }
}

impl From<&Refused<'_>> for Error {
    fn from(refused: &Refused<'_>) -> Error {
        guard::refusal(refused.guard(), refused.reason()).on(&refused.0.proposal.path)
    }
}

impl Sealed for Reviewed<'_> {}

impl Confirmable for Reviewed<'_> {
    /// The module's name.
    fn name_to_type(&self) -> String {
        self.0.proposal.name.clone()
    }

    fn digest(&self) -> Sha256 {
        self.0.proposal.digest
    }
}

impl Confirmed<Reviewed<'_>> {
    /// Patches the module, if the bytes that are there now lead to exactly the plan that was confirmed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Changed`] if the file leads to another plan now; [`ErrorKind::Usage`] if the new file exists already;
    /// [`ErrorKind::Conflict`] and [`ErrorKind::NeedsRecovery`] for a file with an interrupted operation that could not be
    /// settled; [`ErrorKind::Guard`], [`ErrorKind::Busy`] and [`ErrorKind::Io`]. The file is as before, except where the error
    /// is [`ErrorKind::NeedsRecovery`].
    pub fn apply(self, writer: &mut Writer<'_>) -> Result<Applied> {
        let Reviewed(review) = self.into_change();
        let overrides = review.overridden_names();
        let Proposal { path, out, name, digest, request, plan, kernel, .. } = review.proposal;
        writer.must_be_settled(&path)?;
        if plan.edits.is_empty() && out.is_none() {
            return Ok(Applied::Unchanged);
        }
        drop(plan);
        let target = match out {
            Some(_) => Target::open_for_reading(&path)?,
            None => Target::open(&path)?,
        };
        let plan = Plan::make(&target.bytes, request).map_err(|e| e.on(&path))?;
        if plan.digest(out.as_deref().unwrap_or(&path)) != digest {
            return Err(apply::changed().on(&path));
        }
        if let Some(out) = out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
            return Err(apply::exists_already(out));
        }
        let kernel = kernel.map(apply::kernel_record);
        let notes = JournalNotes { module: name, digest, overrides, kernel };
        let mut write = apply::write_of(plan, notes);
        write.creates = out;
        let entry = writer.carry_out(&target, write)?;
        Ok(Applied::Written(Box::new(entry)))
    }
}
