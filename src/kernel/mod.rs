//! The facts of a kernel, each with the source that it was read from.
//!
//! A kernel is named the same way everywhere ([`named`]): `running`, `vermagic:STRING`, or a module of that kernel, which
//! carries the same version magic. A fact that is missing is missing; it is never guessed.

mod config;
pub mod image;
mod reference;
mod running;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
pub use crate::module::certificate::Certificate;
use crate::module::elf::{Class, Endian, machine_name};
use crate::module::this_module::Fingerprint;
use crate::vermagic::Vermagic;

/// One thing known about a kernel, with where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What is known.
    pub value: T,
    /// Where it was read, in words.
    pub source: String,
}

/// A kernel: its version magic, and what else is known about it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// What it was called on the command line.
    pub name: String,
    /// Its version magic.
    pub vermagic: Fact<Vermagic>,
    /// Everything else, as far as it is known.
    pub facts: Facts,
}

/// What can be known about a kernel. What is `None` is not known; it is never guessed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Its release, as `uname -r` prints it.
    pub release: Option<Fact<String>>,
    /// Its version line, as /proc/version has it (`linux_banner`, init/version.c).
    pub banner: Option<Fact<String>>,
    /// Its version magic.
    pub vermagic: Option<Fact<Vermagic>>,
    /// The machine that it runs on.
    pub machine: Option<Fact<Machine>>,
    /// Size of its `struct module`, and where init and exit are in it.
    pub fingerprint: Option<Fact<Fingerprint>>,
    /// The members of its `struct module`, from its BTF.
    pub layout: Option<Fact<Vec<Member>>>,
    /// What its image exports to modules.
    pub exports: Option<Fact<Exports>>,
    /// Its modules: what they export, and what is built in.
    pub tree: Option<Fact<Tree>>,
    /// The configuration that it was built with.
    pub config: Option<Fact<Config>>,
    /// Which of the loader's messages stand in its image: a message that is not there is one that it can't print.
    pub messages: Option<Fact<BTreeSet<String>>>,
    /// The certificates whose keys it trusts for modules, as built in.
    pub keys: Option<Fact<Vec<Certificate>>>,
    /// Its BTF, as in the section `.BTF` of its image.
    pub btf: Option<Fact<Arc<[u8]>>>,
    /// What a running system enforces.
    pub policy: Option<Fact<Policy>>,
}

/// A member of a structure: its name, its offset in bytes from the structure's start, and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name; members of anonymous structures stand under their own names.
    pub name: String,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
}

/// Exported symbols by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports {
    /// Each symbol with what is known of it.
    pub symbols: HashMap<String, Export>,
    /// Are these all that there are? A symbol that is not among them then does not exist.
    pub complete: bool,
}

/// What is known of an exported symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its CRC. `None` in a kernel without symbol versions, or where it is not known.
    pub crc: Option<u32>,
    /// For modules under a GPL-compatible licence only? `None` where that is not known.
    pub gpl_only: Option<bool>,
    /// The namespace that users must import, empty for none; `None` where that is not known.
    pub namespace: Option<String>,
}

/// A kernel's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The modules, in the order of their paths.
    pub modules: Vec<TreeModule>,
    /// The modules that are built into the image.
    pub built_in: Vec<BuiltIn>,
    /// Who exports what, made when it is first asked for.
    #[serde(skip)]
    exporters: OnceLock<HashMap<String, (usize, usize)>>,
}

impl Tree {
    /// A tree of these modules.
    pub fn new(modules: Vec<TreeModule>, built_in: Vec<BuiltIn>) -> Tree {
        Tree { modules, built_in, exporters: OnceLock::new() }
    }

    /// The module that exports a symbol, and what is known of the symbol.
    pub fn exporter(&self, symbol: &str) -> Option<(&TreeModule, &Export)> {
        let exporters = self.exporters.get_or_init(|| {
            let mut exporters = HashMap::new();
            for (at, module) in self.modules.iter().enumerate() {
                for (number, (name, _)) in module.exports.iter().enumerate() {
                    exporters.entry(name.clone()).or_insert((at, number));
                }
            }
            exporters
        });
        let (at, number) = exporters.get(symbol)?;
        let module = self.modules.get(*at)?;
        module.exports.get(*number).map(|(_, export)| (module, export))
    }

    /// Is a module of this name built into the image? `-` and `_` are one.
    pub fn has_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|built_in| built_in.name.replace('-', "_") == name.replace('-', "_"))
    }
}

/// A module of a kernel's tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeModule {
    /// Its name.
    pub name: String,
    /// Its file, below the tree's folder.
    pub file: PathBuf,
    /// The names of the modules that it needs, as its modinfo has them.
    pub depends: Vec<String>,
    /// What it exports, by name.
    pub exports: Vec<(String, Export)>,
}

/// A module that is built into the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltIn {
    /// Its name.
    pub name: String,
    /// Has it parameters or a version, so that /sys/module/NAME is there from the start?
    pub in_sysfs: bool,
}

/// The options of a configuration, without `CONFIG_`. What is not set is not there.
pub type Config = BTreeMap<String, String>;

/// What a running system enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// `module.sig_enforce` (/sys/module/module/parameters/sig_enforce).
    pub sig_enforce: Option<bool>,
    /// Is the kernel locked down (/sys/kernel/security/lockdown)?
    pub locked_down: Option<bool>,
    /// /proc/sys/kernel/modules_disabled
    pub modules_disabled: Option<bool>,
    /// The names in `module_blacklist=` of /proc/cmdline.
    pub blacklist: Vec<String>,
    /// The names of the modules that are loaded (/sys/module), built-in ones with a folder there among them.
    pub loaded: Vec<String>,
}

/// A machine, as an ELF header tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// 32 or 64 bit.
    pub class: Class,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine`.
    pub number: u16,
}

impl Machine {
    /// The machine that a module was built for.
    pub fn of(module: &Module) -> Machine {
        Machine { class: module.class, endian: module.endian, number: module.machine }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.class.name(), self.endian.name(), machine_name(self.number))
    }
}

/// How kernels are looked up.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The most bytes that something compressed may have when it is decompressed.
    pub max_size: u64,
    /// The folder where facts of big sources are kept; `None` keeps none.
    pub cache: Option<PathBuf>,
}

/// Finds a kernel by what people call it: `running`, `vermagic:STRING`, or the path of a module of that kernel.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is nothing of that name, or nothing there that tells the version magic;
/// [`ErrorKind::Malformed`] for a version magic that no kernel can have; those of [`crate::module::open`].
pub fn named(name: &OsStr, lookup: &Lookup) -> Result<Kernel> {
    let facts = match name.as_bytes() {
        b"running" => running::facts(Path::new("/"), lookup.max_size)?,
        bytes => match bytes.strip_prefix(b"vermagic:") {
            Some(string) => {
                let vermagic = Fact { value: Vermagic::parse(string), source: "the command line".to_owned() };
                Facts { vermagic: Some(vermagic), ..Facts::default() }
            }
            None => of_file(Path::new(name), lookup.max_size)?,
        },
    };
    let name = name.to_string_lossy().into_owned();
    let Some(vermagic) = facts.vermagic.clone() else {
        return Err(Error::new(ErrorKind::NotFound, "nothing here tells the kernel's version magic").on(name));
    };
    match vermagic.value.problems().iter().find(|problem| problem.is_error()) {
        Some(problem) => {
            let what = format!("no version magic of a kernel ({}): {problem}", vermagic.source);
            Err(Error::new(ErrorKind::Malformed, what).on(name))
        }
        None => Ok(Kernel { name, vermagic, facts }),
    }
}

/// A file is an image, or else a module.
fn of_file(path: &Path, max_size: u64) -> Result<Facts> {
    if path.is_file() {
        let contents = crate::module::file::read(path)?;
        if image::looks_like_image(contents.bytes()) {
            return image::facts(&path.display().to_string(), contents.bytes(), max_size).map_err(|e| e.on(path));
        }
    }
    reference::facts(path, max_size)
}
