//! The ELF image of a module, read once into a neutral form: 32 and 64 bit, both byte orders, any architecture.
//!
//! The `object` crate knows the layouts; this file decides what a module may look like. It is stricter than a kernel:
//! a file whose sections lie about their place, overlap or name what is not there is refused as a whole, because a
//! patch of such a file could not be planned to the byte.

use std::ops::Range;

use object::Endianness;
use object::elf::{self as raw, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, Rel as _, Rela as _, SectionHeader as _, Sym as _};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::wrapper;

/// 32 or 64 bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// ELFCLASS32
    #[serde(rename = "ELF32")]
    Elf32,
    /// ELFCLASS64
    #[serde(rename = "ELF64")]
    Elf64,
}

impl Class {
    /// Size of a pointer and of `unsigned long` in this class, in bytes.
    pub fn word(self) -> usize {
        match self {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }

    /// The offset of `sh_flags` in a section header, in bytes from its start; a word long.
    pub fn flags_field(self) -> usize {
        8
    }

    /// The offset of `sh_offset` in a section header, in bytes from its start; a word long, and `sh_size` is the word
    /// after it (ELF gABI, chapter 4).
    pub fn place_field(self) -> usize {
        match self {
            Class::Elf32 => 16,
            Class::Elf64 => 24,
        }
    }

    /// As `readelf` names it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Elf32 => "ELF32",
            Class::Elf64 => "ELF64",
        }
    }
}

/// Byte order of all numbers in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// Reads an unsigned number of 1 to 8 bytes in this order.
    pub fn number(self, bytes: &[u8]) -> u64 {
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match self {
            Endian::Little => bytes.iter().rev().fold(0, add),
            Endian::Big => bytes.iter().fold(0, add),
        }
    }

    /// Writes an unsigned number in this order over all of `place`; `None` if it has more bytes than there are.
    pub fn write(self, number: u64, place: &mut [u8]) -> Option<()> {
        let len = place.len().min(8);
        let rest = if len == 8 { 0 } else { number >> (8 * len) };
        if rest != 0 {
            return None;
        }
        place.fill(0);
        match self {
            Endian::Little => place.get_mut(..len)?.copy_from_slice(number.to_le_bytes().get(..len)?),
            Endian::Big => {
                let from = place.len() - len;
                place.get_mut(from..)?.copy_from_slice(number.to_be_bytes().get(8 - len..)?);
            }
        }
        Some(())
    }

    /// In words, for people.
    pub fn name(self) -> &'static str {
        match self {
            Endian::Little => "little-endian",
            Endian::Big => "big-endian",
        }
    }
}

/// One section of the image.
#[derive(Clone, Debug)]
pub struct Section<'d> {
    /// Its place in the section header table.
    pub index: usize,
    /// Its name, not always UTF-8 in a hostile file.
    pub name: &'d [u8],
    /// `sh_type`, one of `SHT_*`.
    pub kind: u32,
    /// `sh_flags`, a set of `SHF_*`.
    pub flags: u64,
    /// Where its bytes begin, from the start of the image.
    pub offset: u64,
    /// How many bytes it has (in memory only, for NOBITS).
    pub size: u64,
    /// `sh_info`: for relocations, the section that they apply to.
    pub info: u32,
    /// `sh_addralign`: what its place must be a multiple of; 0 and 1 are any place.
    pub align: u64,
    /// Where its header begins, from the start of the image. The first 4 bytes of it are `sh_name`, in both classes.
    pub header: usize,
    /// Its bytes: a range of the image. Empty for NOBITS.
    pub range: Range<usize>,
}

impl Section<'_> {
    /// Does the kernel keep it in memory (SHF_ALLOC)? Up to 6.3, `.modinfo` and `__versions` count only then.
    pub fn is_alloc(&self) -> bool {
        self.flags & raw::SHF_ALLOC.0 != 0
    }

    /// Its bytes in the image.
    pub fn bytes<'i>(&self, image: &'i [u8]) -> &'i [u8] {
        image.get(self.range.clone()).unwrap_or_default()
    }
}

/// One symbol of the symbol table.
#[derive(Clone, Debug)]
pub struct Symbol<'d> {
    /// Its name, not always UTF-8 in a hostile file.
    pub name: &'d [u8],
    /// `st_value`: an offset in its section.
    pub value: u64,
    /// Where it is defined.
    pub place: SymbolPlace,
    /// STB_WEAK: it may stay unresolved.
    pub is_weak: bool,
    /// STT_SECTION: it refers to its section as a whole.
    pub is_section: bool,
}

/// Where a symbol is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolPlace {
    /// Nowhere here: an import.
    Undefined,
    /// SHN_ABS: its value is the thing itself.
    Absolute,
    /// In the section of this index.
    Section(usize),
    /// SHN_COMMON or another reserved index.
    Other,
}

/// One relocation against a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The place to be changed, as an offset in the section.
    pub offset: u64,
    /// The symbol's place in the symbol table.
    pub symbol: usize,
    /// The addend where the format has one written out (RELA), else 0.
    pub addend: i64,
}

/// The image in neutral form. Names are borrowed from it; a module has thousands.
#[derive(Clone, Debug)]
pub struct Elf<'d> {
    /// 32 or 64 bit.
    pub class: Class,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine`.
    pub machine: u16,
    /// All sections; the place in the list is the section's index.
    pub sections: Vec<Section<'d>>,
    /// All symbols; the place in the list is the symbol's index.
    pub symbols: Vec<Symbol<'d>>,
    /// The GNU build-id, where there is one.
    pub build_id: Option<Vec<u8>>,
    /// Where the ELF's own bytes end: after the last section and the section header table.
    pub end: usize,
    /// Relocations by the index of the section that they apply to.
    relocations: Vec<(usize, Vec<Relocation>)>,
}

/// The sections whose relocations are kept; the code's own, which are most of them, do not affect loading.
const RELOCATED: [&[u8]; 1] = [b".gnu.linkonce.this_module"];

impl<'d> Elf<'d> {
    /// Reads the image at the start of `bytes`; what follows it (a trailer) is not looked at.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`] if it is not a relocatable ELF file, [`ErrorKind::Truncated`] if it ends too early,
    /// [`ErrorKind::Malformed`] if it contradicts itself.
    pub fn read(bytes: &'d [u8]) -> Result<Elf<'d>> {
        match class_of(bytes)? {
            Class::Elf32 => read::<FileHeader32<Endianness>>(bytes, Class::Elf32),
            Class::Elf64 => read::<FileHeader64<Endianness>>(bytes, Class::Elf64),
        }
    }

    /// The only section of this name; none is `None`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if there are two: which one a kernel reads differs by version.
    pub fn section(&self, name: &str) -> Result<Option<&Section<'d>>> {
        let mut found = self.sections.iter().filter(|s| s.name == name.as_bytes());
        match (found.next(), found.next()) {
            (first, None) => Ok(first),
            _ => Err(malformed(format!("two sections are named {name}"))),
        }
    }

    /// The relocations that apply to a section, for the few sections that matter here.
    pub fn relocations(&self, section: usize) -> impl Iterator<Item = &Relocation> {
        self.relocations.iter().filter(move |(to, _)| *to == section).flat_map(|(_, list)| list)
    }

    /// The machine in the words of binutils; "machine N" for one that is not known here.
    pub fn machine_name(&self) -> String {
        machine_name(self.machine)
    }
}

/// `e_machine` in words. The numbers are the registry's (include/uapi/linux/elf-em.h, 6.14).
pub fn machine_name(machine: u16) -> String {
    let name = match machine {
        2 | 18 | 43 => "sparc",
        3 => "i386",
        4 => "m68k",
        8 | 10 => "mips",
        15 => "parisc",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390",
        40 => "arm",
        42 => "sh",
        50 => "ia64",
        62 => "x86-64",
        93 | 195 | 253 | 255 => "arc",
        94 => "xtensa",
        106 => "blackfin",
        113 => "nios2",
        140 => "c6x",
        164 => "hexagon",
        167 => "nds32",
        183 => "aarch64",
        189 => "microblaze",
        243 => "riscv",
        247 => "bpf",
        252 => "csky",
        258 => "loongarch",
        0x18ad => "avr32",
        0x9026 => "alpha",
        92 => "openrisc",
        _ => return format!("machine {machine}"),
    };
    name.to_owned()
}

/// How far an image extends, as far as a prefix of it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At least to this byte: the prefix is too short to show more.
    AtLeast(u64),
    /// To this byte.
    Exactly(u64),
}

/// How far an image extends, read from a prefix of it: known as soon as the section header table is there.
///
/// # Errors
///
/// Those of [`Elf::read`] for a file header that no module has: then no more of the image is needed.
pub fn extent(prefix: &[u8]) -> Result<Extent> {
    fn of<E: FileHeader<Endian = Endianness>>(prefix: &[u8]) -> Result<Extent> {
        let (header, endian) = file_header::<E>(prefix)?;
        let (_, table_end) = table_place(header, endian, prefix)?;
        if table_end > prefix.len() as u64 {
            return Ok(Extent::AtLeast(table_end));
        }
        let headers = header.section_headers(endian, prefix).map_err(from_object("reading the section headers"))?;
        let ends =
            headers.iter().filter_map(|s| s.file_range(endian)).map(|(offset, size)| offset.saturating_add(size));
        Ok(Extent::Exactly(ends.fold(table_end, u64::max)))
    }
    if prefix.len() < size_of::<FileHeader64<Endianness>>() {
        return Ok(Extent::AtLeast(size_of::<FileHeader64<Endianness>>() as u64));
    }
    match class_of(prefix)? {
        Class::Elf32 => of::<FileHeader32<Endianness>>(prefix),
        Class::Elf64 => of::<FileHeader64<Endianness>>(prefix),
    }
}

/// The class of an ELF file, from its first seven bytes.
fn class_of(bytes: &[u8]) -> Result<Class> {
    let not_elf = |hint: &str| Err(Error::new(ErrorKind::NotAModule, "not an ELF file").hint(hint));
    match bytes {
        [0x7f, b'E', b'L', b'F', 1, 1 | 2, 1, ..] => Ok(Class::Elf32),
        [0x7f, b'E', b'L', b'F', 2, 1 | 2, 1, ..] => Ok(Class::Elf64),
        [0x7f, b'E', b'L', b'F', _, _, _, ..] => {
            Err(malformed("the ELF header has an unknown class, byte order or version"))
        }
        _ if b"\x7fELF".starts_with(bytes) || bytes.starts_with(b"\x7fELF") => {
            Err(Error::new(ErrorKind::Truncated, "the ELF header is cut short"))
        }
        _ if bytes.first() == Some(&b'<') => not_elf("it looks like an HTML or XML page: was the download refused?"),
        _ if let Some(wrapper) = wrapper::of(bytes) => Err(wrapper),
        _ => not_elf("a module is a .ko, .ko.gz, .ko.xz or .ko.zst file"),
    }
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

/// An error of the `object` crate in our words: its text names the structure, ours what it means.
fn from_object(doing: &'static str) -> impl Fn(object::read::Error) -> Error {
    move |error| malformed(format!("{doing}: {}", error.to_string().to_lowercase()))
}

/// The file header of a relocatable file, and its byte order.
fn file_header<E: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<(&E, Endianness)> {
    let header = E::parse(bytes).map_err(|_| Error::new(ErrorKind::Truncated, "the ELF header is cut short"))?;
    let endian = header.endian().map_err(from_object("reading the ELF header"))?;
    let what = match header.e_type(endian) {
        raw::ET_REL => return Ok((header, endian)),
        raw::ET_EXEC | raw::ET_DYN => "a program or shared library",
        raw::ET_CORE => "a core dump",
        _ => "an ELF file of another kind",
    };
    Err(Error::new(ErrorKind::NotAModule, format!("{what}, not a relocatable ELF file as a module is")))
}

fn read<E: FileHeader<Endian = Endianness>>(bytes: &[u8], class: Class) -> Result<Elf<'_>> {
    let (header, endian) = file_header::<E>(bytes)?;
    let table = table_range::<E>(header, endian, bytes)?;
    let sections = header.sections(endian, bytes).map_err(from_object("reading the section headers"))?;
    if sections.is_empty() {
        return Err(Error::new(ErrorKind::NotAModule, "an ELF file without sections"));
    }

    let mut list = Vec::with_capacity(sections.len());
    let mut named = 0;
    for (index, section) in sections.enumerate() {
        let name = sections
            .section_name(endian, section)
            .map_err(|_| malformed(format!("section {} has no valid name", index.0)))?;
        named += name.len();
        must_have_room(named, bytes)?;
        let offset: u64 = section.sh_offset(endian).into();
        let size: u64 = section.sh_size(endian).into();
        let kind = section.sh_type(endian);
        let in_file = !matches!(kind, raw::SHT_NOBITS | raw::SHT_NULL);
        let range = if in_file { file_range(name, offset, size, bytes.len())? } else { 0..0 };
        list.push(Section {
            index: index.0,
            name,
            kind: kind.0,
            flags: section.sh_flags(endian).0,
            offset,
            size,
            info: section.sh_info(endian),
            align: section.sh_addralign(endian).into(),
            header: table.start + index.0 * size_of::<E::SectionHeader>(),
            range,
        });
    }
    let header_range = 0..size_of::<E>();
    must_not_overlap(&list, [header_range, table.clone()])?;
    let end = list.iter().map(|s| s.range.end).fold(table.end, usize::max);
    // Not before: notes that overlap could be read again and again.
    let mut build_id = None;
    for section in sections.iter().filter(|section| section.sh_type(endian) == raw::SHT_NOTE) {
        build_id = find_build_id::<E>(endian, section, bytes)?;
        if build_id.is_some() {
            break;
        }
    }

    let mut elf = Elf {
        class,
        endian: if header.is_big_endian() { Endian::Big } else { Endian::Little },
        machine: header.e_machine(endian).0,
        symbols: read_symbols::<E>(endian, &sections, bytes)?,
        sections: list,
        build_id,
        end,
        relocations: Vec::new(),
    };
    for (index, section) in sections.enumerate() {
        let applies_to = section.sh_info(endian) as usize;
        let wanted = elf.sections.get(applies_to).is_some_and(|s| RELOCATED.contains(&s.name));
        if !wanted {
            continue;
        }
        let is_mips64el = header.is_mips64el(endian);
        let mut relocations = Vec::new();
        let wrong = from_object("reading relocations");
        if let Some((rels, _)) = section.rel(endian, bytes).map_err(&wrong)? {
            relocations.extend(rels.iter().map(|r| Relocation {
                offset: r.r_offset(endian).into(),
                symbol: r.r_sym(endian) as usize,
                addend: 0,
            }));
        } else if let Some((relas, _)) = section.rela(endian, bytes).map_err(&wrong)? {
            relocations.extend(relas.iter().map(|r| Relocation {
                offset: r.r_offset(endian).into(),
                symbol: r.r_sym(endian, is_mips64el) as usize,
                addend: r.r_addend(endian).into(),
            }));
        } else {
            continue;
        }
        if let Some(bad) = relocations.iter().find(|r| r.symbol >= elf.symbols.len().max(1)) {
            return Err(malformed(format!(
                "a relocation in section {} names symbol {}, which is not there",
                index.0, bad.symbol
            )));
        }
        elf.relocations.push((applies_to, relocations));
    }
    Ok(elf)
}

/// Where the section header table begins and ends by what the file header says. Their number may be in the
/// first of them; where that is not there yet, it is the end.
fn table_place<E: FileHeader<Endian = Endianness>>(header: &E, endian: Endianness, bytes: &[u8]) -> Result<(u64, u64)> {
    let start: u64 = header.e_shoff(endian).into();
    if start == 0 {
        return Err(Error::new(ErrorKind::NotAModule, "an ELF file without sections"));
    }
    let entry = u64::from(header.e_shentsize(endian));
    if entry as usize != size_of::<E::SectionHeader>() {
        return Err(malformed(format!(
            "section headers of {entry} bytes, where {} is the only size",
            size_of::<E::SectionHeader>()
        )));
    }
    let first = start.saturating_add(entry);
    if first > bytes.len() as u64 {
        return Ok((start, first));
    }
    let count = u64::from(header.shnum(endian, bytes).map_err(from_object("reading the ELF header"))?);
    Ok((start, start.saturating_add(count.saturating_mul(entry))))
}

/// The place of the section header table, all of it in the file.
fn table_range<E: FileHeader<Endian = Endianness>>(
    header: &E,
    endian: Endianness,
    bytes: &[u8],
) -> Result<Range<usize>> {
    let (start, end) = table_place(header, endian, bytes)?;
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= bytes.len() => Ok(start..end),
        _ => Err(Error::new(ErrorKind::Truncated, "the file ends before its section headers")
            .hint("it was cut short, or is not a module")),
    }
}

/// Names may share their text: many headers of a few bytes could all have one endless name. `named` is the length of
/// all names so far; no module has nearly as many bytes of names as four times its own size.
pub(super) fn must_have_room(named: usize, bytes: &[u8]) -> Result<()> {
    match named > bytes.len().saturating_mul(4) {
        true => Err(malformed("its names, written out, would be far longer than the file")),
        false => Ok(()),
    }
}

fn file_range(name: &[u8], offset: u64, size: u64, len: usize) -> Result<Range<usize>> {
    let shown = || crate::escape::bytes_for_eyes(name);
    let end = offset
        .checked_add(size)
        .ok_or_else(|| malformed(format!("section {}: its offset and size overflow", shown())))?;
    match (usize::try_from(offset), usize::try_from(end)) {
        (Ok(start), Ok(end)) if end <= len => Ok(start..end),
        _ => {
            Err(Error::new(ErrorKind::Truncated, format!("section {} ends at byte {end}, the file at {len}", shown())))
        }
    }
}

/// No two structures may share a byte: else one edit would change two things.
fn must_not_overlap(sections: &[Section<'_>], structures: [Range<usize>; 2]) -> Result<()> {
    let mut ranges: Vec<(Range<usize>, Option<&Section<'_>>)> =
        structures.into_iter().map(|range| (range, None)).collect();
    ranges.extend(sections.iter().filter(|s| !s.range.is_empty()).map(|s| (s.range.clone(), Some(s))));
    ranges.sort_by_key(|(range, _)| (range.start, range.end));
    for pair in ranges.windows(2) {
        if let [(a, first), (b, second)] = pair
            && b.start < a.end
        {
            let name = |s: &Option<&Section<'_>>| match s {
                Some(section) => format!("section {}", crate::escape::bytes_for_eyes(section.name)),
                None => "an ELF header".to_owned(),
            };
            return Err(malformed(format!("{} and {} overlap at byte {}", name(first), name(second), b.start)));
        }
    }
    Ok(())
}

fn read_symbols<'d, E: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    sections: &object::read::elf::SectionTable<'d, E>,
    bytes: &'d [u8],
) -> Result<Vec<Symbol<'d>>> {
    let table = sections.symbols(endian, bytes, raw::SHT_SYMTAB).map_err(from_object("reading the symbol table"))?;
    let mut symbols = Vec::with_capacity(table.len());
    let mut named = 0;
    for (index, symbol) in table.enumerate() {
        let name = table
            .symbol_name(endian, symbol)
            .map_err(|_| malformed(format!("symbol {} has no valid name", index.0)))?;
        named += name.len();
        must_have_room(named, bytes)?;
        let place = match symbol.st_shndx(endian) {
            raw::SHN_UNDEF => SymbolPlace::Undefined,
            raw::SHN_ABS => SymbolPlace::Absolute,
            _ => match table.symbol_section(endian, symbol, index) {
                Ok(Some(section)) if section.0 < sections.len() => SymbolPlace::Section(section.0),
                Ok(Some(_)) | Err(_) => {
                    return Err(malformed(format!("symbol {} is in a section that is not there", index.0)));
                }
                Ok(None) => SymbolPlace::Other,
            },
        };
        symbols.push(Symbol {
            name,
            value: symbol.st_value(endian).into(),
            place,
            is_weak: symbol.is_weak(),
            is_section: symbol.st_type() == raw::STT_SECTION,
        });
    }
    Ok(symbols)
}

fn find_build_id<E: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    section: &E::SectionHeader,
    bytes: &[u8],
) -> Result<Option<Vec<u8>>> {
    let wrong = from_object("reading a note");
    let Some(mut notes) = section.notes(endian, bytes).map_err(&wrong)? else { return Ok(None) };
    while let Some(note) = notes.next().map_err(&wrong)? {
        if note.name() == raw::ELF_NOTE_GNU && note.n_type(endian) == raw::NT_GNU_BUILD_ID {
            return Ok(Some(note.desc().to_vec()));
        }
    }
    Ok(None)
}
