//! Is a signature valid, and does the kernel trust its key?
//!
//! The order is the kernel's (`verify_pkcs7_signature`, certs/system_keyring.c, and crypto/asymmetric_keys/, 5.10 to 7.2):
//! first it parses the message (pkcs7_parser.c), then it checks the message against the certificates in it (pkcs7_verify.c),
//! then it looks up the key (pkcs7_trust.c), and only if it knows the key does it compare the digest. A modified module with an
//! unknown key is therefore reported as having an unknown key, not as a mismatch.
//!
//! Kernels trust more keys than those in their image: also the keys of the firmware and of the machine's owner (Secure Boot's
//! db, MOK), which no file of the kernel contains.

use crate::module::certificate::Certificate;
use crate::module::der::{CONTEXT_0, Elements, OCTET_STRING, OID, SEQUENCE, SET, magnitude, oid};
use crate::module::pkcs7::{ContentInfo, NameAttribute, NameAttributes, SignerIdentifier, SignerInfo};
use crate::module::public_key::{
    self, OID_ML_DSA_44, OID_ML_DSA_65, OID_ML_DSA_87, OID_RSA, SignatureAlgorithm, SignedDigest, fits,
};
use crate::module::registry::{ParserSupport, Registry};
use crate::template::{Line, Template};

/// The result of verifying a module's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The key is known, and the digest matches.
    Good,
    /// None of the given keys has that name: ENOKEY. The digest was not compared.
    UnknownKey,
    /// The key is known, but the signature is not its signature of these bytes.
    Mismatch {
        /// The errno that the kernel returns.
        errno: i32,
    },
    /// The kernel's parser does not know an algorithm: ENOPKG.
    Unsupported,
    /// ENOKEY or ENOPKG: the key is unknown, and it is not known whether the kernel supports the digest.
    UnknownKeyOrUnsupported,
    /// The kernel rejects the message.
    Broken {
        /// The errno that the kernel returns.
        errno: i32,
    },
    /// The kernel's result depends on something that this program does not read or compute.
    Undecided,
    /// The key is known, but this build cannot compute signatures: it lacks the feature `sign`.
    NotComputed,
}

/// What a kernel's signature verification supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// The first two numbers of the kernel's version; `None` if they are not known.
    pub version: Option<(u32, u32)>,
    /// SHA-384 and SHA-512 (CONFIG_CRYPTO_SHA512): built in, or in a module that is available when the kernel requests it;
    /// `None` if that is not known.
    pub sha512: Option<bool>,
    /// Signed attributes together with ML-DSA are accepted (CONFIG_PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA, 7.0 on).
    pub waives_attributes: Option<bool>,
}

/// The result of a verification, and the lines that the kernel prints during it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// The result.
    pub answer: Verification,
    /// The lines that the kernel prints, in order.
    pub log: Vec<Line>,
}

const EINVAL: i32 = 22;
const EBADMSG: i32 = 74;
const EMSGSIZE: i32 = 90;
const EKEYREJECTED: i32 = 129;

/// The result if the message does not follow the grammar of pkcs7.asn1, so that the kernel's decoder rejects it.
const BROKEN: Verification = Verification::Broken { errno: EBADMSG };

/// The result if the kernel's parser rejects a value.
const INVALID: Verification = Verification::Broken { errno: EINVAL };

/// The result if a signature is well-formed but not acceptable.
const REJECTED: Verification = Verification::Broken { errno: EKEYREJECTED };

/// The result for a key or an algorithm that is not computed here.
const NOT_COMPUTED: Verification =
    if public_key::COMPUTES { Verification::Undecided } else { Verification::NotComputed };

/// The maximum number of bytes that the kernel's decoder accepts (`asn1_ber_decoder`, lib/asn1_decoder.c).
const LONGEST: usize = 65535;

const OID_SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
const OID_CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
const OID_MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
const OID_SIGNING_TIME: &str = "1.2.840.113549.1.9.5";
const OID_SMIME_CAPABILITIES: &str = "1.2.840.113549.1.9.15";
const OID_MS_STATEMENT_TYPE: &str = "1.3.6.1.4.1.311.2.1.11";
const OID_MS_OPUS_INFO: &str = "1.3.6.1.4.1.311.2.1.12";
const OID_DATA: &str = "1.2.840.113549.1.7.1";
const OID_MS_INDIRECT_DATA: &str = "1.3.6.1.4.1.311.2.1.4";

/// The name by which a signer's key is identified.
#[derive(Debug, PartialEq, Eq)]
enum SignerName<'a> {
    Serial { issuer: &'a [u8], serial: Vec<u8> },
    KeyId(&'a [u8]),
}

impl SignerName<'_> {
    /// `asymmetric_key_id_same`.
    fn is_of(&self, certificate: &Certificate) -> bool {
        match self {
            SignerName::Serial { issuer, serial } => certificate.issuer == *issuer && certificate.serial == *serial,
            SignerName::KeyId(id) => certificate.key_id.as_deref() == Some(*id),
        }
    }
}

/// The parts of a signature's message that determine the result.
struct ParsedMessage<'a> {
    is_data: bool,
    has_content: bool,
    /// The certificates in the message, each with its DER.
    certificates: Vec<(Certificate, &'a [u8])>,
    signer: MessageSigner<'a>,
}

struct MessageSigner<'a> {
    name: SignerName<'a>,
    hash: SignedDigest,
    has_attributes: bool,
    kind: SignatureAlgorithm,
    signature: &'a [u8],
}

/// Verifies `blob`, the PKCS#7 message of a trailer, as the signature of `signed`, the bytes before it. `keys` are the keys
/// that the kernel trusts.
pub fn verify(signed: &[u8], blob: &[u8], keys: &[Certificate], abilities: Abilities) -> VerifiedSignature {
    let mut parser = MessageParser { blob, abilities, registry: abilities.version.map(Registry::of), log: Vec::new() };
    let answer = answer(signed, &mut parser, keys).unwrap_or_else(|end| end);
    VerifiedSignature { answer, log: parser.log }
}

fn answer(signed: &[u8], parser: &mut MessageParser<'_>, keys: &[Certificate]) -> Result<Verification, Verification> {
    if parser.blob.len() > LONGEST {
        return Ok(Verification::Broken { errno: EMSGSIZE });
    }
    let message = ParsedMessage::read(parser)?;
    if message.has_content {
        // verify_pkcs7_message_sig, certs/system_keyring.c
        parser.warn("Data already supplied");
        parser.log.push(NOT_DETACHED.line([]));
        return Ok(Verification::Broken { errno: EBADMSG });
    }
    // pkcs7_verify allows no other content type, and no attributes.
    let signer = &message.signer;
    if !message.is_data {
        parser.warn("Invalid module sig (not pkcs7-data)");
        return Ok(REJECTED);
    }
    if signer.has_attributes {
        match parser.abilities.waives_attributes {
            _ if signer.kind != SignatureAlgorithm::MlDsa => {}
            Some(false) => {}
            Some(true) | None => return Ok(Verification::Undecided),
        }
        parser.warn("Invalid module sig (has authattrs)");
        return Ok(REJECTED);
    }
    // ML-DSA signs the bytes themselves. For all other algorithms, the kernel computes the digest before it looks up the key
    // (pkcs7_digest).
    let mut is_sure = true;
    if signer.kind != SignatureAlgorithm::MlDsa {
        match (signer.hash, parser.abilities.sha512) {
            (SignedDigest::Sha384 | SignedDigest::Sha512, Some(false)) => return Ok(Verification::Unsupported),
            (SignedDigest::Sha384 | SignedDigest::Sha512, None) => return Ok(Verification::Undecided),
            (SignedDigest::Other, _) => is_sure = false,
            _ => {}
        }
    }
    let unknown = if is_sure { Verification::UnknownKey } else { Verification::UnknownKeyOrUnsupported };
    // The signature must match a certificate in the message before the kernel checks whether that certificate is trusted.
    if let Some((own, der)) = message.certificates.iter().find(|(certificate, _)| signer.name.is_of(certificate)) {
        return Ok(match signer.fits(signed, &own.key) {
            Some(true) if keys.iter().any(|key| key == own) => Verification::Good,
            // The certificate is the root of its own chain, which ends here.
            Some(true) if public_key::is_signed_by_itself(der) && !keys.iter().any(|key| signer.name.is_of(key)) => {
                unknown
            }
            // The kernel stops both at a digest that it lacks and at a key that it does not know.
            None if !is_sure
                && public_key::is_signed_by_itself(der)
                && !keys.iter().any(|key| signer.name.is_of(key)) =>
            {
                Verification::Undecided
            }
            None => NOT_COMPUTED,
            // A chain of certificates is not followed here.
            Some(true) => Verification::Undecided,
            Some(false) => Verification::Mismatch { errno: EKEYREJECTED },
        });
    }
    Ok(match keys.iter().find(|key| signer.name.is_of(key)).map(|key| signer.fits(signed, &key.key)) {
        None => unknown,
        Some(Some(true)) => Verification::Good,
        // pkcs7_validate_trust_one returns the same errno for every error of a key.
        Some(Some(false)) => Verification::Mismatch { errno: EKEYREJECTED },
        Some(None) => NOT_COMPUTED,
    })
}

/// The lines of crypto/asymmetric_keys/pkcs7_*.c, and two of certs/system_keyring.c.
const PARSER: Template<1> = Template::new("PKCS7: {text:*}");
const NOT_DETACHED: Template<0> = Template::new("PKCS#7 signature with non-detached data");
const UNSUPPORTED: Template<2> = Template::new("Unsupported {what} algo: {number:d}");
const UNSUPPORTED_UNNUMBERED: Template<1> = Template::new("Unsupported {what} algo");

/// The texts of these lines.
pub(crate) const TEXTS: [&str; 4] =
    [PARSER.text(), NOT_DETACHED.text(), UNSUPPORTED.text(), UNSUPPORTED_UNNUMBERED.text()];

/// The parser's state in `pkcs7_parse_message`, and the lines that it prints.
struct MessageParser<'a> {
    blob: &'a [u8],
    abilities: Abilities,
    registry: Option<Registry>,
    log: Vec<Line>,
}

impl<'a> MessageParser<'a> {
    /// `pr_warn` of crypto/asymmetric_keys/pkcs7_*.c.
    fn warn(&mut self, line: &str) {
        self.log.push(PARSER.line([&line]));
    }

    /// Prints the error and ends with `end`.
    fn refuse<T>(&mut self, line: &str, end: Verification) -> Result<T, Verification> {
        self.warn(line);
        Err(end)
    }

    /// `pkcs7_note_OID`: an object identifier without a name causes a line with its offset in the message.
    fn note(&mut self, content: &'a [u8]) -> String {
        let name = oid(content);
        if self.registry.is_some_and(|registry| registry.names(&name) == Some(false)) {
            let at = (content.as_ptr() as usize).saturating_sub(self.blob.as_ptr() as usize);
            self.warn(&format!("Unknown OID: [{at}] {name}"));
        }
        name
    }

    /// Reads the object identifier of an algorithm; parameters may follow it.
    fn algorithm(&mut self, from: &mut Elements<'a>) -> Result<String, Verification> {
        let mut parts = from.expect(SEQUENCE).ok_or(BROKEN)?;
        let name = self.note(parts.expect(OID).ok_or(BROKEN)?.bytes);
        if !parts.is_empty() {
            parts.next().ok_or(BROKEN)?;
        }
        ended(parts)?;
        Ok(name)
    }

    /// Walks through a name: sets of pairs of an object identifier and a value.
    fn walk_name(&mut self, name: NameAttributes<'a>) -> Result<(), Verification> {
        for attribute in name {
            let NameAttribute { kind, mut value } = attribute.ok_or(BROKEN)?;
            self.note(kind);
            value.next().ok_or(BROKEN)?;
            ended(value)?;
        }
        Ok(())
    }

    /// The parser rejects an algorithm: `printk` without a level and without the prefix.
    fn unsupported(&mut self, what: &str, name: &str) -> Verification {
        let number = self.registry.and_then(|registry| registry.number(name));
        self.log.push(match number {
            Some(number) => UNSUPPORTED.line([&what, &number]),
            None => UNSUPPORTED_UNNUMBERED.line([&what]),
        });
        Verification::Unsupported
    }

    /// The signed attributes, as far as the kernel examines them (`pkcs7_sig_note_authenticated_attr`).
    fn attributes(&mut self, mut list: Elements<'a>, is_data: bool) -> Result<(), Verification> {
        let mut seen: Vec<String> = Vec::new();
        while !list.is_empty() {
            let mut attribute = list.expect(SEQUENCE).ok_or(BROKEN)?;
            let name = self.note(attribute.expect(OID).ok_or(BROKEN)?.bytes);
            let mut values = attribute.expect(SET).ok_or(BROKEN)?;
            ended(attribute)?;
            while !values.is_empty() {
                let (tag, value) = values.next().ok_or(BROKEN)?;
                let is_looked_at = matches!(
                    name.as_str(),
                    OID_CONTENT_TYPE
                        | OID_SIGNING_TIME
                        | OID_MESSAGE_DIGEST
                        | OID_SMIME_CAPABILITIES
                        | OID_MS_STATEMENT_TYPE
                        | OID_MS_OPUS_INFO
                );
                if is_looked_at && seen.contains(&name) {
                    return self.refuse("Repeated/multivalue AuthAttrs not permitted", REJECTED);
                }
                seen.push(name.clone());
                match name.as_str() {
                    OID_CONTENT_TYPE if (oid(value.bytes) == OID_DATA) != is_data => {
                        // The line identifies both types by numbers that differ in every version.
                        return Err(Verification::Undecided);
                    }
                    OID_MESSAGE_DIGEST if tag != OCTET_STRING => return Err(BROKEN),
                    OID_SMIME_CAPABILITIES if is_data => {
                        return self.refuse("S/MIME Caps only allowed with Authenticode", REJECTED);
                    }
                    OID_MS_STATEMENT_TYPE | OID_MS_OPUS_INFO if is_data => {
                        return self.refuse("Authenticode AuthAttrs only allowed with Authenticode", REJECTED);
                    }
                    _ => {}
                }
            }
        }
        if [OID_CONTENT_TYPE, OID_MESSAGE_DIGEST].iter().any(|wanted| !seen.iter().any(|seen| seen == wanted)) {
            return self.refuse("Missing required AuthAttr", BROKEN);
        }
        Ok(())
    }
}

impl<'a> ParsedMessage<'a> {
    /// The steps of pkcs7.asn1 in order, because the first one that fails determines the errno.
    fn read(parser: &mut MessageParser<'a>) -> Result<ParsedMessage<'a>, Verification> {
        let content = ContentInfo::read(Elements::as_kernel(parser.blob)).ok_or(BROKEN)?;
        if parser.note(content.kind) != OID_SIGNED_DATA {
            return parser.refuse("Only support pkcs7_signedData type", INVALID);
        }
        if content.is_empty() {
            // A message without content has no signer.
            return Err(INVALID);
        }
        let mut data = content.signed_data().ok_or(BROKEN)?;
        let version = match data.version().ok_or(BROKEN)? {
            [version @ (1 | 3)] => *version,
            _ => return parser.refuse("Unsupported SignedData version", INVALID),
        };
        let mut digests = data.digest_algorithms().ok_or(BROKEN)?;
        while !digests.is_empty() {
            parser.algorithm(&mut digests)?;
        }
        let mut info = data.content().ok_or(BROKEN)?;
        let data_kind = oid(info.expect(OID).ok_or(BROKEN)?.bytes);
        let own_data = info.take(CONTEXT_0);
        if let Some(mut own_data) = own_data {
            own_data.next().ok_or(BROKEN)?;
            ended(own_data)?;
        }
        ended(info)?;
        if data_kind != OID_DATA && data_kind != OID_MS_INDIRECT_DATA {
            // The line identifies the type by a number that differs in every version.
            parser.warn("Unsupported data type");
            return Err(INVALID);
        }
        let is_data = data_kind == OID_DATA;
        let mut certificates = Vec::new();
        if let Some(list) = data.certificates() {
            let mut rest = list.bytes;
            while !rest.is_empty() {
                let (certificate, behind) = Certificate::read(rest).ok_or(Verification::Undecided)?;
                certificates.push((certificate, rest.get(..rest.len() - behind.len()).unwrap_or(rest)));
                rest = behind;
            }
        }
        if data.revocation_lists().is_some_and(|lists| !lists.is_empty()) {
            // The kernel reads certificate revocation lists as certificates.
            return Err(Verification::Undecided);
        }
        let mut signers = data.signers().ok_or(BROKEN)?;
        let signer = match signers.is_empty() {
            true => None,
            false => {
                Some(MessageSigner::read(SignerInfo::next(&mut signers).ok_or(BROKEN)?, (version, is_data), parser)?)
            }
        };
        if !signers.is_empty() {
            // With several signers, the kernel tries each, and the worst result is final. Modules are not signed this way.
            return Err(Verification::Undecided);
        }
        if !data.is_at_end() {
            return Err(BROKEN);
        }
        // "Inconsistently supplied authAttrs" (pkcs7_check_authattrs)
        let Some(signer) = signer else {
            return parser.refuse("Inconsistently supplied authAttrs", INVALID);
        };
        Ok(ParsedMessage { is_data, has_content: own_data.is_some(), certificates, signer })
    }
}

impl<'a> MessageSigner<'a> {
    fn read(
        mut info: SignerInfo<'a>,
        (version, is_data): (u8, bool),
        parser: &mut MessageParser<'a>,
    ) -> Result<MessageSigner<'a>, Verification> {
        match info.version().ok_or(BROKEN)? {
            [own @ (1 | 3)] if *own == version => {}
            [1 | 3] => return parser.refuse("SignedData-SignerInfo version mismatch", BROKEN),
            _ => return parser.refuse("Unsupported SignerInfo version", INVALID),
        }
        let name = match info.identifier().ok_or(BROKEN)? {
            SignerIdentifier::SubjectKeyIdentifier(_, id) => SignerName::KeyId(id.bytes),
            SignerIdentifier::IssuerAndSerial(mut signer) => {
                let (issuer, name) = signer.issuer().ok_or(BROKEN)?;
                parser.walk_name(name)?;
                let serial = signer.serial().and_then(|n| magnitude(n.bytes)).ok_or(BROKEN)?;
                if !signer.is_at_end() {
                    return Err(BROKEN);
                }
                SignerName::Serial { issuer, serial }
            }
        };
        if matches!(name, SignerName::KeyId(_)) != (version == 3) {
            // The kernel uses the name that the version announces, and here the message has the other one.
            return Err(Verification::Undecided);
        }
        let digest = parser.algorithm(info.fields())?;
        match parser.registry.map_or(ParserSupport::Unclear, |registry| registry.takes_digest(&digest)) {
            ParserSupport::No => return Err(parser.unsupported("digest", &digest)),
            ParserSupport::Yes | ParserSupport::Unclear => {}
        }
        let hash = match digest.as_str() {
            "2.16.840.1.101.3.4.2.1" => SignedDigest::Sha256,
            "2.16.840.1.101.3.4.2.2" => SignedDigest::Sha384,
            "2.16.840.1.101.3.4.2.3" => SignedDigest::Sha512,
            _ => SignedDigest::Other,
        };
        let attributes = info.signed_attributes();
        let has_attributes = attributes.is_some();
        if let Some(attributes) = attributes {
            parser.attributes(attributes.ok_or(BROKEN)?, is_data)?;
        }
        let algorithm = parser.algorithm(info.fields())?;
        match parser.registry.map_or(ParserSupport::Unclear, |registry| registry.takes_algorithm(&algorithm)) {
            ParserSupport::No => return Err(parser.unsupported("pkey", &algorithm)),
            // Some versions in this range stop here, and others continue.
            ParserSupport::Unclear if algorithm != OID_RSA => return Err(Verification::Undecided),
            ParserSupport::Yes | ParserSupport::Unclear => {}
        }
        let kind = match algorithm.as_str() {
            OID_RSA => SignatureAlgorithm::Rsa,
            OID_ML_DSA_44 | OID_ML_DSA_65 | OID_ML_DSA_87 => SignatureAlgorithm::MlDsa,
            // ECDSA with SHA-1, with SHA-2, and with SHA-3.
            name if name == "1.2.840.10045.4.1" || name.starts_with("1.2.840.10045.4.3.") => SignatureAlgorithm::Ecdsa,
            _ => SignatureAlgorithm::Other,
        };
        let signature = info.signature().ok_or(BROKEN)?.1.bytes;
        if let Some(mut list) = info.unsigned_attributes() {
            while !list.is_empty() {
                let mut attribute = list.expect(SEQUENCE).ok_or(BROKEN)?;
                attribute.expect(OID).ok_or(BROKEN)?;
                attribute.expect(SET).ok_or(BROKEN)?;
                ended(attribute)?;
            }
        }
        if !info.is_at_end() {
            return Err(BROKEN);
        }
        if !is_data && !has_attributes {
            return parser.refuse("Authenticode requires AuthAttrs", BROKEN);
        }
        Ok(MessageSigner { name, hash, has_attributes, kind, signature })
    }

    /// Is it this key's (SubjectPublicKeyInfo) signature of these bytes? `None` for a key or a combination that is not computed
    /// here.
    fn fits(&self, signed: &[u8], key: &[u8]) -> Option<bool> {
        fits((self.kind, self.hash), signed, self.signature, key)
    }
}

/// Checks that nothing follows.
fn ended(rest: Elements<'_>) -> Result<(), Verification> {
    match rest.is_empty() {
        true => Ok(()),
        false => Err(BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::der::INTEGER;
    use crate::module::{certificate, trailer};

    const ALL: Abilities = Abilities { version: Some((6, 12)), sha512: Some(true), waives_attributes: Some(false) };

    fn verify(signed: &[u8], blob: &[u8], keys: &[Certificate], abilities: Abilities) -> Verification {
        super::verify(signed, blob, keys, abilities).answer
    }

    /// A fixture: the signed bytes, and the signature's message.
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
        // The kernel ignores the values in the list of digests and the parameters of algorithms.
        assert!(good < 30, "{good} changes leave it good");
    }

    #[test]
    fn fields_that_the_kernel_walks_must_be_whole_even_if_unused() {
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

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        let head = if content.len() < 128 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
        [head, content].concat()
    }

    const SHA512: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];
    const ML_DSA_65: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18];
    const ISSUER: [u8; 2] = [0x30, 0];

    /// A message that a key signed with ML-DSA-65, and the key's certificate.
    fn ml_dsa(signed: &[u8], attributes: &[&[u8]]) -> (Vec<u8>, Certificate) {
        use ml_dsa::{Keypair, SigningKey};
        let key = SigningKey::<ml_dsa::MlDsa65>::from_seed(&[7; 32].into());
        let signature = key.expanded_key().sign_deterministic(signed, &[]).unwrap();
        let algorithm = |name: &[u8]| der(SEQUENCE, &[&der(OID, &[name])]);
        let (digest, kind, one) = (algorithm(&SHA512), algorithm(&ML_DSA_65), [INTEGER, 1, 1]);
        let who = der(SEQUENCE, &[&ISSUER, &[INTEGER, 1, 5]]);
        let listed = if attributes.is_empty() { Vec::new() } else { der(CONTEXT_0, attributes) };
        let info = der(SEQUENCE, &[&one, &who, &digest, &listed, &kind, &der(OCTET_STRING, &[&signature.encode()])]);
        let data = der(OID, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1]]);
        let body = [&one[..], &der(SET, &[&digest]), &der(SEQUENCE, &[&data]), &der(SET, &[&info])].concat();
        let signed_data = der(OID, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2]]);
        let blob = der(SEQUENCE, &[&signed_data, &der(CONTEXT_0, &[&der(SEQUENCE, &[&body])])]);
        let public = der(crate::module::der::BIT_STRING, &[&[0], &key.verifying_key().encode()]);
        let own = Certificate {
            subject: String::new(),
            issuer: ISSUER.to_vec(),
            serial: vec![5],
            key_id: None,
            key: der(SEQUENCE, &[&kind, &public]),
        };
        (blob, own)
    }

    #[test]
    fn ml_dsa_signs_the_bytes_themselves() {
        let new = Abilities { version: Some((7, 2)), sha512: Some(false), ..ALL };
        let (blob, own) = ml_dsa(b"image", &[]);
        assert_eq!(verify(b"image", &blob, std::slice::from_ref(&own), new), Verification::Good);
        assert_eq!(
            verify(b"imagf", &blob, std::slice::from_ref(&own), new),
            Verification::Mismatch { errno: EKEYREJECTED }
        );
        assert_eq!(verify(b"image", &blob, &[], new), Verification::UnknownKey);
        let old = super::verify(b"image", &blob, &[own], ALL);
        assert_eq!(old.answer, Verification::Unsupported);
        let at = memchr::memmem::find(&blob, &ML_DSA_65).unwrap();
        let lines =
            [format!("PKCS7: Unknown OID: [{at}] 2.16.840.1.101.3.4.3.18"), "Unsupported pkey algo: 103".to_owned()];
        assert_eq!(old.log, lines);
    }

    #[test]
    fn signed_attributes_are_refused_with_a_line() {
        let attribute = |name: &[u8], value: &[u8]| der(SEQUENCE, &[&der(OID, &[name]), &der(SET, &[value])]);
        let pkcs9 = |last: u8| [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, last];
        let kind = attribute(&pkcs9(3), &der(OID, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1]]));
        let digest = attribute(&pkcs9(4), &der(OCTET_STRING, &[&[0; 64]]));
        let capabilities = attribute(&pkcs9(15), &ISSUER);
        let new = Abilities { version: Some((7, 2)), ..ALL };
        let said = |attributes: &[&[u8]]| {
            let (blob, own) = ml_dsa(b"image", attributes);
            let verified = super::verify(b"image", &blob, &[own], new);
            (verified.answer, verified.log.into_iter().map(Line::into_text).collect::<String>())
        };
        let has = "PKCS7: Invalid module sig (has authattrs)".to_owned();
        assert_eq!(said(&[&kind, &digest]), (REJECTED, has));
        let capable = "PKCS7: S/MIME Caps only allowed with Authenticode".to_owned();
        assert_eq!(said(&[&kind, &digest, &capabilities]), (REJECTED, capable));
        let repeated = "PKCS7: Repeated/multivalue AuthAttrs not permitted".to_owned();
        assert_eq!(said(&[&kind, &kind]), (REJECTED, repeated));
        assert_eq!(said(&[&kind]), (BROKEN, "PKCS7: Missing required AuthAttr".to_owned()));
    }
}
