//! Guards: one safety check each before a write. Each has a name, what it looks at, and an override of its own.
//!
//! No override lifts two guards, and none lifts them all. What a guard can't see it does not pass in silence.

pub mod enrol;
pub mod machine;
mod owners;

use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::kernel::{Kernel, realtime};
use crate::module::Module;
use crate::patch::{Plan, Signature};
use crate::predict::danger;
use crate::vault::target;
use machine::Machine;

/// A guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The file is no symbolic link, has one name, and can be written in place.
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
    /// Old and new version magic differ in the release alone.
    AbiTokens,
    /// `struct module` is the kernel's that the module is to fit, as far as both are known.
    StructModule,
    /// The CRCs of its imports are that kernel's, as far as they are known, and the kernel goes on comparing them.
    Crc,
    /// The kernel goes on looking at the module's type information.
    Btf,
    /// A person confirmed exactly this plan.
    Confirmed,
}

impl Guard {
    /// All of them, in the order in which they are looked at.
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

    /// What overrides it: an option, or an act. `None` where nothing does.
    pub fn overridden_by(self) -> Option<&'static str> {
        match self {
            Guard::FileKind | Guard::Confirmed => None,
            Guard::LiveTree | Guard::Loaded => Some("kmodlab enrol"),
            Guard::InstalledTree => Some("--allow-installed"),
            Guard::Signed => Some("--signature strip"),
            Guard::Ima => Some("--accept-ima-break"),
            Guard::AbiTokens => Some("--allow-abi-mismatch"),
            Guard::StructModule => Some("--allow-layout-mismatch"),
            Guard::Crc => Some("--allow-crc-mismatch"),
            Guard::Btf => Some("--drop-btf"),
        }
    }
}

/// What a guard says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Say {
    /// Nothing stands against it.
    Pass,
    /// It is not to be done.
    Refuse,
    /// It would have refused, but a person overrode it.
    Overridden,
}

impl Say {
    /// Its name, in JSON and records.
    pub fn name(self) -> &'static str {
        match self {
            Say::Pass => "pass",
            Say::Refuse => "refuse",
            Say::Overridden => "overridden",
        }
    }
}

/// A guard's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which guard.
    pub guard: Guard,
    /// What it says.
    pub say: Say,
    /// Why, in words.
    pub why: String,
}

/// The overrides that a person gave, each for one guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--allow-installed`
    pub installed: bool,
    /// `--accept-ima-break`
    pub ima_break: bool,
    /// `--allow-abi-mismatch`
    pub abi_mismatch: bool,
    /// `--allow-layout-mismatch`
    pub layout_mismatch: bool,
    /// `--allow-crc-mismatch`
    pub crc_mismatch: bool,
}

/// What is to be written.
pub struct Subject<'s> {
    /// The real path of the file that is to be written; with `is_new`, of the file that is to be made.
    pub path: &'s Path,
    /// Is it a new file, made beside a module that is left alone?
    pub is_new: bool,
    /// The module as it is.
    pub module: &'s Module,
    /// The module's name.
    pub name: &'s str,
    /// The plan.
    pub plan: &'s Plan,
    /// The kernel that it is to fit, where one was named.
    pub kernel: Option<&'s Kernel>,
    /// Has exactly this plan been confirmed already?
    pub is_confirmed: bool,
}

/// Asks all guards.
///
/// # Errors
///
/// [`crate::error::ErrorKind::NotFound`] or [`crate::error::ErrorKind::Io`] if the file can't be looked at.
pub fn ask(subject: &Subject<'_>, machine: &Machine, overrides: Overrides) -> Result<Vec<Answer>> {
    let lab = machine.is_lab_machine();
    Guard::ALL
        .into_iter()
        .map(|guard| {
            let (objection, overridden) = match guard {
                Guard::FileKind => (file_kind(subject)?, false),
                Guard::LiveTree => (live_tree(subject, machine), lab),
                Guard::Loaded => (loaded(subject, machine), lab),
                Guard::InstalledTree => (installed_tree(subject, machine), overrides.installed),
                Guard::Signed => (signed(subject), subject.plan.signature != Signature::Refuse),
                Guard::Ima => (ima(subject, machine), overrides.ima_break),
                Guard::AbiTokens => (abi_tokens(subject), overrides.abi_mismatch),
                Guard::StructModule => (struct_module(subject), overrides.layout_mismatch),
                Guard::Crc => (crc(subject), overrides.crc_mismatch),
                Guard::Btf => (btf(subject), subject.plan.drop_btf),
                Guard::Confirmed => (confirmed(subject), false),
            };
            let say = match (&objection, overridden) {
                (Ok(_), _) => Say::Pass,
                (Err(_), true) => Say::Overridden,
                (Err(_), false) => Say::Refuse,
            };
            let (Ok(why) | Err(why)) = objection;
            Ok(Answer { guard, say, why })
        })
        .collect()
}

/// What a guard sees: `Ok` with why nothing stands against it, `Err` with what does.
type Seen = Result<String, String>;

fn file_kind(subject: &Subject<'_>) -> Result<Seen> {
    if subject.is_new {
        let obstacles = target::folder_obstacles(subject.path);
        return Ok(match obstacles.is_empty() {
            true => Ok("a new file; the module is left alone".to_owned()),
            false => Err(obstacles.join("; ")),
        });
    }
    let mut obstacles = target::obstacles(subject.path)?;
    if !subject.plan.is_in_place() {
        obstacles.extend(target::folder_obstacles(subject.path));
    }
    Ok(match obstacles.is_empty() {
        true => Ok("a regular file with one name".to_owned()),
        false => Err(obstacles.join("; ")),
    })
}

fn live_tree(subject: &Subject<'_>, machine: &Machine) -> Seen {
    match machine.in_live_tree(subject.path) {
        false => Ok("not in the running kernel's module tree".to_owned()),
        true => Err(format!("it is in the module tree of the running kernel {}", machine.release())),
    }
}

fn loaded(subject: &Subject<'_>, machine: &Machine) -> Seen {
    let same_name = |name: &str| name.replace('-', "_") == subject.name.replace('-', "_");
    let same_build = |id: &Option<Vec<u8>>| id.is_some() && *id == subject.module.build_id;
    let found = machine.loaded().iter().find(|l| same_name(&l.name) || same_build(&l.build_id));
    match found {
        None => Ok("not loaded now".to_owned()),
        Some(loaded) if same_build(&loaded.build_id) => {
            Err(format!("this very build is loaded now, as {}", loaded.name))
        }
        Some(loaded) => Err(format!("a module named {} is loaded now", loaded.name)),
    }
}

fn installed_tree(subject: &Subject<'_>, machine: &Machine) -> Seen {
    if let Some(tree) = machine.installed_tree(subject.path) {
        return Err(format!("it is where this system keeps its kernels' modules, {}", tree.display()));
    }
    match machine.owner(subject.path) {
        Some(owner) => Err(format!("it belongs to the {owner}")),
        None => Ok("in no installed kernel's tree, and no package owns it".to_owned()),
    }
}

fn signed(subject: &Subject<'_>) -> Seen {
    let Some(trailer) = &subject.module.trailer else { return Ok("not signed".to_owned()) };
    let signer =
        trailer.signer.as_deref().map(crate::escape::bytes_for_eyes).unwrap_or_else(|| "an unnamed signer".to_owned());
    Err(match subject.plan.signature {
        Signature::Refuse => format!(
            "signed by {signer}, and a patch breaks the signature: --signature strip makes it an unsigned module, \
             --signature keep one that a kernel with this key refuses"
        ),
        Signature::Strip => {
            format!("signed by {signer}; the trailer goes, and kernels treat the module as unsigned (taint E)")
        }
        Signature::Keep => format!(
            "signed by {signer}; the trailer stays: a kernel that knows this key refuses the module with EKEYREJECTED, \
             one that does not treats it as unsigned"
        ),
        Signature::Renew => format!(
            "signed by {signer}; another signature takes its place, which a kernel trusts only if it has that key"
        ),
    })
}

fn ima(subject: &Subject<'_>, machine: &Machine) -> Seen {
    let attributes = ["security.ima", "security.evm"];
    // A query: rustix's getxattr into an empty buffer says 0 of an attribute of any size.
    let has = |name: &&&str| !subject.is_new && rustix::fs::getxattr_query(subject.path, **name).is_ok();
    let found: Vec<&str> = attributes.iter().filter(has).copied().collect();
    if !found.is_empty() {
        return Err(format!("the file carries {}, which will not fit the changed bytes", found.join(" and ")));
    }
    match machine.ima_appraises_modules() {
        Some(true) => Err("an IMA policy of this machine appraises modules".to_owned()),
        Some(false) => Ok("no IMA attribute, and no policy appraises modules".to_owned()),
        None => Ok("no IMA attribute; no IMA policy to be read".to_owned()),
    }
}

fn abi_tokens(subject: &Subject<'_>) -> Seen {
    let Some(comparison) = subject.plan.comparison() else {
        return Ok("no new version magic to compare with".to_owned());
    };
    let mut differing: Vec<String> = comparison
        .abi_differences()
        .map(|d| {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "none".to_owned());
            format!("{} ({} becomes {})", d.kind.name(), side(&d.module), side(&d.kernel))
        })
        .collect();
    differing.extend(subject.kernel.and_then(|kernel| realtime::difference(subject.module, kernel)));
    match differing.is_empty() {
        true => Ok("SMP, preemption, architecture and randstruct stay as they are".to_owned()),
        false => Err(format!("the new version magic claims another ABI: {}", differing.join(", "))),
    }
}

fn struct_module(subject: &Subject<'_>) -> Seen {
    let Some(kernel) = subject.kernel else { return Ok("no kernel named to compare with".to_owned()) };
    match danger::fingerprint(subject.module, kernel) {
        Some(danger) => Err(danger.sentence()),
        None if kernel.facts.fingerprint.is_none() => Ok("the kernel's struct module is not known".to_owned()),
        None => Ok("size and pointers as in the kernel, which proves nothing about the rest".to_owned()),
    }
}

fn crc(subject: &Subject<'_>) -> Seen {
    if subject.plan.versioned.as_ref().is_some_and(|versioned| versioned.hidden) {
        return Err("its symbol versions are hidden: the kernel can compare none".to_owned());
    }
    let Some(kernel) = subject.kernel else { return Ok("no kernel named to compare with".to_owned()) };
    match danger::crcs(subject.module, kernel) {
        Some(danger) if subject.plan.versioned.is_some() => {
            Err(format!("{}; the kernel's are written over them, and it can't tell any more", danger.sentence()))
        }
        Some(danger) => Err(danger.sentence()),
        None => Ok("no symbol CRC is known to differ".to_owned()),
    }
}

fn btf(subject: &Subject<'_>) -> Seen {
    match (subject.module.btf, subject.plan.drop_btf) {
        (None, _) => Ok("no type information".to_owned()),
        (Some(_), false) => Ok("type information stays, and kernels from 5.11 on look at it".to_owned()),
        (Some(_), true) => {
            Err("its type information is hidden: the kernel can't see any more that it is not for it".to_owned())
        }
    }
}

fn confirmed(subject: &Subject<'_>) -> Seen {
    match subject.is_confirmed {
        true => Ok("exactly this plan was confirmed".to_owned()),
        false => Err("not confirmed yet: type the module's name on a terminal, or give --confirm DIGEST".to_owned()),
    }
}
