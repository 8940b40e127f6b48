//! Two modules compared by meaning and by bytes, as a report that can be serialised.
//!
//! `parts` compares section by section, and separates what a patch changes from everything else.
//!
//! Pure: bytes in, differences out.

pub mod parts;

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;

use serde::Serialize;

use crate::error::Result;
use crate::escape::bytes_for_eyes;
use crate::kernel::realtime;
use crate::module::{Module, elf};
use crate::text::{self, grouped};
use crate::vermagic::{Vermagic, compare_whole};

/// Differing bytes with at most this many equal bytes between them form one span: a row of a hex view has sixteen bytes anyway.
const NEAR: usize = 8;

/// The comparison of two uncompressed modules.
#[derive(Debug, Serialize)]
pub struct ModuleComparison<'m> {
    schema_version: u32,
    a: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    a_hex: Option<String>,
    b: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    b_hex: Option<String>,
    /// Are the uncompressed bytes equal?
    pub equal: bool,
    /// Differences of known meaning.
    pub differences: Vec<MeaningfulDifference>,
    /// The spans of bytes that differ, in order.
    pub spans: Vec<DifferingSpan<'m>>,
}

/// A difference of known meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MeaningfulDifference {
    /// What differs.
    pub aspect: ComparedAspect,
    /// The values of the first module; of lists, those that only it has. Escaped.
    pub a: Vec<String>,
    /// The values of the second module.
    pub b: Vec<String>,
    /// Explanations, such as the configuration options of a vermagic's tokens.
    pub notes: Vec<String>,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ComparedAspect {
    /// The vermagic.
    Vermagic,
    /// Class, byte order and machine.
    Class,
    /// The build-id.
    BuildId,
    /// Size of `struct module`, and the offsets of init and exit in it.
    StructModule,
    /// Whether the module was built for a realtime kernel.
    Realtime,
    /// The signature.
    Signature,
    /// The size of the BTF.
    Btf,
    /// The size of the uncompressed file.
    Size,
    /// Other entries of `.modinfo`.
    Modinfo,
    /// CRCs of symbols.
    SymbolVersions,
    /// Imported symbols.
    Imports,
    /// Exported symbols.
    Exports,
    /// The checksum of the sources.
    SrcVersion,
    /// Bytes that belong to nothing.
    Padding,
}

impl ComparedAspect {
    /// Its name in words.
    pub fn name(self) -> &'static str {
        match self {
            ComparedAspect::Vermagic => "vermagic",
            ComparedAspect::Class => "class",
            ComparedAspect::BuildId => "build-id",
            ComparedAspect::StructModule => "struct module",
            ComparedAspect::Realtime => "realtime (CONFIG_PREEMPT_RT)",
            ComparedAspect::Signature => "signature",
            ComparedAspect::Btf => "BTF",
            ComparedAspect::Size => "size",
            ComparedAspect::Modinfo => "modinfo",
            ComparedAspect::SymbolVersions => "symbol versions",
            ComparedAspect::Imports => "imports",
            ComparedAspect::Exports => "exports",
            ComparedAspect::SrcVersion => "srcversion",
            ComparedAspect::Padding => "unused bytes",
        }
    }
}

/// A span of bytes that differ. If the sizes of the modules differ, it is all between their common start and common end.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct DifferingSpan<'m> {
    /// Where it begins in both modules.
    pub offset: u64,
    /// The bytes of the first module.
    #[serde(serialize_with = "hex::serde::serialize")]
    pub a: &'m [u8],
    /// The bytes of the second module.
    #[serde(serialize_with = "hex::serde::serialize")]
    pub b: &'m [u8],
}

impl DifferingSpan<'_> {
    /// How many bytes differ.
    pub fn differing(&self) -> usize {
        match self.a.len() == self.b.len() {
            true => self.a.iter().zip(self.b).filter(|(a, b)| a != b).count(),
            false => self.a.len().max(self.b.len()),
        }
    }
}

/// Compares two modules, each given by its path and its uncompressed bytes.
///
/// # Errors
///
/// Those of [`Module::read`].
pub fn compare_modules<'m>(a: (&Path, &'m [u8]), b: (&Path, &'m [u8])) -> Result<ModuleComparison<'m>> {
    let read = |(path, bytes): (&Path, &[u8])| Module::read(bytes).map_err(|e| e.on(path));
    let (module_a, module_b) = (read(a)?, read(b)?);
    let equal = a.1 == b.1;
    Ok(ModuleComparison {
        schema_version: 1,
        a: text::path_text(a.0).into_owned(),
        a_hex: text::path_hex(a.0),
        b: text::path_text(b.0).into_owned(),
        b_hex: text::path_hex(b.0),
        equal,
        differences: if equal { Vec::new() } else { by_meaning(&module_a, &module_b) },
        spans: spans(a.1, b.1),
    })
}

fn by_meaning(a: &Module, b: &Module) -> Vec<MeaningfulDifference> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let mut differences: Vec<_> = vermagic_of(&a.vermagic(), &b.vermagic()).into_iter().collect();
    let mut value = |aspect, of: &dyn Fn(&Module) -> String| {
        let (a, b) = (of(a), of(b));
        if a != b {
            differences.push(MeaningfulDifference { aspect, a: vec![a], b: vec![b], notes: Vec::new() });
        }
    };
    value(ComparedAspect::Class, &|m| {
        format!("{} {} {}", m.class.name(), m.endian.name(), elf::machine_name(m.machine))
    });
    value(ComparedAspect::BuildId, &|m| or_none(m.build_id.as_ref().map(hex::encode)));
    value(ComparedAspect::StructModule, &|m| {
        let at = |offset: Option<u64>| or_none(offset.map(|offset| format!("0x{offset:x}")));
        or_none(m.this_module.as_ref().map(|t| {
            let layout = t.fingerprint;
            format!("0x{:x} bytes, init {}, exit {}", layout.size, at(layout.init), at(layout.exit))
        }))
    });
    value(ComparedAspect::Realtime, &|m| {
        match realtime::of_module(m) {
            Some(fact) if fact.value => "yes",
            Some(_) => "no",
            None => "not known",
        }
        .to_owned()
    });
    value(ComparedAspect::Signature, &|m| {
        or_none(m.trailer.as_ref().map(|t| {
            let signer = t.signer.as_deref().map(bytes_for_eyes).unwrap_or_default();
            format!("{} by {signer}, {} bytes", t.format.name(), t.len)
        }))
    });
    value(ComparedAspect::Btf, &|m| or_none(m.btf.map(|size| size.to_string())));
    value(ComparedAspect::Size, &|m| format!("{} bytes", grouped(m.size as u64)));

    let mut list = |aspect, of: &dyn Fn(&Module) -> Vec<String>| differences.extend(lists(aspect, &of(a), &of(b)));
    list(ComparedAspect::Modinfo, &|m| {
        let entries = m.modinfo.entries.iter().filter(|e| e.key != b"vermagic");
        entries.map(|e| format!("{}={}", bytes_for_eyes(&e.key), bytes_for_eyes(&e.value))).collect()
    });
    list(ComparedAspect::SymbolVersions, &|m| {
        let all = m.versions.extended.iter().chain(m.versions.basic.iter()).flatten();
        all.map(|v| format!("0x{:08x} {}", v.crc, bytes_for_eyes(&v.symbol))).collect()
    });
    list(ComparedAspect::Imports, &|m| m.imports.iter().map(|i| bytes_for_eyes(&i.name)).collect());
    list(ComparedAspect::Exports, &|m| m.exports.iter().map(|e| bytes_for_eyes(&e.name)).collect());
    differences
}

fn vermagic_of(a: &Option<Vermagic>, b: &Option<Vermagic>) -> Option<MeaningfulDifference> {
    if a == b {
        return None;
    }
    let shown = |v: &Option<Vermagic>| v.as_ref().map_or("none".to_owned(), |v| text::vermagic(v.as_bytes()));
    let notes = match (a, b) {
        (Some(a), Some(b)) => {
            compare_whole(a, b).differences().iter().map(|d| format!("{} ({})", d.kind.name(), d.origin)).collect()
        }
        _ => Vec::new(),
    };
    Some(MeaningfulDifference { aspect: ComparedAspect::Vermagic, a: vec![shown(a)], b: vec![shown(b)], notes })
}

/// What only one of two lists has.
fn lists(aspect: ComparedAspect, a: &[String], b: &[String]) -> Option<MeaningfulDifference> {
    if a == b {
        return None;
    }
    let only_in = |this: &[String], other: &[String]| {
        let known: HashSet<&String> = other.iter().collect();
        this.iter().filter(|item| !known.contains(item)).cloned().collect::<Vec<_>>()
    };
    let (only_a, only_b) = (only_in(a, b), only_in(b, a));
    let notes = match only_a.is_empty() && only_b.is_empty() {
        true => vec!["the same, in another order or number".to_owned()],
        false => Vec::new(),
    };
    Some(MeaningfulDifference { aspect, a: only_a, b: only_b, notes })
}

fn spans<'m>(a: &'m [u8], b: &'m [u8]) -> Vec<DifferingSpan<'m>> {
    if a.len() != b.len() {
        let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
        let (a, b) = (a.get(start..).unwrap_or_default(), b.get(start..).unwrap_or_default());
        let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
        let middle = |side: &'m [u8]| side.get(..side.len() - tail).unwrap_or_default();
        return vec![DifferingSpan { offset: start as u64, a: middle(a), b: middle(b) }];
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    for at in a.iter().zip(b).enumerate().filter(|(_, (x, y))| x != y).map(|(at, _)| at) {
        match runs.last_mut().filter(|run| at - run.end <= NEAR) {
            Some(run) => run.end = at + 1,
            None => runs.push(at..at + 1),
        }
    }
    let side = |bytes: &'m [u8], run: &Range<usize>| bytes.get(run.clone()).unwrap_or_default();
    runs.iter().map(|run| DifferingSpan { offset: run.start as u64, a: side(a, run), b: side(b, run) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_near_each_other_are_one() {
        fn span<'m>(offset: u64, a: &'m [u8], b: &'m [u8]) -> DifferingSpan<'m> {
            DifferingSpan { offset, a, b }
        }
        assert_eq!(
            spans(b"0a2b4567890123456789c", b"0x2y4567890123456789z"),
            [span(1, b"a2b", b"x2y"), span(20, b"c", b"z")]
        );
        assert_eq!(spans(b"same", b"same"), []);
        assert_eq!(spans(b"abXYcd", b"abZcd"), [span(2, b"XY", b"Z")]);
    }

    #[test]
    fn equal_lists_in_another_order_are_a_difference_with_a_note() {
        let [one, other] = [["a", "b"], ["b", "a"]].map(|list| list.map(str::to_owned));
        let difference = lists(ComparedAspect::Imports, &one, &other);
        assert_eq!(difference.map(|d| (d.a.len(), d.b.len(), d.notes.len())), Some((0, 0, 1)));
        assert!(lists(ComparedAspect::Imports, &one, &one).is_none());
    }
}
