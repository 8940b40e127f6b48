//! The digests of a file that SSH signatures are made of.

use sha2::Digest;

/// Both digests that a signature may name (PROTOCOL.sshsig), computed from pieces.
#[derive(Default)]
pub(super) struct Sums {
    sha256: sha2::Sha256,
    sha512: sha2::Sha512,
}

impl Sums {
    /// Adds the next piece.
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.sha512.update(piece);
    }

    /// The SHA-256 of all pieces.
    pub(super) fn sha256(&self) -> Vec<u8> {
        self.sha256.clone().finalize().to_vec()
    }

    /// The SHA-512 of all pieces.
    pub(super) fn sha512(&self) -> Vec<u8> {
        self.sha512.clone().finalize().to_vec()
    }
}
