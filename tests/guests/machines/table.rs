//! The counts, as README.md shows them, and a readable list of the trials that did not come out as predicted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::machines::agreement::{Agreement, lines};
use crate::machines::predictions::Prediction;
use crate::machines::report::Seen;
use crate::machines::trials::{Origin, Subject};

/// Counts of trials.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) agree: usize,
    pub(crate) unknown: usize,
    pub(crate) disagree: usize,
}

impl Counts {
    pub(crate) fn all(&self) -> usize {
        self.agree + self.unknown + self.disagree
    }

    fn add(&mut self, agreement: Agreement) {
        match agreement {
            Agreement::Agree => self.agree += 1,
            Agreement::Unknown => self.unknown += 1,
            Agreement::Disagree => self.disagree += 1,
        }
    }
}

/// The results of an architecture.
#[derive(Default)]
pub(crate) struct Tally {
    by: BTreeMap<(String, Origin), Counts>,
    details: BTreeMap<String, String>,
}

/// A trial and everything known about it.
pub(crate) struct Came<'a> {
    pub(crate) kernel: &'a str,
    pub(crate) subject: &'a Subject,
    pub(crate) flags: u32,
    pub(crate) prediction: Option<&'a Prediction>,
    pub(crate) seen: &'a Seen,
}

impl Tally {
    pub(crate) fn add(&mut self, came: &Came<'_>, agreement: Agreement, why: &str) {
        self.by.entry((came.kernel.to_owned(), came.subject.origin)).or_default().add(agreement);
        if agreement == Agreement::Agree {
            return;
        }
        let Came { kernel, subject, flags, prediction, seen } = came;
        let out = self.details.entry((*kernel).to_owned()).or_default();
        let _ = writeln!(out, "{agreement:?}: {kernel}: {:?} {}, flags {flags}", subject.origin, subject.what);
        let _ = writeln!(out, "  why        {why}");
        if let Some(prediction) = prediction {
            let Prediction { verdict, errno, stage, taint, dmesg, .. } = prediction;
            let _ = writeln!(out, "  predicted  {verdict} errno {errno:?} at {stage:?} taint {taint:?}: {dmesg:?}");
        }
        let Seen { errno, accepted, module_taint, unloaded, taint, status, .. } = seen;
        let _ = writeln!(
            out,
            "  happened   errno {errno:?} accepted {accepted:?} unloaded {unloaded:?} status {status:?} \
                               module's taint {module_taint:?} taint {taint:?}: {:?}",
            lines(seen)
        );
        if status.is_none() || status.is_some_and(|status| status != 0 && status != 256) {
            seen.log.iter().for_each(|line| {
                let _ = writeln!(out, "    | {}", line.escape_debug());
            });
        }
    }

    /// Adds the results of another kernel.
    pub(crate) fn join(&mut self, other: Tally) {
        self.by.extend(other.by);
        self.details.extend(other.details);
    }

    /// The counts for the kernel's own modules, or for all.
    pub(crate) fn counts(&self, only: Option<Origin>) -> Counts {
        let mut sum = Counts::default();
        for ((_, origin), counts) in &self.by {
            if only.is_none_or(|only| only == *origin) {
                sum.agree += counts.agree;
                sum.unknown += counts.unknown;
                sum.disagree += counts.disagree;
            }
        }
        sum
    }

    pub(crate) fn kernels(&self) -> usize {
        self.by.keys().map(|(kernel, _)| kernel).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Writes the trials that did not agree, with the counts by kernel.
    pub(crate) fn write(&self, file: &Path) {
        let mut text = String::new();
        for ((kernel, origin), counts) in &self.by {
            let Counts { agree, unknown, disagree } = counts;
            let _ = writeln!(text, "{kernel:20} {origin:?}: {agree}/{unknown}/{disagree}");
        }
        self.details.values().for_each(|details| {
            let _ = write!(text, "\n{details}");
        });
        std::fs::write(file, text).unwrap();
    }

    /// A row of the table in the README.
    pub(crate) fn row(&self, architecture: &str) -> String {
        let (all, own) = (self.counts(None), self.counts(Some(Origin::Own)));
        format!(
            "| {architecture} ({} kernels) | {} | {} | {} | {} | {}/{}/{} |",
            self.kernels(),
            all.all(),
            all.agree,
            all.unknown,
            all.disagree,
            own.agree,
            own.unknown,
            own.disagree
        )
    }
}
