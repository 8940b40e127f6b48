//! The container of a module file: plain, or compressed by gzip, xz or zstd; told by content, never by name.
//!
//! Decompression is bounded twice: by a limit that the caller sets, and by the ELF itself. As soon as the section
//! headers are there they say where the image ends; a stream that goes on far beyond that is a bomb, and is left.

use std::io::{BufRead, Read};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::module::elf::{self, Extent};

/// The default limit for the decompressed size of a module, in bytes: 1 GiB.
pub const DEFAULT_MAX_SIZE: u64 = 1 << 30;

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
    /// Told by the first bytes, as kmod (libkmod-file.c) and the kernel (kernel/module/decompress.c, 5.17) tell it.
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

    /// The command that undoes it, for a hint.
    pub fn unpacker(self) -> &'static str {
        match self {
            Container::None => "cat",
            Container::Gzip => "gzip -dk",
            Container::Xz => "xz -dk",
            Container::Zstd => "zstd -dk",
        }
    }

    /// Decompresses `stored`, whose container this is, to at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotAModule`] if what is inside is no ELF file, [`ErrorKind::Truncated`] or
    /// [`ErrorKind::Malformed`] if the stream is cut or damaged, [`ErrorKind::TooLarge`] beyond the limit.
    pub fn decompress(self, stored: &[u8], max: u64) -> Result<Vec<u8>> {
        let mut image = Vec::new();
        self.decompress_into(&mut image, stored, max)?;
        Ok(image)
    }

    /// As [`Container::decompress`], into a buffer that may have served before. What is in it goes; its memory stays.
    ///
    /// # Errors
    ///
    /// Those of [`Container::decompress`]; what is in the buffer then means nothing.
    pub fn decompress_into(self, image: &mut Vec<u8>, stored: &[u8], max: u64) -> Result<()> {
        image.clear();
        match self {
            Container::None => {
                image.try_reserve_exact(stored.len()).map_err(|_| self.too_large(max))?;
                image.extend_from_slice(stored);
                Ok(())
            }
            Container::Gzip => {
                let mut decoder = flate2::bufread::GzDecoder::new(stored);
                self.drain(&mut decoder, image, stored.len(), max)?;
                self.ended(decoder.into_inner())
            }
            Container::Xz => {
                let mut decoder = liblzma::bufread::XzDecoder::new(stored);
                self.drain(&mut decoder, image, stored.len(), max)?;
                self.ended(decoder.into_inner())
            }
            Container::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(stored).map_err(|e| self.damaged(&e))?.single_frame();
                self.drain(&mut decoder, image, stored.len(), max)?;
                self.ended(decoder.finish())
            }
        }
    }

    fn drain(self, decoder: &mut dyn Read, out: &mut Vec<u8>, stored: usize, max: u64) -> Result<()> {
        let plausible = (stored as u64).saturating_mul(RATIO).max(ALWAYS_PLAUSIBLE);
        let mut extent = Extent::AtLeast(0);
        loop {
            let before = out.len();
            if out.capacity() - before < CHUNK {
                // A little more each time, not twice as much: the largest modules decide what memory a whole scan takes.
                let more = if before == 0 { stored.saturating_mul(3) } else { before / 8 };
                out.try_reserve_exact(more.max(CHUNK)).map_err(|_| self.too_large(max))?;
            }
            out.resize(before + CHUNK, 0);
            let read = decoder.read(out.get_mut(before..).unwrap_or_default());
            let new = read.map_err(|e| self.damaged(&e))?;
            out.truncate(before + new);
            if new == 0 {
                break;
            }
            if out.len() as u64 > max {
                return Err(self.too_large(max));
            }
            if before == 0 {
                self.must_be_elf(out)?;
            }
            if let Extent::AtLeast(_) = extent {
                extent = elf::extent(out)?;
            }
            match extent {
                Extent::AtLeast(end) | Extent::Exactly(end) if end > max => return Err(self.too_large(max)),
                Extent::AtLeast(end) | Extent::Exactly(end) if end > plausible => {
                    let what = format!("{end} bytes of ELF image in a {} stream of {stored}", self.name());
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
        if out.is_empty() {
            return Err(Error::new(ErrorKind::NotAModule, format!("nothing inside ({})", self.name())));
        }
        Ok(())
    }

    fn too_large(self, max: u64) -> Error {
        let what = format!("decompressed ({}), it exceeds the limit of {max} bytes", self.name());
        Error::new(ErrorKind::TooLarge, what).hint("--max-size moves the limit")
    }

    /// The first bytes decide, before the rest of a bomb is unpacked.
    fn must_be_elf(self, start: &[u8]) -> Result<()> {
        let name = self.name();
        match Container::of(start) {
            Container::None if start.starts_with(b"\x7fELF") => Ok(()),
            Container::None => {
                Err(Error::new(ErrorKind::NotAModule, format!("decompressed ({name}), it is not an ELF file")))
            }
            inner => {
                Err(Error::new(ErrorKind::NotAModule, format!("compressed twice ({name}, inside it {})", inner.name())))
            }
        }
    }

    fn ended(self, mut rest: impl BufRead) -> Result<()> {
        match rest.fill_buf() {
            Ok([]) => Ok(()),
            _ => Err(Error::new(ErrorKind::Malformed, format!("bytes after the end of the {} stream", self.name()))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_the_name() {
        assert_eq!(Container::of(b"\x7fELF\x02\x01"), Container::None);
        assert_eq!(Container::of(b"\x28\xb5\x2f\xfd\x04"), Container::Zstd);
        assert_eq!(Container::of(b""), Container::None);
    }
}
