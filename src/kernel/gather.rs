//! Gathers facts from all modules of a kernel: from each on its own, and from all together about the image.
//!
//! Every module has the CRCs that its imports had when it was built, and its dependencies. So a module tree shows a large
//! part of its kernel's exports even without the image ([`crate::kernel::imports`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::budget::WorkBudget;
use crate::kernel::architecture::Machine;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::imports::{Imports, ModuleImports};
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::preference::DepmodOrder;
use crate::kernel::tree::{BuiltIn, Export, MOST_MODULES, ModuleTree, TreeModule};
use crate::module::container::Container;
use crate::module::licence::{self, OFFENDERS};
use crate::module::this_module::ModuleLayout;
use crate::module::{self, Module, name_of_file};
use crate::parallel;
use crate::vermagic::Vermagic;

/// Facts of modules, gathered one module at a time, in any order.
#[derive(Default)]
pub(super) struct GatheredModules {
    /// By version magic, since a tree may also have modules of another build.
    builds: HashMap<Vec<u8>, Vec<ModuleEvidence>>,
    /// Modules that are stripped of the version magic, as OpenWrt strips modules.
    stripped: Vec<ModuleEvidence>,
    /// How many modules have no version magic for another reason.
    without: usize,
    unreadable: usize,
}

/// The facts of one module.
struct ModuleEvidence {
    module: TreeModule,
    machine: Machine,
    fingerprint: Option<ModuleLayout>,
    statement: ModuleImports,
    /// It is proprietary by its licence or name.
    is_proprietary: bool,
}

impl ModuleEvidence {
    /// How good the module is as evidence of the kernel; smaller is better. The kernel's own build marks its modules (`intree`,
    /// scripts/mod/modpost.c, 3.2 on). Modules that were added later were built elsewhere, perhaps with other headers.
    fn rank(&self) -> u8 {
        let is_added = self.module.file.iter().next().is_some_and(|folder| ADDED.iter().any(|added| folder == *added));
        match (self.statement.is_patched, is_added, self.statement.is_in_tree) {
            (true, ..) => 3,
            (false, true, _) => 2,
            (false, false, false) => 1,
            (false, false, true) => 0,
        }
    }
}

/// The folders of a module tree for modules that the kernel's own build did not make: depmod's (depmod.d(5)), and Arch's.
const ADDED: [&str; 4] = ["updates", "extra", "weak-updates", "extramodules"];

/// The lists in a module tree.
#[derive(Clone, Debug, Default)]
pub(super) struct ModuleLists {
    /// `modules.builtin` and `modules.builtin.modinfo`.
    pub(super) built_in: Vec<BuiltIn>,
    /// All modules of the kernel, from `modules.order` or `modules.dep`.
    pub(super) names: Option<Vec<String>>,
}

impl GatheredModules {
    /// Adds a module: its path in the tree, and the bytes of its file. Unreadable modules are counted.
    pub(super) fn add(&mut self, file: &Path, stored: &[u8], budget: &WorkBudget) {
        let read = match Container::of(stored) {
            Container::None => Module::read(stored),
            container => container.decompress_within(stored, budget).and_then(|bytes| Module::read(&bytes)),
        };
        match read {
            Ok(module) => self.add_module(file, &module),
            Err(_) => self.unreadable += 1,
        }
    }

    fn add_module(&mut self, file: &Path, module: &Module) {
        let build = match module.modinfo.first("vermagic") {
            Some(vermagic) => self.builds.entry(vermagic.to_vec()).or_default(),
            None if module.is_stripped() => &mut self.stripped,
            None => {
                self.without += 1;
                return;
            }
        };
        let depends = module.modinfo.first("depends").unwrap_or_default().split(|byte| *byte == b',');
        let exports = module.exports.iter().map(|export| {
            let known = Export {
                crc: export.crc,
                gpl_only: Some(export.is_gpl_only),
                namespace: Some(text(export.namespace.as_deref().unwrap_or_default())),
            };
            (text(&export.name), known)
        });
        let name = module.name_or_stem(file);
        build.push(ModuleEvidence {
            is_proprietary: !licence::is_compatible(module.modinfo.first("license"))
                || OFFENDERS.contains(&name.as_str()),
            module: TreeModule {
                name,
                file: file.to_owned(),
                depends: depends.filter(|name| !name.is_empty()).map(text).collect(),
                exports: exports.collect(),
                is_added: false,
            },
            machine: Machine::of(module),
            fingerprint: module.this_module.as_ref().map(|structure| structure.fingerprint),
            statement: ModuleImports::of(module),
        });
    }

    /// Adds the facts that another has gathered.
    pub(super) fn join(mut self, other: GatheredModules) -> GatheredModules {
        self.unreadable += other.unreadable;
        self.without += other.without;
        self.stripped.extend(other.stripped);
        for (vermagic, theirs) in other.builds {
            self.builds.entry(vermagic).or_default().extend(theirs);
        }
        self
    }

    /// The facts of all modules together. `name` is the tree, for [`Fact::source`]; `preference` decides between several files
    /// of one module.
    pub(super) fn facts(self, name: &Origin, lists: ModuleLists, preference: &DepmodOrder) -> Facts {
        let readable = self.without + self.stripped.len() + self.builds.values().map(Vec::len).sum::<usize>();
        if readable == 0 && lists.built_in.is_empty() {
            return Facts::default();
        }
        // The version magic that is most common among modules that were not added later; of two equally common ones that with
        // more modules of the kernel's own build; else the one that sorts first, so that the answer is always the same. This
        // kernel would not load modules of other builds, so they are no evidence of it.
        let of_rank = |build: &[ModuleEvidence], rank| build.iter().filter(|member| member.rank() <= rank).count();
        let order = |(a, one): &(Vec<u8>, Vec<ModuleEvidence>), (b, other): &(Vec<u8>, Vec<ModuleEvidence>)| {
            let counts = |build: &[ModuleEvidence]| [of_rank(build, 1), of_rank(build, 0), build.len()];
            counts(one).cmp(&counts(other)).then_with(|| b.cmp(a))
        };
        let is_stripped = self.builds.is_empty() && self.without == 0 && !self.stripped.is_empty();
        let (vermagic, members) = match is_stripped {
            true => (None, self.stripped),
            false => self
                .builds
                .into_iter()
                .max_by(order)
                .map_or_else(Default::default, |(vermagic, members)| (Some(vermagic), members)),
        };
        let best = members.iter().map(ModuleEvidence::rank).min().unwrap_or_default();
        let (mut machines, mut fingerprints) = (Vec::new(), Vec::new());
        let (mut own, mut statements) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        let mut proprietary = BTreeSet::new();
        for mut member in members {
            member.module.is_added = member.rank() > best;
            if !member.module.is_added {
                count(&mut machines, member.machine, 1);
                member.fingerprint.into_iter().for_each(|one| count(&mut fingerprints, one, 1));
                // A patched module has its kernel's name, but its CRCs may not be its own.
                if !member.statement.is_patched {
                    statements.push(member.statement);
                }
            }
            if member.is_proprietary {
                proprietary.insert(member.module.file.clone());
            }
            own.push(member.module);
        }
        let of_this_build = own.len();
        // Before one file of each module is chosen: others were built with the replaced ones.
        let built: Vec<TreeModule> = own.iter().filter(|module| !module.is_added).cloned().collect();
        let own = preferred(own, preference);
        let source = match (own.len(), self.unreadable) {
            (0, 0) => Origin::BuiltInList(Box::new(name.clone())),
            (count, unreadable) => Origin::Modules { count, unreadable, of: Box::new(name.clone()) },
        };
        let mut facts = Facts::default();
        if readable > of_this_build {
            facts.notes.push(Note::OtherBuilds { count: readable - of_this_build, of: name.clone() });
        }
        if of_this_build > own.len() {
            facts.notes.push(Note::NotPreferred { count: of_this_build - own.len(), of: name.clone() });
        }
        if let Some(vermagic) = vermagic {
            let vermagic = Vermagic::parse(&vermagic);
            facts.release = vermagic.release().map(|token| Fact { value: token.text.clone(), source: source.clone() });
            facts.vermagic = Some(Fact { value: vermagic, source: source.clone() });
        }
        facts.stripped = is_stripped.then(|| Fact { value: of_this_build, source: source.clone() });
        if of_this_build > 0 {
            facts.machine = most(&machines, |_| 0).map(|value| Fact { value, source: source.clone() });
            // A module without an exit function does not show where the pointer to it is.
            let pointers = |f: &ModuleLayout| usize::from(f.init.is_some()) + usize::from(f.exit.is_some());
            facts.fingerprint = most(&fingerprints, pointers).map(|value| Fact { value, source: source.clone() });
            let imports = Imports::of(statements, &own, &built);
            if !imports.is_empty() {
                facts.imports = Some(Fact { value: imports, source: source.imports() });
            }
        }
        let tree = ModuleTree::new(own, lists.built_in).with_proprietary(proprietary);
        let tree = match lists.names {
            Some(names) => tree.listed(names),
            None => tree,
        };
        facts.tree = Some(Fact { value: tree, source });
        facts
    }
}

/// One file of each module, the one that depmod prefers, sorted by path.
fn preferred(mut modules: Vec<TreeModule>, preference: &DepmodOrder) -> Vec<TreeModule> {
    modules.sort_by_cached_key(|module| preference.rank(&module.file));
    let mut known = HashSet::with_capacity(modules.len());
    modules.retain(|module| known.insert(module.name.replace('-', "_")));
    modules.sort_by(|a, b| a.file.cmp(&b.file));
    modules
}

/// The names of the modules in a list with one file per line: `modules.order`, or `modules.dep`, where a colon and more
/// follow each file. `None` if there are none.
pub(super) fn names_in(list: &[u8]) -> Option<Vec<String>> {
    let list = String::from_utf8_lossy(list);
    let files = list.lines().map(|line| line.split(':').next().unwrap_or_default().trim());
    let names = files.filter(|file| !file.is_empty()).map(|file| name_of_file(Path::new(file)).replace('-', "_"));
    let names: Vec<String> = names.take(MOST_MODULES + 1).collect();
    (1..=MOST_MODULES).contains(&names.len()).then_some(names)
}

/// Gathers from module files in parallel: `files` are below `folder`.
pub(super) fn gather(folder: &Path, files: &[PathBuf], budget: &WorkBudget) -> GatheredModules {
    let add = |mut gathered: GatheredModules, file: &PathBuf| {
        match module::file::read_up_to(&folder.join(file), budget.max_size()) {
            Ok(contents) => {
                budget.admit(contents.bytes().len());
                gathered.add(file, contents.bytes(), budget);
            }
            Err(_) => gathered.unreadable += 1,
        }
        gathered
    };
    parallel::fold(files, add, GatheredModules::join)
}

/// The built-in modules: `modules.builtin` lists them by file, `modules.builtin.modinfo` has their modinfo, each string
/// preceded by the module's name and a dot. A built-in module with a parameter or a version has a folder in /sys/module from
/// the start (`param_sysfs_builtin`, kernel/params.c, 6.1).
pub(super) fn built_in(list: Option<&[u8]>, modinfo: Option<&[u8]>) -> Vec<BuiltIn> {
    let mut names: HashMap<String, bool> = HashMap::new();
    let list = String::from_utf8_lossy(list.unwrap_or_default());
    for line in list.lines().filter(|line| !line.trim().is_empty()).take(MOST_MODULES) {
        names.insert(name_of_file(Path::new(line.trim())), false);
    }
    for string in modinfo.unwrap_or_default().split(|byte| *byte == 0) {
        let string = String::from_utf8_lossy(string);
        let Some((name, field)) = string.split_once('.') else { continue };
        let in_sysfs = field.starts_with("parm=") || field.starts_with("version=");
        if names.len() > MOST_MODULES {
            break;
        }
        *names.entry(name.replace('-', "_")).or_default() |= in_sysfs;
    }
    let mut built_in: Vec<BuiltIn> = names.into_iter().map(|(name, in_sysfs)| BuiltIn { name, in_sysfs }).collect();
    built_in.sort_by(|a, b| a.name.cmp(&b.name));
    built_in
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A tree has one or two different values, so a list is enough; a tree that was made to have more gets no more memory.
fn count<T: PartialEq>(counts: &mut Vec<(T, usize)>, value: T, number: usize) {
    match counts.iter_mut().find(|(known, _)| *known == value) {
        Some((_, count)) => *count += number,
        None => {
            if counts.len() < 64 {
                counts.push((value, number));
            }
        }
    }
}

/// The value that shows most; of several, the most common one.
fn most<T: Copy + std::fmt::Debug>(counts: &[(T, usize)], tells: impl Fn(&T) -> usize) -> Option<T> {
    let order = |(value, count): &&(T, usize)| (tells(value), *count, std::cmp::Reverse(format!("{value:?}")));
    counts.iter().max_by_key(order).map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(files: &[&str]) -> GatheredModules {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules");
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        gather(&folder, &files, &WorkBudget::new(1 << 30))
    }

    #[test]
    fn a_list_of_more_modules_than_any_kernel_has_is_none() {
        let list = |count: usize| (0..count).map(|n| format!("kernel/m{n}.ko\n")).collect::<String>();
        assert_eq!(names_in(list(MOST_MODULES).as_bytes()).map(|names| names.len()), Some(MOST_MODULES));
        assert_eq!(names_in(list(MOST_MODULES + 1).as_bytes()), None);
        assert_eq!(built_in(Some(list(MOST_MODULES + 1).as_bytes()), None).len(), MOST_MODULES);
    }

    #[test]
    fn modules_of_another_build_are_left_out() {
        let facts = gathered(&["hello-4.ko", "exports.ko", "hello-4-rt.ko", "../hostile/text-file.ko"]).facts(
            &"x".into(),
            ModuleLists::default(),
            &DepmodOrder::default(),
        );
        let tree = facts.tree.unwrap();
        let names: Vec<&str> = tree.value.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["exports", "hello_4"]);
        assert_eq!(tree.source.to_string(), "2 modules in x, and 1 more that can't be read");
        assert_eq!(facts.notes, [Note::OtherBuilds { count: 1, of: "x".into() }]);
    }

    #[test]
    fn without_symbol_versions_imports_count_and_a_crc_is_not_lost() {
        // text.ko has no symbol versions, and needs _printk as the other does.
        let crc = |files: &[&str]| {
            let imports = gathered(files)
                .facts(&"x".into(), ModuleLists::default(), &DepmodOrder::default())
                .imports
                .unwrap()
                .value;
            imports.get("_printk", None).map(|imported| imported.crc)
        };
        assert_eq!(crc(&["text.ko"]), Some(None));
        assert_eq!(crc(&["text.ko", "hello-4.ko"]), Some(Some(0x9299_7ed8)));
    }
}
