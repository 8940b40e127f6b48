//! The summary of a module file, from its headers and its `.modinfo`: fast enough for very many files. A summary finds no faults in
//! parts that it does not read: symbols, relocations, notes and the entries of symbol versions.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::budget::WorkBudget;
use crate::error::Result;
use crate::module::container::Container;
use crate::module::elf::{Class, Endian};
use crate::module::partial::{Extract, Extracted, ImageParts, PartialReader, UsualParts};
use crate::module::versions::VersionsFormat;
use crate::module::{Module, this_module};

/// The key of the modinfo entry by which a patched module says so itself.
pub const MARK: &str = "kmodlab_patched";

/// The summary of a module. Texts are raw bytes from the file; escape them before showing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSummary<'g> {
    /// How the file is stored.
    pub container: Container,
    /// Its size as it is stored, in bytes.
    pub stored_size: u64,
    /// Its size uncompressed, with its trailer, in bytes.
    pub size: u64,
    /// 32 or 64 bit.
    pub class: Class,
    /// Byte order.
    pub endian: Endian,
    /// `e_machine` of the ELF header.
    pub machine: u16,
    /// The name that the kernel will know it by, as [`Module::name`] has it.
    pub name: Option<&'g [u8]>,
    /// The first `vermagic=`.
    pub vermagic: Option<&'g [u8]>,
    /// How many `vermagic=` there are.
    pub vermagics: usize,
    /// Is `.modinfo` marked SHF_ALLOC? Kernels up to 6.3 do not see it otherwise.
    pub visible: bool,
    /// What the first `kmodlab_patched=` says: the short hash of the original.
    pub mark: Option<&'g [u8]>,
    /// Which symbol versions there are.
    pub versions: VersionsFormat,
    /// Are the basic ones marked SHF_ALLOC? No kernel sees them otherwise.
    pub versions_visible: bool,
    /// The size of `.BTF` in bytes, where there is one.
    pub btf: Option<u64>,
    /// Is there a trailer?
    pub is_signed: bool,
    /// Who signed it, as the trailer names them.
    pub signer: Option<&'g [u8]>,
    /// Bytes after the ELF image that belong to no trailer.
    pub unclaimed: u64,
}

/// Makes summaries, with buffers that are reused from file to file. They grow to the size of the largest compressed
/// file.
#[derive(Default)]
pub struct Summarizer {
    reader: PartialReader,
    /// The texts of the summary.
    texts: Vec<u8>,
}

impl Summarizer {
    /// Summarizes a file. One that is compressed may become `max_size` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`module::open`](crate::module::open), with the file's name, as far as the parts that are read show them.
    pub fn file(&mut self, path: &Path, max_size: u64) -> Result<ModuleSummary<'_>> {
        let Extracted { facts, packed } = self.reader.file(path, max_size, &mut Texts(&mut self.texts))?;
        Ok(facts.summary(packed, &self.texts))
    }

    /// The same for a file whose folder is open: the path is then not resolved again for each file in it. `path` is
    /// the path for messages.
    ///
    /// # Errors
    ///
    /// Those of [`Summarizer::file`].
    pub fn file_in(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: impl Fn() -> PathBuf,
        max_size: u64,
    ) -> Result<ModuleSummary<'_>> {
        let texts = &mut Texts(&mut self.texts);
        let Extracted { facts, packed } = self.reader.file_in(folder, name, path, max_size, texts)?;
        Ok(facts.summary(packed, &self.texts))
    }

    /// Summarizes the bytes of a file, as they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`] and [`Module::read`], as far as the parts that are read show them.
    pub fn bytes(&mut self, stored: &[u8], max_size: u64) -> Result<ModuleSummary<'_>> {
        self.bytes_within(stored, &WorkBudget::of_module(stored.len(), max_size))
    }

    /// As [`Summarizer::bytes`], within the budget of a question that is also about other files.
    ///
    /// # Errors
    ///
    /// Those of [`Summarizer::bytes`].
    pub(crate) fn bytes_within(&mut self, stored: &[u8], budget: &WorkBudget) -> Result<ModuleSummary<'_>> {
        let Extracted { facts, packed } = self.reader.bytes(stored, budget, &mut Texts(&mut self.texts))?;
        Ok(facts.summary(packed, &self.texts))
    }
}

/// A summary whose texts are ranges of [`Summarizer::texts`].
struct SummaryRanges {
    size: u64,
    class: Class,
    endian: Endian,
    machine: u16,
    name: Option<Range<usize>>,
    vermagic: Option<Range<usize>>,
    vermagics: usize,
    visible: bool,
    mark: Option<Range<usize>>,
    versions: VersionsFormat,
    versions_visible: bool,
    btf: Option<u64>,
    is_signed: bool,
    signer: Option<Range<usize>>,
    unclaimed: u64,
}

impl SummaryRanges {
    fn summary(self, packed: Option<(Container, u64)>, texts: &[u8]) -> ModuleSummary<'_> {
        let (container, stored_size) = packed.unwrap_or((Container::None, self.size));
        let text = |range: Option<Range<usize>>| range.and_then(|range| texts.get(range));
        ModuleSummary {
            container,
            stored_size,
            size: self.size,
            class: self.class,
            endian: self.endian,
            machine: self.machine,
            name: text(self.name),
            vermagic: text(self.vermagic),
            vermagics: self.vermagics,
            visible: self.visible,
            mark: text(self.mark),
            versions: self.versions,
            versions_visible: self.versions_visible,
            btf: self.btf,
            is_signed: self.is_signed,
            signer: text(self.signer),
            unclaimed: self.unclaimed,
        }
    }
}

/// Makes a summary, with its texts here.
struct Texts<'t>(&'t mut Vec<u8>);

impl Extract for Texts<'_> {
    type Facts = SummaryRanges;

    fn of_parts(
        &mut self,
        image: &impl ImageParts,
        parts: &UsualParts<'_>,
        room: &mut Vec<u8>,
    ) -> Result<Option<SummaryRanges>> {
        let texts = &mut *self.0;
        texts.clear();
        let UsualParts { start, outline, size, trailer, .. } = parts;
        let mut seen = SummaryRanges {
            size: *size,
            class: start.class,
            endian: start.endian,
            machine: start.machine,
            name: None,
            vermagic: None,
            vermagics: 0,
            visible: outline.modinfo_is_visible,
            mark: None,
            versions: outline.versions,
            versions_visible: outline.versions_are_visible,
            btf: outline.btf,
            is_signed: trailer.is_some(),
            signer: trailer.and_then(|trailer| trailer.signer).map(|signer| keep(texts, signer)),
            unclaimed: 0,
        };
        for string in parts.strings() {
            if let Some(value) = value_of(string, b"vermagic") {
                seen.vermagics += 1;
                seen.vermagic.get_or_insert_with(|| keep(texts, value));
            } else if let Some(value) = value_of(string, b"name") {
                seen.name.get_or_insert_with(|| keep(texts, value));
            } else if let Some(value) = value_of(string, MARK.as_bytes()) {
                seen.mark.get_or_insert_with(|| keep(texts, value));
            }
        }
        // Before 4.20 the name is only in `struct module`.
        if let (None, Some(structure)) = (&seen.name, &outline.this_module) {
            let end = structure.end.min(structure.start.saturating_add(this_module::NAMED_WITHIN));
            let Some(structure) = image.part(structure.start..end, room)? else { return Ok(None) };
            seen.name = this_module::name(start.class, structure).map(|name| keep(texts, name));
        }
        Ok(Some(seen))
    }

    fn of_image(&mut self, image: &[u8]) -> Result<SummaryRanges> {
        let module = Module::read(image)?;
        self.0.clear();
        let mut kept = |text: Option<&[u8]>| text.map(|text| keep(self.0, text));
        let in_structure = module.this_module.as_ref().and_then(|structure| structure.name.as_deref());
        Ok(SummaryRanges {
            size: module.size as u64,
            class: module.class,
            endian: module.endian,
            machine: module.machine,
            name: kept(module.modinfo.first("name").or(in_structure)),
            vermagic: kept(module.modinfo.first("vermagic")),
            vermagics: module.modinfo.all("vermagic").count(),
            visible: module.modinfo.visible,
            mark: kept(module.modinfo.first(MARK)),
            versions: module.versions.kind(),
            versions_visible: module.versions.visible,
            btf: module.btf,
            is_signed: module.trailer.is_some(),
            signer: kept(module.trailer.as_ref().and_then(|trailer| trailer.signer.as_deref())),
            unclaimed: module.unclaimed as u64,
        })
    }
}

/// Keeps a text.
fn keep(texts: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let start = texts.len();
    texts.extend_from_slice(text);
    start..texts.len()
}

/// The value of a string with this key, as [`ModinfoEntry`](crate::module::modinfo::ModinfoEntry) parts it: without `=`,
/// all of it is the key.
fn value_of<'s>(string: &'s [u8], key: &[u8]) -> Option<&'s [u8]> {
    match string.strip_prefix(key)? {
        [b'=', value @ ..] => Some(value),
        [] => Some(&[]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_without_a_value_has_an_empty_one_and_a_longer_key_is_another() {
        assert_eq!(value_of(b"vermagic=6.1 ", b"vermagic"), Some(b"6.1 ".as_slice()));
        assert_eq!(value_of(b"vermagic", b"vermagic"), Some(b"".as_slice()));
        assert_eq!(value_of(b"name_of=x", b"name"), None);
        assert_eq!(value_of(b"nam", b"name"), None);
    }

    #[test]
    fn nothing_of_one_file_is_left_in_the_next() {
        let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
        let mut looker = Summarizer::default();
        let signed = looker.file(&fixture("modules/hello-4-signed.ko.xz"), 1 << 20).unwrap();
        assert!(signed.is_signed && signed.signer.is_some() && signed.container == Container::Xz);
        let none = looker.file(&fixture("ambiguous/no-vermagic.ko"), 1 << 20).unwrap();
        assert_eq!((none.vermagic, none.vermagics, none.is_signed, none.signer), (None, 0, false, None));
        assert!(looker.file(&fixture("hostile/two-modinfo.ko"), 1 << 20).is_err());
        let old = looker.file(&fixture("modules/poet_atkm.ko"), 1 << 20).unwrap();
        assert_eq!(old.name, Some(b"poet_atkm".as_slice()));
    }
}
