//! Memory for what is unpacked. An image has tens of megabytes, and a page fault for each 4 KiB of them takes as long as
//! unpacking the fastest kinds; so where the size is known before, large pages are asked for (MADV_HUGEPAGE, madvise(2)).

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use crate::error::{Error, ErrorKind, Result};

/// Bytes, unpacked or not packed at all.
pub(super) enum Room<'b> {
    /// As they came, or on the heap.
    Plain(Cow<'b, [u8]>),
    /// In a mapping of their own, of which this many bytes count.
    Mapped(MmapMut, usize),
}

impl Room<'_> {
    /// Room for as many bytes, zeros for now.
    pub(super) fn of(size: usize) -> Result<Room<'static>> {
        // A mapping of nothing is an error.
        let none = |_| Error::new(ErrorKind::TooLarge, "unpacked, it is larger than the memory left");
        let map = MmapMut::map_anon(size.max(1)).map_err(none)?;
        // Small pages do as well, only slower.
        let _ = map.advise(Advice::HugePage);
        Ok(Room::Mapped(map, size))
    }

    /// The same, cut to its first bytes.
    pub(super) fn truncate(&mut self, size: usize) {
        match self {
            Room::Plain(bytes) => bytes.to_mut().truncate(size),
            Room::Mapped(_, length) => *length = size.min(*length),
        }
    }
}

impl From<Vec<u8>> for Room<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Room::Plain(Cow::Owned(bytes))
    }
}

impl Deref for Room<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Room::Plain(bytes) => bytes,
            Room::Mapped(map, length) => map.get(..*length).unwrap_or_default(),
        }
    }
}

impl DerefMut for Room<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Room::Plain(bytes) => bytes.to_mut(),
            Room::Mapped(map, length) => map.get_mut(..*length).unwrap_or_default(),
        }
    }
}
