//! Guards: the safety checks before a module is written. Each has a name, one thing that it examines, and an override of its
//! own.
//!
//! No override lifts two guards, and none lifts all. A guard that can't examine something says so in its reason.

pub mod enrol;
pub mod machine;
mod overrides;
mod owners;
mod reason;

use std::path::Path;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Kernel, realtime};
use crate::module::Module;
use crate::patch::{Plan, Signature};
use crate::predict::danger;
use crate::vault::obstacle::{self, Obstacle};
use machine::Machine;

pub use overrides::{LiftedBy, Override, Overrides};
pub use reason::Reason;

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Guard {
    /// The file is a regular file with one name that can be written and restored.
    FileKind,
    /// The file is not in the running kernel's module tree.
    LiveTree,
    /// The module is not loaded now.
    Loaded,
    /// The file is in no installed kernel's tree, and no package owns it.
    InstalledTree,
    /// The module is not signed.
    Signed,
    /// No integrity measurement depends on the file's bytes.
    Ima,
    /// The old and the new version magic differ only in the release.
    AbiTokens,
    /// The module's `struct module` is the kernel's, as far as both are known.
    StructModule,
    /// The CRCs of the module's imports are the kernel's, as far as they are known, and the kernel keeps comparing them.
    Crc,
    /// The kernel keeps checking the module's type information.
    Btf,
    /// A person confirmed exactly this plan.
    Confirmed,
}

impl Guard {
    /// All guards, in the order in which they are asked.
    pub const ALL: [Guard; 11] = [
        Guard::FileKind,
        Guard::LiveTree,
        Guard::Loaded,
        Guard::InstalledTree,
        Guard::Signed,
        Guard::Ima,
        Guard::AbiTokens,
        Guard::StructModule,
        Guard::Crc,
        Guard::Btf,
        Guard::Confirmed,
    ];

    /// Its name, in refusals, in JSON and in the journal.
    pub fn name(self) -> &'static str {
        match self {
            Guard::FileKind => "file-kind",
            Guard::LiveTree => "live-tree",
            Guard::Loaded => "loaded",
            Guard::InstalledTree => "installed-tree",
            Guard::Signed => "signed",
            Guard::Ima => "ima",
            Guard::AbiTokens => "abi-tokens",
            Guard::StructModule => "struct-module",
            Guard::Crc => "crc",
            Guard::Btf => "btf",
            Guard::Confirmed => "confirmed",
        }
    }

    /// What lifts its refusal.
    pub fn lifted_by(self) -> LiftedBy {
        match self {
            Guard::FileKind | Guard::Confirmed => LiftedBy::Nothing,
            Guard::LiveTree | Guard::Loaded => LiftedBy::LabMachine,
            Guard::InstalledTree => LiftedBy::Named(Override::InstalledTree),
            Guard::Signed => LiftedBy::Signature,
            Guard::Ima => LiftedBy::Named(Override::Ima),
            Guard::AbiTokens => LiftedBy::Named(Override::AbiTokens),
            Guard::StructModule => LiftedBy::Named(Override::StructModule),
            Guard::Crc => LiftedBy::Named(Override::Crc),
            Guard::Btf => LiftedBy::DropBtf,
        }
    }
}

/// A guard's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ruling {
    /// It has no objection.
    Pass,
    /// The file must not be written.
    Refuse,
    /// It would have refused, but a person overrode it.
    Overridden,
}

impl Ruling {
    /// Its name, in JSON and records.
    pub fn name(self) -> &'static str {
        match self {
            Ruling::Pass => "pass",
            Ruling::Refuse => "refuse",
            Ruling::Overridden => "overridden",
        }
    }
}

/// A guard's answer to a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct GuardAnswer {
    /// The guard.
    pub guard: Guard,
    /// Its decision.
    pub ruling: Ruling,
    /// Why.
    pub reason: Reason,
}

/// A planned write, as the guards examine it.
pub struct PlannedWrite<'s> {
    /// The real path of the file to be written; with `is_new`, of the file to be created.
    pub path: &'s Path,
    /// Is it a new file, created next to a module that is not changed?
    pub is_new: bool,
    /// The module as it is.
    pub module: &'s Module,
    /// The module's name.
    pub name: &'s str,
    /// The plan.
    pub plan: &'s Plan,
    /// The kernel that the module is to fit, where one was named.
    pub kernel: Option<&'s Kernel>,
    /// Why the file can't be written ([`obstacles`]).
    pub obstacles: &'s [Obstacle],
    /// Has exactly this plan been confirmed already?
    pub is_confirmed: bool,
}

/// The obstacles to writing a plan at this real path.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] or [`ErrorKind::Io`] if the file can't be examined.
pub fn obstacles(path: &Path, is_new: bool, plan: &Plan) -> Result<Vec<Obstacle>> {
    if is_new {
        return Ok(obstacle::of_folder(path));
    }
    let mut obstacles = obstacle::of_file(path)?;
    if !plan.is_in_place() {
        obstacles.extend(obstacle::of_folder(path));
    }
    Ok(obstacles)
}

/// The error of a refusal.
pub fn refusal(guard: Guard, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Guard, format!("refused by the guard {}: {reason}", guard.name()))
}

/// Asks all guards.
pub fn ask(write: &PlannedWrite<'_>, machine: &Machine, overrides: Overrides) -> Vec<GuardAnswer> {
    let is_lifted = |guard: Guard| match guard.lifted_by() {
        LiftedBy::Nothing => false,
        LiftedBy::LabMachine => machine.is_lab_machine(),
        LiftedBy::Signature => write.plan.signature != Signature::Refuse,
        LiftedBy::DropBtf => write.plan.drop_btf,
        LiftedBy::Named(one) => overrides.contains(one),
    };
    let answer = |guard| {
        let examined = match guard {
            Guard::FileKind => file_kind(write),
            Guard::LiveTree => live_tree(write, machine),
            Guard::Loaded => loaded(write, machine),
            Guard::InstalledTree => installed_tree(write, machine),
            Guard::Signed => signed(write),
            Guard::Ima => ima(write, machine),
            Guard::AbiTokens => abi_tokens(write),
            Guard::StructModule => struct_module(write),
            Guard::Crc => crc(write),
            Guard::Btf => btf(write),
            Guard::Confirmed => confirmed(write),
        };
        let (ruling, reason) = match examined {
            Ok(reason) => (Ruling::Pass, reason),
            Err(reason) if is_lifted(guard) => (Ruling::Overridden, reason),
            Err(reason) => (Ruling::Refuse, reason),
        };
        GuardAnswer { guard, ruling, reason }
    };
    Guard::ALL.into_iter().map(answer).collect()
}

/// What a guard found: `Ok` with why it has no objection, `Err` with its objection.
type Examined = std::result::Result<Reason, Reason>;

fn file_kind(write: &PlannedWrite<'_>) -> Examined {
    match (write.obstacles, write.is_new) {
        ([], true) => Ok(Reason::NewFile),
        ([], false) => Ok(Reason::RegularFile),
        (obstacles, _) => Err(Reason::Obstacles(obstacles.to_vec())),
    }
}

fn live_tree(write: &PlannedWrite<'_>, machine: &Machine) -> Examined {
    match machine.in_live_tree(write.path) {
        false => Ok(Reason::OutsideLiveTree),
        true => Err(Reason::InLiveTree(machine.release().to_owned())),
    }
}

fn loaded(write: &PlannedWrite<'_>, machine: &Machine) -> Examined {
    let same_name = |name: &str| name.replace('-', "_") == write.name.replace('-', "_");
    let same_build = |id: &Option<Vec<u8>>| id.is_some() && *id == write.module.build_id;
    let found = machine.loaded().iter().find(|l| same_name(&l.name) || same_build(&l.build_id));
    match found {
        None => Ok(Reason::NotLoaded),
        Some(loaded) if same_build(&loaded.build_id) => Err(Reason::SameBuildLoaded(loaded.name.clone())),
        Some(loaded) => Err(Reason::SameNameLoaded(loaded.name.clone())),
    }
}

fn installed_tree(write: &PlannedWrite<'_>, machine: &Machine) -> Examined {
    if let Some(tree) = machine.installed_tree(write.path) {
        return Err(Reason::InInstalledTree(tree));
    }
    match machine.owner(write.path) {
        Some(owner) => Err(Reason::OwnedBy(owner)),
        None => Ok(Reason::NotInstalled),
    }
}

fn signed(write: &PlannedWrite<'_>) -> Examined {
    match &write.module.trailer {
        None => Ok(Reason::NotSigned),
        Some(trailer) => Err(Reason::Signed { signer: trailer.signer.clone(), signature: write.plan.signature }),
    }
}

fn ima(write: &PlannedWrite<'_>, machine: &Machine) -> Examined {
    let attributes = ["security.ima", "security.evm"];
    // A query: rustix's getxattr into an empty buffer returns 0 for an attribute of any size.
    let has = |name: &&'static str| !write.is_new && rustix::fs::getxattr_query(write.path, *name).is_ok();
    let found: Vec<&'static str> = attributes.into_iter().filter(has).collect();
    if !found.is_empty() {
        return Err(Reason::ImaAttributes(found));
    }
    match machine.ima_appraises_modules() {
        Some(true) => Err(Reason::ImaPolicy),
        policy => Ok(Reason::NoIma { is_policy_known: policy.is_some() }),
    }
}

fn abi_tokens(write: &PlannedWrite<'_>) -> Examined {
    let Some(comparison) = write.plan.comparison() else { return Ok(Reason::NoNewVermagic) };
    let mut differing: Vec<String> = comparison
        .abi_differences()
        .map(|d| {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
            format!("{} ({} becomes {})", d.kind.name(), side(&d.module), side(&d.kernel))
        })
        .collect();
    differing.extend(write.kernel.and_then(|kernel| realtime::difference(write.module, kernel)));
    match differing.is_empty() {
        true => Ok(Reason::SameAbi),
        false => Err(Reason::OtherAbi(differing)),
    }
}

fn struct_module(write: &PlannedWrite<'_>) -> Examined {
    let Some(kernel) = write.kernel else { return Ok(Reason::NoKernel) };
    match danger::fingerprint(write.module, kernel) {
        Some(danger) => Err(Reason::OtherLayout(danger)),
        None if kernel.facts.fingerprint.is_none() => Ok(Reason::LayoutUnknown),
        None => Ok(Reason::SameLayout),
    }
}

fn crc(write: &PlannedWrite<'_>) -> Examined {
    if write.plan.versioned.as_ref().is_some_and(|versioned| versioned.hidden) {
        return Err(Reason::VersionsHidden);
    }
    let Some(kernel) = write.kernel else { return Ok(Reason::NoKernel) };
    match danger::crcs(write.module, kernel) {
        Some(danger) if write.plan.versioned.is_some() => Err(Reason::CrcsOverwritten(danger)),
        Some(danger) => Err(Reason::OtherCrcs(danger)),
        None => Ok(Reason::NoCrcDiffers),
    }
}

fn btf(write: &PlannedWrite<'_>) -> Examined {
    match (write.module.btf, write.plan.drop_btf) {
        (None, _) => Ok(Reason::NoBtf),
        (Some(_), false) => Ok(Reason::BtfKept),
        (Some(_), true) => Err(Reason::BtfHidden),
    }
}

fn confirmed(write: &PlannedWrite<'_>) -> Examined {
    match write.is_confirmed {
        true => Ok(Reason::Confirmed),
        false => Err(Reason::NotConfirmed),
    }
}
