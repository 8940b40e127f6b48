//! Overrides: what a person may allow although a guard refuses, each for one guard.

/// One guard that a person overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Override {
    /// The guard installed-tree: the file belongs to an installed kernel or to a package.
    InstalledTree,
    /// The guard ima: an integrity measurement of the file becomes invalid.
    Ima,
    /// The guard abi-tokens: the new version magic claims another ABI.
    AbiTokens,
    /// The guard struct-module: `struct module` is laid out differently.
    StructModule,
    /// The guard crc: symbol CRCs differ.
    Crc,
}

impl Override {
    /// All of them.
    pub const ALL: [Override; 5] =
        [Override::InstalledTree, Override::Ima, Override::AbiTokens, Override::StructModule, Override::Crc];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What lifts a guard's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LiftedBy {
    /// Nothing.
    Nothing,
    /// The machine is enrolled as a lab machine in the vault that is written through.
    LabMachine,
    /// The request says what becomes of the signature ([`crate::patch::Request::signature`]).
    Signature,
    /// The request itself hides the type information ([`crate::patch::Request::drop_btf`]).
    DropBtf,
    /// A named override.
    Named(Override),
}

/// The overrides that a person gave. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides(u8);

impl Overrides {
    /// No override.
    pub const fn none() -> Overrides {
        Overrides(0)
    }

    /// Every override.
    pub fn all() -> Overrides {
        Override::ALL.into_iter().collect()
    }

    /// These overrides and one more.
    #[must_use]
    pub fn with(self, one: Override) -> Overrides {
        Overrides(self.0 | one.bit())
    }

    /// Is this override among them?
    pub fn contains(self, one: Override) -> bool {
        self.0 & one.bit() != 0
    }
}

impl FromIterator<Override> for Overrides {
    fn from_iter<I: IntoIterator<Item = Override>>(overrides: I) -> Overrides {
        overrides.into_iter().fold(Overrides::none(), Overrides::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_override_is_separate() {
        for one in Override::ALL {
            let only: Overrides = [one].into_iter().collect();
            assert_eq!(Override::ALL.into_iter().filter(|other| only.contains(*other)).collect::<Vec<_>>(), [one]);
        }
        assert!(Override::ALL.into_iter().all(|one| Overrides::all().contains(one)));
        assert_eq!(Overrides::none(), Overrides::default());
    }
}
