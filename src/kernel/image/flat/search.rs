//! Finds ranges with the shape of a symbol table: many consecutive entries whose names are near each other. With three members,
//! many consecutive entries also have the same, empty namespace: as a pointer the same number in each, as a distance a number
//! that decreases by the size of an entry.

use std::ops::Range;

use crate::kernel::image::flat::layout::FlatImage;

/// The number of entries between two samples. A kernel's longest run without a namespace is much longer.
const STRIDE: usize = 8;

/// The fewest entries of a table; smaller tables are not found.
pub(super) const FEWEST: usize = 2 * STRIDE;

/// How far apart in bytes a kernel's names of symbols can be. 12,000 of them take 250 KB.
const SPREAD: u64 = 4 << 20;

/// How far apart in bytes a symbol and its name can be: less than the memory of a kernel.
const KERNEL: u64 = 256 << 20;

/// How many times the whole image may be read to find the beginnings of tables.
const MOST_READS: usize = 4;

/// The ranges that may be tables, in order: from the first entry to the end of the last.
pub(super) fn tables<'i>(image: &'i FlatImage<'_>) -> impl Iterator<Item = Range<usize>> + 'i {
    let entry = image.form.entry();
    let mut at = 0_usize;
    let mut left = image.bytes.len().saturating_mul(MOST_READS) / entry;
    std::iter::from_fn(move || {
        while left > 0 {
            let window = image.bytes.get(at..at.checked_add(4 * entry)?)?;
            let found = match image.form.members {
                2 => near(image, at).find_map(|first| extend(image, first, &mut left)),
                _ => repeated(image, at, window).find_map(|first| extend(image, first, &mut left)),
            };
            at = found.as_ref().map_or(0, |found| found.end).max(at + STRIDE * entry).next_multiple_of(image.form.word);
            if let Some(found) = found {
                return Some(found);
            }
        }
        None
    })
}

/// The first of three entries in a row whose namespaces are the same, near a place. Members are aligned to their size.
fn repeated<'i>(image: &'i FlatImage<'_>, at: usize, window: &'i [u8]) -> impl Iterator<Item = usize> + 'i {
    let (entry, word) = (image.form.entry(), image.form.word);
    let is_repeated = move |phase: &usize| {
        let member = |row: usize| window.get(phase + row * entry..phase + row * entry + word);
        if image.form.relative {
            let number = |row: usize| image.number(at + phase + row * entry).map(|number| number as u32);
            number(0).zip(number(1)).zip(number(2)).is_some_and(|((first, second), third)| {
                first.wrapping_sub(second) == entry as u32 && second.wrapping_sub(third) == entry as u32
            })
        } else {
            let is_any = |word: &[u8]| word.iter().any(|byte| *byte != 0);
            member(0) == member(1) && member(1) == member(2) && member(0).is_some_and(is_any)
        }
    };
    let phases = (0..entry).step_by(word).filter(is_repeated);
    phases.filter_map(move |phase| (at + phase).checked_sub(2 * word))
}

/// The first of three entries in a row, of two members each, whose names are near each other, near a place.
fn near<'i>(image: &'i FlatImage<'_>, at: usize) -> impl Iterator<Item = usize> + 'i {
    let entry = image.form.entry();
    let is_near = move |first: &usize| {
        image.name(*first).is_some_and(|pivot| (0..3).all(|row| is_pair(image, first + row * entry, pivot)))
    };
    (at..at + entry).step_by(image.form.word).filter(is_near)
}

/// Can this be an entry of two members whose name is near another name?
fn is_pair(image: &FlatImage<'_>, at: usize, pivot: u64) -> bool {
    let is_given = image.number(at).is_some_and(|number| number != 0) && image.number(at + image.form.word) != Some(0);
    is_given
        && image.name(at).is_some_and(|name| name.abs_diff(pivot) < SPREAD)
        && image.target(at).is_some_and(|value| value.abs_diff(pivot) < KERNEL)
}

/// The table around an entry, as far as names and namespaces are near the last string of this one. `left` says how many
/// entries may be looked at, in all.
fn extend(image: &FlatImage<'_>, first: usize, left: &mut usize) -> Option<Range<usize>> {
    let (entry, word) = (image.form.entry(), image.form.word);
    let pivot = image.target(first + entry - word)?;
    let mut is_entry = |at: usize| {
        *left = left.saturating_sub(1);
        if image.form.members == 2 {
            return *left > 0 && is_pair(image, at, pivot);
        }
        *left > 0 && {
            let near = |at: usize| image.target(at).filter(|target| target.abs_diff(pivot) < SPREAD);
            let name = near(at + word);
            // A distance of 0 means the member itself, and fills of zeros have many.
            name.is_some_and(|name| name != pivot && image.number(at + word) != Some(0))
                && (near(at + 2 * word).is_some() || image.number(at + 2 * word) == Some(0))
        }
    };
    let mut start = first;
    while let Some(before) = start.checked_sub(entry).filter(|before| is_entry(*before)) {
        start = before;
    }
    let mut end = first;
    while is_entry(end) {
        end += entry;
    }
    (end - start >= FEWEST * entry).then_some(start..end)
}
