//! Modinfo: the NUL-separated `key=value` strings of the section `.modinfo`, in their order, duplicates and all.

use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::{Elf, Section};

/// SHF_COMPRESSED: a section that the kernel would take as it is, that is, as nonsense.
const SHF_COMPRESSED: u64 = 1 << 11;
const SHT_NOBITS: u32 = 8;

/// The most strings that are read. A module with all aliases of a large bus has a few thousand; each one costs far more
/// memory than its two bytes at least in the file.
pub(super) const MOST: usize = 1 << 16;

/// One string of the section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModinfoEntry {
    /// The part before the first `=`; the whole string if there is none.
    pub key: Vec<u8>,
    /// The part after the first `=`; empty if there is none.
    pub value: Vec<u8>,
    /// The string's bytes in the image, without the NUL that ends it.
    pub range: Range<usize>,
    /// The string and all NULs up to the next string or the section's end: the space that is its own.
    pub space: Range<usize>,
}

impl ModinfoEntry {
    /// The value's bytes in the image. Empty where there is no `=`.
    pub fn value_range(&self) -> Range<usize> {
        self.range.end - self.value.len()..self.range.end
    }
}

/// The section `.modinfo`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modinfo {
    /// The strings, in their order.
    pub entries: Vec<ModinfoEntry>,
    /// Is the section marked SHF_ALLOC? Kernels up to 6.3 do not see it otherwise.
    pub visible: bool,
}

impl Modinfo {
    /// Reads the section out of an image.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`] if there is no such section; [`ErrorKind::Malformed`] if there are two, or it is
    /// empty, without bytes in the file, compressed, does not end with a NUL, or has more strings than any module.
    pub fn read(elf: &Elf<'_>, image: &[u8]) -> Result<Modinfo> {
        let Some(section) = elf.section(".modinfo")? else {
            return Err(Error::new(ErrorKind::NotAModule, "no section .modinfo")
                .hint("a relocatable ELF file, but not a kernel module"));
        };
        let wrong = |what: &str| Err(Error::new(ErrorKind::Malformed, format!("section .modinfo {what}")));
        if section.kind == SHT_NOBITS {
            return wrong("has no bytes in the file (NOBITS)");
        }
        if section.flags & SHF_COMPRESSED != 0 {
            return wrong("is compressed, which no kernel can read");
        }
        match section.bytes(image).last() {
            None => return wrong("is empty"),
            Some(0) => {}
            Some(_) => return wrong("does not end with a NUL"),
        }
        match entries(section, image) {
            Some(entries) => Ok(Modinfo { entries, visible: section.is_alloc() }),
            None => wrong(&format!("has more than {MOST} strings")),
        }
    }

    /// The first value of a key, as the kernel's `get_modinfo` finds it (kernel/module/main.c, 6.x).
    pub fn first(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    /// All values of a key, in their order.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().filter(move |e| e.key == key.as_bytes()).map(|e| e.value.as_slice())
    }
}

/// The parts of a string before and after its first `=`; without one, all of it is the key.
pub(super) fn key_and_value(string: &[u8]) -> (&[u8], &[u8]) {
    let parts = || {
        let at = memchr::memchr(b'=', string)?;
        Some((string.get(..at)?, string.get(at + 1..)?))
    };
    parts().unwrap_or((string, &[]))
}

/// The strings of the section; `None` if there are too many.
fn entries(section: &Section<'_>, image: &[u8]) -> Option<Vec<ModinfoEntry>> {
    let bytes = section.bytes(image);
    let base = section.range.start;
    let mut entries: Vec<ModinfoEntry> = Vec::new();
    let mut at = 0;
    for string in bytes.split(|b| *b == 0) {
        let (start, end) = (at, at + string.len());
        at = end + 1;
        if string.is_empty() {
            continue;
        }
        let (key, value) = key_and_value(string);
        if let Some(previous) = entries.last_mut() {
            previous.space.end = base + start;
        }
        if entries.len() == MOST {
            return None;
        }
        entries.push(ModinfoEntry {
            key: key.to_vec(),
            value: value.to_vec(),
            range: base + start..base + end,
            space: base + start..section.range.end,
        });
    }
    Some(entries)
}
