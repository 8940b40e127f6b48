//! Does a signature fit, and is its key among those that a kernel trusts?
//!
//! The order is the kernel's (`verify_pkcs7_signature`, certs/system_keyring.c, and crypto/asymmetric_keys/, 5.10 to
//! 7.2): first the message is parsed (pkcs7_parser.c), then checked against certificates that it carries itself
//! (pkcs7_verify.c), then its key is looked up (pkcs7_trust.c), and only with a key that is known the digest is
//! compared. So a changed module that is signed by a stranger is one of a stranger, not one that does not match.
//!
//! Kernels trust more than what stands in their image: the keys of the firmware and of the machine's owner (Secure
//! Boot's db, MOK), which the files do not show.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};

use crate::module::certificate::Certificate;
use crate::module::der::{
    BIT_STRING, CONTEXT_0, CONTEXT_0_PRIMITIVE, CONTEXT_1, CONTEXT_2, CONTEXT_3, INTEGER, OCTET_STRING, OID, Reader,
    SEQUENCE, SET, magnitude, oid,
};

/// How the verification of a module's signature ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The key is known, and the digest fits.
    Good,
    /// No key of that name is among those given: ENOKEY. The digest was not compared.
    UnknownKey,
    /// The key is known, and the signature is not its signature of these bytes.
    Mismatch {
        /// What the kernel returns.
        errno: i32,
    },
    /// An algorithm that the kernel's parser does not know: ENOPKG.
    Unsupported,
    /// The message is not one that the kernel takes.
    Broken {
        /// What the kernel returns.
        errno: i32,
    },
    /// What the kernel answers is beyond what is read or computed here.
    Undecided,
}

/// What a kernel's parser of signatures knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// ECDSA, since 5.13 (`pkcs7_sig_note_pkey_algo`); `None` where the version is not known.
    pub ecdsa: Option<bool>,
    /// SHA-384 and SHA-512 (CONFIG_CRYPTO_SHA512): built in, or a module that is there when the kernel asks for it; `None`
    /// where that is not known.
    pub sha512: Option<bool>,
}

const EINVAL: i32 = 22;
const EBADMSG: i32 = 74;
const EMSGSIZE: i32 = 90;
const EKEYREJECTED: i32 = 129;

/// What the kernel's decoder says to what is not as pkcs7.asn1 has it.
const BROKEN: Verification = Verification::Broken { errno: EBADMSG };

/// What the kernel's parser says to values that it does not take.
const INVALID: Verification = Verification::Broken { errno: EINVAL };

/// The most bytes that the kernel's decoder takes (`asn1_ber_decoder`, lib/asn1_decoder.c).
const LONGEST: usize = 65535;

const OID_SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const OID_CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const OID_MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const OID_DATA: &str = "1.2.840.113549.1.7.1";
const OID_MS_INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";
const OID_RSA: &str = "1.2.840.113549.1.1.1";
const OID_EC_KEY: &str = "1.2.840.10045.2.1";
const OID_P256: &str = "1.2.840.10045.3.1.7";
const OID_P384: &str = "1.3.132.0.34";

/// The digests of the SHA-2 family. Each kernel that checks signatures has the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
    /// One that only some kernels know, or that is not computed here.
    Other,
}

/// Algorithms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    Ecdsa,
    /// One that only some kernels know, or that is not computed here.
    Other,
}

/// By what a signer's key is named.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Serial { issuer: &'a [u8], serial: Vec<u8> },
    KeyId(&'a [u8]),
}

impl Name<'_> {
    /// `asymmetric_key_id_same`.
    fn is_of(&self, certificate: &Certificate) -> bool {
        match self {
            Name::Serial { issuer, serial } => certificate.issuer == *issuer && certificate.serial == *serial,
            Name::KeyId(id) => certificate.key_id.as_deref() == Some(*id),
        }
    }
}

/// A signature's message, as far as it decides.
struct Message<'a> {
    is_data: bool,
    has_content: bool,
    certificates: Vec<Certificate>,
    signer: Signer<'a>,
}

struct Signer<'a> {
    name: Name<'a>,
    hash: Hash,
    has_attributes: bool,
    kind: Kind,
    signature: &'a [u8],
}

/// Verifies `blob`, the PKCS#7 message of a trailer, as the signature of `signed`, the bytes before it, with the keys that
/// a kernel trusts.
pub fn verify(signed: &[u8], blob: &[u8], keys: &[Certificate], abilities: Abilities) -> Verification {
    if blob.len() > LONGEST {
        return Verification::Broken { errno: EMSGSIZE };
    }
    let message = match Message::read(blob, abilities) {
        Ok(message) => message,
        Err(end) => return end,
    };
    if message.has_content {
        // "non-detached data" (verify_pkcs7_message_sig)
        return Verification::Broken { errno: EBADMSG };
    }
    // pkcs7_verify: no other kind of data, and no attributes.
    let signer = &message.signer;
    if !message.is_data || signer.has_attributes {
        return Verification::Broken { errno: EKEYREJECTED };
    }
    if signer.hash == Hash::Other || signer.kind == Kind::Other {
        return Verification::Undecided;
    }
    // It is digested before anybody asks for the key (pkcs7_verify_one, pkcs7_digest).
    match (signer.hash, abilities.sha512) {
        (Hash::Sha384 | Hash::Sha512, Some(false)) => return Verification::Unsupported,
        (Hash::Sha384 | Hash::Sha512, None) => return Verification::Undecided,
        _ => {}
    }
    // A certificate that the message carries itself must fit, before anybody asks whether it is trusted.
    if let Some(own) = message.certificates.iter().find(|certificate| signer.name.is_of(certificate)) {
        match signer.fits(signed, &own.key) {
            Some(true) if keys.iter().any(|key| key == own) => return Verification::Good,
            // A chain of certificates, which is not followed here.
            Some(true) | None => return Verification::Undecided,
            Some(false) => return Verification::Mismatch { errno: EKEYREJECTED },
        }
    }
    match keys.iter().find(|key| signer.name.is_of(key)).map(|key| signer.fits(signed, &key.key)) {
        None => Verification::UnknownKey,
        Some(Some(true)) => Verification::Good,
        // pkcs7_validate_trust_one makes one errno of all that a key can say.
        Some(Some(false)) => Verification::Mismatch { errno: EKEYREJECTED },
        Some(None) => Verification::Undecided,
    }
}

impl<'a> Message<'a> {
    /// The steps of pkcs7.asn1 in their order, since the first that fails gives the errno.
    fn read(blob: &'a [u8], abilities: Abilities) -> Result<Message<'a>, Verification> {
        let mut content = Elements(blob).expect(SEQUENCE).ok_or(BROKEN)?;
        if oid(content.expect(OID).ok_or(BROKEN)?.0) != OID_SIGNED_DATA {
            return Err(INVALID);
        }
        if content.is_empty() {
            // Without content it has no signer.
            return Err(INVALID);
        }
        let mut explicit = content.expect(CONTEXT_0).ok_or(BROKEN)?;
        let mut data = explicit.expect(SEQUENCE).ok_or(BROKEN)?;
        let version = match data.expect(INTEGER).ok_or(BROKEN)?.0 {
            [version @ (1 | 3)] => *version,
            _ => return Err(INVALID),
        };
        let mut digests = set_or_sequence(&mut data).ok_or(BROKEN)?;
        while !digests.is_empty() {
            algorithm(&mut digests).ok_or(BROKEN)?;
        }
        let mut info = data.expect(SEQUENCE).ok_or(BROKEN)?;
        let data_kind = oid(info.expect(OID).ok_or(BROKEN)?.0);
        let own_data = info.take(CONTEXT_0);
        if let Some(mut own_data) = own_data {
            own_data.next().ok_or(BROKEN)?;
            ended(own_data)?;
        }
        ended(info)?;
        if data_kind != OID_DATA && data_kind != OID_MS_INDIRECT_DATA {
            return Err(INVALID);
        }
        let mut certificates = Vec::new();
        if let Some(list) = data.take(CONTEXT_0).or_else(|| data.take(CONTEXT_2)) {
            let mut rest = list.0;
            while !rest.is_empty() {
                let (certificate, behind) = Certificate::read(rest).ok_or(Verification::Undecided)?;
                certificates.push(certificate);
                rest = behind;
            }
        }
        if data.take(CONTEXT_1).or_else(|| data.take(CONTEXT_3)).is_some_and(|lists| !lists.is_empty()) {
            // Lists of revoked certificates are read as certificates.
            return Err(Verification::Undecided);
        }
        let mut signers = set_or_sequence(&mut data).ok_or(BROKEN)?;
        let signer = match signers.is_empty() {
            true => None,
            false => Some(Signer::read(signers.expect(SEQUENCE).ok_or(BROKEN)?, version, abilities)?),
        };
        if !signers.is_empty() {
            // Several signers: each is tried, and the worst counts. Nobody signs modules so.
            return Err(Verification::Undecided);
        }
        for outer in [data, explicit, content] {
            ended(outer)?;
        }
        // "Inconsistently supplied authAttrs" (pkcs7_check_authattrs)
        let signer = signer.ok_or(INVALID)?;
        Ok(Message { is_data: data_kind == OID_DATA, has_content: own_data.is_some(), certificates, signer })
    }
}

impl<'a> Signer<'a> {
    fn read(mut info: Elements<'a>, version: u8, abilities: Abilities) -> Result<Signer<'a>, Verification> {
        match info.expect(INTEGER).ok_or(BROKEN)?.0 {
            [own @ (1 | 3)] if *own == version => {}
            // "SignedData-SignerInfo version mismatch"
            [1 | 3] => return Err(BROKEN),
            _ => return Err(INVALID),
        }
        let name = match info.take(CONTEXT_0_PRIMITIVE) {
            Some(id) => Name::KeyId(id.0),
            None => {
                let mut who = info.expect(SEQUENCE).ok_or(BROKEN)?;
                let issuer = who.0;
                let parts = who.expect(SEQUENCE).ok_or(BROKEN)?;
                let issuer = issuer.get(..issuer.len() - who.0.len()).ok_or(BROKEN)?;
                walk_name(parts).ok_or(BROKEN)?;
                let serial = who.expect(INTEGER).and_then(|n| magnitude(n.0)).ok_or(BROKEN)?;
                ended(who)?;
                Name::Serial { issuer, serial }
            }
        };
        if matches!(name, Name::KeyId(_)) != (version == 3) {
            // The kernel takes the name that the version announces, and here that is the other one.
            return Err(Verification::Undecided);
        }
        let hash = algorithm(&mut info).ok_or(BROKEN)?;
        let hash = match hash.as_str() {
            "2.16.840.1.101.3.4.2.1" => Hash::Sha256,
            "2.16.840.1.101.3.4.2.2" => Hash::Sha384,
            "2.16.840.1.101.3.4.2.3" => Hash::Sha512,
            // MD4, MD5, SHA-1, SHA-224, SHA-3, SM3, Streebog: kernels came to know and to forget them.
            "1.2.840.113549.2.4"
            | "1.2.840.113549.2.5"
            | "1.3.14.3.2.26"
            | "2.16.840.1.101.3.4.2.4"
            | "2.16.840.1.101.3.4.2.8"
            | "2.16.840.1.101.3.4.2.9"
            | "2.16.840.1.101.3.4.2.10"
            | "1.2.156.10197.1.401"
            | "1.2.643.7.1.1.2.2"
            | "1.2.643.7.1.1.2.3" => Hash::Other,
            _ => return Err(Verification::Unsupported),
        };
        let listed = match info.take(CONTEXT_0) {
            Some(set) => Some(attributes(set).ok_or(BROKEN)?),
            None => match info.take(CONTEXT_2) {
                Some(mut explicit) => {
                    let sequence = explicit.expect(SEQUENCE).ok_or(BROKEN)?;
                    ended(explicit)?;
                    Some(attributes(sequence).ok_or(BROKEN)?)
                }
                None => None,
            },
        };
        let lacks = |wanted: &str| listed.iter().any(|found| found.iter().all(|found| found != wanted));
        if lacks(OID_CONTENT_TYPE) || lacks(OID_MESSAGE_DIGEST) {
            return Err(BROKEN);
        }
        let kind = algorithm(&mut info).ok_or(BROKEN)?;
        let kind = match kind.as_str() {
            OID_RSA => Kind::Rsa,
            // ecdsa-with-SHA1, and with SHA-2
            "1.2.840.10045.4.1"
            | "1.2.840.10045.4.3.1"
            | "1.2.840.10045.4.3.2"
            | "1.2.840.10045.4.3.3"
            | "1.2.840.10045.4.3.4" => match abilities.ecdsa {
                Some(true) => Kind::Ecdsa,
                Some(false) => return Err(Verification::Unsupported),
                None => Kind::Other,
            },
            // ECDSA with SHA-3, SM2, EC-RDSA, ML-DSA: known to some kernels.
            other
                if ["2.16.840.1.101.3.4.3.", "1.2.156.10197.1.", "1.2.643.7.1.1.1."]
                    .iter()
                    .any(|family| other.starts_with(family)) =>
            {
                Kind::Other
            }
            _ => return Err(Verification::Unsupported),
        };
        let signature = info.expect(OCTET_STRING).ok_or(BROKEN)?.0;
        if let Some(list) = info.take(CONTEXT_1).or_else(|| info.take(CONTEXT_3)) {
            attributes(list).ok_or(BROKEN)?;
        }
        ended(info)?;
        Ok(Signer { name, hash, has_attributes: listed.is_some(), kind, signature })
    }

    /// Is the signature that of these bytes by this key (SubjectPublicKeyInfo)? `None` for a key or a combination that is
    /// not computed here.
    fn fits(&self, signed: &[u8], key: &[u8]) -> Option<bool> {
        let mut info = Reader(key).expect(SEQUENCE)?;
        let mut algorithm = info.expect(SEQUENCE)?;
        let kind = oid(algorithm.expect(OID)?.0);
        // The first byte of a BIT STRING says how many bits of the last do not count.
        let point = info.expect(BIT_STRING)?.0.strip_prefix(&[0])?;
        let computed: &'static dyn VerificationAlgorithm = match (kind.as_str(), self.kind) {
            (OID_RSA, Kind::Rsa) => {
                let bits = bits_of_rsa(point)?;
                match self.hash {
                    Hash::Sha256 if bits >= 1024 => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
                    Hash::Sha384 if bits >= 2048 => &RSA_PKCS1_2048_8192_SHA384,
                    Hash::Sha512 if bits >= 1024 => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
                    _ => return None,
                }
            }
            (OID_EC_KEY, Kind::Ecdsa) => {
                let curve = oid(algorithm.expect(OID)?.0);
                match (curve.as_str(), self.hash) {
                    (OID_P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
                    (OID_P256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
                    (OID_P384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
                    (OID_P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
                    _ => return None,
                }
            }
            // The key's encoding is not the signature's.
            (OID_RSA | OID_EC_KEY, _) => return Some(false),
            _ => return None,
        };
        Some(UnparsedPublicKey::new(computed, point).verify(signed, self.signature).is_ok())
    }
}

/// The size of an RSA key's modulus in bits, for keys that can be computed with here.
fn bits_of_rsa(key: &[u8]) -> Option<usize> {
    let mut key = Reader(key).expect(SEQUENCE)?;
    let modulus = magnitude(key.expect(INTEGER)?.0)?;
    let exponent = magnitude(key.expect(INTEGER)?.0)?;
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
    let in_range = modulus.len() <= 1024 && exponent.len() <= 4 && exponent != [1];
    (in_range && odd(&modulus) && odd(&exponent)).then_some(8 * modulus.len())
}

/// Elements as the kernel's decoder takes them (`asn1_ber_decoder`): no tags of several bytes, no lengths of more than two.
#[derive(Clone, Copy)]
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self) -> Option<(u8, Elements<'a>)> {
        matches!(self.0, [tag, length, ..] if tag & 0x1f != 0x1f && *length <= 0x82).then_some(())?;
        let mut reader = Reader(self.0);
        let (tag, content) = reader.next()?;
        self.0 = reader.0;
        Some((tag, Elements(content.0)))
    }

    fn expect(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn take(&mut self, tag: u8) -> Option<Elements<'a>> {
        let mut ahead = *self;
        let content = ahead.expect(tag)?;
        *self = ahead;
        Some(content)
    }
}

/// The object identifier of an algorithm; parameters may follow it.
fn algorithm(from: &mut Elements<'_>) -> Option<String> {
    let mut parts = from.expect(SEQUENCE)?;
    let name = oid(parts.expect(OID)?.0);
    if !parts.is_empty() {
        parts.next()?;
    }
    parts.is_empty().then_some(name)
}

/// A name: sets of pairs of an object identifier and a value.
fn walk_name(mut parts: Elements<'_>) -> Option<()> {
    while !parts.is_empty() {
        let mut set = parts.expect(SET)?;
        while !set.is_empty() {
            let mut part = set.expect(SEQUENCE)?;
            part.expect(OID)?;
            part.next()?;
            part.is_empty().then_some(())?;
        }
    }
    Some(())
}

/// The object identifiers of attributes.
fn attributes(mut list: Elements<'_>) -> Option<Vec<String>> {
    let mut found = Vec::new();
    while !list.is_empty() {
        let mut attribute = list.expect(SEQUENCE)?;
        found.push(oid(attribute.expect(OID)?.0));
        attribute.expect(SET)?;
        attribute.is_empty().then_some(())?;
    }
    Some(found)
}

/// Nothing may follow.
fn ended(rest: Elements<'_>) -> Result<(), Verification> {
    match rest.is_empty() {
        true => Ok(()),
        false => Err(BROKEN),
    }
}

fn set_or_sequence<'a>(from: &mut Elements<'a>) -> Option<Elements<'a>> {
    from.take(SET).or_else(|| from.take(SEQUENCE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::{certificate, trailer};

    const ALL: Abilities = Abilities { ecdsa: Some(true), sha512: Some(true) };

    /// A fixture: what is signed, and the signature's message.
    fn fixture() -> (Vec<u8>, Vec<u8>) {
        let file = include_bytes!("../../fixtures/modules/hello-4-signed.ko");
        let range = trailer::locate(file).unwrap().unwrap();
        (file[..range.start].to_vec(), file[range.start..range.end - 12 - trailer::MAGIC.len()].to_vec())
    }

    fn key() -> Certificate {
        Certificate::read(&certificate::tests::of_fixtures()).unwrap().0
    }

    #[test]
    fn a_signature_of_a_known_key_is_good() {
        let (signed, blob) = fixture();
        assert_eq!(verify(&signed, &blob, &[key()], ALL), Verification::Good);
    }

    #[test]
    fn the_key_is_looked_up_before_the_digest_is_compared() {
        let (mut signed, blob) = fixture();
        let stranger = Certificate { serial: vec![1], ..key() };
        assert_eq!(verify(&signed, &blob, &[], ALL), Verification::UnknownKey);
        signed[100] ^= 1;
        assert_eq!(verify(&signed, &blob, &[stranger], ALL), Verification::UnknownKey);
        assert_eq!(verify(&signed, &blob, &[key()], ALL), Verification::Mismatch { errno: EKEYREJECTED });
    }

    #[test]
    fn a_message_cut_or_changed_anywhere_is_never_good() {
        let (signed, blob) = fixture();
        for end in 0..blob.len() {
            let answer = verify(&signed, &blob[..end], &[key()], ALL);
            assert_eq!(answer, Verification::Broken { errno: EBADMSG }, "cut at {end}");
        }
        let mut good = 0;
        for at in 0..blob.len() {
            let mut hostile = blob.clone();
            hostile[at] ^= 0x55;
            good += usize::from(verify(&signed, &hostile, &[key()], ALL) == Verification::Good);
        }
        // What the kernel does not look at: values in the list of digests, and the parameters of algorithms.
        assert!(good < 30, "{good} changes leave it good");
    }

    #[test]
    fn what_the_kernel_walks_must_be_whole_though_nothing_hangs_on_it() {
        let (signed, blob) = fixture();
        let (set, common_name) = ([0x31, 0x0d, 0x30, 0x0b, 6, 9], [6, 3, 0x55, 4, 3]);
        let digests = memchr::memmem::find(&blob, &set).unwrap() + 4;
        let issuer = memchr::memmem::find(&blob, &common_name).unwrap();
        for at in [digests, issuer, issuer + 5] {
            let mut hostile = blob.clone();
            hostile[at] = 0x1f;
            assert_eq!(verify(&signed, &hostile, &[key()], ALL), BROKEN, "byte {at}");
            assert_eq!(verify(&signed, &hostile, &[], ALL), BROKEN, "byte {at}, no key");
        }
        let [0x30, 0x82, ref rest @ ..] = *blob else { panic!("another length") };
        let long = [&[0x30, 0x83, 0], rest].concat();
        assert_eq!(verify(&signed, &long, &[key()], ALL), BROKEN, "a length of three bytes");
    }

    #[test]
    fn an_unknown_digest_is_unsupported_and_a_version_of_2_invalid() {
        let (signed, blob) = fixture();
        let sha256 = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
        let last = memchr::memmem::rfind(&blob, &sha256).unwrap();
        let mut other = blob.clone();
        other[last + 8] = 0x77;
        assert_eq!(verify(&signed, &other, &[key()], ALL), Verification::Unsupported);
        let version = memchr::memmem::find(&blob, &[2, 1, 1]).unwrap();
        let mut other = blob.clone();
        other[version + 2] = 2;
        assert_eq!(verify(&signed, &other, &[key()], ALL), Verification::Broken { errno: EINVAL });
    }
}
