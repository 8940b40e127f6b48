//! X.509 certificates, as far as module signatures need them, and how they are found in a kernel's image.
//!
//! A kernel carries the certificates that it trusts as plain DER, one after the other (`system_certificate_list`,
//! certs/system_certificates.S, 6.12), without a table that says where. [`find_all`] finds them by their form: each
//! part of a certificate has its place and its tag (RFC 5280, section 4.1), and that is too much to be there by chance.

use std::collections::HashSet;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use crate::module::der::{
    BIT_STRING, BOOLEAN, CONTEXT_0, CONTEXT_1_PRIMITIVE, CONTEXT_2_PRIMITIVE, CONTEXT_3, Elements, GENERALIZED_TIME,
    INTEGER, OCTET_STRING, OID, SEQUENCE, SET, UTC_TIME, magnitude, oid,
};

/// A certificate, as far as a module's signature needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Certificate {
    /// The common name of its subject, for eyes.
    pub subject: String,
    /// Its issuer's name in DER.
    pub issuer: Vec<u8>,
    /// Its serial number, without sign and leading zeros.
    pub serial: Vec<u8>,
    /// Its subject key identifier, where it has one.
    pub key_id: Option<Vec<u8>>,
    /// Its public key (SubjectPublicKeyInfo) in DER.
    pub key: Vec<u8>,
}

const OID_COMMON_NAME: &str = "2.5.4.3";
const OID_SUBJECT_KEY_ID: &str = "2.5.29.14";

/// The largest certificate that is looked for, in bytes: twice what ML-DSA-87, the largest kind, takes.
const LARGEST: usize = 16 * 1024;

/// How many places that begin like a certificate are walked to their end. A kernel's image has some tens; more are there
/// to take time.
const MOST_WALKS: usize = 1_000;

/// All certificates in a larger piece of data, in their order, each once. What looks like one and is not, to the last
/// byte of it, is passed over.
pub fn find_all(bytes: &[u8]) -> Vec<Certificate> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut walks = 0;
    // A certificate has between 256 and 65,535 bytes, so its length takes two; and it starts with a SEQUENCE.
    for at in memmem::find_iter(bytes, &[SEQUENCE, 0x82]) {
        let Some(candidate) = candidate(bytes.get(at..).unwrap_or_default()) else { continue };
        walks += 1;
        if walks > MOST_WALKS {
            break;
        }
        if let Some((certificate, _)) = Certificate::read(candidate)
            && seen.insert(certificate.clone())
        {
            found.push(certificate);
        }
    }
    found
}

/// The bytes of a certificate, if these begin like one: with lengths that fit, a version, a serial number and an algorithm.
fn candidate(bytes: &[u8]) -> Option<&[u8]> {
    let whole = Elements::new(bytes.get(..LARGEST).unwrap_or(bytes)).whole(SEQUENCE)?;
    let mut body = Elements::new(whole).expect_definite(SEQUENCE)?.expect_definite(SEQUENCE)?;
    version(&mut body)?;
    body.expect_definite(INTEGER)?;
    body.expect_definite(SEQUENCE)?.expect_definite(OID)?;
    Some(whole)
}

/// Passes over the version, which need not be there. `None` if it is none.
fn version(body: &mut Elements<'_>) -> Option<()> {
    if body.bytes.first() == Some(&CONTEXT_0) {
        let mut version = body.expect_definite(CONTEXT_0)?;
        let number = version.expect_definite(INTEGER)?;
        (version.is_empty() && matches!(number.bytes, [0..=2])).then_some(())?;
    }
    Some(())
}

impl Certificate {
    /// The certificate at the start of these bytes, and the bytes after it. `None` if there is none.
    ///
    /// ```text
    /// SEQUENCE { SEQUENCE { [0]?, INTEGER,                    version, serial number
    ///                       SEQUENCE { OID, … },              algorithm of the signature
    ///                       SEQUENCE, SEQUENCE, SEQUENCE,     issuer, validity, subject
    ///                       SEQUENCE, [1]?, [2]?, [3]? },     public key, unique identifiers, extensions
    ///            SEQUENCE { OID, … }, BIT STRING }            algorithm again, signature
    /// ```
    pub fn read(bytes: &[u8]) -> Option<(Certificate, &[u8])> {
        let mut outer = Elements::new(bytes);
        let mut certificate = outer.expect_definite(SEQUENCE)?;
        let mut body = certificate.expect_definite(SEQUENCE)?;

        version(&mut body)?;
        let serial = magnitude(body.expect_definite(INTEGER)?.bytes)?;
        let algorithm = body.whole(SEQUENCE)?;
        Elements::new(algorithm).expect_definite(SEQUENCE)?.expect_definite(OID)?;
        let issuer = body.whole(SEQUENCE)?;
        common_name(issuer)?;
        let mut validity = body.expect_definite(SEQUENCE)?;
        for _ in 0..2 {
            let (tag, time) = validity.next()?;
            let digits = time.bytes.strip_suffix(b"Z").unwrap_or(time.bytes);
            if !matches!(tag, UTC_TIME | GENERALIZED_TIME) || digits.len() < 10 || !digits.is_ascii() {
                return None;
            }
        }
        let subject = common_name(body.whole(SEQUENCE)?)?;
        let key = body.whole(SEQUENCE)?;
        let mut info = Elements::new(key).expect_definite(SEQUENCE)?;
        info.expect_definite(SEQUENCE)?.expect_definite(OID)?;
        info.expect_definite(BIT_STRING)?;
        body.skip(CONTEXT_1_PRIMITIVE);
        body.skip(CONTEXT_2_PRIMITIVE);
        let key_id = match body.take(CONTEXT_3) {
            Some(extensions) => subject_key_id(extensions)?,
            None => None,
        };

        let same_algorithm = certificate.whole(SEQUENCE)? == algorithm;
        certificate.expect_definite(BIT_STRING)?;
        let at_end = validity.is_empty() && info.is_empty() && body.is_empty() && certificate.is_empty();
        let all = Certificate { subject, issuer: issuer.to_vec(), serial, key_id, key: key.to_vec() };
        (same_algorithm && at_end).then_some((all, outer.bytes))
    }
}

/// The common name in a name, or else its last part; nothing for an empty name. `None` if it is no name.
fn common_name(name: &[u8]) -> Option<String> {
    let mut parts = Elements::new(name).expect_definite(SEQUENCE)?;
    let mut chosen: Option<(bool, &[u8])> = None;
    while !parts.is_empty() {
        let mut set = parts.expect_definite(SET)?;
        while !set.is_empty() {
            let mut part = set.expect_definite(SEQUENCE)?;
            let is_common = oid(part.expect_definite(OID)?.bytes) == OID_COMMON_NAME;
            let (_, value) = part.next()?;
            if !part.is_empty() {
                return None;
            }
            if !chosen.is_some_and(|(common, _)| common) {
                chosen = Some((is_common, value.bytes));
            }
        }
    }
    Some(chosen.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(value).into_owned()))
}

/// The subject key identifier among the extensions. The outer `None`: these are no extensions.
fn subject_key_id(mut wrapped: Elements<'_>) -> Option<Option<Vec<u8>>> {
    let mut extensions = wrapped.expect_definite(SEQUENCE)?;
    let mut found = None;
    while !extensions.is_empty() {
        let mut extension = extensions.expect_definite(SEQUENCE)?;
        let kind = oid(extension.expect_definite(OID)?.bytes);
        extension.skip(BOOLEAN);
        let mut value = extension.expect_definite(OCTET_STRING)?;
        if !extension.is_empty() {
            return None;
        }
        if kind == OID_SUBJECT_KEY_ID {
            found = Some(value.expect_definite(OCTET_STRING)?.bytes.to_vec());
        }
    }
    wrapped.is_empty().then_some(found)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The certificate of the key that signs fixtures, in DER.
    pub(crate) fn of_fixtures() -> Vec<u8> {
        let pem = include_str!("../../fixtures/keys/cert.pem");
        let digits = pem.lines().filter(|line| !line.starts_with('-')).flat_map(str::bytes).filter(|b| *b != b'=');
        let value = |digit: u8| match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
        for digit in digits {
            (bits, count) = (bits << 6 | u32::from(value(digit)), count + 6);
            if count >= 8 {
                count -= 8;
                out.push(u8::try_from(bits >> count & 0xff).unwrap());
            }
        }
        out
    }

    #[test]
    fn a_certificate_is_found_at_any_offset_and_once() {
        let der = of_fixtures();
        let image = [&[0x30, 0x82, 1][..], &der, &der, &[0x30; 9], &der, b"tail"].concat();
        let found = find_all(&image);
        let [certificate] = found.as_slice() else { panic!("{} found", found.len()) };
        assert_eq!(certificate.subject, "kmodlab fixture signing key");
        assert_eq!(hex::encode(&certificate.serial), "35e41c06e4758913c7a0c41844aa286b2149f4b4");
        let key_id = certificate.key_id.as_deref().map(hex::encode);
        assert_eq!(key_id.as_deref(), Some("e6d354fe0386cc5b6e8ae66531ad7bfa3b574de4"));
        assert_eq!((certificate.key.len(), certificate.issuer.len()), (294, 40));
    }

    #[test]
    fn the_bytes_after_it_are_returned() {
        let bytes = [&of_fixtures(), b"next".as_slice()].concat();
        assert_eq!(Certificate::read(&bytes).unwrap().1, b"next");
    }

    #[test]
    fn a_certificate_cut_anywhere_is_none_and_a_changed_byte_never_panics() {
        let der = of_fixtures();
        for end in 0..der.len() {
            assert_eq!(find_all(&der[..end]), [], "cut at {end}");
        }
        for at in 0..der.len() {
            for byte in [0, 0x30, 0x80, 0x84, 0xff] {
                let mut hostile = der.clone();
                hostile[at] = byte;
                let _ = find_all(&hostile);
            }
        }
    }

    #[test]
    fn a_length_that_says_otherwise_is_no_certificate() {
        let mut der = of_fixtures();
        der[3] = der[3].wrapping_sub(1);
        assert_eq!(find_all(&der), []);
        assert_eq!(find_all(&[0x30, 0x82].repeat(100_000)), []);
    }

    #[test]
    fn heads_without_end_take_no_time() {
        // Each is the head of a certificate in whose issuer all that follow are attributes.
        let head = [
            &[0x30, 0x82, 0x70, 0, 0x30, 0x82, 0x60, 0][..],
            &[INTEGER, 1, 1, SEQUENCE, 3, OID, 1, 0x2a, SEQUENCE, 0x82, 0x50, 0],
        ];
        let head = head.concat();
        let value = u8::try_from(head.len()).unwrap();
        let attribute = [&[SET, value + 7, SEQUENCE, value + 5, OID, 1, 0x2a, 0x0c, value], head.as_slice()].concat();
        let image = attribute.repeat(40_000);
        let started = std::time::Instant::now();
        assert_eq!(find_all(&image), []);
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    }
}
