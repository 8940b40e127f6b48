//! A row of the tables of options. Pure.

use serde::Serialize;

use crate::buildtree::reading::makefile::KernelNumbers;

/// What an option changes, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbiEffectKind {
    /// `struct module` before its member `init`: the kernel finds another init, or none, and says nothing.
    BeforeInit,
    /// `struct module` elsewhere: its size, its `exit`, or what the kernel looks for in it.
    StructModule,
    /// How functions are called, what stands around them, or what inline functions do.
    Code,
    /// A structure that modules share with the kernel.
    SharedStructure,
}

/// A row of the tables.
pub(super) struct OptionRow {
    pub(super) option: &'static str,
    pub(super) kind: AbiEffectKind,
    pub(super) what: &'static str,
    /// The first version that may have it.
    pub(super) from: KernelNumbers,
    /// The first that was read and has it no more.
    pub(super) until: Option<KernelNumbers>,
    pub(super) seen: &'static str,
    pub(super) source: &'static str,
    /// Only where this is set too: an architecture, or what the option is looked at under.
    pub(super) only: Option<&'static str>,
    /// Is its value compared, and not whether it is set?
    pub(super) by_value: bool,
}

/// From the first kernel on that has such modules.
pub(super) const ALWAYS: KernelNumbers = (0, 0, 0);
