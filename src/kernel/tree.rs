//! A kernel's modules and its exports, as values. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

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
pub struct ModuleTree {
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

impl ModuleTree {
    /// A tree of these modules.
    pub fn new(modules: Vec<TreeModule>, built_in: Vec<BuiltIn>) -> ModuleTree {
        ModuleTree { modules, built_in, ..ModuleTree::default() }
    }

    /// The same tree, in which these files are of proprietary modules. Files that are not in the tree do not count.
    #[must_use]
    pub fn with_proprietary(mut self, files: BTreeSet<PathBuf>) -> ModuleTree {
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
    pub fn listed(mut self, names: impl IntoIterator<Item = String>) -> ModuleTree {
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
    tree: &'t ModuleTree,
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
    fn what_is_needed_comes_first_and_once() {
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
    fn modules_that_need_each_other_or_go_on_for_ever_come_to_an_end() {
        let tree = ModuleTree::new(vec![module("a", &["b"]), module("b", &["a"])], Vec::new());
        assert_eq!(order(&tree, &["a"]), ["b", "a"]);
        let chain = (0..1000).map(|n| module(&format!("m{n}"), &[&format!("m{}", n + 1)])).collect();
        assert_eq!(order(&ModuleTree::new(chain, Vec::new()), &["m0"]).len(), LoadOrder::DEEPEST);
    }
}
