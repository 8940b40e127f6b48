//! The subject of a prediction, and the way in which it is loaded.

use serde::{Deserialize, Serialize};

use crate::door::internal_fields;
use crate::module::Module;
use crate::module::container::Packing;

/// The checks that the kernel is asked to ignore (flags of finit_module(2)).
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
    /// Is the version magic ignored?
    pub fn vermagic(self) -> bool {
        matches!(self, Force::Vermagic | Force::Both)
    }

    /// Are symbol versions ignored?
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

/// The loader of a compressed module file. All loaders load plain files in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Loader {
    /// Not known. If kmod's versions differ, the verdict is unknown.
    #[default]
    Any,
    /// kmod up to 30, which decompresses the file itself.
    Kmod30,
    /// kmod 31 to 33, which let the kernel decompress the formats that it supports.
    Kmod31,
    /// kmod 34: the same, but it accepts only a single zstd frame of known size.
    Kmod34,
    /// finit_module(2) with MODULE_INIT_COMPRESSED_FILE (4): the kernel decompresses the file.
    Kernel,
}

/// How the module is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The checks that the kernel is asked to ignore.
    pub force: Force,
    /// A plain insmod: the modules that it needs are not loaded. Otherwise they are assumed to be loaded before it.
    pub alone: bool,
    /// The loader, if the file is compressed.
    pub loader: Loader,
    /// The module was patched: its CRCs may not be those of its build, and prove nothing about its layout. A module with its
    /// own mark (`kmodlab_patched=`) need not be marked here.
    pub is_patched: bool,
}

internal_fields! {
    /// A module as it is passed to the kernel.
    #[derive(Clone, Copy, Debug)]
    pub struct Candidate<'f> {
        /// The file's bytes, decompressed, with the trailer.
        bytes: &'f [u8],
        /// The same file, parsed; `None` for a file that contradicts itself, which gives no evidence about layouts.
        module: Option<&'f Module>,
        /// How the file is compressed; `None` for a plain file, or if the bytes are passed on unchanged.
        packing: Option<&'f Packing>,
    }
}
