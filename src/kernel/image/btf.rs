//! The BTF in an image without sections.

use memchr::memmem;

use crate::module::elf::Endian;

/// Finds it by its header (`struct btf_header`, include/uapi/linux/btf.h): magic, version 1, no flags, then its own
/// length, and the offsets of types and strings after it. The largest consistent one is used: a kernel has one, and programs
/// that it contains may have small ones of their own.
pub(super) fn find(bytes: &[u8]) -> Option<&[u8]> {
    let little = memmem::find_iter(bytes, &[0x9f, 0xeb, 1, 0]).filter_map(|at| whole(bytes.get(at..)?, Endian::Little));
    let big = memmem::find_iter(bytes, &[0xeb, 0x9f, 1, 0]).filter_map(|at| whole(bytes.get(at..)?, Endian::Big));
    little.chain(big).max_by_key(|btf| btf.len())
}

/// The BTF at the start of these bytes, if its header is consistent.
fn whole(bytes: &[u8], endian: Endian) -> Option<&[u8]> {
    let field = |index: usize| {
        let at = 4 + 4 * index;
        usize::try_from(endian.number(bytes.get(at..at + 4)?)).ok()
    };
    let header = field(0).filter(|length| (24..=256).contains(length))?;
    let (types, types_length, strings, strings_length) = (field(1)?, field(2)?, field(3)?, field(4)?);
    let end_of_types = types.checked_add(types_length)?;
    let in_order = end_of_types <= strings && types_length > 0 && strings_length > 0;
    let end = header.checked_add(strings)?.checked_add(strings_length)?;
    let btf = bytes.get(..end).filter(|_| in_order)?;
    let first_of_strings = btf.get(header.checked_add(strings)?)?;
    // The first string is empty, and the last one is terminated.
    (*first_of_strings == 0 && btf.last() == Some(&0)).then_some(btf)
}
