//! No kernel refuses its own modules because of the checks of its architecture: file header, sections, relocations.
//!
//! One module in twelve is tested; all of them with `KMODLAB_ALL_MODULES=1`. [`exports`](super::exports) reads them.

use std::collections::BTreeMap;

use kmodlab::kernel::Kernel;
use kmodlab::module::Module;
use kmodlab::predict::{Candidate, Decision, LoadOptions, LoaderStep, StepResult, predict};

/// One module in this many is tested.
const ONE_OF: usize = 12;

/// The results for the modules of one kernel.
#[derive(Default)]
pub(crate) struct Tally {
    /// The modules that were read.
    read: usize,
    modules: usize,
    /// Modules without a failing finding at the steps that depend on the architecture.
    passing: usize,
    /// The failing findings, with examples.
    other: BTreeMap<String, usize>,
}

impl Tally {
    /// Asks the kernel about this module, if it is its turn.
    pub(crate) fn look(&mut self, kernel: &Kernel, bytes: &[u8], module: &Module) {
        self.read += 1;
        let step = if std::env::var_os("KMODLAB_ALL_MODULES").is_some() { 1 } else { ONE_OF };
        if !self.read.is_multiple_of(step) {
            return;
        }
        let load = LoadOptions { alone: false, ..LoadOptions::default() };
        let verdict = predict(&Candidate { bytes, module: Some(module), packing: None }, kernel, &load);
        self.modules += 1;
        let decided = [LoaderStep::Elf, LoaderStep::Sections, LoaderStep::Relocations];
        let against = verdict.findings.iter().find(|finding| {
            matches!(finding.result, StepResult::Fail | StepResult::Unknown) && decided.contains(&finding.step)
        });
        match against {
            None => self.passing += 1,
            Some(finding) => {
                let answer = if verdict.answer == Decision::Refused { "refused" } else { "unknown" };
                let what = format!("{answer} at {}: {}", finding.step.name(), finding.note);
                *self.other.entry(what).or_default() += 1;
            }
        }
    }

    pub(crate) fn print(&self, name: &str) {
        println!("{name}: {} of {} pass what the architecture looks at", self.passing, self.modules);
        for (why, count) in self.other.iter().take(12) {
            println!("  {count} × {why}");
        }
    }
}

/// All modules of all kernels pass.
pub(crate) fn assert_passing(tallies: &[Tally]) {
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let (modules, passing) = (sum(|tally| tally.modules), sum(|tally| tally.passing));
    println!("{passing} of {modules} modules of {} kernels", tallies.len());
    assert!(modules > 500 && passing == modules, "{passing} of {modules}");
}
