//! The partial reader: it reads only the headers of a module file and its `.modinfo`, which is fast enough for very many files.
//!
//! Of a file that is not compressed three small parts are read, and nothing is mapped: the file header; the section headers,
//! which lie at the end, with their names before and the trailer after them; `.modinfo`. Unusual files (two
//! `.modinfo`, bytes that belong to nothing, numbers that contradict each other) are left to the full reader
//! ([`Module::read`](crate::module::Module::read)), so that a refusal has the same text everywhere. No faults are found in parts
//! that are not read: symbols, relocations, notes and the entries of symbol versions.
//!
//! No lease is taken. A file that is written meanwhile gives facts of no one moment, or an error; nothing is decided on them.
//!
//! What is read out of the parts is an [`Extract`]: a [summary](crate::module::summary), or a [listing](crate::module::listing).

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
use crate::module::trailer::Glimpse;
use crate::module::{file, modinfo, trailer};
use outline::{FILE_HEADER, SectionBuffer};
pub(super) use outline::{Outline, Start};

/// How much before the section headers is read with them, in bytes: the names of the sections lie there.
const BEFORE: u64 = 512;

/// How much is read of the end of a file before it is known how much there is, in bytes: 200 section headers of 64 bit.
const USUAL_TAIL: usize = 16 << 10;

/// The largest part of a file, in bytes. A file with a larger one is left to the full reader.
const LARGEST_PART: u64 = 1 << 20;

/// What is read out of a module.
pub(super) trait Extract {
    /// The result.
    type Facts;

    /// Reads it out of the parts of a usual image. `room` is a buffer for more parts. `None` if the image turns out to be unusual, or if the
    /// parts are not enough.
    fn of_parts(
        &mut self,
        image: &impl ImageParts,
        parts: &UsualParts<'_>,
        room: &mut Vec<u8>,
    ) -> Result<Option<Self::Facts>>;

    /// Reads it out of all bytes of an image, with the full reader.
    fn of_image(&mut self, image: &[u8]) -> Result<Self::Facts>;
}

/// What was read out of a module file.
pub(super) struct Extracted<F> {
    /// The result of an [`Extract`].
    pub(super) facts: F,
    /// How the file is compressed, and its size in bytes; `None` if it is not.
    pub(super) packed: Option<(Container, u64)>,
}

/// The parts of a usual image.
pub(super) struct UsualParts<'p> {
    /// What the file header says.
    pub(super) start: Start,
    /// What the section headers say.
    pub(super) outline: Outline,
    /// The size of the image with its trailer, in bytes.
    pub(super) size: u64,
    /// The end of the image, with all of its trailer.
    pub(super) tail: &'p [u8],
    /// The trailer, if there is one.
    pub(super) trailer: Option<Glimpse<'p>>,
    /// `.modinfo`, without the last NUL.
    modinfo: &'p [u8],
}

impl<'p> UsualParts<'p> {
    /// The strings of `.modinfo`, in their order.
    pub(super) fn strings(&self) -> impl Iterator<Item = &'p [u8]> {
        strings(self.modinfo)
    }
}

/// The strings between the NULs of `.modinfo`.
fn strings(modinfo: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = modinfo;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            let (string, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            if !string.is_empty() {
                return Some(string);
            }
        }
        None
    })
}

/// The partial reader, with buffers that are reused from file to file. They grow to the size of the largest compressed file.
#[derive(Default)]
pub(super) struct PartialReader {
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
}

impl PartialReader {
    /// Reads a file. One that is compressed may become `max_size` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`module::open`](crate::module::open), with the file's name, as far as the parts that are read show them.
    pub(super) fn file<E: Extract>(
        &mut self,
        path: &Path,
        max_size: u64,
        extract: &mut E,
    ) -> Result<Extracted<E::Facts>> {
        self.read(rustix::fs::CWD, path, || path.to_owned(), max_size, extract).map_err(|e| e.on(path))
    }

    /// The same for a file whose folder is open: the path is then not resolved again for each file in it. `path` is
    /// the path for messages.
    ///
    /// # Errors
    ///
    /// Those of [`PartialReader::file`].
    pub(super) fn file_in<E: Extract>(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &OsStr,
        path: impl Fn() -> PathBuf,
        max_size: u64,
        extract: &mut E,
    ) -> Result<Extracted<E::Facts>> {
        self.read(folder, Path::new(name), &path, max_size, extract).map_err(|e| e.on(path()))
    }

    /// Reads the bytes of a file, as they are stored.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`] and [`Module::read`](crate::module::Module::read), as far as the parts that are read show
    /// them.
    pub(super) fn bytes<E: Extract>(
        &mut self,
        stored: &[u8],
        budget: &WorkBudget,
        extract: &mut E,
    ) -> Result<Extracted<E::Facts>> {
        of_stored(stored, &mut self.image, &mut self.parts, budget, extract)
    }

    fn read<E: Extract>(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &Path,
        path: impl Fn() -> PathBuf,
        max_size: u64,
        extract: &mut E,
    ) -> Result<Extracted<E::Facts>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = file::open_unnoticed_in(folder, name, flags).map_err(|e| Error::io("opening", e))?;
        let mut first = [0; FILE_HEADER];
        // What is no regular file can't be read at an offset, as a rule. That, and one that is too short, is mostly an
        // error, and the full reader says which.
        if !matches!(read_at(&file, &mut first, 0), Ok(FILE_HEADER)) {
            let contents = file::read_up_to(&path(), max_size)?;
            let budget = WorkBudget::of_module(contents.bytes().len(), max_size);
            return of_stored(contents.bytes(), &mut self.image, &mut self.parts, &budget, extract);
        }
        if Container::of(&first).is_none() {
            let facts = match of_image(&OnDisk { file }, &first, &mut self.parts, extract)? {
                Some(facts) => facts,
                None => extract.of_image(file::read_up_to(&path(), max_size)?.bytes())?,
            };
            return Ok(Extracted { facts, packed: None });
        }
        self.stored.clear();
        let len = size_of_file(&file)?;
        file::within(len, file::largest(max_size)).map_err(file::raisable)?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let too_large = |_| Error::new(ErrorKind::TooLarge, "larger than the memory left");
        self.stored.try_reserve_exact(len).map_err(too_large)?;
        self.stored.resize(len, 0);
        read_exact_at(&file, &mut self.stored, 0)?;
        let budget = WorkBudget::of_module(len, max_size);
        of_stored(&self.stored, &mut self.image, &mut self.parts, &budget, extract)
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

fn of_stored<E: Extract>(
    stored: &[u8],
    buffer: &mut Vec<u8>,
    parts: &mut PartBuffers,
    budget: &WorkBudget,
    extract: &mut E,
) -> Result<Extracted<E::Facts>> {
    let container = Container::of(stored);
    let image = match container {
        Container::None => stored,
        _ => {
            container.decompress_into_within(buffer, stored, budget)?;
            buffer.as_slice()
        }
    };
    let facts = match image.first_chunk() {
        Some(first) => of_image(&image, first, parts, extract)?,
        None => None,
    };
    let facts = match facts {
        Some(facts) => facts,
        None => extract.of_image(image)?,
    };
    Ok(Extracted { facts, packed: (!container.is_none()).then_some((container, stored.len() as u64)) })
}

/// An image whose parts can be read. `room` is the buffer for bytes from a file. `None`: the part does not exist, or is
/// unusually large.
pub(super) trait ImageParts {
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

/// Reads the parts of an image that begins with `first`. `None` if it is unusual.
fn of_image<E: Extract>(
    image: &impl ImageParts,
    first: &[u8; FILE_HEADER],
    buffers: &mut PartBuffers,
    extract: &mut E,
) -> Result<Option<E::Facts>> {
    let PartBuffers { tail, names: names_buffer, modinfo, room } = buffers;
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
        None => match image.part(place, names_buffer)? {
            Some(names) => names,
            None => return Ok(None),
        },
    };
    let Some(outline) = Outline::of(&start, table, names, len, room) else { return Ok(None) };
    if outline.end != len {
        return Ok(None);
    }
    let Some(modinfo) = image.part(outline.modinfo.clone(), modinfo)? else { return Ok(None) };
    let Some(modinfo) = modinfo.strip_suffix(&[0]) else { return Ok(None) };
    // Each string takes two bytes at least.
    if modinfo.len() >= 2 * modinfo::MOST && strings(modinfo).count() > modinfo::MOST {
        return Ok(None);
    }
    extract.of_parts(image, &UsualParts { start, outline, size, tail, trailer, modinfo }, names_buffer)
}
