//! The facts about a kernel, as values: each fact with the source that it was read from. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::btf::Btf;
pub use crate::btf::members::StructMember;
use crate::kernel::architecture::{Architecture, Machine};
use crate::kernel::imports::{Imports, OwnImports};
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::tree::{Export, Exports, ModuleTree, TreeModule};
pub use crate::module::certificate::Certificate;
use crate::module::this_module::ModuleLayout;
use crate::vermagic::Vermagic;

/// A fact about a kernel, with the source that it was read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// Where it was read.
    pub source: Origin,
}

/// The facts about a kernel. A fact that is `None` is not known; it is never guessed.
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
    /// The certain part of the machine, if [`Facts::machine`] is not known.
    pub architecture: Option<Fact<Architecture>>,
    /// Size of its `struct module`, and where init and exit are in it.
    pub fingerprint: Option<Fact<ModuleLayout>>,
    /// The members of its `struct module`, from its BTF.
    pub layout: Option<Fact<Vec<StructMember>>>,
    /// The symbols that its image exports to modules, from the image or from the lists of its build.
    pub exports: Option<Fact<Exports>>,
    /// The symbols that its modules import. Something exports each of them: the image or another module.
    pub imports: Option<Fact<Imports>>,
    /// Its modules with their exports, and the modules that are built into the image.
    pub tree: Option<Fact<ModuleTree>>,
    /// How many modules it has, if all of them are stripped as OpenWrt strips modules (CONFIG_MODULE_STRIPPED): without
    /// version magic, name and intree. A loader that loads such modules does not compare the version magic.
    pub stripped: Option<Fact<usize>>,
    /// The configuration that it was built with.
    pub config: Option<Fact<Config>>,
    /// The folders of the image's own parameters in /sys/module. No module can have one of these names.
    pub folders: Option<Fact<BTreeSet<String>>>,
    /// The words before the dot in strings like `block.events_dfl_poll_msecs` of an image without sections. The folders of the
    /// image's own parameters are among these words, so a name that is not one of them has no folder.
    pub prefixes: Option<Fact<BTreeSet<String>>>,
    /// The loader's messages that are in its image: it cannot print any other. The names of built-in digests are among them.
    pub messages: Option<Fact<BTreeSet<String>>>,
    /// The built-in certificates whose keys it trusts for modules.
    pub keys: Option<Fact<Vec<Certificate>>>,
    /// Its BTF: the section `.BTF` of its image.
    pub btf: Option<Fact<Arc<[u8]>>>,
    /// The policy that the running system enforces.
    pub policy: Option<Fact<Policy>>,
    /// Sources that yield no fact, and why: a file that must not be read, modules of another kernel.
    pub notes: Vec<Note>,
}

impl Facts {
    /// Replaces an origin in all facts and notes.
    pub(super) fn replace_origin(&mut self, from: &Origin, to: &Origin) {
        fn of<T>(fact: &mut Option<Fact<T>>) -> Option<&mut Origin> {
            fact.as_mut().map(|fact| &mut fact.source)
        }
        // By name, so that a new fact cannot be forgotten here.
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
    /// What is known of an exported symbol: that the image exports it, which module does, or only that something does. The
    /// imports of the module in question (`own`) are not counted. `None` if no source shows that it is exported.
    pub fn symbol(&self, name: &str, own: Option<&OwnImports>) -> Option<KnownSymbol<'_>> {
        let imports = self.imports.as_ref();
        let imported = imports.and_then(|fact| fact.value.get(name, own));
        let crc = imported.as_ref().and_then(|imported| imported.crc);
        let known = |owner, export: &'_ Export, source| KnownSymbol {
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
            return Some(known(SymbolOwner::Image, export, source));
        }
        let is_complete = self.exports.as_ref().is_some_and(|exports| exports.value.complete);
        let is_of_image = imported.as_ref().is_some_and(|imported| imported.is_of_image) && !is_complete;
        // A module cannot be loaded if it exports a symbol that the image exports.
        if let Some(Fact { value, source }) = &self.tree
            && let Some((module, export)) = value.exporter(name).filter(|_| !is_of_image)
        {
            return Some(known(SymbolOwner::Module(module), export, source));
        }
        imported.as_ref()?;
        let owner = match is_of_image {
            true => SymbolOwner::Image,
            false => SymbolOwner::ImageOrModule,
        };
        Some(known(owner, &Export::default(), &imports?.source))
    }

    /// The CRC of an exported symbol: of the image, of the module that exports it, or the one that most importing modules have.
    /// `None` if it is not known or there is none.
    pub fn crc(&self, symbol: &str, own: Option<&OwnImports>) -> Option<u32> {
        let image = self.exports.as_ref().and_then(|exports| exports.value.symbols.get(symbol)?.crc);
        image.or_else(|| self.symbol(symbol, own)?.crc)
    }

    /// All known CRCs by symbol: of the image's exports, of the modules' exports, and of imports.
    pub fn crcs(&self) -> HashMap<String, u32> {
        let image = self.exports.iter().flat_map(|exports| exports.value.symbols.keys());
        let tree = self.tree.iter().flat_map(|tree| &tree.value.modules).flat_map(|module| &module.exports);
        // If all exports of the image are known, imports add none.
        let is_complete = self.exports.as_ref().is_some_and(|exports| exports.value.complete);
        let imported = self.imports.iter().filter(|_| !is_complete).flat_map(|imports| imports.value.names());
        let names = image.map(String::as_str).chain(tree.map(|(name, _)| name.as_str())).chain(imported);
        names.filter_map(|name| Some((name.to_owned(), self.crc(name, None)?))).collect()
    }

    /// Takes the release from the name of the module folder (`lib/modules/RELEASE`), if all modules are stripped and no better
    /// source has it.
    pub(super) fn learn_release_of_folder(&mut self, name: &str) {
        if let (None, Some(stripped)) = (&self.release, &self.stripped) {
            let source = Origin::FolderName { name: name.to_owned(), of: Box::new(stripped.source.clone()) };
            self.release = Some(Fact { value: name.to_owned(), source });
        }
    }

    /// Determines the machine from the words of the version magic and from what else is known of the architecture, if no better
    /// source has it. If the two contradict each other, the version magic is used.
    pub(super) fn learn_from_vermagic(&mut self) {
        if self.machine.is_some() {
            return;
        }
        let named = self.vermagic.as_ref().and_then(|vermagic| {
            let source = vermagic.source.part("version magic");
            Some(Fact { value: Architecture::of(&vermagic.value)?, source })
        });
        self.architecture = match (self.architecture.take(), named) {
            (Some(known), Some(named)) => match named.value.and(known.value) {
                Some(both) if both == known.value => Some(known),
                Some(both) if both == named.value => Some(named),
                Some(both) => Some(Fact { value: both, source: named.source.and(known.source) }),
                None => Some(named),
            },
            (known, named) => known.or(named),
        };
        if let Some(known) = &self.architecture
            && let Some(value) = known.value.machine()
        {
            self.machine = Some(Fact { value, source: known.source.clone() });
            self.architecture = None;
        }
    }

    /// The kernel's machine and its source, if a module for the machine `module` certainly is not for it.
    pub fn other_machine(&self, module: Machine) -> Option<(String, &Origin)> {
        match (&self.machine, &self.architecture) {
            (Some(machine), _) if machine.value != module => Some((machine.value.to_string(), &machine.source)),
            (None, Some(known)) if !known.value.fits(module) => Some((known.value.to_string(), &known.source)),
            _ => None,
        }
    }

    /// Takes the members of `struct module` and its layout from the BTF. Known facts stay; an unreadable BTF adds nothing.
    pub fn learn_from_btf(&mut self) {
        let Some(fact) = &self.btf else { return };
        let Some((size, members)) = Btf::parse(&fact.value).ok().and_then(|btf| btf.struct_members("module")) else {
            return;
        };
        let offset = |name: &str| members.iter().find(|member| member.name == name).map(|member| member.offset);
        let fingerprint = ModuleLayout { size, init: offset("init"), exit: offset("exit") };
        let source = fact.source.clone();
        self.fingerprint.get_or_insert_with(|| Fact { value: fingerprint, source: source.clone() });
        self.layout.get_or_insert(Fact { value: members, source });
    }
}

/// An exported symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownSymbol<'f> {
    /// The exporter.
    pub owner: SymbolOwner<'f>,
    /// Its CRC, if it has one and it is known.
    pub crc: Option<u32>,
    /// For modules under a GPL-compatible licence only? `None` if that is not known.
    pub gpl_only: Option<bool>,
    /// The namespace that users must import, empty for none; `None` if that is not known.
    pub namespace: Option<String>,
    /// The namespaces that each using module imports: the symbol's own, if it has one, is in each of these sets.
    pub users: Vec<&'f [String]>,
    /// The source.
    pub source: &'f Origin,
}

/// The exporter of a symbol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SymbolOwner<'f> {
    /// The kernel's image.
    Image,
    /// A module of its tree.
    Module(&'f TreeModule),
    /// The image or a module; it is not known which.
    ImageOrModule,
}

/// The options of a configuration, without `CONFIG_`. Only options that are set are in it.
pub type Config = BTreeMap<String, String>;

/// The policy that a running system enforces.
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
    /// The names of the loaded modules (/sys/module), including built-in modules with a folder there.
    pub loaded: Vec<String>,
}
