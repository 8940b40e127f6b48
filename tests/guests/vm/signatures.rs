//! Promise: the result for a signed module is predicted for each kind of signature, with every line of the log.
//!
//! A kernel that trusts our key (`trusting`) loads a module that this key signed, and one that an unknown key signed, in each
//! way that OpenSSL and sign-file support. `KMODLAB_SIGNATURES=all` tests three kernels; otherwise one.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kmodlab::module::Module;
use kmodlab::patch::sign::Digest;
use kmodlab::predict::{Candidate, Decision, LoadOptions, StepResult, predict};
use ml_dsa::{MlDsa65, SigningKey};
use sha2::Digest as _;

use crate::vm::alone;
use crate::vm::insmod::{By, Trial, compare, load};
use crate::vm::kernels::files_of;
use crate::vm::trusting::Trusting;

const KERNELS: [&str; 3] = ["amd64-6.1-cloud", "amd64-6.12", "amd64-7.2"];
const MAGIC: &[u8] = b"~Module signature appended~\n";

/// A message as a trailer, with these first eight bytes of `struct module_signature`.
fn trailer(message: &[u8], fields: [u8; 8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [message, &fields, &length, MAGIC].concat()
}

const PKCS7: [u8; 8] = [0, 0, 2, 0, 0, 0, 0, 0];

fn openssl(folder: &Path, words: &str) {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl: tests/run installs what the tests need");
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Messages that OpenSSL makes for `image`, each with its description.
fn of_openssl(image: &[u8], ours: &[u8]) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("image"), image).unwrap();
    std::fs::write(folder.join("ours.key"), include_bytes!("../../../fixtures/keys/key.pem")).unwrap();
    std::fs::write(folder.join("ours.der"), ours).unwrap();
    openssl(folder, "x509 -inform DER -in ours.der -out ours.crt");
    for (name, kind) in [
        ("rsa", "rsa:2048"),
        ("p256", "ec -pkeyopt ec_paramgen_curve:P-256"),
        ("p384", "ec -pkeyopt ec_paramgen_curve:P-384"),
    ] {
        openssl(
            folder,
            &format!("req -new -x509 -newkey {kind} -nodes -keyout {name}.key -out {name}.crt -subj /O=lab/CN={name}"),
        );
    }
    // An unknown signer whose name has attributes that kernels do not know.
    openssl(folder, "req -new -x509 -newkey rsa:2048 -nodes -keyout dc.key -out dc.crt -subj /DC=lab/UID=me/CN=dc");
    let mut made = Vec::new();
    let mut add = |who: &str, options: &str| {
        let words = format!(
            "cms -sign -binary -in image -signer {who}.crt -inkey {who}.key -outform DER -out message {options}"
        );
        openssl(folder, &words);
        made.push((format!("{who} {options}"), std::fs::read(folder.join("message")).unwrap()));
    };
    for digest in ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-512"] {
        add("rsa", &format!("-noattr -nocerts -md {digest}"));
    }
    for digest in ["sha1", "sha256", "sha384", "sha512"] {
        add("p256", &format!("-noattr -nocerts -md {digest}"));
        add("p384", &format!("-noattr -nocerts -md {digest}"));
    }
    for who in ["rsa", "p256", "dc", "ours"] {
        add(who, "-noattr -md sha256");
        add(who, "-nocerts -md sha256");
        add(who, "-nocerts -nosmimecap -md sha256");
        // Our smaller certificate has no key identifier.
        if who != "ours" {
            add(who, "-noattr -nocerts -keyid -md sha256");
        }
        add(who, "-noattr -nocerts -nodetach -md sha256");
        add(who, "-noattr -nocerts -md sha256");
    }
    for digest in ["sha1", "sha384", "sha512"] {
        add("ours", &format!("-noattr -nocerts -md {digest}"));
    }
    add("rsa", "-noattr -nocerts -md sha256 -keyopt rsa_padding_mode:pss");
    made
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = if content.len() < 128 { vec![tag, low] } else { vec![tag, 0x82, high, low] };
    [head, content].concat()
}

/// The last bytes of object identifiers below 2.16.840.1.101.3.4: digests and algorithms of signatures.
const SHA512: [u8; 2] = [2, 3];
const SHA3_256: [u8; 2] = [2, 8];
const ML_DSA_65: [u8; 2] = [3, 18];
const ECDSA_SHA3_256: [u8; 2] = [3, 10];
const RSA_SHA3_256: [u8; 2] = [3, 14];

fn algorithm(name: [u8; 2]) -> Vec<u8> {
    der(0x30, &[&der(6, &[&[0x60, 0x86, 0x48, 1, 0x65, 3, 4], &name])])
}

/// A message by an unknown signer.
fn message(digest: [u8; 2], kind: [u8; 2], attributes: &[u8], signature: &[u8]) -> Vec<u8> {
    let (digest, kind, one) = (algorithm(digest), algorithm(kind), [2, 1, 1]);
    let name = der(0x31, &[&der(0x30, &[&der(6, &[&[0x55, 4, 3]]), &der(0x0c, &[b"lab"])])]);
    let who = der(0x30, &[&der(0x30, &[&name]), &[2, 1, 7]]);
    let listed = if attributes.is_empty() { Vec::new() } else { der(0xa0, &[attributes]) };
    let info = der(0x30, &[&one, &who, &digest, &listed, &kind, &der(4, &[signature])]);
    let data = der(0x30, &[&one, &der(0x31, &[&digest]), &der(0x30, &[&pkcs7(1)]), &der(0x31, &[&info])]);
    der(0x30, &[&pkcs7(2), &der(0xa0, &[&data])])
}

fn pkcs7(last: u8) -> Vec<u8> {
    der(6, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, last]])
}

/// The message that 7.2's sign-file makes with an ML-DSA key and OpenSSL up to 3.6: attributes, and SHA-512 for their digest.
/// Or without attributes, as with OpenSSL 4.
fn ml_dsa(image: &[u8], with_attributes: bool) -> Vec<u8> {
    let key = SigningKey::<MlDsa65>::from_seed(&[9; 32].into());
    let attribute = |last: u8, value: &[u8]| {
        der(0x30, &[&der(6, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, last]]), &der(0x31, &[value])])
    };
    let attributes = [
        attribute(3, &pkcs7(1)),
        attribute(5, &der(0x17, &[b"261129190000Z"])),
        // CMSAlgorithmProtection (RFC 6211), which kernels do not know.
        attribute(52, &der(0x30, &[&algorithm(SHA512), &der(0xa1, &[&algorithm(ML_DSA_65)[2..]])])),
        attribute(4, &der(4, &[&sha2::Sha512::digest(image)])),
    ]
    .concat();
    let attributes = if with_attributes { attributes } else { Vec::new() };
    let signed = if with_attributes { der(0x31, &[&attributes]) } else { image.to_vec() };
    let signature = key.expanded_key().sign_deterministic(&signed, &[]).unwrap();
    message(SHA512, ML_DSA_65, &attributes, &signature.encode())
}

/// All messages that are appended to the module's image, and whether the image is changed afterwards.
fn cases(image: &[u8], trusting: &Trusting) -> Vec<(String, Vec<u8>)> {
    let signer = &trusting.signer;
    let with = |end: &[u8]| [image, end].concat();
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for (what, message) in of_openssl(image, signer.certificate_der()) {
        all.push((what.clone(), with(&trailer(&message, PKCS7))));
        if what.starts_with("ours") {
            let mut changed = with(&trailer(&message, PKCS7));
            let at = memchr::memmem::find(&changed, b"vermagic=").unwrap() + 9;
            changed[at] ^= 1;
            all.push((format!("{what}, changed since"), changed));
        }
    }
    all.push(("ML-DSA-65 with attributes".to_owned(), with(&trailer(&ml_dsa(image, true), PKCS7))));
    all.push(("ML-DSA-65 without attributes".to_owned(), with(&trailer(&ml_dsa(image, false), PKCS7))));
    for (what, digest, kind) in [
        ("ECDSA with SHA3-256", SHA3_256, ECDSA_SHA3_256),
        ("ECDSA with SHA3-256 over SHA-512", SHA512, ECDSA_SHA3_256),
        ("RSA with SHA3-256", SHA3_256, RSA_SHA3_256),
        ("a digest and an algorithm that nobody knows", [2, 99], [3, 99]),
        ("an algorithm that nobody knows", SHA512, [3, 99]),
    ] {
        all.push((what.to_owned(), with(&trailer(&message(digest, kind, &[], &[1; 71]), PKCS7))));
    }
    for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        let own = trusting.signer.clone().with_digest(digest).trailer(image).unwrap();
        all.push((format!("by kmodlab, {}", digest.name()), with(&own)));
    }
    let own = signer.trailer(image).unwrap();
    let message = &own[..own.len() - 12 - MAGIC.len()];
    for kind in [0, 1, 3, 7, 255] {
        all.push((format!("id_type {kind}"), with(&trailer(message, [0, 0, kind, 0, 0, 0, 0, 0]))));
    }
    for at in [0, 1, 3, 4, 5] {
        let mut fields = PKCS7;
        fields[at] = 1;
        all.push((format!("field {at} is not 0"), with(&trailer(message, fields))));
    }
    all.push(("junk after the message".to_owned(), with(&trailer(&[message, b"junk"].concat(), PKCS7))));
    all.push(("half a message".to_owned(), with(&trailer(&message[..message.len() / 2], PKCS7))));
    all.push(("no message".to_owned(), with(&trailer(b"not a message at all", PKCS7))));
    all.push(("unsigned".to_owned(), image.to_vec()));
    all.push(("zeros at the end".to_owned(), [image, &own, &[0; 32]].concat()));
    all.push(("zeros between".to_owned(), [image, &[0; 32], own.as_slice()].concat()));
    all.push(("twice signed".to_owned(), [image, &own, &own].concat()));
    all.push(("only the magic".to_owned(), with(MAGIC)));
    all
}

#[test]
#[ignore = "needs QEMU, openssl and fetched kernels: tests/run runs it"]
fn each_kind_of_signature_is_answered_as_predicted() {
    let _alone = alone();
    let is_all = std::env::var("KMODLAB_SIGNATURES").is_ok_and(|what| what == "all");
    let kernels = if is_all { &KERNELS[..] } else { &KERNELS[1..2] };
    let mut wrong = String::new();
    for name in kernels {
        wrong += &on(name);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn on(name: &str) -> String {
    let begun = Instant::now();
    let trusting = Trusting::new(name);
    let bytes = files_of(name, &["dummy"]).modules["dummy"].bytes.clone();
    let image = &bytes[..Module::read(&bytes).unwrap().image_len()];
    let mut cases = cases(image, &trusting);
    cases.push(("by who built the kernel".to_owned(), bytes.clone()));
    let trial =
        |bytes: &[u8]| Trial { module: "dummy".to_owned(), ending: ".ko", bytes: bytes.to_vec(), by: By::Flags(0) };
    let trials: Vec<Trial> = cases.iter().map(|(_, bytes)| trial(bytes)).collect();
    let seen = load(&trusting.image, &trials.iter().collect::<Vec<_>>());

    let (mut wrong, mut agree, mut unknown, mut said) = (String::new(), 0, 0, Vec::new());
    for ((what, bytes), seen) in cases.iter().zip(&seen) {
        let module = Module::read(bytes).ok();
        let subject = Candidate { bytes, module: module.as_ref(), packing: None };
        let verdict = predict(&subject, &trusting.kernel, &LoadOptions { alone: true, ..LoadOptions::default() });
        println!("{name}: {what}: {} {:?} {:?}", seen.error, seen.taint, seen.log);
        // Refused whatever the result of an unknown step, but that result decides which step refuses.
        let is_conditional = verdict.answer == Decision::Refused && verdict.errno.is_none();
        if is_conditional && seen.error == 0 {
            wrong += &format!("{name}: {what}: a refusal was predicted\n  {seen:?}\n");
        } else if is_conditional || verdict.answer == Decision::Unknown {
            unknown += 1;
            let why = verdict.findings.iter().find(|finding| finding.result == StepResult::Unknown).unwrap();
            println!("{name}: unknown: {what}: {}", why.note);
        } else {
            match compare(&verdict, seen, &said) {
                Ok(()) => agree += 1,
                Err(why) => wrong += &format!("{name}: {what}: {why}\n  {seen:?}\n"),
            }
        }
        said.extend(seen.log.iter().map(String::as_str));
    }
    println!("{name}: {} signatures: {agree} agree, {unknown} unknown, {:.0?}", cases.len(), begun.elapsed());
    wrong
}
