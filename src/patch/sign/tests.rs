//! Tests of the signer, on the key that fixtures are signed with. `tests/suite/sign` holds it against OpenSSL.

use super::*;
use crate::module::trailer;
use crate::module::verification::{Abilities, Verification, verify};

const KEY: &[u8] = include_bytes!("../../../fixtures/keys/key.pem");
const CERT: &[u8] = include_bytes!("../../../fixtures/keys/cert.pem");
const UNSIGNED: &[u8] = include_bytes!("../../../fixtures/modules/hello-4.ko");
const SIGNED: &[u8] = include_bytes!("../../../fixtures/modules/hello-4-signed.ko");

fn signer() -> Signer {
    Signer::from_pem(KEY, CERT).unwrap()
}

#[test]
fn the_trailer_is_openssl_s_to_the_byte_and_the_same_each_time() {
    let trailer = signer().trailer(UNSIGNED).unwrap();
    assert_eq!([UNSIGNED, trailer.as_slice()].concat(), SIGNED);
    assert_eq!(signer().trailer(UNSIGNED).unwrap(), trailer);
}

#[test]
fn what_it_signs_is_good_for_who_trusts_the_certificate_and_says_what_it_is() {
    for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        let signer = signer().with_digest(digest);
        for image in [&b""[..], b"x", UNSIGNED] {
            let end = signer.trailer(image).unwrap();
            let file = [image, &end].concat();
            let found = trailer::find(&file).unwrap().unwrap();
            assert_eq!((found.start, found.hash.as_str()), (image.len(), digest.name()));
            assert_eq!((found.junk, found.stray_fields), (0, false));
            assert_eq!(found.signer.as_deref(), Some(&b"kmodlab fixture signing key"[..]));
            assert_eq!(found.key_id, signer.certificate().serial);
            let abilities = Abilities { version: None, sha512: Some(true), waives_attributes: None };
            let message = &end[..end.len() - 12 - MAGIC.len()];
            let with = |keys: &[Certificate]| verify(image, message, keys, abilities).answer;
            assert_eq!(with(&[signer.certificate().clone()]), Verification::Good);
            assert_eq!(with(&[]), Verification::UnknownKey);
        }
    }
}

#[test]
fn key_and_certificate_may_be_in_one_file_and_the_certificate_in_der() {
    let both = [KEY, CERT].concat();
    assert_eq!(Signer::from_pem(&both, &both).unwrap(), signer());
    let der = signer().certificate_der().to_vec();
    assert_eq!(Signer::from_pem(KEY, &der).unwrap(), signer());
    assert_ne!(signer().with_digest(Digest::Sha512), signer());
}

#[test]
fn nobody_sees_the_key() {
    let shown = format!("{:?}", signer());
    assert_eq!(
        shown,
        "Signer(\"kmodlab fixture signing key\", serial 35e41c06e4758913c7a0c41844aa286b2149f4b4, sha256)"
    );
}

/// The error, as a person reads it.
#[track_caller]
fn refused(key: &[u8], cert: &[u8], kind: ErrorKind) -> String {
    let error = Signer::from_pem(key, cert).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    error.to_string()
}

#[test]
fn what_is_no_key_is_told_from_what_is_no_certificate() {
    let line = refused(CERT, CERT, ErrorKind::NotFound);
    assert_eq!(line, "the signing key: no private key in it: neither BEGIN PRIVATE KEY nor BEGIN RSA PRIVATE KEY");
    let line = refused(KEY, KEY, ErrorKind::NotFound);
    assert!(line.starts_with("the signing certificate: no certificate in it"), "{line}");
    refused(b"", CERT, ErrorKind::NotFound);
    refused(KEY, b"", ErrorKind::NotFound);
    let cut = &KEY[..KEY.len() / 2];
    assert_eq!(
        refused(cut, CERT, ErrorKind::Truncated),
        "the signing key: its block PRIVATE KEY has no END line; is it cut short?"
    );
    let cut = &CERT[..CERT.len() / 2];
    assert!(refused(KEY, cut, ErrorKind::Truncated).starts_with("the signing certificate: its block CERTIFICATE"));
}

#[test]
fn damage_anywhere_in_key_or_certificate_is_an_error_or_harmless_and_never_a_panic() {
    let der = signer().certificate_der().to_vec();
    for at in 0..der.len() {
        let mut other = der.clone();
        other[at] ^= 0x55;
        let _ = Signer::from_pem(KEY, &other);
        assert!(Signer::from_pem(KEY, &der[..at]).is_err());
    }
    let mut longer = der.clone();
    longer.push(0);
    assert!(Signer::from_pem(KEY, &longer).is_err());
    for at in (0..KEY.len()).step_by(7) {
        let mut other = KEY.to_vec();
        other[at] ^= 0x02;
        // ring checks the parts that it computes with, some of them only by the outcome.
        if let Ok(trailer) = Signer::from_pem(&other, CERT).and_then(|signer| signer.trailer(UNSIGNED)) {
            assert_eq!([UNSIGNED, &trailer].concat(), SIGNED, "byte {at}");
        }
    }
}
