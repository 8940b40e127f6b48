//! The parameters of built-in code: their names have the folders that exist in /sys/module from the start.
//!
//! `__param` is an array of `struct kernel_param` (include/linux/moduleparam.h): three pointers, the first of them to
//! the name, a mode in 16 bits, and more. `param_sysfs_builtin` (kernel/params.c, 6.1) makes a folder with the
//! name before the dot, `kernel` if there is no dot; none for a parameter without a mode.

use std::collections::BTreeSet;

use crate::kernel::image::vmlinux::Vmlinux;

/// The longest accepted name, in bytes. MODULE_NAME_LEN is 64 at most.
const LONGEST_NAME: usize = 256;

/// The most folders, and the most words. A kernel has a few hundred folders, and a few thousand words.
const MOST: usize = 1 << 16;

/// The names of the folders. `None` if there is no such table, or if it cannot be read.
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
        if folders.len() > MOST {
            return None;
        }
    }
    Some(folders)
}

/// The words before the dot in strings that look like the name of a parameter, and `kernel`, whose parameters have no dot.
pub(super) fn prefixes(bytes: &[u8]) -> BTreeSet<String> {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut words: BTreeSet<String> = BTreeSet::from(["kernel".to_owned()]);
    for dot in memchr::memchr_iter(b'.', bytes) {
        let (before, after) = (bytes.get(..dot).unwrap_or_default(), bytes.get(dot + 1..).unwrap_or_default());
        let before = before.get(before.len().saturating_sub(LONGEST_NAME)..).unwrap_or_default();
        let after = after.get(..LONGEST_NAME).unwrap_or(after);
        let begin = before.iter().rposition(|byte| !is_word(byte)).map_or(0, |at| at + 1);
        let word = before.get(begin..).unwrap_or_default();
        let end = after.iter().position(|byte| !is_word(byte)).and_then(|end| Some((end, *after.get(end)?)));
        if !word.is_empty() && matches!(end, Some((1.., 0))) && words.len() < MOST {
            words.insert(String::from_utf8_lossy(word).into_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::prefixes;

    #[test]
    fn words_before_a_dot_are_those_of_strings_with_one_word_behind_it() {
        let bytes = b"\0block.events_dfl_poll_msecs\0\x01\x02printk.time\0a sentence.\0net.ipv4.ip\0.text\0x.y";
        let words: Vec<String> = prefixes(bytes).into_iter().collect();
        assert_eq!(words, ["block", "ipv4", "kernel", "printk"]);
        assert_eq!(prefixes(b"").len(), 1);
    }
}
