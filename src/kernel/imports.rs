//! What a kernel's modules import: evidence of what the kernel exports. Pure.
//!
//! An import proves that something exported the symbol where the module was built: the image, or another module. modpost
//! lists in `depends=` the modules whose symbols a module uses (`add_depends`, scripts/mod/modpost.c, 2.6.0 to 7.2). So a
//! symbol is the image's if none of those modules exports it, and all of them are known as they were then: what was put
//! in the place of one later may export less. Who imports a symbol also had to import its namespace, or modpost had
//! complained: a module without `import_ns` uses symbols without a namespace.
//!
//! A module must not vouch for itself. What a module says is kept as counts, and each module by a digest of its words, so
//! that the words of a single module can be taken out again ([`Imports::own`]).

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Hasher;
use crate::kernel::tree::TreeModule;
use crate::module::Module;
use crate::module::summary::MARK;

/// How many CRCs of a symbol, and how many sets of namespaces of its users, are distinguished. There is one of each in a tree
/// of one build.
const MOST_KINDS: usize = 8;

/// What modules import, and the modules that say so.
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

/// A digest of what a module says: its name, dependencies, namespaces and imports. A copy whose version magic or signature
/// was changed says the same.
type Identity = [u8; 16];

/// What modules say of a symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ImportTally {
    /// How many modules import it.
    users: u32,
    /// How many of them prove that it is the image's.
    of_image: u32,
    /// How many have which CRC.
    crcs: Vec<(u32, u32)>,
    /// How many import which namespaces.
    namespaces: Vec<(Vec<String>, u32)>,
    /// A module exports it, too. Then only those count here which prove that it is the image's.
    is_disputed: bool,
}

/// What the imports of modules tell of a symbol that something exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedSymbol<'i> {
    /// The image exports it. Else it is not known who does.
    pub is_of_image: bool,
    /// Its CRC, by the majority. `None` where none is known, or as many say one as say another.
    pub crc: Option<u32>,
    /// The namespaces that each of its users imports: the symbol's own, if it has one, is in all of them.
    pub namespaces: Vec<&'i [String]>,
}

/// What one module says.
#[derive(Clone, Debug, Default)]
pub(super) struct ModuleImports {
    name: String,
    pub(super) is_in_tree: bool,
    /// kmodlab changed the module: its CRCs may be those that a kernel wanted.
    pub(super) is_patched: bool,
    /// `None` where modinfo has no entry of that name, which proves nothing.
    depends: Option<Vec<String>>,
    namespaces: Vec<String>,
    imports: Vec<(String, Option<u32>)>,
}

/// The words of the module that is asked about, where it is one of the witnesses.
#[derive(Clone, Debug, Default)]
pub struct OwnImports {
    statement: HashMap<String, Option<u32>>,
    namespaces: Vec<String>,
    is_in_tree: bool,
    /// How many witnesses say the same.
    copies: u32,
    /// How many of these prove something of the image.
    proving: u32,
    is_only: bool,
}

impl ModuleImports {
    /// What a module says.
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
        // Without symbol versions, as Debian builds from 7.2 on, the symbol is there all the same. A weak one need not be.
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

/// Does this import prove who exports it, if the module's dependencies do? modpost gives a CRC only to what it has found;
/// without CRCs it is the kernel's own build that insists on finding each.
fn is_resolved(crc: Option<u32>, is_in_tree: bool) -> bool {
    is_in_tree || crc.is_some()
}

/// The modules that export each symbol, with its CRC.
type Exporters<'m> = HashMap<&'m str, Vec<(String, Option<u32>)>>;

impl ModuleImports {
    /// Are all modules there that it depends on, each with something that this one imports, as it was then? modpost lists
    /// no others. A module that exports nothing of it, or something of another CRC, is not the one that it was built with.
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
    /// The imports of modules, and what follows from them and these modules' exports. `modules` are those that count in the
    /// tree, `built` those that were built with the kernel, among them copies that others have replaced. Where one of them
    /// exports a symbol, an import counts only if it proves that the image has that symbol as well.
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

    /// How many symbols modules import.
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

    /// What is known of a symbol, without the words of the module that is asked about. `None` if nobody else imports it.
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

    /// The CRC of a symbol by the majority, without the words of the module that is asked about.
    pub fn crc(&self, symbol: &str, own: Option<&OwnImports>) -> Option<u32> {
        self.symbols.get(symbol)?.crc(own.and_then(|own| Some((own, *own.statement.get(symbol)?))))
    }

    /// The words of a module, if it is one of those that these are from.
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

    /// What two sources of one kernel say together.
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
    /// How many of its copies were counted there.
    fn counted(&self, import: &ImportTally) -> u32 {
        if import.is_disputed { self.proving } else { self.copies }
    }

    /// Is there no other witness?
    pub fn is_only_witness(&self) -> bool {
        self.is_only
    }
}

/// What most say. `None` if there is no such.
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
    fn who_depends_on_nothing_imports_from_the_image_and_else_it_is_not_known() {
        let of = |depends, modules: &[TreeModule]| {
            let user = statement("user", depends, &[("symbol", 1), ("another", 2)]);
            let imports = super::tests::of([user], modules);
            imports.get("symbol", None).unwrap().is_of_image
        };
        assert!(of(Some(&[]), &[]));
        assert!(!of(None, &[]), "a module without depends= tells nothing of it");
        assert!(!of(Some(&["exporter"]), &[]), "the exporter is not there");
        assert!(of(Some(&["exporter"]), &[module("exporter", &["another"])]));
        assert!(!of(Some(&["exporter"]), &[module("exporter", &["less"])]), "it was another that it was built with");
    }

    #[test]
    fn what_a_module_there_exports_is_no_matter_of_imports() {
        let statements = [statement("user", Some(&["exporter"]), &[("symbol", 1)])];
        assert_eq!(of(statements, &[module("exporter", &["symbol"])]).get("symbol", None), None);
    }

    #[test]
    fn the_majority_has_the_crc_and_without_one_it_is_not_known() {
        let says = |name: &str, crc| statement(name, Some(&[]), &[("symbol", crc)]);
        let of = |statements: Vec<ModuleImports>| super::tests::of(statements, &[]).get("symbol", None).unwrap().crc;
        assert_eq!(of(vec![says("a", 1), says("b", 2), says("c", 1)]), Some(1));
        assert_eq!(of(vec![says("a", 1), says("b", 2)]), None);
        assert_eq!(of(vec![says("a", 1), says("b", 2), says("c", 3), says("d", 3)]), Some(3));
    }

    #[test]
    fn nobody_vouches_for_itself() {
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
    fn a_module_that_exports_the_images_symbols_does_not_take_them_over() {
        let users = || [statement("a", Some(&[]), &[("symbol", 1)]), statement("b", Some(&["gone"]), &[("symbol", 1)])];
        let added = TreeModule { is_added: true, ..module("added", &["symbol"]) };
        let imports = Imports::of(users(), [&added], []);
        assert!(imports.get("symbol", None).unwrap().is_of_image);
        let [proof, other] = users();
        assert_eq!(imports.get("symbol", Some(&own(&imports, &proof))), None, "its own words count not");
        assert!(imports.get("symbol", Some(&own(&imports, &other))).is_some());
        assert_eq!(Imports::of([other], [&added], []).get("symbol", None), None, "proves nothing");
    }

    #[test]
    fn a_dependency_that_was_replaced_counts_as_it_was() {
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
