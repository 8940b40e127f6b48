//! The summary of a module file, from its headers and its `.modinfo`: fast enough for very many files.
//!
//! Of a file that is not compressed three small parts are read, and nothing is mapped: the file header; the section headers,
//! which lie at the end, with their names before and the trailer after them; `.modinfo`. Unusual files (two
//! `.modinfo`, bytes that belong to nothing, numbers that contradict each other) are left to [`Module::read`], so that a
//! refusal has the same text everywhere. A summary finds no faults in parts that it does not read: symbols, relocations,
//! notes and the entries of symbol versions.
//!
//! No lease is taken. A file that is written meanwhile gives facts of no one moment, or an error; nothing is decided on them.

mod outline;

use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;
use crate::module::elf::{Class, Endian};
use crate::module::versions::VersionsFormat;
use crate::module::{Module, file, modinfo, this_module, trailer};
use outline::{FILE_HEADER, Outline, SectionBuffer, Start};

/// The key of the modinfo entry by which a patched module says so itself.
pub const MARK: &str = "kmodlab_patched";

/// How much before the section headers is read with them, in bytes: the names of the sections lie there.
const BEFORE: u64 = 512;

/// How much is read of the end of a file before it is known how much there is, in bytes: 200 section headers of 64 bit.
const USUAL_TAIL: usize = 16 << 10;

/// The largest part of a file that is read for a summary, in bytes.
const LARGEST_PART: u64 = 1 << 20;

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
    stored: Vec<u8>,
    image: Vec<u8>,
    parts: PartBuffers,
}

/// Memory for the parts of one image.
#[derive(Default)]
struct PartBuffers {
    tail: Vec<u8>,
    names: Vec<u8>,
    modinfo: Vec<u8>,
    room: SectionBuffer,
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
        let seen = self.look(rustix::fs::CWD, path, || path.to_owned(), max_size).map_err(|e| e.on(path))?;
        Ok(seen.summary(&self.parts.texts))
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
        let seen = self.look(folder, Path::new(name), &path, max_size).map_err(|e| e.on(path()))?;
        Ok(seen.summary(&self.parts.texts))
    }

    /// Summarizes the bytes of a file, as they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`] and [`Module::read`], as far as the parts that are read show them.
    pub fn bytes(&mut self, stored: &[u8], max_size: u64) -> Result<ModuleSummary<'_>> {
        self.bytes_within(stored, &WorkBudget::of_file(stored.len(), max_size))
    }

    /// As [`Summarizer::bytes`], within the budget of a question that is also about other files.
    ///
    /// # Errors
    ///
    /// Those of [`Summarizer::bytes`].
    pub(crate) fn bytes_within(&mut self, stored: &[u8], budget: &WorkBudget) -> Result<ModuleSummary<'_>> {
        let seen = look_at_stored(stored, &mut self.image, &mut self.parts, budget)?;
        Ok(seen.summary(&self.parts.texts))
    }

    fn look(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &Path,
        path: impl Fn() -> PathBuf,
        max_size: u64,
    ) -> Result<SummaryRanges> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = file::open_unnoticed_in(folder, name, flags).map_err(|e| Error::io("opening", e))?;
        let mut first = [0; FILE_HEADER];
        // What is no regular file can't be read at an offset, as a rule. That, and one that is too short, is mostly an
        // error, and the full reader says which.
        if !matches!(read_at(&file, &mut first, 0), Ok(FILE_HEADER)) {
            let contents = file::read(&path())?;
            let budget = WorkBudget::of_file(contents.bytes().len(), max_size);
            return look_at_stored(contents.bytes(), &mut self.image, &mut self.parts, &budget);
        }
        match Container::of(&first) {
            Container::None => match look_at_image(&OnDisk { file }, &first, &mut self.parts)? {
                Some(seen) => Ok(seen),
                None => read_fully(file::read(&path())?.bytes(), &mut self.parts.texts),
            },
            _ => {
                self.stored.clear();
                let len = usize::try_from(size_of_file(&file)?).unwrap_or(usize::MAX);
                let too_large = |_| Error::new(ErrorKind::TooLarge, "larger than the memory left");
                self.stored.try_reserve_exact(len).map_err(too_large)?;
                self.stored.resize(len, 0);
                read_exact_at(&file, &mut self.stored, 0)?;
                let budget = WorkBudget::of_file(len, max_size);
                look_at_stored(&self.stored, &mut self.image, &mut self.parts, &budget)
            }
        }
    }
}

/// A file's size in bytes.
fn size_of_file(file: &File) -> Result<u64> {
    let meta = rustix::fs::fstat(file).map_err(|e| Error::io("looking at the file", e))?;
    Ok(u64::try_from(meta.st_size).unwrap_or_default())
}

/// Reads as much of a part as there is, and says how much. By the system call itself: the C library's function is a point
/// where a thread may be cancelled, which takes time with each of some thousand reads.
fn read_at(file: &File, part: &mut [u8], at: u64) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = part.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(file, rest, at.saturating_add(done as u64)) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::io("reading", error)),
        }
    }
    Ok(done)
}

/// Fills a part. A file that ends before its size was truncated meanwhile.
fn read_exact_at(file: &File, part: &mut [u8], at: u64) -> Result<()> {
    let wanted = part.len();
    if read_at(file, part, at)? == wanted {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Changed, "changed while it was read").hint("try again when nothing writes to it"))
}

fn look_at_stored(
    stored: &[u8],
    buffer: &mut Vec<u8>,
    parts: &mut PartBuffers,
    budget: &WorkBudget,
) -> Result<SummaryRanges> {
    let container = Container::of(stored);
    let image = match container {
        Container::None => stored,
        _ => {
            container.decompress_into_within(buffer, stored, budget)?;
            buffer.as_slice()
        }
    };
    let seen = match image.first_chunk() {
        Some(first) => look_at_image(&image, first, parts)?,
        None => None,
    };
    let seen = match seen {
        Some(seen) => seen,
        None => read_fully(image, &mut parts.texts)?,
    };
    Ok(SummaryRanges { container, stored_size: stored.len() as u64, ..seen })
}

/// An image whose parts can be read. `room` is the buffer for bytes from a file. `None`: the part does not exist, or is
/// unusually large.
trait ImageParts {
    /// A part that lies within the image.
    fn part<'p>(&'p self, part: Range<u64>, room: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>>;

    /// All bytes from `start` on.
    fn tail<'p>(&'p self, start: u64, room: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>>;
}

impl ImageParts for &[u8] {
    fn part<'p>(&'p self, part: Range<u64>, _: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>> {
        Ok(within(self, 0, &part))
    }

    fn tail<'p>(&'p self, start: u64, _: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>> {
        Ok(within(self, 0, &(start..self.len() as u64)))
    }
}

struct OnDisk {
    file: File,
}

impl OnDisk {
    /// The size is asked for where the tail is larger than usual, since to ask takes as long as to read.
    fn long_tail<'p>(&'p self, start: u64, room: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>> {
        self.part(start..size_of_file(&self.file)?.max(start), room)
    }
}

impl ImageParts for OnDisk {
    fn part<'p>(&'p self, part: Range<u64>, room: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>> {
        let len = part.end.saturating_sub(part.start);
        if len > LARGEST_PART {
            return Ok(None);
        }
        let len = usize::try_from(len).unwrap_or_default();
        if room.len() < len {
            room.resize(len, 0);
        }
        let room = room.get_mut(..len).unwrap_or_default();
        read_exact_at(&self.file, room, part.start)?;
        Ok(Some(room))
    }

    fn tail<'p>(&'p self, start: u64, room: &'p mut Vec<u8>) -> Result<Option<&'p [u8]>> {
        if room.len() < USUAL_TAIL {
            room.resize(USUAL_TAIL, 0);
        }
        // A short read is the end of the file. After a disk error it is not, but then the section headers
        // do not end where the file does, or not at all, and the full reader says why.
        match rustix::io::pread(&self.file, room.as_mut_slice(), start) {
            Ok(read) if read < room.len() => Ok(room.get(..read)),
            Ok(_) | Err(Errno::INTR) => self.long_tail(start, room),
            Err(_) => Ok(None),
        }
    }
}

/// The part of bytes that begin at `start`.
fn within<'b>(bytes: &'b [u8], start: u64, part: &Range<u64>) -> Option<&'b [u8]> {
    let from = usize::try_from(part.start.checked_sub(start)?).ok()?;
    bytes.get(from..usize::try_from(part.end.checked_sub(start)?).ok()?)
}

/// A summary whose texts are ranges of [`PartBuffers::texts`].
struct SummaryRanges {
    container: Container,
    stored_size: u64,
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
    fn summary(self, texts: &[u8]) -> ModuleSummary<'_> {
        let text = |range: Option<Range<usize>>| range.and_then(|range| texts.get(range));
        ModuleSummary {
            container: self.container,
            stored_size: self.stored_size,
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

/// Keeps a text.
fn keep(texts: &mut Vec<u8>, text: &[u8]) -> Range<usize> {
    let start = texts.len();
    texts.extend_from_slice(text);
    start..texts.len()
}

/// Summarizes an image that begins with `first`. `None` if it is unusual.
fn look_at_image(
    image: &impl ImageParts,
    first: &[u8; FILE_HEADER],
    parts: &mut PartBuffers,
) -> Result<Option<SummaryRanges>> {
    let PartBuffers { tail, names, modinfo, room, texts } = parts;
    texts.clear();
    let Some(start) = Start::of(first) else { return Ok(None) };
    let from = start.table.start.saturating_sub(BEFORE);
    let Some(tail) = image.tail(from, tail)? else { return Ok(None) };
    let size = from + tail.len() as u64;
    // A trailer that is wrong, or begins before this part, is the full reader's.
    let Ok(trailer) = trailer::summarize(tail) else { return Ok(None) };
    let len = trailer.map_or(size, |trailer| from + trailer.start as u64);
    let Some(table) = within(tail, from, &start.table) else { return Ok(None) };
    let Some(place) = start.names(table) else { return Ok(None) };
    let names = match within(tail, from, &place) {
        Some(names) => names,
        None if place.end > size => return Ok(None),
        None => match image.part(place, names)? {
            Some(names) => names,
            None => return Ok(None),
        },
    };
    let Some(outline) = Outline::of(&start, table, names, len, room) else { return Ok(None) };
    if outline.end != len {
        return Ok(None);
    }
    let Some(strings) = image.part(outline.modinfo.clone(), modinfo)? else { return Ok(None) };
    let Some(strings) = strings.strip_suffix(&[0]) else { return Ok(None) };
    let mut seen = SummaryRanges {
        container: Container::None,
        stored_size: size,
        size,
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
    let (mut count, mut rest) = (0, strings);
    while !rest.is_empty() {
        let end = memchr::memchr(0, rest).unwrap_or(rest.len());
        let (string, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        count += usize::from(!string.is_empty());
        if let Some(value) = value_of(string, b"vermagic") {
            seen.vermagics += 1;
            seen.vermagic.get_or_insert_with(|| keep(texts, value));
        } else if let Some(value) = value_of(string, b"name") {
            seen.name.get_or_insert_with(|| keep(texts, value));
        } else if let Some(value) = value_of(string, MARK.as_bytes()) {
            seen.mark.get_or_insert_with(|| keep(texts, value));
        }
    }
    if count > modinfo::MOST {
        return Ok(None);
    }
    // Before 4.20 the name is only in `struct module`.
    if let (None, Some(structure)) = (&seen.name, outline.this_module) {
        let end = structure.end.min(structure.start.saturating_add(this_module::NAMED_WITHIN));
        let Some(structure) = image.part(structure.start..end, modinfo)? else { return Ok(None) };
        seen.name = this_module::name(start.class, structure).map(|name| keep(texts, name));
    }
    Ok(Some(seen))
}

/// The value of a string with this key, as [`modinfo::ModinfoEntry`] parts it: without `=`, all of it is the key.
fn value_of<'s>(string: &'s [u8], key: &[u8]) -> Option<&'s [u8]> {
    match string.strip_prefix(key)? {
        [b'=', value @ ..] => Some(value),
        [] => Some(&[]),
        _ => None,
    }
}

/// The same, from all that the full reader says.
fn read_fully(image: &[u8], texts: &mut Vec<u8>) -> Result<SummaryRanges> {
    let module = Module::read(image)?;
    texts.clear();
    let mut kept = |text: Option<&[u8]>| text.map(|text| keep(texts, text));
    let in_structure = module.this_module.as_ref().and_then(|structure| structure.name.as_deref());
    Ok(SummaryRanges {
        container: Container::None,
        stored_size: image.len() as u64,
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
