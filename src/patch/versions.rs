//! Edits of symbol versions: another kernel's CRCs replace the module's own, or they are hidden from the kernel. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;

use crate::edit::Edit;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Kernel;
use crate::module::elf::Elf;
use crate::module::versions::{ENTRY, SymbolVersion, SymbolVersions};

/// What becomes of the symbol versions.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub enum Modversions {
    /// They stay.
    #[default]
    Keep,
    /// A kernel's CRCs replace the module's, by symbol; a symbol that is not among them keeps its own.
    Rewrite(Arc<HashMap<String, u32>>),
    /// Their sections lose SHF_ALLOC, so that the kernel does not see them. kmod's `--force-modversion` does the same to its
    /// copy (libkmod-elf.c). The kernel needs CONFIG_MODULE_FORCE_LOAD, and sets taint F.
    Blank,
}

/// The change of the symbol versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
pub struct Versioned {
    /// Symbols whose CRC changes.
    pub rewritten: usize,
    /// Symbols whose CRC already matches the kernel's.
    pub equal: usize,
    /// Symbols whose CRC in that kernel is not known; they keep their own.
    pub unknown: BTreeSet<String>,
    /// Are they hidden?
    pub hidden: bool,
}

/// The sections with symbol versions. The kernel expects both extended ones, or neither.
const SECTIONS: [&str; 3] = ["__versions", "__version_ext_crcs", "__version_ext_names"];

const SHF_ALLOC: u64 = 2;

impl Modversions {
    /// The CRCs of a kernel.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if none is known.
    pub(crate) fn of_kernel(kernel: &Kernel) -> Result<Modversions> {
        let crcs = kernel.facts.crcs();
        if crcs.is_empty() {
            let hint =
                "an image, a package or Module.symvers has them, if the kernel was built with CONFIG_MODVERSIONS";
            return Err(Error::new(ErrorKind::NotFound, "no symbol CRC of that kernel is known").hint(hint));
        }
        Ok(Modversions::Rewrite(Arc::new(crcs)))
    }

    /// Its name: keep, rewrite or blank.
    pub fn name(&self) -> &'static str {
        match self {
            Modversions::Keep => "keep",
            Modversions::Rewrite(_) => "rewrite",
            Modversions::Blank => "blank",
        }
    }

    /// The edits of an image, and their effect; `None` for [`Modversions::Keep`].
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
    let mut edits = Vec::new();
    let (mut rewritten, mut equal, mut unknown) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let lists =
        [("__versions", &versions.basic, ENTRY, elf.class.word()), ("__version_ext_crcs", &versions.extended, 4, 4)];
    for (name, list, step, size) in lists {
        let Some(section) = elf.section(name)? else { continue };
        for (index, SymbolVersion { symbol, crc }) in list.iter().flatten().enumerate() {
            let symbol = String::from_utf8_lossy(symbol);
            let Some(theirs) = crcs.get(symbol.as_ref()) else {
                unknown.insert(symbol.into_owned());
                continue;
            };
            let which = if *crc == u64::from(*theirs) { &mut equal } else { &mut rewritten };
            which.insert(symbol.into_owned());
            edits.extend(number(image, elf, section.range.start + index * step, size, u64::from(*theirs)));
        }
    }
    let equal = equal.difference(&rewritten).count();
    Ok((edits, Versioned { rewritten: rewritten.len(), equal, unknown, hidden: false }))
}

/// The edit that writes a number at `at`; none if it has that value already.
fn number(image: &[u8], elf: &Elf<'_>, at: usize, size: usize, number: u64) -> Option<Edit> {
    let old = image.get(at..at + size)?.to_vec();
    let mut new = old.clone();
    elf.endian.write(number, &mut new)?;
    (old != new).then_some(Edit { offset: at as u64, old, new })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit;
    use crate::module::Module;
    use crate::module::versions::VersionsFormat;

    const BOTH: &[u8] = include_bytes!("../../fixtures/modules/both-versions.ko");
    const BIG: &[u8] = include_bytes!("../../fixtures/modules/s390x.ko");

    /// The module after the change of symbol versions, and the change.
    fn changed(image: &[u8], modversions: &Modversions) -> (Module, Versioned) {
        let module = Module::read(image).unwrap();
        let (edits, versioned) =
            modversions.edits(image, &Elf::read(image).unwrap(), &module.versions).unwrap().unwrap();
        (Module::read(&edit::apply(image, &edits).unwrap()).unwrap(), versioned)
    }

    /// The symbols of a module, all with the same CRC, except for the last one, which is left out.
    fn crcs(image: &[u8]) -> (Modversions, String) {
        let module = Module::read(image).unwrap();
        let mut symbols: Vec<String> =
            module.versions.by_symbol().keys().map(|symbol| String::from_utf8_lossy(symbol).into_owned()).collect();
        symbols.sort();
        let left_out = symbols.pop().unwrap();
        let crcs = symbols.into_iter().map(|symbol| (symbol, 0xfedc_ba98)).collect();
        (Modversions::Rewrite(Arc::new(crcs)), left_out)
    }

    #[test]
    fn crcs_are_rewritten_in_both_formats_and_byte_orders_and_unknown_ones_stay() {
        for image in [BOTH, BIG] {
            let before = Module::read(image).unwrap().versions;
            let (rewrite, left_out) = crcs(image);
            let (module, versioned) = changed(image, &rewrite);
            assert_eq!(versioned.unknown, BTreeSet::from([left_out.clone()]));
            assert_eq!((versioned.rewritten, versioned.equal), (before.by_symbol().len() - 1, 0));
            for list in [&module.versions.basic, &module.versions.extended].into_iter().flatten() {
                for version in list {
                    let is_left_out = version.symbol == left_out.as_bytes();
                    let kept = before.crc(&version.symbol).unwrap();
                    assert_eq!(version.crc, if is_left_out { kept } else { 0xfedc_ba98 });
                }
            }
            assert_eq!(module.versions.kind(), before.kind());
        }
    }

    #[test]
    fn hidden_versions_keep_their_bytes_and_lose_one_flag_per_section() {
        let (module, versioned) = changed(BOTH, &Modversions::Blank);
        assert!(versioned.hidden && !module.versions.visible);
        assert_eq!(module.versions.kind(), VersionsFormat::Both);
        let (edits, _) = hide(BOTH, &Elf::read(BOTH).unwrap()).unwrap();
        let bits = |edit: &Edit| {
            let bits = edit.old.iter().zip(&edit.new).map(|(old, new)| (old ^ new).count_ones());
            bits.sum::<u32>()
        };
        assert_eq!(edits.iter().map(bits).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
