//! A row of the tables of options. Pure.

use serde::Serialize;

use crate::buildtree::reading::makefile::KernelNumbers;

/// What an option changes, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbiEffectKind {
    /// `struct module` before its member `init`: the kernel calls another function, or none, without a message.
    BeforeInit,
    /// `struct module` elsewhere: its size, its `exit`, or other members that the kernel reads.
    StructModule,
    /// How functions are called, what surrounds them, or what inline functions do.
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
    /// The first version that was read and no longer has it.
    pub(super) until: Option<KernelNumbers>,
    pub(super) seen: &'static str,
    pub(super) source: &'static str,
    /// Only if this option is set too: an architecture, or a condition around it.
    pub(super) only: Option<&'static str>,
    /// Is its value compared, instead of whether it is set?
    pub(super) by_value: bool,
}

/// Since the first kernel with such modules.
pub(super) const ALWAYS: KernelNumbers = (0, 0, 0);
