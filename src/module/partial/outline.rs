//! The outline of an image: what its file header and its section headers say, and nothing else. Pure.
//!
//! It accepts only usual files, as strictly as [`crate::module::elf`] does as far as the headers show it:
//! `None` means that the full reader must read the file; it reports what is wrong, if anything is.

use std::ops::Range;

use object::elf::{self as raw, FileHeader32, FileHeader64};
use object::pod;
use object::read::elf::{FileHeader, SectionHeader as _};
use object::{BigEndian, Endianness, LittleEndian};

use crate::module::elf::{Class, Endian};
use crate::module::this_module;
use crate::module::versions::{self, VersionsFormat};

/// The size of the larger of the two file headers, in bytes.
pub(super) const FILE_HEADER: usize = size_of::<FileHeader64<Endianness>>();

/// The most section headers of a usual file. Modules have some dozens, and those built with a section a function some
/// hundreds.
const MOST_SECTIONS: u16 = 4096;

/// SHF_COMPRESSED: a `.modinfo` with it is nonsense to every kernel.
const SHF_COMPRESSED: u64 = 1 << 11;

/// What the file header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::module) struct Start {
    pub(in crate::module) class: Class,
    pub(in crate::module) endian: Endian,
    pub(in crate::module) machine: u16,
    /// Where the section header table is.
    pub(super) table: Range<u64>,
    /// Which section holds the names.
    names: usize,
}

impl Start {
    /// Reads it out of the image's first [`FILE_HEADER`] bytes.
    pub(super) fn of(first: &[u8; FILE_HEADER]) -> Option<Start> {
        match first {
            [0x7f, b'E', b'L', b'F', 1, 1 | 2, 1, ..] => start::<FileHeader32<Endianness>>(first, Class::Elf32),
            [0x7f, b'E', b'L', b'F', 2, 1 | 2, 1, ..] => start::<FileHeader64<Endianness>>(first, Class::Elf64),
            _ => None,
        }
    }

    /// Where the names of the sections are, by the section header table.
    pub(super) fn names(&self, table: &[u8]) -> Option<Range<u64>> {
        match self.class {
            Class::Elf32 => names::<FileHeader32<Endianness>>(self, table),
            Class::Elf64 => names::<FileHeader64<Endianness>>(self, table),
        }
    }

    fn endianness(&self) -> Endianness {
        match self.endian {
            Endian::Little => Endianness::Little,
            Endian::Big => Endianness::Big,
        }
    }
}

fn start<E: FileHeader<Endian = Endianness>>(first: &[u8], class: Class) -> Option<Start> {
    let header = E::parse(first).ok()?;
    let endian = header.endian().ok()?;
    let (count, names) = (header.e_shnum(endian), header.e_shstrndx(endian).index()?);
    let offset: u64 = header.e_shoff(endian).into();
    let entry = header.e_shentsize(endian);
    let is_usual = header.e_type(endian) == raw::ET_REL
        && usize::from(entry) == size_of::<E::SectionHeader>()
        && offset >= size_of::<E>() as u64
        && (1..=MOST_SECTIONS).contains(&count)
        && (1..count).contains(&names);
    is_usual.then(|| Start {
        class,
        endian: if header.is_big_endian() { Endian::Big } else { Endian::Little },
        machine: header.e_machine(endian).0,
        table: offset..offset.saturating_add(u64::from(entry) * u64::from(count)),
        names: usize::from(names),
    })
}

fn headers<E: FileHeader>(table: &[u8]) -> Option<&[E::SectionHeader]> {
    pod::slice_from_all_bytes(table).ok()
}

fn names<E: FileHeader<Endian = Endianness>>(start: &Start, table: &[u8]) -> Option<Range<u64>> {
    let (offset, size) = headers::<E>(table)?.get(start.names)?.file_range(start.endianness())?;
    Some(offset..offset.checked_add(size)?)
}

/// What the section headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::module) struct Outline {
    /// `.modinfo`, which has bytes.
    pub(super) modinfo: Range<u64>,
    /// Is it marked SHF_ALLOC?
    pub(in crate::module) modinfo_is_visible: bool,
    /// `struct module`, where it is there.
    pub(in crate::module) this_module: Option<Range<u64>>,
    /// Which symbol versions there are.
    pub(in crate::module) versions: VersionsFormat,
    /// Are the basic ones marked SHF_ALLOC?
    pub(in crate::module) versions_are_visible: bool,
    /// The size of `.BTF`, where it is there.
    pub(in crate::module) btf: Option<u64>,
    /// Where the ELF's own bytes end.
    pub(super) end: u64,
}

/// Room for the places of sections: start and end of each in one number.
#[derive(Default)]
pub(super) struct SectionBuffer {
    places: Vec<u64>,
    relocations: Vec<u64>,
}

/// A section that is looked for by its name.
#[derive(Clone, Copy)]
struct FoundSection {
    start: u64,
    size: u64,
    flags: u64,
    has_bytes: bool,
}

impl FoundSection {
    fn range(&self) -> Range<u64> {
        self.start..self.start + self.size
    }

    fn is_alloc(&self) -> bool {
        self.flags & raw::SHF_ALLOC.0 != 0
    }
}

/// The sections whose presence matters.
const LOOKED_FOR: [&[u8]; 6] = [
    b".modinfo",
    this_module::SECTION.as_bytes(),
    b"__versions",
    b"__version_ext_crcs",
    b"__version_ext_names",
    b".BTF",
];

impl Outline {
    /// Reads the section header table. `names` are the bytes of the section with the names, `len` is the length of the image
    /// without its trailer, and `room` a buffer that is reused.
    pub(super) fn of(start: &Start, table: &[u8], names: &[u8], len: u64, room: &mut SectionBuffer) -> Option<Outline> {
        // A function for each byte order: to ask for it with each field would take a third of the time.
        match (start.class, start.endian) {
            (Class::Elf32, Endian::Little) => outline::<FileHeader32<LittleEndian>>(start, table, names, len, room),
            (Class::Elf32, Endian::Big) => outline::<FileHeader32<BigEndian>>(start, table, names, len, room),
            (Class::Elf64, Endian::Little) => outline::<FileHeader64<LittleEndian>>(start, table, names, len, room),
            (Class::Elf64, Endian::Big) => outline::<FileHeader64<BigEndian>>(start, table, names, len, room),
        }
    }
}

fn outline<E: FileHeader<Endian: Default>>(
    start: &Start,
    table: &[u8],
    names: &[u8],
    len: u64,
    room: &mut SectionBuffer,
) -> Option<Outline> {
    let endian = E::Endian::default();
    let headers = headers::<E>(table)?;
    let mut found: [Option<FoundSection>; LOOKED_FOR.len()] = Default::default();
    let mut symbols_seen = false;
    // Places in one number each, start above end, are sorted four times as fast; a module of 4 GiB is not usual.
    let len = u32::try_from(len).ok().filter(|len| start.table.end <= u64::from(*len))?;
    let len = u64::from(len);
    let packed = |start: u64, end: u64| start << 32 | end;
    let SectionBuffer { places, relocations } = room;
    places.clear();
    relocations.clear();
    places.push(packed(0, size_of::<E>() as u64));
    // With a NUL at the end of all names each has one, and so few of them can't be long.
    let longest = names.len() as u64 * headers.len() as u64;
    if names.last() != Some(&0) || longest > len.saturating_mul(4) {
        return None;
    }
    for header in headers {
        let name = names.get(usize::try_from(header.sh_name(endian)).ok()?..).filter(|name| !name.is_empty())?;
        let kind = header.sh_type(endian);
        let (offset, size): (u64, u64) = (header.sh_offset(endian).into(), header.sh_size(endian).into());
        let has_bytes = !matches!(kind, raw::SHT_NOBITS | raw::SHT_NULL);
        if has_bytes {
            let end = offset.checked_add(size).filter(|end| *end <= len)?;
            if size > 0 {
                let is_relocation = matches!(kind, raw::SHT_REL | raw::SHT_RELA);
                if is_relocation { &mut *relocations } else { &mut *places }.push(packed(offset, end));
            }
        }
        match kind {
            raw::SHT_SYMTAB if !symbols_seen => {
                symbols_seen = true;
                let is_whole = size.is_multiple_of(size_of::<E::Sym>() as u64);
                let strings = headers.get(usize::try_from(header.sh_link(endian)).ok()?)?;
                if !is_whole || strings.sh_type(endian) != raw::SHT_STRTAB {
                    return None;
                }
            }
            // More sections than a symbol's index can number: no module has them.
            raw::SHT_SYMTAB_SHNDX => return None,
            raw::SHT_REL | raw::SHT_RELA => {
                let is_whole = match kind {
                    raw::SHT_REL => size.is_multiple_of(size_of::<E::Rel>() as u64),
                    _ => size.is_multiple_of(size_of::<E::Rela>() as u64),
                };
                if !is_whole {
                    return None;
                }
            }
            _ => {}
        }
        // Two letters exclude nearly all other names.
        if !matches!(name, [_, b'm', b'o', ..] | [_, b'g', b'n', ..] | [_, b'_', b'v', ..] | [_, b'B', b'T', ..]) {
            continue;
        }
        let is = |wanted: &&[u8]| name.strip_prefix(*wanted).is_some_and(|rest| rest.first() == Some(&0));
        if let Some(place) = LOOKED_FOR.iter().position(is) {
            let place = found.get_mut(place)?;
            let flags = header.sh_flags(endian).0;
            if place.replace(FoundSection { start: offset, size, flags, has_bytes }).is_some() {
                return None;
            }
        }
    }
    places.push(packed(start.table.start, start.table.end));
    // A linker's sections are in the order of their headers, except for relocations, which are together: then nothing is left to
    // sort.
    if let Some(first) = relocations.first() {
        let at = places.partition_point(|place| place < first);
        places.splice(at..at, relocations.iter().copied());
    }
    if !places.is_sorted() {
        places.sort_unstable();
    }
    let end = |place: u64| place & u64::from(u32::MAX);
    let overlap = |pair: &[u64]| matches!(pair, [a, b] if b >> 32 < end(*a));
    if places.windows(2).any(overlap) {
        return None;
    }
    let [modinfo, this_module, basic, crcs, names, btf] = found;
    let modinfo = modinfo.filter(|section| section.has_bytes && section.flags & SHF_COMPRESSED == 0)?;
    if this_module.is_some_and(|section| !section.has_bytes || section.size == 0)
        || basic.is_some_and(|section| !section.has_bytes || !section.size.is_multiple_of(versions::ENTRY as u64))
        || crcs.is_some_and(|section| !section.has_bytes || !section.size.is_multiple_of(4))
        || names.is_some_and(|section| !section.has_bytes)
    {
        return None;
    }
    Some(Outline {
        modinfo: modinfo.range(),
        modinfo_is_visible: modinfo.is_alloc(),
        this_module: this_module.map(|section| section.range()),
        versions: match (basic.is_some(), crcs.is_some(), names.is_some()) {
            (false, false, false) => VersionsFormat::None,
            (true, false, false) => VersionsFormat::Basic,
            (false, true, true) => VersionsFormat::Extended,
            (true, true, true) => VersionsFormat::Both,
            _ => return None,
        },
        versions_are_visible: basic.is_some_and(|section| section.is_alloc()),
        btf: btf.map(|section| section.size),
        end: places.iter().fold(0, |last, place| last.max(end(*place))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::elf::Elf;

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)).unwrap()
    }

    fn outline(image: &[u8]) -> Option<(Start, Outline)> {
        let at = |range: Range<u64>| image.get(range.start as usize..range.end as usize);
        let start = Start::of(image.first_chunk()?)?;
        let table = at(start.table.clone())?;
        let names = at(start.names(table)?)?;
        let outline = Outline::of(&start, table, names, image.len() as u64, &mut SectionBuffer::default())?;
        Some((start, outline))
    }

    #[test]
    fn the_headers_of_both_classes_and_byte_orders_say_what_the_full_reader_says() {
        for name in ["hello-4.ko", "s390x.ko", "ppc-be.ko", "poet_atkm.ko", "both-versions.ko", "extended.ko", "btf.ko"]
        {
            let image = fixture(&format!("modules/{name}"));
            let elf = Elf::read(&image).unwrap();
            let (start, outline) = outline(&image).unwrap_or_else(|| panic!("{name} is a usual file"));
            assert_eq!((start.class, start.endian, start.machine), (elf.class, elf.endian, elf.machine), "{name}");
            assert_eq!(outline.end, elf.end as u64, "{name}");
            let modinfo = elf.section(".modinfo").unwrap().unwrap();
            assert_eq!(outline.modinfo, modinfo.offset..modinfo.offset + modinfo.size, "{name}");
        }
    }

    #[test]
    fn a_name_without_an_end_and_sections_that_overlap_are_not_usual() {
        let image = fixture("modules/hello-4.ko");
        let start = Start::of(image.first_chunk().unwrap()).unwrap();
        let (from, to) = (start.table.start as usize, start.table.end as usize);
        let table = &image[from..to];
        let names = start.names(table).unwrap();
        let names = &image[names.start as usize..names.end as usize];
        let of =
            |table: &[u8], names: &[u8], len| Outline::of(&start, table, names, len, &mut SectionBuffer::default());
        assert!(of(table, names, image.len() as u64).is_some());
        assert!(of(table, &names[..names.len() - 1], image.len() as u64).is_none());
        assert!(of(table, names, start.table.start - 1).is_none());
        // .modinfo is moved onto the file header: sh_offset is at byte 24 of a header of 64.
        let elf = Elf::read(&image).unwrap();
        let at = elf.section(".modinfo").unwrap().unwrap().index * 64 + 24;
        let mut moved = table.to_vec();
        moved[at..at + 8].copy_from_slice(&8_u64.to_le_bytes());
        assert!(of(&moved, names, image.len() as u64).is_none());
    }
}
