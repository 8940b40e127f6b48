//! Promise: kmodlab makes the same signatures as the kernel's own `scripts/sign-file`, byte for byte, and modinfo reads them.
//!
//! sign-file is Debian's (linux-kbuild-6.1); keys and certificates are generated with OpenSSL in each run. A plain `cargo test`
//! leaves these tests out, because they need both; `tests/run` installs them.

use std::path::{Path, PathBuf};
use std::process::Command;

use kmodlab::error::ErrorKind;
use kmodlab::module::certificate::Certificate;
use kmodlab::module::trailer;
use kmodlab::module::verification::{Abilities, Verification, verify};
use kmodlab::patch::sign::{Digest, Signer};

const DIGESTS: [Digest; 3] = [Digest::Sha256, Digest::Sha384, Digest::Sha512];

/// The path of the kernel's own program in Debian.
const SIGN_FILE: &str = "/usr/lib/linux-kbuild-6.1/scripts/sign-file";

/// Keys made with OpenSSL, in a folder that is removed after the test.
struct Keys(tempfile::TempDir);

impl Keys {
    fn new() -> Keys {
        Keys(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Runs openssl in the folder; only the words in `more` may contain spaces.
    fn openssl(&self, words: &str, more: &[&str]) {
        run(Command::new("openssl").args(words.split(' ')).args(more).current_dir(self.0.path()));
    }

    /// An RSA key of this length, `NAME.key`, with a self-signed certificate, `NAME.crt`.
    fn rsa(&self, name: &str, bits: u32, subject: &str, serial: &str) {
        self.openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out {name}.key"), &[]);
        let words =
            format!("req -new -x509 -utf8 -days 36500 -key {name}.key -out {name}.crt -set_serial {serial} -subj");
        self.openssl(&words, &[subject]);
    }

    fn signer(&self, name: &str) -> Signer {
        Signer::from_pem(&self.read(&format!("{name}.key")), &self.read(&format!("{name}.crt"))).unwrap()
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output =
        command.output().unwrap_or_else(|e| panic!("{command:?}: {e}: tests/run installs what the tests need"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The signature that sign-file and OpenSSL make for an image with a key is the one that [`Signer`] makes; a kernel that trusts
/// the certificate accepts it.
fn assert_same(keys: &Keys, name: &str, signer: &Signer, image: &[u8], digest: Digest) {
    let signer = signer.clone().with_digest(digest);
    let ours = signer.trailer(image).unwrap();
    let (key, crt) = (keys.path(&format!("{name}.key")), keys.path(&format!("{name}.crt")));
    let (plain, signed, message) = (keys.path("plain"), keys.path("signed"), keys.path("message"));
    std::fs::write(&plain, image).unwrap();
    run(Command::new(SIGN_FILE).arg(digest.name()).args([&key, &crt, &plain, &signed]));
    let theirs = std::fs::read(&signed).unwrap();
    assert!(theirs == [image, &ours].concat(), "{name}, {}: sign-file signs otherwise", digest.name());

    let words = "cms -sign -binary -noattr -nocerts -nosmimecap -outform DER -md";
    let mut openssl = Command::new("openssl");
    openssl.args(words.split(' ')).arg(digest.name()).arg("-signer").arg(&crt).arg("-inkey").arg(&key);
    run(openssl.arg("-in").arg(&plain).arg("-out").arg(&message));
    let message = std::fs::read(&message).unwrap();
    assert_eq!(message, ours[..ours.len() - 12 - trailer::MAGIC.len()]);

    let abilities = Abilities { version: None, sha512: Some(true), waives_attributes: None };
    let verified = verify(image, &message, &[signer.certificate().clone()], abilities);
    assert_eq!(verified.answer, Verification::Good);
}

#[test]
#[ignore = "needs openssl and linux-kbuild-6.1: tests/run runs it"]
fn signatures_are_sign_file_s_to_the_byte() {
    let keys = Keys::new();
    keys.rsa("plain", 2048, "/CN=one", "1");
    keys.rsa("long", 3072, "/O=An organisation/OU=Modules/CN=with a key of 3072 bits/emailAddress=a@b.example", "0x80");
    keys.rsa("longest", 4096, "/C=CH/CN=Zürich, größer/serialNumber=17", "0xfffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeed");
    keys.rsa("negative", 2048, "/CN=a serial number below zero", "-300");
    keys.rsa("multi", 2048, &format!("/CN={}", "x".repeat(64)), "127");
    let (mut same, images) = (0, ["modules/hello-4.ko", "modules/s390x.ko", "modules/poet_atkm.ko", "modules/btf.ko"]);
    for name in ["plain", "long", "longest", "negative", "multi"] {
        let signer = keys.signer(name);
        for digest in DIGESTS {
            for image in images {
                assert_same(&keys, name, &signer, &std::fs::read(fixture(image)).unwrap(), digest);
                same += 1;
            }
        }
    }
    // PKCS#1, as OpenSSL wrote keys up to 1.0; and a certificate in DER, as the kernel's build has it.
    keys.openssl("rsa -traditional -in plain.key -out pkcs1.key", &[]);
    keys.openssl("x509 -in plain.crt -outform DER -out pkcs1.crt", &[]);
    assert!(keys.read("pkcs1.key").starts_with(b"-----BEGIN RSA PRIVATE KEY-----"));
    let signer = keys.signer("pkcs1");
    assert_eq!(signer, keys.signer("plain"));
    let image = std::fs::read(fixture(images[0])).unwrap();
    assert_eq!(signer.trailer(&image).unwrap(), keys.signer("plain").trailer(&image).unwrap());
    println!("{same} signatures of 5 keys, 3 digests and {} modules are sign-file's and OpenSSL's", images.len());
}

#[test]
#[ignore = "needs openssl and modinfo: tests/run runs it"]
fn modinfo_reads_what_is_signed_here_as_we_do() {
    let keys = Keys::new();
    keys.rsa("key", 2048, "/O=Somebody/CN=a key of the lab's", "0x00a1b2c3");
    let image = std::fs::read(fixture("modules/hello-4.ko")).unwrap();
    for digest in DIGESTS {
        let end = keys.signer("key").with_digest(digest).trailer(&image).unwrap();
        let file = keys.path("hello.ko");
        std::fs::write(&file, [image.as_slice(), &end].concat()).unwrap();
        let read = trailer::find(&std::fs::read(&file).unwrap()).unwrap().unwrap();
        let entries = read.modinfo_entries(false);
        assert_eq!(entries.len(), 5);
        for (field, value) in entries {
            let theirs = run(Command::new("modinfo").args(["-F", field]).arg(&file));
            assert_eq!(String::from_utf8_lossy(&theirs).trim_end(), String::from_utf8_lossy(&value), "{field}");
        }
        let name = run(Command::new("modinfo").args(["-F", "sig_hashalgo"]).arg(&file));
        assert_eq!(name.trim_ascii_end(), digest.name().as_bytes());
    }
}

#[test]
#[ignore = "needs openssl: tests/run runs it"]
fn keys_that_do_not_sign_here_are_refused_with_the_reason() {
    let keys = Keys::new();
    keys.rsa("good", 2048, "/CN=good", "1");
    keys.rsa("other", 2048, "/CN=good", "1");
    keys.rsa("small", 1024, "/CN=small", "1");
    keys.openssl("pkcs8 -topk8 -v2 aes256 -passout pass:secret -in good.key -out encrypted.key", &[]);
    keys.openssl("rsa -traditional -aes256 -passout pass:secret -in good.key -out encrypted-pkcs1.key", &[]);
    keys.openssl("ecparam -name prime256v1 -genkey -out ec-old.key", &[]);
    keys.openssl("pkcs8 -topk8 -nocrypt -in ec-old.key -out ec.key", &[]);
    keys.openssl("genpkey -algorithm ed25519 -out ed25519.key", &[]);
    keys.openssl("req -new -x509 -days 1 -key ec.key -out ec.crt -subj /CN=ec", &[]);
    let refused = |key: &str, crt: &str, kind: ErrorKind, words: &str| {
        let error = Signer::from_pem(&keys.read(key), &keys.read(crt)).unwrap_err();
        assert_eq!(error.kind(), kind, "{key}, {crt}: {error}");
        let line = error.to_string();
        assert!(line.contains(words) && !line.contains('\n'), "{key}, {crt}: {line}");
        println!("{line}");
    };
    for encrypted in ["encrypted.key", "encrypted-pkcs1.key"] {
        refused(encrypted, "good.crt", ErrorKind::Unsupported, "encrypted, and no password is asked for");
    }
    for elliptic in ["ec.key", "ec-old.key"] {
        refused(elliptic, "ec.crt", ErrorKind::Unsupported, "an elliptic curve key");
    }
    refused("ed25519.key", "good.crt", ErrorKind::Unsupported, "a key of another kind (1.3.101.112)");
    refused("small.key", "small.crt", ErrorKind::Unsupported, "of an unsupported size");
    for unknown in ["other.crt", "ec.crt"] {
        refused("good.key", unknown, ErrorKind::Usage, "belongs to another key");
    }
    let certificate = Certificate::read(keys.signer("good").certificate_der()).unwrap().0;
    assert_eq!(certificate.subject, "good");
}
