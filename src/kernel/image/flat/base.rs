//! Locates the strings of a flat image's exports: the first one is the target of the lowest pointer.

use crate::kernel::image::exports::LONGEST_NAME;
use crate::kernel::image::flat::layout::{Budget, FlatImage};

/// The strings of exports (`__ksymtab_strings`).
pub(super) struct ExportStrings<'b> {
    /// From the first string on, to the end of the image.
    bytes: &'b [u8],
    /// The target of a member that points to the first of these bytes.
    first: u64,
}

impl<'b> ExportStrings<'b> {
    /// The strings at an offset in the image, if the names with these targets can be there.
    ///
    /// Pointers are addresses; the lowest one less the offset is the base address of the image. Distances need no base, and
    /// then the lowest name has to be at this offset.
    pub(super) fn at(
        image: &FlatImage<'b>,
        at: usize,
        names: &[u64],
        budget: &mut Budget,
    ) -> Option<ExportStrings<'b>> {
        budget.spend(names.len())?;
        ExportStrings::from(image, at, *names.iter().min()?)
    }

    /// The strings at an offset in the image, of which the first has this target.
    pub(super) fn from(image: &FlatImage<'b>, at: usize, first: u64) -> Option<ExportStrings<'b>> {
        if image.form.relative && first != at as u64 {
            return None;
        }
        let bytes = image.bytes.get(at..)?;
        bytes.first().is_some_and(u8::is_ascii_graphic).then_some(ExportStrings { bytes, first })
    }

    /// The string with this target.
    pub(super) fn text(&self, target: u64) -> Option<&'b [u8]> {
        let text = self.bytes.get(self.offset(target)?..)?;
        text.get(..memchr::memchr(0, text.get(..LONGEST_NAME).unwrap_or(text))?)
    }

    /// The namespace of the entry at an offset. Exports of assembly files have none, not even the empty one
    /// (include/asm-generic/export.h, up to 6.3), and before 5.4 no export has one.
    pub(super) fn namespace(&self, image: &FlatImage<'_>, at: usize) -> Option<&'b [u8]> {
        let member = at + 2 * image.form.word;
        match image.form.members {
            2 => Some(b""),
            _ if image.number(member)? == 0 => Some(b""),
            _ => self.text(image.target(member)?),
        }
    }

    /// The string with this target, if it is not the end of another string.
    pub(super) fn begins(&self, target: u64) -> Option<&'b [u8]> {
        let before = self.offset(target)?.checked_sub(1);
        before.is_none_or(|before| self.bytes.get(before) == Some(&0)).then(|| self.text(target))?
    }

    fn offset(&self, target: u64) -> Option<usize> {
        usize::try_from(target.checked_sub(self.first)?).ok()
    }

    /// Is the start of each string, up to the last one with one of these targets, a target?
    pub(super) fn are_all(&self, used: impl Iterator<Item = u64> + Clone, budget: &mut Budget) -> bool {
        let offsets = used.map(|target| self.offset(target));
        let Some(last) = offsets.clone().max().flatten().filter(|last| *last < self.bytes.len()) else { return false };
        if budget.spend(last).is_none() {
            return false;
        }
        let mut starts = vec![false; last + 1];
        for offset in offsets {
            let Some(start) = offset.and_then(|offset| starts.get_mut(offset)) else { return false };
            *start = true;
        }
        let mut at = 0;
        while at <= last {
            if !starts.get(at).is_some_and(|start| *start) {
                return false;
            }
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Some(length) = memchr::memchr(0, rest) else { return false };
            at += length + 1;
        }
        true
    }
}
