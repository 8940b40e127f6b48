//! A kernel by what people paste: the loader's line about the version magic, `uname -a`, the text of /proc/version, or a log with
//! such a line.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

use crate::vermagic::Vermagic;

/// The beginning of a name that means a file with a kernel's log.
const LOG: &[u8] = b"dmesg:";

/// The most bytes that are read of a log.
const MOST: u64 = 64 << 20;

/// The version magic that a pasted name gives; only a release if nothing more is in it.
pub(super) fn vermagic(name: &OsStr) -> Option<Vermagic> {
    let text = match name.as_bytes().strip_prefix(LOG) {
        Some(path) => log(OsStr::from_bytes(path))?,
        None => name.to_str()?.to_owned(),
    };
    let string = required(&text).or_else(|| text.lines().rev().find_map(release))?;
    Some(Vermagic::parse(string.as_bytes()))
}

/// A version magic as it was pasted after `vermagic:`, without `vermagic=` and quotation marks around it.
pub(super) fn unquoted(string: &[u8]) -> &[u8] {
    let string = string.strip_prefix(b"vermagic=").unwrap_or(string);
    match string {
        [b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"'] => inside,
        _ => string,
    }
}

fn log(path: &OsStr) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The kernel's string in the last line `NAME: version magic 'A' should be 'B'`.
fn required(text: &str) -> Option<&str> {
    let (before, after) = text.rsplit_once("' should be '")?;
    let is_line = before.lines().next_back().is_some_and(|line| line.contains("version magic '"));
    is_line.then(|| after.split('\'').next()).flatten()
}

/// The release in a line of `uname -a` or /proc/version.
fn release(line: &str) -> Option<&str> {
    let (_, line) = line.split_once("Linux ")?;
    let mut words = line.split_whitespace();
    // The host's name comes before the release.
    let (first, release) = (words.next()?, words.next()?);
    let is_build = |word: &str| word.starts_with('#');
    let fits = first == "version" || words.next().is_some_and(is_build);
    let is_release = matches!(release.as_bytes(), [b'2'..=b'9', b'.', b'0'..=b'9', ..]);
    (fits && is_release).then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<String> {
        vermagic(OsStr::new(name)).map(|vermagic| vermagic.to_string())
    }

    #[test]
    fn a_kernel_is_what_a_pasted_line_says() {
        let line = "[ 1010.5] foo: version magic '4.4.14-v7+ SMP ' should be '4.4.21+ mod_unload ARMv6 '";
        assert_eq!(vermagic(OsStr::new(line)).unwrap().as_bytes(), b"4.4.21+ mod_unload ARMv6 ");
        let uname = "Linux host 6.1.21-v8+ #1642 SMP PREEMPT Mon Apr  3 17:24:16 BST 2023 aarch64 GNU/Linux";
        assert_eq!(of(uname).as_deref(), Some("6.1.21-v8+"));
        assert_eq!(of("Linux version 6.1.0-13-amd64 (x@y) (gcc 12) #1 SMP").as_deref(), Some("6.1.0-13-amd64"));
        for name in ["/lib/modules/6.1.0", "vmlinuz", "Linux", "Linux host up 5.1 days", "6.1.0", "dmesg:/nowhere"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_log_names_its_kernel() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = format!("dmesg:{}", file.path().display());
        std::fs::write(file.path(), "[    0.0] Linux version 6.1.0 (x@y) #1 SMP\n[    1.0] usb 1-1: new\n").unwrap();
        assert_eq!(of(&name).as_deref(), Some("6.1.0"));
        std::fs::write(file.path(), "Linux version 6.1.0 (x@y) #1\nfoo: version magic 'a' should be '6.1.0 SMP '\n")
            .unwrap();
        assert_eq!(vermagic(OsStr::new(&name)).unwrap().as_bytes(), b"6.1.0 SMP ");
    }

    #[test]
    fn what_people_paste_around_a_version_magic_is_stripped() {
        for pasted in ["6.1.0 SMP ", "vermagic=6.1.0 SMP ", "'6.1.0 SMP '", "vermagic='6.1.0 SMP '"] {
            assert_eq!(unquoted(pasted.as_bytes()), b"6.1.0 SMP ", "{pasted}");
        }
    }
}
