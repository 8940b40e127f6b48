//! Text files of a kernel that are compressed with gzip, xz or zstd: `/proc/config.gz`, `symvers.xz`. Pure.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, Read};

use liblzma::stream::{CONCATENATED, Stream};

use crate::budget::WorkBudget;
use crate::error::{Error, ErrorKind, Result};
use crate::module::container::Container;

/// The largest text in bytes: a configuration has about 300 KiB, Module.symvers about 3 MiB, System.map about 10 MiB.
pub(crate) const LARGEST_TEXT: u64 = 64 << 20;

/// The most memory for the xz decoder, in bytes: the dictionary of `xz -9` has 64 MiB.
const XZ_MEMORY: u64 = 128 << 20;

/// Decompresses a text, up to 64 MiB, within a budget. A text that is not compressed is returned unchanged. A
/// compressed ELF file is abandoned after its first bytes.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is an ELF file in the container, [`ErrorKind::Truncated`] or [`ErrorKind::Malformed`] if
/// the stream is cut short or damaged, [`ErrorKind::TooLarge`] beyond the limit, [`ErrorKind::TooMuchWork`] beyond the budget.
pub(crate) fn unpack<'b>(bytes: &'b [u8], budget: &WorkBudget) -> Result<Cow<'b, [u8]>> {
    let container = Container::of(bytes);
    let rest = Cell::new(bytes);
    let broken = |e: io::Error| match e.kind() {
        _ if let Err(exhausted) = budget.check() => exhausted,
        io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Truncated, format!("the {} stream is cut short", container.name()))
        }
        _ => Error::new(ErrorKind::Malformed, format!("the {} stream is damaged", container.name())),
    };
    if container.is_none() {
        return Ok(Cow::Borrowed(bytes));
    }
    let packed = budget.attempt(&rest);
    let stream: Box<dyn Read + '_> = match container {
        Container::None => Box::new(packed),
        Container::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Container::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|e| broken(e.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(packed, stream))
        }
        Container::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed).map_err(broken)?),
    };
    let most = budget.max_size().min(LARGEST_TEXT);
    let mut stream = budget.meter(stream);
    let mut text = Vec::new();
    stream.by_ref().take(4).read_to_end(&mut text).map_err(broken)?;
    if text == b"\x7fELF" {
        return Err(Error::new(ErrorKind::NotFound, "an ELF file, not a text"));
    }
    stream.take(most).read_to_end(&mut text).map_err(broken)?;
    match text.len() as u64 > most {
        true => Err(Error::new(ErrorKind::TooLarge, format!("it exceeds the limit of {most} bytes"))),
        false => Ok(Cow::Owned(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    use super::unpack as unpack_within;

    fn unpack(bytes: &[u8], max_size: u64) -> Result<Cow<'_, [u8]>> {
        unpack_within(bytes, &WorkBudget::of_file(bytes.len(), max_size))
    }

    const TEXT: &[u8] = b"0x92997ed8\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
        xz.write_all(text).unwrap();
        xz.finish().unwrap()
    }

    fn in_each_container(text: &[u8]) -> [Vec<u8>; 3] {
        [gzip(text), xz(text), zstd::encode_all(text, 3).unwrap()]
    }

    #[test]
    fn a_text_is_the_same_with_each_compression_and_with_none() {
        assert_eq!(&*unpack(TEXT, 1 << 20).unwrap(), TEXT);
        for packed in in_each_container(TEXT) {
            assert_eq!(&*unpack(&packed, 1 << 20).unwrap(), TEXT);
        }
        let members = [gzip(TEXT), gzip(TEXT)].concat();
        assert_eq!(&*unpack(&members, 1 << 20).unwrap(), [TEXT, TEXT].concat());
    }

    #[test]
    fn a_stream_that_is_cut_short_anywhere_is_an_error() {
        for packed in in_each_container(TEXT) {
            for length in 6..packed.len() {
                let error = unpack(&packed[..length], 1 << 20).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated, "{length} bytes: {error}");
            }
        }
    }

    #[test]
    fn a_stream_with_a_wrong_byte_gives_an_error_or_the_text() {
        for packed in in_each_container(TEXT) {
            for at in 6..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 0x55;
                // A gzip header has bytes that mean nothing for the text, and a frame of zstd has no checksum here.
                let _ = unpack(&damaged, 1 << 20);
            }
        }
        let mut damaged = xz(TEXT);
        damaged[20] ^= 1;
        assert_eq!(unpack(&damaged, 1 << 20).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn a_text_beyond_the_limit_is_an_error() {
        let large = vec![b'a'; (1 << 20) + 1];
        for packed in in_each_container(&large) {
            assert_eq!(unpack(&packed, 1 << 20).unwrap_err().kind(), ErrorKind::TooLarge);
            assert_eq!(unpack(&packed, 2 << 20).unwrap().len(), large.len());
        }
    }

    #[test]
    fn a_compressed_module_is_not_a_text() {
        for packed in in_each_container(b"\x7fELF\x02\x01\x01") {
            assert_eq!(unpack(&packed, 1 << 20).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}
