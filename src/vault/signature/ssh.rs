//! Keys and signatures in OpenSSH's formats.

use ring::signature::{
    ED25519, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use ssh_key::private::KeypairData;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use crate::error::{Error, ErrorKind, Result};
use crate::vault::signature::sums::Sums;

/// A private key.
pub(super) struct Key {
    pair: Ed25519KeyPair,
    public: KeyData,
}

/// A signature and the public key that it names.
pub(super) struct Signature(SshSig);

impl Key {
    /// Reads a private key.
    pub(super) fn parse(text: &[u8]) -> Result<Key> {
        let no_key = |_| {
            let hint = "ssh-keygen -t ed25519 makes one; ssh-keygen -Y sign -n kmodlab-vault signs with a key of another format";
            Error::new(ErrorKind::Malformed, "not a private key in OpenSSH's format").hint(hint)
        };
        let key = PrivateKey::from_openssh(text).map_err(no_key)?;
        if key.is_encrypted() {
            let what = "the key is encrypted, and no password is asked for here";
            let hint = "ssh-keygen -Y sign -n kmodlab-vault -f KEY FILE asks for it, and makes the same signature";
            return Err(Error::new(ErrorKind::Unsupported, what).hint(hint));
        }
        let KeypairData::Ed25519(pair) = key.key_data() else {
            let what = format!("a key of the kind {}; only ssh-ed25519 keys sign here", key.algorithm());
            let hint = "ssh-keygen -Y sign -n kmodlab-vault -f KEY FILE makes a signature that is accepted here";
            return Err(Error::new(ErrorKind::Unsupported, what).hint(hint));
        };
        let unfit = |_| Error::new(ErrorKind::Malformed, "the parts of this key do not match");
        let ring = Ed25519KeyPair::from_seed_and_public_key(&pair.private.to_bytes(), &pair.public.0);
        Ok(Key { pair: ring.map_err(unfit)?, public: key.public_key().key_data().clone() })
    }

    /// A signature, as ssh-keygen writes it.
    pub(super) fn sign(&self, namespace: &str, sums: &Sums) -> Result<String> {
        let failed = |e: ssh_key::Error| Error::new(ErrorKind::Malformed, format!("can't be signed: {e}"));
        let signed = signed_data(namespace, &[], HashAlg::Sha512, sums);
        let bytes = self.pair.sign(&signed).as_ref().to_vec();
        let signature = ssh_key::Signature::new(Algorithm::Ed25519, bytes).map_err(failed)?;
        let signature = SshSig::new(self.public.clone(), namespace, HashAlg::Sha512, signature).map_err(failed)?;
        signature.to_pem(LineEnding::LF).map_err(failed)
    }
}

impl Signature {
    /// Reads a signature for this purpose.
    pub(super) fn parse(text: &[u8], namespace: &str) -> Result<Signature> {
        // The parser accepts some bytes that nobody writes: another version, wrong lengths around the key.
        let is_same = |signature: &SshSig| {
            signature.version() == SshSig::VERSION
                && signature.to_pem(LineEnding::LF).is_ok_and(|again| letters(again.as_bytes()).eq(letters(text)))
        };
        let signature = SshSig::from_pem(text).ok().filter(is_same);
        let no_signature = || Error::new(ErrorKind::Malformed, "not a signature of ssh-keygen, or a damaged one");
        let signature = signature.ok_or_else(no_signature)?;
        if signature.namespace() != namespace {
            let what = format!("a signature for another purpose: its namespace is {:?}", signature.namespace());
            return Err(Error::new(ErrorKind::Untrusted, what).hint("sign with ssh-keygen -Y sign -n kmodlab-vault"));
        }
        Ok(Signature(signature))
    }

    /// Whether it names this public key, in text.
    pub(super) fn is_by(&self, key: &str) -> bool {
        PublicKey::from_openssh(key).is_ok_and(|key| key.key_data() == self.0.public_key())
    }

    /// Whether it is a signature of a file with these digests.
    pub(super) fn is_of(&self, sums: &Sums) -> Result<bool> {
        let unsupported = || {
            let what = format!("a signature of the kind {}, which this version can't verify", self.0.algorithm());
            Error::new(ErrorKind::Unsupported, what).hint("ssh-keygen -Y verify -n kmodlab-vault verifies it")
        };
        let signed = signed_data(self.0.namespace(), self.0.reserved(), self.0.hash_alg(), sums);
        let bytes = self.0.signature_bytes();
        match (self.0.public_key(), self.0.signature().algorithm()) {
            (KeyData::Ed25519(key), Algorithm::Ed25519) => {
                Ok(UnparsedPublicKey::new(&ED25519, &key.0).verify(&signed, bytes).is_ok())
            }
            (KeyData::Rsa(key), Algorithm::Rsa { hash }) => {
                let form = match hash {
                    Some(HashAlg::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
                    Some(HashAlg::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
                    // SHA-1.
                    _ => return Err(unsupported()),
                };
                let (Some(n), Some(e)) = (key.n.as_positive_bytes(), key.e.as_positive_bytes()) else {
                    return Err(unsupported());
                };
                Ok(RsaPublicKeyComponents { n, e }.verify(form, &signed, bytes).is_ok())
            }
            _ => Err(unsupported()),
        }
    }

    /// The fingerprint of its key.
    pub(super) fn fingerprint(&self) -> String {
        self.0.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}

/// A text without spaces and line ends.
fn letters(text: &[u8]) -> impl Iterator<Item = &u8> {
    text.iter().filter(|byte| !byte.is_ascii_whitespace())
}

/// The bytes that are signed (PROTOCOL.sshsig, section 2).
fn signed_data(namespace: &str, reserved: &[u8], hash: HashAlg, sums: &Sums) -> Vec<u8> {
    let (name, digest) = match hash {
        HashAlg::Sha256 => ("sha256", sums.sha256()),
        _ => ("sha512", sums.sha512()),
    };
    let mut bytes = b"SSHSIG".to_vec();
    for part in [namespace.as_bytes(), reserved, name.as_bytes(), &digest] {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}
