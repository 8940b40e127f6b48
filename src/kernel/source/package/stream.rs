//! The bytes of a tar archive in a package, decompressed within limits. Needs no `tar` crate.

use std::cell::Cell;
use std::io::{self, Read};

use liblzma::stream::{CONCATENATED, Stream};

use crate::budget::{DEFAULT_MAX_SIZE, WorkBudget};
use crate::error::{Error, ErrorKind, Result};

/// The first bytes of an ar archive (ar(5)).
pub(super) const AR_MAGIC: &[u8] = b"!<arch>\n";

/// The most memory for the xz decoder: dpkg's largest dictionary has 64 MiB (`xz -9`).
const XZ_MEMORY: u64 = 128 << 20;

/// Do these bytes begin as an ar archive does?
pub(super) fn is_ar(bytes: &[u8]) -> bool {
    bytes.starts_with(AR_MAGIC)
}

/// Do these bytes begin as a tar archive does, compressed or not? Its magic is at 257 (tar(5)).
pub(super) fn is_tar(bytes: &[u8]) -> bool {
    let mut start = Vec::new();
    // Recognised before there is a question: at most all of the file is read for it, and little written.
    let (rest, budget) = (Cell::new(bytes), WorkBudget::of_file(bytes.len(), DEFAULT_MAX_SIZE));
    let unpacked = open(&rest, &budget).map(|reader| reader.take(512).read_to_end(&mut start));
    unpacked.is_ok() && start.get(257..262) == Some(b"ustar")
}

/// The tar stream. Its first bytes tell how it is compressed: not at all, or with gzip, bzip2, xz or zstd, which are the
/// formats of dpkg (deb(5)) and of pacman.
///
/// `rest` has what was not read yet.
pub(super) fn open<'a>(rest: &'a Cell<&[u8]>, budget: &'a WorkBudget) -> Result<Box<dyn Read + 'a>> {
    let broken = |e| Error::io("decompressing the package", e);
    let start = rest.get();
    let is_plain = start.get(257..262) == Some(b"ustar");
    let data = budget.attempt(rest);
    let tar: Box<dyn Read + 'a> = match *start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(data)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(data)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|e| broken(e.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(data, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(data).map_err(broken)?),
        _ if is_plain => Box::new(data),
        _ => return Err(Error::new(ErrorKind::Malformed, "the package's data has no known compression format")),
    };
    Ok(Box::new(budget.meter(tar)))
}

/// A stream that fails after a number of bytes.
#[cfg_attr(not(feature = "packages"), allow(dead_code, reason = "only the reader of archives needs it"))]
pub(super) struct SizeLimited<R> {
    pub(super) inner: R,
    pub(super) left: u64,
}

impl<R: Read> Read for SizeLimited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}
