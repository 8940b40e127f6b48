//! The tables of a kernel's exports in its ELF file.
//!
//! `__ksymtab*` hold a `struct kernel_symbol` for each export, sorted by name; `__kcrctab*` hold its CRC at the same
//! place, and from 7.x on `__kflagstab` its flags (include/linux/export.h, up to 6.3; export-internal.h since). An entry
//! has two members, value and name, and since 5.4 a third, the namespace. Each is a pointer, or where the architecture
//! has CONFIG_HAVE_ARCH_PREL32_RELOCATIONS (4.19 on; x86, arm64, s390) the distance from itself, in 32 bits. The file does not
//! show which: only the correct one of the four layouts has all names within `__ksymtab_strings`.

use std::collections::HashMap;

use crate::kernel::image::vmlinux::{Vmlinux, VmlinuxSection};
use crate::kernel::tree::{Export, Exports};

/// The tables: entries, CRCs, and whether they are for GPL-compatible modules only. The last three existed up to 5.11.
const TABLES: [(&str, &str, bool); 5] = [
    ("__ksymtab", "__kcrctab", false),
    ("__ksymtab_gpl", "__kcrctab_gpl", true),
    ("__ksymtab_gpl_future", "__kcrctab_gpl_future", false),
    ("__ksymtab_unused", "__kcrctab_unused", false),
    ("__ksymtab_unused_gpl", "__kcrctab_unused_gpl", true),
];

/// The longest name in bytes: KSYM_NAME_LEN, include/linux/kallsyms.h, 512 since 6.1.
pub(super) const LONGEST_NAME: usize = 512;

/// KSYM_FLAG_GPL_ONLY, include/linux/module_symbol.h, 7.x.
pub(super) const GPL_ONLY: u8 = 1;

/// The exports, and the name of their first table. `None` if there are no such tables, or if they cannot be read completely:
/// a part of the exports would be taken for all of them.
pub(super) fn read(vmlinux: &Vmlinux<'_>) -> Option<(Exports, &'static str)> {
    let strings = vmlinux.section("__ksymtab_strings")?;
    let [(first, _, _), ..] = TABLES;
    vmlinux.section(first)?;
    let symbols = LAYOUTS.iter().find_map(|layout| with_layout(vmlinux, strings, *layout))?;
    (!symbols.is_empty()).then_some((Exports { symbols, complete: true }, first))
}

/// The layout of an entry.
#[derive(Clone, Copy)]
struct EntryLayout {
    /// Distances of 32 bits, not pointers.
    relative: bool,
    /// Members: three with a namespace, else two.
    members: usize,
}

const LAYOUTS: [EntryLayout; 4] = [
    EntryLayout { relative: true, members: 3 },
    EntryLayout { relative: true, members: 2 },
    EntryLayout { relative: false, members: 3 },
    EntryLayout { relative: false, members: 2 },
];

fn with_layout(
    vmlinux: &Vmlinux<'_>,
    strings: &VmlinuxSection<'_>,
    layout: EntryLayout,
) -> Option<HashMap<String, Export>> {
    let flags = vmlinux.section("__kflagstab").map(|section| section.bytes);
    let mut symbols = HashMap::new();
    // Names may share bytes, so a small table could have very long names in total.
    let mut left = vmlinux.bytes.len();
    for (table, crcs, gpl_only) in TABLES {
        let Some(table) = vmlinux.section(table) else { continue };
        let member = if layout.relative { 4 } else { vmlinux.class.word() };
        let entry = member * layout.members;
        if table.bytes.len() % entry != 0 {
            return None;
        }
        let count = table.bytes.len() / entry;
        let crcs = match vmlinux.section(crcs) {
            Some(section) => Some(crc_table(vmlinux, section, count)?),
            None => None,
        };
        if flags.is_some_and(|flags| flags.len() != count) {
            return None;
        }
        symbols.try_reserve(count).ok()?;
        for (index, bytes) in table.bytes.chunks_exact(entry).enumerate() {
            let number = |place: usize| Some(vmlinux.endian.number(bytes.get(place * member..(place + 1) * member)?));
            let text = |place: usize| {
                let here = table.address.wrapping_add((index * entry + place * member) as u64);
                let number = number(place)?;
                let text =
                    strings.at(if layout.relative { here.wrapping_add_signed(signed(number)) } else { number })?;
                text.get(..memchr::memchr(0, text.get(..LONGEST_NAME).unwrap_or(text))?)
            };
            let name = text(1).filter(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))?;
            // Exports of assembly files have no namespace instead of an empty one (include/asm-generic/export.h, up to 6.4).
            let namespace = if layout.members == 2 || number(2) == Some(0) { b"" } else { text(2)? };
            left = left.checked_sub(name.len() + namespace.len())?;
            let export = Export {
                crc: crcs.as_ref().and_then(|crcs| crcs.get(index).copied()),
                gpl_only: Some(flags.and_then(|flags| flags.get(index)).map_or(gpl_only, |flag| flag & GPL_ONLY != 0)),
                namespace: Some(String::from_utf8_lossy(namespace).into_owned()),
            };
            symbols.insert(String::from_utf8_lossy(name).into_owned(), export);
        }
    }
    Some(symbols)
}

/// A number of 32 bits with a sign, as a distance.
fn signed(number: u64) -> i64 {
    i64::from(number as u32 as i32)
}

/// The CRCs of a table with this many entries; `None` if it has another size.
///
/// An entry was an `unsigned long` up to 4.9, and has 32 bits since. With CONFIG_MODULE_REL_CRCS (4.10–5.16; powerpc
/// and others) it is the distance from itself to the CRC.
fn crc_table(vmlinux: &Vmlinux<'_>, section: &VmlinuxSection<'_>, count: usize) -> Option<Vec<u32>> {
    let entry =
        [4, vmlinux.class.word()].into_iter().find(|entry| entry.checked_mul(count) == Some(section.bytes.len()))?;
    let entries = section.bytes.chunks_exact(entry);
    let numbers: Vec<u32> = entries.map(|entry| vmlinux.endian.number(entry) as u32).collect();
    // CRCs are practically random: if two or more are all distances into the constants, they are not CRCs.
    let constants = vmlinux.section(".rodata").filter(|_| entry == 4 && count > 1);
    let follow = |(index, number): (usize, &u32)| {
        let here = section.address.wrapping_add((index * entry) as u64);
        let crc = constants?.at(here.wrapping_add_signed(signed(u64::from(*number))))?.get(..4)?;
        Some(vmlinux.endian.number(crc) as u32)
    };
    let followed: Option<Vec<u32>> = numbers.iter().enumerate().map(follow).collect();
    Some(followed.unwrap_or(numbers))
}
