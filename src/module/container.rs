//! The container of a module file: plain, or compressed by gzip, xz or zstd; recognised by content, never by name.
//!
//! Decompression is bounded twice: by a limit that the caller sets, and by the ELF itself. As soon as the section
//! headers are there they say where the image ends; a stream that continues far past that is a decompression bomb, and is abandoned.

use std::cell::Cell;
use std::io::Read;

use serde::{Deserialize, Serialize};

pub use crate::budget::DEFAULT_MAX_SIZE;
use crate::budget::WorkBudget;
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::module::elf::{self, Extent};
use crate::module::wrapper;

/// What may follow the ELF image in a decompressed stream: a trailer has some kilobytes at most.
const SLACK: u64 = 1 << 20;

/// The most that a byte of the stream may become, on the whole, in an image of more than [`ALWAYS_PLAUSIBLE`]. Modules
/// shrink to a tenth at best; a bomb whose headers lie at its far end would else be unpacked up to the limit.
const RATIO: u64 = 256;

/// What an image may have in any case, in bytes.
const ALWAYS_PLAUSIBLE: u64 = 64 << 20;

/// How many bytes are decompressed at a time.
const CHUNK: usize = 1 << 16;

/// How a module file is stored.
#[cfg_attr(not(feature = "internals"), non_exhaustive)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// Not compressed.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Container {
    /// Recognised by the first bytes, as in kmod (libkmod-file.c) and the kernel (kernel/module/decompress.c, 5.17).
    pub fn of(bytes: &[u8]) -> Container {
        match bytes {
            [0x1f, 0x8b, ..] => Container::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Container::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Container::Zstd,
            _ => Container::None,
        }
    }

    /// Is it none?
    pub fn is_none(&self) -> bool {
        *self == Container::None
    }

    /// Its name in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Container::None => "none",
            Container::Gzip => "gzip",
            Container::Xz => "xz",
            Container::Zstd => "zstd",
        }
    }

    /// The command that decompresses it, for a hint.
    pub fn unpacker(self) -> &'static str {
        match self {
            Container::None => "cat",
            Container::Gzip => "gzip -dk",
            Container::Xz => "xz -dk",
            Container::Zstd => "zstd -dk",
        }
    }

    /// Decompresses `stored`, whose container this is, to at most `max` bytes, as kmod does: all streams of an xz file and
    /// the padding between them, all frames of a zstd file, all members of a gzip file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`] if the contents are not an ELF file, [`ErrorKind::Wrapped`] if it is of a kind that is not read
    /// here, [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the stream is cut or damaged,
    /// [`ErrorKind::Unsupported`] if it needs more memory than kmod allows, [`ErrorKind::TooLarge`] above the limit,
    /// [`ErrorKind::TooMuchWork`] if it costs more than a file of its size may.
    pub fn decompress(self, stored: &[u8], max: u64) -> Result<Vec<u8>> {
        self.decompress_within(stored, &WorkBudget::of_module(stored.len(), max))
    }

    /// As [`Container::decompress`], within the budget of a question that is also about other files.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`].
    pub(crate) fn decompress_within(self, stored: &[u8], budget: &WorkBudget) -> Result<Vec<u8>> {
        let mut image = Vec::new();
        self.decompress_into_within(&mut image, stored, budget)?;
        Ok(image)
    }

    /// As [`Container::decompress`], into a buffer that is reused: its contents are replaced, its memory is kept.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`]; what is in the buffer then means nothing.
    pub fn decompress_into(self, image: &mut Vec<u8>, stored: &[u8], max: u64) -> Result<()> {
        self.decompress_into_within(image, stored, &WorkBudget::of_module(stored.len(), max))
    }

    /// As [`Container::decompress_into`], within the budget of a question that is also about other files.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`]; what is in the buffer then means nothing.
    pub(crate) fn decompress_into_within(self, image: &mut Vec<u8>, stored: &[u8], budget: &WorkBudget) -> Result<()> {
        let packing = self.unpack_bounded(image, stored, budget, true)?;
        if image.is_empty() && self != Container::None {
            return Err(Error::new(ErrorKind::NotAModule, format!("nothing inside ({})", self.name())));
        }
        match packing.after {
            TrailingData::Other(_) => {
                Err(Error::new(ErrorKind::Malformed, format!("bytes after the end of the {} stream", self.name())))
            }
            TrailingData::Nothing | TrailingData::Padding => Ok(()),
        }
    }

    internal_fn! {
        /// As [`Container::decompress_into`], and says how the file is packed. Bytes after the streams are no error here:
        /// some loaders ignore them. Neither is what is no ELF file, as long as it is no larger than modules can be.
        ///
        /// # Errors
        ///
        /// [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if the stream is cut or damaged, [`ErrorKind::Unsupported`] if it
        /// asks for more memory than kmod gives, [`ErrorKind::TooLarge`] beyond the limit, [`ErrorKind::TooMuchWork`] if it costs
        /// more than a file of its size may; what is in the buffer then means nothing.
        fn unpack(self, image: &mut Vec<u8>, stored: &[u8], max: u64) -> Result<Packing> {
            self.unpack_bounded(image, stored, &WorkBudget::of_module(stored.len(), max), false)
        }
    }

    fn unpack_bounded(
        self,
        image: &mut Vec<u8>,
        stored: &[u8],
        budget: &WorkBudget,
        must_be_elf: bool,
    ) -> Result<Packing> {
        let max = budget.max_size();
        image.clear();
        let mut packing = Packing { container: self, first: 0, pieces: 1, after: TrailingData::Nothing, header: None };
        if self == Container::None {
            image.try_reserve_exact(stored.len()).map_err(|_| self.too_large(max))?;
            image.extend_from_slice(stored);
            packing.first = image.len();
            return Ok(packing);
        }
        packing.header = StreamHeader::read(self, stored);
        let mut bounds = Bounds {
            stored: stored.len(),
            plausible: (stored.len() as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE),
            budget,
            extent: Extent::AtLeast(0),
            must_be_elf,
        };
        let mut rest = self.piece(image, stored, &mut bounds)?;
        packing.first = image.len();
        loop {
            let (next, after) = self.next_piece(rest);
            packing.after = after;
            let Some(next) = next else { break };
            let before = image.len();
            match self.piece(image, next, &mut bounds) {
                Ok(behind) => rest = behind,
                Err(error) if matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Malformed) => {
                    // No program reads bytes that look like another stream and are not.
                    image.truncate(before);
                    packing.after = TrailingData::Other(rest.len());
                    break;
                }
                Err(error) => return Err(error),
            }
            packing.pieces += 1;
        }
        Ok(packing)
    }

    /// Decompresses one stream, frame or member to the end of `image`; returns the bytes after it.
    fn piece<'s>(self, image: &mut Vec<u8>, stored: &'s [u8], bounds: &mut Bounds<'_>) -> Result<&'s [u8]> {
        let rest = Cell::new(stored);
        match self {
            Container::None => Ok(&[]),
            Container::Gzip => {
                let decoder = flate2::bufread::GzDecoder::new(bounds.budget.attempt(&rest));
                self.drain(decoder, image, bounds)?;
                Ok(rest.get())
            }
            Container::Xz => {
                let decoder = liblzma::bufread::XzDecoder::new(bounds.budget.attempt(&rest).without_holes());
                self.drain(decoder, image, bounds)?;
                Ok(rest.get())
            }
            Container::Zstd => {
                readable_frame(stored)?;
                let decoder = zstd::stream::read::Decoder::with_buffer(bounds.budget.attempt(&rest).without_holes());
                self.drain(decoder.map_err(|e| self.damaged(&e))?.single_frame(), image, bounds)?;
                Ok(rest.get())
            }
        }
    }

    /// The next stream, frame or member in the bytes after one, and what they are.
    fn next_piece(self, mut rest: &[u8]) -> (Option<&[u8]>, TrailingData) {
        match self {
            Container::None => (None, TrailingData::Nothing),
            Container::Xz => {
                // Padding comes in multiples of four bytes (the xz file format, 2.2).
                let zeros = rest.iter().take_while(|byte| **byte == 0).count();
                let behind = rest.get(zeros..).unwrap_or_default();
                match (zeros % 4, Container::of(behind)) {
                    (0, Container::Xz) => (Some(behind), TrailingData::Nothing),
                    (0, _) if rest.is_empty() => (None, TrailingData::Nothing),
                    (0, _) if behind.is_empty() => (None, TrailingData::Padding),
                    _ => (None, TrailingData::Other(rest.len())),
                }
            }
            Container::Zstd => {
                while let Some(behind) = after_skippable(rest) {
                    rest = behind;
                }
                match Container::of(rest) {
                    Container::Zstd => (Some(rest), TrailingData::Nothing),
                    _ if rest.is_empty() => (None, TrailingData::Nothing),
                    _ => (None, TrailingData::Other(rest.len())),
                }
            }
            Container::Gzip => match Container::of(rest) {
                Container::Gzip => (Some(rest), TrailingData::Nothing),
                _ if rest.is_empty() => (None, TrailingData::Nothing),
                _ if rest.iter().all(|byte| *byte == 0) => (None, TrailingData::Padding),
                _ => (None, TrailingData::Other(rest.len())),
            },
        }
    }

    fn drain(self, decoder: impl Read, out: &mut Vec<u8>, bounds: &mut Bounds<'_>) -> Result<()> {
        let &mut Bounds { stored, plausible, budget, .. } = bounds;
        let max = budget.max_size();
        let mut decoder = budget.meter(decoder);
        loop {
            let before = out.len();
            if out.capacity() - before < CHUNK {
                // A little more each time, not twice as much: the largest modules decide what memory a whole scan takes.
                let more = if before == 0 { stored.saturating_mul(3) } else { before / 8 };
                out.try_reserve_exact(more.max(CHUNK)).map_err(|_| self.too_large(max))?;
            }
            out.resize(before + CHUNK, 0);
            let read = decoder.read(out.get_mut(before..).unwrap_or_default());
            let new = match read {
                Ok(new) => new,
                Err(error) => return Err(budget.check().err().unwrap_or_else(|| self.damaged(&error))),
            };
            out.truncate(before + new);
            if new == 0 {
                return Ok(());
            }
            if out.len() as u64 > max {
                return Err(self.too_large(max));
            }
            if before == 0 && bounds.must_be_elf {
                self.must_be_elf(out)?;
            }
            if let Extent::AtLeast(_) = bounds.extent {
                bounds.extent = match elf::extent(out) {
                    // It ends nowhere in particular.
                    Err(_) if !bounds.must_be_elf => Extent::AtLeast(out.len() as u64),
                    extent => extent?,
                };
            }
            match bounds.extent {
                Extent::AtLeast(end) | Extent::Exactly(end) if end > max => return Err(self.too_large(max)),
                Extent::AtLeast(end) | Extent::Exactly(end) if end > plausible => {
                    let what = format!("{end} bytes in a {} stream of {stored}", self.name());
                    return Err(Error::new(ErrorKind::Malformed, what).hint("no module shrinks like that"));
                }
                Extent::Exactly(end) if out.len() as u64 > end.saturating_add(SLACK) => {
                    let what =
                        format!("decompressed ({}), it goes on long after the end of its ELF image", self.name());
                    return Err(Error::new(ErrorKind::Malformed, what));
                }
                _ => {}
            }
        }
    }

    fn too_large(self, max: u64) -> Error {
        let what = format!("decompressed ({}), it exceeds the limit of {max} bytes", self.name());
        Error::new(ErrorKind::TooLarge, what).remedy(Remedy::RaiseSizeLimit)
    }

    /// The first bytes decide, before the rest of a decompression bomb is unpacked.
    fn must_be_elf(self, start: &[u8]) -> Result<()> {
        let name = self.name();
        match Container::of(start) {
            Container::None if start.starts_with(b"\x7fELF") => Ok(()),
            Container::None if let Some(wrapper) = wrapper::of(start) => Err(wrapper),
            Container::None => {
                Err(Error::new(ErrorKind::NotAModule, format!("decompressed ({name}), it is not an ELF file")))
            }
            inner => {
                Err(Error::new(ErrorKind::NotAModule, format!("compressed twice ({name}, inside it {})", inner.name())))
            }
        }
    }

    fn damaged(self, error: &std::io::Error) -> Error {
        let name = self.name();
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Truncated, format!("the {name} stream is cut short"))
            }
            _ => Error::new(ErrorKind::Malformed, format!("the {name} stream is damaged or cut short")),
        }
    }
}

/// How much may come out of a file.
struct Bounds<'b> {
    /// The size of the file.
    stored: usize,
    /// What may come out of so many bytes.
    plausible: u64,
    /// What the question may cost, and the greatest size that the caller allows.
    budget: &'b WorkBudget,
    /// Where the ELF image ends.
    extent: Extent,
    /// Is it an error if it is no ELF image?
    must_be_elf: bool,
}

/// How a compressed file is made, as far as it decides which loader reads what of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// How it is compressed.
    pub container: Container,
    /// How many bytes the first stream, frame or member holds.
    pub first: usize,
    /// How many streams, frames or members there are.
    pub pieces: usize,
    /// What follows them.
    pub after: TrailingData,
    /// What the first one's header says; `None` for gzip, whose header decides nothing.
    pub header: Option<StreamHeader>,
}

/// What follows the compressed data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailingData {
    /// Nothing, or frames that zstd skips.
    Nothing,
    /// Zeros that the format allows: xz's padding, and what gzip ignores.
    Padding,
    /// So many other bytes.
    Other(usize),
}

/// What the header of a compressed file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamHeader {
    /// An xz file (the xz file format, 2.1.1 and 3.1).
    Xz {
        /// The number of the integrity check: 0 none, 1 CRC32, 4 CRC64, 10 SHA-256.
        check: u8,
        /// The number of the filter before LZMA2: 3 delta, 4 x86 and so on; `None` if there is no other filter.
        filter: Option<u64>,
        /// Is it a chain of filters that no kernel takes: three and more, or a filter with an offset?
        is_odd: bool,
        /// The size of the dictionary in bytes.
        dictionary: u64,
    },
    /// A zstd frame (RFC 8878, section 3.1.1.1).
    Zstd {
        /// What the frame says that comes out of it, in bytes; `None` if it does not say.
        content: Option<u64>,
        /// How much of it must be kept to decompress the rest, in bytes.
        window: u64,
    },
}

/// LZMA2's number among the filters of xz.
const LZMA2: u64 = 0x21;

impl StreamHeader {
    /// The header at the start of a file; `None` where it is not read, or can't be.
    fn read(container: Container, stored: &[u8]) -> Option<StreamHeader> {
        match container {
            Container::None | Container::Gzip => None,
            Container::Xz => StreamHeader::xz(stored),
            Container::Zstd => StreamHeader::zstd(stored.get(4..)?),
        }
    }

    fn xz(stored: &[u8]) -> Option<StreamHeader> {
        let check = stored.get(7)? & 0x0f;
        let block = stored.get(12..)?;
        // Without a block the index follows, whose first byte is 0.
        let size = usize::from(*block.first()?);
        if size == 0 {
            return Some(StreamHeader::Xz { check, filter: None, is_odd: false, dictionary: 0 });
        }
        let mut rest = block.get(1..4 * (size + 1))?;
        let (&flags, tail) = rest.split_first()?;
        rest = tail;
        for present in [0x40, 0x80] {
            if flags & present != 0 {
                number(&mut rest)?;
            }
        }
        let (mut filter, mut dictionary, count) = (None, 0, usize::from(flags & 3) + 1);
        let mut is_odd = count > 2;
        for at in 0..count {
            let (id, size) = (number(&mut rest)?, number(&mut rest)?);
            let (properties, tail) = rest.split_at_checked(usize::try_from(size).ok()?)?;
            rest = tail;
            if id == LZMA2 {
                // 2 or 3, times a power of two (5.3.1).
                let bits = *properties.first()?;
                dictionary = (2 | u64::from(bits & 1)) << (bits / 2 + 11).min(32);
            } else {
                is_odd |= at > 0 || (id != 3 && !properties.is_empty());
                filter = filter.or(Some(id));
            }
        }
        Some(StreamHeader::Xz { check, filter, is_odd, dictionary })
    }

    fn zstd(frame: &[u8]) -> Option<StreamHeader> {
        let (&descriptor, mut rest) = frame.split_first()?;
        let is_single = descriptor & 0x20 != 0;
        let mut window = 0;
        if !is_single {
            let (&byte, tail) = rest.split_first()?;
            let base = 1_u64 << (10 + (byte >> 3));
            window = base + base / 8 * u64::from(byte & 7);
            rest = tail;
        }
        let dictionary_id = match descriptor & 3 {
            3 => 4,
            bytes => usize::from(bytes),
        };
        let rest = rest.get(dictionary_id..)?;
        let little = |count: usize| {
            let digits = rest.get(..count)?;
            Some(digits.iter().rev().fold(0, |sum: u64, digit| sum << 8 | u64::from(*digit)))
        };
        let content = match descriptor >> 6 {
            0 if is_single => Some(little(1)?),
            0 => None,
            1 => Some(little(2)? + 256),
            2 => Some(little(4)?),
            _ => Some(little(8)?),
        };
        Some(StreamHeader::Zstd { content, window: if is_single { content? } else { window } })
    }
}

/// The largest window of a zstd frame that kmod 30 and zstd(1) without `--long` take, in bytes: theirs is libzstd's default
/// (ZSTD_WINDOWLOG_LIMIT_DEFAULT of zstd.h, and ZSTD_decompressStream, 1.5).
const LARGEST_WINDOW: u64 = 128 << 20;

/// Refuses a frame that is well made, and that no loader reads all the same.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`].
fn readable_frame(stored: &[u8]) -> Result<()> {
    let frame = stored.get(4..).unwrap_or_default();
    if let Some(StreamHeader::Zstd { window, .. }) = StreamHeader::zstd(frame)
        && window > LARGEST_WINDOW + 1
    {
        let what = format!("its zstd window is {} MiB; kmod 30 and zstd take {}", window >> 20, LARGEST_WINDOW >> 20);
        let hint = "pack it again: zstd --long=31 -dc FILE > MODULE.ko && zstd MODULE.ko";
        return Err(Error::new(ErrorKind::Unsupported, what).hint(hint));
    }
    // A dictionary's number follows the window's byte, which frames of a single segment do not have (RFC 8878, 3.1.1.1).
    let has_dictionary = || {
        let descriptor = frame.first()?;
        let at = if descriptor & 0x20 != 0 { 1 } else { 2 };
        let len = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
        Some(frame.get(at..at + len)?.iter().any(|byte| *byte != 0))
    };
    if has_dictionary() == Some(true) {
        let what = "its zstd frame needs a dictionary, which no loader has";
        let hint = "pack it again: zstd -D DICTIONARY -dc FILE > MODULE.ko && zstd MODULE.ko";
        return Err(Error::new(ErrorKind::Unsupported, what).hint(hint));
    }
    Ok(())
}

/// A number of xz: seven bits a byte, the lowest first.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for at in 0..9 {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The bytes after a frame that zstd skips (RFC 8878, section 3.1.2); `None` if it is none.
fn after_skippable(bytes: &[u8]) -> Option<&[u8]> {
    let (&[kind, 0x2a, 0x4d, 0x18, a, b, c, d], rest) = bytes.split_first_chunk()? else { return None };
    (kind & 0xf0 == 0x50).then_some(())?;
    rest.get(u32::from_le_bytes([a, b, c, d]) as usize..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

    fn unpacked(container: Container, stored: &[u8]) -> (Vec<u8>, Packing) {
        let mut image = Vec::new();
        let packing = container.unpack(&mut image, stored, DEFAULT_MAX_SIZE).unwrap();
        (image, packing)
    }

    #[test]
    fn all_streams_count_and_bytes_after_them_are_reported() {
        let (half, rest) = MODULE.split_at(MODULE.len() / 2);
        let other = b"other".as_slice();
        for (container, padding) in [
            (Container::Xz, TrailingData::Padding),
            (Container::Zstd, TrailingData::Other(8)),
            (Container::Gzip, TrailingData::Padding),
        ] {
            let [first, second] = [half, rest].map(|part| container.compress(part).unwrap());
            let both = [first.as_slice(), &second].concat();
            for (end, after) in [(&[][..], TrailingData::Nothing), (&[0; 8], padding), (other, TrailingData::Other(5))]
            {
                let (image, packing) = unpacked(container, &[both.as_slice(), end].concat());
                assert_eq!(image, MODULE, "{container:?}");
                assert_eq!((packing.first, packing.pieces, packing.after), (half.len(), 2, after), "{container:?}");
            }
            let cut = [both.as_slice(), &first[..first.len() / 2]].concat();
            assert_eq!(unpacked(container, &cut).1.after, TrailingData::Other(first.len() / 2));
            assert!(container.decompress(&cut, DEFAULT_MAX_SIZE).is_err());
        }
    }

    #[test]
    fn padding_of_xz_comes_in_fours_also_between_streams() {
        let (half, rest) = MODULE.split_at(100);
        let [first, second] = [half, rest].map(|part| Container::Xz.compress(part).unwrap());
        let (image, packing) = unpacked(Container::Xz, &[&first[..], &[0; 12], &second].concat());
        assert_eq!((image.as_slice(), packing.pieces), (MODULE, 2));
        let odd = [&first[..], &[0; 6]].concat();
        assert_eq!(unpacked(Container::Xz, &odd).1.after, TrailingData::Other(6));
    }

    #[test]
    fn frames_that_zstd_skips_are_skipped() {
        let packed = Container::Zstd.compress(MODULE).unwrap();
        let skipped = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let (image, packing) = unpacked(Container::Zstd, &[&packed[..], &skipped].concat());
        assert_eq!((image.as_slice(), packing.pieces, packing.after), (MODULE, 1, TrailingData::Nothing));
    }

    #[test]
    fn a_zstd_frame_that_kmod_does_not_take_is_no_damaged_one() {
        use std::io::Write;
        let refusal = |packed: &[u8]| {
            let error = Container::Zstd.decompress(packed, DEFAULT_MAX_SIZE).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            error.to_string()
        };
        // The window of a frame whose size is not known is what its header says, however little is in it.
        let with_window = |log: u8| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.write_all(MODULE).unwrap();
            let mut packed = encoder.finish().unwrap();
            assert_eq!(packed[4] & 0x20, 0);
            packed[5] = (log - 10) << 3;
            packed
        };
        assert_eq!(Container::Zstd.decompress(&with_window(27), DEFAULT_MAX_SIZE).unwrap(), MODULE);
        for (log, mib) in [(28, 256), (31, 2048)] {
            assert!(refusal(&with_window(log)).starts_with(&format!("its zstd window is {mib} MiB; ")), "{log}");
        }
        let dictionary =
            zstd::dict::from_samples(&(0..200).map(|n| MODULE[n..n + 300].to_vec()).collect::<Vec<_>>(), 4096);
        let mut encoder = zstd::Encoder::with_dictionary(Vec::new(), 1, &dictionary.unwrap()).unwrap();
        encoder.write_all(MODULE).unwrap();
        assert!(refusal(&encoder.finish().unwrap()).starts_with("its zstd frame needs a dictionary"));
    }

    #[test]
    fn headers_tell_check_filter_dictionary_and_size() {
        let packed = Container::Xz.compress(MODULE).unwrap();
        let header = StreamHeader::Xz { check: 1, filter: None, is_odd: false, dictionary: 1 << 20 };
        assert_eq!(unpacked(Container::Xz, &packed).1.header, Some(header));
        let size = MODULE.len() as u64;
        let packed = Container::Zstd.compress(MODULE).unwrap();
        let header = StreamHeader::Zstd { content: Some(size), window: size };
        assert_eq!(unpacked(Container::Zstd, &packed).1.header, Some(header));
        for end in 0..packed.len().min(20) {
            let _ = (StreamHeader::xz(&packed[..end]), StreamHeader::zstd(&packed[..end]));
        }
    }

    #[test]
    fn content_decides_not_the_name() {
        assert_eq!(Container::of(b"\x7fELF\x02\x01"), Container::None);
        assert_eq!(Container::of(b"\x28\xb5\x2f\xfd\x04"), Container::Zstd);
        assert_eq!(Container::of(b""), Container::None);
    }
}
