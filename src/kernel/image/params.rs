//! The parameters of what is built into a kernel: their names have the folders that /sys/module has from the start.
//!
//! `__param` is an array of `struct kernel_param` (include/linux/moduleparam.h): three pointers, the first of them to
//! the name, a mode in 16 bits, and more. `param_sysfs_builtin` (kernel/params.c, 6.1) makes a folder of what stands
//! before the dot in the name, `kernel` where there is none; none for a parameter without a mode.

use std::collections::BTreeSet;

use crate::kernel::image::vmlinux::Vmlinux;

/// The longest name that is believed, in bytes. MODULE_NAME_LEN is 64 at most.
const LONGEST_NAME: usize = 256;

/// The names of the folders. `None` where there is no such table, or one that can't be read.
pub(super) fn folders(vmlinux: &Vmlinux<'_>) -> Option<BTreeSet<String>> {
    let table = vmlinux.section("__param")?;
    let word = vmlinux.class.word();
    // Three pointers, 16 bits of mode, a level and flags in 8 each, padding, and a pointer.
    let entry = 5 * word;
    if table.bytes.is_empty() || table.bytes.len() % entry != 0 {
        return None;
    }
    let mut folders = BTreeSet::new();
    for bytes in table.bytes.chunks_exact(entry) {
        let name = vmlinux.at(vmlinux.endian.number(bytes.get(..word)?))?;
        let name = name.get(..LONGEST_NAME).unwrap_or(name).split(|byte| *byte == 0).next()?;
        let mode = vmlinux.endian.number(bytes.get(3 * word..3 * word + 2)?);
        if mode == 0 {
            continue;
        }
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let folder = match name.iter().position(|byte| *byte == b'.') {
            Some(dot) => String::from_utf8_lossy(name.get(..dot)?).into_owned(),
            None => "kernel".to_owned(),
        };
        folders.insert(folder);
    }
    Some(folders)
}
