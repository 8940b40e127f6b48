//! The RSA key that signs, computed by `ring`.

use ring::error::KeyRejected;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaEncoding};

use crate::error::{Error, ErrorKind, Result};
use crate::module::der::{Elements, INTEGER, OID, SEQUENCE, oid};
use crate::patch::sign::hash::Digest;
use crate::patch::sign::pem;

const OID_RSA: &str = "1.2.840.113549.1.1.1";
const OID_EC_KEY: &str = "1.2.840.10045.2.1";

/// An RSA key pair.
pub(super) struct SigningKey(KeyPair);

impl SigningKey {
    /// The RSA key in a PEM file.
    pub(super) fn from_pem(file: &[u8]) -> Result<SigningKey> {
        key_pair(file).map(SigningKey)
    }

    /// The public half: an RSAPublicKey in DER.
    pub(super) fn public(&self) -> &[u8] {
        self.0.public().as_ref()
    }

    /// Signs bytes by PKCS#1 v1.5.
    pub(super) fn sign(&self, digest: Digest, bytes: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        // The random numbers only blind the computation; the signature does not depend on them.
        self.0
            .sign(padding(digest), &SystemRandom::new(), bytes, &mut signature)
            .map_err(|_| Error::new(ErrorKind::Malformed, "the parts of the signing key do not match"))?;
        Ok(signature)
    }
}

fn padding(digest: Digest) -> &'static dyn RsaEncoding {
    match digest {
        Digest::Sha256 => &RSA_PKCS1_SHA256,
        Digest::Sha384 => &RSA_PKCS1_SHA384,
        Digest::Sha512 => &RSA_PKCS1_SHA512,
    }
}

/// The RSA key in a PEM file.
fn key_pair(file: &[u8]) -> Result<KeyPair> {
    let encrypted = |what: &str| {
        Error::new(ErrorKind::Unsupported, what).hint("openssl pkey -in KEY -out PLAIN takes the password off")
    };
    if pem::names(file, "ENCRYPTED PRIVATE KEY") {
        return Err(encrypted("it is encrypted, and no password is asked for here"));
    }
    if let Some(der) = pem::block(file, "PRIVATE KEY")? {
        return match algorithm_of_pkcs8(&der).as_deref() {
            Some(OID_RSA) => KeyPair::from_pkcs8(&der).map_err(rejected),
            Some(OID_EC_KEY) => Err(elliptic()),
            Some(other) => {
                let what = format!("a key of another kind ({other}); only RSA keys can sign");
                Err(Error::new(ErrorKind::Unsupported, what))
            }
            None => Err(Error::new(ErrorKind::Malformed, "no PKCS#8 key, or a damaged one")),
        };
    }
    match pem::block(file, "RSA PRIVATE KEY") {
        Ok(Some(der)) => KeyPair::from_der(&der).map_err(rejected),
        Ok(None) if pem::names(file, "EC PRIVATE KEY") => Err(elliptic()),
        Ok(None) => {
            let what = "no private key in it: neither BEGIN PRIVATE KEY nor BEGIN RSA PRIVATE KEY";
            Err(Error::new(ErrorKind::NotFound, what))
        }
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(encrypted(error.what())),
        Err(error) => Err(error),
    }
}

fn elliptic() -> Error {
    let what =
        "an elliptic curve key: its signatures differ each time, so a plan could not name the bytes to be written";
    Error::new(ErrorKind::Unsupported, what).hint("sign with an RSA key")
}

/// The error for an RSA key that ring rejects.
fn rejected(reason: KeyRejected) -> Error {
    match reason.to_string().as_str() {
        "TooSmall" | "TooLarge" | "PrivateModulusLenNotMultipleOf512Bits" => {
            let what = "an RSA key of an unsupported size";
            Error::new(ErrorKind::Unsupported, what).hint("use one of 2048, 3072 or 4096 bits")
        }
        reason => Error::new(ErrorKind::Malformed, format!("not a valid RSA key ({reason})")),
    }
}

/// The algorithm that a PKCS#8 key names (RFC 5958, section 2).
fn algorithm_of_pkcs8(der: &[u8]) -> Option<String> {
    let mut info = Elements::new(der).expect(SEQUENCE)?;
    info.expect(INTEGER)?;
    Some(oid(info.expect(SEQUENCE)?.expect(OID)?.bytes))
}
