//! Two modules compared part by part: which differences a patch explains, and which bytes of which sections remain.
//!
//! A patch changes entries of `.modinfo`, symbol versions, the name of `.BTF` and the trailer. It may move `.modinfo` to the end
//! of the image. Every other byte of every section, and every other field of every header, is the module itself.
//!
//! Pure: bytes in, differences out.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;

use crate::comparison::{ComparedAspect, MeaningfulDifference, lists, spans, vermagic_of};
use crate::error::Result;
use crate::escape::bytes_for_eyes;
use crate::module::elf::{Class, Elf, Section};
use crate::module::modinfo::Modinfo;
use crate::module::trailer::MAGIC;
use crate::module::versions::ENTRY;
use crate::text::{count, grouped};
use crate::vermagic::Vermagic;

/// The most differing spans of a section that are listed; all are counted.
const MOST_SPANS: usize = 8;

/// The most bytes of a span that are listed.
const MOST_BYTES: usize = 32;

/// The most sections that are listed; all are counted.
const MOST_SECTIONS: usize = 32;

/// The most entries of `.modinfo` that are listed per side.
const MOST_ENTRIES: usize = 16;

/// SHF_ALLOC: without it kernels do not see symbol versions.
const SHF_ALLOC: u64 = 2;

/// The sections with symbol versions.
const VERSIONS: [&[u8]; 3] = [b"__versions", b"__version_ext_crcs", b"__version_ext_names"];

/// The differences between an original and another file, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartsComparison {
    /// Differences that a patch explains.
    pub patched: Vec<MeaningfulDifference>,
    /// Sections that differ otherwise, the first ones.
    pub sections: Vec<SectionDifference>,
    /// How many sections differ otherwise.
    pub differing_sections: usize,
}

/// A section that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionDifference {
    /// Its name, escaped; of what is in no section, what it is.
    pub section: String,
    /// How it differs.
    pub how: SectionChange,
    /// Its size in the original, in bytes.
    pub size: u64,
    /// Its size in the other file, in bytes.
    pub found_size: u64,
    /// How many bytes differ.
    pub differing: usize,
    /// The first differing spans. Offsets are in the section.
    pub spans: Vec<SectionSpan>,
}

/// How a section differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SectionChange {
    /// Its bytes differ.
    Bytes,
    /// Only its name or another field of its header differs.
    Header,
    /// The other file does not have it.
    Missing,
    /// The original does not have it.
    Extra,
}

/// A span of bytes that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SectionSpan {
    /// Where it begins in the section.
    pub offset: u64,
    /// How many bytes it has in the original; of a section with another size, all between their common start and end.
    pub length: u64,
    /// Its first bytes in the original.
    #[serde(with = "hex")]
    pub original: Vec<u8>,
    /// Its first bytes in the other file.
    #[serde(with = "hex")]
    pub found: Vec<u8>,
}

/// Compares a file with an original. Both are uncompressed.
///
/// # Errors
///
/// Those of [`Elf::read`], of either.
pub fn compare_parts(original: &[u8], found: &[u8]) -> Result<PartsComparison> {
    let (a, b) = (Side::read(original)?, Side::read(found)?);
    let mut parts = PartsComparison::default();
    parts.file_header(&a, &b);
    parts.all_sections(&a, &b);
    parts.trailer(&a, &b);
    if parts.patched.is_empty() && parts.sections.is_empty() && a.image != b.image {
        let differing = spans(a.image, b.image).iter().map(|span| span.differing()).sum::<usize>();
        parts.patched.push(MeaningfulDifference {
            aspect: ComparedAspect::Padding,
            a: Vec::new(),
            b: Vec::new(),
            notes: vec![format!("{} in no section", count(differing, "byte"))],
        });
    }
    Ok(parts)
}

/// One of the two files.
struct Side<'f> {
    elf: Elf<'f>,
    /// The ELF image itself.
    image: &'f [u8],
    /// The bytes after it.
    tail: &'f [u8],
    /// The index of the section with the names of sections.
    names: usize,
}

impl<'f> Side<'f> {
    fn read(bytes: &'f [u8]) -> Result<Side<'f>> {
        let elf = Elf::read(bytes)?;
        let (image, tail) = bytes.split_at_checked(elf.end).unwrap_or((bytes, &[]));
        // `e_shstrndx` is the last field of the file header (ELF gABI, chapter 4).
        let end = file_header_size(elf.class);
        let names = image.get(end - 2..end).map_or(0, |bytes| elf.endian.number(bytes)) as usize;
        Ok(Side { elf, image, tail, names })
    }

    /// A section's header with zeros over the fields that may differ.
    fn header(&self, section: &Section<'_>, masked: &[Range<usize>]) -> Vec<u8> {
        let size = section_header_size(self.elf.class);
        let mut header = self.image.get(section.header..section.header + size).unwrap_or_default().to_vec();
        for range in masked {
            if let Some(field) = header.get_mut(range.clone()) {
                field.fill(0);
            }
        }
        header
    }

    fn bytes(&self, section: &Section<'_>) -> &'f [u8] {
        section.bytes(self.image)
    }
}

fn file_header_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 52,
        Class::Elf64 => 64,
    }
}

fn section_header_size(class: Class) -> usize {
    match class {
        Class::Elf32 => 40,
        Class::Elf64 => 64,
    }
}

impl PartsComparison {
    /// Compares the file headers except for the place of the section headers.
    fn file_header(&mut self, a: &Side<'_>, b: &Side<'_>) {
        let masked = |side: &Side<'_>| {
            let mut header = side.image.get(..file_header_size(side.elf.class)).unwrap_or_default().to_vec();
            let place = match side.elf.class {
                Class::Elf32 => 32..36,
                Class::Elf64 => 40..48,
            };
            if let Some(place) = header.get_mut(place) {
                place.fill(0);
            }
            header
        };
        let (a, b) = (masked(a), masked(b));
        if a != b {
            self.push("the ELF header", SectionChange::Header, &a, &b);
        }
    }

    fn all_sections(&mut self, a: &Side<'_>, b: &Side<'_>) {
        for (ours, theirs) in pairs(&a.elf.sections, &b.elf.sections) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => self.section((a, ours), (b, theirs)),
                (Some(ours), None) => self.push_section(ours.name, SectionChange::Missing, a.bytes(ours), &[]),
                (None, Some(theirs)) => self.push_section(theirs.name, SectionChange::Extra, &[], b.bytes(theirs)),
                (None, None) => {}
            }
        }
    }

    fn section(&mut self, (a, ours): (&Side<'_>, &Section<'_>), (b, theirs): (&Side<'_>, &Section<'_>)) {
        let class = a.elf.class;
        let (word, flags, place) = (class.word(), class.flags_field(), class.place_field());
        let is_versions = VERSIONS.contains(&ours.name);
        let is_modinfo = ours.name == b".modinfo";
        let may_be_renamed = is_versions || ours.name == b".BTF";
        // The name is a place in the table of names: the names themselves are compared.
        let mut masked = vec![0..4, place..place + word];
        if is_modinfo {
            masked.push(place + word..place + 2 * word);
        }
        if is_versions && (ours.flags ^ theirs.flags) == SHF_ALLOC {
            masked.push(flags..flags + word);
        }
        let is_same_header = a.header(ours, &masked) == b.header(theirs, &masked);
        let is_renamed = ours.name != theirs.name;
        let (before, after) = (a.bytes(ours), b.bytes(theirs));
        if !is_same_header || is_renamed && !may_be_renamed {
            return match before == after {
                true => self.push_section(ours.name, SectionChange::Header, &[], &[]),
                false => self.push_section(ours.name, SectionChange::Bytes, before, after),
            };
        }
        if is_versions {
            self.versions(ours, theirs, before, after);
        } else if is_modinfo {
            self.modinfo(a, b, before, after);
        } else if before != after && !(ours.index == a.names && ours.name == b".shstrtab") {
            self.push_section(ours.name, SectionChange::Bytes, before, after);
        } else if is_renamed {
            let names = [ours.name, theirs.name].map(|name| vec![format!("section {}", bytes_for_eyes(name))]);
            self.explain(ComparedAspect::Btf, names, Vec::new());
        }
    }

    fn versions(&mut self, ours: &Section<'_>, theirs: &Section<'_>, before: &[u8], after: &[u8]) {
        if before.len() != after.len() {
            return self.push_section(ours.name, SectionChange::Bytes, before, after);
        }
        let entry = if ours.name == b"__versions" { ENTRY } else { 4 };
        let differing = before.chunks(entry).zip(after.chunks(entry)).filter(|(a, b)| a != b).count();
        let name = bytes_for_eyes(ours.name);
        let mut notes = Vec::new();
        if ours.name != theirs.name {
            notes.push(format!("section {name} is named {}", bytes_for_eyes(theirs.name)));
        }
        if ours.flags != theirs.flags {
            let how = if theirs.is_alloc() { "visible to" } else { "hidden from" };
            notes.push(format!("section {name} is {how} kernels"));
        }
        if differing > 0 {
            notes.push(match ours.name {
                b"__version_ext_names" => format!("names of symbols differ in {name}"),
                _ => {
                    format!("{} of {} in {name} differ", grouped(differing as u64), count(before.len() / entry, "CRC"))
                }
            });
        }
        if !notes.is_empty() {
            self.explain(ComparedAspect::SymbolVersions, [Vec::new(), Vec::new()], notes);
        }
    }

    fn modinfo(&mut self, a: &Side<'_>, b: &Side<'_>, before: &[u8], after: &[u8]) {
        if before == after {
            return;
        }
        let (Ok(a), Ok(b)) = (Modinfo::read(&a.elf, a.image), Modinfo::read(&b.elf, b.image)) else {
            return self.push_section(b".modinfo", SectionChange::Bytes, before, after);
        };
        let [ours, theirs] = [&a, &b].map(|modinfo| modinfo.first("vermagic").map(Vermagic::parse));
        self.patched.extend(vermagic_of(&ours, &theirs));
        let others = |modinfo: &Modinfo| {
            let entries = modinfo.entries.iter().filter(|entry| entry.key != b"vermagic");
            entries.map(|e| format!("{}={}", bytes_for_eyes(&e.key), bytes_for_eyes(&e.value))).collect::<Vec<_>>()
        };
        if let Some(mut difference) = lists(ComparedAspect::Modinfo, &others(&a), &others(&b)) {
            for side in [&mut difference.a, &mut difference.b] {
                if side.len() > MOST_ENTRIES {
                    let more = side.len() - MOST_ENTRIES;
                    side.truncate(MOST_ENTRIES);
                    difference.notes.push(format!("and {more} more"));
                }
            }
            self.patched.push(difference);
        } else if ours == theirs {
            self.explain(ComparedAspect::Padding, [Vec::new(), Vec::new()], vec!["NULs in .modinfo".to_owned()]);
        }
    }

    fn trailer(&mut self, a: &Side<'_>, b: &Side<'_>) {
        if a.tail == b.tail {
            return;
        }
        let shown = |tail: &[u8]| {
            let size = count(tail.len(), "byte");
            vec![match tail {
                [] => "none".to_owned(),
                tail if tail.ends_with(MAGIC) => size,
                _ => format!("{size} that are no signature"),
            }]
        };
        self.explain(ComparedAspect::Signature, [shown(a.tail), shown(b.tail)], Vec::new());
    }

    fn explain(&mut self, aspect: ComparedAspect, [a, b]: [Vec<String>; 2], notes: Vec<String>) {
        match self.patched.iter_mut().find(|known| known.aspect == aspect) {
            Some(known) => {
                known.a.extend(a);
                known.b.extend(b);
                known.notes.extend(notes);
            }
            None => self.patched.push(MeaningfulDifference { aspect, a, b, notes }),
        }
    }

    fn push_section(&mut self, name: &[u8], how: SectionChange, original: &[u8], found: &[u8]) {
        self.push(&bytes_for_eyes(name), how, original, found);
    }

    fn push(&mut self, section: &str, how: SectionChange, original: &[u8], found: &[u8]) {
        self.differing_sections += 1;
        if self.sections.len() >= MOST_SECTIONS {
            return;
        }
        let all = spans(original, found);
        let start = |bytes: &[u8]| bytes.get(..bytes.len().min(MOST_BYTES)).unwrap_or_default().to_vec();
        let listed = match how {
            SectionChange::Bytes | SectionChange::Header => all.iter().take(MOST_SPANS),
            SectionChange::Missing | SectionChange::Extra => all.iter().take(0),
        };
        let listed = listed.map(|span| SectionSpan {
            offset: span.offset,
            length: span.a.len() as u64,
            original: start(span.a),
            found: start(span.b),
        });
        self.sections.push(SectionDifference {
            section: section.to_owned(),
            how,
            size: original.len() as u64,
            found_size: found.len() as u64,
            differing: all.iter().map(|span| span.differing()).sum(),
            spans: listed.collect(),
        });
    }
}

/// The sections of both files, side by side: by their numbers if there are as many, else by their names.
fn pairs<'s, 'f>(
    a: &'s [Section<'f>],
    b: &'s [Section<'f>],
) -> Vec<(Option<&'s Section<'f>>, Option<&'s Section<'f>>)> {
    if a.len() == b.len() {
        return a.iter().zip(b).map(|(a, b)| (Some(a), Some(b))).collect();
    }
    let mut by_name: HashMap<&[u8], Vec<&Section<'f>>> = HashMap::new();
    for section in b.iter().rev() {
        by_name.entry(section.name).or_default().push(section);
    }
    let mut pairs: Vec<_> = a.iter().map(|ours| (Some(ours), by_name.get_mut(ours.name).and_then(Vec::pop))).collect();
    let mut extra: Vec<_> = by_name.into_values().flatten().collect();
    extra.sort_by_key(|section| section.index);
    pairs.extend(extra.into_iter().map(|section| (None, Some(section))));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");
    const SIGNED: &[u8] = include_bytes!("../../fixtures/modules/hello-4-signed.ko");
    const WITH_BTF: &[u8] = include_bytes!("../../fixtures/modules/btf.ko");
    const BOTH: &[u8] = include_bytes!("../../fixtures/modules/both-versions.ko");

    fn at(bytes: &[u8], text: &[u8]) -> usize {
        memchr::memmem::find(bytes, text).unwrap()
    }

    fn aspects(parts: &PartsComparison) -> Vec<ComparedAspect> {
        parts.patched.iter().map(|difference| difference.aspect).collect()
    }

    fn section(bytes: &[u8], name: &str) -> (usize, usize) {
        let elf = Elf::read(bytes).unwrap();
        let section = elf.section(name).unwrap().unwrap();
        (section.header, section.range.start)
    }

    #[test]
    fn equal_files_have_no_difference() {
        for bytes in [HELLO, SIGNED, WITH_BTF, BOTH] {
            assert_eq!(compare_parts(bytes, bytes).unwrap(), PartsComparison::default());
        }
    }

    #[test]
    fn a_replaced_string_is_a_version_magic() {
        let mut found = HELLO.to_vec();
        found[at(HELLO, b"vermagic=") + 9] ^= 1;
        let parts = compare_parts(HELLO, &found).unwrap();
        assert_eq!((aspects(&parts), parts.differing_sections), (vec![ComparedAspect::Vermagic], 0));
    }

    #[test]
    fn another_entry_is_listed_with_both_values() {
        let mut found = HELLO.to_vec();
        found[at(HELLO, b"license=") + 8] = b'X';
        let parts = compare_parts(HELLO, &found).unwrap();
        assert_eq!(aspects(&parts), [ComparedAspect::Modinfo]);
        assert!(parts.patched[0].a[0].starts_with("license=") && parts.patched[0].b[0].starts_with("license=X"));
    }

    #[test]
    fn a_cut_signature_is_a_trailer_whole_or_in_part() {
        for (length, shown) in [(HELLO.len(), "none"), (SIGNED.len() - 28, "no signature")] {
            let parts = compare_parts(SIGNED, &SIGNED[..length]).unwrap();
            assert_eq!((aspects(&parts), parts.differing_sections), (vec![ComparedAspect::Signature], 0));
            assert!(parts.patched[0].b[0].contains(shown), "{:?}", parts.patched);
        }
    }

    #[test]
    fn a_renamed_type_section_is_a_patch_by_header_or_by_table() {
        let (header, _) = section(WITH_BTF, ".BTF");
        let mut by_header = WITH_BTF.to_vec();
        by_header[header] += 1;
        let mut by_table = WITH_BTF.to_vec();
        let table = section(WITH_BTF, ".shstrtab").1;
        let name = table + at(&WITH_BTF[table..], b".BTF\0");
        by_table[name..name + 5].copy_from_slice(b"BTF\0\0");
        for found in [by_header, by_table] {
            let parts = compare_parts(WITH_BTF, &found).unwrap();
            assert_eq!((aspects(&parts), parts.differing_sections), (vec![ComparedAspect::Btf], 0));
        }
    }

    #[test]
    fn another_renamed_section_is_no_patch() {
        let (header, _) = section(HELLO, ".modinfo");
        let mut found = HELLO.to_vec();
        found[header] += 1;
        let parts = compare_parts(HELLO, &found).unwrap();
        assert_eq!((parts.sections[0].section.as_str(), parts.sections[0].how), (".modinfo", SectionChange::Header));
    }

    #[test]
    fn replaced_crcs_are_counted_and_hidden_ones_named() {
        let (header, start) = section(BOTH, "__versions");
        let mut found = BOTH.to_vec();
        found[start] ^= 1;
        found[start + ENTRY] ^= 1;
        found[header + 8] ^= 2;
        let parts = compare_parts(BOTH, &found).unwrap();
        assert_eq!((aspects(&parts), parts.differing_sections), (vec![ComparedAspect::SymbolVersions], 0));
        let notes = &parts.patched[0].notes;
        assert!(notes[0].ends_with("hidden from kernels") && notes[1].starts_with("2 of "), "{notes:?}");
    }

    #[test]
    fn a_byte_of_code_is_named_with_its_section_and_place() {
        let (_, start) = section(HELLO, ".init.text");
        let mut found = HELLO.to_vec();
        found[start + 1] ^= 0xff;
        let parts = compare_parts(HELLO, &found).unwrap();
        let [only] = parts.sections.as_slice() else { panic!("{parts:?}") };
        assert_eq!((only.section.as_str(), only.how, only.differing), (".init.text", SectionChange::Bytes, 1));
        assert_eq!((only.spans[0].offset, only.spans[0].original[0]), (1, HELLO[start + 1]));
        assert_eq!(aspects(&parts), []);
    }

    #[test]
    fn a_header_field_that_no_patch_changes_is_a_difference() {
        let (header, _) = section(HELLO, ".init.text");
        for (place, name) in [(header + 4, ".init.text"), (0x30, "the ELF header")] {
            let mut found = HELLO.to_vec();
            found[place] ^= 4;
            let parts = compare_parts(HELLO, &found).unwrap();
            assert_eq!((parts.sections[0].section.as_str(), parts.sections[0].how), (name, SectionChange::Header));
        }
    }
}
