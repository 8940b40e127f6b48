//! The files of a kernel, gathered from its sources: its image as a machine boots it, and modules by name. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::place::{self, BundlePath, FileRole, KernelGroup};
use crate::kernel::preference::{self, DepmodOrder};
use crate::module::container::Container;
use crate::module::name_of_file;

/// KernelFiles of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelFiles {
    /// The image with its path as text: the unmodified file, as boot loaders and QEMU read it. `None` if the sources have no
    /// image.
    pub image: Option<(String, Vec<u8>)>,
    /// The modules by name, with `_`. Wanted modules that do not exist are not in it.
    pub modules: BTreeMap<String, ModuleFile>,
}

/// A module's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// Its path, or its path in the package.
    pub path: String,
    /// Its bytes, decompressed, with the trailer.
    pub bytes: Vec<u8>,
}

/// Receives the files of one source after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::kernel) struct FileSink {
    wanted: BTreeSet<String>,
    /// The releases of all kernels that were found, wanted or not.
    releases: BTreeSet<String>,
    image: Option<GatheredFile>,
    modules: BTreeMap<String, GatheredFile>,
}

/// A file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GatheredFile {
    /// Its rank: of two files, the one with the smaller number is used.
    rank: u8,
    path: String,
    #[serde(with = "in_one_piece")]
    bytes: Vec<u8>,
}

impl FileSink {
    /// An empty sink that wants the image and these modules.
    pub(in crate::kernel) fn new(wanted: &BTreeSet<String>) -> FileSink {
        let wanted = wanted.iter().map(|name| name.replace('-', "_")).collect();
        FileSink { wanted, ..FileSink::default() }
    }

    /// Is the file at this place wanted? The release of its kernel is recorded in any case.
    pub(in crate::kernel) fn wants(&mut self, place: &BundlePath<'_>) -> bool {
        let is_wanted = match place.role {
            FileRole::Image => true,
            FileRole::Module => self.wanted.contains(&name_of_file(Path::new(place.below))),
            _ => return false,
        };
        if let KernelGroup::Release(release) = &place.group
            && !self.releases.contains(release)
        {
            self.releases.insert(release.clone());
        }
        is_wanted
    }

    /// Adds a wanted file. An empty file is ignored.
    pub(in crate::kernel) fn add(&mut self, role: FileRole, group: &KernelGroup, path: &str, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let path = path.to_owned();
        match role {
            FileRole::Image => {
                let stored = GatheredFile { rank: image_rank(group, &path), path, bytes };
                if self.image.as_ref().is_none_or(|known| stored.rank < known.rank) {
                    self.image = Some(stored);
                }
            }
            FileRole::Module => {
                let below = preference::below_tree(&path);
                let rank = DepmodOrder::default().place(below);
                self.add_module(name_of_file(Path::new(&path)), GatheredFile { rank, path, bytes });
            }
            _ => {}
        }
    }

    fn add_module(&mut self, name: String, stored: GatheredFile) {
        let is_better = |known: &GatheredFile| (stored.rank, &stored.path) < (known.rank, &known.path);
        if self.modules.get(&name).is_none_or(is_better) {
            self.modules.insert(name, stored);
        }
    }

    /// Adds the wanted files of a package.
    pub(in crate::kernel) fn join(&mut self, other: FileSink, package: &Path) {
        self.releases.extend(other.releases);
        if let Some(mut image) = other.image
            && self.image.as_ref().is_none_or(|known| image.rank < known.rank)
        {
            image.path = format!("{} in {}", image.path, package.display());
            self.image = Some(image);
        }
        for (name, stored) in other.modules {
            if self.wanted.contains(&name) {
                self.add_module(name, stored);
            }
        }
    }

    /// The wanted modules, found or not.
    pub(in crate::kernel) fn wanted(&self) -> &BTreeSet<String> {
        &self.wanted
    }

    /// The size of all files together, in bytes.
    pub(in crate::kernel) fn size(&self) -> u64 {
        self.image.iter().chain(self.modules.values()).map(|stored| stored.bytes.len() as u64).sum()
    }

    /// The files, modules decompressed.
    pub(in crate::kernel) fn files(self, budget: &WorkBudget) -> Result<KernelFiles> {
        let max_size = budget.max_size();
        place::must_be_one(&self.releases.iter().map(String::as_str).collect())?;
        let mut modules = BTreeMap::new();
        for (name, GatheredFile { path, bytes, .. }) in self.modules {
            let bytes = match Container::of(&bytes) {
                Container::None if bytes.len() as u64 > max_size => {
                    let what = format!("it exceeds the limit of {max_size} bytes");
                    return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit).on(path));
                }
                Container::None => bytes,
                container => container.decompress_within(&bytes, budget).map_err(|e| e.on(&path))?,
            };
            modules.insert(name, ModuleFile { path, bytes });
        }
        Ok(KernelFiles { image: self.image.map(|stored| (stored.path, stored.bytes)), modules })
    }
}

/// Which of a kernel's images is booted; smaller is preferred. Few boot loaders read `vmlinux`, and a `vmlinux` among headers
/// has types, but no kernel.
fn image_rank(group: &KernelGroup, path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or_default();
    match group {
        KernelGroup::Folder(folder) if folder.starts_with("usr/src/") => 3,
        _ if name.starts_with("vmlinux") => 2,
        _ if matches!(name, "uImage" | "vmlinuz.efi") => 1,
        _ => 0,
    }
}

/// Serialises bytes as a whole, not one by one.
mod in_one_piece {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(in crate::kernel) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(in crate::kernel) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
