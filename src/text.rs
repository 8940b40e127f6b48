//! Text for people and for JSON: quantities in words, paths, and bytes of a file that may not be UTF-8.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::escape;

/// Bytes of a file as a JSON string. Bytes that are not UTF-8 appear as U+FFFD; `value_hex` then has all bytes in hexadecimal.
#[derive(Clone, Debug, Serialize)]
pub struct JsonText {
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_hex: Option<String>,
}

impl JsonText {
    /// The bytes as JSON text.
    pub fn of(bytes: &[u8]) -> JsonText {
        let is_utf8 = std::str::from_utf8(bytes).is_ok();
        JsonText {
            value: String::from_utf8_lossy(bytes).into_owned(),
            value_hex: (!is_utf8).then(|| hex::encode(bytes)),
        }
    }
}

/// A value as JSON in one line, with its end, escaped for terminals ([`escape::json_for_eyes`]).
///
/// # Errors
///
/// Those of the value's serialisation.
pub fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    /// Most records of a module are smaller. A buffer that grows with each of many thousand records takes longer than the record.
    const USUAL: usize = 1 << 10;
    let mut line = Vec::with_capacity(USUAL);
    serde_json::to_writer(&mut line, value)?;
    line.push(b'\n');
    let line = String::from_utf8(line).map_err(<serde_json::Error as serde::ser::Error>::custom)?;
    let escaped = match escape::json_for_eyes(&line) {
        Cow::Borrowed(_) => None,
        Cow::Owned(escaped) => Some(escaped),
    };
    Ok(escaped.unwrap_or(line))
}

/// A path for JSON. Bytes that are not UTF-8 appear as U+FFFD; [`path_hex`] then gives all bytes.
pub fn path_text(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// The bytes of a path in hexadecimal, if they are not UTF-8.
pub fn path_hex(path: &Path) -> Option<String> {
    path.to_str().is_none().then(|| hex::encode(path.as_os_str().as_bytes()))
}

/// [`path_hex`] of several paths: one entry per path, if at least one path is not UTF-8.
pub fn paths_hex<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Option<Vec<Option<String>>> {
    let all: Vec<_> = paths.into_iter().map(|path| path_hex(path)).collect();
    all.iter().any(Option::is_some).then_some(all)
}

/// A path for a terminal or a page, escaped.
pub fn path(path: &Path) -> String {
    escape::bytes_for_eyes(path.as_os_str().as_bytes())
}

/// A vermagic for a terminal or a page, escaped. A trailing space is significant, so it is shown as U+2420.
pub fn vermagic(bytes: &[u8]) -> String {
    let text = escape::bytes_for_eyes(bytes);
    if text.is_empty() {
        return "empty".to_owned();
    }
    match text.strip_suffix(' ') {
        Some(rest) => format!("{rest}␠"),
        None => text,
    }
}

/// A number with thousands separators: "2,400".
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: "1 module", "2,400 modules".
pub fn count(amount: usize, noun: &str) -> String {
    let s = if amount == 1 { "" } else { "s" };
    format!("{} {noun}{s}", grouped(amount as u64))
}

/// The maximum length in bytes of a text from a file that may be long.
pub(crate) const LONGEST: usize = 512;

/// The start of a text from a file that may be long, up to [`LONGEST`] bytes.
pub(crate) fn cut(text: &str) -> String {
    match text.len() > LONGEST {
        true => format!("{}…", text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default()),
        false => text.to_owned(),
    }
}

/// One row of a hex view.
fn hex_row(offset: u64, bytes: &[u8]) -> String {
    let mut hex = String::new();
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let gap = if place == 8 { "  " } else { " " };
        let _ = write!(hex, "{gap}{byte:02x}");
        text.push(if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' });
    }
    format!("{offset:08x} {hex:<50} |{text}|")
}

/// The rows of a hex view of a span: an offset, sixteen bytes in hexadecimal, and the same bytes as text, at most `most` of them; and how many bytes are omitted.
pub fn hex_rows(offset: u64, bytes: &[u8], most: usize) -> (Vec<String>, usize) {
    let shown = bytes.len().min(most.saturating_mul(16));
    let rows = bytes.get(..shown).unwrap_or_default().chunks(16).enumerate();
    (rows.map(|(n, chunk)| hex_row(offset + 16 * n as u64, chunk)).collect(), bytes.len() - shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_like_hexdump() {
        let (rows, left) = hex_rows(0x40, b"vermagic=6.1.0\0\0SMP", 1);
        assert_eq!(rows, ["00000040  76 65 72 6d 61 67 69 63  3d 36 2e 31 2e 30 00 00  |vermagic=6.1.0..|"]);
        assert_eq!(left, 3);
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_marked() {
        assert_eq!(cut("short"), "short");
        let long = format!("{}äb", "x".repeat(LONGEST - 1));
        assert_eq!(cut(&long), format!("{}…", "x".repeat(LONGEST - 1)));
    }

    #[test]
    fn numbers_have_thousands_separators() {
        assert_eq!([999, 2_400, 1_000_000].map(grouped), ["999", "2,400", "1,000,000"]);
        assert_eq!(["1 module", "999 modules", "1,234,567 modules"], [1, 999, 1_234_567].map(|n| count(n, "module")));
    }

    #[test]
    fn a_trailing_space_of_a_vermagic_is_visible() {
        assert_eq!(vermagic(b"6.1.0 SMP "), "6.1.0 SMP␠");
        assert_eq!(vermagic(b""), "empty");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_also_given_in_hexadecimal() {
        let json = |bytes| serde_json::to_string(&JsonText::of(bytes)).unwrap_or_default();
        assert_eq!(json(b"a"), r#"{"value":"a"}"#);
        assert_eq!(json(b"a\xff"), "{\"value\":\"a\u{fffd}\",\"value_hex\":\"61ff\"}");
    }
}
