//! A kernel with all that is known about it. Pure.

use std::fmt;

use crate::door::{internal_fields, internal_fn};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::imports::OwnImports;
use crate::kernel::name::KernelName;
use crate::kernel::origin::Origin;
use crate::vermagic::{Release, Vermagic};

internal_fields! {
    /// A kernel: its version magic, if that is known, and all other facts about it.
    #[derive(Clone, Debug)]
    pub struct Kernel {
        /// The name by which it was found.
        name: KernelName,
        /// Its version magic. `None` if it is not known ([`Kernel::why_no_vermagic`]): no string of the image is certainly the
        /// version magic, modules are disabled, or all modules are stripped.
        vermagic: Option<Fact<Vermagic>>,
        /// All other facts.
        facts: Facts,
    }
}

/// Why a kernel's version magic is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoVermagic<'k> {
    /// The kernel loads no modules (CONFIG_MODULES), by this configuration.
    ModulesDisabled(&'k Origin),
    /// All its modules are stripped of the version magic (CONFIG_MODULE_STRIPPED of OpenWrt), and its loader does not
    /// compare it.
    Stripped(&'k Origin),
    /// No string in this image is certainly the version magic.
    Uncertain(&'k Origin),
    /// No source has it.
    NotFound,
}

impl fmt::Display for NoVermagic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoVermagic::ModulesDisabled(config) => {
                write!(f, "modules are disabled, CONFIG_MODULES is not set ({config})")
            }
            NoVermagic::Stripped(modules) => {
                write!(f, "all modules are stripped of it, as OpenWrt strips them ({modules})")
            }
            NoVermagic::Uncertain(image) => write!(f, "no string in {image} is certainly it"),
            NoVermagic::NotFound => f.write_str("nothing that was read has it"),
        }
    }
}

impl Kernel {
    internal_fn! {
        /// Its version magic.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NoVermagic`] if it is not known, with the reason.
        fn known_vermagic(&self) -> Result<&Fact<Vermagic>> {
            self.vermagic.as_ref().ok_or_else(|| {
                let why = self.why_no_vermagic();
                let hint = match why {
                    NoVermagic::ModulesDisabled(_) => "no patch of a module helps there",
                    NoVermagic::Stripped(_) => "its loader does not compare it, so no patch is needed",
                    NoVermagic::Uncertain(_) | NoVermagic::NotFound => "give the string by hand: vermagic:'STRING'",
                };
                let what = format!("the kernel's version magic is not known: {why}");
                Error::new(ErrorKind::NoVermagic, what).hint(hint).on(self.name.to_string())
            })
        }
    }

    /// Why its version magic is not known.
    pub fn why_no_vermagic(&self) -> NoVermagic<'_> {
        match (self.without_modules(), &self.facts.stripped, &self.facts.banner) {
            (Some(config), ..) => NoVermagic::ModulesDisabled(config),
            (None, Some(stripped), _) => NoVermagic::Stripped(&stripped.source),
            (None, None, Some(banner)) => NoVermagic::Uncertain(&banner.source),
            (None, None, None) => NoVermagic::NotFound,
        }
    }

    internal_fn! {
        /// The configuration that disables modules (CONFIG_MODULES), if there is one. It counts only for a kernel without a
        /// version magic: a kernel with one loads modules.
        fn without_modules(&self) -> Option<&Origin> {
            let config = self.facts.config.as_ref().filter(|_| self.vermagic.is_none())?;
            (!config.value.contains_key("MODULES")).then_some(&config.source)
        }
    }

    /// Its version magic, if it is known: an image may have no string that is certainly its version magic.
    pub fn vermagic(&self) -> Option<&Vermagic> {
        self.vermagic.as_ref().map(|fact| &fact.value)
    }

    /// Its release. The first word of the version magic differs from it if a vendor has put a constant string there.
    pub fn release(&self) -> Option<&str> {
        let of_vermagic = || Some(self.vermagic.as_ref()?.value.release()?.text.as_str());
        self.facts.release.as_ref().map(|release| release.value.as_str()).or_else(of_vermagic)
    }

    internal_fn! {
        /// Its release, split into the numbers of the Makefile and the text after them.
        fn release_parts(&self) -> Option<Release> {
            self.release().map(Release::of)
        }
    }

    /// The same kernel without the facts that only this module is evidence of: a module is no evidence for itself. `None` if
    /// there is nothing to leave out. The version magic stays, since the kernel was named by it.
    pub(crate) fn without(&self, own: &OwnImports) -> Option<Kernel> {
        let imports = self.facts.imports.as_ref().filter(|_| own.is_only_witness())?;
        let is_other = |source: &Origin| !source.is_within(&imports.source);
        let mut kernel = self.clone();
        kernel.facts.machine = kernel.facts.machine.filter(|fact| is_other(&fact.source));
        kernel.facts.fingerprint = kernel.facts.fingerprint.filter(|fact| is_other(&fact.source));
        kernel.facts.stripped = kernel.facts.stripped.filter(|fact| is_other(&fact.source));
        kernel.facts.imports = None;
        kernel.facts.learn_from_vermagic();
        Some(kernel)
    }
}
