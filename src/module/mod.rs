//! What a module file says: opened and mapped, decompressed, and read into facts that own their data.
//!
//! [`open`] does the input; [`Module::read`] is pure: bytes in, facts out, no other effect. Whatever the bytes are, the
//! answer is facts or one [`Error`], never a panic.

pub mod certificate;
mod compress;
pub mod container;
pub(crate) mod der;
pub mod description;
pub mod elf;
pub mod file;
mod interface;
pub mod licence;
pub mod listing;
pub mod modinfo;
mod partial;
mod pkcs7;
mod public_key;
mod registry;
pub mod summary;
pub mod symbols;
pub mod this_module;
pub mod trailer;
pub mod verification;
pub mod versions;
mod wrapper;

use std::ffi::OsStr;
use std::path::Path;

use crate::digest::{Sha256, sha256};
use crate::door::internal_fields;
use crate::error::{Error, ErrorKind, Result};
use crate::escape::shell_word;
use crate::vermagic::Vermagic;
use container::{Container, Packing};
use elf::{Class, Elf, Endian};
use modinfo::Modinfo;
use symbols::{ModuleExport, ModuleImport};
use this_module::ThisModule;
use trailer::Trailer;
use versions::SymbolVersions;

/// How a module file is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its container.
    pub container: Container,
    /// Its size on disk, in bytes.
    pub size: u64,
    /// The SHA-256 of the file as it is on disk, if it was asked for: hashing takes longer than all the rest.
    pub sha256: Option<Sha256>,
}

internal_fields! {
    /// All that a module says about itself.
    #[derive(Clone, Debug)]
    pub struct Module {
        /// Size of the uncompressed file, with its trailer, in bytes.
        size: usize,
        /// 32 or 64 bit.
        class: Class,
        /// Byte order.
        endian: Endian,
        /// `e_machine` of the ELF header.
        machine: u16,
        /// The strings of `.modinfo`.
        modinfo: Modinfo,
        /// Symbol versions.
        versions: SymbolVersions,
        /// `struct module` as built; `None` where the section is missing.
        this_module: Option<ThisModule>,
        /// What it needs.
        imports: Vec<ModuleImport>,
        /// What it offers.
        exports: Vec<ModuleExport>,
        /// The GNU build-id.
        build_id: Option<Vec<u8>>,
        /// The appended signature.
        trailer: Option<Trailer>,
        /// Size of `.BTF` in bytes, where there is one.
        btf: Option<u64>,
        /// Bytes after the ELF image that belong to no trailer.
        unclaimed: usize,
        /// The end of a complete signature that other bytes follow, in bytes from the start of the file. A kernel looks for a
        /// signature only at the end of the file, and treats the module as unsigned.
        buried_signature: Option<usize>,
    }
}

/// Opens a module file, decompresses it up to `max_size` bytes where needed, reads it, and hashes it.
///
/// # Errors
///
/// Those of [`file::read_up_to`], [`Container::decompress`] and [`Module::read`], each with the file's name.
pub fn open(path: &Path, max_size: u64) -> Result<(StoredFile, Module)> {
    open_with(path, max_size, true)
}

/// As [`open`], without the hash.
///
/// # Errors
///
/// Those of [`open`].
pub fn open_unhashed(path: &Path, max_size: u64) -> Result<Module> {
    open_with(path, max_size, false).map(|(_, module)| module)
}

/// Opens a module file and hands `each` its uncompressed bytes, with its trailer. Whether they are a module is left to it.
///
/// # Errors
///
/// Those of [`file::read_up_to`] and [`Container::decompress`], with the file's name.
pub fn with_bytes<T>(path: &Path, max_size: u64, each: impl FnOnce(&[u8]) -> T) -> Result<T> {
    let contents = file::read_up_to(path, max_size)?;
    let container = Container::of(contents.bytes());
    match container {
        Container::None => Ok(each(contents.bytes())),
        _ => {
            let bytes = container.decompress(contents.bytes(), max_size).map_err(|e| e.on(path))?;
            Ok(each(&bytes))
        }
    }
}

/// As [`with_bytes`], and passes on how the file is compressed. Bytes after the compressed data are no error, and neither
/// is an empty file, nothing inside, or what is no ELF file: some loaders take the first, and all have an answer to the others.
///
/// # Errors
///
/// Those of [`file::read_even_empty`] and [`Container::unpack`], with the file's name.
pub fn with_packed<T>(path: &Path, max_size: u64, each: impl FnOnce(&[u8], Option<&Packing>) -> T) -> Result<T> {
    let contents = file::read_even_empty(path, max_size)?;
    let container = Container::of(contents.bytes());
    if container.is_none() {
        return Ok(each(contents.bytes(), None));
    }
    let mut bytes = Vec::new();
    let packing = container.unpack(&mut bytes, contents.bytes(), max_size).map_err(|e| e.on(path))?;
    Ok(each(&bytes, Some(&packing)))
}

fn open_with(path: &Path, max_size: u64, hashed: bool) -> Result<(StoredFile, Module)> {
    let contents = file::read_up_to(path, max_size)?;
    let stored = contents.bytes();
    let container = Container::of(stored);
    let module = match container {
        Container::None => Module::read(stored),
        _ => container.decompress(stored, max_size).and_then(|bytes| Module::read(&bytes)),
    }
    .map_err(|e| e.on(path))?;
    Ok((StoredFile { container, size: stored.len() as u64, sha256: hashed.then(|| sha256(stored)) }, module))
}

impl Module {
    /// Reads the uncompressed bytes of a module file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`], [`ErrorKind::Wrapped`], [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`], in one
    /// sentence.
    pub fn read(bytes: &[u8]) -> Result<Module> {
        if bytes.is_empty() {
            return Err(Error::new(ErrorKind::NotAModule, "an empty file"));
        }
        let trailer = if bytes.starts_with(b"\x7fELF") { trailer::find(bytes)? } else { None };
        let image = trailer.as_ref().and_then(|t| bytes.get(..t.start)).unwrap_or(bytes);
        let elf = Elf::read(image)?;
        let rest = image.get(elf.end..).unwrap_or_default();
        let buried_signature = if trailer.is_none() { trailer::buried(image, elf.end) } else { None };
        if trailer.is_none() && buried_signature.is_none() && trailer::looks_cut(rest) {
            let what = format!("{} bytes after the ELF image belong to nothing", rest.len());
            return Err(Error::new(ErrorKind::Truncated, what).hint("a signature trailer that was cut short?"));
        }
        let versions = SymbolVersions::read(&elf, image)?;
        Ok(Module {
            size: bytes.len(),
            class: elf.class,
            endian: elf.endian,
            machine: elf.machine,
            modinfo: Modinfo::read(&elf, image)?,
            this_module: ThisModule::read(&elf, image)?,
            imports: symbols::imports(&elf, &versions),
            exports: symbols::exports(&elf, image)?,
            build_id: elf.build_id.clone(),
            btf: elf.section(".BTF")?.map(|s| s.size),
            unclaimed: rest.len(),
            buried_signature,
            versions,
            trailer,
        })
    }

    /// The name under which the kernel will list it: modinfo's `name` (4.20 on), else the one in `struct module`.
    pub fn name(&self) -> Option<String> {
        let in_structure = || self.this_module.as_ref()?.name.as_deref();
        let name = self.modinfo.first("name").or_else(in_structure)?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// The same, and where the module names itself nowhere, the file's name as kmod makes a module's name of it:
    /// up to the first dot, with `-` as `_`.
    pub fn name_or_stem(&self, path: &Path) -> String {
        self.name().unwrap_or_else(|| name_of_file(path))
    }

    /// Its version magic: the first `vermagic=`, as the kernel takes it.
    pub fn vermagic(&self) -> Option<Vermagic> {
        self.modinfo.first("vermagic").map(Vermagic::parse)
    }

    /// The architectures to which the tokens of its vermagic belong, if the module is of another one.
    pub(crate) fn foreign_architectures(&self) -> Option<Vec<&'static str>> {
        let (architectures, here) = (self.vermagic()?.architectures(), elf::machine_name(self.machine));
        let is_foreign = !architectures.is_empty() && !architectures.iter().any(|a| is_same_architecture(a, &here));
        is_foreign.then_some(architectures)
    }

    /// The kernel version of a module of Linux 2.4, which has `kernel_version=` and no `struct module`: insmod made that
    /// (include/linux/module.h, 2.4). `None` for modules of later kernels.
    pub fn of_linux_2_4(&self) -> Option<&[u8]> {
        self.modinfo.first("kernel_version").filter(|_| self.this_module.is_none() && self.vermagic().is_none())
    }

    /// Are the entries missing that OpenWrt leaves out with CONFIG_MODULE_STRIPPED: `vermagic`, `name` and `intree`?
    pub fn is_stripped(&self) -> bool {
        self.of_linux_2_4().is_none()
            && ["vermagic", "name", "intree"].iter().all(|key| self.modinfo.first(key).is_none())
    }

    /// The namespaces that it imports (`import_ns=`).
    pub fn imported_namespaces(&self) -> impl Iterator<Item = &[u8]> {
        self.modinfo.all("import_ns")
    }

    /// A sentence about bytes after a complete signature, which hide it, with the command that removes them.
    pub fn after_signature(&self, container: Container, path: &Path) -> Option<String> {
        let end = self.buried_signature?;
        let more = self.size.saturating_sub(end);
        let bytes = if more == 1 { "1 byte follows".to_owned() } else { format!("{more} bytes follow") };
        let cut = match container {
            Container::None => format!("truncate -s {end} {}", shell_word(path)),
            container => format!("unpack it ({}), then truncate -s {end}", container.unpacker()),
        };
        Some(format!("the signature is whole, but {bytes} it, so a kernel sees none; cut them off: {cut}"))
    }

    /// Where the ELF image and what belongs to it ends: the size without the trailer.
    pub fn image_len(&self) -> usize {
        self.trailer.as_ref().map_or(self.size, |t| t.start)
    }
}

/// A module's name as kmod makes it of a file's name: up to the first dot, `-` and `_` being one (libkmod-util.c).
pub fn name_of_file(path: &Path) -> String {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let stem = file.split('.').next().unwrap_or_default();
    stem.replace('-', "_")
}

/// Is this the name of a module's file, by its ending?
pub fn is_module_name(name: impl AsRef<OsStr>) -> bool {
    let name = name.as_ref().as_encoded_bytes();
    [".ko", ".ko.gz", ".ko.xz", ".ko.zst"].iter().any(|end| name.ends_with(end.as_bytes()))
}

/// Do the kernel's and binutils' names denote the same architecture?
fn is_same_architecture(arch: &str, machine: &str) -> bool {
    let family = |name: &str| match name {
        "arm64" => "aarch64".to_owned(),
        "powerpc64" | "ppc" | "ppc64" => "powerpc".to_owned(),
        "s390x" => "s390".to_owned(),
        "x86_64" => "x86-64".to_owned(),
        other => other.to_owned(),
    };
    family(arch) == family(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_after_a_whole_signature_hide_it_and_are_named() {
        let signed = include_bytes!("../../fixtures/modules/hello-4-signed.ko").as_slice();
        let whole = Module::read(signed).unwrap();
        assert!(whole.trailer.is_some() && whole.buried_signature.is_none());
        for more in [vec![0; 777], b"x".to_vec(), [b"abc".as_slice(), trailer::MAGIC, b"d"].concat()] {
            let file = [signed, &more].concat();
            let module = Module::read(&file).unwrap();
            assert_eq!((module.buried_signature, module.trailer.is_none()), (Some(signed.len()), true));
            assert_eq!(module.vermagic(), whole.vermagic());
            let text = module.after_signature(Container::None, Path::new("a b.ko")).unwrap();
            assert!(text.ends_with(&format!("truncate -s {} 'a b.ko'", signed.len())), "{text}");
            let cut = &file[..module.buried_signature.unwrap()];
            assert_eq!(Module::read(cut).unwrap().trailer, whole.trailer);
        }
        // Half a signature is still damage, and padding is none.
        let half = &signed[..signed.len() - 40];
        assert_eq!(Module::read(half).unwrap_err().kind(), ErrorKind::Truncated);
        let unsigned = include_bytes!("../../fixtures/modules/padding.ko");
        assert_eq!(Module::read(unsigned).unwrap().buried_signature, None);
    }

    #[test]
    fn a_files_name_becomes_a_modules_name_as_kmod_does_it() {
        assert_eq!(name_of_file(Path::new("/tmp/snd-hda-intel.ko.xz")), "snd_hda_intel");
    }
}
