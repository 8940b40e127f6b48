//! LZO in the file format of `lzop`: the decompressor is part of this crate, and a test compares it with the crate
//! `lzokay-native`, which is free and newer than this file.
//!
//! The file format is the one that lib/decompress_unlzo.c reads; the blocks are LZO1X streams, described in
//! Documentation/staging/lzo.rst.

use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::Endian;

/// How a file of lzop begins.
pub(super) const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";

// Flags of the header (lzop's conf.h, as the kernel's reader names some of them).
const ADLER32_UNPACKED: u64 = 1;
const ADLER32_PACKED: u64 = 2;
const EXTRA_FIELD: u64 = 0x40;
const CRC32_UNPACKED: u64 = 0x100;
const CRC32_PACKED: u64 = 0x200;
const FILTER: u64 = 0x800;

/// The version of lzop from which on the header has more fields.
const NEWER: u64 = 0x940;

/// The most that a block has unpacked, in bytes: MAX_BLOCK_SIZE of lzop.
const MOST: usize = 64 << 20;

/// Unpacks a file of lzop. `allows` is asked before each block about the size that is reached with it, and about the sizes of
/// the block before and after.
pub(super) fn unpack(packed: &[u8], mut allows: impl FnMut(u64, usize, usize) -> Result<()>) -> Result<Vec<u8>> {
    let cut = || Error::new(ErrorKind::Truncated, "its lzo stream is cut short");
    let mut reader = LzoReader { bytes: packed };
    let flags = header(&mut reader).ok_or_else(cut)?;
    let mut out = Vec::new();
    loop {
        let unpacked = reader.number(4).ok_or_else(cut)?;
        if unpacked == 0 {
            return Ok(out);
        }
        let length = reader.number(4).ok_or_else(cut)?;
        let (unpacked, length) = (usize::try_from(unpacked).unwrap_or(MOST), usize::try_from(length).unwrap_or(MOST));
        let sums = [ADLER32_UNPACKED, CRC32_UNPACKED].into_iter().filter(|flag| flags & flag != 0).count();
        let packed_sums = [ADLER32_PACKED, CRC32_PACKED].into_iter().filter(|flag| flags & flag != 0).count();
        let sums = if length < unpacked { sums + packed_sums } else { sums };
        reader.take(4 * sums).ok_or_else(cut)?;
        let block = reader.take(length).ok_or_else(cut)?;
        if unpacked >= MOST || length > unpacked {
            return Err(damaged());
        }
        let end = out.len() + unpacked;
        allows(end as u64, length, unpacked)?;
        out.try_reserve(unpacked).map_err(|_| Error::new(ErrorKind::TooLarge, "larger than the memory left"))?;
        match length == unpacked {
            true => out.extend_from_slice(block),
            false => block_into(block, &mut out, end).ok_or_else(damaged)?,
        }
        if out.len() != end {
            return Err(damaged());
        }
    }
}

fn damaged() -> Error {
    Error::new(ErrorKind::Malformed, "its lzo stream is damaged or cut short")
}

/// The flags of the header, with the reader behind it.
fn header(reader: &mut LzoReader<'_>) -> Option<u64> {
    reader.take(MAGIC.len())?;
    let version = reader.number(2)?;
    reader.take(2)?; // of the library
    let newer = version >= NEWER;
    reader.take(if newer { 2 + 1 + 1 } else { 1 })?; // version needed, method, level
    let flags = reader.number(4)?;
    reader.take(if flags & FILTER != 0 { 4 } else { 0 })?;
    reader.take(if newer { 4 + 8 } else { 4 + 4 })?; // mode, time
    let name = reader.number(1)?;
    reader.take(usize::try_from(name).ok()? + 4)?; // and a checksum
    if flags & EXTRA_FIELD != 0 {
        let length = reader.number(4)?;
        reader.take(usize::try_from(length).ok()?.checked_add(4)?)?;
    }
    Some(flags)
}

struct LzoReader<'p> {
    bytes: &'p [u8],
}

impl<'p> LzoReader<'p> {
    fn take(&mut self, length: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    /// Big-endian, as all of lzop's numbers.
    fn number(&mut self, length: usize) -> Option<u64> {
        self.take(length).map(|bytes| Endian::Big.number(bytes))
    }

    fn byte(&mut self) -> Option<usize> {
        self.take(1)?.first().copied().map(usize::from)
    }

    /// A length: `bits` of it in the instruction; if they are zero, `base` more, 255 for each zero byte, and a last byte.
    fn length(&mut self, bits: usize, base: usize) -> Option<usize> {
        if bits != 0 {
            return Some(bits);
        }
        let zeros = self.bytes.iter().take_while(|byte| **byte == 0).count();
        self.take(zeros)?;
        zeros.checked_mul(255)?.checked_add(base)?.checked_add(self.byte()?)
    }
}

/// Unpacks one LZO1X block to the end of `out`, up to `end`. `None` if it is damaged.
fn block_into(block: &[u8], out: &mut Vec<u8>, end: usize) -> Option<()> {
    let start = out.len();
    let mut reader = LzoReader { bytes: block };
    // What the last instruction copied by itself from the stream: 0 to 3 bytes, or 4 for more.
    let mut state;
    match usize::from(*block.first()?) {
        first @ 18.. => {
            reader.byte()?;
            let literals = first - 17;
            copy_literals(&mut reader, out, literals, end)?;
            state = literals.min(4);
        }
        _ => state = 0,
    }
    loop {
        let instruction = reader.byte()?;
        let (length, distance, trailing) = match instruction {
            0..16 if state == 0 => {
                let length = reader.length(instruction, 15)? + 3;
                copy_literals(&mut reader, out, length, end)?;
                state = 4;
                continue;
            }
            0..16 => {
                let far = reader.byte()? << 2 | instruction >> 2;
                let (length, base) = if state == 4 { (3, 2049) } else { (2, 1) };
                (length, far + base, instruction & 3)
            }
            16..32 => {
                let length = reader.length(instruction & 7, 7)? + 2;
                let low = reader.take(2).map(|bytes| Endian::Little.number(bytes) as usize)?;
                let distance = 16384 + ((instruction & 8) << 11) + (low >> 2);
                if distance == 16384 {
                    return Some(());
                }
                (length, distance, low & 3)
            }
            32..64 => {
                let length = reader.length(instruction & 31, 31)? + 2;
                let low = reader.take(2).map(|bytes| Endian::Little.number(bytes) as usize)?;
                (length, (low >> 2) + 1, low & 3)
            }
            _ => {
                let length = (instruction >> 5) + 1;
                let distance = (reader.byte()? << 3) + (instruction >> 2 & 7) + 1;
                (length, distance, instruction & 3)
            }
        };
        copy_match(out, start, length, distance, end)?;
        copy_literals(&mut reader, out, trailing, end)?;
        state = trailing;
    }
}

fn copy_literals(reader: &mut LzoReader<'_>, out: &mut Vec<u8>, length: usize, end: usize) -> Option<()> {
    let literals = reader.take(length)?;
    (out.len() + length <= end).then(|| out.extend_from_slice(literals))
}

/// Copies bytes from `distance` before the end; where that is less than the length, they repeat.
fn copy_match(out: &mut Vec<u8>, start: usize, length: usize, distance: usize, end: usize) -> Option<()> {
    let from = out.len().checked_sub(distance).filter(|from| *from >= start)?;
    if length > end.checked_sub(out.len())? {
        return None;
    }
    let mut left = length;
    while left > 0 {
        // What is there from `from` on doubles with each turn.
        let step = left.min(out.len() - from);
        out.extend_from_within(from..from + step);
        left -= step;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes with repetitions of many lengths and distances, from a small generator.
    fn sample(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match next(3) {
                0 if !bytes.is_empty() => {
                    let distance = next(bytes.len()) + 1;
                    let count = next(600) + 1;
                    (0..count).for_each(|_| bytes.push(bytes[bytes.len() - distance]));
                }
                1 => bytes.resize(bytes.len() + next(700) + 1, next(256) as u8),
                _ => (0..next(40) + 1).for_each(|_| bytes.push(next(256) as u8)),
            }
        }
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn blocks_are_decompressed_as_another_implementation_does_it() {
        for (seed, length) in (1..60).map(|seed| (seed, 1 << (seed % 18))) {
            let bytes = sample(seed, length);
            let block = lzokay_native::compress(&bytes).unwrap();
            assert_eq!(lzokay_native::decompress_all(&block, None).unwrap(), bytes);
            let mut ours = Vec::new();
            assert_eq!(block_into(&block, &mut ours, bytes.len()), Some(()), "seed {seed}");
            assert_eq!(ours, bytes, "seed {seed}");
        }
    }

    #[test]
    fn a_block_that_is_cut_short_or_too_long_is_an_error() {
        let bytes = sample(7, 3000);
        let block = lzokay_native::compress(&bytes).unwrap();
        for length in 0..block.len() {
            assert_eq!(block_into(&block[..length], &mut Vec::new(), bytes.len()), None, "{length} bytes");
        }
        assert_eq!(block_into(&block, &mut Vec::new(), bytes.len() - 1), None);
    }
}
