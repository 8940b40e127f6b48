//! The sections of `vmlinux`, the ELF file that a kernel's build links.
//!
//! It is an executable, so the reader of modules ([`crate::module::elf`]) does not read it. Its section headers are checked
//! here once; the other files rely on valid ranges.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use object::Endianness;
use object::elf::{self as raw, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader as _};

use crate::error::{Error, ErrorKind, Result};
use crate::escape;
use crate::module::elf::{Class, Endian};

/// A kernel as an ELF file.
pub(super) struct Vmlinux<'d> {
    /// The whole file.
    pub(super) bytes: &'d [u8],
    /// 32 or 64 bit.
    pub(super) class: Class,
    /// Byte order.
    pub(super) endian: Endian,
    /// `e_machine`.
    pub(super) machine: u16,
    sections: Vec<VmlinuxSection<'d>>,
    addresses: AddressMap,
}

/// A section that has bytes in the file.
pub(super) struct VmlinuxSection<'d> {
    /// The table of names from its name on: many names may share the same bytes, so they are not read to their ends.
    names: &'d [u8],
    /// Its address in the running kernel, before KASLR.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) bytes: &'d [u8],
}

impl<'d> VmlinuxSection<'d> {
    fn has_name(&self, name: &str) -> bool {
        self.names.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Its bytes from an address on; `None` if the section does not contain the address.
    pub(super) fn at(&self, address: u64) -> Option<&'d [u8]> {
        let offset = usize::try_from(address.checked_sub(self.address)?).ok()?;
        self.bytes.get(offset..).filter(|rest| !rest.is_empty())
    }
}

impl<'d> Vmlinux<'d> {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for an ELF file that is not an executable, [`ErrorKind::Truncated`] or
    /// [`ErrorKind::Malformed`] if its headers contradict the file.
    pub(super) fn read(bytes: &'d [u8]) -> Result<Self> {
        match bytes.get(4) {
            Some(1) => read::<FileHeader32<Endianness>>(bytes, Class::Elf32),
            Some(2) => read::<FileHeader64<Endianness>>(bytes, Class::Elf64),
            _ => Err(malformed("the ELF header has an unknown class")),
        }
    }

    /// The bytes from an address on, in whichever section has it.
    pub(super) fn at(&self, address: u64) -> Option<&'d [u8]> {
        self.sections.get(self.addresses.section_at(address)?)?.at(address)
    }

    /// The first section of a name.
    pub(super) fn section(&self, name: &str) -> Option<&VmlinuxSection<'d>> {
        self.sections.iter().find(|section| section.has_name(name))
    }
}

/// The section of each address: ranges in ascending order, none of which overlaps another.
#[derive(Default)]
struct AddressMap(Vec<AddressRange>);

/// The addresses from `start` to before `end`, and the index of their section.
struct AddressRange {
    start: u64,
    end: u64,
    section: usize,
}

impl AddressMap {
    /// The map of these sections. Where several overlap, the first one counts.
    fn of(sections: &[VmlinuxSection<'_>]) -> AddressMap {
        let mut starts: Vec<AddressRange> = sections
            .iter()
            .enumerate()
            // Sections that the kernel does not keep have no address of their own.
            .filter(|(_, section)| section.address != 0 && !section.bytes.is_empty())
            .map(|(index, section)| AddressRange {
                start: section.address,
                end: section.address.saturating_add(section.bytes.len() as u64),
                section: index,
            })
            .collect();
        starts.sort_by_key(|range| range.start);
        let mut edges: Vec<u64> = starts.iter().flat_map(|range| [range.start, range.end]).collect();
        edges.sort_unstable();
        edges.dedup();
        // Between two edges the same sections overlap.
        let (mut ranges, mut starting, mut open) = (Vec::new(), starts.into_iter().peekable(), BinaryHeap::new());
        for (start, end) in edges.iter().zip(edges.iter().skip(1)) {
            while let Some(range) = starting.next_if(|range| range.start <= *start) {
                open.push(Reverse((range.section, range.end)));
            }
            while open.peek().is_some_and(|Reverse((_, end))| end <= start) {
                open.pop();
            }
            if let Some(Reverse((section, _))) = open.peek() {
                ranges.push(AddressRange { start: *start, end: *end, section: *section });
            }
        }
        AddressMap(ranges)
    }

    fn section_at(&self, address: u64) -> Option<usize> {
        let before = self.0.partition_point(|range| range.start <= address);
        let range = self.0.get(before.checked_sub(1)?)?;
        (address < range.end).then_some(range.section)
    }
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

fn truncated(what: &str) -> Error {
    Error::new(ErrorKind::Truncated, what)
}

fn read<E: FileHeader<Endian = Endianness>>(bytes: &[u8], class: Class) -> Result<Vmlinux<'_>> {
    let header = E::parse(bytes).map_err(|_| truncated("the ELF header is cut short"))?;
    let endianness = header.endian().map_err(|_| malformed("the ELF header has an unknown byte order"))?;
    if !matches!(header.e_type(endianness), raw::ET_EXEC | raw::ET_DYN) {
        return Err(Error::new(ErrorKind::NotFound, "an ELF file, but no executable as a kernel is"));
    }
    let headers = header
        .section_headers(endianness, bytes)
        .map_err(|_| truncated("the ELF section headers lie beyond the end: is it cut short?"))?;
    let misplaced = || malformed("the ELF section names are not where its header says");
    let names = header.shstrndx(endianness, bytes).ok().and_then(|index| headers.get(index as usize));
    let names = names.and_then(|names| names.data(endianness, bytes).ok()).ok_or_else(misplaced)?;
    // A name that begins at the last NUL or before it has an end.
    let last_end = memchr::memrchr(0, names);
    let mut sections = Vec::new();
    for (index, section) in headers.iter().enumerate() {
        if matches!(section.sh_type(endianness), raw::SHT_NULL | raw::SHT_NOBITS) {
            continue;
        }
        let begin = section.sh_name(endianness) as usize;
        let names = last_end.filter(|end| begin <= *end).and_then(|_| names.get(begin..));
        let names = names.ok_or_else(|| malformed(format!("ELF section {index} has no valid name")))?;
        let content = section.data(endianness, bytes).map_err(|_| {
            let name = escape::bytes_for_eyes(short_name(names));
            truncated(&format!("section {name} is beyond the end: is it cut short?"))
        })?;
        sections.push(VmlinuxSection { names, address: section.sh_addr(endianness).into(), bytes: content });
    }
    let endian = match endianness {
        Endianness::Little => Endian::Little,
        Endianness::Big => Endian::Big,
    };
    let addresses = AddressMap::of(&sections);
    Ok(Vmlinux { bytes, class, endian, machine: header.e_machine(endianness).0, sections, addresses })
}

/// The longest name of a section that a message repeats, in bytes.
const LONGEST_SHOWN: usize = 256;

/// The name at the start of a table of names, at most as long as a message repeats it.
fn short_name(names: &[u8]) -> &[u8] {
    let near = names.get(..LONGEST_SHOWN).unwrap_or(names);
    near.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(address: u64, bytes: &'static [u8]) -> VmlinuxSection<'static> {
        VmlinuxSection { names: b"\0", address, bytes }
    }

    #[test]
    fn an_address_is_in_the_first_section_that_contains_it() {
        // Nested, overlapping, adjacent, empty, without an address, and with the same range.
        let sections = [
            section(30, &[0; 4]),
            section(10, &[0; 30]),
            section(5, &[0; 10]),
            section(40, &[0; 2]),
            section(42, &[0; 2]),
            section(42, &[0; 3]),
            section(0, &[0; 60]),
            section(50, &[]),
            section(u64::MAX - 3, &[0; 2]),
        ];
        let map = AddressMap::of(&sections);
        for address in (0..70).chain(u64::MAX - 5..=u64::MAX) {
            let first = sections.iter().position(|section| section.address != 0 && section.at(address).is_some());
            assert_eq!(map.section_at(address), first, "address {address}");
        }
    }

    #[test]
    fn a_section_has_the_name_up_to_the_next_nul() {
        let section = VmlinuxSection { names: b"__param\0.data\0", address: 1, bytes: b"" };
        assert!(section.has_name("__param"));
        assert!(!section.has_name("__para") && !section.has_name("__param.") && !section.has_name(""));
    }
}
