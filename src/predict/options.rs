//! What is loaded, and how.

use serde::{Deserialize, Serialize};

use crate::door::internal_fields;
use crate::module::Module;
use crate::module::container::Packing;

/// What the kernel is asked to ignore (flags of finit_module(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Force {
    /// Nothing.
    #[default]
    None,
    /// MODULE_INIT_IGNORE_VERMAGIC (2): kmod's `--force-vermagic`.
    Vermagic,
    /// MODULE_INIT_IGNORE_MODVERSIONS (1): kmod's `--force-modversion`.
    Modversions,
    /// Both (3): kmod's `--force`.
    Both,
}

impl Force {
    /// Whether the version magic is ignored.
    pub fn vermagic(self) -> bool {
        matches!(self, Force::Vermagic | Force::Both)
    }

    /// Whether symbol versions are ignored.
    pub fn modversions(self) -> bool {
        matches!(self, Force::Modversions | Force::Both)
    }

    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Force::None => "none",
            Force::Vermagic => "vermagic",
            Force::Modversions => "modversions",
            Force::Both => "both",
        }
    }
}

/// Who loads a compressed module file. All of them load plain files in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Loader {
    /// Not known. Where kmod's versions differ, the verdict is unknown.
    #[default]
    Any,
    /// kmod up to 30: it unpacks the file itself.
    Kmod30,
    /// kmod 31 to 33: it lets the kernel unpack what the kernel can.
    Kmod31,
    /// kmod 34: the same, and it takes one zstd frame of a known size only.
    Kmod34,
    /// finit_module(2) with MODULE_INIT_COMPRESSED_FILE (4): the kernel unpacks the file.
    Kernel,
}

/// How the module is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// What the kernel is asked to ignore.
    pub force: Force,
    /// A bare insmod: the modules that it needs are not loaded. Otherwise they count as loaded before it.
    pub alone: bool,
    /// Who loads it, if the file is compressed.
    pub loader: Loader,
    /// The module was patched: its CRCs may not be those that it was compiled with, and prove nothing about its layout. A
    /// module that says so itself (`kmodlab_patched=`) need not be marked.
    pub is_patched: bool,
}

internal_fields! {
    /// A module as it is handed to the kernel.
    #[derive(Clone, Copy, Debug)]
    pub struct Candidate<'f> {
        /// The file's bytes, decompressed, with the trailer.
        bytes: &'f [u8],
        /// The same, read; `None` for a file that contradicts itself, which gives no evidence about layouts.
        module: Option<&'f Module>,
        /// How the file is compressed; `None` for a plain one, or where the bytes are handed over as they are.
        packing: Option<&'f Packing>,
    }
}
