//! The CMS message of a module's signature, written as DER (RFC 5652, section 5.1; ITU-T X.690).

use crate::module::der::{CONTEXT_0, INTEGER, OCTET_STRING, OID, SEQUENCE, SET};

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.7.1
const DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// The version of a signer that is named by issuer and serial number, and of its message.
const VERSION_1: [u8; 3] = [INTEGER, 1, 1];
const NULL: [u8; 2] = [5, 0];

/// SignedData about data that is elsewhere, with one RSA signer and nothing else. `issuer` and `serial` are whole
/// elements of its certificate, `digest` is the content of an object identifier.
///
/// The digest's parameters are absent, as RFC 5754 wants it and OpenSSL writes it; those of RSA are NULL (RFC 3370).
pub(super) fn signed_data(issuer: &[u8], serial: &[u8], digest: &[u8], signature: &[u8]) -> Vec<u8> {
    let digest = element(SEQUENCE, &[&element(OID, &[digest])]);
    let signer = element(
        SEQUENCE,
        &[
            &VERSION_1,
            &element(SEQUENCE, &[issuer, serial]),
            &digest,
            &element(SEQUENCE, &[&element(OID, &[&RSA_ENCRYPTION]), &NULL]),
            &element(OCTET_STRING, &[signature]),
        ],
    );
    let signed = element(
        SEQUENCE,
        &[
            &VERSION_1,
            &element(SET, &[&digest]),
            &element(SEQUENCE, &[&element(OID, &[&DATA])]),
            &element(SET, &[&signer]),
        ],
    );
    element(SEQUENCE, &[&element(OID, &[&SIGNED_DATA]), &element(CONTEXT_0, &[&signed])])
}

/// An element: its tag, its length in as few bytes as it takes, and what is in it.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    let mut bytes = vec![tag];
    match (length, digits.len()) {
        // Short: the length itself. There are at most eight digits.
        (0..0x80, _) => bytes.push(length as u8),
        (_, count) => {
            bytes.push(0x80 | count as u8);
            bytes.extend(digits);
        }
    }
    bytes.extend(parts.concat());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_as_few_bytes_as_it_can() {
        let head = |length: usize| element(OCTET_STRING, &[&vec![0; length]])[..].split_at(4).0.to_vec();
        assert_eq!(element(OCTET_STRING, &[]), [4, 0]);
        assert_eq!(head(127)[..2], [4, 127]);
        assert_eq!(head(128)[..3], [4, 0x81, 128]);
        assert_eq!(head(255)[..3], [4, 0x81, 255]);
        assert_eq!(head(256), [4, 0x82, 1, 0]);
        assert_eq!(element(SEQUENCE, &[&[1, 2], &[3]]), [0x30, 3, 1, 2, 3]);
    }
}
