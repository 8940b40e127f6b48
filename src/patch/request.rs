//! The request for a plan. Pure.

use std::sync::Arc;

use serde::Serialize;

use crate::module::container::DEFAULT_MAX_SIZE;
use crate::patch::sign::Signer;
use crate::patch::versions::Modversions;

/// What becomes of the version magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Mode {
    /// Another string replaces it. The kernel sees a module that fits: no force is needed, and taint F is not set.
    Rewrite,
    /// The whole entry becomes NULs, as kmod's `--force-vermagic` does to its copy (libkmod-elf.c): the kernel needs
    /// CONFIG_MODULE_FORCE_LOAD, and sets taint F.
    Blank,
    /// It stays; the request changes something else.
    Keep,
}

/// What becomes of the signature trailer, which the changed bytes invalidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Signature {
    /// A signed module is not patched.
    #[default]
    Refuse,
    /// The trailer is removed: kernels treat the module as unsigned.
    Strip,
    /// The trailer stays: a kernel that knows its key rejects the module.
    Keep,
    /// A trailer by another key replaces it, for a lab whose kernel trusts that key.
    Renew,
}

/// The requested version magic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum NewVermagic {
    /// This string replaces the old one.
    Rewrite(Vec<u8>),
    /// No string at all.
    Blank,
    /// The string stays.
    Keep,
}

/// Does the module get a mark, the modinfo entry `kmodlab_patched=` with the first digits of its original's SHA-256?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Mark {
    /// If a new file replaces it anyway.
    #[default]
    WhenRepacked,
    /// In any case; if it does not fit, `.modinfo` moves to the end of the image.
    Always,
    /// Not at all.
    Never,
}

/// The request for a plan.
#[derive(Clone, Debug)]
pub struct Request {
    /// What becomes of the version magic.
    pub new_vermagic: NewVermagic,
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
    /// for them (`btf_module_notify`, kernel/bpf/btf.c), and look for it only by that name.
    pub drop_btf: bool,
    /// Is the module marked as patched?
    pub mark: Mark,
    /// Is a change that can't be written over the old bytes an error: a string that is too long, a compressed module, a trailer
    /// that is added or removed?
    pub in_place: bool,
    /// The maximum size of the decompressed module in bytes.
    pub max_size: u64,
}

impl Request {
    /// A request for the version magic and the trailer. Everything else stays, and `.modinfo` may move to the end of the image.
    pub fn new(new_vermagic: NewVermagic, signature: Signature) -> Request {
        Request {
            new_vermagic,
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
