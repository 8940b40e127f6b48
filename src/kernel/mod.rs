//! The facts of a kernel, each with the source that it was read from.
//!
//! A kernel is named the same way everywhere ([`named`]): `running`, `vermagic:STRING`, an image, a folder, a package, a
//! module of that kernel, which carries the same version magic, or several of these with `+` between them. Each source
//! has a file of its own here; what they tell is merged, fact by fact. A fact that is missing is missing; it is never
//! guessed.

mod architecture;
mod bundle;
mod cache;
pub(crate) mod config;
mod derived;
mod facts;
pub mod files;
mod folder;
pub mod image;
mod imports;
pub mod installed;
pub mod module_index;
mod note;
mod origin;
pub mod package;
pub(crate) mod packed;
pub mod preference;
pub mod realtime;
mod reference;
mod running;
mod symvers;
mod system_map;
mod tree;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::door::{internal_fields, internal_fn};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module;
use crate::module::file::Contents;
use crate::vermagic::{Release, Vermagic};

pub use architecture::Architecture;
pub use cache::folder::CacheFolder;
pub use facts::{
    BuiltIn, Certificate, Config, Export, Exports, Fact, Facts, Known, Machine, Member, Owner, Policy, Tree, TreeModule,
};
pub use imports::{Imported, Imports, Own};
pub use note::Note;
pub use origin::Origin;

internal_fields! {
    /// A kernel: its version magic, if that is known, and what else is known about it.
    #[derive(Clone, Debug)]
    pub struct Kernel {
        /// What it was called on the command line.
        name: String,
        /// Its version magic. `None` where it is not known ([`Kernel::why_no_vermagic`]): the image holds no string that is
        /// certainly it, modules are disabled, or all modules are stripped.
        vermagic: Option<Fact<Vermagic>>,
        /// Everything else, as far as it is known.
        facts: Facts,
    }
}

impl Kernel {
    internal_fn! {
        /// Its version magic.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::NoVermagic`] if it is not known, with the reason.
        fn known_vermagic(&self) -> Result<&Fact<Vermagic>> {
            self.vermagic.as_ref().ok_or_else(|| {
                let what = format!("the kernel's version magic is not known: {}", self.why_no_vermagic());
                let hint = match (self.without_modules(), &self.facts.stripped) {
                    (Some(_), _) => "no patch of a module helps there",
                    (None, Some(_)) => "its loader does not compare it, so no patch is needed",
                    (None, None) => "give the string by hand: vermagic:'STRING'",
                };
                Error::new(ErrorKind::NoVermagic, what).hint(hint).on(&self.name)
            })
        }
    }

    /// Why its version magic is not known, in words.
    pub fn why_no_vermagic(&self) -> String {
        if let Some(source) = self.without_modules() {
            return format!("modules are disabled, CONFIG_MODULES is not set ({source})");
        }
        if let Some(stripped) = &self.facts.stripped {
            return format!("all modules are stripped of it, as OpenWrt strips them ({})", stripped.source);
        }
        let banner = self.facts.banner.as_ref().map(|banner| &banner.source);
        match banner {
            Some(image) => format!("no string in {image} is certainly it"),
            None => "nothing that was read has it".to_owned(),
        }
    }

    internal_fn! {
        /// Where it is written that the kernel loads no modules (CONFIG_MODULES), if it is. A configuration says so only of a
        /// kernel without a version magic: who has one loads modules.
        fn without_modules(&self) -> Option<&Origin> {
            let config = self.facts.config.as_ref().filter(|_| self.vermagic.is_none())?;
            (!config.value.contains_key("MODULES")).then_some(&config.source)
        }
    }

    /// Its version magic, if that is known: a file that shows no string that is certainly it leaves it unknown.
    pub fn vermagic(&self) -> Option<&Vermagic> {
        self.vermagic.as_ref().map(|fact| &fact.value)
    }

    /// Its release. The version magic's first word is another one where a vendor has put a constant string there.
    pub fn release(&self) -> Option<&str> {
        let of_vermagic = || Some(self.vermagic.as_ref()?.value.release()?.text.as_str());
        self.facts.release.as_ref().map(|release| release.value.as_str()).or_else(of_vermagic)
    }

    internal_fn! {
        /// Its release, split into what the Makefile numbers and what stands behind the numbers.
        fn release_parts(&self) -> Option<Release> {
            self.release().map(Release::of)
        }
    }

    /// The same kernel without what only this module tells of it: a module does not vouch for itself. `None` where there is
    /// nothing to leave out. The version magic stays, since it is what the kernel was named by.
    pub(crate) fn without(&self, own: &Own) -> Option<Kernel> {
        let imports = self.facts.imports.as_ref().filter(|_| own.is_only_witness())?;
        let is_other = |source: &Origin| !source.is_within(&imports.source);
        let mut kernel = self.clone();
        kernel.facts.machine = kernel.facts.machine.filter(|fact| is_other(&fact.source));
        kernel.facts.fingerprint = kernel.facts.fingerprint.filter(|fact| is_other(&fact.source));
        kernel.facts.stripped = kernel.facts.stripped.filter(|fact| is_other(&fact.source));
        kernel.facts.imports = None;
        kernel.facts.learn_from_vermagic();
        Some(kernel)
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

/// Finds a kernel by what people call it: `running`, `vermagic:STRING`, or a path; or several paths with `+` between
/// them, whose facts are merged. What a path is, its content tells.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is nothing of that name, or nothing there that is a kernel or tells its version magic;
/// [`ErrorKind::Ambiguous`] if there is more than one kernel; [`ErrorKind::Malformed`] for a version magic that no kernel
/// can have, or a package that is damaged or has evil paths; those of [`crate::module::open`].
pub fn named(name: &OsStr, lookup: &Lookup) -> Result<Kernel> {
    let mut facts = match name.as_bytes() {
        b"running" => running::facts(Path::new("/"), lookup)?,
        bytes => match bytes.strip_prefix(b"vermagic:") {
            Some(string) => {
                let vermagic = Fact { value: Vermagic::parse(string), source: Origin::Given };
                Facts { vermagic: Some(vermagic), ..Facts::default() }
            }
            None => of_paths(name, lookup)?,
        },
    };
    if facts.layout.is_none() {
        facts.learn_from_btf();
    }
    // What is not in the image is not its string, whatever mainline's rules make.
    if let (None, Some(release), Some(config), None) = (&facts.vermagic, &facts.release, &facts.config, &facts.messages)
    {
        facts.vermagic = derived::vermagic(release, config);
    }
    facts.learn_from_vermagic();
    let name = name.to_string_lossy().into_owned();
    let Some(vermagic) = facts.vermagic.clone() else {
        if facts.banner.is_some() || facts.stripped.is_some() {
            return Ok(Kernel { name, vermagic: None, facts });
        }
        if let Some(config) = facts.config.as_ref().filter(|config| !config.value.contains_key("MODULES")) {
            let what = format!("this kernel loads no modules: CONFIG_MODULES is not set ({})", config.source);
            return Err(Error::new(ErrorKind::NotFound, what).on(name));
        }
        let hint = "add the image or a module of the same kernel: K+IMAGE";
        return Err(Error::new(ErrorKind::NotFound, "nothing here tells the kernel's version magic")
            .hint(hint)
            .on(name));
    };
    match vermagic.value.problems().iter().find(|problem| problem.is_error()) {
        Some(problem) => {
            let what = format!("no version magic of a kernel ({}): {problem}", vermagic.source);
            Err(Error::new(ErrorKind::Malformed, what).on(name))
        }
        None => Ok(Kernel { name, vermagic: Some(vermagic), facts }),
    }
}

/// One path, or several with `+` between them.
fn of_paths(name: &OsStr, lookup: &Lookup) -> Result<Facts> {
    let mut merged: Option<(PathBuf, Facts)> = None;
    for part in paths(name) {
        let facts = of_path(&part, lookup)?;
        merged = Some(match merged {
            None => (part, facts),
            Some((first, known)) => {
                if let Some(what) = another_kernel(&first, &known, &facts) {
                    let hint = "only parts of one kernel can be joined with +";
                    return Err(Error::new(ErrorKind::Ambiguous, what).hint(hint).on(part));
                }
                (first, merge(known, facts))
            }
        });
    }
    Ok(merged.map(|(_, facts)| facts).unwrap_or_default())
}

/// Of how many symbols two sources must both have a CRC for these to tell that they are of two kernels. Fewer that differ
/// are noted.
const FEWEST_CRCS: usize = 3;

/// What tells that two sources are not of one kernel, in words; `None` if nothing does. `first` names the first one.
fn another_kernel(first: &Path, known: &Facts, facts: &Facts) -> Option<String> {
    let first = first.display();
    if let Some((ours, theirs)) = differing(&known.release, &facts.release, |release| release.as_str()) {
        return Some(format!("a kernel {theirs}, but {first} is {ours}"));
    }
    let whole = |fact: &Option<Fact<Vermagic>>| fact.clone().filter(|fact| !fact.value.is_bare_release());
    if let Some((ours, theirs)) = differing(&whole(&known.vermagic), &whole(&facts.vermagic), |vermagic| vermagic) {
        return Some(format!("the version magic '{theirs}', but {first} has '{ours}'"));
    }
    if let Some((ours, theirs)) = differing(&known.machine, &facts.machine, |machine| machine) {
        return Some(format!("a kernel for {theirs}, but {first} is for {ours}"));
    }
    let (count, of) = differing_crcs(known, facts);
    (of >= FEWEST_CRCS && count.saturating_mul(10) > of)
        .then(|| format!("{count} of {of} CRCs are others than in {first}"))
}

/// Two values that are both known, and are not the same.
fn differing<'f, T, V: PartialEq + ?Sized>(
    ours: &'f Option<Fact<T>>,
    theirs: &'f Option<Fact<T>>,
    value: impl Fn(&'f T) -> &'f V,
) -> Option<(&'f V, &'f V)> {
    let (ours, theirs) = (value(&ours.as_ref()?.value), value(&theirs.as_ref()?.value));
    (ours != theirs).then_some((ours, theirs))
}

/// The paths in a kernel's name (`A+B`). Packages have a `+` in their names, so the whole is tried first, and a `+` parts only what is
/// there on both sides.
pub fn paths(name: &OsStr) -> Vec<PathBuf> {
    match Path::new(name).exists() {
        true => vec![PathBuf::from(name)],
        false => parts(name.as_bytes(), 0).unwrap_or_else(|| vec![PathBuf::from(name)]),
    }
}

/// The most parts of one name.
const MOST_PARTS: usize = 8;

/// The ways to part a name, longest first part first, until all parts are there.
fn parts(name: &[u8], depth: usize) -> Option<Vec<PathBuf>> {
    let path = |bytes: &[u8]| PathBuf::from(OsString::from(OsStr::from_bytes(bytes)));
    if depth > 0 && path(name).exists() {
        return Some(vec![path(name)]);
    }
    if depth == MOST_PARTS {
        return None;
    }
    let places = memchr::memrchr_iter(b'+', name);
    for at in places {
        let (first, rest) = (name.get(..at)?, name.get(at + 1..)?);
        if !first.is_empty()
            && path(first).exists()
            && let Some(rest) = parts(rest, depth + 1)
        {
            return Some([vec![path(first)], rest].concat());
        }
    }
    None
}

/// The largest file that is looked into in any case, in bytes: 1 GiB. Packages have a tenth of that.
const LARGEST: u64 = 1 << 30;

/// What a path is.
enum Source {
    Folder,
    /// A package, with its bytes.
    Package(Vec<u8>),
    Image(Contents),
    /// Any other file: text with one kind of fact, or else a module.
    Other(Contents),
    /// Nothing of these.
    Nothing,
}

impl Source {
    /// A folder, or a file by its content.
    fn of(path: &Path, lookup: &Lookup) -> Result<Source> {
        if path.is_dir() {
            return Ok(Source::Folder);
        }
        if !path.is_file() {
            return Ok(Source::Nothing);
        }
        let largest = lookup.max_size.max(LARGEST);
        if path.metadata().is_ok_and(|meta| meta.len() > largest) {
            let what = format!("larger than the limit of {largest} bytes");
            return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit).on(path));
        }
        let contents = module::file::read(path)?;
        let bytes = contents.bytes();
        if package::looks_like(bytes) {
            // Reading it may take longer than a lease holds back who wants to truncate the file, and then a mapping is
            // a trap (`module::file`): so it is read from a copy, and the file let go at once.
            return Ok(Source::Package(bytes.to_vec()));
        }
        Ok(if image::looks_like_image(bytes) { Source::Image(contents) } else { Source::Other(contents) })
    }
}

/// The facts at a path.
fn of_path(path: &Path, lookup: &Lookup) -> Result<Facts> {
    let source = Origin::File(path.to_owned());
    match Source::of(path, lookup)? {
        Source::Folder => return folder::facts(path, lookup),
        Source::Package(bytes) => return package::facts(path, &bytes, lookup),
        Source::Image(contents) => {
            return cache::image_bytes(&source, contents.bytes(), lookup).map_err(|e| e.on(path));
        }
        Source::Other(contents) => {
            if let Some(facts) = of_text(&source, contents.bytes(), lookup.max_size).map_err(|e| e.on(path))? {
                return Ok(facts);
            }
        }
        Source::Nothing => {}
    }
    reference::facts(path, lookup.max_size)
}

/// The facts in a text file, packed or not; `None` if it is no text of a kind that is known.
///
/// # Errors
///
/// Those of [`packed::unpack`], except for a packed ELF file, which is no text.
fn of_text(source: &Origin, bytes: &[u8], max_size: u64) -> Result<Option<Facts>> {
    if bytes.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let bytes = match packed::unpack(bytes, max_size) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) if symvers::looks_like(text) => Some(symvers::facts(text, source)),
        Ok(text) if system_map::looks_like(text) => Some(system_map::facts(text, source)),
        Ok(text) if config::looks_like(text) => Some(config::facts(text, source)),
        _ => None,
    })
}

/// Facts of one kernel from two sources: of each fact the one of `better`, where it has one. Exports that are complete
/// beat others, and what they do not know of a symbol is taken from the others; module trees are joined.
fn merge(better: Facts, other: Facts) -> Facts {
    let contradiction = contradiction(&better, &other);
    Facts {
        release: better.release.or(other.release),
        banner: better.banner.or(other.banner),
        vermagic: better.vermagic.or(other.vermagic),
        machine: better.machine.or(other.machine),
        architecture: better.architecture.or(other.architecture),
        fingerprint: better.fingerprint.or(other.fingerprint),
        layout: better.layout.or(other.layout),
        exports: merge_facts(better.exports, other.exports, merge_exports),
        imports: merge_facts(better.imports, other.imports, merge_imports),
        tree: merge_facts(better.tree, other.tree, merge_trees),
        stripped: better.stripped.or(other.stripped),
        config: better.config.or(other.config),
        folders: better.folders.or(other.folders),
        prefixes: better.prefixes.or(other.prefixes),
        messages: better.messages.or(other.messages),
        keys: better.keys.or(other.keys),
        btf: better.btf.or(other.btf),
        policy: better.policy.or(other.policy),
        notes: [better.notes, other.notes, contradiction.into_iter().collect()].concat(),
    }
}

/// What two sources say differently of the same symbols, in words.
fn contradiction(better: &Facts, other: &Facts) -> Option<Note> {
    let source = |facts: &Facts| {
        let exports = facts.exports.as_ref().map(|exports| exports.source.clone());
        exports.or_else(|| facts.imports.as_ref().map(|imports| imports.source.clone()))
    };
    let (count, _) = differing_crcs(better, other);
    let (better, other) = (source(better)?, source(other)?);
    (count > 0).then_some(Note::DifferentCrcs { count, used: better, other })
}

/// Of how many symbols two sources have different CRCs, and of how many both have one.
fn differing_crcs(better: &Facts, other: &Facts) -> (usize, usize) {
    let differing = |names: &mut dyn Iterator<Item = &str>| {
        let crcs = names.filter_map(|name| better.crc(name, None).zip(other.crc(name, None)));
        crcs.fold((0, 0), |(count, of), (ours, theirs)| (count + usize::from(ours != theirs), of + 1))
    };
    match (better.exports.is_some(), other.exports.is_some()) {
        (true, _) => differing(&mut better.exports.iter().flat_map(names_of)),
        (false, true) => differing(&mut other.exports.iter().flat_map(names_of)),
        (false, false) => differing(&mut better.imports.iter().flat_map(|fact| fact.value.names())),
    }
}

fn names_of(exports: &Fact<Exports>) -> impl Iterator<Item = &str> {
    exports.value.symbols.keys().map(String::as_str)
}

fn merge_imports(better: Fact<Imports>, other: Fact<Imports>) -> Fact<Imports> {
    Fact { value: better.value.join(other.value), source: better.source.and(other.source) }
}

fn merge_facts<T>(
    better: Option<Fact<T>>,
    other: Option<Fact<T>>,
    merge: impl FnOnce(Fact<T>, Fact<T>) -> Fact<T>,
) -> Option<Fact<T>> {
    match (better, other) {
        (Some(better), Some(other)) => Some(merge(better, other)),
        (better, other) => better.or(other),
    }
}

fn merge_exports(better: Fact<Exports>, other: Fact<Exports>) -> Fact<Exports> {
    let (mut better, other) =
        if other.value.complete && !better.value.complete { (other, better) } else { (better, other) };
    let is_complete = better.value.complete;
    let mut filled = 0;
    for (name, theirs) in other.value.symbols {
        let ours = match better.value.symbols.get_mut(&name) {
            Some(ours) => ours,
            // Who knows all exports knows that this one is none.
            None if is_complete => continue,
            None => better.value.symbols.entry(name).or_default(),
        };
        let before = ours.clone();
        ours.crc = ours.crc.or(theirs.crc);
        ours.gpl_only = ours.gpl_only.or(theirs.gpl_only);
        ours.namespace = ours.namespace.take().or(theirs.namespace);
        filled += usize::from(*ours != before);
    }
    if filled > 0 {
        better.source = better.source.and(other.source);
    }
    better
}

fn merge_trees(better: Fact<Tree>, other: Fact<Tree>) -> Fact<Tree> {
    let (better, mut other) =
        if other.value.has_files() && !better.value.has_files() { (other, better) } else { (better, other) };
    let before = (better.value.modules.len(), better.value.built_in.len());
    // A list of exports names modules of which there need be no file.
    if better.value.has_files() && !other.value.has_files() {
        let names: Vec<String> = other.value.modules.drain(..).map(|module| module.name.replace('-', "_")).collect();
        other.value = match other.value.is_complete() {
            true => other.value.listed(names),
            false => other.value,
        };
    }
    let value = better.value.join(other.value);
    let source = match (value.modules.len(), value.built_in.len()) == before {
        true => better.source,
        false => better.source.and(other.source),
    };
    Fact { value, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::module::elf::{Class, Endian};

    const LOOKUP: Lookup = Lookup { max_size: 1 << 20, cache: None };

    #[test]
    fn sources_that_contradict_each_other_are_noted() {
        let facts = |crc, source: &str| {
            let export = Export { crc: Some(crc), ..Export::default() };
            let exports = Exports { symbols: [("printk".to_owned(), export)].into(), complete: false };
            Facts { exports: Some(Fact { value: exports, source: Origin::from(source) }), ..Facts::default() }
        };
        let note = Note::DifferentCrcs { count: 1, used: "A".into(), other: "B".into() };
        assert_eq!(merge(facts(1, "A"), facts(2, "B")).notes, [note]);
        assert_eq!(merge(facts(1, "A"), facts(1, "B")).notes, []);
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    fn join(parts: &[&Path]) -> OsString {
        parts.iter().map(|part| part.as_os_str()).collect::<Vec<_>>().join(OsStr::new("+"))
    }

    #[test]
    fn parts_of_two_kernels_are_not_joined_in_either_order() {
        let with_crcs = |crc| {
            let all = [("module_layout", Some(crc)), ("printk", Some(3)), ("kfree", Some(4))];
            Facts { exports: Some(exports(&all, false)), ..Facts::default() }
        };
        let with_vermagic = |text: &str| Facts {
            vermagic: Some(Fact { value: Vermagic::parse(text.as_bytes()), source: Origin::default() }),
            ..Facts::default()
        };
        let with_machine = |number| {
            let value = Machine { class: Class::Elf64, endian: Endian::Little, number };
            Facts { machine: Some(Fact { value, source: Origin::default() }), ..Facts::default() }
        };
        let part = Path::new("A");
        for (one, other) in [
            (with_crcs(1), with_crcs(2)),
            (with_vermagic("6.1.0 SMP mod_unload "), with_vermagic("6.1.0 SMP preempt mod_unload ")),
            (with_machine(62), with_machine(183)),
        ] {
            assert!(another_kernel(part, &one, &other).is_some() && another_kernel(part, &other, &one).is_some());
            assert_eq!(another_kernel(part, &one, &one), None);
            assert_eq!(another_kernel(part, &Facts::default(), &one), None);
        }
        let release_alone = another_kernel(part, &with_vermagic("6.1.0"), &with_vermagic("6.1.0 SMP mod_unload "));
        assert_eq!(release_alone, None, "a release claims nothing about tokens");
    }

    fn exports(symbols: &[(&str, Option<u32>)], complete: bool) -> Fact<Exports> {
        let export = |crc: Option<u32>| Export { crc, ..Export::default() };
        let symbols = symbols.iter().map(|(name, crc)| ((*name).to_owned(), export(*crc))).collect();
        Fact { value: Exports { symbols, complete }, source: Origin::Other(complete.to_string()) }
    }

    #[test]
    fn exports_that_are_complete_take_crcs_from_others_and_no_names() {
        let imports = exports(&[("a", Some(1)), ("of_a_module", Some(2))], false);
        let merged = merge_exports(imports, exports(&[("a", None), ("b", None)], true));
        assert_eq!((merged.value.symbols["a"].crc, merged.value.symbols["b"].crc), (Some(1), None));
        assert!(merged.value.complete && !merged.value.symbols.contains_key("of_a_module"));
        assert_eq!(merged.source.to_string(), "true; false");
    }

    #[test]
    fn a_known_crc_stays_and_where_nothing_is_taken_the_other_source_is_not_named() {
        let merged = merge_exports(exports(&[("a", Some(1))], true), exports(&[("a", Some(2))], false));
        assert_eq!((merged.value.symbols["a"].crc, merged.source.to_string()), (Some(1), "true".to_owned()));
    }

    #[test]
    fn a_package_with_a_plus_in_its_name_is_one_and_joins_others() {
        let image = fixture("packages/image+zst.deb");
        let kernel = named(image.as_os_str(), &LOOKUP).unwrap();
        assert!(kernel.facts.tree.is_none());
        let both = join(&[&image, &fixture("packages/modules+gz.deb")]);
        assert_eq!(named(&both, &LOOKUP).unwrap().facts.tree.unwrap().value.modules.len(), 1);
    }

    #[test]
    fn single_files_add_their_facts() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let symvers = put("Module.symvers", "0x00000001\tkfree\tvmlinux\tEXPORT_SYMBOL\t\n");
        let config = put("config", "# a kernel's\nCONFIG_MODULES=y\n");
        let map = put("System.map", "ffffffff82000000 r __ksymtab_kmalloc\nffffffff82000010 R __stop___ksymtab\n");
        let alone = named(symvers.as_os_str(), &LOOKUP).unwrap_err();
        assert_eq!(alone.kind(), ErrorKind::NotFound);
        let module = fixture("modules/hello-4.ko");
        let facts = named(&join(&[&module, &symvers, &config]), &LOOKUP).unwrap().facts;
        let exports = facts.exports.unwrap().value;
        assert!(exports.complete && exports.symbols["kfree"].crc == Some(1));
        assert_eq!(facts.config.unwrap().value["MODULES"], "y");
        let exports = named(&join(&[&module, &map]), &LOOKUP).unwrap().facts.exports.unwrap().value;
        assert!(exports.complete && exports.symbols.contains_key("kmalloc"));
    }

    #[test]
    fn an_unpacked_package_tells_what_the_package_tells() {
        let root = tempfile::tempdir().unwrap();
        let copy = |from: &str, to: &str| {
            let to = root.path().join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(fixture(from), to).unwrap();
        };
        copy("kernels/bzImage-xz", "boot/vmlinuz-6.1.0-1-kmodlab");
        copy("modules/hello-4.ko", "lib/modules/6.1.0-1-kmodlab/kernel/hello-4.ko");
        std::os::unix::fs::symlink("/", root.path().join("lib/modules/6.1.0-1-kmodlab/build")).unwrap();
        for name in [root.path().to_owned(), root.path().join("lib/modules/6.1.0-1-kmodlab")] {
            let facts = named(name.as_os_str(), &LOOKUP).unwrap().facts;
            assert_eq!(facts.vermagic.unwrap().value.release().unwrap().text, "6.1.0-1-kmodlab");
            assert!(facts.exports.unwrap().value.complete, "{}", name.display());
            assert_eq!(facts.tree.unwrap().value.modules.len(), 1);
        }
        copy("kernels/vmlinux-amd64-7.2", "boot/vmlinuz-7.2.1-kmodlab");
        let error = named(root.path().as_os_str(), &LOOKUP).unwrap_err();
        assert_eq!(error.what(), "2 kernels in it: 6.1.0-1-kmodlab, 7.2.1-kmodlab");
    }
}
