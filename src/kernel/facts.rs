//! What can be known about a kernel, as values: each fact with the source that it was read from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::btf::Btf;
pub use crate::btf::members::Member;
use crate::kernel::Architecture;
use crate::kernel::imports::{Imports, Own};
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
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
    /// Where it was read.
    pub source: Origin,
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
    /// What is certain of the machine where [`Facts::machine`] is not known.
    pub architecture: Option<Fact<Architecture>>,
    /// Size of its `struct module`, and where init and exit are in it.
    pub fingerprint: Option<Fact<Fingerprint>>,
    /// The members of its `struct module`, from its BTF.
    pub layout: Option<Fact<Vec<Member>>>,
    /// What its image exports to modules, as read from the image or from what its build lists.
    pub exports: Option<Fact<Exports>>,
    /// What its modules import: something exports that, the image or another module.
    pub imports: Option<Fact<Imports>>,
    /// Its modules: what they export, and what is built in.
    pub tree: Option<Fact<Tree>>,
    /// How many modules it has, if all of them are stripped as OpenWrt strips them (CONFIG_MODULE_STRIPPED): without
    /// version magic, name and intree. A loader that loads these does not compare the version magic.
    pub stripped: Option<Fact<usize>>,
    /// The configuration that it was built with.
    pub config: Option<Fact<Config>>,
    /// The folders that its image's own parameters have in /sys/module: names that no module can take.
    pub folders: Option<Fact<BTreeSet<String>>>,
    /// What stands before the dot of strings like `block.events_dfl_poll_msecs` in an image without sections: the folders of
    /// its own parameters are among these words, and so a name that is not one of them has none.
    pub prefixes: Option<Fact<BTreeSet<String>>>,
    /// Which of the loader's messages stand in its image: a message that is not there is one that it can't print. Names of
    /// digests that are built in are among them.
    pub messages: Option<Fact<BTreeSet<String>>>,
    /// The certificates whose keys it trusts for modules, as built in.
    pub keys: Option<Fact<Vec<Certificate>>>,
    /// Its BTF, as in the section `.BTF` of its image.
    pub btf: Option<Fact<Arc<[u8]>>>,
    /// What a running system enforces.
    pub policy: Option<Fact<Policy>>,
    /// What was there but tells nothing, and why: a file that must not be read, modules of another kernel.
    pub notes: Vec<Note>,
}

impl Facts {
    /// Replaces an origin in all facts and notes.
    pub(super) fn replace_origin(&mut self, from: &Origin, to: &Origin) {
        fn of<T>(fact: &mut Option<Fact<T>>) -> Option<&mut Origin> {
            fact.as_mut().map(|fact| &mut fact.source)
        }
        // All of them by name: a new fact must not be left out.
        let Facts {
            release,
            banner,
            vermagic,
            machine,
            architecture,
            fingerprint,
            layout,
            exports,
            imports,
            tree,
            stripped,
            config,
            folders,
            prefixes,
            messages,
            keys,
            btf,
            policy,
            notes,
        } = self;
        let sources = [
            of(release),
            of(banner),
            of(vermagic),
            of(machine),
            of(architecture),
            of(fingerprint),
            of(layout),
            of(exports),
            of(imports),
            of(tree),
            of(stripped),
            of(config),
            of(folders),
            of(prefixes),
            of(messages),
            of(keys),
            of(btf),
            of(policy),
        ];
        sources.into_iter().flatten().for_each(|source| source.replace(from, to));
        notes.iter_mut().for_each(|note| note.replace(from, to));
    }
}

impl Facts {
    /// What is known of a symbol: that the image exports it, or which module does, or only that something does. What the
    /// module that is asked about says itself does not count. `None` where nothing tells that anybody exports it.
    pub fn symbol(&self, name: &str, own: Option<&Own>) -> Option<Known<'_>> {
        let imports = self.imports.as_ref();
        let imported = imports.and_then(|fact| fact.value.get(name, own));
        let crc = imported.as_ref().and_then(|imported| imported.crc);
        let known = |owner, export: &'_ Export, source| Known {
            owner,
            crc: export.crc.or(crc),
            gpl_only: export.gpl_only,
            namespace: export.namespace.clone(),
            users: imported.as_ref().map(|imported| imported.namespaces.clone()).unwrap_or_default(),
            source,
        };
        if let Some(Fact { value, source }) = &self.exports
            && let Some(export) = value.symbols.get(name)
        {
            return Some(known(Owner::Image, export, source));
        }
        let is_complete = self.exports.as_ref().is_some_and(|exports| exports.value.complete);
        let is_of_image = imported.as_ref().is_some_and(|imported| imported.is_of_image) && !is_complete;
        // A module that exports what the image exports can't be loaded.
        if let Some(Fact { value, source }) = &self.tree
            && let Some((module, export)) = value.exporter(name).filter(|_| !is_of_image)
        {
            return Some(known(Owner::Module(module), export, source));
        }
        imported.as_ref()?;
        let owner = match is_of_image {
            true => Owner::Image,
            false => Owner::Somebody,
        };
        Some(known(owner, &Export::default(), &imports?.source))
    }

    /// The CRC of an exported symbol: of the image, of the module that exports it, or as most modules that import it have
    /// it. `None` where it is not known, or there is none.
    pub fn crc(&self, symbol: &str, own: Option<&Own>) -> Option<u32> {
        let image = self.exports.as_ref().and_then(|exports| exports.value.symbols.get(symbol)?.crc);
        image.or_else(|| self.symbol(symbol, own)?.crc)
    }

    /// All CRCs that are known, by symbol: of the image, of the modules that export to others, and of what modules import.
    pub fn crcs(&self) -> HashMap<String, u32> {
        let image = self.exports.iter().flat_map(|exports| exports.value.symbols.keys());
        let tree = self.tree.iter().flat_map(|tree| &tree.value.modules).flat_map(|module| &module.exports);
        // Where all exports of the image are known, imports tell of no other.
        let is_complete = self.exports.as_ref().is_some_and(|exports| exports.value.complete);
        let imported = self.imports.iter().filter(|_| !is_complete).flat_map(|imports| imports.value.names());
        let names = image.map(String::as_str).chain(tree.map(|(name, _)| name.as_str())).chain(imported);
        names.filter_map(|name| Some((name.to_owned(), self.crc(name, None)?))).collect()
    }

    /// Takes the release of a kernel whose modules are stripped from the name of their folder, where nothing better tells it:
    /// the kernel's own name for it (`lib/modules/RELEASE`).
    pub(super) fn learn_release_of_folder(&mut self, name: &str) {
        if let (None, Some(stripped)) = (&self.release, &self.stripped) {
            let source = Origin::FolderName { name: name.to_owned(), of: Box::new(stripped.source.clone()) };
            self.release = Some(Fact { value: name.to_owned(), source });
        }
    }

    /// Determines the machine from the words of the version magic and what else is known of the architecture, as far as
    /// nothing better tells it. Of two sources that contradict each other the version magic counts.
    pub(super) fn learn_from_vermagic(&mut self) {
        if self.machine.is_some() {
            return;
        }
        let told = self.vermagic.as_ref().and_then(|vermagic| {
            let source = vermagic.source.part("version magic");
            Some(Fact { value: Architecture::of(&vermagic.value)?, source })
        });
        self.architecture = match (self.architecture.take(), told) {
            (Some(known), Some(told)) => match told.value.and(known.value) {
                Some(both) if both == known.value => Some(known),
                Some(both) if both == told.value => Some(told),
                Some(both) => Some(Fact { value: both, source: told.source.and(known.source) }),
                None => Some(told),
            },
            (known, told) => known.or(told),
        };
        if let Some(known) = &self.architecture
            && let Some(value) = known.value.machine()
        {
            self.machine = Some(Fact { value, source: known.source.clone() });
            self.architecture = None;
        }
    }

    /// What the kernel is for, and where that was read, if a module for this machine certainly is not for it.
    pub fn other_machine(&self, module: Machine) -> Option<(String, &Origin)> {
        match (&self.machine, &self.architecture) {
            (Some(machine), _) if machine.value != module => Some((machine.value.to_string(), &machine.source)),
            (None, Some(known)) if !known.value.fits(module) => Some((known.value.to_string(), &known.source)),
            _ => None,
        }
    }

    /// What the BTF tells: the members of `struct module`, and with them its fingerprint. What is known already stays; a
    /// BTF that can't be read tells nothing.
    pub fn learn_from_btf(&mut self) {
        let Some(fact) = &self.btf else { return };
        let Some((size, members)) = Btf::parse(&fact.value).ok().and_then(|btf| btf.struct_members("module")) else {
            return;
        };
        let offset = |name: &str| members.iter().find(|member| member.name == name).map(|member| member.offset);
        let fingerprint = Fingerprint { size, init: offset("init"), exit: offset("exit") };
        let source = fact.source.clone();
        self.fingerprint.get_or_insert_with(|| Fact { value: fingerprint, source: source.clone() });
        self.layout.get_or_insert(Fact { value: members, source });
    }
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

/// What is known of a symbol that something exports.
#[derive(Clone, Debug, PartialEq)]
pub struct Known<'f> {
    /// Who exports it.
    pub owner: Owner<'f>,
    /// Its CRC, where it is known and has one.
    pub crc: Option<u32>,
    /// For modules under a GPL-compatible licence only? `None` where that is not known.
    pub gpl_only: Option<bool>,
    /// The namespace that users must import, empty for none; `None` where that is not known.
    pub namespace: Option<String>,
    /// The namespaces that modules import which use the symbol: its own, if it has one, is in each of these.
    pub users: Vec<&'f [String]>,
    /// Where it was read.
    pub source: &'f Origin,
}

/// Who exports a symbol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Owner<'f> {
    /// The kernel's image.
    Image,
    /// A module of its tree.
    Module(&'f TreeModule),
    /// The image or a module, it is not known which.
    Somebody,
}

/// A kernel's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The modules, in the order of their paths.
    pub modules: Vec<TreeModule>,
    /// The modules that are built into the image. An empty list means that they are not known: there is always one.
    pub built_in: Vec<BuiltIn>,
    /// The names of the modules that the tree's own list has (`modules.order`, `modules.dep`), and that are not there.
    /// `None` where there is no such list.
    pub missing: Option<BTreeSet<String>>,
    /// The files of the modules that are proprietary by their own licence or name.
    proprietary: BTreeSet<PathBuf>,
    /// The names of these and of all that use their symbols, made when it is first asked for.
    #[serde(skip)]
    tainted: OnceLock<HashSet<String>>,
    /// Who exports what, made when it is first asked for.
    #[serde(skip)]
    exporters: OnceLock<HashMap<String, (usize, usize)>>,
}

impl Tree {
    /// A tree of these modules.
    pub fn new(modules: Vec<TreeModule>, built_in: Vec<BuiltIn>) -> Tree {
        Tree { modules, built_in, ..Tree::default() }
    }

    /// The same tree, in which these files are of proprietary modules. Files that are not in the tree do not count.
    #[must_use]
    pub fn with_proprietary(mut self, files: BTreeSet<PathBuf>) -> Tree {
        self.proprietary = files;
        self
    }

    /// Is a module proprietary by its own licence or name, or does it use a symbol of one that is? Such a module inherits the
    /// taint (`inherit_taint`, kernel/module/main.c, 5.9 on). modpost lists in `depends` all modules whose symbols are used.
    ///
    /// `None` where that is not known: a list of symbols names no licences. What the kernel's own build lists, by paths
    /// within its source, is GPL-compatible as all of it.
    pub fn is_proprietary(&self, module: &TreeModule) -> Option<bool> {
        let is_within = || !module.file.is_absolute() && module.file.components().count() > 1;
        if !is_file(module) && !is_within() {
            return None;
        }
        if self.proprietary.is_empty() {
            return Some(false);
        }
        let tainted = self.tainted.get_or_init(|| {
            let mut users: HashMap<String, Vec<&TreeModule>> = HashMap::new();
            for module in &self.modules {
                for needed in &module.depends {
                    users.entry(needed.replace('-', "_")).or_default().push(module);
                }
            }
            let is_own = |module: &&TreeModule| self.proprietary.contains(&module.file);
            let mut waiting: Vec<String> =
                self.modules.iter().filter(is_own).map(|module| module.name.replace('-', "_")).collect();
            let mut tainted = HashSet::new();
            while let Some(name) = waiting.pop() {
                if tainted.insert(name.clone()) {
                    let users = users.get(&name).into_iter().flatten();
                    waiting.extend(users.map(|user| user.name.replace('-', "_")));
                }
            }
            tainted
        });
        Some(tainted.contains(&module.name.replace('-', "_")))
    }

    /// The same tree with the names of all modules that the kernel has.
    #[must_use]
    pub fn listed(mut self, names: impl IntoIterator<Item = String>) -> Tree {
        self.missing = Some(names.into_iter().collect());
        self.remove_present();
        self
    }

    /// Are these all modules that the kernel has? Then a symbol that none of them exports is no module's.
    pub fn is_complete(&self) -> bool {
        self.missing.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// What is there is not missing.
    fn remove_present(&mut self) {
        if let Some(missing) = &mut self.missing {
            self.modules.iter().for_each(|module| {
                missing.remove(&module.name.replace('-', "_"));
            });
        }
    }

    /// Both trees' modules and lists, those of the first where both have one.
    #[must_use]
    pub(super) fn join(self, other: Tree) -> Tree {
        let Tree { mut modules, mut built_in, mut missing, mut proprietary, .. } = self;
        let known: HashSet<String> = modules.iter().map(|module| module.name.clone()).collect();
        modules.extend(other.modules.into_iter().filter(|module| !known.contains(&module.name)));
        modules.sort_by(|a, b| a.file.cmp(&b.file));
        if built_in.is_empty() {
            built_in = other.built_in;
        }
        missing = match (missing, other.missing) {
            (Some(ours), Some(theirs)) => Some(ours.union(&theirs).cloned().collect()),
            (ours, theirs) => ours.or(theirs),
        };
        proprietary.extend(other.proprietary);
        let mut both = Tree { missing, proprietary, ..Tree::new(modules, built_in) };
        both.remove_present();
        both
    }

    /// Was it read from module files? `Module.symvers` names modules too, without the ending of a file's name.
    pub fn has_files(&self) -> bool {
        self.modules.first().is_some_and(is_file)
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

    /// Modules with all that they need themselves, each once, in an order in which they can be loaded: what is needed
    /// comes before who needs it. Told by `depends` of their modinfo, where older kernels have file names, with `-`; the
    /// answer has `_`. What is built into the image is there already, and left out; what is not in the tree is kept.
    pub fn in_load_order(&self, names: &[String]) -> Vec<String> {
        let mut order = LoadOrder {
            tree: self,
            modules: HashMap::with_capacity(self.modules.len()),
            under_way: self.built_in.iter().map(|built_in| built_in.name.replace('-', "_")).collect(),
            order: Vec::new(),
        };
        for (at, module) in self.modules.iter().enumerate() {
            order.modules.entry(module.name.replace('-', "_")).or_insert(at);
        }
        names.iter().for_each(|name| order.add(name, 0));
        order.order
    }

    /// Is it known which modules are built into the image?
    pub fn knows_built_in(&self) -> bool {
        !self.built_in.is_empty()
    }

    /// Is a module of this name in the tree? `-` and `_` are one.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.name.replace('-', "_") == name.replace('-', "_"))
    }

    /// Is a module of this name built into the image? `-` and `_` are one.
    pub fn has_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|built_in| built_in.name.replace('-', "_") == name.replace('-', "_"))
    }
}

fn is_file(module: &TreeModule) -> bool {
    module.file.file_name().is_some_and(|name| name.as_encoded_bytes().windows(3).any(|end| end == b".ko"))
}

/// A walk through what modules need.
struct LoadOrder<'t> {
    tree: &'t Tree,
    /// The place of each module in the tree.
    modules: HashMap<String, usize>,
    /// Those that are in the order already or will be, and those that are there without it.
    under_way: HashSet<String>,
    order: Vec<String>,
}

impl LoadOrder<'_> {
    /// Modules need each other in chains of about ten; a tree that goes on for longer is made up.
    const DEEPEST: usize = 64;

    fn add(&mut self, name: &str, depth: usize) {
        let name = name.replace('-', "_");
        // A ring of modules that need each other can't be; depmod(8) would have told.
        if depth == LoadOrder::DEEPEST || !self.under_way.insert(name.clone()) {
            return;
        }
        let module = self.modules.get(&name).and_then(|at| self.tree.modules.get(*at));
        module.iter().flat_map(|module| &module.depends).for_each(|needed| self.add(needed, depth + 1));
        self.order.push(name);
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
    /// It was not built with the kernel: that the kernel's image does not export the same is not proved by it.
    pub is_added: bool,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, depends: &[&str]) -> TreeModule {
        TreeModule {
            name: name.to_owned(),
            file: PathBuf::from(format!("kernel/{name}.ko")),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            exports: Vec::new(),
            is_added: false,
        }
    }

    fn order(tree: &Tree, names: &[&str]) -> Vec<String> {
        tree.in_load_order(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let modules = vec![
            module("snd_hda_intel", &["snd-hda-codec", "snd-pcm", "snd"]),
            module("snd_hda_codec", &["snd-pcm", "snd"]),
            module("snd_pcm", &["snd-timer", "snd"]),
            module("snd_timer", &["snd"]),
            module("snd", &["soundcore"]),
        ];
        let tree = Tree::new(modules, vec![BuiltIn { name: "soundcore".to_owned(), in_sysfs: false }]);
        let all = ["snd", "snd_timer", "snd_pcm", "snd_hda_codec", "snd_hda_intel"];
        assert_eq!(order(&tree, &["snd-hda-intel", "snd_timer"]), all);
        assert_eq!(order(&tree, &["not_there", "soundcore"]), ["not_there"]);
    }

    #[test]
    fn modules_that_need_each_other_or_go_on_for_ever_come_to_an_end() {
        let tree = Tree::new(vec![module("a", &["b"]), module("b", &["a"])], Vec::new());
        assert_eq!(order(&tree, &["a"]), ["b", "a"]);
        let chain = (0..1000).map(|n| module(&format!("m{n}"), &[&format!("m{}", n + 1)])).collect();
        assert_eq!(order(&Tree::new(chain, Vec::new()), &["m0"]).len(), LoadOrder::DEEPEST);
    }
}
