//! Signing: the trailer that the kernel's `scripts/sign-file` appends, for labs with enforced signatures.
//!
//! The trailer equals the one that sign-file makes by default (`scripts/sign-file.c`, 4.3 to 6.12): a detached CMS message
//! without certificates and without signed attributes, whose signer is named by issuer and serial number; then
//! `struct module_signature`, and the magic string.
//!
//! Only RSA keys sign. PKCS#1 v1.5 has no randomness, so the same module and key always give the same bytes, and the digest of
//! a plan names exactly the file that will be written. An ECDSA signature differs each time.
//!
//! Pure: bytes in, bytes out. The private key stays in memory, and is in no message and no `Debug` output.

mod hash;
#[cfg(feature = "sign")]
mod key;
#[cfg(not(feature = "sign"))]
#[path = "sign/without_key.rs"]
mod key;
mod message;
mod pem;

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::module::certificate::Certificate;
use crate::module::der::{BIT_STRING, CONTEXT_0, Elements, INTEGER, OID, SEQUENCE, oid};
use crate::module::trailer::MAGIC;
pub use hash::Digest;
use key::SigningKey;

const OID_RSA: &str = "1.2.840.113549.1.1.1";

/// `id_type` of `struct module_signature` for a PKCS#7 message (include/linux/module_signature.h).
const PKEY_ID_PKCS7: u8 = 2;

/// A key and its certificate, which sign modules.
///
/// ```
/// use kmodlab::patch::sign::Signer;
/// # let (key, cert, image) = (include_bytes!("../../fixtures/keys/key.pem"),
/// #     include_bytes!("../../fixtures/keys/cert.pem"), include_bytes!("../../fixtures/modules/hello-4.ko"));
/// let signer = Signer::from_pem(key, cert)?;
/// let signed = [image.as_slice(), &signer.trailer(image)?].concat();
/// # assert_eq!(signed, include_bytes!("../../fixtures/modules/hello-4-signed.ko"));
/// # Ok::<(), kmodlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Signer {
    key: Arc<SigningKey>,
    /// The certificate, as verifiers read it.
    certificate: Certificate,
    /// The certificate in DER.
    der: Vec<u8>,
    /// Its serial number as a DER element, with its sign byte: kernels compare these bytes.
    serial: Vec<u8>,
    digest: Digest,
}

impl Signer {
    /// A signer over SHA-256, of an RSA key in PEM (PKCS#8, or PKCS#1 as in `BEGIN RSA PRIVATE KEY`) and its X.509
    /// certificate in PEM or DER. Either file may hold both, as the kernel's `certs/signing_key.pem` does.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is no key or no certificate in it; [`ErrorKind::Unsupported`] for an encrypted key,
    /// for one that is not RSA, and for sizes other than 2048 to 4096 bits; [`ErrorKind::Malformed`] for what is damaged;
    /// [`ErrorKind::Usage`] if the certificate belongs to another key. The message names the file that it is about, and contains
    /// no part of the key.
    pub fn from_pem(key: &[u8], cert: &[u8]) -> Result<Signer> {
        let key = SigningKey::from_pem(key).map_err(|error| about("the signing key", error))?;
        let in_certificate = |error| about("the signing certificate", error);
        let der = certificate_der(cert).map_err(in_certificate)?;
        let (certificate, serial) = certificate(&der).map_err(in_certificate)?;
        if rsa_key(&certificate.key) != Some(key.public()) {
            let what = "the signing certificate belongs to another key: no kernel would accept a signature by the two";
            return Err(Error::new(ErrorKind::Usage, what).hint("use the certificate that was made with this key"));
        }
        Ok(Signer { key: Arc::new(key), certificate, der, serial, digest: Digest::default() })
    }

    /// The same key, over another digest.
    #[must_use]
    pub fn with_digest(self, digest: Digest) -> Signer {
        Signer { digest, ..self }
    }

    /// The certificate. A kernel that trusts it accepts the signatures.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate in DER, as kernels carry it.
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The digest that is signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The trailer to append to a module's image, which is its uncompressed bytes without an old trailer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if the key is damaged in a part that [`Signer::from_pem`] does not check; [`ErrorKind::Unsupported`] if
    /// the message would be longer than 65,535 bytes.
    pub fn trailer(&self, image: &[u8]) -> Result<Vec<u8>> {
        let signature = self.key.sign(self.digest, image)?;
        let message = message::signed_data(&self.certificate.issuer, &self.serial, &self.digest.oid(), &signature);
        // Kernels accept no longer message (`asn1_ber_decoder`, lib/asn1_decoder.c).
        let length = u16::try_from(message.len()).map_err(|_| {
            Error::new(
                ErrorKind::Unsupported,
                "the issuer's name in the signing certificate is longer than kernels accept",
            )
        })?;
        let info = [0, 0, PKEY_ID_PKCS7, 0, 0, 0, 0, 0];
        Ok([message.as_slice(), &info, &u32::from(length).to_be_bytes(), MAGIC].concat())
    }
}

/// Without the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, serial) = (&self.certificate.subject, hex::encode(&self.certificate.serial));
        write!(f, "Signer({subject:?}, serial {serial}, {})", self.digest.name())
    }
}

/// Two signers with the same certificate and digest make the same signatures: the certificate has the public half of the key.
impl PartialEq for Signer {
    fn eq(&self, other: &Signer) -> bool {
        self.der == other.der && self.digest == other.digest
    }
}

impl Eq for Signer {}

/// The error with the name of the file that it is about.
fn about(which: &str, error: Error) -> Error {
    error.reworded(|what| format!("{which}: {what}"))
}

/// The certificate of a file, as DER.
fn certificate_der(file: &[u8]) -> Result<Vec<u8>> {
    match pem::block(file, "CERTIFICATE")? {
        Some(der) => Ok(der),
        None if file.first() == Some(&SEQUENCE) => Ok(file.to_vec()),
        None => Err(Error::new(ErrorKind::NotFound, "no certificate in it, neither as PEM nor as DER")),
    }
}

/// A certificate from its DER, and its serial number as a DER element.
fn certificate(der: &[u8]) -> Result<(Certificate, Vec<u8>)> {
    let damaged = || Error::new(ErrorKind::Malformed, "no X.509 certificate, or a damaged one");
    let (certificate, rest) = Certificate::read(der).ok_or_else(damaged)?;
    if !rest.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "bytes follow its end"));
    }
    Ok((certificate, serial(der).ok_or_else(damaged)?.to_vec()))
}

/// The RSAPublicKey in a SubjectPublicKeyInfo.
fn rsa_key(info: &[u8]) -> Option<&[u8]> {
    let mut info = Elements::new(info).expect(SEQUENCE)?;
    let algorithm = oid(info.expect(SEQUENCE)?.expect(OID)?.bytes);
    let bits = info.expect(BIT_STRING)?.bytes;
    // The first byte is the number of unused bits in the last byte.
    bits.strip_prefix(&[0]).filter(|_| algorithm == OID_RSA)
}

/// A certificate's serial number, with tag and length.
fn serial(certificate: &[u8]) -> Option<&[u8]> {
    let mut body = Elements::new(certificate).expect(SEQUENCE)?.expect(SEQUENCE)?;
    body.skip(CONTEXT_0);
    body.whole(INTEGER)
}

#[cfg(test)]
mod tests;
