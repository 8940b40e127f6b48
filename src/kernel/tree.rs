//! A kernel's modules and its exports, as values. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// The most exports in a text: a kernel with all drivers has about 40,000.
pub(super) const MOST_EXPORTS: usize = 1 << 17;

/// The most modules in a text: a kernel with all drivers has about 10,000.
pub(super) const MOST_MODULES: usize = 1 << 16;

/// Exported symbols by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports {
    /// The symbols.
    pub symbols: HashMap<String, Export>,
    /// Are these all exports? Then a symbol that is not among them does not exist.
    pub complete: bool,
}

/// The properties of an exported symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its CRC. `None` in a kernel without symbol versions, or if it is not known.
    pub crc: Option<u32>,
    /// For modules under a GPL-compatible licence only? `None` if that is not known.
    pub gpl_only: Option<bool>,
    /// The namespace that users must import, empty for none; `None` if that is not known.
    pub namespace: Option<String>,
}

/// A kernel's modules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleTree {
    /// The modules, in the order of their paths.
    pub modules: Vec<TreeModule>,
    /// The modules that are built into the image. An empty list means that they are not known, since there is always one.
    pub built_in: Vec<BuiltIn>,
    /// The names of the modules that the tree's own list (`modules.order`, `modules.dep`) has and the tree lacks. `None` if
    /// there is no such list.
    pub missing: Option<BTreeSet<String>>,
    /// The files of modules that are proprietary by their own licence or name.
    proprietary: BTreeSet<PathBuf>,
    /// The names of these modules and of all that use their symbols, computed on first use.
    #[serde(skip)]
    tainted: OnceLock<HashSet<String>>,
    /// The exporter of each symbol, computed on first use.
    #[serde(skip)]
    exporters: OnceLock<HashMap<String, (usize, usize)>>,
}

impl ModuleTree {
    /// A tree of these modules.
    pub fn new(modules: Vec<TreeModule>, built_in: Vec<BuiltIn>) -> ModuleTree {
        ModuleTree { modules, built_in, ..ModuleTree::default() }
    }

    /// The same tree, in which the modules of these files are proprietary. Files that are not in the tree are ignored.
    #[must_use]
    pub fn with_proprietary(mut self, files: BTreeSet<PathBuf>) -> ModuleTree {
        self.proprietary = files;
        self
    }

    /// Is a module proprietary by its own licence or name, or does it use a symbol of such a module? Then it inherits the
    /// taint (`inherit_taint`, kernel/module/main.c, 5.9 on). modpost lists in `depends` all modules whose symbols are used.
    ///
    /// `None` if that is not known: a list of symbols names no licences. Modules that the kernel's own build lists, by paths
    /// within its source, are GPL-compatible, as the whole source is.
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

    /// The same tree with a list of all modules of the kernel.
    #[must_use]
    pub fn listed(mut self, names: impl IntoIterator<Item = String>) -> ModuleTree {
        self.missing = Some(names.into_iter().collect());
        self.remove_present();
        self
    }

    /// Are these all modules of the kernel? Then no module exports a symbol that none of them exports.
    pub fn is_complete(&self) -> bool {
        self.missing.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Removes the modules of the tree from the missing ones.
    fn remove_present(&mut self) {
        if let Some(missing) = &mut self.missing {
            self.modules.iter().for_each(|module| {
                missing.remove(&module.name.replace('-', "_"));
            });
        }
    }

    /// The modules and lists of both trees; if both have one, that of the first.
    #[must_use]
    pub(super) fn join(self, other: ModuleTree) -> ModuleTree {
        let ModuleTree { mut modules, mut built_in, mut missing, mut proprietary, .. } = self;
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
        let mut both = ModuleTree { missing, proprietary, ..ModuleTree::new(modules, built_in) };
        both.remove_present();
        both
    }

    /// Was it read from module files? `Module.symvers` names modules too, but without the ending of a file name.
    pub fn has_files(&self) -> bool {
        self.modules.first().is_some_and(is_file)
    }

    /// The module that exports a symbol, and the symbol's properties.
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

    /// Modules with all their dependencies, each once, in an order in which they can be loaded: dependencies first. The order
    /// follows `depends` of their modinfo, where older kernels have file names with `-`; the result has `_`. Built-in modules
    /// are left out; modules that are not in the tree are kept.
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

    /// Are the built-in modules known?
    pub fn knows_built_in(&self) -> bool {
        !self.built_in.is_empty()
    }

    /// Is a module of this name in the tree? `-` and `_` are treated alike.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| module.name.replace('-', "_") == name.replace('-', "_"))
    }

    /// Is a module of this name built into the image? `-` and `_` are treated alike.
    pub fn has_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|built_in| built_in.name.replace('-', "_") == name.replace('-', "_"))
    }
}

fn is_file(module: &TreeModule) -> bool {
    module.file.file_name().is_some_and(|name| name.as_encoded_bytes().windows(3).any(|end| end == b".ko"))
}

/// A walk through the dependencies of modules.
struct LoadOrder<'t> {
    tree: &'t ModuleTree,
    /// The index of each module in the tree.
    modules: HashMap<String, usize>,
    /// Modules that are or will be in the order, and built-in modules.
    under_way: HashSet<String>,
    order: Vec<String>,
}

impl LoadOrder<'_> {
    /// Real dependency chains have about ten modules; a tree with a longer chain was made up.
    const DEEPEST: usize = 64;

    fn add(&mut self, name: &str, depth: usize) {
        let name = name.replace('-', "_");
        // A cycle of dependencies cannot occur: depmod(8) reports it.
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
    /// The names of the modules that it depends on, as its modinfo has them.
    pub depends: Vec<String>,
    /// Its exports by name.
    pub exports: Vec<(String, Export)>,
    /// It was not built with the kernel, so it does not prove that the image lacks the symbols that it exports.
    pub is_added: bool,
}

/// A module that is built into the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltIn {
    /// Its name.
    pub name: String,
    /// Has it parameters or a version, so that /sys/module/NAME exists from the start?
    pub in_sysfs: bool,
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

    fn order(tree: &ModuleTree, names: &[&str]) -> Vec<String> {
        tree.in_load_order(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let modules = vec![
            module("snd_hda_intel", &["snd-hda-codec", "snd-pcm", "snd"]),
            module("snd_hda_codec", &["snd-pcm", "snd"]),
            module("snd_pcm", &["snd-timer", "snd"]),
            module("snd_timer", &["snd"]),
            module("snd", &["soundcore"]),
        ];
        let tree = ModuleTree::new(modules, vec![BuiltIn { name: "soundcore".to_owned(), in_sysfs: false }]);
        let all = ["snd", "snd_timer", "snd_pcm", "snd_hda_codec", "snd_hda_intel"];
        assert_eq!(order(&tree, &["snd-hda-intel", "snd_timer"]), all);
        assert_eq!(order(&tree, &["not_there", "soundcore"]), ["not_there"]);
    }

    #[test]
    fn cycles_and_endless_chains_of_dependencies_end() {
        let tree = ModuleTree::new(vec![module("a", &["b"]), module("b", &["a"])], Vec::new());
        assert_eq!(order(&tree, &["a"]), ["b", "a"]);
        let chain = (0..1000).map(|n| module(&format!("m{n}"), &[&format!("m{}", n + 1)])).collect();
        assert_eq!(order(&ModuleTree::new(chain, Vec::new()), &["m0"]).len(), LoadOrder::DEEPEST);
    }
}
