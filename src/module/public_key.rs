//! Is a signature valid for a public key? (crypto/asymmetric_keys/public_key.c, and crypto/mldsa.c from 7.0 on.) Pure.
//!
//! Only what every kernel computes in the same way is computed here; [`fits`] says so of anything else.

use crate::module::certificate::Certificate;
use crate::module::der::{BIT_STRING, Elements, OID, SEQUENCE, oid};

pub(super) const OID_RSA: &str = "1.2.840.113549.1.1.1";
/// ML-DSA of three sizes (FIPS 204); as keys and as signatures they have the same names.
pub(super) const OID_ML_DSA_44: &str = "2.16.840.1.101.3.4.3.17";
pub(super) const OID_ML_DSA_65: &str = "2.16.840.1.101.3.4.3.18";
pub(super) const OID_ML_DSA_87: &str = "2.16.840.1.101.3.4.3.19";

/// The digests of the SHA-2 family. Each kernel that checks signatures has the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignedDigest {
    Sha256,
    Sha384,
    Sha512,
    /// One that only some kernels know, or that is not computed here.
    Other,
}

/// Algorithms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    Rsa,
    Ecdsa,
    /// It signs the bytes themselves and not a digest of them.
    MlDsa,
    /// One that only some kernels know, or that is not computed here.
    Other,
}

/// Does this build compute signatures (the feature `sign`)?
pub(super) const COMPUTES: bool = cfg!(feature = "sign");

/// Without the feature `sign` no signature is computed.
#[cfg(not(feature = "sign"))]
pub(super) fn fits(_: (SignatureAlgorithm, SignedDigest), _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
    None
}

#[cfg(feature = "sign")]
pub(super) use computed::fits;

/// Did a certificate's own key sign it (`x509_check_for_self_signed`)? Only for algorithms that every kernel here knows.
pub(super) fn is_signed_by_itself(der: &[u8]) -> bool {
    let read = || {
        let mut outer = Elements::new(der).expect_definite(SEQUENCE)?;
        let signed = outer.whole(SEQUENCE)?;
        let kind = match oid(outer.expect_definite(SEQUENCE)?.expect_definite(OID)?.bytes).as_str() {
            "1.2.840.113549.1.1.11" => (SignatureAlgorithm::Rsa, SignedDigest::Sha256),
            "1.2.840.113549.1.1.12" => (SignatureAlgorithm::Rsa, SignedDigest::Sha384),
            "1.2.840.113549.1.1.13" => (SignatureAlgorithm::Rsa, SignedDigest::Sha512),
            _ => return None,
        };
        let signature = outer.expect_definite(BIT_STRING)?.bytes.strip_prefix(&[0])?;
        let (certificate, _) = Certificate::read(der)?;
        fits(kind, signed, signature, &certificate.key)
    };
    read() == Some(true)
}

#[cfg(feature = "sign")]
mod computed {
    use ml_dsa::{EncodedVerifyingKey, MlDsa44, MlDsa65, MlDsa87, MlDsaParams, VerifyingKey};
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
        RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
        RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
    };

    use super::*;
    use crate::module::der::{INTEGER, magnitude};

    const OID_EC_KEY: &str = "1.2.840.10045.2.1";
    const OID_P256: &str = "1.2.840.10045.3.1.7";
    const OID_P384: &str = "1.3.132.0.34";

    /// Is this the signature of these bytes by this key (SubjectPublicKeyInfo)? `None` for a key or a combination that is not
    /// computed here.
    pub(crate) fn fits(
        (kind, hash): (SignatureAlgorithm, SignedDigest),
        signed: &[u8],
        signature: &[u8],
        key: &[u8],
    ) -> Option<bool> {
        let mut info = Elements::new(key).expect(SEQUENCE)?;
        let mut algorithm = info.expect(SEQUENCE)?;
        let key_kind = oid(algorithm.expect(OID)?.bytes);
        // The first byte of a BIT STRING says how many bits of the last do not count.
        let point = info.expect(BIT_STRING)?.bytes.strip_prefix(&[0])?;
        let computed: &'static dyn VerificationAlgorithm = match (key_kind.as_str(), kind) {
            (OID_RSA, SignatureAlgorithm::Rsa) => {
                let bits = bits_of_rsa(point)?;
                match hash {
                    SignedDigest::Sha256 if bits >= 1024 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                    SignedDigest::Sha384 if bits >= 2048 => &RSA_PKCS1_2048_8192_SHA384,
                    SignedDigest::Sha512 if bits >= 1024 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                    _ => return None,
                }
            }
            (OID_EC_KEY, SignatureAlgorithm::Ecdsa) => {
                let curve = oid(algorithm.expect(OID)?.bytes);
                match (curve.as_str(), hash) {
                    (OID_P256, SignedDigest::Sha256) => &ECDSA_P256_SHA256_ASN1,
                    (OID_P256, SignedDigest::Sha384) => &ECDSA_P256_SHA384_ASN1,
                    (OID_P384, SignedDigest::Sha256) => &ECDSA_P384_SHA256_ASN1,
                    (OID_P384, SignedDigest::Sha384) => &ECDSA_P384_SHA384_ASN1,
                    _ => return None,
                }
            }
            (OID_ML_DSA_44, SignatureAlgorithm::MlDsa) => {
                return Some(fits_ml_dsa::<MlDsa44>(signed, signature, point));
            }
            (OID_ML_DSA_65, SignatureAlgorithm::MlDsa) => {
                return Some(fits_ml_dsa::<MlDsa65>(signed, signature, point));
            }
            (OID_ML_DSA_87, SignatureAlgorithm::MlDsa) => {
                return Some(fits_ml_dsa::<MlDsa87>(signed, signature, point));
            }
            // The key's encoding is not the signature's.
            (OID_RSA | OID_EC_KEY | OID_ML_DSA_44 | OID_ML_DSA_65 | OID_ML_DSA_87, _) => return Some(false),
            _ => return None,
        };
        Some(UnparsedPublicKey::new(computed, point).verify(signed, signature).is_ok())
    }

    /// ML-DSA of the bytes themselves, with an empty context (`crypto/mldsa.c`, 7.0 on). A signature of another size is none.
    fn fits_ml_dsa<P: MlDsaParams>(signed: &[u8], signature: &[u8], key: &[u8]) -> bool {
        let key = EncodedVerifyingKey::<P>::try_from(key).ok().map(|key| VerifyingKey::<P>::decode(&key));
        let signature = ml_dsa::Signature::<P>::try_from(signature).ok();
        key.zip(signature).is_some_and(|(key, signature)| key.verify_with_context(signed, &[], &signature))
    }

    /// The size of an RSA key's modulus in bits, for keys that can be computed with here.
    fn bits_of_rsa(key: &[u8]) -> Option<usize> {
        let mut key = Elements::new(key).expect(SEQUENCE)?;
        let modulus = magnitude(key.expect(INTEGER)?.bytes)?;
        let exponent = magnitude(key.expect(INTEGER)?.bytes)?;
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let in_range = modulus.len() <= 1024 && exponent.len() <= 4 && exponent != [1];
        (in_range && odd(&modulus) && odd(&exponent)).then_some(8 * modulus.len())
    }
}
