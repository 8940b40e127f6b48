//! ASN.1, as much of BER and DER as signatures and certificates take (ITU-T X.690, section 8): elements one after the
//! other, each with its tag and its content. Lengths are checked against what is there; nothing is copied.

const CONSTRUCTED: u8 = 0x20;
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OCTET_STRING_IN_PARTS: u8 = OCTET_STRING | CONSTRUCTED;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
pub(crate) const CONTEXT_1_PRIMITIVE: u8 = 0x81;
pub(crate) const CONTEXT_2_PRIMITIVE: u8 = 0x82;
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_1: u8 = 0xa1;
pub(crate) const CONTEXT_2: u8 = 0xa2;
pub(crate) const CONTEXT_3: u8 = 0xa3;

/// How deep elements of indefinite length may lie in each other.
const DEPTH: usize = 16;

/// Which encodings are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoder {
    /// BER with tags of one byte, as OpenSSL accepts it.
    Ber,
    /// The kernel's decoder (`asn1_ber_decoder`, lib/asn1_decoder.c): lengths of at most two bytes.
    Kernel,
}

/// The elements that are still to be read.
#[derive(Clone, Copy)]
pub(crate) struct Elements<'a> {
    /// The bytes of the elements.
    pub(crate) bytes: &'a [u8],
    decoder: Decoder,
}

impl<'a> Elements<'a> {
    /// Elements in BER.
    pub(crate) fn new(bytes: &'a [u8]) -> Elements<'a> {
        Elements { bytes, decoder: Decoder::Ber }
    }

    /// Elements as the kernel's decoder accepts them.
    pub(crate) fn as_kernel(bytes: &'a [u8]) -> Elements<'a> {
        Elements { bytes, decoder: Decoder::Kernel }
    }

    /// Are these read as the kernel's decoder reads them?
    pub(crate) fn is_as_kernel(&self) -> bool {
        self.decoder == Decoder::Kernel
    }

    /// The next element: its tag and its content.
    pub(crate) fn next(&mut self) -> Option<(u8, Elements<'a>)> {
        if self.decoder == Decoder::Kernel {
            matches!(self.bytes, [tag, length, ..] if tag & 0x1f != 0x1f && *length <= 0x82).then_some(())?;
        }
        self.element(DEPTH)
    }

    /// What is in the next element, if it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    /// Is nothing left?
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is in the next element, if it has this tag and says its length, as DER wants it.
    pub(crate) fn expect_definite(&mut self, tag: u8) -> Option<Elements<'a>> {
        (self.bytes.get(1) != Some(&0x80)).then_some(())?;
        self.expect(tag)
    }

    /// The next element with its tag and length, if it has this tag and says its length.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.bytes;
        self.expect_definite(tag)?;
        before.get(..before.len().checked_sub(self.bytes.len())?)
    }

    /// What is in the next element, if it has this tag; else it stays.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Elements<'a>> {
        let mut ahead = *self;
        let content = ahead.expect(tag)?;
        *self = ahead;
        Some(content)
    }

    /// Passes over the next element if it has this tag.
    pub(crate) fn skip(&mut self, tag: u8) {
        self.take(tag);
    }

    fn element(&mut self, depth: usize) -> Option<(u8, Elements<'a>)> {
        let (&[tag, length], rest) = self.bytes.split_first_chunk()?;
        let (length, rest) = match length {
            0x80 => return self.indefinite(tag, rest, depth.checked_sub(1)?),
            ..0x80 => (usize::from(length), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.bytes = rest;
        Some((tag, Elements { bytes: content, ..*self }))
    }

    /// An element without a length: two zero bytes, where an element should start, are its end.
    fn indefinite(&mut self, tag: u8, content: &'a [u8], depth: usize) -> Option<(u8, Elements<'a>)> {
        let mut ahead = Elements { bytes: content, ..*self };
        while !ahead.bytes.starts_with(&[0, 0]) {
            ahead.element(depth)?;
        }
        let inner = content.get(..content.len() - ahead.bytes.len())?;
        self.bytes = ahead.bytes.get(2..)?;
        (tag & CONSTRUCTED != 0).then_some((tag, Elements { bytes: inner, ..*self }))
    }
}

/// An INTEGER's value without its sign and without leading zeros; zero is no byte at all.
pub(crate) fn magnitude(integer: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = integer.to_vec();
    if *integer.first()? >= 0x80 {
        // Two's complement: all bits turned, and one more.
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(carry.into());
        }
    }
    Some(bytes.into_iter().skip_while(|&byte| byte == 0).collect())
}

/// A string of octets; BER may cut it into parts.
pub(crate) fn octets(tag: u8, mut content: Elements<'_>) -> Option<Vec<u8>> {
    if tag & CONSTRUCTED == 0 {
        return Some(content.bytes.to_vec());
    }
    let mut whole = Vec::new();
    while !content.bytes.is_empty() {
        whole.extend_from_slice(content.expect(OCTET_STRING)?.bytes);
    }
    Some(whole)
}

/// An object identifier as dotted numbers; what overflows or breaks off ends it.
pub(crate) fn oid(content: &[u8]) -> String {
    let mut text = String::with_capacity(32);
    let mut number: u64 = 0;
    for &byte in content {
        let Some(shifted) = number.checked_mul(128) else { break };
        number = shifted | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if text.is_empty() {
                // The first number holds two: 40 times the root arc (0, 1 or 2) and the arc under it.
                let root = (number / 40).min(2);
                push_decimal(&mut text, root);
                number -= 40 * root;
            }
            text.push('.');
            push_decimal(&mut text, number);
            number = 0;
        }
    }
    text
}

/// Adds a number. Formatting takes several times as long, which shows where thousands of signatures are read.
fn push_decimal(text: &mut String, number: u64) {
    if number > 9 {
        push_decimal(text, number / 10);
    }
    text.extend(char::from_digit((number % 10) as u32, 10));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_loses_its_sign_and_leading_zeros() {
        assert_eq!(magnitude(&[0, 0xff]), Some(vec![0xff]));
        assert_eq!(magnitude(&[0xfe, 0xd4]), Some(vec![0x01, 0x2c]), "-300");
        assert_eq!(magnitude(&[0]), Some(vec![]));
        assert_eq!(magnitude(&[]), None);
    }
}
