//! Decompresses kernels, within limits and safely for hostile bytes.
//!
//! The magic numbers are those of lib/decompress.c, and two more of boot loaders. Bytes after a stream are ignored: images have
//! other parts there.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Mutex;

use aho_corasick::AhoCorasick;
use liblzma::stream::Stream;

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::image::bytes::ImageBytes;
use crate::kernel::image::lzo;
use crate::module::elf::Endian;

/// The most memory that a stream may request from its decompressor, in bytes. Kernels are compressed with a dictionary of at
/// most 128 MiB (scripts/xz_wrap.sh, 6.12).
const DICTIONARY: u64 = 192 << 20;

/// The greatest ratio of decompressed to compressed bytes, for an image of more than [`ALWAYS_PLAUSIBLE`]. Kernels shrink to
/// about an eighth; without this limit a bomb would be decompressed up to `max`.
const RATIO: u64 = 32;

/// The size in bytes that an image may have regardless of [`RATIO`].
const ALWAYS_PLAUSIBLE: u64 = 32 << 20;

/// The size in bytes that any part of an image may have regardless of [`DENSITY`].
const LARGEST_RUN: u64 = 24 << 20;

/// The greatest ratio within a stream, for parts of more than [`LARGEST_RUN`]. A stream that begins with bytes which expand
/// to nothing, as the hole of a sparse file does, may not make up for it later.
const DENSITY: u64 = 16;

/// How many bytes are decompressed at a time.
const CHUNK: usize = 64 << 10;

/// The size of a decompressed block in the lz4 tool's legacy format, in bytes; only the last block is smaller.
const LZ4_BLOCK: usize = 8 << 20;

const LZ4_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
const LZ4_FRAME_MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

const OPENWRT: &[u8] = b"\x6d\0\0";

/// A compression format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KernelCompression {
    Gzip,
    Bzip2,
    /// The predecessor of xz, without a magic number.
    Lzma,
    Xz,
    /// In the file format of `lzop`.
    Lzo,
    /// In the format of `lz4 -l`.
    Lz4,
    /// In the default format of `lz4`, which U-Boot reads (lib/lz4_wrapper.c of U-Boot).
    Lz4Frame,
    Zstd,
}

/// The first bytes of each format. An lzma stream begins with its properties: those of all presets, or those of OpenWrt
/// (`lzma e -lc1 -lp2 -pb2`), and a dictionary size in multiples of 64 KiB.
const MAGICS: [(&[u8], KernelCompression); 9] = [
    (b"\x1f\x8b\x08", KernelCompression::Gzip),
    (b"BZh", KernelCompression::Bzip2),
    (b"\x5d\0\0", KernelCompression::Lzma),
    (OPENWRT, KernelCompression::Lzma),
    (b"\xfd7zXZ\0", KernelCompression::Xz),
    (lzo::MAGIC, KernelCompression::Lzo),
    (&LZ4_MAGIC, KernelCompression::Lz4),
    (&LZ4_FRAME_MAGIC, KernelCompression::Lz4Frame),
    (b"\x28\xb5\x2f\xfd", KernelCompression::Zstd),
];

impl KernelCompression {
    /// Recognised by the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<KernelCompression> {
        let (_, packing) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic))?;
        let plausible = match packing {
            // The block's own magic follows: pi, or the square root of pi for an empty stream.
            KernelCompression::Bzip2 => {
                matches!(bytes.get(3..6), Some([b'1'..=b'9', 0x31, 0x41] | [b'1'..=b'9', 0x17, 0x72]))
            }
            // `m` and two NUL bytes are common; a dictionary size that is a power of 2 and a plausible size rarely follow.
            KernelCompression::Lzma if bytes.starts_with(OPENWRT) => {
                let is_size = |size: &[u8]| match size {
                    [_, size @ .., 0, 0, 0, 0] => *size != [0; 3],
                    size => *size == [0xff; 8],
                };
                let dictionary = bytes.get(3..5).map(|bytes| Endian::Little.number(bytes));
                dictionary.is_some_and(u64::is_power_of_two) && bytes.get(5..13).is_some_and(is_size)
            }
            // The size: unknown, or at most 32 bits.
            KernelCompression::Lzma => matches!(bytes.get(5..13), Some([0xff, ..] | [_, _, _, _, 0, 0, 0, 0])),
            _ => true,
        };
        plausible.then_some(*packing)
    }

    /// The offsets in these bytes at which a compressed stream may begin.
    pub(super) fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
        let search = AhoCorasick::new(MAGICS.map(|(magic, _)| magic)).ok();
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let found = search.as_ref()?.find(bytes.get(from..)?)?;
                let at = from + found.start();
                from = at + 1;
                if KernelCompression::of(bytes.get(at..)?).is_some() {
                    return Some(at);
                }
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            KernelCompression::Gzip => "gzip",
            KernelCompression::Bzip2 => "bzip2",
            KernelCompression::Lzma => "lzma",
            KernelCompression::Xz => "xz",
            KernelCompression::Lzo => "lzo",
            KernelCompression::Lz4 | KernelCompression::Lz4Frame => "lz4",
            KernelCompression::Zstd => "zstd",
        }
    }

    /// Decompresses the stream at the start of `packed`. `size` is the expected size, if it is known.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the stream is cut short, damaged, or of another size;
    /// [`ErrorKind::TooLarge`] beyond the limit, [`ErrorKind::TooMuchWork`] beyond the budget.
    pub(super) fn unpack(self, packed: &[u8], budget: &WorkBudget, size: Option<u64>) -> Result<ImageBytes<'static>> {
        self.unpack_up_to(packed, budget.max_size(), budget, size)
    }

    /// As [`KernelCompression::unpack`], to at most `max` bytes.
    fn unpack_up_to(
        self,
        packed: &[u8],
        max: u64,
        budget: &WorkBudget,
        size: Option<u64>,
    ) -> Result<ImageBytes<'static>> {
        let limit = SizeLimits::new(self, packed.len(), max);
        if let Some(size) = size {
            limit.allows(size)?;
        }
        let out = match self {
            KernelCompression::Lz4 => self.lz4(packed, &limit, size, budget)?,
            KernelCompression::Lzo => self.lzo(packed, &limit, budget)?.into(),
            _ => self.drain(packed, &limit, size, budget)?,
        };
        match size {
            Some(size) if size != out.len() as u64 => {
                let word = if (out.len() as u64) < size { "fewer" } else { "more" };
                Err(self.other_size(word, size))
            }
            _ => Ok(out),
        }
    }

    /// The first decompressed bytes, as many as are needed to recognise a format; fewer if the stream is damaged.
    pub(super) fn peek(self, packed: &[u8], budget: &WorkBudget) -> Vec<u8> {
        const ENOUGH: u64 = 0x10010;
        let mut start = Vec::new();
        match self {
            KernelCompression::Lz4 | KernelCompression::Lzo => {
                // One block is enough, and 16 MiB of what is packed hold one.
                let some = packed.get(..16 << 20).unwrap_or(packed);
                let unpacked = self.unpack_up_to(some, ALWAYS_PLAUSIBLE, budget, None);
                start.extend(unpacked.iter().flat_map(|bytes| bytes.iter().take(ENOUGH as usize)));
            }
            _ => {
                // What was read before an error stays.
                let rest = Cell::new(packed);
                let reader = self.reader(&rest, budget);
                let _ = reader.map(|reader| budget.meter(reader).take(ENOUGH).read_to_end(&mut start));
            }
        }
        start
    }

    /// A reader of the stream, for the kinds that have one.
    fn reader<'p>(self, rest: &'p Cell<&[u8]>, budget: &'p WorkBudget) -> io::Result<Box<dyn Read + 'p>> {
        let packed = budget.attempt(rest);
        match self {
            KernelCompression::Gzip => Ok(Box::new(flate2::bufread::GzDecoder::new(packed))),
            KernelCompression::Bzip2 => Ok(Box::new(bzip2::bufread::BzDecoder::new(packed))),
            KernelCompression::Xz | KernelCompression::Lzma => {
                let stream = match self {
                    KernelCompression::Xz => Stream::new_stream_decoder(DICTIONARY, 0),
                    _ => Stream::new_lzma_decoder(DICTIONARY),
                };
                Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(packed.without_holes(), stream?)))
            }
            KernelCompression::Zstd => {
                let packed = packed.without_holes();
                Ok(Box::new(zstd::stream::read::Decoder::with_buffer(packed)?.single_frame()))
            }
            KernelCompression::Lz4Frame => Ok(Box::new(lz4_flex::frame::FrameDecoder::new(packed))),
            KernelCompression::Lzo | KernelCompression::Lz4 => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Decompresses a stream of a kind that has a reader.
    fn drain(
        self,
        packed: &[u8],
        limit: &SizeLimits,
        size: Option<u64>,
        budget: &WorkBudget,
    ) -> Result<ImageBytes<'static>> {
        let rest = Cell::new(packed);
        let reader = self.reader(&rest, budget).map_err(|e| self.failed(&e, budget))?;
        let mut reader = budget.meter(reader);
        let mut density = DensityLimit::default();
        let mut read = |into: &mut [u8], before: usize| {
            let unread = rest.get().len();
            let new = reader.read(into).map_err(|e| self.failed(&e, budget))?;
            match density.allows(unread - rest.get().len(), new) {
                true => Ok(new),
                false => Err(limit.implausible((before + new) as u64)),
            }
        };
        let Some(size) = size else {
            let mut out = Vec::new();
            limit.reserve(&mut out, packed.len() as u64)?;
            loop {
                let before = out.len();
                limit.reserve(&mut out, CHUNK as u64)?;
                out.resize(before + CHUNK, 0);
                let new = read(out.get_mut(before..).unwrap_or_default(), before)?;
                out.truncate(before + new);
                limit.allows(out.len() as u64)?;
                if new == 0 {
                    return Ok(out.into());
                }
            }
        };
        let mut out = limit.zeros(size)?;
        let mut length = 0;
        while let Some(space) = out.get_mut(length..).filter(|space| !space.is_empty()) {
            let end = space.len().min(CHUNK);
            match read(space.get_mut(..end).unwrap_or_default(), length)? {
                0 => break,
                new => length += new,
            }
        }
        let has_more = length == out.len() && read(&mut [0], length)? > 0;
        out.truncate(length);
        match has_more {
            true => Err(self.other_size("more", size)),
            false => Ok(out),
        }
    }

    fn other_size(self, word: &str, size: u64) -> Error {
        let what = format!("its {} stream holds {word} bytes than the {size} that were announced", self.name());
        Error::new(ErrorKind::Malformed, what)
    }

    /// In the file format of lzop.
    fn lzo(self, packed: &[u8], limit: &SizeLimits, budget: &WorkBudget) -> Result<Vec<u8>> {
        let mut density = DensityLimit::default();
        lzo::unpack(packed, |size, block, unpacked| {
            limit.allows(size)?;
            match density.allows(block, unpacked) {
                true => budget.spend((block + unpacked) as u64),
                false => Err(limit.implausible(size)),
            }
        })
    }

    /// Blocks, each preceded by its compressed size in four bytes; the magic may be repeated between them
    /// (lib/decompress_unlz4.c).
    fn lz4(
        self,
        packed: &[u8],
        limit: &SizeLimits,
        size: Option<u64>,
        budget: &WorkBudget,
    ) -> Result<ImageBytes<'static>> {
        let damaged = || self.damaged(&io::ErrorKind::InvalidData.into());
        let cut = || self.damaged(&io::ErrorKind::UnexpectedEof.into());
        let strict = size.is_some();
        let blocks = lz4_blocks(packed, strict, limit.most.div_ceil(LZ4_BLOCK as u64)).ok_or_else(cut)?;
        let mut density = DensityLimit::default();
        if !blocks.iter().all(|block| density.allows(block.len(), lz4_most(block))) {
            return Err(limit.implausible(blocks.iter().map(|block| lz4_most(block) as u64).sum()));
        }
        let space = blocks.len().saturating_mul(LZ4_BLOCK);
        let space = size.map_or(space, |size| usize::try_from(size).unwrap_or(space).min(space));
        let mut out = limit.zeros(space as u64)?;
        let places = out.chunks_mut(LZ4_BLOCK);
        // Blocks are independent, and this format is the fastest, so more cores help.
        let work = Mutex::new(blocks.iter().zip(places).enumerate());
        let unpacked = Mutex::new(vec![None; blocks.len()]);
        let next = || work.lock().ok().and_then(|mut work| work.next());
        let worker = || {
            while let Some((index, (block, place))) = next() {
                if budget.check().is_err() {
                    break;
                }
                let length = lz4_flex::block::decompress_into(block, place);
                // A damaged block may have been decompressed up to its end.
                let written = length.as_ref().map_or_else(|_| lz4_most(block), |length| *length);
                let (Ok(()), Ok(length)) = (budget.spend((block.len() + written) as u64), length) else { break };
                if let Ok(Some(slot)) = unpacked.lock().as_mut().map(|unpacked| unpacked.get_mut(index)) {
                    *slot = Some(length);
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(blocks.len()).min(4);
        std::thread::scope(|scope| {
            // A thread that cannot be spawned is not needed: at least this one does the work.
            (1..cores).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, worker)));
            worker();
        });
        budget.check()?;
        let lengths = unpacked.into_inner().unwrap_or_default();
        // The last block is the first that is not full. The stream ends after it.
        let whole = lengths.iter().take_while(|length| **length == Some(LZ4_BLOCK)).count();
        let last = lengths.get(whole).copied();
        let is_end =
            if strict { whole + 1 >= lengths.len() && last != Some(None) } else { whole > 0 || last != Some(None) };
        if !is_end {
            return Err(damaged());
        }
        out.truncate(whole * LZ4_BLOCK + last.flatten().unwrap_or_default());
        limit.allows(out.len() as u64)?;
        Ok(out)
    }

    /// Why a stream could not be read to its end.
    fn failed(self, error: &io::Error, budget: &WorkBudget) -> Error {
        budget.check().err().unwrap_or_else(|| self.damaged(error))
    }

    fn damaged(self, error: &io::Error) -> Error {
        let name = self.name();
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::new(ErrorKind::Truncated, format!("its {name} stream is cut short")),
            io::ErrorKind::OutOfMemory => {
                Error::new(ErrorKind::TooLarge, format!("its {name} stream asks for more memory than a kernel's needs"))
            }
            _ => Error::new(ErrorKind::Malformed, format!("its {name} stream is damaged or cut short")),
        }
    }
}

/// The limits for a decompressed size.
struct SizeLimits {
    packing: KernelCompression,
    packed: usize,
    max: u64,
    /// The smaller of the given limit and the plausible size.
    most: u64,
}

impl SizeLimits {
    fn new(packing: KernelCompression, packed: usize, max: u64) -> Self {
        let plausible = (packed as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE);
        SizeLimits { packing, packed, max, most: max.min(plausible) }
    }

    /// Fails for a size beyond the limit.
    fn allows(&self, size: u64) -> Result<()> {
        let name = self.packing.name();
        if size > self.max {
            let what = format!("unpacked ({name}), it exceeds the limit of {} bytes", self.max);
            return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit));
        }
        match size > self.most {
            true => Err(self.implausible(size)),
            false => Ok(()),
        }
    }

    fn implausible(&self, size: u64) -> Error {
        let (name, packed) = (self.packing.name(), self.packed);
        let what = format!("{size} bytes or more in a {name} stream of {packed}: no kernel shrinks like that");
        Error::new(ErrorKind::Malformed, what)
    }

    /// This many zero bytes, without touching them.
    fn zeros(&self, size: u64) -> Result<ImageBytes<'static>> {
        let size = usize::try_from(size.min(self.most.saturating_add(1)));
        ImageBytes::of(size.unwrap_or(usize::MAX))
    }

    fn reserve(&self, out: &mut Vec<u8>, more: u64) -> Result<()> {
        let size = usize::try_from(more.min(self.most.saturating_add(1))).ok();
        let reserved = size.and_then(|size| out.try_reserve_exact(size).ok());
        reserved.ok_or_else(|| Error::new(ErrorKind::TooLarge, "unpacked, it is larger than the memory left"))
    }
}

/// How much a stream may still expand.
struct DensityLimit(u64);

impl Default for DensityLimit {
    fn default() -> DensityLimit {
        DensityLimit(LARGEST_RUN)
    }
}

impl DensityLimit {
    /// Is it plausible that the next `packed` bytes of the stream become `unpacked` bytes?
    fn allows(&mut self, packed: usize, unpacked: usize) -> bool {
        let left = self.0.saturating_add((packed as u64).saturating_mul(DENSITY)).checked_sub(unpacked as u64);
        self.0 = left.unwrap_or_default().min(LARGEST_RUN);
        left.is_some()
    }
}

/// The most bytes that an lz4 block can become: a length grows by 255 with each byte.
fn lz4_most(block: &[u8]) -> usize {
    block.len().saturating_mul(255).min(LZ4_BLOCK)
}

/// The compressed blocks of an lz4 stream, at most `most`. `None` if a block is cut short: if the size is known (`strict`),
/// all bytes must be blocks; else the stream ends at the first bytes that are not a block.
fn lz4_blocks(packed: &[u8], strict: bool, most: u64) -> Option<Vec<&[u8]>> {
    let mut blocks = Vec::new();
    let mut rest = packed;
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        if *length == LZ4_MAGIC {
            rest = behind;
            continue;
        }
        match behind.split_at_checked(u32::from_le_bytes(*length) as usize) {
            Some((block, behind)) if (blocks.len() as u64) < most => {
                blocks.push(block);
                rest = behind;
            }
            None if strict || blocks.is_empty() => return None,
            _ => break,
        }
    }
    Some(blocks)
}
