//! Reports about patches, as they are serialised: a plan, a batch, a module that is left out, and what was written.
//!
//! The library has no words for overrides and reasons: the caller gives them as [`GuardWords`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::change::proposal::{Proposal, Review};
use crate::change::summary::BatchSummary;
use crate::digest::Sha256;
use crate::edit::Edit;
use crate::error::{Error, ErrorKind};
use crate::escape;
use crate::guard::{Guard, GuardAnswer, Reason, Ruling};
use crate::module::container::Container;
use crate::patch::{Mode, Signature, Versioned};
use crate::predict::{Decision, Finding, LoaderStep, Verdict};
use crate::text::{self, path_hex, path_text};
use crate::vault::record::FileChange;

/// The words of a program for what guards answer.
#[derive(Clone, Copy)]
pub struct GuardWords {
    /// What lifts the refusal of a guard, if anything does.
    pub override_of: fn(Guard) -> Option<&'static str>,
    /// Why a guard passes or refuses.
    pub why: fn(&GuardAnswer) -> String,
    /// The error of a guard's refusal.
    pub refusal: fn(Guard, &Reason) -> Error,
}

/// A plan of one module.
#[derive(Serialize)]
pub struct PlanReport<'p> {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    digest: Sha256,
    mode: Mode,
    signature: Signature,
    modversions: &'static str,
    /// What the symbol versions come to; none if they stay.
    versioned: Option<&'p Versioned>,
    drop_btf: bool,
    mark: Option<&'p str>,
    container: Container,
    grows: bool,
    in_place: bool,
    before: Sha256,
    after: Sha256,
    edits: &'p [Edit],
    /// What the kernel answers before and after, if one was named.
    verdicts: Option<[VerdictReport<'p>; 2]>,
    guards: Vec<ReviewedGuard>,
    notes: &'p [String],
}

/// A kernel's answer to a module of a plan.
#[derive(Serialize)]
struct VerdictReport<'p> {
    verdict: Decision,
    errno: Option<i32>,
    dmesg: &'p [String],
    /// The number of further lines, if there are too many to list.
    #[serde(skip_serializing_if = "Option::is_none")]
    dmesg_more: Option<usize>,
    taint: Option<&'p str>,
    stage: Option<&'static str>,
    findings: &'p [Finding],
}

impl<'p> VerdictReport<'p> {
    fn of(verdict: &'p Verdict) -> VerdictReport<'p> {
        VerdictReport {
            verdict: verdict.answer,
            errno: verdict.errno,
            dmesg: &verdict.dmesg,
            dmesg_more: Some(verdict.dmesg_more).filter(|more| *more > 0),
            taint: verdict.taint.as_deref(),
            stage: verdict.stage.map(LoaderStep::name),
            findings: &verdict.findings,
        }
    }
}

/// A guard's answer to a plan.
#[derive(Serialize)]
struct ReviewedGuard {
    name: &'static str,
    result: Ruling,
    #[serde(rename = "override")]
    overridden_by: Option<&'static str>,
    why: String,
}

impl<'p> PlanReport<'p> {
    /// The plan of a review. `given` is the digest that confirms it, where one was given.
    pub fn of(review: &'p Review<'_>, given: Option<&str>, words: GuardWords) -> PlanReport<'p> {
        let (proposal, plan) = (review.proposal(), review.proposal().plan());
        let guards = review.answers_with(given).into_iter().map(|answer| ReviewedGuard {
            name: answer.guard.name(),
            result: answer.ruling,
            overridden_by: (words.override_of)(answer.guard),
            why: (words.why)(&answer),
        });
        PlanReport {
            schema_version: 1,
            module: path_text(proposal.path()).into_owned(),
            path_hex: path_hex(proposal.path()),
            digest: proposal.digest(),
            mode: plan.mode,
            signature: plan.signature,
            modversions: plan.modversions,
            versioned: plan.versioned.as_ref(),
            drop_btf: plan.drop_btf,
            mark: plan.mark.as_deref(),
            container: plan.container,
            grows: plan.grows,
            in_place: plan.is_in_place(),
            before: plan.before,
            after: plan.after,
            edits: &plan.edits,
            verdicts: proposal.verdicts().map(|verdicts| verdicts.each_ref().map(VerdictReport::of)),
            guards: guards.collect(),
            notes: &plan.notes,
        }
    }
}

/// A plan that was carried out, or that had nothing to write.
#[derive(Serialize)]
pub struct PatchReport {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    digest: Option<Sha256>,
    before: Sha256,
    after: Sha256,
    /// The number of the journal's line; none if nothing had to be written.
    journal: Option<u64>,
}

impl PatchReport {
    /// A module that has the wanted contents already.
    pub fn of_unchanged(proposal: &Proposal<'_>) -> PatchReport {
        PatchReport {
            schema_version: 1,
            module: path_text(proposal.path()).into_owned(),
            path_hex: path_hex(proposal.path()),
            digest: Some(proposal.digest()),
            before: proposal.plan().before,
            after: proposal.plan().after,
            journal: None,
        }
    }

    /// A change that the journal has in this line.
    pub fn of(change: &FileChange, line: u64) -> PatchReport {
        PatchReport {
            schema_version: 1,
            module: path_text(&change.path).into_owned(),
            path_hex: path_hex(&change.path),
            digest: change.plan,
            before: change.before,
            after: change.after,
            journal: Some(line),
        }
    }
}

/// A module that is not in the plan of a batch.
#[derive(Serialize)]
pub struct LeftOutReport {
    schema_version: u32,
    module: String,
    /// The path's bytes in hexadecimal, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    /// The first guard that refuses it; none for any other error.
    guard: Option<&'static str>,
    error: String,
    /// All guards that refuse it, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guards: Vec<&'static str>,
}

impl LeftOutReport {
    /// The refusal by several guards, the first of which gives the error.
    pub fn refused(path: &Path, refusals: &[(Guard, Reason)], words: GuardWords) -> LeftOutReport {
        let first = refusals.first().map(|(guard, reason)| (*guard, (words.refusal)(*guard, reason)));
        let (guard, error) = first.unzip();
        let error = error.unwrap_or_else(|| Error::new(ErrorKind::Guard, "refused"));
        let guards = refusals.iter().map(|(guard, _)| guard.name()).filter(|_| refusals.len() > 1).collect();
        LeftOutReport { guards, guard: guard.map(Guard::name), ..LeftOutReport::failed(path, &error) }
    }

    /// A module that can't be planned for.
    pub fn failed(path: &Path, error: &Error) -> LeftOutReport {
        LeftOutReport {
            schema_version: 1,
            module: path_text(path).into_owned(),
            path_hex: path_hex(path),
            guard: None,
            error: error.what().to_owned(),
            guards: Vec::new(),
        }
    }
}

/// A refusal of one module, as it is kept until all modules are reviewed. Its texts are escaped.
#[derive(Serialize, Deserialize)]
pub struct ListedRefusal {
    /// The name of the guard.
    pub guard: String,
    /// The module's path.
    pub module: String,
    /// The reason.
    pub why: String,
}

impl ListedRefusal {
    /// The refusal of the module at this path.
    pub fn of(path: &Path, guard: Guard, reason: &Reason) -> ListedRefusal {
        let why = escape::for_eyes(&reason.to_string());
        ListedRefusal { guard: guard.name().to_owned(), module: text::path(path), why }
    }
}

/// The plan of a batch in numbers.
#[derive(Serialize)]
pub struct BatchReport {
    schema_version: u32,
    /// The digest that confirms it.
    digest: Sha256,
    modules: usize,
    as_wished: usize,
    refused: usize,
    failed: usize,
}

impl BatchReport {
    /// The plan with this summary and digest.
    pub fn of(summary: &BatchSummary, digest: Sha256) -> BatchReport {
        BatchReport {
            schema_version: 1,
            digest,
            modules: summary.planned,
            as_wished: summary.as_requested,
            refused: summary.refused,
            failed: summary.failed,
        }
    }
}
