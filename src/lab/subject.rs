//! A module to be tried.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use crate::digest::sha256;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::{Kernel, Lookup, files};
use crate::lab::record::TrialModule;
use crate::lab::wire::Exercise;
use crate::module::{self, Module, name_of_file};
use crate::walk::Walk;

/// A module to be tried.
#[derive(Clone, Debug)]
pub struct TrialSubject {
    /// Its description in records.
    pub seen: TrialModule,
    /// Its uncompressed bytes, with the trailer.
    pub bytes: Vec<u8>,
    /// The parsed module; `None` if the file is malformed.
    pub module: Option<Module>,
}

impl TrialSubject {
    /// A module file.
    ///
    /// # Errors
    ///
    /// Those of [`module::with_bytes`]; [`ErrorKind::NotAModule`] for a file without the ELF magic.
    pub fn open(path: &Path, max_size: u64) -> Result<TrialSubject> {
        let bytes = module::with_bytes(path, max_size, <[u8]>::to_vec)?;
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Error::new(ErrorKind::NotAModule, "not an ELF file").on(path));
        }
        Ok(TrialSubject::new(bytes, path, None))
    }

    /// A module from its bytes, the path from which they were read, and the kernel from which they were taken.
    pub fn new(bytes: Vec<u8>, path: &Path, origin: Option<String>) -> TrialSubject {
        let module = Module::read(&bytes).ok();
        let name = module.as_ref().map_or_else(|| name_of_file(path), |module| module.name_or_stem(path));
        let vermagic = module.as_ref().and_then(Module::vermagic);
        let seen = TrialModule {
            name,
            path: path.display().to_string(),
            origin,
            sha256: sha256(&bytes).to_string(),
            vermagic: vermagic.map(|vermagic| String::from_utf8_lossy(vermagic.as_bytes()).into_owned()),
        };
        TrialSubject { seen, bytes, module }
    }

    /// Does its vermagic differ from the kernel's, provided that both are known?
    pub fn differs_from(&self, kernel: &Kernel) -> bool {
        let ours = self.seen.vermagic.as_deref().unwrap_or_default();
        kernel.vermagic.as_ref().is_some_and(|theirs| theirs.value.as_bytes() != ours.as_bytes())
    }

    /// Does `struct module` have an init function?
    pub fn has_init(&self) -> bool {
        let this_module = self.module.as_ref().and_then(|module| module.this_module.as_ref());
        this_module.is_some_and(|this_module| this_module.fingerprint.init.is_some())
    }

    /// What the probe needs: the link types and file systems that the module's aliases name.
    pub fn exercise(&self, probe: &[String]) -> Exercise {
        let aliases = |prefix: &str| {
            let entries = self.module.iter().flat_map(|module| &module.modinfo.entries);
            let aliases = entries.filter(|entry| entry.key == b"alias");
            let names = aliases.filter_map(|entry| entry.value.strip_prefix(prefix.as_bytes()));
            names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        };
        Exercise { links: aliases("rtnl-link-"), filesystems: aliases("fs-"), command: probe.to_vec() }
    }
}

/// The modules that these names stand for: files; module files in and below directories; names of modules, which are
/// taken from each of the kernels `built_for`.
///
/// # Errors
///
/// Those of [`TrialSubject::open`], [`files::of`] and the directory walk; [`ErrorKind::NotFound`] for a name that a
/// kernel does not have, or if there is no kernel to take it from.
pub fn subjects(names: &[OsString], built_for: &[OsString], lookup: &Lookup) -> Result<Vec<TrialSubject>> {
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for name in names {
        let path = Path::new(name);
        if path.is_dir() {
            let mut walk = Walk::modules(path.to_owned());
            while let Some(file) = walk.next_file() {
                found.push(TrialSubject::open(&file?.path(), lookup.max_size)?);
            }
        } else if path.exists() || path.components().count() > 1 {
            found.push(TrialSubject::open(path, lookup.max_size)?);
        } else {
            named.insert(name_of_file(path));
        }
    }
    if let (Some(name), true) = (named.first(), built_for.is_empty()) {
        let error = Error::new(ErrorKind::NotFound, format!("no such module file: {name}"));
        return Err(error.remedy(Remedy::NameSourceKernel));
    }
    if named.is_empty() {
        return Ok(found);
    }
    for kernel in built_for {
        let mut files = files::of(kernel, &named, lookup)?;
        for name in &named {
            let missing = || Error::new(ErrorKind::NotFound, format!("no module {name} there")).on(Path::new(kernel));
            let file = files.modules.remove(name).ok_or_else(missing)?;
            let mut subject = TrialSubject::new(file.bytes, Path::new(&file.path), None);
            let release = subject.seen.vermagic.as_deref().and_then(|text| text.split(' ').next());
            subject.seen.origin = release.map(str::to_owned).or_else(|| Some(kernel.to_string_lossy().into_owned()));
            found.push(subject);
        }
    }
    Ok(found)
}
