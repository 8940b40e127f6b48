//! What becomes of symbol versions: another kernel's CRCs instead of its own, or hidden from the kernel. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::edit::Edit;
use crate::error::Result;
use crate::module::elf::Elf;
use crate::module::versions::{SymbolVersions, Version};

/// What becomes of the symbol versions.
#[derive(Clone, Debug, Default)]
pub enum Modversions {
    /// They stay.
    #[default]
    Keep,
    /// The CRCs become those of a kernel, by symbol; a symbol that is not among them keeps its own.
    Rewrite(Arc<HashMap<String, u32>>),
    /// Their sections lose SHF_ALLOC, so that the kernel does not see them: what kmod's `--force-modversion` does to its
    /// copy (libkmod-elf.c). The kernel needs CONFIG_MODULE_FORCE_LOAD, and sets taint F.
    Blank,
}

/// What was done to the symbol versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Versioned {
    /// Symbols whose CRC becomes another.
    pub rewritten: usize,
    /// Symbols whose CRC is the kernel's already.
    pub equal: usize,
    /// Symbols whose CRC in that kernel is not known: they keep their own.
    pub unknown: BTreeSet<String>,
    /// Are they hidden?
    pub hidden: bool,
}

/// The sections that hold them. The kernel wants both extended ones or neither.
const SECTIONS: [&str; 3] = ["__versions", "__version_ext_crcs", "__version_ext_names"];

/// Size of an entry of `__versions`, in bytes; the CRC is its first word.
const ENTRY: usize = 64;

const SHF_ALLOC: u64 = 2;

impl Modversions {
    /// The word for it on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Modversions::Keep => "keep",
            Modversions::Rewrite(_) => "rewrite",
            Modversions::Blank => "blank",
        }
    }

    /// The edits of an image, and what they come to; `None` where there is nothing to do.
    pub(super) fn edits(
        &self,
        image: &[u8],
        elf: &Elf<'_>,
        versions: &SymbolVersions,
    ) -> Result<Option<(Vec<Edit>, Versioned)>> {
        match self {
            Modversions::Keep => Ok(None),
            Modversions::Blank => hide(image, elf).map(Some),
            Modversions::Rewrite(crcs) => rewrite(image, elf, versions, crcs).map(Some),
        }
    }
}

fn hide(image: &[u8], elf: &Elf<'_>) -> Result<(Vec<Edit>, Versioned)> {
    let mut edits = Vec::new();
    for name in SECTIONS {
        let Some(section) = elf.section(name)?.filter(|section| section.is_alloc()) else { continue };
        let at = section.header + elf.class.flags_field();
        edits.extend(number(image, elf, at, elf.class.word(), section.flags & !SHF_ALLOC));
    }
    let versioned = Versioned { hidden: !edits.is_empty(), ..Versioned::default() };
    Ok((edits, versioned))
}

fn rewrite(
    image: &[u8],
    elf: &Elf<'_>,
    versions: &SymbolVersions,
    crcs: &HashMap<String, u32>,
) -> Result<(Vec<Edit>, Versioned)> {
    let (mut edits, mut versioned) = (Vec::new(), Versioned::default());
    let extended_only = versions.basic.is_none();
    let lists = [
        ("__versions", &versions.basic, ENTRY, elf.class.word(), true),
        ("__version_ext_crcs", &versions.extended, 4, 4, extended_only),
    ];
    for (name, list, step, size, counts) in lists {
        let Some(section) = elf.section(name)? else { continue };
        for (index, Version { symbol, crc }) in list.iter().flatten().enumerate() {
            let symbol = String::from_utf8_lossy(symbol);
            let Some(theirs) = crcs.get(symbol.as_ref()) else {
                versioned.unknown.insert(symbol.into_owned());
                continue;
            };
            let is_equal = *crc == u64::from(*theirs);
            versioned.equal += usize::from(is_equal && counts);
            versioned.rewritten += usize::from(!is_equal && counts);
            edits.extend(number(image, elf, section.range.start + index * step, size, u64::from(*theirs)));
        }
    }
    Ok((edits, versioned))
}

/// The edit that makes the number at `at` another one; none if it is that already.
fn number(image: &[u8], elf: &Elf<'_>, at: usize, size: usize, number: u64) -> Option<Edit> {
    let old = image.get(at..at + size)?.to_vec();
    let mut new = old.clone();
    elf.endian.write(number, &mut new)?;
    (old != new).then_some(Edit { offset: at as u64, old, new })
}
