//! What users of the library ask a module about.

use std::path::Path;

use crate::error::Result;
use crate::escape::bytes_for_eyes;
use crate::module::container::DEFAULT_MAX_SIZE;
use crate::module::{Module, elf, open_unhashed};

impl Module {
    /// Opens a module file, compressed (gzip, xz, zstd) or not, and reads it.
    ///
    /// ```
    /// let module = kmodlab::Module::open("fixtures/modules/hello-4.ko.xz".as_ref())?;
    /// assert_eq!(module.name().as_deref(), Some("hello_4"));
    /// assert_eq!(module.machine_name(), "x86-64");
    /// # Ok::<(), kmodlab::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ErrorKind::NotFound) and [`Io`](crate::ErrorKind::Io) if the file cannot be read;
    /// [`TooLarge`](crate::ErrorKind::TooLarge) if it decompresses to more than 1 GiB; the errors of [`Module::read`].
    pub fn open(path: &Path) -> Result<Module> {
        open_unhashed(path, DEFAULT_MAX_SIZE)
    }

    /// The name of its architecture, as readelf(1) names `e_machine` in short: `x86-64`, `aarch64`, `s390`.
    pub fn machine_name(&self) -> String {
        elf::machine_name(self.machine)
    }

    /// The values of all `.modinfo` entries with this key, in file order: `license`, `depends`, `alias`. The bytes come from
    /// the file as they are; escape them before you print them.
    ///
    /// ```
    /// let module = kmodlab::Module::open("fixtures/modules/hello-4.ko".as_ref())?;
    /// assert_eq!(module.modinfo_values("license").collect::<Vec<_>>(), [b"GPL"]);
    /// # Ok::<(), kmodlab::Error>(())
    /// ```
    pub fn modinfo_values(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.modinfo.all(key)
    }

    /// The symbols that the module needs, each with the CRC that it expects, if it has symbol versions.
    pub fn imported_symbols(&self) -> impl Iterator<Item = (&[u8], Option<u64>)> {
        self.imports.iter().map(|import| (import.name.as_slice(), import.crc))
    }

    /// The symbols that the module offers to other modules.
    pub fn exported_symbols(&self) -> impl Iterator<Item = &[u8]> {
        self.exports.iter().map(|export| export.name.as_slice())
    }

    /// Is a signature appended? Whether it is valid depends on the kernel's keys: ask for a verdict.
    pub fn is_signed(&self) -> bool {
        self.trailer.is_some()
    }

    /// The signer's name in the appended signature, with control characters escaped.
    pub fn signer(&self) -> Option<String> {
        self.trailer.as_ref()?.signer.as_deref().map(bytes_for_eyes)
    }
}
