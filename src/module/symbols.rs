//! The symbols that a module imports and exports.

use std::collections::HashMap;

use crate::error::Result;
use crate::module::elf::{self, Elf, Symbol, SymbolPlace};
use crate::module::versions::SymbolVersions;

/// A symbol that the module needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleImport {
    /// Its name.
    pub name: Vec<u8>,
    /// The module loads even if it is not exported.
    pub is_weak: bool,
    /// The CRC that the module expects, from its symbol versions.
    pub crc: Option<u64>,
}

/// A symbol that the module offers to other modules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleExport {
    /// Its name.
    pub name: Vec<u8>,
    /// For modules under a GPL-compatible licence only (EXPORT_SYMBOL_GPL).
    pub is_gpl_only: bool,
    /// The namespace that users must import (5.4 on); `None` where it is in none.
    pub namespace: Option<Vec<u8>>,
    /// Its CRC, in kernels with symbol versions.
    pub crc: Option<u32>,
}

/// The undefined symbols, in the order of the symbol table.
pub fn imports(elf: &Elf<'_>, versions: &SymbolVersions) -> Vec<ModuleImport> {
    let undefined = elf.symbols.iter().filter(|s| s.place == SymbolPlace::Undefined && !s.name.is_empty());
    let crcs = versions.by_symbol();
    undefined
        .map(|s| ModuleImport { name: s.name.to_vec(), is_weak: s.is_weak, crc: crcs.get(s.name).copied() })
        .collect()
}

/// The symbols with an entry in a `__ksymtab` section, in the order of the symbol table.
///
/// modpost names everything about an export by it: `__ksymtab_NAME` the entry, `__crc_NAME` its CRC, `__kstrtabns_NAME`
/// its namespace (include/linux/export.h and export-internal.h, 5.4–6.14). The section shows GPL-only symbols, and from
/// 7.x on a table of flags next to it.
///
/// # Errors
///
/// [`ErrorKind::Malformed`](crate::error::ErrorKind::Malformed) if many exports have one endless namespace.
pub fn exports(elf: &Elf<'_>, image: &[u8]) -> Result<Vec<ModuleExport>> {
    let entries = elf.symbols.iter().filter_map(|s| match s.place {
        SymbolPlace::Section(index) => Some((s.name.strip_prefix(b"__ksymtab_")?, s, elf.sections.get(index)?)),
        _ => None,
    });
    let entries: Vec<_> = entries.filter(|(_, _, section)| section.name.starts_with(b"__ksymtab")).collect();
    let mut count: HashMap<usize, u64> = HashMap::new();
    for (_, _, section) in &entries {
        *count.entry(section.index).or_default() += 1;
    }
    let companions = Companions::of(elf, image);
    let mut named = 0;
    entries
        .into_iter()
        .map(|(name, entry, section)| {
            let entry_size = section.size / count.get(&section.index).copied().unwrap_or(1);
            let flags = companions.flags(entry.value, entry_size);
            let namespace = companions.namespace(name);
            named += namespace.map_or(0, <[u8]>::len);
            elf::must_have_room(named, image)?;
            Ok(ModuleExport {
                name: name.to_vec(),
                is_gpl_only: section.name.starts_with(b"__ksymtab_gpl") || flags.is_some_and(|f| f & 1 != 0),
                namespace: namespace.map(<[u8]>::to_vec),
                crc: companions.crc(name),
            })
        })
        .collect()
}

/// The symbols and tables that modpost adds for each export's entry.
struct Companions<'e> {
    elf: &'e Elf<'e>,
    image: &'e [u8],
    by_name: HashMap<&'e [u8], &'e Symbol<'e>>,
    /// `__kflagstab` (7.x): a byte for each entry.
    flags: &'e [u8],
}

impl<'e> Companions<'e> {
    fn of(elf: &'e Elf<'e>, image: &'e [u8]) -> Self {
        let named = elf.symbols.iter().filter(|s| s.name.starts_with(b"__crc_") || s.name.starts_with(b"__kstrtabns_"));
        let flags = elf.section("__kflagstab").ok().flatten();
        Companions {
            elf,
            image,
            by_name: named.map(|s| (s.name, s)).collect(),
            flags: flags.map(|section| section.bytes(image)).unwrap_or_default(),
        }
    }

    fn find(&self, prefix: &[u8], name: &[u8]) -> Option<&'e Symbol<'e>> {
        self.by_name.get([prefix, name].concat().as_slice()).copied()
    }

    /// The bytes from where a symbol is defined to the end of its section.
    fn bytes_at(&self, symbol: &Symbol<'_>) -> Option<&'e [u8]> {
        let SymbolPlace::Section(index) = symbol.place else { return None };
        self.elf.sections.get(index)?.bytes(self.image).get(usize::try_from(symbol.value).ok()?..)
    }

    fn namespace(&self, name: &[u8]) -> Option<&'e [u8]> {
        let string = self.bytes_at(self.find(b"__kstrtabns_", name)?)?.split(|b| *b == 0).next()?;
        Some(string).filter(|string| !string.is_empty())
    }

    fn crc(&self, name: &[u8]) -> Option<u32> {
        let symbol = self.find(b"__crc_", name)?;
        match symbol.place {
            // Up to about 6.2 the CRC was the symbol's own value, set by the linker.
            SymbolPlace::Absolute => u32::try_from(symbol.value).ok(),
            _ => self.bytes_at(symbol)?.get(..4).and_then(|crc| u32::try_from(self.elf.endian.number(crc)).ok()),
        }
    }

    /// The flags that belong to the entry at `offset` of a table of `entry_size`.
    fn flags(&self, offset: u64, entry_size: u64) -> Option<u8> {
        self.flags.get(usize::try_from(offset.checked_div(entry_size)?).ok()?).copied()
    }
}
