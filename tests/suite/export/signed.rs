//! Signed exports: only the file that was signed, by a key that is trusted for this, is imported. ssh-keygen and this program
//! accept each other's signatures.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::machine::{Answer, Machine, write};

/// A key that is used nowhere else.
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDRdT5okV3b7n74BjlYKtdDdFpH4kE5MvncPxwoI2Gx3gAAAJilve7ipb3u
4gAAAAtzc2gtZWQyNTUxOQAAACDRdT5okV3b7n74BjlYKtdDdFpH4kE5MvncPxwoI2Gx3g
AAAEAgURevA4mtjVOomf3wSTe2WQ6rNFz57ErPVE+7pgamMdF1PmiRXdvufvgGOVgq10N0
WkfiQTky+dw/HCgjYbHeAAAAE2F1ZGl0b3JAZXhhbXBsZS5jb20BAg==
-----END OPENSSH PRIVATE KEY-----
";

const PUBLIC: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINF1PmiRXdvufvgGOVgq10N0WkfiQTky+dw/HCgjYbHe auditor@example.com\n";

/// Another public key.
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBkbGxscHB0dHh4fHyAgISEiIiMjJCQlJSYmJycoKCkp other@example.com\n";

/// A machine with an export that is signed.
fn signed(options: &[&str]) -> Machine {
    let machine = Machine::with(&["poet_atkm.ko"]);
    write(&machine.path("key"), KEY.as_bytes());
    machine.run(["vault", "export", "export", "--sign", "key"].iter().chain(options)).with(0);
    machine
}

/// Verifies the export, by this list of keys.
fn verify(machine: &Machine, keys: &str) -> Answer {
    fs::write(machine.path("keys"), keys).unwrap();
    machine.run(&["vault", "import", "export", "-n", "--verify", "keys"])
}

#[track_caller]
fn refused(answer: Answer, why: &str) {
    let answer = answer.with(2);
    assert_eq!((answer.out.len(), answer.err.lines().count()), (0, 1), "{answer:?}");
    assert!(answer.err.contains(why), "{answer:?}");
}

#[test]
fn a_signed_export_names_its_signer() {
    for options in [&[][..], &["--zstd"]] {
        let machine = signed(options);
        let answer = verify(&machine, PUBLIC).with(0).text();
        assert!(answer.contains("signed   by auditor@example.com, SHA256:"), "{answer}");
        let allowed = format!("# the audit\nme@example.com namespaces=\"git,kmodlab-vault\" {PUBLIC}");
        assert!(verify(&machine, &allowed).with(0).text().contains("signed   by me@example.com, SHA256:"));
        machine.run(&["vault", "import", "export", "--verify", "keys", "-n", "--json"]).with(0);
    }
}

#[test]
fn another_file_another_key_and_another_purpose_are_refused() {
    let machine = signed(&[]);
    refused(verify(&machine, OTHER), "signed by a key that keys does not trust (SHA256:");
    refused(verify(&machine, ""), "does not trust");
    for options in ["namespaces=\"git\"", "valid-before=\"20200101\"", "cert-authority", "no-such-option"] {
        refused(verify(&machine, &format!("me {options} {PUBLIC}")), "does not trust: it");
    }
    let whole = fs::read(machine.path("export")).unwrap();
    let mut changed = whole.clone();
    changed[600] ^= 1;
    fs::write(machine.path("export"), &changed).unwrap();
    refused(verify(&machine, PUBLIC), "not the file that was signed");
    // Another export that is valid.
    fs::remove_file(machine.path("export")).unwrap();
    machine.patch("hello-4.ko.xz");
    machine.export("export", &[]);
    refused(verify(&machine, PUBLIC), "not the file that was signed");
    fs::remove_file(machine.path("export.sig")).unwrap();
    refused(verify(&machine, PUBLIC), "export.sig: ");
}

#[test]
fn a_signature_with_any_letter_changed_is_refused() {
    let machine = signed(&[]);
    let path = machine.path("export.sig");
    let signature = fs::read(&path).unwrap();
    let body = "-----BEGIN SSH SIGNATURE-----\n".len()..signature.len() - "\n-----END SSH SIGNATURE-----\n".len();
    let mut count = 0;
    for at in body.filter(|at| signature[*at] != b'\n' && signature[*at] != b'=') {
        let mut changed = signature.clone();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        fs::write(&path, &changed).unwrap();
        let answer = verify(&machine, PUBLIC);
        assert_eq!((answer.status, answer.out.len()), (2, 0), "letter {at}: {answer:?}");
        count += 1;
    }
    println!("{count} letters of the signature: each one changed, all refused");
    for text in [&b""[..], b"text", &signature[..100], &vec![b'A'; 2 << 20]] {
        fs::write(&path, text).unwrap();
        verify(&machine, PUBLIC).with(2);
    }
}

#[test]
fn a_key_that_cannot_sign_makes_no_file() {
    let machine = Machine::with(&["poet_atkm.ko"]);
    let half = KEY.replace("AAAAE2F1ZGl0b3J", "AAAAE2F1ZGl0b3I");
    for (name, text) in
        [("text", "text"), ("public", PUBLIC), ("cut", &KEY[..200]), ("changed", &half[..half.len() - 60])]
    {
        write(&machine.path(name), text.as_bytes());
        let answer = machine.run(&["vault", "export", "export", "--sign", name]).with(2);
        assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
        assert!(!answer.err.contains("b3BlbnNz") && !answer.err.contains("AAAAE2F1"), "{answer:?}");
        assert!(!machine.path("export").exists() && !machine.path("export.sig").exists());
    }
    write(&machine.path("key"), KEY.as_bytes());
    machine.run(&["vault", "export", "-", "--sign", "key"]).with(2);
    write(&machine.path("export.sig"), b"mine");
    machine.run(&["vault", "export", "export", "--sign", "key"]).with(2);
    assert!(!machine.path("export").exists() && fs::read(machine.path("export.sig")).unwrap() == b"mine");
}

fn ssh_keygen(folder: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).current_dir(folder).stderr(Stdio::piped()).stdout(Stdio::piped());
    match input {
        "" => command.stdin(Stdio::null()),
        input => command.stdin(fs::File::open(folder.join(input)).unwrap()),
    };
    let output = command.output().expect("ssh-keygen is missing: install openssh-client");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
#[ignore = "needs ssh-keygen: tests/run installs openssh-client"]
fn ssh_keygen_verifies_what_this_program_signs() {
    let machine = signed(&[]);
    let folder = machine.path("");
    fs::write(folder.join("allowed"), format!("me@example.com namespaces=\"kmodlab-vault\" {PUBLIC}")).unwrap();
    let verify = ["-Y", "verify", "-f", "allowed", "-I", "me@example.com", "-n", "kmodlab-vault", "-s", "export.sig"];
    let (is_good, text) = ssh_keygen(&folder, &verify, "export");
    assert!(is_good && text.contains("Good \"kmodlab-vault\" signature for me@example.com"), "{text}");
    let mut changed = fs::read(folder.join("export")).unwrap();
    changed[600] ^= 1;
    fs::write(folder.join("export"), changed).unwrap();
    assert!(!ssh_keygen(&folder, &verify, "export").0);
}

#[test]
#[ignore = "needs ssh-keygen: tests/run installs openssh-client"]
fn what_ssh_keygen_signs_is_verified_here() {
    for (kind, bits) in [("ed25519", "256"), ("rsa", "3072"), ("rsa", "2048")] {
        for hash in ["sha512", "sha256"] {
            let machine = Machine::with(&["poet_atkm.ko"]);
            let folder = machine.path("");
            machine.export("export", &[]);
            let make = ["-q", "-t", kind, "-b", bits, "-N", "", "-C", "me@example.com", "-f", "key"];
            assert!(ssh_keygen(&folder, &make, "").0);
            let hash = format!("hashalg={hash}");
            let sign =
                |namespace| ["-Y", "sign", "-O", &hash, "-n", namespace, "-f", "key", "export"].map(str::to_owned);
            let sign = |namespace| {
                let arguments = sign(namespace);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let (is_done, text) = ssh_keygen(&folder, &arguments, "");
                assert!(is_done, "{text}");
            };
            sign("kmodlab-vault");
            let public = fs::read_to_string(folder.join("key.pub")).unwrap();
            assert!(verify(&machine, &public).with(0).text().contains("signed   by me@example.com, SHA256:"), "{kind}");
            refused(verify(&machine, PUBLIC), "does not trust");
            fs::remove_file(folder.join("export.sig")).unwrap();
            sign("git");
            refused(verify(&machine, &public), "a signature for another purpose");
        }
    }
}

#[test]
#[ignore = "needs ssh-keygen: tests/run installs openssh-client"]
fn keys_that_do_not_sign_here_are_named_with_the_command_that_signs() {
    let machine = Machine::with(&["poet_atkm.ko"]);
    let folder = machine.path("");
    for (name, make, what) in [
        ("encrypted", &["-t", "ed25519", "-N", "secret"][..], "the key is encrypted"),
        ("rsa", &["-t", "rsa", "-N", ""], "only ssh-ed25519 keys sign here"),
        ("ecdsa", &["-t", "ecdsa", "-N", ""], "ssh-keygen -Y sign -n kmodlab-vault"),
        ("pem", &["-t", "rsa", "-N", "", "-m", "PEM"], "ssh-keygen -Y sign -n kmodlab-vault"),
    ] {
        assert!(ssh_keygen(&folder, &[&["-q", "-f", name][..], make].concat(), "").0);
        let answer = machine.run(&["vault", "export", "export", "--sign", name]).with(2);
        assert!(answer.err.contains(what) && answer.err.lines().count() == 1, "{answer:?}");
        assert!(answer.err.contains("ssh-keygen -Y sign -n kmodlab-vault"), "{answer:?}");
        assert!(!machine.path("export").exists());
    }
}
