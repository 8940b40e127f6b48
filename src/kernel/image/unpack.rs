//! How kernels are packed, and how that is undone: within a limit, and whatever the bytes are.
//!
//! The magics are those of lib/decompress.c, and two that boot loaders have besides. What follows a stream is not looked at: images have their rest there.

use std::io::{self, Read};
use std::sync::Mutex;

use aho_corasick::AhoCorasick;
use liblzma::stream::Stream;

use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::kernel::image::lzo;
use crate::kernel::image::room::Room;
use crate::module::elf::Endian;

/// The most memory that a stream may ask its decompressor for, in bytes. Kernels are packed with a dictionary of
/// 128 MiB at most (scripts/xz_wrap.sh, 6.12).
const DICTIONARY: u64 = 192 << 20;

/// The most that a byte of the stream may become, on the whole, in an image of more than [`ALWAYS_PLAUSIBLE`]. Kernels
/// shrink to an eighth or so; a bomb would else be unpacked up to the limit.
const RATIO: u64 = 32;

/// What an image may have in any case, in bytes.
const ALWAYS_PLAUSIBLE: u64 = 32 << 20;

/// What a block of the lz4 tool's legacy format has when it is unpacked, in bytes; only the last has less.
const LZ4_BLOCK: usize = 8 << 20;

const LZ4_MAGIC: [u8; 4] = 0x184c_2102_u32.to_le_bytes();
const LZ4_FRAME_MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

const OPENWRT: &[u8] = b"\x6d\0\0";

/// A way of packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Bzip2,
    /// What came before xz, without a magic of its own.
    Lzma,
    Xz,
    /// As the tool `lzop` frames it.
    Lzo,
    /// As `lz4 -l` frames it.
    Lz4,
    /// As `lz4` frames it by default, and U-Boot wants it (lib/lz4_wrapper.c of U-Boot).
    Lz4Frame,
    Zstd,
}

/// How each begins. An lzma stream begins with its properties: those of all presets, or those that OpenWrt packs with
/// (`lzma e -lc1 -lp2 -pb2`), and a dictionary of whole 64 KiB.
const MAGICS: [(&[u8], Packing); 9] = [
    (b"\x1f\x8b\x08", Packing::Gzip),
    (b"BZh", Packing::Bzip2),
    (b"\x5d\0\0", Packing::Lzma),
    (OPENWRT, Packing::Lzma),
    (b"\xfd7zXZ\0", Packing::Xz),
    (lzo::MAGIC, Packing::Lzo),
    (&LZ4_MAGIC, Packing::Lz4),
    (&LZ4_FRAME_MAGIC, Packing::Lz4Frame),
    (b"\x28\xb5\x2f\xfd", Packing::Zstd),
];

impl Packing {
    /// Told by the first bytes.
    pub(super) fn of(bytes: &[u8]) -> Option<Packing> {
        let (_, packing) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic))?;
        let plausible = match packing {
            // The block's own magic follows: pi, or for an empty stream its root.
            Packing::Bzip2 => matches!(bytes.get(3..6), Some([b'1'..=b'9', 0x31, 0x41] | [b'1'..=b'9', 0x17, 0x72])),
            // `m` and two NULs are in many a text; a dictionary that is a power of 2 and a plausible size rarely follow.
            Packing::Lzma if bytes.starts_with(OPENWRT) => {
                let is_size = |size: &[u8]| match size {
                    [_, size @ .., 0, 0, 0, 0] => *size != [0; 3],
                    size => *size == [0xff; 8],
                };
                let dictionary = bytes.get(3..5).map(|bytes| Endian::Little.number(bytes));
                dictionary.is_some_and(u64::is_power_of_two) && bytes.get(5..13).is_some_and(is_size)
            }
            // The size: not known, or one that fits 32 bits.
            Packing::Lzma => matches!(bytes.get(5..13), Some([0xff, ..] | [_, _, _, _, 0, 0, 0, 0])),
            _ => true,
        };
        plausible.then_some(*packing)
    }

    /// The places in these bytes that begin as something packed does.
    pub(super) fn places(bytes: &[u8]) -> impl Iterator<Item = usize> {
        let search = AhoCorasick::new(MAGICS.map(|(magic, _)| magic)).ok();
        let mut from = 0;
        std::iter::from_fn(move || {
            loop {
                let found = search.as_ref()?.find(bytes.get(from..)?)?;
                let at = from + found.start();
                from = at + 1;
                if Packing::of(bytes.get(at..)?).is_some() {
                    return Some(at);
                }
            }
        })
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Bzip2 => "bzip2",
            Packing::Lzma => "lzma",
            Packing::Xz => "xz",
            Packing::Lzo => "lzo",
            Packing::Lz4 | Packing::Lz4Frame => "lz4",
            Packing::Zstd => "zstd",
        }
    }

    /// Unpacks the stream at the start of `packed` to at most `max` bytes. `size` is how many they are to be, where that
    /// is told.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the stream is cut, damaged, or of another size;
    /// [`ErrorKind::TooLarge`] beyond the limit.
    pub(super) fn unpack(self, packed: &[u8], max: u64, size: Option<u64>) -> Result<Room<'static>> {
        let limit = Limit::new(self, packed.len(), max);
        if let Some(size) = size {
            limit.allows(size)?;
        }
        let out = match self {
            Packing::Lz4 => self.lz4(packed, &limit, size)?,
            Packing::Lzo => lzo::unpack(packed, |size| limit.allows(size))?.into(),
            Packing::Zstd if size.is_some() => self.zstd(packed, &limit, size.unwrap_or_default())?,
            _ => self.drain(packed, &limit, size)?.into(),
        };
        match size {
            Some(size) if size != out.len() as u64 => {
                let word = if (out.len() as u64) < size { "fewer" } else { "more" };
                let what = format!("its {} stream holds {word} bytes than the {size} that are announced", self.name());
                Err(Error::new(ErrorKind::Malformed, what))
            }
            _ => Ok(out),
        }
    }

    /// The first bytes of what is packed, as many as a kind of image is told by; fewer if it is damaged.
    pub(super) fn peek(self, packed: &[u8]) -> Vec<u8> {
        const ENOUGH: u64 = 0x10010;
        let mut start = Vec::new();
        match self {
            Packing::Lz4 | Packing::Lzo => {
                // One block is enough, and 16 MiB of what is packed hold one.
                let some = packed.get(..16 << 20).unwrap_or(packed);
                let unpacked = self.unpack(some, ALWAYS_PLAUSIBLE, None);
                start.extend(unpacked.iter().flat_map(|bytes| bytes.iter().take(ENOUGH as usize)));
            }
            _ => {
                // What was read before an error stays.
                let _ = self.reader(packed).map(|reader| reader.take(ENOUGH).read_to_end(&mut start));
            }
        }
        start
    }

    /// A reader of the stream, for the kinds that have one.
    fn reader<'p>(self, packed: &'p [u8]) -> io::Result<Box<dyn Read + 'p>> {
        let lzma = |stream: Result<Stream, liblzma::stream::Error>| -> io::Result<Box<dyn Read + 'p>> {
            Ok(Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream?)))
        };
        match self {
            Packing::Gzip => Ok(Box::new(flate2::bufread::GzDecoder::new(packed))),
            Packing::Bzip2 => Ok(Box::new(bzip2::bufread::BzDecoder::new(packed))),
            Packing::Xz => lzma(Stream::new_stream_decoder(DICTIONARY, 0)),
            Packing::Lzma => lzma(Stream::new_lzma_decoder(DICTIONARY)),
            Packing::Zstd => Ok(Box::new(zstd::stream::read::Decoder::with_buffer(packed)?.single_frame())),
            Packing::Lz4Frame => Ok(Box::new(lz4_flex::frame::FrameDecoder::new(packed))),
            Packing::Lzo | Packing::Lz4 => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn drain(self, packed: &[u8], limit: &Limit, size: Option<u64>) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        limit.reserve(&mut out, size.unwrap_or(packed.len() as u64))?;
        let reader = self.reader(packed).map_err(|e| self.damaged(&e))?;
        // One byte more than there should be tells that there are more.
        let most = size.unwrap_or(limit.most).saturating_add(1);
        let read = reader.take(most).read_to_end(&mut out);
        read.map_err(|e| self.damaged(&e))?;
        limit.allows(out.len() as u64)?;
        Ok(out)
    }

    /// At once into its place, since the size is known.
    fn zstd(self, packed: &[u8], limit: &Limit, size: u64) -> Result<Room<'static>> {
        let damaged = |_| self.damaged(&io::ErrorKind::InvalidData.into());
        let length = zstd::zstd_safe::find_frame_compressed_size(packed).map_err(damaged)?;
        let frame = packed.get(..length).unwrap_or(packed);
        let mut out = limit.zeros(size)?;
        let mut decompressor = zstd::bulk::Decompressor::new().map_err(|e| self.damaged(&e))?;
        let length = decompressor.decompress_to_buffer(frame, &mut out[..]).map_err(|e| self.damaged(&e))?;
        out.truncate(length);
        Ok(out)
    }

    /// Blocks, each behind its packed size in four bytes; the magic may come again between them (lib/decompress_unlz4.c).
    fn lz4(self, packed: &[u8], limit: &Limit, size: Option<u64>) -> Result<Room<'static>> {
        let damaged = || self.damaged(&io::ErrorKind::InvalidData.into());
        let cut = || self.damaged(&io::ErrorKind::UnexpectedEof.into());
        let strict = size.is_some();
        let blocks = lz4_blocks(packed, strict, limit.most.div_ceil(LZ4_BLOCK as u64)).ok_or_else(cut)?;
        let room = blocks.len().saturating_mul(LZ4_BLOCK);
        let room = size.map_or(room, |size| usize::try_from(size).unwrap_or(room).min(room));
        let mut out = limit.zeros(room as u64)?;
        let places = out.chunks_mut(LZ4_BLOCK);
        // Blocks know nothing of each other, and this is the fastest way of packing: more cores tell.
        let work = Mutex::new(blocks.iter().zip(places).enumerate());
        let unpacked = Mutex::new(vec![None; blocks.len()]);
        let next = || work.lock().ok().and_then(|mut work| work.next());
        let worker = || {
            while let Some((index, (block, place))) = next() {
                let Ok(length) = lz4_flex::block::decompress_into(block, place) else { break };
                if let Ok(Some(slot)) = unpacked.lock().as_mut().map(|unpacked| unpacked.get_mut(index)) {
                    *slot = Some(length);
                }
            }
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(blocks.len()).min(4);
        std::thread::scope(|scope| {
            // A thread that can't be had is not needed: the work is done by the others, by this one at least.
            (1..cores).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, worker)));
            worker();
        });
        let lengths = unpacked.into_inner().unwrap_or_default();
        // The last block is the first that is not full. Behind it is nothing, or nothing of the stream.
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

/// How large something may become.
struct Limit {
    packing: Packing,
    packed: usize,
    max: u64,
    /// The smaller of the limit that was set, and what is plausible.
    most: u64,
}

impl Limit {
    fn new(packing: Packing, packed: usize, max: u64) -> Self {
        let plausible = (packed as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE);
        Limit { packing, packed, max, most: max.min(plausible) }
    }

    /// An error for a size beyond the limit.
    fn allows(&self, size: u64) -> Result<()> {
        let name = self.packing.name();
        if size > self.max {
            let what = format!("unpacked ({name}), it exceeds the limit of {} bytes", self.max);
            return Err(Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit));
        }
        if size > self.most {
            let what =
                format!("{size} bytes or more in a {name} stream of {}: no kernel shrinks like that", self.packed);
            return Err(Error::new(ErrorKind::Malformed, what));
        }
        Ok(())
    }

    /// As many zeros, without touching them.
    fn zeros(&self, size: u64) -> Result<Room<'static>> {
        let size = usize::try_from(size.min(self.most.saturating_add(1)));
        Room::of(size.unwrap_or(usize::MAX))
    }

    fn reserve(&self, out: &mut Vec<u8>, more: u64) -> Result<()> {
        let size = usize::try_from(more.min(self.most.saturating_add(1))).ok();
        let reserved = size.and_then(|size| out.try_reserve_exact(size).ok());
        reserved.ok_or_else(|| Error::new(ErrorKind::TooLarge, "unpacked, it is larger than the memory left"))
    }
}

/// The packed blocks of an lz4 stream, up to a number. `None` if a block is cut: where the size is told (`strict`), all
/// bytes must be blocks, else what is no block is no more of the stream.
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
