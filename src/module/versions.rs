//! Symbol versions: the CRC that each imported symbol had in the kernel that the module was built for.
//!
//! Basic versions (`__versions`) are entries of 64 bytes: a CRC of the size of `unsigned long`, then the name
//! (`struct modversion_info`, include/linux/module.h). Extended versions (6.14 on) are two sections in step: 32-bit
//! CRCs in `__version_ext_crcs`, NUL-separated names of any length in `__version_ext_names`.

use std::collections::HashMap;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::Elf;

/// Size of one basic entry in bytes, the same for 32 and 64 bit.
pub(crate) const ENTRY: usize = 64;

/// One symbol version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolVersion {
    /// The symbol's name as it is in the file (old powerpc64 modules have a dot before it).
    pub symbol: Vec<u8>,
    /// Its CRC. Basic entries of 64-bit modules are 64 bits wide; kernels use 32.
    pub crc: u64,
}

/// Which sections hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionsFormat {
    /// No symbol versions.
    None,
    /// Only `__versions`.
    Basic,
    /// Only `__version_ext_crcs` and `__version_ext_names`.
    Extended,
    /// Both, as 6.14 and later build for older readers.
    Both,
}

/// The symbol versions of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolVersions {
    /// `__versions`, in its order.
    pub basic: Option<Vec<SymbolVersion>>,
    /// The extended ones, in their order.
    pub extended: Option<Vec<SymbolVersion>>,
    /// Is `__versions` marked SHF_ALLOC? Kernels do not see it otherwise; kmod clears the mark to force.
    pub visible: bool,
}

impl SymbolVersions {
    /// Reads both kinds out of an image.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if a section's size, a name's end or the step of the two extended sections is off.
    pub fn read(elf: &Elf<'_>, image: &[u8]) -> Result<SymbolVersions> {
        let basic = elf.section("__versions")?;
        Ok(SymbolVersions {
            basic: basic.map(|section| read_basic(elf, section.bytes(image), section.size)).transpose()?,
            extended: read_extended(elf, image)?,
            visible: basic.is_some_and(|section| section.is_alloc()),
        })
    }

    /// Which kind is there.
    pub fn kind(&self) -> VersionsFormat {
        match (&self.basic, &self.extended) {
            (None, None) => VersionsFormat::None,
            (Some(_), None) => VersionsFormat::Basic,
            (None, Some(_)) => VersionsFormat::Extended,
            (Some(_), Some(_)) => VersionsFormat::Both,
        }
    }

    /// The CRCs of all symbols, as [`SymbolVersions::crc`] has them one at a time.
    pub fn by_symbol(&self) -> HashMap<&[u8], u64> {
        let mut crcs = HashMap::new();
        for version in [&self.extended, &self.basic].into_iter().flatten().flatten() {
            crcs.entry(version.symbol.as_slice()).or_insert(version.crc);
        }
        crcs
    }

    /// The CRC of a symbol; extended ones are asked first, as kernels from 6.14 do.
    pub fn crc(&self, symbol: &[u8]) -> Option<u64> {
        let lists = [self.extended.as_deref(), self.basic.as_deref()];
        lists.into_iter().flatten().flatten().find(|v| v.symbol == symbol).map(|v| v.crc)
    }
}

fn read_basic(elf: &Elf<'_>, bytes: &[u8], size: u64) -> Result<Vec<SymbolVersion>> {
    if size as usize != bytes.len() || !bytes.len().is_multiple_of(ENTRY) {
        let what = format!("section __versions has {size} bytes, no multiple of {ENTRY}");
        return Err(Error::new(ErrorKind::Malformed, what));
    }
    bytes
        .chunks_exact(ENTRY)
        .map(|entry| {
            let (crc, name) = entry.split_at(elf.class.word());
            let name = name.split(|b| *b == 0).next().filter(|n| n.len() < name.len());
            let name =
                name.ok_or_else(|| Error::new(ErrorKind::Malformed, "a symbol's name in __versions has no end"))?;
            Ok(SymbolVersion { symbol: name.to_vec(), crc: elf.endian.number(crc) })
        })
        .collect()
}

fn read_extended(elf: &Elf<'_>, image: &[u8]) -> Result<Option<Vec<SymbolVersion>>> {
    let wrong = |what: &str| Err(Error::new(ErrorKind::Malformed, format!("extended symbol versions: {what}")));
    let (crcs, names) = match (elf.section("__version_ext_crcs")?, elf.section("__version_ext_names")?) {
        (None, None) => return Ok(None),
        (Some(crcs), Some(names)) => (crcs.bytes(image), names.bytes(image)),
        _ => return wrong("CRCs and names must come together, one section is missing"),
    };
    if crcs.len() % 4 != 0 {
        return wrong("the CRCs are no whole number of 4-byte entries");
    }
    let mut names: Vec<&[u8]> = match names.split_last() {
        None => Vec::new(),
        Some((0, names)) => names.split(|b| *b == 0).collect(),
        Some(_) => return wrong("the last name has no end"),
    };
    // modpost writes the names as one C string literal, whose own NUL follows the last name's.
    names.pop_if(|last| last.is_empty());
    if names.len() != crcs.len() / 4 {
        return wrong(&format!("{} CRCs, but {} names", crcs.len() / 4, names.len()));
    }
    let versions = crcs.chunks_exact(4).zip(names);
    Ok(Some(versions.map(|(crc, name)| SymbolVersion { symbol: name.to_vec(), crc: elf.endian.number(crc) }).collect()))
}
