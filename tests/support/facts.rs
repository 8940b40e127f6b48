//! The facts that a kernel itself shows, so that tests claim nothing else: its version, its configuration, its messages.
//!
//! The configuration is that of the headers package with the same release. Messages are searched for in the whole image, and
//! not only among those that the program searches for.

use std::collections::BTreeSet;

use kmodlab::kernel::files;
use kmodlab::kernel::image::unpacked;
use kmodlab::kernel::{self, Config, Kernel};

use super::fetched::{self, LOOKUP};

/// A kernel that `tests/real/fetch` keeps.
pub(crate) struct Facts {
    name: String,
    pub(crate) kernel: Kernel,
    /// The options that are set, without `CONFIG_`.
    options: Config,
}

impl Facts {
    pub(crate) fn of(name: &str) -> Facts {
        let kernel = kernel::named(&fetched::named(name), &LOOKUP).unwrap();
        // For some kernels only the headers package contains it.
        let options = kernel::named(fetched::headers(name).as_os_str(), &LOOKUP).unwrap().facts.config.unwrap().value;
        Facts { name: name.to_owned(), kernel, options }
    }

    /// Major and minor number.
    pub(crate) fn version(&self) -> (u32, u32) {
        let release = &self.kernel.facts.release.as_ref().unwrap().value;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// Was it built with this option?
    pub(crate) fn is_set(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }

    /// Is it for this machine (e_machine)?
    pub(crate) fn is_of(&self, machine: u16) -> bool {
        self.kernel.facts.machine.as_ref().unwrap().value.number == machine
    }

    /// Does it have this module as a file, and not built in?
    pub(crate) fn has_module(&self, name: &str) -> bool {
        self.kernel.facts.tree.as_ref().unwrap().value.modules.iter().any(|module| module.name == name)
    }

    /// Does its image contain this text?
    pub(crate) fn can_say(&self, text: &str) -> bool {
        let files = files::of(&fetched::named(&self.name), &BTreeSet::new(), &LOOKUP).unwrap();
        let (_, image) = files.image.unwrap();
        let image = unpacked(&image, LOOKUP.max_size).unwrap();
        memchr::memmem::find(&image, text.as_bytes()).is_some()
    }

    /// The compression of modules that it decompresses itself: gzip, xz or zstd (kernel/module/decompress.c, since 5.17).
    pub(crate) fn unpacks(&self) -> Option<&'static str> {
        let format = |(option, name)| self.is_set(option).then_some(name);
        let formats =
            [("MODULE_COMPRESS_GZIP", "gzip"), ("MODULE_COMPRESS_XZ", "xz"), ("MODULE_COMPRESS_ZSTD", "zstd")];
        formats.into_iter().find_map(format).filter(|_| self.is_set("MODULE_DECOMPRESS"))
    }
}
