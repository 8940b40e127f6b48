//! A plan with all that belongs to it, for one module: what is shown, confirmed and applied.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Error, ErrorKind, Result};
use crate::guard::machine::Machine;
use crate::guard::{self, Answer, Overrides, Say, Subject};
use crate::kernel::{Kernel, Machine as Architecture};
use crate::module::container::Container;
use crate::patch::{Plan, Request};
use crate::predict::{self, LoadOptions, Verdict};
use crate::vault::target::{self, Stamp, Target};

/// A plan, with all that belongs to it.
pub(super) struct Proposal<'k> {
    /// The real path of the module.
    pub(super) path: PathBuf,
    /// The real path of the new file, if one is wanted.
    pub(super) out: Option<PathBuf>,
    pub(super) name: String,
    pub(super) plan: Plan,
    pub(super) digest: Sha256,
    /// What the file looked like, if it was at rest.
    pub(super) stamp: Option<Stamp>,
    /// The kernel that it is to fit, if one was named.
    pub(super) kernel: Option<&'k Kernel>,
    /// What that kernel answers to the module before and after.
    pub(super) verdicts: Option<[Verdict; 2]>,
}

impl<'k> Proposal<'k> {
    /// Makes the plan of the file as it is now.
    pub(super) fn make(
        path: &Path,
        out: Option<&Path>,
        request: &Request,
        kernel: Option<&'k Kernel>,
    ) -> Result<Proposal<'k>> {
        // The guard file-kind has the better words for what can't be read as a file, so it speaks first.
        let obstacles = if out.is_none() { target::obstacles(path)? } else { Vec::new() };
        if let Some(obstacle) =
            obstacles.into_iter().find(|o| o.contains("not a regular file") || o.contains("symbolic link"))
        {
            return Err(Error::new(ErrorKind::Guard, format!("refused by the guard file-kind: {obstacle}")).on(path));
        }
        let target = Target::open_for_reading(path)?;
        let plan = Plan::make(&target.bytes, request).map_err(|e| e.on(path))?;
        let machine = Architecture::of(&plan.module);
        if let Some((other, _)) = kernel.and_then(|kernel| kernel.facts.other_machine(machine)) {
            let what = format!("built for {machine}, that kernel is for {other}");
            return Err(Error::new(ErrorKind::DoesNotFit, what).hint("no patch makes it fit").on(path));
        }
        let digest = plan.digest(out.unwrap_or(path));
        let verdicts = match kernel {
            None => None,
            Some(kernel) => {
                // The plan may rewrite CRCs, and an earlier one may have: they prove nothing about the layout.
                let load = LoadOptions { is_patched: true, ..LoadOptions::default() };
                let answer = |bytes, module| {
                    predict::predict(&predict::Candidate { bytes, module: Some(module), packing: None }, kernel, &load)
                };
                let inside = match plan.container {
                    Container::None => Cow::Borrowed(target.bytes.as_slice()),
                    packed => Cow::Owned(packed.decompress(&target.bytes, request.max_size).map_err(|e| e.on(path))?),
                };
                Some([answer(&inside, &plan.module), answer(plan.inside_after(), &plan.module_after)])
            }
        };
        Ok(Proposal {
            path: path.to_owned(),
            out: out.map(Path::to_owned),
            name: plan.module.name_or_stem(path),
            plan,
            digest,
            stamp: target.stamp(),
            kernel,
            verdicts,
        })
    }

    /// The file that is to be written.
    pub(super) fn written(&self) -> &Path {
        self.out.as_deref().unwrap_or(&self.path)
    }

    /// Asks all guards.
    pub(super) fn ask(&self, machine: &Machine, overrides: Overrides, is_confirmed: bool) -> Result<Vec<Answer>> {
        let subject = Subject {
            path: self.written(),
            is_new: self.out.is_some(),
            module: &self.plan.module,
            name: &self.name,
            plan: &self.plan,
            kernel: self.kernel,
            is_confirmed,
        };
        guard::ask(&subject, machine, overrides)
    }
}

/// The first guard that refuses; the confirmation comes later, by itself.
pub(super) fn objection(answers: &[Answer]) -> Option<&Answer> {
    answers.iter().find(|a| a.say == Say::Refuse && a.guard != guard::Guard::Confirmed)
}

/// The error of a guard that refuses.
pub(super) fn refusal(objection: &Answer) -> Error {
    let what = format!("refused by the guard {}: {}", objection.guard.name(), objection.why);
    let error = Error::new(ErrorKind::Guard, what);
    match objection.guard.overridden_by() {
        Some("kmodlab enrol") => error.hint("only on a lab machine (kmodlab enrol); or patch a copy: -o OUT"),
        // This guard's own words name its options.
        Some(_) if objection.guard == guard::Guard::Signed => error,
        Some(option) => error.hint(format!("{option} overrides it")),
        None => error,
    }
}

/// The guards that a person overrode, by name.
pub(super) fn overridden(answers: &[Answer]) -> Vec<String> {
    answers.iter().filter(|a| a.say == Say::Overridden).map(|a| a.guard.name().to_owned()).collect()
}
