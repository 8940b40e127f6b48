//! Stands in for `ssh` where the library is built without the feature `sign`.

use crate::error::{Error, ErrorKind, Result};
use crate::vault::signature::sums::Sums;

/// A private key, of which there are none.
pub(super) enum Key {}

/// A signature, of which there are none.
pub(super) enum Signature {}

impl Key {
    pub(super) fn parse(_: &[u8]) -> Result<Key> {
        Err(absent())
    }

    pub(super) fn sign(&self, _: &str, _: &Sums) -> Result<String> {
        match *self {}
    }
}

impl Signature {
    pub(super) fn parse(_: &[u8], _: &str) -> Result<Signature> {
        Err(absent())
    }

    pub(super) fn is_by(&self, _: &str) -> bool {
        match *self {}
    }

    pub(super) fn is_of(&self, _: &Sums) -> Result<bool> {
        match *self {}
    }

    pub(super) fn fingerprint(&self) -> String {
        match *self {}
    }
}

fn absent() -> Error {
    Error::new(ErrorKind::Unsupported, "this build knows no signatures: it lacks the feature `sign`")
}
