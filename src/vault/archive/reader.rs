//! Reading an archive strictly, as a stream: no name, size or order in it is believed before it was checked.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::archive::{BLOCK, LARGEST_MANIFEST, Manifest, Member, MemberName, SEAL, SEAL_LEN, header, padding};

/// The largest window of a Zstandard frame, as a power of two. The writer's are smaller.
const WINDOW: u32 = 23;

/// The magic number of a Zstandard frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most compressed bytes that are read for no decompressed one: a block has 128 KiB. A hole in a file is empty blocks.
const MOST_IN_VAIN: u64 = 1 << 20;

/// An archive that was opened, and not yet read.
pub(in crate::vault) struct Archive<'p> {
    path: &'p Path,
    file: File,
    size: u64,
}

/// An archive that was read to its end, and is as it was written.
pub(in crate::vault) struct CheckedArchive {
    /// Its manifest.
    pub(in crate::vault) manifest: Manifest,
    /// The SHA-256 of the file.
    pub(in crate::vault) sha: Sha256,
}

/// The contents of a member: exactly as many bytes as its header says.
pub(in crate::vault) struct Contents<'r> {
    from: &'r mut dyn Read,
    left: u64,
    sum: Sha256Hasher,
}

impl<'p> Archive<'p> {
    /// Opens a regular file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Io`]; [`ErrorKind::Usage`] for anything but a regular file.
    pub(in crate::vault) fn open(path: &'p Path) -> Result<Archive<'p>> {
        let failed = |e: rustix::io::Errno| Error::io("opening", e).on(path);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?);
        let metadata = file.metadata().map_err(|e| Error::io("opening", e).on(path))?;
        match metadata.is_file() {
            true => Ok(Archive { path, file, size: metadata.len() }),
            false => Err(Error::new(ErrorKind::Usage, "not a regular file, which an import reads twice").on(path)),
        }
    }

    /// Reads the whole archive from its start. `each` is called with each member except for the manifest, and may leave contents unread.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Damaged`] for an archive that is not exactly as it was written: `each` then was called with members that may be wrong;
    /// [`ErrorKind::Io`]; those of `each`.
    pub(in crate::vault) fn read(
        &mut self,
        each: impl FnMut(&MemberName, &mut Contents<'_>) -> Result<()>,
    ) -> Result<CheckedArchive> {
        self.read_all(each).map_err(|e| e.hint("export it again, or copy it again").on(self.path))
    }

    fn read_all(&mut self, each: impl FnMut(&MemberName, &mut Contents<'_>) -> Result<()>) -> Result<CheckedArchive> {
        let mut magic = [0; ZSTD.len()];
        self.file.rewind().map_err(reading)?;
        let is_compressed = self.file.read_exact(&mut magic).is_ok() && magic == ZSTD;
        self.file.rewind().map_err(reading)?;
        let mut hashing = Hashing { from: BufReader::with_capacity(1 << 16, &self.file), sum: Sha256Hasher::new() };
        let manifest = if is_compressed {
            let len = self.size.checked_sub(SEAL_LEN).ok_or_else(cut)?;
            let in_vain = &Cell::new(0);
            let frame = Compressed { from: (&mut hashing).take(len), in_vain };
            let frame = BufReader::with_capacity(1 << 16, frame);
            let mut decoder = zstd::Decoder::with_buffer(frame).map_err(reading)?.single_frame();
            decoder.window_log_max(WINDOW).map_err(reading)?;
            let mut contents = Decompressed { from: decoder, in_vain };
            let manifest = members(&mut contents, each)?;
            must_be_over(&mut contents)?;
            must_be_over(&mut contents.from.finish())?;
            let sum = hashing.sum.clone().finish();
            let mut seal = [0; SEAL_LEN as usize];
            hashing.read_exact(&mut seal).map_err(reading)?;
            if seal != *[SEAL.as_slice(), sum.as_bytes()].concat() {
                return Err(damaged("its bytes do not match their hash"));
            }
            manifest
        } else {
            members(&mut hashing, each)?
        };
        must_be_over(&mut hashing)?;
        Ok(CheckedArchive { manifest, sha: hashing.sum.finish() })
    }
}

/// Reads all members and the end.
fn members(
    from: &mut impl Read,
    mut each: impl FnMut(&MemberName, &mut Contents<'_>) -> Result<()>,
) -> Result<Manifest> {
    let mut seen: Vec<Member> = Vec::new();
    let mut last: Option<MemberName> = None;
    loop {
        let (name, size) = next_header(from)?;
        if last.as_ref().is_some_and(|last| *last >= name) {
            return Err(damaged("its members are not in their order"));
        }
        if name == MemberName::Manifest {
            if size > LARGEST_MANIFEST {
                return Err(damaged("its manifest is longer than this program writes"));
            }
            let mut text = Vec::new();
            from.by_ref().take(size).read_to_end(&mut text).map_err(reading)?;
            skip_padding(from, size)?;
            must_be_zero(from, 2 * BLOCK)?;
            let manifest = Manifest::parse(&text)?;
            return match manifest.members == seen {
                true => Ok(manifest),
                false => Err(damaged("its members differ from its manifest")),
            };
        }
        let mut contents = Contents { from, left: size, sum: Sha256Hasher::new() };
        each(&name, &mut contents)?;
        io::copy(&mut contents, &mut io::sink()).map_err(reading)?;
        let sha256 = contents.sum.finish();
        skip_padding(from, size)?;
        seen.push(Member { name: name.text(), size, sha256 });
        last = Some(name);
    }
}

/// The name and size of the next member, from a header that is exactly as the writer writes it.
fn next_header(from: &mut impl Read) -> Result<(MemberName, u64)> {
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(reading)?;
    let no_header = || damaged("not an export of a vault, or a damaged one");
    let read = tar::Header::from_byte_slice(&block);
    let name = MemberName::parse(&read.path_bytes()).ok_or_else(no_header)?;
    let size = read.size().map_err(|_| no_header())?;
    match header(&name, size) {
        Ok(ours) if ours == block => Ok((name, size)),
        _ => Err(no_header()),
    }
}

fn skip_padding(from: &mut impl Read, size: u64) -> Result<()> {
    must_be_zero(from, usize::try_from(padding(size)).unwrap_or_default())
}

fn must_be_zero(from: &mut impl Read, len: usize) -> Result<()> {
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(reading)?;
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(damaged("bytes between its members were changed")) }
}

fn must_be_over(from: &mut impl Read) -> Result<()> {
    match from.read(&mut [0]).map_err(reading)? {
        0 => Ok(()),
        _ => Err(damaged("bytes follow its end")),
    }
}

impl Read for Contents<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(room.len());
        if most == 0 {
            return Ok(0);
        }
        let room = room.get_mut(..most).unwrap_or_default();
        let read = self.from.read(room)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.sum.update(room.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}

/// What a decompressor reads, as long as it yields anything.
struct Compressed<'c, R> {
    from: R,
    in_vain: &'c Cell<u64>,
}

impl<R: Read> Read for Compressed<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.in_vain.get() > MOST_IN_VAIN {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = self.from.read(room)?;
        self.in_vain.set(self.in_vain.get() + read as u64);
        Ok(read)
    }
}

/// What a decompressor yields.
struct Decompressed<'c, R> {
    from: R,
    in_vain: &'c Cell<u64>,
}

impl<R: Read> Read for Decompressed<'_, R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(room)?;
        if read > 0 {
            self.in_vain.set(0);
        }
        Ok(read)
    }
}

/// A stream, with the SHA-256 of everything that was read from it.
struct Hashing<R> {
    from: R,
    sum: Sha256Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(room)?;
        self.sum.update(room.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The error for a stream that can't be read: the system's, or that of bytes that are no Zstandard frame, or of an archive that was cut.
pub(in crate::vault) fn reading(e: io::Error) -> Error {
    match e.raw_os_error() {
        Some(_) => Error::io("reading the export", e),
        None if e.kind() == io::ErrorKind::UnexpectedEof => cut(),
        None => damaged("its bytes can't be decompressed"),
    }
}

fn cut() -> Error {
    damaged("not an export of a vault, or one that ends too early")
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Damaged, what)
}
