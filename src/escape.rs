//! Escaping: text from a file may be hostile. It is converted into text that a terminal or a page shows and does not interpret,
//! and paths into words that a shell takes literally.
//!
//! Escaped are control characters (C0, DEL and C1), the marks that reorder text (bidirectional controls,
//! Unicode TR9 and TR36), line and paragraph separators, invisible joiners at which two names look alike, and bytes
//! that are not UTF-8. Other characters are kept, so that a German author's name stays readable.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Text for a terminal or a page: one line, without anything that a terminal interprets.
pub fn for_eyes(text: &str) -> String {
    escape(text, false)
}

/// Bytes for a terminal or a page: as [`for_eyes`], with each byte that is not UTF-8 as `\xNN`.
pub fn bytes_for_eyes(bytes: &[u8]) -> String {
    escape_bytes(bytes, false)
}

/// Lines for a terminal: as [`bytes_for_eyes`], but line feeds and tabs are kept. For a listing in the format of another tool,
/// which breaks long values into several lines.
pub fn lines_for_eyes(bytes: &[u8]) -> String {
    escape_bytes(bytes, true)
}

/// A path quoted for a shell: literally, in quotes, or as `$'…'` if it contains what a terminal would interpret.
pub fn shell_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(b);
    let shown = bytes_for_eyes(bytes);
    if bytes.iter().all(is_plain) {
        shown
    } else if shown.as_bytes() == bytes && !bytes.contains(&b'\'') {
        format!("'{shown}'")
    } else {
        let escaped = bytes.iter().map(|b| match b {
            b'\'' | b'\\' => format!("\\{}", char::from(*b)),
            b' '..=b'~' => char::from(*b).to_string(),
            b => format!("\\x{b:02x}"),
        });
        format!("$'{}'", escaped.collect::<String>())
    }
}

fn escape_bytes(bytes: &[u8], keep_layout: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escape(chunk.valid(), keep_layout));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// JSON for terminals and programs: the same document, with characters that a terminal might interpret as `\uNNNN`. The
/// characters that JSON itself escapes (C0) must be escaped already; all others occur only in strings.
pub fn json_for_eyes(json: &str) -> Cow<'_, str> {
    if json.is_ascii() && memchr::memchr(0x7f, json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c >= '\u{7f}' && (c.is_control() || is_deceptive(c)) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn escape(text: &str, keep_layout: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if keep_layout => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() && c.is_ascii() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || is_deceptive(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Invisible characters that change how other text appears: bidirectional controls, separators, zero-width characters, tags.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn a_name_stays_readable() {
        assert_eq!(bytes_for_eyes("Jürgen Müller <j@example.org>".as_bytes()), "Jürgen Müller <j@example.org>");
    }

    #[test]
    fn nothing_is_left_that_a_terminal_interprets() {
        assert_eq!(bytes_for_eyes(b"\x1b]0;owned\x07\n\x9b\xff"), "\\x1b]0;owned\\x07\\n\\x9b\\xff");
        assert_eq!(for_eyes("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\u{9b}c");
    }

    #[test]
    fn json_stays_the_same_document() {
        assert_eq!(
            json_for_eyes("{\"a\":\"\u{9b}é\u{202e}\u{e0041}\u{7f}\"}"),
            r#"{"a":"\u009bé\u202e\udb40\udc41\u007f"}"#
        );
    }

    #[test]
    fn a_listing_keeps_its_lines_and_nothing_else() {
        assert_eq!(lines_for_eyes(b"01:\n\t\t02\r\x1b"), "01:\n\t\t02\\r\\x1b");
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        let word = |bytes: &[u8]| shell_word(Path::new(OsStr::from_bytes(bytes)));
        assert_eq!(word(b"/tmp/hello-4.ko"), "/tmp/hello-4.ko");
        assert_eq!(word(b"/tmp/a b$x.ko"), "'/tmp/a b$x.ko'");
        assert_eq!(word(b"/tmp/it's\n\xff.ko"), "$'/tmp/it\\'s\\x0a\\xff.ko'");
    }
}
