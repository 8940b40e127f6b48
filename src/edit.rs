//! An edit: bytes at an offset that other bytes replace. Plans, intents and the journal consist of edits. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Bytes at an offset that other bytes replace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The offset in bytes from the start of the file.
    pub offset: u64,
    /// The old bytes; in JSON as hexadecimal.
    #[serde(with = "hex")]
    pub old: Vec<u8>,
    /// The new bytes: as many as the old ones; or any number if the old ones are the last of the file. So the end of a file can
    /// be cut off, added or replaced, and no byte that stays moves.
    #[serde(with = "hex")]
    pub new: Vec<u8>,
}

impl Edit {
    /// The range of the old bytes.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.old.len() as u64)
    }

    /// Does it keep the file's length?
    pub fn keeps_length(&self) -> bool {
        self.old.len() == self.new.len()
    }

    fn index(&self) -> Option<Range<usize>> {
        let range = self.range();
        Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }
}

/// A copy of `bytes` with the edits applied.
///
/// # Errors
///
/// [`ErrorKind::Changed`] if the old bytes are not there, an edit would move the bytes after it, or two edits change the end.
pub fn apply(bytes: &[u8], edits: &[Edit]) -> Result<Vec<u8>> {
    let mut out = bytes.to_vec();
    for edit in edits {
        let span = edit.index().filter(|span| bytes.get(span.clone()) == Some(&edit.old));
        let is_the_end = edit.range().end == bytes.len() as u64 && out.len() == bytes.len();
        match span {
            Some(span) if edit.keeps_length() && span.end <= out.len() => {
                if let Some(place) = out.get_mut(span) {
                    place.copy_from_slice(&edit.new);
                }
            }
            Some(span) if is_the_end => {
                out.truncate(span.start);
                out.extend_from_slice(&edit.new);
            }
            _ => {
                let what = format!("the bytes at offset {} differ from those in the plan", edit.offset);
                return Err(Error::new(ErrorKind::Changed, what));
            }
        }
    }
    Ok(out)
}

/// Can these edits be written over `before`, each in its place: are the old bytes there, as many as the new ones, and do no two
/// edits overlap? And do they make `after`, where that is given? (Without a copy: modules have up to 20 MB.)
pub fn fit_in_place(before: &[u8], edits: &[Edit], after: Option<&[u8]>) -> bool {
    let comes = |span: Range<usize>, bytes: &[u8]| after.is_none_or(|after| after.get(span) == Some(bytes));
    let mut in_order: Vec<&Edit> = edits.iter().collect();
    in_order.sort_by_key(|edit| edit.offset);
    let mut at = 0;
    for edit in in_order {
        let Some(span) = edit.index().filter(|_| edit.keeps_length()) else { return false };
        let (stays, old) = (before.get(at..span.start), before.get(span.clone()));
        if !(stays.is_some_and(|stays| comes(at..span.start, stays)) && old == Some(&edit.old)) {
            return false;
        }
        at = span.end;
        if !comes(span, &edit.new) {
            return false;
        }
    }
    let is_as_long = after.is_none_or(|after| after.len() == before.len());
    is_as_long && before.get(at..).is_some_and(|stays| comes(at..before.len(), stays))
}

/// The edits that turn `before` into `after`, two files of the same length: one edit per run of different bytes. `None` if their
/// lengths differ.
pub fn between(before: &[u8], after: &[u8]) -> Option<Vec<Edit>> {
    let mut differences = Differences::of(before, usize::MAX);
    differences.push(after);
    differences.edits()
}

/// Collects the edits that turn `before` into another file, of which only a piece at a time is in memory.
pub struct Differences<'b> {
    before: &'b [u8],
    /// The maximum number of bytes that may differ.
    most: usize,
    /// How many bytes of the other file were compared.
    at: usize,
    differing: usize,
    edits: Vec<Edit>,
}

impl<'b> Differences<'b> {
    /// Begins at the start of both files.
    pub fn of(before: &'b [u8], most: usize) -> Differences<'b> {
        Differences { before, most, at: 0, differing: 0, edits: Vec::new() }
    }

    /// The next bytes of the other file.
    pub fn push(&mut self, after: &[u8]) {
        /// The files are mostly equal, so this many bytes are compared at once.
        const BLOCK: usize = 4096;
        let before = self.before.get(self.at..).unwrap_or_default();
        let blocks = before.chunks(BLOCK).zip(after.chunks(BLOCK)).enumerate();
        for (nth, (before, after)) in blocks.filter(|(_, (before, after))| before != after) {
            let start = (self.at + nth * BLOCK) as u64;
            for (offset, (old, new)) in (start..).zip(before.iter().zip(after)).filter(|(_, (old, new))| old != new) {
                self.differing += 1;
                if self.differing > self.most {
                    break;
                }
                match self.edits.last_mut().filter(|last| last.range().end == offset) {
                    Some(run) => {
                        run.old.push(*old);
                        run.new.push(*new);
                    }
                    None => self.edits.push(Edit { offset, old: vec![*old], new: vec![*new] }),
                }
            }
        }
        self.at += after.len();
    }

    /// The edits, after the last piece of the other file: one per run of different bytes. `None` if the lengths differ, or too
    /// many bytes.
    pub fn edits(self) -> Option<Vec<Edit>> {
        (self.at == self.before.len() && self.differing <= self.most).then_some(self.edits)
    }
}

/// The file before these edits, if an interrupted write of them can have left `torn`: each byte of each span is the old or the
/// new one at its offset. `None` if a byte is neither, because then somebody else wrote it; if two spans overlap; or if an edit
/// changes the length. Bytes outside the spans stay: the caller compares the hash of the whole file.
///
/// A disk may tear a write at any byte and keep any of its pieces. It makes no other bytes: the blocks exist already, and have
/// the old contents until they have the new ones.
pub fn undo_torn(torn: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
    let mut in_order: Vec<&Edit> = edits.iter().collect();
    in_order.sort_by_key(|edit| edit.offset);
    if in_order.windows(2).any(|two| matches!(two, [one, next] if one.range().end > next.offset)) {
        return None;
    }
    let mut out = torn.to_vec();
    for edit in in_order {
        let span = out.get_mut(edit.index()?).filter(|_| edit.keeps_length())?;
        let is_torn = span.iter().zip(edit.old.iter().zip(&edit.new)).all(|(is, (old, new))| is == old || is == new);
        if !is_torn {
            return None;
        }
        span.copy_from_slice(&edit.old);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(offset: u64, old: &[u8], new: &[u8]) -> Edit {
        Edit { offset, old: old.to_vec(), new: new.to_vec() }
    }

    #[test]
    fn edits_change_their_bytes_and_no_others() {
        assert_eq!(apply(b"abcdef", &[edit(1, b"bc", b"XY"), edit(4, b"ef", b"")]).unwrap(), b"aXYd");
    }

    #[test]
    fn an_end_is_cut_off_added_or_exchanged() {
        assert_eq!(apply(b"abcdef", &[edit(4, b"ef", b"")]).unwrap(), b"abcd");
        assert_eq!(apply(b"abcdef", &[edit(6, b"", b"gh")]).unwrap(), b"abcdefgh");
        assert_eq!(apply(b"abcdef", &[edit(0, b"a", b"A"), edit(4, b"ef", b"xyz")]).unwrap(), b"Abcdxyz");
    }

    #[test]
    fn there_is_but_one_end() {
        for wrong in [[edit(4, b"ef", b""), edit(6, b"", b"g")], [edit(4, b"ef", b"g"), edit(5, b"f", b"F")]] {
            assert_eq!(apply(b"abcdef", &wrong).unwrap_err().kind(), ErrorKind::Changed);
        }
    }

    #[test]
    fn an_edit_of_other_bytes_is_refused() {
        for wrong in [edit(1, b"zz", b"XY"), edit(5, b"fg", b"XY"), edit(1, b"bc", b"X"), edit(u64::MAX, b"bc", b"XY")]
        {
            assert_eq!(apply(b"abcdef", &[wrong]).unwrap_err().kind(), ErrorKind::Changed);
        }
    }

    #[test]
    fn what_lies_between_two_files_leads_from_one_to_the_other() {
        let edits = between(b"abcdefg", b"aXYdefZ").unwrap();
        assert_eq!(edits, [edit(1, b"bc", b"XY"), edit(6, b"g", b"Z")]);
        assert_eq!(apply(b"abcdefg", &edits).unwrap(), b"aXYdefZ");
        assert_eq!(between(b"ab", b"abc"), None);
    }

    #[test]
    fn an_edit_goes_on_over_the_blocks_that_are_compared() {
        let before = vec![b'a'; 3 * 4096];
        let mut after = before.clone();
        after[4000..9000].fill(b'b');
        let edits = between(&before, &after).unwrap();
        assert_eq!((edits.len(), edits[0].range()), (1, 4000..9000));
        assert_eq!(apply(&before, &edits).unwrap(), after);
    }

    #[test]
    fn edits_fit_in_place_where_each_has_one_of_its_own() {
        let two = [edit(4, b"ef", b"EF"), edit(1, b"bc", b"XY")];
        assert!(fit_in_place(b"abcdef", &two, None));
        assert!(fit_in_place(b"abcdef", &two, Some(b"aXYdEF")));
        assert!(fit_in_place(b"abcdef", &[], Some(b"abcdef")));
        for other in [&b"aXYDEF"[..], b"AXYdEF", b"aXYdEf", b"aXYdEFg", b"aXYdE", b"abcdef"] {
            assert!(!fit_in_place(b"abcdef", &two, Some(other)));
        }
        for wrong in [
            &[edit(1, b"bc", b"X")][..],
            &[edit(1, b"zz", b"XY")],
            &[edit(5, b"fg", b"XY")],
            &[edit(u64::MAX, b"bc", b"XY")],
            &[edit(1, b"bc", b"XY"), edit(2, b"cd", b"YZ")],
        ] {
            assert!(!fit_in_place(b"abcdef", wrong, None));
        }
    }

    #[test]
    fn differences_are_the_same_whatever_the_pieces() {
        let before: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        let mut after = before.clone();
        after[4090..4100].fill(0);
        after[8191] ^= 1;
        let whole = between(&before, &after).unwrap();
        for piece in [1, 7, 4095, 4096, 4097, 19_999] {
            let mut differences = Differences::of(&before, usize::MAX);
            after.chunks(piece).for_each(|piece| differences.push(piece));
            assert_eq!(differences.edits().unwrap(), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn more_differences_than_may_be_are_none() {
        for (most, fits) in [(2, false), (3, true)] {
            let mut differences = Differences::of(b"abcdef", most);
            differences.push(b"aXYd");
            differences.push(b"eF");
            assert_eq!(differences.edits().is_some(), fits);
        }
        for other in [&b"abc"[..], b"abcdefg"] {
            let mut differences = Differences::of(b"abcdef", 9);
            differences.push(other);
            assert_eq!(differences.edits(), None);
        }
    }

    #[test]
    fn a_torn_write_is_undone_and_a_foreign_one_is_not() {
        let edits = [edit(1, b"bc", b"XY")];
        for torn in [b"aXcdef", b"abYdef", b"aXYdef", b"abcdef"] {
            assert_eq!(undo_torn(torn, &edits).unwrap(), b"abcdef");
        }
        assert_eq!(undo_torn(b"aX?def", &edits), None, "a foreign byte within the span");
        assert_ne!(undo_torn(b"aXcdeZ", &edits).unwrap(), b"abcdef", "one outside of it stays");
    }

    #[test]
    fn of_three_spans_each_byte_must_be_the_old_or_the_new_one() {
        let edits = [edit(7, b"hi", b"HI"), edit(1, b"bc", b"BC"), edit(4, b"ef", b"EF")];
        let (mut undone, mut refused) = (0, 0);
        // Each of the six bytes in turn old, new or foreign.
        for which in 0..3_u32.pow(6) {
            let mut torn = *b"abcdefghij";
            let mut is_foreign = false;
            for (nth, at) in [1, 2, 4, 5, 7, 8].into_iter().enumerate() {
                match which / 3_u32.pow(nth as u32) % 3 {
                    0 => {}
                    1 => torn[at] = torn[at].to_ascii_uppercase(),
                    _ => (torn[at], is_foreign) = (b'?', true),
                }
            }
            match undo_torn(&torn, &edits) {
                Some(old) => {
                    assert!(!is_foreign && old == b"abcdefghij");
                    undone += 1;
                }
                None => {
                    assert!(is_foreign);
                    refused += 1;
                }
            }
        }
        println!("three spans of two bytes: {undone} torn files undone, {refused} with foreign bytes refused");
        assert_eq!((undone, refused), (64, 665));
    }

    #[test]
    fn spans_that_overlap_leave_the_file_or_change_its_length_undo_nothing() {
        for wrong in [
            vec![edit(1, b"bc", b"XY"), edit(2, b"cd", b"YZ")],
            vec![edit(5, b"fg", b"XY")],
            vec![edit(u64::MAX, b"bc", b"XY")],
            vec![edit(1, b"bc", b"X")],
            vec![edit(6, b"", b"g")],
        ] {
            assert_eq!(undo_torn(b"abcdef", &wrong), None);
        }
    }
}
