//! What a plan is asked for. Pure.

use std::sync::Arc;

use serde::Serialize;

use crate::module::container::DEFAULT_MAX_SIZE;
use crate::patch::sign::Signer;
use crate::patch::versions::Modversions;

/// What becomes of the version magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The string is replaced by another. The kernel sees a module that fits: no force, and no taint F.
    Rewrite,
    /// The whole entry becomes NULs, as kmod's `--force-vermagic` does to its copy (libkmod-elf.c): the kernel needs
    /// CONFIG_MODULE_FORCE_LOAD, and sets taint F.
    Blank,
    /// It stays: something else is changed.
    Keep,
}

/// What becomes of the signature trailer, which no longer fits the changed bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// A signed module is not patched.
    #[default]
    Refuse,
    /// The trailer goes: the module counts as unsigned.
    Strip,
    /// The trailer stays: a kernel that knows its key refuses the module.
    Keep,
    /// A trailer of another key takes its place: for a lab whose kernel trusts that key.
    Renew,
}

/// What is wished for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// This string instead of the old one.
    Rewrite(Vec<u8>),
    /// No string at all.
    Blank,
    /// The string that is there.
    Keep,
}

/// Does the module get a mark, the modinfo entry `kmodlab_patched=` with the first digits of its original's SHA-256?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// If a whole new file takes its place anyway.
    #[default]
    WhenRepacked,
    /// In any case, by growth if there is no room.
    Always,
    /// Not at all.
    Never,
}

/// All that a plan is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What becomes of the version magic.
    pub wish: Wish,
    /// What becomes of the trailer.
    pub signature: Signature,
    /// Who signs, for [`Signature::Renew`].
    #[cfg(feature = "internals")]
    pub signer: Option<Arc<Signer>>,
    /// Who signs, for [`Signature::Renew`].
    #[cfg(not(feature = "internals"))]
    pub(crate) signer: Option<Arc<Signer>>,
    /// What becomes of the symbol versions.
    pub modversions: Modversions,
    /// Is the module's type information hidden from the kernel? Kernels from 5.11 on refuse a module whose `.BTF` is not
    /// for them (`btf_module_notify`, kernel/bpf/btf.c), and look for it by that name alone.
    pub drop_btf: bool,
    /// Is the module marked as patched?
    pub mark: Mark,
    /// Is what can't be written over in the file itself an error: a string without room, a compressed module, a trailer that
    /// comes or goes?
    pub in_place: bool,
    /// The most bytes that a compressed module may have when it is decompressed.
    pub max_size: u64,
}

impl Request {
    /// The version magic and the trailer; all else stays, and what does not fit grows.
    pub fn new(wish: Wish, signature: Signature) -> Request {
        Request {
            wish,
            signature,
            signer: None,
            modversions: Modversions::Keep,
            drop_btf: false,
            mark: Mark::default(),
            in_place: false,
            max_size: DEFAULT_MAX_SIZE,
        }
    }
}
