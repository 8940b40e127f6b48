//! Errors of the system call by what programs call them: names, numbers, the C library's words, kmod's and busybox's words.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::predict::errno::{
    EACCES, EBADMSG, EEXIST, EINVAL, EKEYREJECTED, ENOENT, ENOEXEC, ENOKEY, ENOMEM, ENOPKG, ENOSYS, EOPNOTSUPP, EPERM,
};
use crate::predict::{Userspace, errno_name};

/// The greatest errno (include/uapi/asm-generic/errno.h, 6.12).
const LAST: i32 = 133;

/// Words of C libraries (glibc, musl, bionic) and programs that [`Userspace`] does not have.
const WORDS: [(&str, i32); 34] = [
    ("exec format error", ENOEXEC),
    ("invalid argument", EINVAL),
    ("no such file or directory", ENOENT),
    ("unknown symbol in module, or unknown parameter (see dmesg)", ENOENT),
    ("unknown symbol in module or invalid parameter", ENOENT),
    ("module already in kernel", EEXIST),
    ("out of memory", ENOMEM),
    ("no such process", 3),
    ("interrupted system call", 4),
    ("input/output error", 5),
    ("i/o error", 5),
    ("no such device or address", 6),
    ("bad file descriptor", 9),
    ("resource temporarily unavailable", 11),
    ("try again", 11),
    ("bad address", 14),
    ("device or resource busy", 16),
    ("resource busy", 16),
    ("no such device", 19),
    ("not a directory", 20),
    ("is a directory", 21),
    ("file too large", 27),
    ("no space left on device", 28),
    ("read-only file system", 30),
    ("numerical result out of range", 34),
    ("result not representable", 34),
    ("math result not representable", 34),
    ("no data available", 61),
    ("protocol error", 71),
    ("operation not supported on transport endpoint", EOPNOTSUPP),
    ("not supported", EOPNOTSUPP),
    ("connection timed out", 110),
    ("operation timed out", 110),
    ("timer expired", 62),
];

/// No program's words for an error are longer, in bytes.
const LONGEST_WORDS: usize = 80;

/// Errors by their names in capital letters, and by the words of programs in small ones. Of several errors the first is meant.
static NAMES: LazyLock<HashMap<String, i32>> = LazyLock::new(|| {
    let of_programs = (1..=LAST).flat_map(|errno| {
        let Userspace { kmod, busybox } = Userspace::of(Some(errno));
        [kmod, busybox].into_iter().flatten().map(move |words| (words.to_lowercase(), errno))
    });
    let names = (1..=LAST).map(|errno| (errno_name(errno).into_owned(), errno));
    let words = WORDS.iter().map(|(words, errno)| ((*words).to_owned(), *errno));
    let mut all = HashMap::new();
    of_programs.chain(words).chain(names).for_each(|(name, errno)| _ = all.entry(name).or_insert(errno));
    all
});

/// The errno that a program's words mean.
pub(super) fn of_words(words: &str) -> Option<i32> {
    let words = words.trim().trim_end_matches('.');
    (words.len() <= LONGEST_WORDS).then(|| NAMES.get(&words.to_lowercase()).copied())?
}

/// The errno that a text names: `ENOEXEC`, `-ENOEXEC`, `errno 8`, `errno=-8`, `-8`, `8`, or a program's words for it.
pub(super) fn of_text(text: &str) -> Option<i32> {
    let text = text.trim();
    let number = text.strip_prefix("errno").map_or(text, |rest| rest.trim_start_matches([' ', '=', ':']));
    let number = number.strip_prefix('-').unwrap_or(number);
    if !number.is_empty() && number.len() <= 3 && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.parse().ok().filter(|errno| (1..=LAST).contains(errno) && errno_name(*errno).starts_with('E'));
    }
    if number.starts_with('E') && number.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return NAMES.get(number).copied();
    }
    of_words(text)
}

/// What the error means when a module is loaded.
pub(super) fn meaning(errno: i32) -> &'static str {
    match errno {
        EPERM => {
            "the caller may not load modules, or module loading is switched off (modules_disabled), or the module is blacklisted, or the kernel is locked down"
        }
        ENOENT => {
            "a symbol is missing (the kernel's log names it), or a parameter is unknown, or there is no such file"
        }
        ENOEXEC => {
            "the kernel does not accept the file as a module for itself: version magic, CRCs, processor, relocations or a damaged file; its log has the reason"
        }
        ENOMEM => "the kernel has no memory for the module",
        EACCES => "a security module (SELinux, IMA), or the protection of Android's kernels, refuses the module",
        16 => {
            "the module, or one that it needs, is being loaded or removed, or its init function found its device in use"
        }
        EEXIST => "a module of this name is loaded",
        19 => "the loader accepted the module; its own init function found no device",
        EINVAL => {
            "a symbol has another CRC or namespace, or a parameter is wrong, or the types (BTF) do not fit, or the compressed file cannot be unpacked; the kernel's log has the reason"
        }
        ENOSYS => "the kernel loads no modules (CONFIG_MODULES is not set), or a sandbox forbids the system call",
        ENOPKG => "the module is signed with an algorithm that the kernel does not have",
        EBADMSG => "the module's signature is damaged",
        EOPNOTSUPP => {
            "the kernel cannot unpack compressed modules, or the module's own init function says that it cannot work here"
        }
        ENOKEY => {
            "the module is not signed by a key that the kernel trusts (kernels before 5.4 that require signatures)"
        }
        EKEYREJECTED => {
            "the module's signature is missing, of an unknown key, or does not fit the file, and the kernel requires a valid one"
        }
        61 => "the module has no signature, and the kernel requires one",
        _ => "the loader does not return it: it is the result of the module's own init function",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_all_its_names() {
        for text in
            ["ENOEXEC", "-ENOEXEC", "errno 8", "errno=-8", "-8", "8", "Exec format error", "Invalid module format"]
        {
            assert_eq!(of_text(text), Some(ENOEXEC), "{text}");
        }
        assert_eq!(of_text("Key was rejected by service"), Some(EKEYREJECTED));
        assert_eq!(of_text("Invalid parameters"), Some(EINVAL));
        for text in ["E", "EVERYTHING", "0", "4095", "999", "", "8 modules", "errno"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }
}
