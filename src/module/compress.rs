//! Compression of a module, in a form that kernels can read: what the kernel's own build writes
//! (scripts/Makefile.modinst, 6.12), and the same bytes each time.
//!
//! The decoders in kernels are small (lib/decompress_unxz.c and kernel/module/decompress.c): xz with a CRC32 and a
//! dictionary that fits in memory, a single zstd frame that says how much comes out of it, a gzip header without extras.

use std::io::Read;

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;

/// The dictionary of an xz stream, in bytes: that of `xz --lzma2=dict=1MiB`, with which kernels' modules are packed.
const XZ_DICTIONARY: u32 = 1 << 20;

/// The level of the `xz` and `gzip` programs where none is named.
const LEVEL: u32 = 6;

/// The level of the `zstd` program where none is named.
const ZSTD_LEVEL: i32 = 3;

impl Container {
    /// Compresses `bytes` into this container: the inverse of [`Container::decompress`]. One thread, no time and no name in
    /// it, so the same input gives the same output.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the library has no memory left.
    pub fn compress(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let failed = |error: std::io::Error| Error::io(&format!("compressing ({})", self.name()), error);
        match self {
            Container::None => Ok(bytes.to_vec()),
            Container::Gzip => {
                let mut packed = Vec::new();
                let mut encoder = flate2::bufread::GzEncoder::new(bytes, flate2::Compression::new(LEVEL));
                encoder.read_to_end(&mut packed).map_err(failed)?;
                Ok(packed)
            }
            Container::Xz => {
                let stream =
                    xz_stream().map_err(|e| Error::new(ErrorKind::Io, format!("setting up the xz encoder: {e}")))?;
                let mut packed = Vec::new();
                liblzma::bufread::XzEncoder::new_stream(bytes, stream).read_to_end(&mut packed).map_err(failed)?;
                Ok(packed)
            }
            Container::Zstd => {
                let mut encoder = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                encoder.compress(bytes).map_err(failed)
            }
        }
    }
}

fn xz_stream() -> Result<Stream, liblzma::stream::Error> {
    let mut options = LzmaOptions::new_preset(LEVEL)?;
    options.dict_size(XZ_DICTIONARY);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    Stream::new_stream_encoder(&filters, Check::Crc32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::container::DEFAULT_MAX_SIZE;

    const MODULE: &[u8] = include_bytes!("../../fixtures/modules/hello-4.ko");

    const COMPRESSED: [Container; 3] = [Container::Gzip, Container::Xz, Container::Zstd];

    #[test]
    fn what_goes_in_comes_out_and_twice_the_same() {
        for container in COMPRESSED {
            let packed = container.compress(MODULE).unwrap();
            assert_eq!(Container::of(&packed), container);
            assert_eq!(container.decompress(&packed, DEFAULT_MAX_SIZE).unwrap(), MODULE);
            assert_eq!(container.compress(MODULE).unwrap(), packed);
        }
    }

    #[test]
    fn the_headers_are_those_that_kernels_read() {
        // Stream flags: none, CRC32 (xz file format 2.1.1.2); the block's filter: LZMA2, dictionary of 1 MiB (5.3.1).
        let xz = Container::Xz.compress(MODULE).unwrap();
        assert_eq!((&xz[6..8], &xz[14..17]), (&[0, 1][..], &[0x21, 1, 16][..]));
        // No flags, no time, level 6, Unix (RFC 1952).
        let gzip = Container::Gzip.compress(MODULE).unwrap();
        assert_eq!(gzip[2..9], [8, 0, 0, 0, 0, 0, 0]);
        // The frame says its content's size and has a checksum (RFC 8878, 3.1.1.1).
        let zstd = Container::Zstd.compress(MODULE).unwrap();
        assert!(zstd[4] & 0b0010_0000 != 0 && zstd[4] & 0b0000_0100 != 0);
    }
}
