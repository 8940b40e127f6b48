//! The tables of a kernel's exports in an image without sections.
//!
//! The linker script puts `__ksymtab`, `__ksymtab_gpl` (up to 7.0), `__kcrctab`, `__kcrctab_gpl`, `__kflagstab` (7.1 on)
//! and `__ksymtab_strings` one after the other, without a gap (RO_DATA, include/asm-generic/vmlinux.lds.h, 4.4 to 7.3).
//! `layout` has the possible layouts, `search` finds ranges with the shape of symbol tables, `pairs` finds the beginning of
//! tables without namespaces, `base` locates their strings, and this file reads the tables and proves that they are complete:
//!
//! - names ascend within each table, and there are at most two tables;
//! - the strings begin exactly where tables of CRCs and flags of that many entries end;
//! - each string up to the last one is the name or the namespace of an entry. An entry that was missed would leave one.
//!
//! Tables that violate one of these yield no exports, as do two sets of tables in one image. The time is linear in the size of
//! the image.

mod base;
mod layout;
mod pairs;
mod search;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]
mod tests;

use std::collections::HashMap;

use crate::kernel::architecture::Machine;
use crate::kernel::image::exports::GPL_ONLY;
use crate::kernel::image::flat::base::ExportStrings;
use crate::kernel::image::flat::layout::{Budget, EntryForm, FlatImage, TablesAfter, is_name};
use crate::kernel::tree::{Export, Exports};

/// The exports of a flat image; `None` if no table of them can be read completely.
pub(super) fn exports(bytes: &[u8], machine: Option<Machine>) -> Option<Exports> {
    let mut found = None;
    for form in EntryForm::of(machine) {
        let image = FlatImage { bytes, form };
        let mut budget = Budget(bytes.len().saturating_mul(2));
        for table in search::tables(&image) {
            if let Some(symbols) = read(&image, table.start, table.end, &mut budget)
                && found.replace(symbols).is_some()
            {
                return None;
            }
        }
    }
    found.map(|symbols| Exports { symbols, complete: true })
}

/// Reads the symbol tables between two offsets, and the tables after them.
fn read(image: &FlatImage<'_>, start: usize, end: usize, budget: &mut Budget) -> Option<HashMap<String, Export>> {
    TablesAfter::of(image.form).into_iter().find_map(|behind| {
        let start = match image.form.members {
            2 => pairs::start(image, start..end, &behind, budget)?,
            _ => start,
        };
        with(image, start, end, &behind, budget)
    })
}

/// Reads the symbol tables between two offsets, if these tables follow them.
fn with(
    image: &FlatImage<'_>,
    start: usize,
    end: usize,
    behind: &TablesAfter,
    budget: &mut Budget,
) -> Option<HashMap<String, Export>> {
    let count = (end.checked_sub(start)?) / image.form.entry();
    let entries = (start..end).step_by(image.form.entry());
    budget.spend(end - start)?;
    let names: Vec<u64> = entries.clone().map(|at| image.name(at)).collect::<Option<_>>()?;
    let strings = ExportStrings::at(image, end.checked_add(behind.size(count))?, &names, budget)?;
    let mut symbols = Vec::with_capacity(count);
    for (at, name) in entries.clone().zip(&names) {
        let name = strings.text(*name).filter(|name| is_name(name))?;
        let namespace = strings.namespace(image, at)?;
        budget.spend(name.len() + namespace.len())?;
        symbols.push((name, namespace));
    }
    let first_of_second = second_table(symbols.iter().map(|(name, _)| *name))?;
    strings.are_all(entries.flat_map(|at| image.strings(at)), budget).then_some(())?;
    let crcs = match behind.crc {
        0 => None,
        size => Some(crcs(image, end, count, size)?),
    };
    let flags = match behind.flags {
        true => Some(flags(image, end + behind.size(count) - count, count)?),
        false => None,
    };
    let export = |(index, (name, namespace)): (usize, (&[u8], &[u8]))| {
        let gpl_only = match (flags, first_of_second) {
            (Some(flags), _) => flags.get(index).map(|flag| flag & GPL_ONLY != 0),
            (None, Some(first)) => Some(index >= first),
            // One table without flags: it is not known which of the two it is.
            (None, None) => None,
        };
        let crc = crcs.as_ref().and_then(|crcs| crcs.get(index).copied());
        let namespace = Some(String::from_utf8_lossy(namespace).into_owned());
        (String::from_utf8_lossy(name).into_owned(), Export { crc, gpl_only, namespace })
    };
    Some(symbols.into_iter().enumerate().map(export).collect())
}

/// The index of the first name that does not ascend, where the second table begins; `Some(None)` if all names ascend, `None` if
/// there are more than two tables.
#[allow(clippy::option_option, reason = "a failure differs from a single table")]
fn second_table<'n>(names: impl Iterator<Item = &'n [u8]>) -> Option<Option<usize>> {
    let mut second = None;
    let mut last: &[u8] = b"";
    for (index, name) in names.enumerate() {
        if name <= last && second.replace(index).is_some() {
            return None;
        }
        last = name;
    }
    Some(second)
}

/// The CRCs after the symbol tables, with `size` bytes each.
///
/// With CONFIG_MODULE_REL_CRCS (4.10 to 5.16; powerpc, sparc) an entry is the distance from itself to the CRC.
/// CRCs are practically random: many that are all distances into the image are not CRCs.
fn crcs(image: &FlatImage<'_>, at: usize, count: usize, size: usize) -> Option<Vec<u32>> {
    const MANY: usize = 16;
    let crc = |at: usize| {
        let bytes = image.bytes.get(at..at.checked_add(size)?)?;
        Some(image.form.endian.number(bytes) as u32)
    };
    let places = (at..).step_by(size).take(count);
    let numbers: Vec<u32> = places.clone().map(crc).collect::<Option<_>>()?;
    let follow = |(place, number): (usize, &u32)| crc(place.checked_add_signed(*number as i32 as isize)?);
    let followed: Option<Vec<u32>> = places.zip(&numbers).map(follow).collect();
    Some(followed.filter(|_| count >= MANY && size == 4).unwrap_or(numbers))
}

/// The flags after the symbol tables; `None` if one has a bit that no kernel sets (include/linux/module_symbol.h, 7.3).
fn flags<'b>(image: &FlatImage<'b>, at: usize, count: usize) -> Option<&'b [u8]> {
    let flags = image.bytes.get(at..at.checked_add(count)?)?;
    flags.iter().all(|flag| flag & !GPL_ONLY == 0).then_some(flags)
}
