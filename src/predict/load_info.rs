//! A module file as the loader reads it: header, sections, strings and symbols by their offsets, validated only as far as the
//! kernel validates them. [`crate::module`] rejects a file that contradicts itself; this reader continues, because it must show
//! how a kernel reacts.

use crate::kernel::Machine;
use crate::module::elf::{Class, Endian};

/// Section types and flags (include/uapi/linux/elf.h).
pub(super) const SHT_NULL: u32 = 0;
pub(super) const SHT_SYMTAB: u32 = 2;
pub(super) const SHT_STRTAB: u32 = 3;
pub(super) const SHT_RELA: u32 = 4;
pub(super) const SHT_NOBITS: u32 = 8;
pub(super) const SHT_REL: u32 = 9;
pub(super) const SHF_WRITE: u64 = 1;
pub(super) const SHF_ALLOC: u64 = 2;
pub(super) const SHF_EXECINSTR: u64 = 4;

/// The file header, read in the class and byte order of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct ElfHeader {
    pub(super) class: Class,
    pub(super) endian: Endian,
    pub(super) has_magic: bool,
    /// EI_CLASS: 1 for 32 bits, 2 for 64. The fields are read in the kernel's class regardless.
    pub(super) class_byte: u8,
    pub(super) kind: u16,
    pub(super) machine: u16,
    pub(super) entry: u64,
    pub(super) flags: u32,
    pub(super) shoff: u64,
    pub(super) shentsize: u16,
    pub(super) shnum: u16,
    pub(super) shstrndx: u16,
}

/// A section header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SectionHeader {
    pub(super) name: u32,
    pub(super) kind: u32,
    pub(super) flags: u64,
    pub(super) addr: u64,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) link: u32,
    pub(super) info: u32,
}

impl SectionHeader {
    pub(super) fn is_alloc(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }
}

/// Size of the file header, in bytes.
pub(super) fn header_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 52,
        Class::Elf64 => 64,
    }
}

/// Size of a section header, in bytes.
pub(super) fn section_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 40,
        Class::Elf64 => 64,
    }
}

/// Size of a symbol, in bytes.
pub(super) fn symbol_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 16,
        Class::Elf64 => 24,
    }
}

impl ElfHeader {
    /// Reads the header; `None` if the file is shorter than a header.
    pub(super) fn read(file: &[u8], class: Class, endian: Endian) -> Option<ElfHeader> {
        let header = file.get(..header_size(class))?;
        let half = |at: usize| number(header, endian, at, 2) as u16;
        let word = class.word();
        // e_entry, e_phoff, e_shoff and e_flags begin at 24.
        let (shoff, rest) = (number(header, endian, 24 + 2 * word, word), 34 + 3 * word);
        Some(ElfHeader {
            class,
            endian,
            has_magic: header.starts_with(b"\x7fELF"),
            class_byte: header.get(4).copied().unwrap_or_default(),
            kind: half(16),
            machine: half(18),
            entry: number(header, endian, 24, word),
            flags: number(header, endian, 24 + 3 * word, 4) as u32,
            shoff,
            shentsize: half(rest),
            shnum: half(rest + 2),
            shstrndx: half(rest + 4),
        })
    }

    /// Does every loader refuse the file because of its header alone, on any machine? That is so if it is too short for a
    /// header, lacks ELF's magic, or has a type that means a relocatable file in neither byte order.
    pub(super) fn is_of_no_module(file: &[u8]) -> bool {
        let is_relocatable = || matches!(file.get(16..18), Some([0, 1] | [1, 0]));
        file.len() < header_size(Class::Elf32) || !file.starts_with(b"\x7fELF") || !is_relocatable()
    }

    /// The section headers; headers outside the file are omitted.
    pub(super) fn sections(&self, file: &[u8]) -> Vec<SectionHeader> {
        let Some(table) = usize::try_from(self.shoff).ok().and_then(|at| file.get(at..)) else { return Vec::new() };
        let entries = table.chunks_exact(section_size(self.class)).take(usize::from(self.shnum));
        entries.map(|entry| self.section(entry)).collect()
    }

    fn section(&self, entry: &[u8]) -> SectionHeader {
        let n = |at: usize, size: usize| number(entry, self.endian, at, size);
        match self.class {
            Class::Elf32 => SectionHeader {
                name: n(0, 4) as u32,
                kind: n(4, 4) as u32,
                flags: n(8, 4),
                addr: n(12, 4),
                offset: n(16, 4),
                size: n(20, 4),
                link: n(24, 4) as u32,
                info: n(28, 4) as u32,
            },
            Class::Elf64 => SectionHeader {
                name: n(0, 4) as u32,
                kind: n(4, 4) as u32,
                flags: n(8, 8),
                addr: n(16, 8),
                offset: n(24, 8),
                size: n(32, 8),
                link: n(40, 4) as u32,
                info: n(44, 4) as u32,
            },
        }
    }
}

/// A number of `size` bytes at an offset; 0 if the bytes end before it.
pub(super) fn number(bytes: &[u8], endian: Endian, at: usize, size: usize) -> u64 {
    at.checked_add(size).and_then(|end| bytes.get(at..end)).map_or(0, |digits| endian.number(digits))
}

/// The longest string that is read, in bytes. No kernel has a longer name (KSYM_NAME_LEN is 512), and its log has no longer
/// line; without a limit, many names that share the bytes of a long one cost their product.
const LONGEST_STRING: usize = 1024;

/// A C string at an offset, up to its NUL, the end of the bytes, or the longest length.
pub(super) fn string(bytes: &[u8], at: u64) -> &[u8] {
    let rest = usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let near = rest.get(..LONGEST_STRING).unwrap_or(rest);
    near.get(..memchr::memchr(0, near).unwrap_or(near.len())).unwrap_or_default()
}

/// A module that passed the ELF checks: the loader's state for the later steps (`struct load_info`, kernel/module/internal.h).
pub(super) struct LoadInfo<'f> {
    pub(super) file: &'f [u8],
    pub(super) header: ElfHeader,
    pub(super) sections: Vec<SectionHeader>,
    /// The modinfo section that this kernel reads, if it finds one.
    pub(super) modinfo: Option<usize>,
    /// The section of `struct module`.
    pub(super) this_module: usize,
    pub(super) symtab: usize,
    /// The module's name in modinfo, which the first checks print; if there is none, the same as `own_name`.
    pub(super) name: String,
    /// The module's name in `struct module`, which all later steps print, and under which it is loaded.
    pub(super) own_name: String,
}

/// A symbol of the symbol table.
#[derive(Clone, Copy)]
pub(super) struct SymbolEntry<'f> {
    pub(super) name: &'f [u8],
    pub(super) section: u16,
    pub(super) value: u64,
    pub(super) is_weak: bool,
}

impl<'f> LoadInfo<'f> {
    /// The bytes of a section in the file.
    pub(super) fn bytes(&self, section: &SectionHeader) -> &'f [u8] {
        bytes_of(self.file, section)
    }

    /// A section's name.
    pub(super) fn name_of(&self, section: &SectionHeader) -> &'f [u8] {
        name_of(self.file, &self.header, &self.sections, section)
    }

    /// The first allocated section with a name (`find_sec`).
    pub(super) fn find(&self, name: &str) -> Option<&SectionHeader> {
        find(self.file, &self.header, &self.sections, name, true).and_then(|at| self.sections.get(at))
    }

    /// The first section with a name, allocated or not (`find_any_sec`).
    pub(super) fn find_any(&self, name: &str) -> Option<&SectionHeader> {
        find(self.file, &self.header, &self.sections, name, false).and_then(|at| self.sections.get(at))
    }

    /// The bytes of the first allocated section with a name.
    pub(super) fn bytes_of(&self, name: &str) -> Option<&'f [u8]> {
        self.find(name).map(|section| self.bytes(section))
    }

    /// The first value of a modinfo key (`get_modinfo`).
    pub(super) fn modinfo(&self, key: &str) -> Option<&'f [u8]> {
        self.modinfo_all(key).next()
    }

    /// All values of a modinfo key.
    pub(super) fn modinfo_all(&self, key: &str) -> impl Iterator<Item = &'f [u8]> {
        let bytes = self.modinfo.and_then(|at| self.sections.get(at)).map(|s| self.bytes(s)).unwrap_or_default();
        values(bytes, key.to_owned())
    }

    /// Does `struct module` have bytes in the file? If not, a kernel that does not check this may crash.
    pub(super) fn has_structure(&self) -> bool {
        self.sections.get(self.this_module).is_some_and(|structure| structure.kind != SHT_NOBITS)
    }

    /// Does a symbol have a name outside the string table?
    pub(super) fn has_nameless_symbol(&self) -> bool {
        let table = self.sections.get(self.symtab).copied().unwrap_or_default();
        let names = self.sections.get(table.link as usize).map_or(0, |names| names.size);
        let entries = self.bytes(&table).chunks_exact(symbol_size(self.header.class));
        entries.skip(1).any(|entry| number(entry, self.header.endian, 0, 4) >= names.max(1))
    }

    /// Is a section loaded into memory? The sections of modinfo and symbol versions are not, whatever their flags
    /// (`rewrite_section_headers`).
    pub(super) fn stays(&self, index: usize) -> bool {
        let Some(section) = self.sections.get(index) else { return false };
        section.is_alloc() && Some(index) != self.modinfo && self.name_of(section) != b"__versions"
    }

    /// The number of bytes of memory that its sections take, without the loader's padding.
    pub(super) fn allocated(&self) -> u64 {
        let sizes = self.sections.iter().filter(|section| section.is_alloc()).map(|section| section.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// The symbols from the second on: the first is the null symbol.
    pub(super) fn symbols(&self) -> impl Iterator<Item = SymbolEntry<'f>> {
        self.symbols_with_none().skip(1)
    }

    /// All symbols including the first, as relocations index them.
    pub(super) fn symbols_with_none(&self) -> impl Iterator<Item = SymbolEntry<'f>> {
        let table = self.sections.get(self.symtab).copied().unwrap_or_default();
        let strings = self.sections.get(table.link as usize).map(|s| self.bytes(s)).unwrap_or_default();
        let (class, endian) = (self.header.class, self.header.endian);
        self.bytes(&table).chunks_exact(symbol_size(class)).map(move |entry| {
            let n = |at: usize, size: usize| number(entry, endian, at, size);
            let (info, section, value) = match class {
                Class::Elf32 => (n(12, 1), n(14, 2), n(4, 4)),
                Class::Elf64 => (n(4, 1), n(6, 2), n(8, 8)),
            };
            SymbolEntry { name: string(strings, n(0, 4)), section: section as u16, value, is_weak: info >> 4 == 2 }
        })
    }
}

/// The bytes of a section in the file; empty for NOBITS and for sections outside the file.
pub(super) fn bytes_of<'f>(file: &'f [u8], section: &SectionHeader) -> &'f [u8] {
    if section.kind == SHT_NOBITS {
        return &[];
    }
    let end = section.offset.checked_add(section.size);
    let range = usize::try_from(section.offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
    range.and_then(|(start, end)| file.get(start..end)).unwrap_or_default()
}

/// A section's name.
pub(super) fn name_of<'f>(
    file: &'f [u8],
    header: &ElfHeader,
    sections: &[SectionHeader],
    section: &SectionHeader,
) -> &'f [u8] {
    let names = sections.get(usize::from(header.shstrndx)).map(|names| bytes_of(file, names)).unwrap_or_default();
    string(names, u64::from(section.name))
}

/// The index of the first section with a name; the first section of all is the null section and is skipped.
pub(super) fn find(
    file: &[u8],
    header: &ElfHeader,
    sections: &[SectionHeader],
    name: &str,
    only_alloc: bool,
) -> Option<usize> {
    let fits = |section: &SectionHeader| {
        (section.is_alloc() || !only_alloc) && name_of(file, header, sections, section) == name.as_bytes()
    };
    sections.iter().enumerate().skip(1).find(|(_, section)| fits(section)).map(|(index, _)| index)
}

/// The values of a key in modinfo's strings.
pub(super) fn values(bytes: &[u8], key: String) -> impl Iterator<Item = &[u8]> {
    let strings = bytes.split(|byte| *byte == 0);
    strings.filter_map(move |string| string.strip_prefix(key.as_bytes())?.strip_prefix(b"="))
}

/// The machine in an ELF header, read in the file's own class and byte order.
pub(super) fn machine_of(file: &[u8]) -> Machine {
    let class = if file.get(4) == Some(&1) { Class::Elf32 } else { Class::Elf64 };
    let endian = if file.get(5) == Some(&2) { Endian::Big } else { Endian::Little };
    Machine { class, endian, number: number(file, endian, 18, 2) as u16 }
}
