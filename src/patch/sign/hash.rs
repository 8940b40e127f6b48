//! The digests that are signed.

/// The digest of the module's bytes that is signed (CONFIG_MODULE_SIG_HASH). Every kernel that checks signatures knows these
/// three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256, the setting of Debian's kernels.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512, the kernel's own default.
    Sha512,
}

impl Digest {
    /// The digest of a name, as sign-file and modinfo have them: `sha256`.
    pub fn named(name: &str) -> Option<Digest> {
        [Digest::Sha256, Digest::Sha384, Digest::Sha512].into_iter().find(|digest| digest.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Digest::Sha256 => "sha256",
            Digest::Sha384 => "sha384",
            Digest::Sha512 => "sha512",
        }
    }

    /// Its object identifier's content (2.16.840.1.101.3.4.2.1 to 3).
    pub(super) fn oid(self) -> [u8; 9] {
        let last = match self {
            Digest::Sha256 => 1,
            Digest::Sha384 => 2,
            Digest::Sha512 => 3,
        };
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last]
    }
}
