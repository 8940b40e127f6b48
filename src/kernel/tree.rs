//! A kernel's modules, all of them: what each says on its own, and what they say of the image together.
//!
//! Every module tells the CRCs that its imports had when it was built. A symbol that modules import with a CRC, and that
//! no module exports, is the image's: so a tree alone knows a good part of what its kernel exports.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::kernel::{BuiltIn, Export, Exports, Fact, Facts, Machine, Tree, TreeModule};
use crate::module::container::Container;
use crate::module::this_module::Fingerprint;
use crate::module::{self, Module, name_of_file};
use crate::vermagic::Vermagic;

/// What modules say, gathered one at a time, in any order.
#[derive(Default)]
pub(super) struct Gathered {
    /// By version magic, since a tree may hold modules of another build beside its own.
    builds: HashMap<Vec<u8>, Build>,
    /// How many have no version magic.
    without: usize,
    unreadable: usize,
}

/// What the modules with one version magic say together.
#[derive(Default)]
struct Build {
    modules: Vec<TreeModule>,
    /// How many modules are for each machine.
    machines: Vec<(Machine, usize)>,
    /// How many modules have each fingerprint.
    fingerprints: Vec<(Fingerprint, usize)>,
    /// The CRCs of imports; `None` where two modules do not agree.
    imports: HashMap<String, Option<u32>>,
    /// The imports of modules without symbol versions.
    needs: HashSet<String>,
}

impl Gathered {
    /// Adds a module: its path in the tree, and the bytes of its file. One that can't be read is counted.
    pub(super) fn add(&mut self, file: &Path, stored: &[u8], max_size: u64) {
        let read = match Container::of(stored) {
            Container::None => Module::read(stored),
            container => container.decompress(stored, max_size).and_then(|bytes| Module::read(&bytes)),
        };
        match read {
            Ok(module) => self.add_module(file, &module),
            Err(_) => self.unreadable += 1,
        }
    }

    fn add_module(&mut self, file: &Path, module: &Module) {
        let depends = module.modinfo.first("depends").unwrap_or_default().split(|byte| *byte == b',');
        let exports = module.exports.iter().map(|export| {
            let known = Export {
                crc: export.crc,
                gpl_only: Some(export.is_gpl_only),
                namespace: Some(text(export.namespace.as_deref().unwrap_or_default())),
            };
            (text(&export.name), known)
        });
        let Some(vermagic) = module.modinfo.first("vermagic") else {
            self.without += 1;
            return;
        };
        let build = self.builds.entry(vermagic.to_vec()).or_default();
        build.modules.push(TreeModule {
            name: module.name_or_stem(file),
            file: file.to_owned(),
            depends: depends.filter(|name| !name.is_empty()).map(text).collect(),
            exports: exports.collect(),
        });
        count(&mut build.machines, Machine::of(module), 1);
        if let Some(structure) = &module.this_module {
            count(&mut build.fingerprints, structure.fingerprint, 1);
        }
        // Without symbol versions, as Debian builds from 7.2 on, what a module needs is there all the same.
        if module.versions.basic.is_none() && module.versions.extended.is_none() {
            for import in module.imports.iter().filter(|import| !import.is_weak) {
                build.needs.insert(text(&import.name));
            }
        }
        for (name, crc) in module.versions.by_symbol() {
            let crc = u32::try_from(crc).ok();
            match std::str::from_utf8(name).ok().and_then(|name| build.imports.get_mut(name)) {
                Some(known) if *known == crc => {}
                Some(known) => *known = None,
                None => {
                    build.imports.insert(text(name), crc);
                }
            }
        }
    }

    /// Takes over what another has gathered.
    pub(super) fn join(mut self, other: Gathered) -> Gathered {
        self.unreadable += other.unreadable;
        self.without += other.without;
        for (vermagic, theirs) in other.builds {
            let build = self.builds.entry(vermagic).or_default();
            build.modules.extend(theirs.modules);
            theirs.machines.into_iter().for_each(|(machine, number)| count(&mut build.machines, machine, number));
            theirs.fingerprints.into_iter().for_each(|(one, number)| count(&mut build.fingerprints, one, number));
            build.needs.extend(theirs.needs);
            for (name, crc) in theirs.imports {
                build.imports.entry(name).and_modify(|known| *known = known.filter(|_| *known == crc)).or_insert(crc);
            }
        }
        self
    }

    /// The facts that they tell together. `name` is the tree's, for [`Fact::source`].
    pub(super) fn facts(self, name: &str, built_in: Vec<BuiltIn>) -> Facts {
        let readable = self.without + self.builds.values().map(|build| build.modules.len()).sum::<usize>();
        if readable == 0 && built_in.is_empty() {
            return Facts::default();
        }
        // The most common one; of two as common, the one that sorts first, so that the answer is the same each time.
        // Modules of other builds, which this kernel would not load, tell nothing of it.
        let builds = self.builds.into_iter();
        let order = |(a, one): &(Vec<u8>, Build), (b, other): &(Vec<u8>, Build)| {
            one.modules.len().cmp(&other.modules.len()).then_with(|| b.cmp(a))
        };
        let mut majority = builds.max_by(order);
        let mut own = majority.as_mut().map(|(_, build)| std::mem::take(&mut build.modules)).unwrap_or_default();
        own.sort_by(|a, b| a.file.cmp(&b.file));
        let source = match (own.len(), self.unreadable) {
            (0, 0) => format!("the list of built-in modules in {name}"),
            (count, 0) => format!("{} in {name}", modules(count)),
            (count, bad) => format!("{} in {name}, and {bad} more that can't be read", modules(count)),
        };
        let fact = |value| Fact { value, source: source.clone() };
        let mut facts = Facts::default();
        if readable > own.len() {
            facts.notes.push(format!("{} in {name} of other builds, left out", modules(readable - own.len())));
        }
        if let Some((vermagic, build)) = majority {
            let vermagic = Vermagic::parse(&vermagic);
            facts.release = vermagic.release().map(|token| Fact { value: token.text.clone(), source: source.clone() });
            facts.vermagic = Some(Fact { value: vermagic, source: source.clone() });
            facts.machine = most(&build.machines, |_| 0).map(|value| Fact { value, source: source.clone() });
            // A module without an exit function has no pointer to it to be seen.
            let pointers = |f: &Fingerprint| usize::from(f.init.is_some()) + usize::from(f.exit.is_some());
            facts.fingerprint = most(&build.fingerprints, pointers).map(|value| Fact { value, source: source.clone() });
            let mut symbols = build.imports;
            for name in build.needs {
                symbols.entry(name).or_insert(None);
            }
            for (name, _) in own.iter().flat_map(|module| &module.exports) {
                symbols.remove(name);
            }
            if !symbols.is_empty() {
                let known = |crc: Option<u32>| Export { crc, ..Export::default() };
                let symbols = symbols.into_iter().map(|(name, crc)| (name, known(crc))).collect();
                let source = format!("what {source} import");
                facts.exports = Some(Fact { value: Exports { symbols, complete: false }, source });
            }
        }
        facts.tree = Some(fact(Tree::new(own, built_in)));
        facts
    }
}

/// Gathers from module files in parallel: `files` are below `folder`.
pub(super) fn gather(folder: &Path, files: &[PathBuf], max_size: u64) -> Gathered {
    let add = |mut gathered: Gathered, file: &PathBuf| {
        match module::file::read(&folder.join(file)) {
            Ok(contents) => gathered.add(file, contents.bytes(), max_size),
            Err(_) => gathered.unreadable += 1,
        }
        gathered
    };
    files.par_iter().fold(Gathered::default, add).reduce(Gathered::default, Gathered::join)
}

/// The built-in modules: `modules.builtin` lists them by file, `modules.builtin.modinfo` holds their modinfo, each
/// string with the module's name and a dot before it. With a parameter or a version they have a folder in /sys/module
/// from the start (`param_sysfs_builtin`, kernel/params.c, 6.1).
pub(super) fn built_in(list: Option<&[u8]>, modinfo: Option<&[u8]>) -> Vec<BuiltIn> {
    let mut names: HashMap<String, bool> = HashMap::new();
    let list = String::from_utf8_lossy(list.unwrap_or_default());
    for line in list.lines().filter(|line| !line.trim().is_empty()) {
        names.insert(name_of_file(Path::new(line.trim())), false);
    }
    for string in modinfo.unwrap_or_default().split(|byte| *byte == 0) {
        let string = String::from_utf8_lossy(string);
        let Some((name, field)) = string.split_once('.') else { continue };
        let in_sysfs = field.starts_with("parm=") || field.starts_with("version=");
        *names.entry(name.replace('-', "_")).or_default() |= in_sysfs;
    }
    let mut built_in: Vec<BuiltIn> = names.into_iter().map(|(name, in_sysfs)| BuiltIn { name, in_sysfs }).collect();
    built_in.sort_by(|a, b| a.name.cmp(&b.name));
    built_in
}

fn modules(count: usize) -> String {
    format!("{count} module{}", if count == 1 { "" } else { "s" })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// There are one or two kinds of each, so that a list is enough; a tree made to have more is not worth more memory.
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

/// The value that tells most, and of those the most common.
fn most<T: Copy + std::fmt::Debug>(counts: &[(T, usize)], tells: impl Fn(&T) -> usize) -> Option<T> {
    let order = |(value, count): &&(T, usize)| (tells(value), *count, std::cmp::Reverse(format!("{value:?}")));
    counts.iter().max_by_key(order).map(|(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(files: &[&str]) -> Gathered {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/modules");
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        gather(&folder, &files, 1 << 30)
    }

    #[test]
    fn modules_of_another_build_tell_nothing_of_this_kernel() {
        let facts =
            gathered(&["hello-4.ko", "exports.ko", "hello-4-rt.ko", "../hostile/text-file.ko"]).facts("x", vec![]);
        let tree = facts.tree.unwrap();
        let names: Vec<&str> = tree.value.modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["exports", "hello_4"]);
        assert_eq!(tree.source, "2 modules in x, and 1 more that can't be read");
        assert_eq!(facts.notes, ["1 module in x of other builds, left out"]);
    }

    #[test]
    fn without_symbol_versions_what_is_needed_is_there_and_a_crc_is_not_lost() {
        // text.ko has no symbol versions, and needs _printk as the other does.
        let crc = |files: &[&str]| {
            let exports = gathered(files).facts("x", vec![]).exports.unwrap().value;
            exports.symbols.get("_printk").map(|export| export.crc)
        };
        assert_eq!(crc(&["text.ko"]), Some(None));
        assert_eq!(crc(&["text.ko", "hello-4.ko"]), Some(Some(0x9299_7ed8)));
    }
}
