//! `struct module` as the module was built with: its layout, and the name in it.
//!
//! The section `.gnu.linkonce.this_module` holds the structure; two relocations fill in where the kernel finds `init`
//! and `cleanup`. Its size and their offsets are the module layout: if it differs from the kernel's, the kernel reads
//! other fields than the module wrote.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::{Class, Elf, Section, Symbol, SymbolPlace};

/// The section's name, since 2.6.0.
pub const SECTION: &str = ".gnu.linkonce.this_module";

/// The layout of `struct module`. Different layouts are certainly unsafe; equal ones prove nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleLayout {
    /// Size of the structure, in bytes.
    pub size: u64,
    /// Where the pointer to the module's init function is, in bytes from the start; `None` if it has none.
    pub init: Option<u64>,
    /// Where the pointer to its exit function is; `None` if it has none (it can't be unloaded, or the kernel has no
    /// unloading).
    pub exit: Option<u64>,
}

/// The structure as found in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThisModule {
    /// Size and offsets.
    pub fingerprint: ModuleLayout,
    /// The name field, after a state and a list head (`struct module`, include/linux/module.h, all versions).
    pub name: Option<Vec<u8>>,
}

impl ThisModule {
    /// Reads it out of an image; `None` where the section is missing (not every `.ko` is finished by modpost).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if there are two, or it is empty or without bytes in the file.
    pub fn read(elf: &Elf<'_>, image: &[u8]) -> Result<Option<ThisModule>> {
        let Some(section) = elf.section(SECTION)? else { return Ok(None) };
        if section.range.is_empty() {
            return Err(Error::new(ErrorKind::Malformed, format!("section {SECTION} has no bytes in the file")));
        }
        let offset_of = |function: &[u8]| pointer_to(elf, section, function);
        let fingerprint =
            ModuleLayout { size: section.size, init: offset_of(b"init_module"), exit: offset_of(b"cleanup_module") };
        Ok(Some(ThisModule { fingerprint, name: name(elf.class, section.bytes(image)).map(<[u8]>::to_vec) }))
    }
}

/// The offset of the relocation that fills in the address of `function`.
fn pointer_to(elf: &Elf<'_>, section: &Section<'_>, function: &[u8]) -> Option<u64> {
    let definition = elf.symbols.iter().find(|s| s.name == function);
    let reaches = |symbol: &Symbol<'_>, addend: i64| {
        // Clang's control flow integrity puts a jump table entry between (`init_module.cfi_jt`).
        let by_name = symbol.name.strip_prefix(function).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
        let by_place = symbol.is_section
            && definition.is_some_and(|d| {
                matches!(d.place, SymbolPlace::Section(_))
                    && d.place == symbol.place
                    && i64::try_from(d.value) == Ok(addend)
            });
        by_name || by_place
    };
    let mut relocations = elf.relocations(section.index);
    relocations.find(|r| elf.symbols.get(r.symbol).is_some_and(|s| reaches(s, r.addend))).map(|r| r.offset)
}

/// The first bytes of the structure, which include its name: after three words, up to 60 bytes and a NUL.
pub(super) const NAMED_WITHIN: u64 = 3 * 8 + 61;

/// The name field of the structure whose first bytes these are, where there is a plausible one.
pub(super) fn name(class: Class, structure: &[u8]) -> Option<&[u8]> {
    let name = structure.get(3 * class.word()..)?.split(|b| *b == 0).next()?;
    let plausible = !name.is_empty() && name.len() < 60 && name.iter().all(u8::is_ascii_graphic);
    plausible.then_some(name)
}
