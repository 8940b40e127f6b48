//! A kernel that trusts our key: Debian's, with one of its built-in certificates replaced.
//!
//! The list of trusted certificates is plain DER in the image, one after the other (certs/system_certificates.S), without a
//! checksum. The length of the list is kept: the remaining space of the old certificate becomes a separate element that is not
//! a certificate; the kernel reports it and continues (crypto/asymmetric_keys/x509_loader.c). QEMU starts the uncompressed
//! kernel by its PVH note, as it would the compressed one.

use std::ops::Range;
use std::path::Path;
use std::process::{Command, Output};

use kmodlab::kernel::image::unpacked;
use kmodlab::kernel::{self, Certificate, Kernel};
use kmodlab::lab::record::{Agreement, Trial, TrialRole};
use kmodlab::module::trailer;
use kmodlab::module::verification::{Abilities, Verification, verify};
use kmodlab::patch::sign::Signer;
use memchr::memmem;

use crate::support::fetched::LOOKUP;
use crate::vm::kernels::{deb, files_of};
use crate::vm::{KMODLAB, alone};

const KEY: &[u8] = include_bytes!("../../../fixtures/keys/key.pem");

/// Two certificates of the same key. The smaller one is issued by an elliptic curve key, whose signatures are short, so that it
/// fits where the kernel's own certificate is for such a key; 5.10 does not know such signatures.
const CERTIFICATES: [&[u8]; 2] =
    [include_bytes!("../../../fixtures/keys/cert.pem"), include_bytes!("../../../fixtures/keys/lab.pem")];

/// The header of the element that fills the remaining space: its tag, and a length in two bytes.
const FILLER_HEAD: usize = 4;

/// A kernel, its facts and its images.
pub(crate) struct Trusting {
    /// The facts of the kernel, with the keys of `image`.
    pub(crate) kernel: Kernel,
    /// The keys that the kernel trusts as Debian built it.
    pub(crate) keys_before: Vec<Certificate>,
    /// The uncompressed image, which trusts [`Trusting::signer`].
    pub(crate) image: Vec<u8>,
    /// Debian's image.
    pub(crate) image_before: Vec<u8>,
    /// The signer that it trusts.
    pub(crate) signer: Signer,
    /// The certificate of [`Trusting::signer`], PEM.
    certificate: &'static [u8],
    /// The certificate that was replaced.
    replaced: Certificate,
}

impl Trusting {
    /// Loads a kernel that `tests/real/fetch` keeps.
    pub(crate) fn new(name: &str) -> Trusting {
        let mut kernel = kernel::named(&deb(name), &LOOKUP).unwrap();
        let (_, image_before) = files_of(name, &[]).image.unwrap();
        let mut image = unpacked(&image_before, LOOKUP.max_size).unwrap();
        let (old, signer, certificate) = replace_certificate(&mut image);

        // The program must read the same from the new image as from the old one, except for this certificate.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vmlinux");
        std::fs::write(&file, &image).unwrap();
        let own = kernel::named(file.as_os_str(), &LOOKUP).unwrap().facts;
        let keys_before = kernel.facts.keys.as_ref().unwrap().value.clone();
        let keys = own.keys.as_ref().unwrap().value.clone();
        let is_other = |key: &&Certificate| **key != old && **key != *signer.certificate();
        assert!(keys_before.contains(&old) && keys.contains(signer.certificate()) && !keys.contains(&old));
        assert!(keys_before.iter().filter(is_other).eq(keys.iter().filter(is_other)));
        let before = &kernel.facts;
        assert_eq!(own.banner.map(|fact| fact.value), before.banner.as_ref().map(|fact| fact.value.clone()));
        assert_eq!(own.exports.map(|fact| fact.value), before.exports.as_ref().map(|fact| fact.value.clone()));
        assert_eq!(own.messages.map(|fact| fact.value), before.messages.as_ref().map(|fact| fact.value.clone()));
        kernel.facts.keys = own.keys;
        Trusting { kernel, keys_before, image, image_before, signer, certificate, replaced: old }
    }
}

/// Replaces the first built-in certificate that has enough space by one of ours; returns the old one, and the signer that is
/// now trusted.
fn replace_certificate(image: &mut [u8]) -> (Certificate, Signer, &'static [u8]) {
    let places = certificates(image);
    for (old, place) in &places {
        for pem in CERTIFICATES {
            let signer = Signer::from_pem(KEY, pem).unwrap();
            let new = signer.certificate_der();
            let Some(rest) = place.len().checked_sub(new.len()) else { continue };
            let filler = match rest {
                0 => Vec::new(),
                FILLER_HEAD.. => filler(rest),
                _ => continue,
            };
            image[place.clone()].copy_from_slice(&[new, &filler].concat());
            return (old.clone(), signer, pem);
        }
    }
    let sizes: Vec<usize> = places.iter().map(|(_, place)| place.len()).collect();
    panic!("no built-in certificate has room for one of ours: {sizes:?} bytes");
}

/// An element of this many bytes that is not a certificate.
fn filler(length: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(length - FILLER_HEAD).unwrap().to_be_bytes();
    let mut bytes = vec![0x30, 0x82, high, low];
    bytes.resize(length, 0);
    bytes
}

/// The certificates in an image, each with its position.
fn certificates(image: &[u8]) -> Vec<(Certificate, Range<usize>)> {
    let read = |at: usize| {
        let (certificate, rest) = Certificate::read(&image[at..])?;
        Some((certificate, at..image.len() - rest.len()))
    };
    memmem::find_iter(image, &[0x30, 0x82]).filter_map(read).collect()
}

/// Runs the program as a user would, with its own state folder.
fn kmodlab(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(KMODLAB);
    command.args(words).current_dir(folder).env("KMODLAB_STATE_DIR", folder.join("state"));
    command.env("XDG_CACHE_HOME", folder.join("cache")).output().unwrap()
}

/// Was a module signed with the key of this certificate?
fn was_signed_by(module: &[u8], certificate: &Certificate) -> bool {
    let Some(range) = trailer::locate(module).unwrap() else { return false };
    let blob = &module[range.start..range.end - trailer::MAGIC.len() - 12];
    let abilities = Abilities { version: None, sha512: Some(true), waives_attributes: Some(false) };
    verify(&module[..range.start], blob, std::slice::from_ref(certificate), abilities).answer == Verification::Good
}

/// Such a kernel in a folder, a module that was signed for it on the command line, and `try`.
#[test]
#[ignore = "needs QEMU and a fetched kernel: tests/run runs it"]
fn a_kernel_in_a_folder_takes_what_was_signed_for_it_by_command() {
    let _alone = alone();
    let name = "amd64-5.10-cloud";
    let trusting = Trusting::new(name);
    let dummy = files_of(name, &["dummy"]).modules["dummy"].bytes.clone();
    let release = &trusting.kernel.facts.release.as_ref().unwrap().value;
    let folder = tempfile::tempdir().unwrap();
    let own = format!("root/lib/modules/{release}/kernel/drivers/net/dummy.ko");
    let files: [(&str, &[u8]); 5] = [
        (&format!("root/boot/vmlinuz-{release}"), &trusting.image),
        (&own, &dummy),
        ("dummy.ko", &dummy),
        ("key.pem", KEY),
        ("cert.pem", trusting.certificate),
    ];
    for (file, bytes) in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    let patch = ["patch", "dummy.ko", "--sign-key", "key.pem", "--sign-cert", "cert.pem", "-o", "signed.ko"];
    let planned = kmodlab(folder.path(), &[&patch[..], &["-n", "--json"]].concat());
    let plan: serde_json::Value = serde_json::from_slice(&planned.stdout).unwrap();
    let digest = plan["digest"].as_str().unwrap_or_else(|| panic!("{plan}"));
    let done = kmodlab(folder.path(), &[&patch[..], &["--confirm", digest]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let words = [
        "--kernel",
        "root",
        "--append",
        "module.sig_enforce=1",
        "--load-modes",
        "original",
        "--accel",
        "tcg",
        "--json",
    ];
    let tried = kmodlab(folder.path(), &[&["try", "signed.ko"], &words[..]].concat());
    assert_eq!(tried.status.code(), Some(0), "{}", String::from_utf8_lossy(&tried.stderr));
    let text = String::from_utf8(tried.stdout).unwrap();
    let trials: Vec<Trial> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |role: TrialRole| trials.iter().find(|trial| trial.role == role).unwrap();
    for trial in &trials {
        assert_eq!(trial.agreement, Agreement::Agree, "{trial:#?}");
    }
    // The kernel no longer trusts what Debian signed with the replaced certificate.
    let (control, asked) = (&of(TrialRole::Control).observed, &of(TrialRole::Asked).observed);
    let expected = if was_signed_by(&dummy, &trusting.replaced) { (false, Some(129)) } else { (true, Some(0)) };
    println!("{name}: the kernel's own module: {expected:?}");
    assert_eq!((control.accepted, control.errno), expected);
    assert_eq!((asked.accepted, asked.errno, asked.taint_after & !asked.taint_before), (true, Some(0), 0));
}
