//! PEM: DER in lines of Base64 between a BEGIN and an END line (RFC 7468).

use crate::error::{Error, ErrorKind, Result};

/// What is in the first block of a label; `None` if there is no such block. What stands around blocks is passed over.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for a block with headers, which OpenSSL's own encryption has (RFC 1421, section 4.6);
/// [`ErrorKind::Truncated`] without an END line; [`ErrorKind::Malformed`] if the lines are no Base64.
pub(super) fn block(file: &[u8], label: &str) -> Result<Option<Vec<u8>>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut lines = file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    if !lines.any(|line| line == begin.as_bytes()) {
        return Ok(None);
    }
    let mut digits = Vec::new();
    for line in lines {
        if line == end.as_bytes() {
            let damaged = || Error::new(ErrorKind::Malformed, format!("what is in its block {label} is no Base64"));
            return decoded(&digits).map(Some).ok_or_else(damaged);
        }
        if line.contains(&b':') {
            let what = format!("its block {label} is encrypted, and no password is asked for here");
            return Err(Error::new(ErrorKind::Unsupported, what));
        }
        digits.extend_from_slice(line);
    }
    let what = format!("its block {label} has no END line");
    Err(Error::new(ErrorKind::Truncated, what).hint("is it cut short?"))
}

/// Does a block of that label begin in it?
#[cfg_attr(not(feature = "sign"), expect(dead_code, reason = "keys are only read where they sign"))]
pub(super) fn names(file: &[u8], label: &str) -> bool {
    let begin = format!("-----BEGIN {label}-----");
    file.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == begin.as_bytes())
}

/// Base64 (RFC 4648, section 4), padded.
fn decoded(digits: &[u8]) -> Option<Vec<u8>> {
    let padding = digits.iter().rev().take_while(|digit| **digit == b'=').count();
    if padding > 2 || !digits.len().is_multiple_of(4) {
        return None;
    }
    let digits = digits.get(..digits.len() - padding)?;
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over of the last digit must be zero, or two texts would mean the same bytes.
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_the_standard() {
        let all =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (bytes, text) in all {
            assert_eq!(decoded(text.as_bytes()).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["Z", "Zg", "Zg=", "Zh==", "Z===", "Zg==Zg==", "Zm9 ", "Zm-v"] {
            assert_eq!(decoded(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_block_is_found_among_others() {
        let file = b"words\r\n-----BEGIN A-----\r\nZm9v\r\nYg==\r\n-----END A-----\r\n-----BEGIN B-----\nZg==\n";
        assert_eq!(block(file, "A").unwrap().as_deref(), Some(&b"foob"[..]));
        assert_eq!(block(file, "B").unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(block(file, "C").unwrap(), None);
        assert!(names(file, "B") && !names(file, "C"));
    }
}
