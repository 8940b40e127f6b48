//! The kernel on which modules are loaded: its facts, its image, and its own modules.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::files::{self, KernelFiles};
use crate::kernel::{Fact, Kernel, Lookup, Policy};
use crate::lab::guest::{self, GuestSettings};
use crate::lab::subject::TrialSubject;

/// Modules that a file system may need for its use, if the kernel has them as modules: a disk, and the character sets
/// that FAT requests in Debian's configuration.
pub(super) const FOR_FILESYSTEMS: [&str; 3] = ["brd", "nls_cp437", "nls_ascii"];

/// A kernel with its image and its own modules.
#[derive(Debug)]
pub struct TargetKernel {
    /// Its facts.
    pub kernel: Kernel,
    /// Its files.
    pub files: KernelFiles,
}

impl TargetKernel {
    /// Opens the kernel of this name (see [`crate::kernel::named`]), with its image and these of its modules,
    /// including the modules that they need.
    ///
    /// # Errors
    ///
    /// Those of [`crate::kernel::named`], [`guest::ready`] and [`files::of`]; [`ErrorKind::NotFound`] if there is no
    /// image to boot.
    pub fn open(
        name: &OsStr,
        modules: &BTreeSet<String>,
        settings: &GuestSettings,
        lookup: &Lookup,
    ) -> Result<TargetKernel> {
        let no_image = || {
            let hint = "name a package, or the folder with boot/vmlinuz-RELEASE and lib/modules/RELEASE";
            Error::new(ErrorKind::NotFound, "there is no image to boot there").hint(hint).on(Path::new(name))
        };
        let mut kernel = crate::kernel::named(name, lookup)?;
        // The guest boots this kernel, so the state and the command line of the running kernel do not apply.
        kernel.facts.policy = Some(policy(&settings.command_line));
        // The version line is present in every image, and nowhere else.
        let (Some(_), Some(machine)) = (&kernel.facts.banner, &kernel.facts.machine) else { return Err(no_image()) };
        let machine = machine.value.number;
        guest::ready(machine, settings)?;
        let names: Vec<String> = modules.iter().cloned().chain(FOR_FILESYSTEMS.map(str::to_owned)).collect();
        let wanted = files::with_dependencies(&kernel, &names).into_iter().collect();
        let files = files::of(name, &wanted, lookup)?;
        if files.image.is_none() {
            return Err(no_image());
        }
        Ok(TargetKernel { kernel, files })
    }

    /// The kernel's own module of this name.
    pub fn own(&self, name: &str) -> Option<TrialSubject> {
        let file = self.files.modules.get(name)?;
        Some(TrialSubject::new(file.bytes.clone(), Path::new(&file.path), Some(self.kernel.name.to_string())))
    }
}

/// The policy that a kernel command line sets (Documentation/admin-guide/kernel-parameters.txt). The last one of
/// repeated parameters counts.
fn policy(command_line: &str) -> Fact<Policy> {
    let last = |name: &str| {
        let words = command_line.split_ascii_whitespace().rev();
        words.filter_map(|word| word.strip_prefix(name)).find(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let is_on = |rest: &str| matches!(rest.trim_start_matches('='), "" | "1" | "y" | "Y" | "on");
    let names = last("module_blacklist").unwrap_or_default().trim_start_matches('=').split(',');
    let value = Policy {
        sig_enforce: last("module.sig_enforce").map(is_on).filter(|is_on| *is_on),
        locked_down: last("lockdown").map(|rest| matches!(rest, "=integrity" | "=confidentiality")),
        modules_disabled: last("nomodule").map(|_| true),
        blacklist: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        loaded: Vec::new(),
    };
    Fact { value, source: "the guest's command line".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_sets_the_policy_for_modules() {
        let told = |line: &str| policy(line).value;
        assert_eq!(told("quiet"), Policy::default());
        assert_eq!(told("module.sig_enforce=1").sig_enforce, Some(true));
        assert_eq!(told("module.sig_enforce").sig_enforce, Some(true));
        // This parameter cannot be unset, and the kernel's configuration still applies.
        assert_eq!(told("module.sig_enforce=0").sig_enforce, None);
        assert_eq!(told("lockdown=integrity quiet").locked_down, Some(true));
        assert_eq!(told("module_blacklist=a module_blacklist=b,c").blacklist, ["b", "c"]);
        assert_eq!(told("nomodules lockdownx=integrity"), Policy::default());
    }
}
