//! How the tables of exports are laid out in a flat image, and limited reading of them.

use crate::kernel::architecture::Machine;
use crate::kernel::image::exports::LONGEST_NAME;
use crate::module::elf::Endian;

/// The bytes of a flat image, read with one layout of entries.
pub(super) struct FlatImage<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) form: EntryForm,
}

/// The layout of an entry of a symbol table: value, name and, from 5.4 on, namespace (`struct kernel_symbol`,
/// include/linux/export.h, 4.4 and 5.3; kernel/module/internal.h, 6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryForm {
    /// Members of an entry: three with a namespace, else two.
    pub(super) members: usize,
    /// Each member is the distance from itself, in 32 bits (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS), and not a pointer.
    pub(super) relative: bool,
    /// Bytes of a member.
    pub(super) word: usize,
    pub(super) endian: Endian,
}

impl EntryForm {
    /// The layouts that a machine may have; all of them for an unknown machine.
    pub(super) fn of(machine: Option<Machine>) -> Vec<EntryForm> {
        let all = [3, 2].into_iter().flat_map(|members| {
            [Endian::Little, Endian::Big].into_iter().flat_map(move |endian| {
                [(true, 4), (false, 8), (false, 4)].map(|(relative, word)| EntryForm {
                    members,
                    relative,
                    word,
                    endian,
                })
            })
        });
        let fits = |form: &EntryForm| {
            machine.is_none_or(|machine| {
                form.endian == machine.endian && (form.relative || form.word == machine.class.word())
            })
        };
        all.filter(fits).collect()
    }

    /// Bytes of an entry.
    pub(super) fn entry(self) -> usize {
        self.members * self.word
    }
}

impl<'b> FlatImage<'b> {
    /// The number at an offset.
    pub(super) fn number(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(self.form.word)?)?;
        Some(match (self.form.endian, bytes) {
            (Endian::Little, [a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]).into(),
            (Endian::Big, [a, b, c, d]) => u32::from_be_bytes([*a, *b, *c, *d]).into(),
            (endian, bytes) => endian.number(bytes),
        })
    }

    /// The target of the member at an offset: an address, or an offset in the image if distances are stored. `None` beyond the
    /// end, and for a distance to before the start of the image.
    pub(super) fn target(&self, at: usize) -> Option<u64> {
        let number = self.number(at)?;
        match self.form.relative {
            true => (at as u64).checked_add_signed(i64::from(number as u32 as i32)),
            false => Some(number),
        }
    }

    /// The target of the name of the entry at an offset.
    pub(super) fn name(&self, at: usize) -> Option<u64> {
        self.target(at + self.form.word)
    }

    /// The targets of the strings of the entry at an offset.
    pub(super) fn strings(&self, at: usize) -> impl Iterator<Item = u64> + Clone {
        let members = (1..self.form.members).map(move |member| at + member * self.form.word);
        let given = members.filter(|member| self.number(*member) != Some(0));
        given.filter_map(|member| self.target(member))
    }
}

/// How many bytes may still be read again, so that an image that is full of tables costs linear time.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    pub(super) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.checked_sub(bytes)?;
        Some(())
    }
}

/// The tables between the symbol tables and their strings.
pub(super) struct TablesAfter {
    /// Bytes of a CRC, or 0 without symbol versions.
    pub(super) crc: usize,
    pub(super) flags: bool,
}

impl TablesAfter {
    /// The possible tables. A CRC was an `unsigned long` up to 4.9 and has had 32 bits since (`__kcrctab`,
    /// include/linux/export.h); a flag has 8.
    pub(super) fn of(form: EntryForm) -> Vec<TablesAfter> {
        let all = [(4, false), (0, false), (0, true), (4, true), (8, false)];
        let fits = |behind: &TablesAfter| match form.members {
            2 => !behind.flags && (behind.crc < 8 || (form.word == 8 && !form.relative)),
            _ => behind.crc < 8,
        };
        all.map(|(crc, flags)| TablesAfter { crc, flags }).into_iter().filter(fits).collect()
    }

    /// Their size in bytes for `count` symbols.
    pub(super) fn size(&self, count: usize) -> usize {
        count * (self.crc + usize::from(self.flags))
    }
}

pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() < LONGEST_NAME && name.iter().all(u8::is_ascii_graphic)
}
