//! Finds the beginning of a table of entries without namespaces. Pointers to other strings before the table can look like more
//! of its entries. But the strings begin where the tables of this many entries end, with the string of the lowest pointer: with
//! a wrong first entry the names are invalid.

use std::ops::Range;

use crate::kernel::image::flat::base::ExportStrings;
use crate::kernel::image::flat::layout::{Budget, FlatImage, TablesAfter, is_name};
use crate::kernel::image::flat::search::FEWEST;

/// How many names are sampled before all are read.
const SAMPLES: usize = 8;

/// The first entry of the longest table that ends at the end of this range and is followed by these tables.
pub(super) fn start(
    image: &FlatImage<'_>,
    range: Range<usize>,
    behind: &TablesAfter,
    budget: &mut Budget,
) -> Option<usize> {
    let (entry, end) = (image.form.entry(), range.end);
    let most = range.len() / entry;
    budget.spend(range.len())?;
    let (mut lowest, mut found) = (u64::MAX, None);
    for count in 1..=most {
        let start = end - count * entry;
        lowest = lowest.min(image.name(start)?);
        if count < FEWEST {
            continue;
        }
        let strings = ExportStrings::from(image, end.checked_add(behind.size(count))?, lowest);
        let step = (count / SAMPLES).max(1);
        let mut samples = (0..count).step_by(step).map(|index| start + index * entry);
        if strings.is_some_and(|strings| {
            samples.all(|at| image.name(at).is_some_and(|name| strings.begins(name).is_some_and(is_name)))
        }) {
            found = Some(start);
        }
    }
    found
}
