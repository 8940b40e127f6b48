//! The tables of a kernel's exports in an image without sections.
//!
//! The linker script puts `__ksymtab`, `__ksymtab_gpl` (up to 7.0), `__kcrctab`, `__kcrctab_gpl`, `__kflagstab` (7.1 on)
//! and `__ksymtab_strings` one after the other, without a gap (RO_DATA, include/asm-generic/vmlinux.lds.h, 4.4 to 7.3).
//! `search` finds what has the shape of the symbol tables, `pairs` where those begin that have no namespaces, `base`
//! determines where their strings are, and this file reads the tables and proves that they are whole:
//!
//! - names ascend within each table, and there are at most two tables;
//! - the strings begin exactly where tables of CRCs and flags of that many entries end;
//! - each string up to the last one is the name or the namespace of an entry. An entry that was missed would leave one.
//!
//! What fails one of these gives no exports, as two tables in one image do. All of it is linear in the size of the image.

mod base;
mod pairs;
mod search;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]
mod tests;

use std::collections::HashMap;

use crate::kernel::image::exports::{GPL_ONLY, LONGEST_NAME};
use crate::kernel::{Export, Exports, Machine};
use crate::module::elf::Endian;
use base::Strings;

/// Where the bytes of the flat image of a kernel hold what, if they are read in one form.
struct Image<'b> {
    bytes: &'b [u8],
    form: Form,
}

/// How an entry of a symbol table is laid out: value, name and, from 5.4 on, namespace (`struct kernel_symbol`,
/// include/linux/export.h, 4.4 and 5.3; kernel/module/internal.h, 6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    /// Members of an entry: three with a namespace, else two.
    members: usize,
    /// Each member is the distance from itself, in 32 bits (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS), and not a pointer.
    relative: bool,
    /// Bytes of a member.
    word: usize,
    endian: Endian,
}

impl Form {
    /// The forms that a machine may have; all of them for a machine that is not known.
    fn of(machine: Option<Machine>) -> Vec<Form> {
        let all = [3, 2].into_iter().flat_map(|members| {
            [Endian::Little, Endian::Big].into_iter().flat_map(move |endian| {
                [(true, 4), (false, 8), (false, 4)].map(|(relative, word)| Form { members, relative, word, endian })
            })
        });
        let fits = |form: &Form| {
            machine.is_none_or(|machine| {
                form.endian == machine.endian && (form.relative || form.word == machine.class.word())
            })
        };
        all.filter(fits).collect()
    }

    /// Bytes of an entry.
    fn entry(self) -> usize {
        self.members * self.word
    }
}

impl<'b> Image<'b> {
    /// The number at a place.
    fn number(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(self.form.word)?)?;
        Some(match (self.form.endian, bytes) {
            (Endian::Little, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]).into(),
            (Endian::Big, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).into(),
            (endian, bytes) => endian.number(bytes),
        })
    }

    /// What the member at a place points to: an address, or a place in the image if distances are stored. `None` where
    /// there is no member, and for a distance that leads out of the image at its start.
    fn target(&self, at: usize) -> Option<u64> {
        let number = self.number(at)?;
        match self.form.relative {
            true => (at as u64).checked_add_signed(i64::from(number as u32 as i32)),
            false => Some(number),
        }
    }

    /// What the name of the entry at a place is pointed to by.
    fn name(&self, at: usize) -> Option<u64> {
        self.target(at + self.form.word)
    }

    /// The namespace of the entry at a place. Exports of assembly files have none, not even the empty one
    /// (include/asm-generic/export.h, up to 6.3), and before 5.4 no export has one.
    fn namespace<'s>(&self, at: usize, strings: &'s Strings<'_>) -> Option<&'s [u8]> {
        let member = at + 2 * self.form.word;
        match self.form.members {
            2 => Some(b""),
            _ if self.number(member)? == 0 => Some(b""),
            _ => strings.text(self.target(member)?),
        }
    }

    /// What points to strings in the entry at a place.
    fn strings(&self, at: usize) -> impl Iterator<Item = u64> + Clone {
        let members = (1..self.form.members).map(move |member| at + member * self.form.word);
        let given = members.filter(|member| self.number(*member) != Some(0));
        given.filter_map(|member| self.target(member))
    }
}

/// Bytes that may still be read more than once, so that an image of nothing but tables costs no more than its size.
struct Budget(usize);

impl Budget {
    fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// The exports of a flat image; `None` where no table of them can be read whole.
pub(super) fn exports(bytes: &[u8], machine: Option<Machine>) -> Option<Exports> {
    let mut found = None;
    for form in Form::of(machine) {
        let image = Image { bytes, form };
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

/// Reads the symbol tables between two places, and what follows them.
fn read(image: &Image<'_>, start: usize, end: usize, budget: &mut Budget) -> Option<HashMap<String, Export>> {
    Behind::of(image.form).into_iter().find_map(|behind| {
        let start = match image.form.members {
            2 => pairs::start(image, start..end, &behind, budget)?,
            _ => start,
        };
        with(image, start, end, &behind, budget)
    })
}

/// Reads the symbol tables between two places, if this is what stands behind them.
fn with(
    image: &Image<'_>,
    start: usize,
    end: usize,
    behind: &Behind,
    budget: &mut Budget,
) -> Option<HashMap<String, Export>> {
    let count = (end.checked_sub(start)?) / image.form.entry();
    let entries = (start..end).step_by(image.form.entry());
    budget.spend(end - start)?;
    let names: Vec<u64> = entries.clone().map(|at| image.name(at)).collect::<Option<_>>()?;
    let strings = Strings::at(image, end.checked_add(behind.size(count))?, &names, budget)?;
    let mut symbols = Vec::with_capacity(count);
    for (at, name) in entries.clone().zip(&names) {
        let name = strings.text(*name).filter(|name| is_name(name))?;
        let namespace = image.namespace(at, &strings)?;
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
            // One table without flags: is it the one of all modules, or the other?
            (None, None) => None,
        };
        let crc = crcs.as_ref().and_then(|crcs| crcs.get(index).copied());
        let namespace = Some(String::from_utf8_lossy(namespace).into_owned());
        (String::from_utf8_lossy(name).into_owned(), Export { crc, gpl_only, namespace })
    };
    Some(symbols.into_iter().enumerate().map(export).collect())
}

/// What stands between the symbol tables and their strings.
struct Behind {
    /// Bytes of a CRC, or 0 without symbol versions.
    crc: usize,
    flags: bool,
}

impl Behind {
    /// What can stand there. A CRC was an `unsigned long` up to 4.9 and has had 32 bits since (`__kcrctab`,
    /// include/linux/export.h); a flag has 8.
    fn of(form: Form) -> Vec<Behind> {
        let all = [(4, false), (0, false), (0, true), (4, true), (8, false)];
        let fits = |behind: &Behind| match form.members {
            2 => !behind.flags && (behind.crc < 8 || (form.word == 8 && !form.relative)),
            _ => behind.crc < 8,
        };
        all.map(|(crc, flags)| Behind { crc, flags }).into_iter().filter(fits).collect()
    }

    /// Its bytes for so many symbols.
    fn size(&self, count: usize) -> usize {
        count * (self.crc + usize::from(self.flags))
    }
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() < LONGEST_NAME && name.iter().all(u8::is_ascii_graphic)
}

/// The index of the first name that does not ascend: there the second table begins. `None` inside if all ascend; `None`
/// if there are more than two tables.
#[allow(clippy::option_option, reason = "a failure is another thing than one table")]
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

/// The CRCs behind the symbol tables, of so many bytes each.
///
/// With CONFIG_MODULE_REL_CRCS (4.10 to 5.16; powerpc, sparc) an entry is the distance from itself to the CRC.
/// CRCs are as good as random: many that are distances into the image are none.
fn crcs(image: &Image<'_>, at: usize, count: usize, size: usize) -> Option<Vec<u32>> {
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

/// The flags behind the symbol tables; `None` if one has a bit that no kernel sets (include/linux/module_symbol.h, 7.3).
fn flags<'b>(image: &Image<'b>, at: usize, count: usize) -> Option<&'b [u8]> {
    let flags = image.bytes.get(at..at.checked_add(count)?)?;
    flags.iter().all(|flag| flag & !GPL_ONLY == 0).then_some(flags)
}
