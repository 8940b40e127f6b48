//! Edits of the strings of `.modinfo`: a new version magic, and the mark. Pure.
//!
//! A string that does not change does not move: symbols of the module point at the strings (modpost and the compiler leave
//! `__UNIQUE_ID_vermagic…` and the like). A string that does not fit becomes NULs, which every reader skips, and is appended
//! at the end.

use std::ops::Range;

use crate::digest::Sha256;
use crate::module::modinfo::{Modinfo, ModinfoEntry};

pub use crate::module::summary::MARK;

/// The strings of a section while they are edited.
pub(super) struct Strings {
    /// The new bytes of the section; at least as many as before.
    pub(super) bytes: Vec<u8>,
    /// The changed ranges in the section: separate, in order.
    changed: Vec<Range<usize>>,
    /// The section's size before.
    before: usize,
    /// The section's offset in the image, from whose start the entries' ranges count.
    base: usize,
}

impl Strings {
    /// The unchanged section. `base` is its offset in the image.
    pub(super) fn of(section: &[u8], base: usize) -> Strings {
        Strings { bytes: section.to_vec(), changed: Vec::new(), before: section.len(), base }
    }

    /// Is the section longer than before?
    pub(super) fn grow(&self) -> bool {
        self.bytes.len() > self.before
    }

    /// The changed ranges in the section, and their new bytes; for strings that did not grow.
    pub(super) fn spans(&self) -> impl Iterator<Item = (Range<usize>, &[u8])> {
        self.changed.iter().filter_map(|span| Some((span.clone(), self.bytes.get(span.clone())?)))
    }

    /// Writes another value after the entry's `key=`. A value that does not fit is appended with its key.
    pub(super) fn set(&mut self, entry: &ModinfoEntry, value: &[u8]) {
        let at = entry.value_range().start.saturating_sub(self.base);
        let space = entry.space.end.saturating_sub(self.base);
        if at + value.len() < space {
            self.write(at..at + value.len().max(entry.value.len()), value);
        } else if space == self.before {
            self.bytes.truncate(at);
            self.changed.push(at..self.before);
            self.append(value);
        } else {
            self.blank(entry);
            self.append(&[&entry.key, b"=".as_slice(), value].concat());
        }
    }

    /// Fills an entry with NULs.
    pub(super) fn blank(&mut self, entry: &ModinfoEntry) {
        let start = entry.range.start.saturating_sub(self.base);
        self.write(start..start + entry.range.len(), b"");
    }

    /// Adds a string: among the NULs between other strings if it fits, else at the end.
    pub(super) fn add(&mut self, string: &[u8]) {
        match self.free(string.len()) {
            Some(at) => self.write(at..at + string.len(), string),
            None => self.append(string),
        }
    }

    /// The offset of `len` free bytes and their NUL: a run of NULs, except for the one that terminates the string before.
    fn free(&self, len: usize) -> Option<usize> {
        let mut start = 0;
        for string in self.bytes.split(|byte| *byte != 0) {
            let (run, end) = (start, start + string.len());
            start = end + 1;
            let first = if run == 0 { 0 } else { run + 1 };
            if end > first + len {
                return Some(first);
            }
        }
        None
    }

    fn write(&mut self, span: Range<usize>, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(span.clone()) {
            place.fill(0);
            place.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
            self.changed.push(span);
            self.changed.sort_by_key(|span| span.start);
            self.changed.dedup_by(|next, span| {
                let touches = next.start <= span.end;
                if touches {
                    span.end = span.end.max(next.end);
                }
                touches
            });
        }
    }

    fn append(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
    }
}

/// The mark of an original: the first twelve digits of its SHA-256.
pub(super) fn mark(original: Sha256) -> String {
    format!("{MARK}={original:.12}")
}

/// Is the module marked already? Its mark then names the first original, and stays.
pub(super) fn is_marked(modinfo: &Modinfo) -> bool {
    modinfo.first(MARK).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section that begins at byte 100 of the image, and the entry of this key.
    fn section(bytes: &'static [u8], key: &str) -> (Strings, ModinfoEntry) {
        let at = bytes.windows(key.len() + 1).position(|window| window == format!("{key}=").as_bytes()).unwrap();
        let len = bytes[at..].iter().position(|byte| *byte == 0).unwrap();
        let nuls = bytes[at + len..].iter().take_while(|byte| **byte == 0).count();
        let entry = ModinfoEntry {
            key: key.into(),
            value: bytes[at + key.len() + 1..at + len].into(),
            range: 100 + at..100 + at + len,
            space: 100 + at..100 + at + len + nuls,
        };
        (Strings::of(bytes, 100), entry)
    }

    fn changed(strings: &Strings) -> Vec<(usize, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "·");
        strings.spans().map(|(span, bytes)| (span.start, text(bytes))).collect()
    }

    #[test]
    fn a_value_that_fits_is_overwritten_and_padded_with_nuls() {
        let (mut strings, entry) = section(b"a=1\0v=long\0\0\0b=2\0", "v");
        strings.set(&entry, b"new");
        assert_eq!((strings.grow(), changed(&strings)), (false, vec![(6, "new·".into())]));
        let (mut strings, entry) = section(b"a=1\0v=long\0\0\0b=2\0", "v");
        strings.set(&entry, b"longer");
        assert_eq!((strings.grow(), strings.bytes.as_slice()), (false, b"a=1\0v=longer\0b=2\0".as_slice()));
    }

    #[test]
    fn the_last_string_grows_in_place() {
        let (mut strings, entry) = section(b"a=1\0v=long\0", "v");
        strings.set(&entry, b"longer");
        assert_eq!((strings.grow(), strings.bytes.as_slice()), (true, b"a=1\0v=longer\0".as_slice()));
    }

    #[test]
    fn another_string_moves_to_the_end_and_the_others_stay() {
        let (mut strings, entry) = section(b"v=long\0b=2\0", "v");
        strings.set(&entry, b"longer");
        assert_eq!(strings.bytes, b"\0\0\0\0\0\0\0b=2\0v=longer\0");
    }

    #[test]
    fn a_string_is_added_among_enough_nuls_or_at_the_end() {
        let (mut strings, _) = section(b"a=1\0\0\0\0\0b=2\0", "a");
        strings.add(b"m=7");
        assert_eq!((strings.grow(), strings.bytes.as_slice()), (false, b"a=1\0m=7\0b=2\0".as_slice()));
        let (mut strings, _) = section(b"a=1\0\0\0\0b=2\0", "a");
        strings.add(b"m=7");
        assert_eq!(strings.bytes, b"a=1\0\0\0\0b=2\0m=7\0");
        let (mut strings, _) = section(b"\0\0\0\0b=2\0", "b");
        strings.add(b"m=7");
        assert_eq!(strings.bytes, b"m=7\0b=2\0");
    }

    #[test]
    fn touching_changes_are_merged() {
        let (mut strings, entry) = section(b"a=1\0v=longer\0", "v");
        strings.set(&entry, b"l");
        strings.add(b"m=7");
        assert_eq!(changed(&strings), [(6, "l·m=7·".into())]);
    }
}
