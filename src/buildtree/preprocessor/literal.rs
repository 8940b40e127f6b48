//! The contents of string literals (C11 6.4.5, 6.4.4.4).

/// The contents of a literal, which is given with its quotation marks; `None` if it has wide characters or an unknown escape.
pub(super) fn bytes(literal: &[u8]) -> Option<Vec<u8>> {
    unescaped(literal.strip_prefix(b"\"")?.strip_suffix(b"\"")?)
}

/// Bytes without escapes.
pub(super) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&escape, after) = rest.split_first()?;
        rest = after;
        out.push(match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            b'e' => 27,
            b'\\' | b'"' | b'\'' | b'?' => escape,
            b'0'..=b'7' => {
                let more = rest.iter().take(2).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let (digits, after) = rest.split_at(more);
                rest = after;
                let first = u32::from(escape - b'0');
                u8::try_from(digits.iter().fold(first, |value, digit| value * 8 + u32::from(digit - b'0'))).ok()?
            }
            b'x' => {
                let (digits, after) = rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count());
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_replaced() {
        assert_eq!(bytes(br#""a\"b\\\101\x42\n""#).unwrap(), b"a\"b\\AB\n");
        assert_eq!(bytes(b"L\"wide\""), None);
        assert_eq!(bytes(br#""\q""#), None);
        assert_eq!(bytes(br#""\777""#), None);
    }
}
