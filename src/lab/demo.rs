//! The kernels and modules of the program's demonstration: one kernel to boot, and the same module of it and of others.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Lookup;
use crate::lab::guest::GuestSettings;
use crate::lab::patched::refused_vermagic;
use crate::lab::subject::{TrialSubject, subjects};
use crate::lab::target::TargetKernel;

/// The module of the demonstration: it creates a network device that counts and discards packets, so it is easy to see whether it
/// works. Every distribution has it.
pub const MODULE: &str = "dummy";

/// The inputs of the demonstration, read before it begins.
pub struct VmDemo {
    /// The kernel to boot, as it was named.
    pub kernel: String,
    target: TargetKernel,
    /// Its own module.
    pub own: TrialSubject,
    /// Modules of other kernels: the kernel's name, and its module.
    pub others: Vec<(String, TrialSubject)>,
}

impl VmDemo {
    /// Reads the kernels, and checks that a virtual machine is available.
    ///
    /// # Errors
    ///
    /// Those of [`TargetKernel::open`] and [`subjects`]; [`ErrorKind::NotFound`] for a kernel that has no module `dummy`.
    pub fn open(kernel: String, built_for: Vec<String>, settings: &GuestSettings, lookup: &Lookup) -> Result<VmDemo> {
        let names = BTreeSet::from([MODULE.to_owned()]);
        let target = TargetKernel::open(OsStr::new(&kernel), &names, settings, lookup)?;
        let missing = || Error::new(ErrorKind::NotFound, format!("no module {MODULE} there")).on(&kernel);
        let own = target.own(MODULE).ok_or_else(missing)?;
        let mut others = Vec::new();
        for name in built_for {
            let found = subjects(&[OsString::from(MODULE)], &[OsString::from(&name)], lookup)?;
            others.extend(found.into_iter().map(|subject| (name.clone(), subject)));
        }
        Ok(VmDemo { kernel, target, own, others })
    }

    /// Whether the kernel's own module is signed.
    pub fn is_signed(&self) -> bool {
        self.own.module.as_ref().is_some_and(|module| module.trailer.is_some())
    }

    /// A vermagic that fits in place of the own module's, and that the kernel refuses: that of another of the kernels, or
    /// the module's own without the word SMP.
    pub fn foreign_vermagic(&self) -> Option<String> {
        let others: Vec<String> = self.others.iter().filter_map(|(_, other)| other.seen.vermagic.clone()).collect();
        refused_vermagic(&self.own, &self.target.kernel, &others)
    }
}
