//! The imports of a kernel's modules: evidence of the kernel's exports. Pure.
//!
//! An import proves that something exported the symbol where the module was built: the image, or another module. modpost
//! lists in `depends=` the modules whose symbols a module uses (`add_depends`, scripts/mod/modpost.c, 2.6.0 to 7.2). So the
//! image exports a symbol if none of those modules exports it, and all of them are known as they were at that time: a later
//! replacement may export less. A module that imports a symbol also had to import its namespace, or modpost would have
//! complained: a module without `import_ns` uses only symbols without a namespace.
//!
//! A module is no evidence for itself. Imports are stored as counts, and each module as a digest of its imports, so that the
//! imports of a single module can be subtracted again ([`Imports::own`]).

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Hasher;
use crate::kernel::tree::TreeModule;
use crate::module::Module;
use crate::module::summary::MARK;

/// How many CRCs of a symbol, and how many sets of namespaces of its users, are counted separately. A tree of one build has
/// one of each.
const MOST_KINDS: usize = 8;

/// The imports of modules, and the modules that have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imports {
    symbols: HashMap<String, ImportTally>,
    witnesses: Vec<ImportingModule>,
}

/// A module whose imports count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ImportingModule {
    identity: Identity,
    /// All modules that it depends on are known as they were when it was built.
    proves: bool,
}

/// A digest of a module's name, dependencies, namespaces and imports. A copy with another version magic or signature has the
/// same digest.
type Identity = [u8; 16];

/// The imports of a symbol, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ImportTally {
    /// How many modules import it.
    users: u32,
    /// How many of them prove that the image exports it.
    of_image: u32,
    /// CRCs, and how many modules have each.
    crcs: Vec<(u32, u32)>,
    /// Sets of namespaces, and how many modules import each.
    namespaces: Vec<(Vec<String>, u32)>,
    /// A module exports it, too. Then only modules that prove that the image exports it are counted.
    is_disputed: bool,
}

/// What is known of an exported symbol from the imports of modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSymbol<'i> {
    /// The image exports it. Otherwise the exporter is not known.
    pub is_of_image: bool,
    /// The CRC that most modules have. `None` if none is known, or if two are equally common.
    pub crc: Option<u32>,
    /// The sets of namespaces that its users import: the symbol's own, if it has one, is in each of them.
    pub namespaces: Vec<&'i [String]>,
}

/// The imports of one module.
#[derive(Clone, Debug, Default)]
pub(super) struct ModuleImports {
    name: String,
    pub(super) is_in_tree: bool,
    /// kmodlab changed the module: its CRCs may be those that a kernel wanted.
    pub(super) is_patched: bool,
    /// `None` if modinfo has no such entry, which proves nothing.
    depends: Option<Vec<String>>,
    namespaces: Vec<String>,
    imports: Vec<(String, Option<u32>)>,
}

/// The imports of the module in question, if it is one of the counted modules.
#[derive(Clone, Debug, Default)]
pub struct OwnImports {
    statement: HashMap<String, Option<u32>>,
    namespaces: Vec<String>,
    is_in_tree: bool,
    /// How many counted modules have the same digest.
    copies: u32,
    /// How many of these prove what the image exports.
    proving: u32,
    is_only: bool,
}

impl ModuleImports {
    /// The imports of a module.
    pub(super) fn of(module: &Module) -> ModuleImports {
        let mut namespaces: Vec<String> = module.modinfo.all("import_ns").map(text).collect();
        namespaces.sort();
        namespaces.dedup();
        let depends = module.modinfo.first("depends").map(|names| {
            let names = names.split(|byte| *byte == b',').filter(|name| !name.is_empty());
            names.map(|name| text(name).replace('-', "_")).collect()
        });
        let versions = module.versions.by_symbol();
        let mut imports: Vec<(String, Option<u32>)> =
            versions.iter().map(|(name, crc)| (text(name), u32::try_from(*crc).ok())).collect();
        // Without symbol versions, as Debian builds from 7.2 on, the symbol must still exist, except for a weak one.
        if module.versions.basic.is_none() && module.versions.extended.is_none() {
            let strong = module.imports.iter().filter(|import| !import.is_weak);
            imports.extend(strong.map(|import| (text(&import.name), None)));
        }
        imports.sort();
        imports.dedup_by(|a, b| a.0 == b.0);
        ModuleImports {
            name: module.name().map(|name| name.replace('-', "_")).unwrap_or_default(),
            is_in_tree: module.modinfo.first("intree").is_some(),
            is_patched: module.modinfo.first(MARK).is_some(),
            depends,
            namespaces,
            imports,
        }
    }

    fn identity(&self) -> Identity {
        let mut hash = Sha256Hasher::new();
        let mut add = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        add(self.name.as_bytes());
        add(&[u8::from(self.is_in_tree), u8::from(self.depends.is_some())]);
        self.depends.iter().flatten().for_each(|name| add(name.as_bytes()));
        add(b"namespaces");
        self.namespaces.iter().for_each(|name| add(name.as_bytes()));
        add(b"imports");
        for (name, crc) in &self.imports {
            add(name.as_bytes());
            add(&crc.map(u32::to_le_bytes).unwrap_or_default());
        }
        let digest = hash.finish();
        let mut identity = Identity::default();
        identity.copy_from_slice(digest.as_bytes().split_at(size_of::<Identity>()).0);
        identity
    }
}

/// Does this import prove its exporter, if the module's dependencies are known? modpost gives a CRC only to a symbol that it
/// has found; without CRCs, only the kernel's own build requires that each symbol is found.
fn is_resolved(crc: Option<u32>, is_in_tree: bool) -> bool {
    is_in_tree || crc.is_some()
}

/// The modules that export each symbol, with its CRC.
type Exporters<'m> = HashMap<&'m str, Vec<(String, Option<u32>)>>;

impl ModuleImports {
    /// Are all its dependencies present, each as it was then, with an export that this module imports? modpost lists no others.
    /// A dependency without such an export, or with another CRC, is not the one that the module was built with.
    fn has_its_dependencies(&self, exporters: &Exporters<'_>) -> bool {
        let Some(depends) = &self.depends else { return false };
        if depends.is_empty() {
            return true;
        }
        let (mut found, mut others) = (HashSet::new(), HashSet::new());
        for (symbol, ours) in &self.imports {
            for (module, theirs) in exporters.get(symbol.as_str()).into_iter().flatten() {
                match (ours, theirs) {
                    (Some(ours), Some(theirs)) if ours != theirs => others.insert(module),
                    _ => found.insert(module),
                };
            }
        }
        depends.iter().all(|name| found.contains(name) && !others.contains(name))
    }
}

impl Imports {
    /// Counts the imports of modules and derives the exporters. `modules` are the modules that depmod selects in the tree,
    /// `built` those that were built with the kernel, including replaced copies. If one of them exports a symbol, an import of
    /// the symbol counts only if it proves that the image exports it as well.
    pub(super) fn of<'m>(
        statements: impl IntoIterator<Item = ModuleImports>,
        modules: impl IntoIterator<Item = &'m TreeModule>,
        built: impl IntoIterator<Item = &'m TreeModule>,
    ) -> Imports {
        let mut exporters = Exporters::new();
        for module in built {
            let name = module.name.replace('-', "_");
            for (symbol, export) in &module.exports {
                exporters.entry(symbol).or_default().push((name.clone(), export.crc));
            }
        }
        let exported: HashSet<&str> =
            modules.into_iter().flat_map(|module| &module.exports).map(|(name, _)| name.as_str()).collect();
        let mut all = Imports::default();
        for statement in statements {
            let proves = statement.has_its_dependencies(&exporters);
            all.witnesses.push(ImportingModule { identity: statement.identity(), proves });
            let ModuleImports { imports, namespaces, is_in_tree, depends, .. } = statement;
            let depends = depends.unwrap_or_default();
            for (name, crc) in imports {
                let theirs = exporters.get(name.as_str());
                let is_disputed = theirs.is_some() || exported.contains(name.as_str());
                let is_of_dependency =
                    theirs.is_some_and(|theirs| theirs.iter().any(|(module, _)| depends.contains(module)));
                let is_of_image = proves && is_resolved(crc, is_in_tree) && !is_of_dependency;
                if is_disputed && !is_of_image {
                    continue;
                }
                let import = all.symbols.entry(name).or_default();
                import.is_disputed = is_disputed;
                import.users += 1;
                import.of_image += u32::from(is_of_image);
                if let Some(crc) = crc {
                    count(&mut import.crcs, &crc, 1);
                }
                count(&mut import.namespaces, &namespaces, 1);
            }
        }
        all
    }

    /// How many symbols are imported.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Is nothing imported?
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The imported symbols, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.symbols.keys().map(String::as_str)
    }

    /// What is known of a symbol, without the imports of the module in question. `None` if no other module imports it.
    pub fn get(&self, symbol: &str, own: Option<&OwnImports>) -> Option<ImportedSymbol<'_>> {
        let import = self.symbols.get(symbol)?;
        let said = own.and_then(|own| Some((own, *own.statement.get(symbol)?)));
        let copies = |is_same: bool| said.filter(|_| is_same).map_or(0, |(own, _)| own.counted(import));
        if import.users <= copies(true) {
            return None;
        }
        let proving = said.map_or(0, |(own, crc)| if is_resolved(crc, own.is_in_tree) { own.proving } else { 0 });
        let namespaces = import
            .namespaces
            .iter()
            .filter(|(names, users)| *users > copies(said.is_some_and(|(own, _)| own.namespaces == *names)));
        Some(ImportedSymbol {
            is_of_image: import.of_image > proving,
            crc: import.crc(said),
            namespaces: namespaces.map(|(names, _)| names.as_slice()).collect(),
        })
    }

    /// The CRC of a symbol that most modules have, without the module in question.
    pub fn crc(&self, symbol: &str, own: Option<&OwnImports>) -> Option<u32> {
        self.symbols.get(symbol)?.crc(own.and_then(|own| Some((own, *own.statement.get(symbol)?))))
    }

    /// The imports of a module, if it was counted.
    pub fn own(&self, module: &Module) -> Option<OwnImports> {
        let statement = ModuleImports::of(module);
        let identity = statement.identity();
        let same = || self.witnesses.iter().filter(|witness| witness.identity == identity);
        let copies = same().count();
        (copies > 0).then(|| OwnImports {
            statement: statement.imports.into_iter().collect(),
            namespaces: statement.namespaces,
            is_in_tree: statement.is_in_tree,
            copies: u32::try_from(copies).unwrap_or(u32::MAX),
            proving: u32::try_from(same().filter(|witness| witness.proves).count()).unwrap_or(u32::MAX),
            is_only: copies == self.witnesses.len(),
        })
    }

    /// The imports of two sources of one kernel together.
    pub(super) fn join(mut self, other: Imports) -> Imports {
        self.witnesses.extend(other.witnesses);
        for (name, theirs) in other.symbols {
            let ours = self.symbols.entry(name).or_default();
            ours.is_disputed |= theirs.is_disputed;
            ours.users = ours.users.saturating_add(theirs.users);
            ours.of_image = ours.of_image.saturating_add(theirs.of_image);
            theirs.crcs.iter().for_each(|(crc, users)| count(&mut ours.crcs, crc, *users));
            theirs.namespaces.iter().for_each(|(names, users)| count(&mut ours.namespaces, names, *users));
        }
        self
    }
}

impl ImportTally {
    fn crc(&self, said: Option<(&OwnImports, Option<u32>)>) -> Option<u32> {
        let without = |(crc, users): &(u32, u32)| {
            let copies = said.filter(|(_, said)| *said == Some(*crc)).map_or(0, |(own, _)| own.counted(self));
            (*crc, users.saturating_sub(copies))
        };
        majority(self.crcs.iter().map(without))
    }
}

impl OwnImports {
    /// How many of its copies were counted for this symbol.
    fn counted(&self, import: &ImportTally) -> u32 {
        if import.is_disputed { self.proving } else { self.copies }
    }

    /// Was no other module counted?
    pub fn is_only_witness(&self) -> bool {
        self.is_only
    }
}

/// The most common value; `None` if two are equally common.
fn majority(counts: impl Iterator<Item = (u32, u32)>) -> Option<u32> {
    let mut best: Option<(u32, u32, bool)> = None;
    for (value, count) in counts.filter(|(_, count)| *count > 0) {
        best = match best {
            Some((_, most, _)) if count > most => Some((value, count, true)),
            Some((known, most, _)) if count == most => Some((known, most, false)),
            None => Some((value, count, true)),
            other => other,
        };
    }
    best.filter(|(_, _, is_alone)| *is_alone).map(|(value, ..)| value)
}

fn count<T: PartialEq + Clone>(counts: &mut Vec<(T, u32)>, value: &T, number: u32) {
    match counts.iter_mut().find(|(known, _)| known == value) {
        Some((_, count)) => *count = count.saturating_add(number),
        None => {
            if counts.len() < MOST_KINDS {
                counts.push((value.clone(), number));
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(name: &str, depends: Option<&[&str]>, imports: &[(&str, u32)]) -> ModuleImports {
        let owned = |name: &&str| (*name).to_owned();
        ModuleImports {
            name: name.to_owned(),
            is_in_tree: true,
            depends: depends.map(|names| names.iter().map(owned).collect()),
            imports: imports.iter().map(|(name, crc)| ((*name).to_owned(), Some(*crc))).collect(),
            ..ModuleImports::default()
        }
    }

    fn module(name: &str, exports: &[&str]) -> TreeModule {
        TreeModule {
            name: name.to_owned(),
            file: format!("kernel/{name}.ko").into(),
            depends: Vec::new(),
            exports: exports.iter().map(|name| ((*name).to_owned(), Default::default())).collect(),
            is_added: false,
        }
    }

    fn of(statements: impl IntoIterator<Item = ModuleImports>, modules: &[TreeModule]) -> Imports {
        Imports::of(statements, modules, modules)
    }

    fn own(imports: &Imports, statement: &ModuleImports) -> OwnImports {
        let identity = statement.identity();
        let copies = imports.witnesses.iter().filter(|witness| witness.identity == identity).count() as u32;
        let proving = imports.witnesses.iter().filter(|w| w.identity == identity && w.proves).count() as u32;
        OwnImports {
            statement: statement.imports.iter().cloned().collect(),
            namespaces: statement.namespaces.clone(),
            is_in_tree: true,
            copies,
            proving,
            is_only: copies as usize == imports.witnesses.len(),
        }
    }

    #[test]
    fn a_module_without_dependencies_imports_from_the_image() {
        let of = |depends, modules: &[TreeModule]| {
            let user = statement("user", depends, &[("symbol", 1), ("another", 2)]);
            let imports = super::tests::of([user], modules);
            imports.get("symbol", None).unwrap().is_of_image
        };
        assert!(of(Some(&[]), &[]));
        assert!(!of(None, &[]), "a module without depends= proves nothing");
        assert!(!of(Some(&["exporter"]), &[]), "the exporter is missing");
        assert!(of(Some(&["exporter"]), &[module("exporter", &["another"])]));
        assert!(
            !of(Some(&["exporter"]), &[module("exporter", &["less"])]),
            "the module was built with another exporter"
        );
    }

    #[test]
    fn imports_of_a_symbol_that_a_module_exports_are_not_counted() {
        let statements = [statement("user", Some(&["exporter"]), &[("symbol", 1)])];
        assert_eq!(of(statements, &[module("exporter", &["symbol"])]).get("symbol", None), None);
    }

    #[test]
    fn the_most_common_crc_is_used_and_without_one_it_is_not_known() {
        let says = |name: &str, crc| statement(name, Some(&[]), &[("symbol", crc)]);
        let of = |statements: Vec<ModuleImports>| super::tests::of(statements, &[]).get("symbol", None).unwrap().crc;
        assert_eq!(of(vec![says("a", 1), says("b", 2), says("c", 1)]), Some(1));
        assert_eq!(of(vec![says("a", 1), says("b", 2)]), None);
        assert_eq!(of(vec![says("a", 1), says("b", 2), says("c", 3), says("d", 3)]), Some(3));
    }

    #[test]
    fn a_module_is_no_evidence_for_itself() {
        let one = statement("one", Some(&[]), &[("common", 1), ("rare", 7)]);
        let two = statement("two", Some(&[]), &[("common", 2)]);
        let imports = of([one.clone(), two.clone()], &[]);
        let own = own(&imports, &one);
        assert_eq!(imports.get("rare", None).unwrap().crc, Some(7));
        assert_eq!(imports.get("rare", Some(&own)), None);
        assert_eq!(imports.get("common", None).unwrap().crc, None, "one against one");
        assert_eq!(imports.get("common", Some(&own)).unwrap().crc, Some(2));
        assert!(!own.is_only_witness());
    }

    #[test]
    fn a_module_that_exports_symbols_of_the_image_does_not_become_their_exporter() {
        let users = || [statement("a", Some(&[]), &[("symbol", 1)]), statement("b", Some(&["gone"]), &[("symbol", 1)])];
        let added = TreeModule { is_added: true, ..module("added", &["symbol"]) };
        let imports = Imports::of(users(), [&added], []);
        assert!(imports.get("symbol", None).unwrap().is_of_image);
        let [proof, other] = users();
        assert_eq!(imports.get("symbol", Some(&own(&imports, &proof))), None, "its own imports are not counted");
        assert!(imports.get("symbol", Some(&own(&imports, &other))).is_some());
        assert_eq!(Imports::of([other], [&added], []).get("symbol", None), None, "proves nothing");
    }

    #[test]
    fn a_replaced_dependency_counts_as_it_was() {
        let user = || [statement("user", Some(&["exporter"]), &[("symbol", 1), ("other", 2)])];
        let replaced = TreeModule { is_added: true, ..module("exporter", &["other"]) };
        assert!(!Imports::of(user(), [&replaced], []).get("symbol", None).unwrap().is_of_image);
        let built = module("exporter", &["symbol", "other"]);
        assert_eq!(Imports::of(user(), [&replaced], [&built]).get("symbol", None), None);
    }

    #[test]
    fn two_sources_are_counted_together() {
        let one = of([statement("one", Some(&[]), &[("symbol", 1)])], &[]);
        let two = of([statement("two", Some(&["gone"]), &[("symbol", 2), ("other", 3)])], &[]);
        let both = one.join(two);
        assert_eq!((both.len(), both.get("symbol", None).unwrap().crc), (2, None));
        assert!(both.get("symbol", None).unwrap().is_of_image && !both.get("other", None).unwrap().is_of_image);
    }
}
