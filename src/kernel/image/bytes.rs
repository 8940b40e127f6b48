//! Memory for decompressed images. An image has tens of megabytes, and a page fault for each 4 KiB takes as long as the
//! fastest decompression; so if the size is known in advance, huge pages are requested (MADV_HUGEPAGE, madvise(2)).

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use crate::error::{Error, ErrorKind, Result};

/// Bytes, decompressed or never compressed.
pub(super) enum ImageBytes<'b> {
    /// Borrowed, or on the heap.
    Plain(Cow<'b, [u8]>),
    /// In an anonymous mapping, of which this many bytes are used.
    Mapped(MmapMut, usize),
}

impl ImageBytes<'_> {
    /// This many zero bytes.
    pub(super) fn of(size: usize) -> Result<ImageBytes<'static>> {
        // An empty mapping is an error.
        let none = |_| Error::new(ErrorKind::TooLarge, "unpacked, it is larger than the memory left");
        let map = MmapMut::map_anon(size.max(1)).map_err(none)?;
        // Small pages work too, but are slower.
        let _ = map.advise(Advice::HugePage);
        Ok(ImageBytes::Mapped(map, size))
    }

    /// Truncates to the first bytes.
    pub(super) fn truncate(&mut self, size: usize) {
        match self {
            ImageBytes::Plain(bytes) => bytes.to_mut().truncate(size),
            ImageBytes::Mapped(_, length) => *length = size.min(*length),
        }
    }
}

impl From<Vec<u8>> for ImageBytes<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        ImageBytes::Plain(Cow::Owned(bytes))
    }
}

impl Deref for ImageBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            ImageBytes::Plain(bytes) => bytes,
            ImageBytes::Mapped(map, length) => map.get(..*length).unwrap_or_default(),
        }
    }
}

impl DerefMut for ImageBytes<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            ImageBytes::Plain(bytes) => bytes.to_mut(),
            ImageBytes::Mapped(map, length) => map.get_mut(..*length).unwrap_or_default(),
        }
    }
}
