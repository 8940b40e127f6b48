//! Joins the facts of several sources of one kernel. Pure.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::architecture::Machine;
use crate::kernel::facts::{Fact, Facts};
use crate::kernel::imports::Imports;
use crate::kernel::note::Note;
use crate::kernel::origin::Origin;
use crate::kernel::tree::{Exports, ModuleTree};
use crate::vermagic::Vermagic;

/// Receives the facts of one source after the other. All sources must be of the same kernel.
#[derive(Default)]
pub(super) struct FactSink {
    /// The first source.
    first: Option<Origin>,
    facts: Facts,
}

impl FactSink {
    /// Adds the facts of a source. A fact that an earlier source has stays.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Ambiguous`] if they are certainly another kernel's.
    pub(super) fn add(&mut self, source: &Origin, facts: Facts) -> Result<()> {
        let Some(first) = &self.first else {
            self.first = Some(source.clone());
            self.facts = facts;
            return Ok(());
        };
        if let Some(conflict) = Conflict::between(&self.facts, &facts) {
            let hint = "only parts of one kernel can be joined with +";
            let error = Error::new(ErrorKind::Ambiguous, conflict.with(first).to_string()).hint(hint);
            return Err(error.on(source.to_string()));
        }
        self.facts = merge(std::mem::take(&mut self.facts), facts);
        Ok(())
    }

    /// The facts of all sources.
    pub(super) fn facts(self) -> Facts {
        self.facts
    }
}

/// The least number of symbols for which two sources must both have a CRC before different CRCs prove that they are of two
/// kernels. With fewer symbols, different CRCs are only noted.
const FEWEST_CRCS: usize = 3;

/// What proves that two sources are not of one kernel: the value of the first source, and that of the other.
#[derive(Clone, Debug, PartialEq)]
enum Conflict {
    Release(String, String),
    Vermagic(Vermagic, Vermagic),
    Machine(Machine, Machine),
    /// How many CRCs differ, and of how many symbols both have one.
    Crcs(usize, usize),
}

impl Conflict {
    fn between(known: &Facts, other: &Facts) -> Option<Conflict> {
        fn differing<T: PartialEq + Clone>(ours: Option<&Fact<T>>, theirs: Option<&Fact<T>>) -> Option<(T, T)> {
            let (ours, theirs) = (&ours?.value, &theirs?.value);
            (ours != theirs).then(|| (ours.clone(), theirs.clone()))
        }
        if let Some((ours, theirs)) = differing(known.release.as_ref(), other.release.as_ref()) {
            return Some(Conflict::Release(ours, theirs));
        }
        // A bare release has no tokens that could differ.
        let complete = |facts: &Facts| facts.vermagic.clone().filter(|fact| !fact.value.is_bare_release());
        if let Some((ours, theirs)) = differing(complete(known).as_ref(), complete(other).as_ref()) {
            return Some(Conflict::Vermagic(ours, theirs));
        }
        if let Some((ours, theirs)) = differing(known.machine.as_ref(), other.machine.as_ref()) {
            return Some(Conflict::Machine(ours, theirs));
        }
        let (count, of) = differing_crcs(known, other);
        (of >= FEWEST_CRCS && count.saturating_mul(10) > of).then_some(Conflict::Crcs(count, of))
    }

    /// The conflict as text, with the name of the first source.
    fn with<'c>(&'c self, first: &'c Origin) -> impl fmt::Display + 'c {
        struct WithFirst<'c>(&'c Conflict, &'c Origin);
        impl fmt::Display for WithFirst<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let first = self.1;
                match self.0 {
                    Conflict::Release(ours, theirs) => write!(f, "a kernel {theirs}, but {first} is {ours}"),
                    Conflict::Vermagic(ours, theirs) => {
                        write!(f, "the version magic '{theirs}', but {first} has '{ours}'")
                    }
                    Conflict::Machine(ours, theirs) => write!(f, "a kernel for {theirs}, but {first} is for {ours}"),
                    Conflict::Crcs(count, of) => write!(f, "{count} of {of} CRCs differ from those in {first}"),
                }
            }
        }
        WithFirst(self, first)
    }
}

/// The facts of one kernel from two sources: of each fact that of `better`, if it has one. Complete exports replace
/// incomplete ones, and take from these what they lack of a symbol. Imports and module trees are joined.
pub(super) fn merge(better: Facts, other: Facts) -> Facts {
    let contradiction = contradiction(&better, &other);
    Facts {
        release: better.release.or(other.release),
        banner: better.banner.or(other.banner),
        vermagic: better.vermagic.or(other.vermagic),
        machine: better.machine.or(other.machine),
        architecture: better.architecture.or(other.architecture),
        fingerprint: better.fingerprint.or(other.fingerprint),
        layout: better.layout.or(other.layout),
        exports: merge_both(better.exports, other.exports, merge_exports),
        imports: merge_both(better.imports, other.imports, merge_imports),
        tree: merge_both(better.tree, other.tree, merge_trees),
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

/// A note if two sources have different CRCs for the same symbols.
fn contradiction(better: &Facts, other: &Facts) -> Option<Note> {
    let source = |facts: &Facts| {
        let exports = facts.exports.as_ref().map(|exports| exports.source.clone());
        exports.or_else(|| facts.imports.as_ref().map(|imports| imports.source.clone()))
    };
    let (count, _) = differing_crcs(better, other);
    let (better, other) = (source(better)?, source(other)?);
    (count > 0).then_some(Note::DifferentCrcs { count, used: better, other })
}

/// For how many symbols two sources have different CRCs, and for how many both have one.
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

fn merge_both<T>(
    better: Option<Fact<T>>,
    other: Option<Fact<T>>,
    merge: impl FnOnce(Fact<T>, Fact<T>) -> Fact<T>,
) -> Option<Fact<T>> {
    match (better, other) {
        (Some(better), Some(other)) => Some(merge(better, other)),
        (better, other) => better.or(other),
    }
}

fn merge_imports(better: Fact<Imports>, other: Fact<Imports>) -> Fact<Imports> {
    Fact { value: better.value.join(other.value), source: better.source.and(other.source) }
}

fn merge_exports(better: Fact<Exports>, other: Fact<Exports>) -> Fact<Exports> {
    let (mut better, other) =
        if other.value.complete && !better.value.complete { (other, better) } else { (better, other) };
    let is_complete = better.value.complete;
    let mut filled = 0;
    for (name, theirs) in other.value.symbols {
        let ours = match better.value.symbols.get_mut(&name) {
            Some(ours) => ours,
            // A symbol that complete exports do not have is not exported.
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

fn merge_trees(better: Fact<ModuleTree>, other: Fact<ModuleTree>) -> Fact<ModuleTree> {
    let (better, mut other) =
        if other.value.has_files() && !better.value.has_files() { (other, better) } else { (better, other) };
    let before = (better.value.modules.len(), better.value.built_in.len());
    // A list of exports names modules whose files may be missing.
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
    use super::*;
    use crate::kernel::tree::Export;
    use crate::module::elf::{Class, Endian};

    fn exports(symbols: &[(&str, Option<u32>)], complete: bool) -> Fact<Exports> {
        let export = |crc: Option<u32>| Export { crc, ..Export::default() };
        let symbols = symbols.iter().map(|(name, crc)| ((*name).to_owned(), export(*crc))).collect();
        Fact { value: Exports { symbols, complete }, source: Origin::Other(complete.to_string()) }
    }

    #[test]
    fn sources_with_different_crcs_are_noted() {
        let facts = |crc, source: &str| {
            let export = Export { crc: Some(crc), ..Export::default() };
            let exports = Exports { symbols: [("printk".to_owned(), export)].into(), complete: false };
            Facts { exports: Some(Fact { value: exports, source: Origin::from(source) }), ..Facts::default() }
        };
        let note = Note::DifferentCrcs { count: 1, used: "A".into(), other: "B".into() };
        assert_eq!(merge(facts(1, "A"), facts(2, "B")).notes, [note]);
        assert_eq!(merge(facts(1, "A"), facts(1, "B")).notes, []);
    }

    #[test]
    fn parts_of_two_kernels_are_refused_in_either_order() {
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
        for (one, other) in [
            (with_crcs(1), with_crcs(2)),
            (with_vermagic("6.1.0 SMP mod_unload "), with_vermagic("6.1.0 SMP preempt mod_unload ")),
            (with_machine(62), with_machine(183)),
        ] {
            assert!(Conflict::between(&one, &other).is_some() && Conflict::between(&other, &one).is_some());
            assert_eq!(Conflict::between(&one, &one), None);
            assert_eq!(Conflict::between(&Facts::default(), &one), None);
            let mut sink = FactSink::default();
            sink.add(&"A".into(), one).unwrap();
            assert_eq!(sink.add(&"B".into(), other).unwrap_err().kind(), ErrorKind::Ambiguous);
        }
        let only_release = Conflict::between(&with_vermagic("6.1.0"), &with_vermagic("6.1.0 SMP mod_unload "));
        assert_eq!(only_release, None, "a bare release has no tokens");
    }

    #[test]
    fn complete_exports_take_crcs_from_others_and_no_names() {
        let imports = exports(&[("a", Some(1)), ("of_a_module", Some(2))], false);
        let merged = merge_exports(imports, exports(&[("a", None), ("b", None)], true));
        assert_eq!((merged.value.symbols["a"].crc, merged.value.symbols["b"].crc), (Some(1), None));
        assert!(merged.value.complete && !merged.value.symbols.contains_key("of_a_module"));
        assert_eq!(merged.source.to_string(), "true; false");
    }

    #[test]
    fn a_known_crc_stays_and_a_source_that_adds_nothing_is_not_named() {
        let merged = merge_exports(exports(&[("a", Some(1))], true), exports(&[("a", Some(2))], false));
        assert_eq!((merged.value.symbols["a"].crc, merged.source.to_string()), (Some(1), "true".to_owned()));
    }
}
