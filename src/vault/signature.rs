//! Signatures of exports: detached, in FILE.sig, as `ssh-keygen -Y sign` makes and `ssh-keygen -Y verify` reads them (OpenSSH,
//! PROTOCOL.sshsig), so that an auditor needs no other program.
//!
//! The formats are read and written by `ssh-key`, the signatures computed by `ring`. Keys of other kinds, and keys in an agent, sign with
//! ssh-keygen. The private key is read, used, and in no message.

#[cfg(not(feature = "sign"))]
mod absent;
mod signers;
#[cfg(feature = "sign")]
mod ssh;
mod sums;

#[cfg(not(feature = "sign"))]
use absent as ssh;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::disk;
use crate::vault::signature::sums::Sums;

/// What a signature is for, so that one that was made for anything else is not accepted.
const NAMESPACE: &str = "kmodlab-vault";

/// The largest key, list of keys, or signature that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Who signed an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportSigner {
    /// Who it is, by the list of trusted keys: principals, or the comment of a public key.
    pub name: String,
    /// The fingerprint of the key, as ssh-keygen prints it.
    pub key: String,
    /// The SHA-256 of the file that is signed.
    #[serde(skip)]
    pub file: Sha256,
}

/// A key that signs exports.
pub struct ExportKey(ssh::Key);

impl ExportKey {
    /// Reads a private key: Ed25519, in OpenSSH's format, not encrypted.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Unsupported`] for another key, or an encrypted one; [`ErrorKind::Malformed`].
    pub(crate) fn read(path: &Path) -> Result<ExportKey> {
        ssh::Key::parse(&small_file(path)?).map(ExportKey).map_err(|e| e.on(path))
    }

    /// Signs a file: the signature is next to it, and replaces no file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`] if there is a signature; [`ErrorKind::Io`].
    pub(crate) fn sign(&self, file: &Path) -> Result<PathBuf> {
        let (_, sums) = sums_of(file)?;
        let path = signature_path(file);
        let text = self.0.sign(NAMESPACE, &sums).map_err(|e| e.on(file))?;
        disk::create_file(&path, |out| out.write_all(text.as_bytes()).map_err(|e| Error::io("writing", e)))?;
        Ok(path)
    }
}

/// Verifies the signature next to a file, by a list of trusted keys: `allowed_signers` (ssh-keygen(1)), or public keys, one per line.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] if there is no signature, or no list; [`ErrorKind::Untrusted`] if the key is not in the list, or not for this;
/// [`ErrorKind::Damaged`] if the file is not the one that was signed; [`ErrorKind::Malformed`]; [`ErrorKind::Unsupported`].
pub(crate) fn verify(file: &Path, keys: &Path) -> Result<ExportSigner> {
    let path = signature_path(file);
    let list = small_file(keys)?;
    let signature = ssh::Signature::parse(&small_file(&path)?, NAMESPACE).map_err(|e| e.on(&path))?;
    let signers = signers::parse(&String::from_utf8_lossy(&list));
    let now = jiff::Zoned::now();
    let mut why = format!("signed by a key that {} does not trust", crate::text::path(keys));
    for signer in signers.iter().filter(|signer| signature.is_by(&signer.key)) {
        match signer.objection(NAMESPACE, &now) {
            Some(objection) => why = format!("{why}: {objection}"),
            None => {
                let (sha, sums) = sums_of(file)?;
                if !signature.is_of(&sums).map_err(|e| e.on(&path))? {
                    let what = "this is not the file that was signed: it, or its signature, was changed";
                    return Err(Error::new(ErrorKind::Damaged, what).on(file));
                }
                return Ok(ExportSigner { name: signer.name.clone(), key: signature.fingerprint(), file: sha });
            }
        }
    }
    Err(Error::new(ErrorKind::Untrusted, format!("{why} ({})", signature.fingerprint())).on(&path))
}

/// The path of the signature of a file.
pub(crate) fn signature_path(file: &Path) -> PathBuf {
    let mut path = OsString::from(file);
    path.push(".sig");
    path.into()
}

/// The SHA-256 of a file, and the digests that signatures are made of.
fn sums_of(path: &Path) -> Result<(Sha256, Sums)> {
    let (mut sums, mut sum) = (Sums::default(), Sha256Hasher::new());
    let mut file = open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let piece = match file.read(&mut piece) {
            Ok(0) => return Ok((sum.finish(), sums)),
            Ok(read) => piece.get(..read).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("reading", e).on(path)),
        };
        sum.update(piece);
        sums.update(piece);
    }
}

/// Opens a regular file.
fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| Error::io("opening", e).on(path))?;
    let file = File::from(file);
    match file.metadata().map_err(|e| Error::io("opening", e).on(path))?.is_file() {
        true => Ok(file),
        false => Err(Error::new(ErrorKind::Usage, "not a regular file").on(path)),
    }
}

fn small_file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|e| Error::io("reading", e).on(path))?;
    match bytes.len() as u64 > LARGEST {
        true => Err(Error::new(ErrorKind::TooLarge, "too large for a key or a signature").on(path)),
        false => Ok(bytes),
    }
}
