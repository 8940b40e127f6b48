//! Stands in for `key` where the library is built without the feature `sign`: there are no keys, so nothing is signed.

use crate::error::{Error, ErrorKind, Result};
use crate::patch::sign::hash::Digest;

/// A key pair, of which there are none.
pub(super) enum SigningKey {}

impl SigningKey {
    /// Fails: this build cannot sign.
    pub(super) fn from_pem(_: &[u8]) -> Result<SigningKey> {
        Err(Error::new(ErrorKind::Unsupported, "this build cannot sign: it lacks the feature `sign`"))
    }

    /// The public half of the key.
    pub(super) fn public(&self) -> &[u8] {
        match *self {}
    }

    /// A signature.
    pub(super) fn sign(&self, _: Digest, _: &[u8]) -> Result<Vec<u8>> {
        match *self {}
    }
}
