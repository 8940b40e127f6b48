//! The sections of `vmlinux`, the ELF file that a kernel's build links.
//!
//! It is an executable, so the reader of modules ([`crate::module::elf`]) does not read it. Its section headers are checked
//! here once; the other files rely on valid ranges.

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
}

/// A section that has bytes in the file.
pub(super) struct VmlinuxSection<'d> {
    name: &'d [u8],
    /// Its address in the running kernel, before KASLR.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) bytes: &'d [u8],
}

impl<'d> VmlinuxSection<'d> {
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
        // Sections that the kernel does not keep have no address of their own.
        self.sections.iter().filter(|section| section.address != 0).find_map(|section| section.at(address))
    }

    /// The first section of a name.
    pub(super) fn section(&self, name: &str) -> Option<&VmlinuxSection<'d>> {
        self.sections.iter().find(|section| section.name == name.as_bytes())
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
    let names = header
        .section_strings(endianness, bytes, headers)
        .map_err(|_| malformed("the ELF section names are not where its header says"))?;
    let mut sections = Vec::new();
    for (index, section) in headers.iter().enumerate() {
        if matches!(section.sh_type(endianness), raw::SHT_NULL | raw::SHT_NOBITS) {
            continue;
        }
        let name = section.name(endianness, names);
        let name = name.map_err(|_| malformed(format!("ELF section {index} has no valid name")))?;
        let content = section.data(endianness, bytes).map_err(|_| {
            truncated(&format!("section {} is beyond the end: is it cut short?", escape::bytes_for_eyes(name)))
        })?;
        sections.push(VmlinuxSection { name, address: section.sh_addr(endianness).into(), bytes: content });
    }
    let endian = match endianness {
        Endianness::Little => Endian::Little,
        Endianness::Big => Endian::Big,
    };
    Ok(Vmlinux { bytes, class, endian, machine: header.e_machine(endianness).0, sections })
}
